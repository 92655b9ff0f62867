//! A codec for each layer.

use serde::Serialize;

/// What an allocation minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The sum of the layers' errors, which is that of the whole gradient.
    #[default]
    Sum,
    /// The largest error of a layer.
    Worst,
}

impl Objective {
    /// The error of several layers together, from that of some and of one more.
    pub(crate) fn add(self, some: f64, one: f64) -> f64 {
        match self {
            Objective::Sum => some + one,
            Objective::Worst => some.max(one),
        }
    }
}

/// A codec for each layer, with what it keeps and what it is predicted to do to the gradient.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Allocation {
    /// The codecs in the order of [`Measured::layers`](crate::Measured::layers).
    pub codecs: Vec<String>,
    /// The numbers of the blocks that are recomputed, in which all layers are exact; see
    /// [`Measured::block`](crate::Measured::block).
    pub recomputed: Vec<usize>,
    /// The most bytes that are kept at once, fixed bytes included; or that a step holds, where
    /// [`Measured::of_steps`](crate::Measured::of_steps) counts these.
    pub bytes: u64,
    /// The mean relative squared error of the gradient, by the objective.
    pub error: f64,
    /// How much lower the error could be at most: 0 unless the search was cut short.
    pub gap: f64,
}
