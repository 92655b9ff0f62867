//! What a codec is.

use std::fmt;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::Coded;
use packlight_record::LayerKind;

use crate::adaptive::Adaptive;
use crate::{Op, PackNormOutput, Result, RewriteGradients, RewriteOperands, ShareKey, Site};

/// Packs what an operation saves of a tensor for its backward pass.
///
/// Most codecs are four methods: [`spec`](Self::spec), [`scope`](Self::scope),
/// [`bytes`](Self::bytes) and [`pack`](Self::pack). They leave the forward pass exact. A codec whose
/// method does more says so by one of the capabilities at the end, which are absent by default.
pub trait Codec: fmt::Debug + Send + Sync {
    /// The codec as a plan writes it, such as `pool2`. Two codecs with one spec pack alike.
    fn spec(&self) -> String;

    /// The layers that a plan's `default` gives this codec to: those of its paper.
    fn scope(&self) -> Scope;

    /// The bytes that [`pack`](Self::pack) will take for a tensor of this shape and type; `None`
    /// where they depend on its values or on the codec's state.
    ///
    /// # Errors
    /// Returns an error if the codec cannot pack such a tensor.
    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>>;

    /// The fewest and the most bytes that [`pack`](Self::pack) may take for a tensor of this shape and
    /// type, where [`bytes`](Self::bytes) does not know them: by default up to those of the tensor.
    fn bounds(&self, shape: &[usize], dtype: DType) -> [usize; 2] {
        [0, shape.iter().product::<usize>() * dtype.size_in_bytes()]
    }

    /// Packs a tensor.
    ///
    /// Finite values of a magnitude up to 1e30 must unpack to finite values. Where a value is not
    /// finite, either packing returns an error or some unpacked value is not finite, so that the
    /// loss or a gradient shows it; values above 1e30 may do the same.
    ///
    /// # Errors
    /// Returns an error if the codec cannot pack such a tensor.
    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>>;

    /// What identifies a packed copy: save points whose keys are equal share one copy of a tensor of
    /// this shape.
    fn share_key(&self, site: &Site<'_>, _shape: &[usize]) -> ShareKey {
        ShareKey::new(self.spec(), site.axes)
    }

    /// Whether convolutions and linear layers compute with another input or weight.
    fn operands(&self) -> Option<&dyn RewriteOperands> {
        None
    }

    /// Whether convolutions and linear layers pass back other gradients.
    fn gradients(&self) -> Option<&dyn RewriteGradients> {
        None
    }

    /// Whether the precision adapts to measurements during training.
    fn adaptive(&self) -> Option<&dyn Adaptive> {
        None
    }

    /// Whether a norm saves its normalised values, which the layers behind it share.
    fn norm_output(&self) -> Option<&dyn PackNormOutput> {
        None
    }
}

/// What a codec has packed.
pub trait Packed: Send + Sync {
    /// The bytes that it takes.
    fn bytes(&self) -> Bytes;

    /// Whether it holds nothing of the tensor that was packed, neither that nor a view of it, so that an
    /// operation may write over the tensor.
    fn is_apart(&self) -> bool {
        false
    }

    /// The tensor as the backward pass sees it, of the shape and type that was packed.
    ///
    /// # Errors
    /// Returns an error if a kernel fails.
    fn unpack(&self) -> Result<Tensor>;

    /// The codes, if these and their ranges are all that it holds. Kernels that read each value once restore them as
    /// they read; for all others the tensor is [unpacked](Self::unpack).
    fn coded(&self) -> Option<Coded<'_>> {
        None
    }

    /// The gradient for which `op` has saved this tensor (see [`Op`]), straight from the packed
    /// form; `None` has the operation unpack the tensor and compute the gradient itself.
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit or a kernel fails.
    fn gradient(&self, _op: Op<'_>, _output_grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// The bytes that a packed tensor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bytes {
    /// The data itself.
    pub payload: usize,
    /// Scales, indices, shapes and the like.
    pub metadata: usize,
}

impl Bytes {
    /// Those of the elements of tensors.
    pub fn of_tensors<'a>(
        payload: impl IntoIterator<Item = &'a Tensor>,
        metadata: impl IntoIterator<Item = &'a Tensor>,
    ) -> Self {
        let size = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        Self {
            payload: payload.into_iter().map(size).sum(),
            metadata: metadata.into_iter().map(size).sum(),
        }
    }

    /// Payload and metadata together.
    pub fn total(self) -> usize {
        self.payload + self.metadata
    }
}

/// The layers that a codec is for where a plan does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All layers of these kinds.
    Kinds(&'static [LayerKind]),
    /// The linear layers of a transformer or mixer up to this level of auxiliary sign activation:
    /// 1 the second of a feed-forward pair, 2 both, 3 also the attention's output projection,
    /// 4 also its query, key and value projections (Woo and Jeon, ICLR 2023).
    Auxiliary(u8),
}
