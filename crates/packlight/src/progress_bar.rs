//! What a study tells, for people to read on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar as Bar, ProgressDrawTarget, ProgressStyle};
use packlight::study::{Event, Progress};

/// A bar over all steps of the study on a terminal; elsewhere a line now and then.
pub(crate) struct ProgressBar {
    bar: Bar,
    terminal: bool,
    last_line: Option<Instant>,
    /// Steps of the runs before the one in progress.
    before: u64,
    steps: u64,
    run: String,
}

/// Lines of a log are at least so far apart, but for those that begin and end a run.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

impl ProgressBar {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = Bar::with_draw_target(Some(0), target);
        let template = "{prefix} [{bar:30}] {pos}/{len} steps, {per_sec}, {eta} left, {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, terminal, last_line: None, before: 0, steps: 0, run: String::new() }
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
            Event::Started { run, number, of, step, steps } => {
                (self.run, self.steps) = (run.to_owned(), steps);
                self.before = (number as u64 - 1) * steps;
                self.bar.set_length(of as u64 * steps);
                self.bar.set_position(self.before + step);
                self.bar.reset_eta();
                self.bar.set_prefix(format!("{run} ({number}/{of})"));
                if step > 0 {
                    self.say(&format!("{run} ({number}/{of}): goes on at step {step} of {steps}"));
                } else if !self.terminal {
                    self.say(&format!("{run} ({number}/{of}): {steps} steps"));
                }
            }
            Event::Step { step, loss } => {
                self.bar.set_position(self.before + step);
                self.bar.set_message(format!("loss {loss:.4}"));
                let (run, steps) = (self.run.clone(), self.steps);
                self.say_now_and_then(|| format!("{run}: step {step} of {steps}, loss {loss:.4}"));
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
                if !self.terminal {
                    self.say(&format!("{run}: finished"));
                }
            }
            Event::Failed { run, reason } => self.say(&format!("{run}: failed: {reason}")),
        }
    }
}
