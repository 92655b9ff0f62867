//! Lets a probe observe what is saved, and exact and compressed weight gradients.

use candle_core::{Tensor, TensorId};
use packlight_codec::{AxisLayout, Bytes, Codec, CodecState, Op, Packed, ShareKey, Site};
use packlight_kernels::Result as KernelResult;
use packlight_kernels::rng::Purpose;
use packlight_kernels::values::Values;

use crate::{Pass, Result, SavePoint, blank};

/// Receives what a pass saves, and the weight gradients of each conv and linear layer.
pub trait Observer: Send + Sync {
    /// Receives one layer's gradients, during the backward pass.
    ///
    /// # Errors
    /// Returns a reason, which ends the backward pass.
    fn weight_gradient(&self, seen: &WeightGradient<'_>) -> std::result::Result<(), String>;

    /// Receives what a save point has saved of an activation, during the forward pass. Layers whose
    /// parameters are frozen save nothing.
    ///
    /// # Errors
    /// Returns a reason, which ends the forward pass.
    fn saved(&self, _seen: &SavedTensor<'_>) -> std::result::Result<(), String> {
        Ok(())
    }
}

/// Both weight gradients of one layer, from the same batch in one backward pass.
pub struct WeightGradient<'a> {
    /// The conv or linear layer.
    pub layer: &'a SavePoint,
    /// Its exact input.
    pub input: &'a Tensor,
    /// Its input as the backward pass restores it.
    pub restored: &'a Tensor,
    /// The weight gradient from the exact input.
    pub exact: &'a Tensor,
    /// The weight gradient from what was saved, which training uses.
    pub compressed: &'a Tensor,
    /// The bytes that were saved.
    pub kept: Bytes,
    pub(crate) place: Place<'a>,
    pub(crate) output_grad: &'a Tensor,
    pub(crate) compute: &'a dyn Fn(Values<'_>, &Tensor) -> KernelResult<Tensor>,
}

/// What a save point has saved of an activation.
pub struct SavedTensor<'a> {
    /// The save point.
    pub layer: &'a SavePoint,
    /// The activation's tensor: save points with the same number save the same one.
    pub source: TensorId,
    /// The bytes of the packed copy.
    pub kept: Bytes,
    /// What identifies that copy: save points that save the same tensor share it if these are equal.
    pub copy: &'a ShareKey,
    pub(crate) tensor: &'a Tensor,
    pub(crate) place: Place<'a>,
}

/// What another codec would have made of a layer's input.
pub struct Attempt {
    /// The weight gradient: that of a pass in which this codec packs this layer's input, and the
    /// layers behind it pass back the same gradient.
    pub gradient: Tensor,
    /// The input as that pass restores it.
    pub restored: Tensor,
    /// The bytes that it would save.
    pub bytes: Bytes,
    /// What would identify the packed copy.
    pub copy: ShareKey,
}

/// Where a save point packs in a pass.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) op: Op<'a>,
    pub(crate) axes: AxisLayout,
    pub(crate) pass: &'a Pass,
}

impl Place<'_> {
    /// Packs a tensor as a pass with the codecs' `draw`-th random numbers does.
    fn pack(
        &self,
        layer: &SavePoint,
        tensor: &Tensor,
        codec: &dyn Codec,
        draw: u64,
        state: &mut CodecState,
    ) -> Result<(Box<dyn Packed>, ShareKey)> {
        let key = self.pass.clone().with_codec_draw(draw).key(Purpose::Codec, layer.name());
        let mut site = Site::new(self.op, self.axes, key, state);
        let copy = codec.share_key(&site, tensor.dims());
        let (packed, _) =
            blank::pack(codec, tensor, &mut site).map_err(|e| layer.codec_failed(e))?;
        Ok((packed, copy))
    }
}

impl WeightGradient<'_> {
    /// Has another codec pack the exact input, with the random numbers of a pass
    /// [with this draw](Pass::with_codec_draw), and computes the weight's gradient from that as the
    /// pass would, bit for bit. The codec must be one that only packs.
    ///
    /// # Errors
    /// Returns an error, which names the layer, if the codec cannot pack the input or a kernel fails.
    pub fn packed_by(
        &self,
        codec: &dyn Codec,
        draw: u64,
        state: &mut CodecState,
    ) -> Result<Attempt> {
        let layer = self.layer;
        let (packed, copy) = self.place.pack(layer, self.input, codec, draw, state)?;
        let restored = packed.unpack().map_err(|e| layer.codec_failed(e))?;
        let direct = packed.gradient(self.place.op, self.output_grad);
        let values = packed.coded().map_or(Values::Tensor(&restored), Values::Coded);
        let gradient = match direct.map_err(|e| layer.codec_failed(e))? {
            Some(gradient) => gradient,
            None => (self.compute)(values, self.output_grad).map_err(|e| layer.failed(e))?,
        };
        Ok(Attempt { gradient, restored, bytes: packed.bytes(), copy })
    }
}

impl SavedTensor<'_> {
    /// Has another codec pack the tensor, with the random numbers of a pass
    /// [with this draw](Pass::with_codec_draw).
    ///
    /// # Errors
    /// Returns an error, which names the layer, if the codec cannot pack it.
    pub fn packed_by(
        &self,
        codec: &dyn Codec,
        draw: u64,
        state: &mut CodecState,
    ) -> Result<Box<dyn Packed>> {
        let packed = self.place.pack(self.layer, self.tensor, codec, draw, state);
        packed.map(|(packed, _)| packed)
    }

    /// The most bytes that another codec takes for such a tensor, whatever its values, and what would
    /// identify the packed copy.
    ///
    /// # Errors
    /// Returns an error, which names the layer, if the codec cannot pack it.
    pub fn most_bytes(&self, codec: &dyn Codec) -> Result<(usize, ShareKey)> {
        let (shape, dtype) = (self.tensor.dims(), self.tensor.dtype());
        let key = self.place.pass.key(Purpose::Codec, self.layer.name());
        let mut state = CodecState::default();
        let site = Site::new(self.place.op, self.place.axes, key, &mut state);
        let bytes = codec.bytes(&site, shape, dtype).map_err(|e| self.layer.codec_failed(e))?;
        let most = bytes.map_or_else(|| codec.bounds(shape, dtype)[1], Bytes::total);
        Ok((most, codec.share_key(&site, shape)))
    }

    /// The most bytes of the tensor that the layer's operation restores at a time where another codec packs it: none
    /// where the codec computes in its place, some where the operation restores codes as it reads them, else all.
    ///
    /// # Errors
    /// Returns an error, which names the layer, if the operation can use nothing that the codec packs.
    pub fn restored_bytes(&self, codec: &dyn Codec) -> Result<usize> {
        let key = self.place.pass.key(Purpose::Codec, self.layer.name());
        let mut state = CodecState::default();
        let site = Site::new(self.place.op, self.place.axes, key, &mut state);
        let restored = blank::restored(codec, self.tensor, &site);
        Ok(restored.map_err(|e| self.layer.codec_failed(e))?.unwrap_or_default())
    }

    /// Checks that a gradient can be computed from such a packed copy: from the unpacked tensor, or, in a
    /// pointwise operation, straight from it.
    ///
    /// # Errors
    /// Returns an error, which names the layer, if neither is possible.
    pub fn check_use(&self, packed: &dyn Packed) -> Result<()> {
        let Err(error) = packed.unpack() else { return Ok(()) };
        match packed.gradient(self.place.op, self.tensor) {
            Ok(Some(_)) => Ok(()),
            _ => Err(self.layer.codec_failed(error)),
        }
    }
}
