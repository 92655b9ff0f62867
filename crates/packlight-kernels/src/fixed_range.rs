//! Codes of normalised values over a fixed range of six deviations, whose sign is exact.
//!
//! Chakrabarti and Moseley, "Backprop with approximate activations for memory-efficient network
//! training" (NeurIPS 2019): the output of a norm divided by the norm's weight has deviation 1
//! around bias / weight, so that its range is known without looking. One code is the zero point: it
//! and those above stand for positive values, those below for all others.

use candle_core::{DType, Device, Tensor};

use crate::bit_pack::{self, RUN};
use crate::element::Element;
use crate::elements::{by_dtype, check_finite, read};
use crate::pieces::build;
use crate::widest::on_widest_vectors;
use crate::{Error, Result};

const KERNEL: &str = "fixed_range";

/// Deviations that the codes cover.
const RANGE: f64 = 6.0;

/// The steps and zero points of each channel.
#[derive(Debug)]
pub struct Channels {
    bits: u8,
    steps: Vec<f32>,
    zeros: Vec<u8>,
}

impl Channels {
    /// For the outputs of a norm with this weight and bias, both (C), in codes of 1 to 8 bits.
    ///
    /// The zero point is at least 1, so that there is a code for values below 0, and at most the
    /// greatest code; the authors have no upper limit, and lose signs where a bias is below -3
    /// deviations. A channel of weight 0 gets the steps of weight 1.
    ///
    /// # Errors
    /// If the shapes or the number of bits do not fit, or a weight or bias is not finite.
    pub fn new(weight: &Tensor, bias: &Tensor, bits: u8) -> Result<Self> {
        if weight.rank() != 1 || weight.dims() != bias.dims() || !(1..=8).contains(&bits) {
            return Err(Error::shape(
                KERNEL,
                format!(
                    "weight and bias (C) and 1 to 8 bits expected; {:?}, {:?} and {bits} found",
                    weight.dims(),
                    bias.dims()
                ),
            ));
        }
        let read = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.to_vec1::<f64>();
        let codes = f64::from(1u16 << bits);
        let (weight, bias) = (read(weight)?, read(bias)?);
        if weight.iter().chain(&bias).any(|value| !value.is_finite()) {
            return Err(Error::NotFinite { kernel: KERNEL, what: "a weight or bias" });
        }
        let channels = weight.into_iter().zip(bias).map(|(weight, bias)| {
            let usable = weight.abs() > 1e-30 && weight.abs() < 1e30;
            let scale = if usable { weight.abs() } else { 1.0 };
            let zero = codes / 2.0 - (bias / scale * codes / RANGE).floor();
            ((scale * RANGE / codes) as f32, zero.clamp(1.0, codes - 1.0) as u8)
        });
        let (steps, zeros) = channels.unzip();
        Ok(Self { bits, steps, zeros })
    }

    /// Bytes of the codes of a tensor of this shape, in which each sample starts a byte of its own.
    pub fn code_bytes(&self, shape: &[usize]) -> usize {
        match shape {
            [samples, sample @ ..] => samples * bit_pack::bytes(sample.iter().product(), self.bits),
            [] => 0,
        }
    }

    /// Bytes of steps and zero points.
    pub fn bytes(&self) -> usize {
        self.steps.len() * (size_of::<f32>() + size_of::<u8>())
    }

    /// Elements of a sample and of a plane.
    fn sizes(&self, shape: &[usize]) -> Result<(usize, usize)> {
        match shape {
            &[_, channels, ref plane @ ..] if channels == self.steps.len() => {
                let plane = plane.iter().product();
                Ok((channels * plane, plane))
            }
            other => Err(Error::shape(
                KERNEL,
                format!("({{N}},{},...) expected, {other:?} found", self.steps.len()),
            )),
        }
    }
}

/// The codes (u8) of a norm's output (N,C,...).
///
/// # Errors
/// If the channels do not fit, a value is not finite, or type or device have no kernel.
pub fn pack(output: &Tensor, channels: &Channels) -> Result<Tensor> {
    let (sample, plane) = channels.sizes(output.dims())?;
    let bytes = channels.code_bytes(output.dims());
    let device = output.device();
    by_dtype!(KERNEL, output, T => {
        read!(KERNEL; output: T);
        check_finite(KERNEL, output)?;
        let own = bit_pack::bytes(sample, channels.bits);
        let packed = build(bytes, own, |number, packed| {
            encode(&output[number * sample..(number + 1) * sample], plane, channels, packed);
        });
        Ok(Tensor::from_vec(packed, bytes, device)?)
    })
}

/// The middle of what each code covers, as f32 or f64.
///
/// # Errors
/// If the sizes do not fit, or type or device have no kernel.
pub fn unpack(
    codes: &Tensor,
    channels: &Channels,
    shape: &[usize],
    dtype: DType,
) -> Result<Tensor> {
    let sizes = channels.sizes(shape)?;
    if codes.elem_count() != channels.code_bytes(shape) {
        return Err(Error::shape(
            KERNEL,
            format!("{} bytes of codes do not make {shape:?}", codes.elem_count()),
        ));
    }
    match dtype {
        DType::F32 => restore::<f32>(codes, channels, shape, sizes),
        DType::F64 => restore::<f64>(codes, channels, shape, sizes),
        found => Err(Error::DType { kernel: KERNEL, found }),
    }
}

fn restore<T: Element>(
    codes: &Tensor,
    channels: &Channels,
    shape: &[usize],
    (sample, plane): (usize, usize),
) -> Result<Tensor> {
    read!(KERNEL; codes: u8);
    let own = bit_pack::bytes(sample, channels.bits);
    let output = build(shape.iter().product(), sample, |number, values: &mut [T]| {
        decode(&codes[number * own..(number + 1) * own], plane, channels, values);
    });
    Ok(Tensor::from_vec(output, shape, &Device::Cpu)?)
}

