//! A study's progress on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar as Bar, ProgressDrawTarget, ProgressStyle};
use packlight::study::{Event, Progress};

use crate::output;
use crate::time_left::{TimeLeft, in_words};

/// A progress bar over the whole study on a terminal; otherwise occasional lines.
pub(crate) struct ProgressBar {
    bar: Bar,
    terminal: bool,
    last_line: Option<Instant>,
    left: TimeLeft,
    run: String,
    steps: u64,
    /// The step at which this process started or resumed the run, and when.
    from: (u64, Instant),
}

/// The least time between lines, except at the start and end of a run.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// The resolution of the bar.
const PARTS: u64 = 1000;

impl ProgressBar {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = Bar::with_draw_target(Some(PARTS), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        let left = TimeLeft::default();
        let from = (0, Instant::now());
        Self { bar, terminal, last_line: None, left, run: String::new(), steps: 0, from }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints a line, above the bar if there is one.
    pub(crate) fn say(&mut self, line: &str) {
        self.last_line = Some(Instant::now());
        if self.terminal {
            self.bar.println(line);
        } else {
            output::say(line);
        }
    }

    fn say_now_and_then(&mut self, line: impl FnOnce() -> String) {
        let due = self.last_line.is_none_or(|last| last.elapsed() >= BETWEEN_LINES);
        if !self.terminal && due {
            self.say(&line());
        }
    }
}

impl Progress for ProgressBar {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Warning { text } => self.say(&format!("warning: {text}")),
            Event::Checking { plan } => {
                self.bar.set_message(format!("checking {plan}"));
                self.say_now_and_then(|| format!("checking that {plan} can train"));
            }
            Event::Forecasting { number, of } => {
                if number == 1 {
                    self.say(&format!(
                        "taking a few steps of {of} plans, to tell how long it will take"
                    ));
                }
                self.bar.set_message(format!("estimating the time: plan {number} of {of}"));
                self.say_now_and_then(|| format!("estimating the time: plan {number} of {of}"));
            }
            Event::Timing { plan } => {
                self.bar.set_prefix("timing");
                self.bar.set_message(format!("a step of {plan}"));
                self.say_now_and_then(|| format!("timing a step of {plan}"));
            }
            Event::Forecast { runs, seconds } => {
                self.left.begin(seconds);
                self.say(&format!("{runs} runs, about {} on this machine", in_words(seconds)));
            }
            Event::Started { run, number, of, step, steps, seconds } => {
                (self.run, self.steps) = (run.to_owned(), steps);
                self.from = (step, Instant::now());
                self.left.run(seconds, step as f64 / steps as f64);
                self.bar.set_prefix(format!("{run} ({number}/{of})"));
                let left = in_words(self.left.seconds());
                if step > 0 {
                    self.say(&format!("{run} ({number}/{of}): resumes at step {step} of {steps}"));
                } else if !self.terminal {
                    self.say(&format!("{run} ({number}/{of}): {steps} steps; about {left} left"));
                }
            }
            Event::Step { step, loss } => {
                self.left.at(step as f64 / self.steps.max(1) as f64);
                let (first, begun) = self.from;
                let rate = step.saturating_sub(first) as f64 / begun.elapsed().as_secs_f64();
                let said = step_in_words(step, self.steps, loss, self.left.seconds(), rate);
                self.bar.set_position((self.left.done() * PARTS as f64) as u64);
                let run = self.run.clone();
                self.say_now_and_then(|| format!("{run}: {said}"));
                self.bar.set_message(said);
            }
            Event::Adapting { plan, times, passes, seconds, share } => {
                let (time, share) = (in_words(seconds), 100.0 * share);
                self.say(&format!(
                    "{plan}: measures {times} times in each run, {passes} passes each: about {time}, \
                     {share:.0} % of its time; fewer codecs, layers, draws or a longer `every` take less"
                ));
            }
            Event::Allocating { step, done } => {
                let run = self.run.clone();
                let said = format!("before step {step}, measuring layers: {:.0} %", 100.0 * done);
                self.say_now_and_then(|| format!("{run}: {said}"));
                self.bar.set_message(said);
            }
            Event::Epoch { epoch, of, train_loss, test_accuracy } => {
                let run = self.run.clone();
                self.say_now_and_then(|| {
                    format!(
                        "{run}: epoch {epoch} of {of}, training loss {train_loss:.4}, \
                         test accuracy {:.2} %",
                        100.0 * test_accuracy
                    )
                });
            }
            Event::ToMeasure { scores, passes, steps, seconds } => {
                self.left.begin(seconds);
                self.left.run(seconds, 0.0);
                let training = match steps {
                    0 => String::new(),
                    steps => format!(" and {steps} steps of training"),
                };
                let time = in_words(seconds);
                self.say(&format!(
                    "{scores} scores in {passes} passes{training}, about {time} on this machine"
                ));
            }
            Event::Measuring { now, done } => {
                self.left.at(done.min(1.0));
                self.bar.set_position((done.min(1.0) * PARTS as f64) as u64);
                let said = format!("{now}, about {} left", in_words(self.left.seconds()));
                self.bar.set_message(said.clone());
                self.say_now_and_then(|| said);
            }
            Event::Skipped { run, reason } => self.say(&format!("{run}: skipped: {reason}")),
            Event::Finished { run } => {
                self.left.end_run();
                if !self.terminal {
                    self.say(&format!("{run}: finished"));
                }
            }
            Event::Failed { run, reason } => {
                self.left.end_run();
                self.say(&format!("{run}: failed: {reason}"));
            }
        }
    }
}

/// A step as the bar and the log show it, with the study's remaining `seconds` and the `rate` in
/// steps per second.
fn step_in_words(step: u64, steps: u64, loss: f64, seconds: f64, rate: f64) -> String {
    let left = in_words(seconds);
    format!("step {step} of {steps}, loss {loss:.4}, about {left} left in total, {rate:.2} steps/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_said_with_its_loss_the_time_left_and_the_rate() {
        assert_eq!(
            step_in_words(3, 540, 2.25, 130.0, 12.25),
            "step 3 of 540, loss 2.2500, about 2 min left in total, 12.25 steps/s"
        );
        assert!(
            step_in_words(1, 2, 0.5, 40.0, 0.031)
                .ends_with("about 40 s left in total, 0.03 steps/s")
        );
    }
}
