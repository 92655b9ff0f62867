//! How long choices for single layers take.

use serde::{Deserialize, Serialize};

/// A study's `sensitivity/times.json`: medians over batches. The machine determines them, so they are not among
/// the scores.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ChoiceTimes {
    /// Seconds of a pass forward and back, with every layer exact.
    pub pass: f64,
    /// Packing and restoring at single layers.
    pub codecs: Vec<CodecTime>,
    /// The blocks that can be recomputed.
    pub blocks: Vec<BlockTime>,
}

/// A codec at a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CodecTime {
    /// The layer.
    pub layer: String,
    /// The codec.
    pub codec: String,
    /// How long it takes to pack and restore the layer's input.
    pub seconds: f64,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockTime {
    /// The block.
    pub block: String,
    /// How long its forward pass takes.
    pub seconds: f64,
}
