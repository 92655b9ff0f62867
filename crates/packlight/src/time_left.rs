//! The remaining time of a study: a forecast, corrected by the time that runs have taken so far.

use std::time::Instant;

/// A study's forecast and progress.
#[derive(Debug, Default)]
pub(crate) struct TimeLeft {
    begun: Option<Instant>,
    /// Forecast seconds of all that is left, without what earlier processes had done.
    total: f64,
    /// Forecast seconds of the runs that have ended.
    ended: f64,
    /// Forecast seconds of the run in progress, from its beginning.
    run: f64,
    /// The fractions of it that were done when this process began it, and that are done now.
    from: f64,
    to: f64,
}

/// The least forecast seconds that must be done before the forecast is corrected.
const TELLING: f64 = 10.0;

impl TimeLeft {
    /// Starts the clock for a study with a forecast of `seconds`.
    pub(crate) fn begin(&mut self, seconds: f64) {
        *self = Self { begun: Some(Instant::now()), total: seconds, ..Self::default() };
    }

    /// Begins a run with a forecast of `seconds`, of which a `fraction` is done.
    pub(crate) fn run(&mut self, seconds: f64, fraction: f64) {
        (self.run, self.from, self.to) = (seconds, fraction, fraction);
    }

    /// Sets the fraction of the run that is done.
    pub(crate) fn at(&mut self, fraction: f64) {
        self.to = fraction;
    }

    /// Ends the run, whether it finished or failed.
    pub(crate) fn end_run(&mut self) {
        self.ended += self.run * (1.0 - self.from);
        (self.run, self.from, self.to) = (0.0, 0.0, 0.0);
    }

    fn forecast_done(&self) -> f64 {
        self.ended + self.run * (self.to - self.from)
    }

    /// The fraction of the study that is done.
    pub(crate) fn done(&self) -> f64 {
        if self.total > 0.0 { (self.forecast_done() / self.total).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The remaining seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.left_after(self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64()))
    }

    fn left_after(&self, elapsed: f64) -> f64 {
        let done = self.forecast_done();
        let pace = if done < TELLING { 1.0 } else { elapsed / done };
        (self.total - done).max(0.0) * pace
    }
}

/// A duration in words: `40 s`, `12 min`, `2 h 5 min`.
pub(crate) fn in_words(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        _ if minutes < 100 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_the_forecast_and_then_what_was_seen() {
        let mut left = TimeLeft::default();
        left.begin(70.0); // 40, and half of 60
        left.run(40.0, 0.0);
        assert_eq!(left.left_after(3.0), 70.0);
        left.at(0.5);
        assert_eq!(left.left_after(20.0), 50.0);
        assert_eq!(left.left_after(40.0), 100.0, "half as fast as forecast");
        assert_eq!(left.done(), 2.0 / 7.0);
        left.end_run();
        left.run(60.0, 0.5); // half of it had been done before
        assert_eq!(left.left_after(40.0), 30.0);
        left.at(1.0);
        left.end_run();
        assert_eq!((left.left_after(70.0), left.done()), (0.0, 1.0));
    }

    #[test]
    fn times_are_said_in_the_unit_that_suits_them() {
        let said = [3.2, 99.0, 130.0, 3000.0, 7500.0].map(in_words);
        assert_eq!(said, ["3 s", "99 s", "2 min", "50 min", "2 h 5 min"]);
    }
}