on_widest_vectors! {
    fn encode<T: Element>(sample: &[T], plane: usize, channels: &Channels, packed: &mut [u8]) {
        let top = f32::from(u8::MAX >> (8 - channels.bits));
        let mut codes = vec![0u8; sample.len()];
        let ranges = channels.steps.iter().zip(&channels.zeros);
        if plane == 1 {
            for ((code, &value), (&step, &zero)) in codes.iter_mut().zip(sample).zip(ranges) {
                *code = code_of(value, step, f32::from(zero), top);
            }
        } else {
            let planes = codes.chunks_exact_mut(plane).zip(sample.chunks_exact(plane));
            for ((codes, values), (&step, &zero)) in planes.zip(ranges) {
                for (code, &value) in codes.iter_mut().zip(values) {
                    *code = code_of(value, step, f32::from(zero), top);
                }
            }
        }
        let mut packed = packed;
        for codes in codes.chunks(RUN) {
            let mut run = [0; RUN];
            run[..codes.len()].copy_from_slice(codes);
            let (own, rest) = packed.split_at_mut(bit_pack::bytes(codes.len(), channels.bits));
            bit_pack::pack(&run, codes.len(), channels.bits, own);
            packed = rest;
        }
    }
}

on_widest_vectors! {
    fn decode<T: Element>(packed: &[u8], plane: usize, channels: &Channels, sample: &mut [T]) {
        let mut codes = vec![0u8; sample.len()];
        let mut packed = packed;
        for codes in codes.chunks_mut(RUN) {
            let mut run = [0; RUN];
            let (own, rest) = packed.split_at(bit_pack::bytes(codes.len(), channels.bits));
            bit_pack::unpack(own, codes.len(), channels.bits, &mut run);
            codes.copy_from_slice(&run[..codes.len()]);
            packed = rest;
        }
        let ranges = channels.steps.iter().zip(&channels.zeros);
        if plane == 1 {
            for ((value, &code), (&step, &zero)) in sample.iter_mut().zip(&codes).zip(ranges) {
                *value = middle_of(code, step, f32::from(zero));
            }
        } else {
            let planes = sample.chunks_exact_mut(plane).zip(codes.chunks_exact(plane));
            for ((values, codes), (&step, &zero)) in planes.zip(ranges) {
                for (value, &code) in values.iter_mut().zip(codes) {
                    *value = middle_of(code, step, f32::from(zero));
                }
            }
        }
    }
}

#[inline(always)]
fn code_of<T: Element>(value: T, step: f32, zero: f32, top: f32) -> u8 {
    let place = (value.wide() as f32 / step).ceil() - 1.0 + zero;
    let (least, most) = if value.wide() > 0.0 { (zero, top) } else { (0.0, zero - 1.0) };
    let place = if place > least { place } else { least };
    let place = if place < most { place } else { most };
    (place + INTEGER).to_bits() as u8
}

#[inline(always)]
fn middle_of<T: Element>(code: u8, step: f32, zero: f32) -> T {
    T::narrow(f64::from((f32::from(code) + (0.5 - zero)) * step))
}

/// Added to a small number, it leaves the nearest integer in the lowest bits.
const INTEGER: f32 = 1.5 * (1 << 23) as f32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Key, Purpose};
    use proptest::prelude::*;

    #[test]
    fn errors_say_what_does_not_fit() {
        let of = |n: usize| Tensor::ones(n, DType::F32, &Device::Cpu).unwrap();
        assert!(Channels::new(&of(2), &of(3), 4).unwrap_err().to_string().contains("1 to 8 bits"));
        assert!(Channels::new(&of(2), &of(2), 0).is_err());
        let channels = Channels::new(&of(2), &of(2), 4).unwrap();
        let x = Tensor::zeros((1, 3, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(pack(&x, &channels).unwrap_err().to_string().contains("[1, 3, 2] found"));
    }

    proptest! {
        #[test]
        fn signs_are_exact_and_values_within_half_a_step(
            bits in 1u8..=8, pixels in 0usize..300, samples in 0usize..3, seed in 0u64..200,
        ) {
            let mut stream = Key::new(seed, Purpose::Sample).stream();
            let weight = [1.0, -0.3, 0.0, 1e-8, 5.0];
            let bias = [0.0, 1.0, -0.5, 0.0, -40.0];
            let shape = [samples, 5, pixels];
            let values: Vec<f64> = (0..samples * 5 * pixels)
                .map(|i| {
                    let channel = i / pixels.max(1) % 5;
                    let z = [stream.normal(), 0.0, 1e-9][i % 7 % 3];
                    z * weight[channel] + if i % 2 == 0 { bias[channel] } else { 0.0 }
                })
                .collect();
            let x = Tensor::from_vec(values.clone(), &shape, &Device::Cpu).unwrap();
            let of = |values: &[f64; 5]| Tensor::new(values, &Device::Cpu).unwrap();
            let channels = Channels::new(&of(&weight), &of(&bias), bits).unwrap();
            let codes = pack(&x, &channels).unwrap();
            let restored = unpack(&codes, &channels, &shape, DType::F64).unwrap();
            let restored = restored.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for (i, (x, restored)) in values.iter().zip(restored).enumerate() {
                prop_assert_eq!(*x > 0.0, restored > 0.0, "{} {}", x, restored);
                let channel = i / pixels % 5;
                let step = f64::from(channels.steps[channel]);
                let zero = f64::from(channels.zeros[channel]);
                let top = f64::from(1u16 << bits);
                if *x > -zero * step && *x < (top - zero) * step {
                    prop_assert!((x - restored).abs() <= 0.501 * step);
                }
            }
        }
    }
}
