//! What single layers' codecs do to the gradients.

use packlight_spec::{LayerKind, Point};
use serde::{Deserialize, Serialize};

use crate::{Distribution, Fidelity, KeptKind};

/// One line of a study's `sensitivity/scores.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SensitivityRecord {
    /// A layer of the network, in forward order.
    Layer(LayerFacts),
    /// What a layer keeps whatever packs its input: masks, statistics.
    Fixed {
        /// The layer.
        layer: String,
        /// What it is kept for.
        kind: KeptKind,
        /// Its bytes.
        bytes: u64,
    },
    /// A measurement.
    Score(Score),
}

/// A layer that saves an input which a codec can pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerFacts {
    /// Its PyTorch name.
    pub layer: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Which tensor it saves: layers with the same number save the same one, and those that pack it
    /// alike share one copy.
    pub source: u64,
    /// The bytes of that tensor, uncompressed.
    pub raw_bytes: u64,
    /// What identifies its exact copy; see [`Score::copy`].
    pub copy: String,
    /// Whether it was measured, or is left exact.
    pub measured: bool,
}

/// What one codec at one layer does to the gradients of one batch, all other layers exact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// SHA-256 of what it was measured on: the weights, the running statistics and the batch. With the
    /// layer, the codec and the number of draws it determines everything else.
    pub state: String,
    /// The point of the training.
    pub point: Point,
    /// The seed of the training.
    pub seed: u64,
    /// Which of the batches, from 0.
    pub batch: u64,
    /// How many times the codec packed the batch, each time with other random numbers.
    pub draws: u64,
    /// The layer.
    pub layer: String,
    /// The codec.
    pub codec: String,
    /// The gradients that are compared.
    pub compared: Compared,
    /// How close these are, in the first draw.
    pub fidelity: Fidelity,
    /// `E|h - g|^2` over the gradients of all parameters: the mean over the draws.
    pub squared_error: f64,
    /// `|E h - g|^2`, the part of the squared error that does not average out over steps; `None` for a
    /// single draw. It is the mean of `<h - g, h' - g>` over all pairs of draws, which has no bias of its
    /// own and may fall a little below 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squared_bias: Option<f64>,
    /// `|g|`, the exact gradient's norm over all parameters.
    pub whole_norm: f64,
    /// The learning indicator per sample (conv) or token (linear); for these layers alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_indicator: Option<Distribution>,
    /// Payload and metadata bytes of the packed input.
    pub kept_bytes: u64,
    /// What identifies the packed copy: layers that save the same tensor share it if these are equal.
    pub copy: String,
}

/// The gradients that a score compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// That of the layer's own weight; the codec changes no other.
    Own,
    /// Those of all parameters, since the layer passes its error on.
    All,
}
