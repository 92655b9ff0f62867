//! What a study tells, for people to read on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar as Bar, ProgressDrawTarget, ProgressStyle};
use packlight::study::{Event, Progress};

use crate::time_left::{TimeLeft, in_words};

/// A bar over the whole study on a terminal; elsewhere a line now and then.
pub(crate) struct ProgressBar {
    bar: Bar,
    terminal: bool,
    last_line: Option<Instant>,
    left: TimeLeft,
    steps: u64,
    run: String,
}

/// Lines of a log are at least so far apart, but for those that begin and end a run.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// How finely the bar is divided.
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
        Self { bar, terminal, last_line: None, left, steps: 0, run: String::new() }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Says something above the bar, or on a line of its own.
    fn say(&mut self, line: &str) {
        self.last_line = Some(Instant::now());
        if self.terminal {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
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
            Event::Timing { plans } => {
                self.say(&format!("timing a few steps of {plans} plans"));
            }
            Event::Forecast { runs, seconds } => {
                self.left.begin(seconds);
                self.say(&format!("{runs} runs, about {} here", in_words(seconds)));
            }
            Event::Started { run, number, of, step, steps, seconds } => {
                (self.run, self.steps) = (run.to_owned(), steps);
                self.left.run(seconds, step as f64 / steps as f64);
                self.bar.set_prefix(format!("{run} ({number}/{of})"));
                let left = in_words(self.left.seconds());
                if step > 0 {
                    self.say(&format!("{run} ({number}/{of}): goes on at step {step} of {steps}"));
                } else if !self.terminal {
                    self.say(&format!("{run} ({number}/{of}): {steps} steps; about {left} left"));
                }
            }
            Event::Step { step, loss } => {
                self.left.at(step as f64 / self.steps.max(1) as f64);
                let left = in_words(self.left.seconds());
                let said = format!(
                    "step {step} of {}, loss {loss:.4}, about {left} left in all",
                    self.steps
                );
                self.bar.set_position((self.left.done() * PARTS as f64) as u64);
                let run = self.run.clone();
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
            Event::Skipped { run, reason } => self.say(&format!("{run}: left as it is: {reason}")),
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
