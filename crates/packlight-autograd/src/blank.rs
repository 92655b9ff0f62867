//! What a pass over blanks ([`packlight_kernels::blank`]) saves: nothing, and its bytes.

use candle_core::Tensor;
use packlight_codec::{
    AxisLayout, Bytes, Codec, CodecState, Op, PackNormOutput, Packed, PackedNorm, Result, Site,
};
use packlight_kernels::blank::{blank, is_blank};
use packlight_kernels::linear;

use crate::saved::size_of;

/// The bytes of what is saved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// So many; `None` where they depend on data that a blank lacks.
    pub(crate) bytes: Option<Bytes>,
    /// The fewest and the most.
    pub(crate) bounds: [usize; 2],
    /// The bytes of the tensor that the operation restores at a time; `None` where the codec computes in its place.
    pub(crate) restored: Option<usize>,
}

impl From<Bytes> for Size {
    fn from(bytes: Bytes) -> Self {
        Size { bytes: Some(bytes), bounds: [bytes.total(); 2], restored: None }
    }
}

/// What a codec makes of a tensor, and the bytes of that; of a blank it says the bytes alone.
pub(crate) fn pack(
    codec: &dyn Codec,
    tensor: &Tensor,
    site: &mut Site<'_>,
) -> Result<(Box<dyn Packed>, Size)> {
    if is_blank(tensor) {
        let bytes = codec.bytes(site, tensor.dims(), tensor.dtype())?;
        let restored = restored(codec, tensor, site)?;
        let bounds = match bytes {
            Some(bytes) => [bytes.total(); 2],
            None => codec.bounds(tensor.dims(), tensor.dtype()),
        };
        return Ok((Box::new(Blank::of(tensor, bytes)), Size { bytes, bounds, restored }));
    }
    let packed = codec.pack(tensor, site)?;
    let bytes = packed.bytes();
    Ok((packed, bytes.into()))
}

/// The bytes of a tensor that an operation restores at a time, as one token or pixel shows; `None` where the codec
/// computes in its place.
///
/// # Errors
/// Returns an error if it cannot use what the codec packs: some codecs keep the derivative of one
/// function, from which no value can be restored.
pub(crate) fn restored(
    codec: &dyn Codec,
    tensor: &Tensor,
    site: &Site<'_>,
) -> Result<Option<usize>> {
    let mut shape = vec![1; tensor.rank()];
    // A token has all its features: some codecs divide them, or keep several numbers of them.
    if site.axes != AxisLayout::Images
        && let ([.., one], [.., features]) = (&mut shape[..], tensor.dims())
    {
        *one = *features;
    }
    let element = Tensor::ones(shape, tensor.dtype(), tensor.device())?;
    let mut state = CodecState::default();
    let mut small = Site::new(site.op, site.axes, site.key, &mut state);
    // What refuses so little may well take the whole tensor.
    let Ok(packed) = codec.pack(&element, &mut small) else { return Ok(None) };
    let directly = packed.gradient(site.op, &element);
    match (packed.unpack(), directly) {
        (Ok(_), Ok(None)) => Ok(Some(at_a_time(&*packed, site, size_of(tensor)))),
        (Ok(_), _) | (Err(_), Ok(Some(_))) => Ok(None),
        (Err(error), _) => Err(error),
    }
}

/// How many bytes of a tensor of so many an operation restores at a time.
fn at_a_time(packed: &dyn Packed, site: &Site<'_>, bytes: usize) -> usize {
    match (packed.coded(), site.op, site.axes) {
        (Some(_), Op::Linear { .. }, _) => bytes.min(linear::RESTORED),
        // A piece that fits into the nearest cache is not counted.
        (Some(_), Op::Gelu | Op::Silu, _) | (Some(_), Op::Norm, AxisLayout::Tokens) => 0,
        _ => bytes,
    }
}

/// [`pack`] for the normalised values of a norm with this weight and bias.
pub(crate) fn pack_norm_output(
    packer: &dyn PackNormOutput,
    normalised: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    site: &mut Site<'_>,
) -> Result<(Box<dyn PackedNorm>, Size)> {
    if is_blank(normalised) {
        let bytes = packer.norm_bytes(normalised.dims(), normalised.dtype());
        let bounds = bytes.map_or([0, size_of(normalised)], |bytes| [bytes.total(); 2]);
        let size = Size { bytes, bounds, restored: None };
        return Ok((Box::new(Blank::of(normalised, bytes)), size));
    }
    let packed = packer.pack_norm_output(normalised, weight, bias, site)?;
    let bytes = packed.bytes();
    Ok((packed, bytes.into()))
}

/// The packed copy of a blank.
struct Blank {
    bytes: Bytes,
    packed: Tensor,
    /// Whether it is no packed copy, but the tensor itself.
    is_whole: bool,
}

impl Blank {
    fn of(tensor: &Tensor, bytes: Option<Bytes>) -> Self {
        let is_whole = bytes.is_some_and(|bytes| bytes.total() == size_of(tensor));
        Self { bytes: bytes.unwrap_or_default(), packed: tensor.clone(), is_whole }
    }

    fn tensor(&self) -> Result<Tensor> {
        match self.is_whole {
            true => Ok(self.packed.clone()),
            false => Ok(blank(self.packed.shape(), self.packed.dtype())?),
        }
    }
}

impl Packed for Blank {
    fn bytes(&self) -> Bytes {
        self.bytes
    }

    fn is_apart(&self) -> bool {
        !self.is_whole
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
