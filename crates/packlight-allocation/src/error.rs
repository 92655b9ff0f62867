//! The errors of this crate.

use packlight_spec::Point;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no allocation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Nothing was measured.
    #[error("there are no scores; measure them with `packlight sensitivity DIR`")]
    NoScores,
    /// Nothing was measured at this point.
    #[error("there are no scores at {point}, only at {}; choose one of these, or measure it, too", list(.measured))]
    NoScoresAt {
        /// The point that was asked for.
        point: Point,
        /// Those with scores.
        measured: Vec<Point>,
    },
    /// The scores are of two networks, or of two trainings of one.
    #[error(
        "layer `{layer}`: {reason}; the scores of two studies are mixed: remove the folder that they are in and measure again"
    )]
    Mixed {
        /// The layer.
        layer: String,
        /// What does not fit.
        reason: String,
    },
    /// Even the cheapest allocation takes more than the budget.
    #[error(
        "a budget of {budget} B ({:.2} MiB) is too small: the least that is possible here is {least} B ({:.2} MiB); allow at least these, or measure cheaper codecs",
        mebibytes(*.budget),
        at_least(*.least)
    )]
    TooSmall {
        /// The budget in bytes.
        budget: u64,
        /// The least budget that is not too small.
        least: u64,
    },
    /// A plan gives a layer a codec whose error there is not known.
    #[error("{codec} was not measured at {layer}")]
    NotMeasured {
        /// The layer.
        layer: String,
        /// The codec.
        codec: String,
    },
    /// The scores were measured by a version that did not look at blocks and steps.
    #[error("the log of scores does not say {lacks}; measure again, which only adds that")]
    Lacks {
        /// What it does not say.
        lacks: &'static str,
    },
    /// Losses were to count, and none was measured.
    #[error(
        "no training was compared with an exact one; write `horizon = 20` under `[sensitivity]` in study.toml \
         and measure again with `packlight sensitivity DIR`, which only adds that"
    )]
    NoLosses,
    /// Even the fastest allocation takes longer.
    #[error(
        "no plan within {budget} B is at most {limit} times as slow as the exact one; allow {least:.3} times"
    )]
    TooSlow {
        /// The budget in bytes.
        budget: u64,
        /// The largest slowdown.
        limit: f64,
        /// The least that is enough, in thousandths.
        least: f64,
    },
    /// No block can be recomputed.
    #[error("no block of this network can be recomputed; leave out --recompute")]
    NoBlocks,
    /// A plan checkpoints other parts than blocks by name, shares residuals or freezes layers.
    #[error("it does more than give layers codecs and recompute blocks by name")]
    MoreThanPacked,
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// The same, rounded up to what is printed, so that a budget of so many is enough.
fn at_least(bytes: u64) -> f64 {
    (1e2 * mebibytes(bytes)).ceil() / 1e2
}

fn list(points: &[Point]) -> String {
    points.iter().map(Point::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_is_too_small_is_told_in_bytes_and_in_a_unit_to_read() {
        let error = Error::TooSmall { budget: 1 << 20, least: 3 << 19 };
        let expected = "a budget of 1048576 B (1.00 MiB) is too small: the least that is possible here is \
                        1572864 B (1.50 MiB);";
        assert!(error.to_string().starts_with(expected), "{error}");
        let error = Error::TooSmall { budget: 1, least: (1 << 20) + 1 };
        assert!(error.to_string().contains("1048577 B (1.01 MiB)"), "{error}");
    }
}
