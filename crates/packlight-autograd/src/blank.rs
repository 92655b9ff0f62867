//! What a pass over blanks ([`packlight_kernels::blank`]) saves: nothing, and its bytes.

use candle_core::{DType, Tensor};
use packlight_codec::{Bytes, Codec, CodecState, PackNormOutput, Packed, PackedNorm, Result, Site};
use packlight_kernels::blank::{blank, is_blank};

/// What a codec makes of a tensor, and the bytes of that; of a blank it says the bytes alone, and
/// `None` where they depend on the data.
pub(crate) fn pack(
    codec: &dyn Codec,
    tensor: &Tensor,
    site: &mut Site<'_>,
) -> Result<(Box<dyn Packed>, Option<Bytes>)> {
    if is_blank(tensor) {
        let bytes = codec.bytes(site, tensor.dims(), tensor.dtype())?;
        check_use(codec, tensor, site)?;
        return Ok((Box::new(Blank::of(tensor, bytes)), bytes));
    }
    let packed = codec.pack(tensor, site)?;
    let bytes = packed.bytes();
    Ok((packed, Some(bytes)))
}

/// Returns an error if the operation cannot use what the codec packs, as one element shows: some codecs
/// keep the derivative of one function, from which no value can be restored.
fn check_use(codec: &dyn Codec, tensor: &Tensor, site: &Site<'_>) -> Result<()> {
    let element = Tensor::ones(vec![1; tensor.rank()], tensor.dtype(), tensor.device())?;
    let mut state = CodecState::default();
    let mut small = Site::new(site.op, site.axes, site.key, &mut state);
    // What refuses a single element may well take the whole tensor.
    let Ok(packed) = codec.pack(&element, &mut small) else { return Ok(()) };
    let Err(error) = packed.unpack() else { return Ok(()) };
    match packed.gradient(site.op, &element) {
        Ok(Some(_)) => Ok(()),
        Ok(None) | Err(_) => Err(error),
    }
}

/// [`pack`] for the normalised values of a norm with this weight and bias.
pub(crate) fn pack_norm_output(
    packer: &dyn PackNormOutput,
    normalised: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    site: &mut Site<'_>,
) -> Result<(Box<dyn PackedNorm>, Option<Bytes>)> {
    if is_blank(normalised) {
        let bytes = packer.norm_bytes(normalised.dims(), normalised.dtype());
        return Ok((Box::new(Blank::of(normalised, bytes)), bytes));
    }
    let packed = packer.pack_norm_output(normalised, weight, bias, site)?;
    let bytes = packed.bytes();
    Ok((packed, Some(bytes)))
}

/// The packed copy of a blank.
struct Blank {
    bytes: Bytes,
    shape: Vec<usize>,
    dtype: DType,
}

impl Blank {
    fn of(tensor: &Tensor, bytes: Option<Bytes>) -> Self {
        let bytes = bytes.unwrap_or_default();
        Self { bytes, shape: tensor.dims().to_vec(), dtype: tensor.dtype() }
    }

    fn tensor(&self) -> Result<Tensor> {
        Ok(blank(&self.shape[..], self.dtype)?)
    }
}

impl Packed for Blank {
    fn bytes(&self) -> Bytes {
        self.bytes
    }

    fn unpack(&self) -> Result<Tensor> {
        self.tensor()
    }
}

impl PackedNorm for Blank {
    fn bytes(&self) -> Bytes {
        self.bytes
    }

    fn normalised(&self) -> Result<Tensor> {
        self.tensor()
    }

    fn output(&self) -> Result<Tensor> {
        self.tensor()
    }
}
