//! `blpa:<b>`: one tensor of b bits for each norm, the ReLU behind it and the layer behind that.
//!
//! Chakrabarti and Moseley, "Backprop with approximate activations for memory-efficient network
//! training" (NeurIPS 2019). A norm saves its normalised values, over a fixed range of six deviations,
//! rounded to the middle of 2^b steps that preserve the exact sign of its output: they give the norm's
//! own gradient, the ReLU's mask and the input of the convolution behind it. A tensor that comes from
//! no norm (the images, a residual sum) is saved as `q<b>:nearest`. The authors have 4 and 8 bits, and
//! code the output divided by the norm's weight. Where the weight is not small beside the bias these
//! are the same codes; here small weights, even 0, are coded well too (see
//! [`packlight_kernels::fixed_range`]).

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::fixed_range::FixedRange;
use packlight_kernels::quantise::Rounding;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::quantise::grouped::Code;
use crate::quantise::quantised::GROUP;
use crate::{Bytes, Codec, PackNormOutput, Packed, PackedNorm, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "blpa",
    parameters: &[Parameter::new("b", Kind::Whole(2, 8), "bits per value")],
    summary: "2 to 8 bits per value; a norm, its ReLU and the layer behind share one tensor",
    examples: &["blpa:4", "blpa:8", "blpa:3"],
    build: |values| Ok(Arc::new(Blpa { bits: values.get("b")? })),
};

/// Approximate activations: one tensor for a norm and the layers behind it.
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
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.bits])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear, LayerKind::Norm, LayerKind::Relu])
    }

    /// Those of a tensor that comes from no norm.
    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok(Some(self.code().bytes(shape)))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        Ok(Box::new(self.code().pack(input, Rounding::Nearest)?))
    }

    fn norm_output(&self) -> Option<&dyn PackNormOutput> {
        Some(self)
    }
}

impl PackNormOutput for Blpa {
    fn norm_bytes(&self, normalised: &[usize], _: DType) -> Option<Bytes> {
        Some(Bytes { payload: FixedRange::bytes(self.bits, normalised), metadata: 0 })
    }

    fn pack_norm_output(
        &self,
        normalised: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &mut Site<'_>,
    ) -> Result<Box<dyn PackedNorm>> {
        let range = FixedRange::new(weight, bias, self.bits)?;
        let codes = range.pack(normalised)?;
        let (shape, dtype) = (normalised.dims().to_vec(), normalised.dtype());
        Ok(Box::new(NormCodes { codes, range, shape, dtype }))
    }
}

struct NormCodes {
    codes: Tensor,
    range: FixedRange,
    shape: Vec<usize>,
    /// The type of what was packed. The kernels restore that of the statistics, f32 for values of bf16.
    dtype: DType,
}

impl PackedNorm for NormCodes {
    /// Those of the codes: all else comes from the norm's own weight and bias.
    fn bytes(&self) -> Bytes {
        Bytes { payload: self.codes.elem_count(), metadata: 0 }
    }

    fn normalised(&self) -> Result<Tensor> {
        Ok(self.range.normalised(&self.codes, &self.shape)?.to_dtype(self.dtype)?)
    }

    fn output(&self) -> Result<Tensor> {
        Ok(self.range.output(&self.codes, &self.shape)?.to_dtype(self.dtype)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// On a CUDA device values of bf16 are packed with weight and bias of f32.
    #[test]
    fn what_is_restored_has_the_type_of_what_was_packed() {
        let of = |values: [f32; 2]| Tensor::new(&values, &Device::Cpu).unwrap();
        let values = Tensor::new(&[[0.5f32, -1.0], [-0.5, 1.0]], &Device::Cpu).unwrap();
        let restored = |dtype| {
            let range = FixedRange::new(&of([2.0, -1.0]), &of([0.0, 0.5]), 8).unwrap();
            let codes = range.pack(&values).unwrap();
            let packed = NormCodes { codes, range, shape: vec![2, 2], dtype };
            [packed.normalised().unwrap(), packed.output().unwrap()]
        };
        for (narrow, exact) in restored(DType::BF16).iter().zip(restored(DType::F32)) {
            assert_eq!(narrow.dtype(), DType::BF16);
            let rounded = exact.to_dtype(DType::BF16).unwrap();
            let values = |x: &Tensor| x.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(values(narrow), values(&rounded));
        }
    }
}
