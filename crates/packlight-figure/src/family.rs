//! Families of methods, each with a colour and a marker that are the same in all figures.

use crate::theme::{self, Look, Marker, OKABE_ITO};

/// What a plan's methods have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Everything is kept as it is.
    Exact,
    /// Activations are computed again in the backward pass; gradients stay exact.
    Checkpointing,
    /// Only some layers are trained.
    FrozenLayers,
    /// Means of blocks.
    Pooling,
    /// Codes of few bits.
    FewBits,
    /// Narrow floats.
    NarrowFloats,
    /// Factors of low rank.
    LowRank,
    /// Projections of tokens.
    Projection,
    /// The largest values, or those that are not zero.
    Sparse,
    /// Signs and auxiliary activations.
    Signs,
    /// Methods that work on the gradients of outputs.
    OutputGradients,
    /// Methods for norms and activation functions only.
    NormsAndActivations,
    /// Methods of several families.
    Several,
    /// Anything else.
    Other,
}

impl Family {
    /// Its name in a legend.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Exact => "exact",
            Family::Checkpointing => "checkpointing",
            Family::FrozenLayers => "frozen layers",
            Family::Pooling => "pooling",
            Family::FewBits => "few bits",
            Family::NarrowFloats => "narrow floats",
            Family::LowRank => "low rank",
            Family::Projection => "projection",
            Family::Sparse => "sparse",
            Family::Signs => "signs, auxiliary",
            Family::OutputGradients => "output gradients",
            Family::NormsAndActivations => "norms, activations",
            Family::Several => "several",
            Family::Other => "other",
        }
    }

    /// Its colour and marker. Families that resemble each other share a colour: black keeps the
    /// gradients exact.
    pub(crate) fn look(self) -> Look {
        let [black, blue, vermilion, green, orange, sky, purple] = OKABE_ITO;
        let (ink, marker) = match self {
            Family::Exact => (black, Marker::Circle),
            Family::Checkpointing => (black, Marker::Diamond),
            Family::FrozenLayers => (black, Marker::Plus),
            Family::Pooling => (blue, Marker::Square),
            Family::FewBits => (vermilion, Marker::Triangle),
            Family::NarrowFloats => (vermilion, Marker::Nabla),
            Family::LowRank => (green, Marker::Diamond),
            Family::Projection => (green, Marker::Cross),
            Family::Sparse => (orange, Marker::Nabla),
            Family::Signs => (sky, Marker::Cross),
            Family::OutputGradients => (sky, Marker::Square),
            Family::NormsAndActivations => (purple, Marker::Triangle),
            Family::Several => (theme::MUTED, Marker::Circle),
            Family::Other => (theme::MUTED, Marker::Square),
        };
        Look { ink, marker }
    }
}

/// The families that occur, in their order.
pub(crate) fn occurring(families: impl Iterator<Item = Family>) -> Vec<Family> {
    let mut all: Vec<Family> = families.collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_differ_in_colour_or_marker() {
        use Family::*;
        let all = [
            Exact,
            Checkpointing,
            FrozenLayers,
            Pooling,
            FewBits,
            NarrowFloats,
            LowRank,
            Projection,
            Sparse,
            Signs,
            OutputGradients,
            NormsAndActivations,
            Several,
            Other,
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a.look() != b.look()), "{a:?}");
        }
    }

    #[test]
    fn each_family_that_occurs_is_listed_once() {
        let families = [Family::Sparse, Family::Exact, Family::Sparse, Family::Pooling];
        let listed = occurring(families.into_iter());
        assert_eq!(listed, [Family::Exact, Family::Pooling, Family::Sparse]);
    }
}
