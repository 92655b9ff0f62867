//! `blpa:<b>`: one tensor of b bits for each norm, the ReLU behind it and the layer behind that.
//!
//! Chakrabarti and Moseley, "Backprop with approximate activations for memory-efficient network
//! training" (NeurIPS 2019). A norm keeps its output, over a fixed range of six deviations,
//! rounded to the middle of 2^b steps whose signs are exact: it gives the norm's own gradient, the
//! ReLU's mask and the input of the convolution behind. Where no norm has left a cell (the images,
//! a residual sum) what is kept is the code `q<b>:nearest`. A channel whose weight is
//! 0 cannot tell what it normalised: that weight's gradient is 0.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::fixed_range::{self, Channels};
use packlight_kernels::quantise::Rounding;
use packlight_record::LayerKind;

use crate::grouped::Code;
use crate::quantised::GROUP;
use crate::registry::Entry;
use crate::spec::{parameters, wrong};
use crate::{Bytes, Codec, Context, InputForm, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "blpa:<b>",
    summary: "4 or 8 bits a value; a norm, its ReLU and the layer behind share one tensor",
    examples: &["blpa:4", "blpa:8"],
    parse,
};

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    Some(match parameters(spec, "blpa")?[..] {
        ["4"] => Ok(Arc::new(Blpa { bits: 4 }) as _),
        ["8"] => Ok(Arc::new(Blpa { bits: 8 }) as _),
        _ => Err(wrong(spec, "`blpa:4` or `blpa:8` expected")),
    })
}

/// Approximate activations, one tensor a cell.
#[derive(Debug)]
pub struct Blpa {
    bits: u8,
}

impl Blpa {
    fn code(&self) -> Code {
        Code { group: GROUP, bits: self.bits }
    }
}

impl Codec for Blpa {
    fn name(&self) -> String {
        format!("blpa:{}", self.bits)
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear, LayerKind::Norm, LayerKind::Relu])
    }

    /// Those of a tensor that is no cell.
    fn bytes(&self, shape: &[usize], _: DType, _: InputForm) -> Result<Option<Bytes>> {
        Ok(Some(self.code().bytes(shape)))
    }

    fn pack(&self, input: &Tensor, _: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        Ok(Box::new(self.code().pack(input, Rounding::Nearest)?))
    }

    fn packs_cells(&self) -> bool {
        true
    }

    fn pack_cell(
        &self,
        output: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &mut Context<'_>,
    ) -> Result<Box<dyn Packed>> {
        let channels = Channels::new(weight, bias, self.bits)?;
        let codes = fixed_range::pack(output, &channels)?;
        let (shape, dtype) = (output.dims().to_vec(), output.dtype());
        Ok(Box::new(Cell { codes, channels, shape, dtype }))
    }
}

struct Cell {
    codes: Tensor,
    channels: Channels,
    shape: Vec<usize>,
    dtype: DType,
}

impl Packed for Cell {
    fn bytes(&self) -> Bytes {
        Bytes { payload: self.codes.elem_count(), metadata: self.channels.bytes() }
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(fixed_range::unpack(&self.codes, &self.channels, &self.shape, self.dtype)?)
    }
}
