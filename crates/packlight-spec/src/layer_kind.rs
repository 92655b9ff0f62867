//! The kinds of layers.

use serde::{Deserialize, Serialize};

/// What a layer computes; plans address layers by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// A convolution.
    Conv,
    /// A fully connected layer.
    Linear,
    /// A batch or layer normalisation.
    Norm,
    /// A pointwise non-linearity whose gradient needs its input, such as GELU.
    Activation,
    /// A ReLU, whose gradient needs one bit for each element of its input.
    Relu,
    /// A matrix product or softmax within attention, or the gates of squeeze-and-excitation.
    Attention,
    /// A look-up of token embeddings.
    Embedding,
    /// A part of the network that is recomputed in the backward pass.
    Segment,
    /// Max-pooling.
    Pool,
    /// Dropout.
    Dropout,
    /// The loss.
    Loss,
}

impl LayerKind {
    /// All kinds, in the order in which they are listed to users.
    pub const ALL: [LayerKind; 11] = [
        LayerKind::Conv,
        LayerKind::Linear,
        LayerKind::Norm,
        LayerKind::Activation,
        LayerKind::Relu,
        LayerKind::Attention,
        LayerKind::Embedding,
        LayerKind::Segment,
        LayerKind::Pool,
        LayerKind::Dropout,
        LayerKind::Loss,
    ];

    /// The kinds of layers that save an input which a codec can pack.
    pub const PACKABLE: [LayerKind; 6] = [
        LayerKind::Conv,
        LayerKind::Linear,
        LayerKind::Norm,
        LayerKind::Activation,
        LayerKind::Attention,
        LayerKind::Segment,
    ];

    /// The name by which plans and records call this kind.
    pub fn name(self) -> &'static str {
        match self {
            LayerKind::Conv => "conv",
            LayerKind::Linear => "linear",
            LayerKind::Norm => "norm",
            LayerKind::Activation => "activation",
            LayerKind::Relu => "relu",
            LayerKind::Attention => "attention",
            LayerKind::Embedding => "embedding",
            LayerKind::Segment => "segment",
            LayerKind::Pool => "pool",
            LayerKind::Dropout => "dropout",
            LayerKind::Loss => "loss",
        }
    }
}
