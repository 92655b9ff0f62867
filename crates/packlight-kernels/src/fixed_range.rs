//! Codes of normalised values over a fixed range of six standard deviations, which preserve the
//! exact sign of the norm's output.
//!
//! Chakrabarti and Moseley, "Backprop with approximate activations for memory-efficient network
//! training" (NeurIPS 2019). A norm's output is `weight * x + bias` for a normalised value x of
//! mean 0 and standard deviation 1, so its range is known in advance. In each channel one code is
//! the zero point: it and the codes above represent positive outputs, the codes below all others,
//! and the boundary between them is where the output is 0. The codes equal those of the paper,
//! which encodes output / weight, that is x shifted by bias / weight.
//!
//! If the output is 0 nowhere in the range (a bias of more than about three weights, or a weight of
//! 0), one code is reserved for the rarer sign, and the others cover the range. The authors reserve
//! no code: their zero point is at least 1 but may exceed the largest code, and if the bias is far
//! above the weight, all values get the largest code.

use candle_core::{Device, Tensor};
use num_traits::{Float, One, Zero};

use crate::bit_pack::{self, RUN};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::build;
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, check_finite, read};
use crate::{Error, Result};

const KERNEL: &str = "fixed_range";

/// Standard deviations that the codes cover.
const RANGE: f64 = 6.0;

/// How the values of a norm with this weight and bias are coded.
#[derive(Debug)]
pub struct FixedRange {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) bits: u8,
}

/// The codes of a channel and the values that they represent.
///
/// Code c represents values from `low + c * step` to `low + (c + 1) * step`, times `sign`.
struct Channel<T> {
    /// The sign of the weight, so that outputs increase with the codes.
    sign: f32,
    low: f32,
    step: f32,
    /// The zero point.
    zero: f32,
    weight: T,
    bias: T,
    /// A lower bound of restored values from the zero point on, and an upper bound of the others.
    limits: (T, T),
}

impl FixedRange {
    /// The code for a norm with this weight and bias, both (C, not copied), in 1 to 8 bits.
    ///
    /// # Errors
    /// Returns an error if the shapes or the number of bits do not fit.
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
        Ok(Self { weight: weight.clone(), bias: bias.clone(), bits })
    }

    /// Bytes of the codes of a tensor of this shape, in which each sample starts a byte of its own.
    pub fn bytes(bits: u8, shape: &[usize]) -> usize {
        match shape {
            [samples, sample @ ..] => samples * bit_pack::bytes(sample.iter().product(), bits),
            [] => 0,
        }
    }

    /// The codes (u8) of normalised values (N,C,...).
    ///
    /// # Errors
    /// Returns an error if the channels do not fit, a value, weight or bias is not finite, or the
    /// type or device is not supported.
    pub fn pack(&self, normalised: &Tensor) -> Result<Tensor> {
        on_cuda!(normalised => fixed_range::pack(self, normalised));
        let (sample, plane) = self.sizes(normalised.dims())?;
        let bytes = Self::bytes(self.bits, normalised.dims());
        let device = normalised.device();
        by_dtype!(KERNEL, normalised, T => {
            let channels = self.channels::<T>()?;
            read!(KERNEL; normalised: T);
            check_finite(KERNEL, normalised)?;
            let own = bit_pack::bytes(sample, self.bits);
            let packed = build(bytes, own, |number, packed| {
                let values = &normalised[number * sample..(number + 1) * sample];
                encode(values, plane, &channels, self.bits, packed);
            });
            Ok(Tensor::from_vec(packed, bytes, device)?)
        })
    }

    /// The restored normalised values: the middle of each code's interval, in the weight's type.
    ///
    /// # Errors
    /// Returns an error if the sizes do not fit, or the type or device is not supported.
    pub fn normalised(&self, codes: &Tensor, shape: &[usize]) -> Result<Tensor> {
        on_cuda!(codes => fixed_range::restore(self, codes, shape, false));
        by_dtype!(KERNEL, self.weight, T => {
            let mut channels = self.channels::<T>()?;
            for channel in &mut channels {
                channel.weight = T::one();
                channel.bias = T::zero();
                channel.limits = (T::neg_infinity(), T::infinity());
            }
            self.restore(codes, shape, &channels)
        })
    }

    /// The norm's restored output, which is positive exactly where the original output was.
    ///
    /// # Errors
    /// Returns an error if the sizes do not fit, or the type or device is not supported.
    pub fn output(&self, codes: &Tensor, shape: &[usize]) -> Result<Tensor> {
        on_cuda!(codes => fixed_range::restore(self, codes, shape, true));
        by_dtype!(KERNEL, self.weight, T => {
            self.restore(codes, shape, &self.channels::<T>()?)
        })
    }

    fn restore<T: Element>(
        &self,
        codes: &Tensor,
        shape: &[usize],
        channels: &[Channel<T>],
    ) -> Result<Tensor> {
        let (sample, plane) = self.sizes(shape)?;
        self.check_codes(codes, shape)?;
        read!(KERNEL; codes: u8);
        let own = bit_pack::bytes(sample, self.bits);
        let output = build(shape.iter().product(), sample, |number, values: &mut [T]| {
            decode(&codes[number * own..(number + 1) * own], plane, channels, self.bits, values);
        });
        Ok(Tensor::from_vec(output, shape, &Device::Cpu)?)
    }

    fn channels<T: Element>(&self) -> Result<Vec<Channel<T>>> {
        let Self { weight, bias, bits } = self;
        read!(KERNEL; weight: T, bias: T);
        if weight.iter().chain(bias).any(|value| !value.is_finite()) {
            return Err(Error::NotFinite { kernel: KERNEL, what: "a weight or bias" });
        }
        let pairs = weight.iter().zip(bias);
        Ok(pairs.map(|(&weight, &bias)| Channel::new(weight, bias, *bits)).collect())
    }

    pub(crate) fn check_codes(&self, codes: &Tensor, shape: &[usize]) -> Result<()> {
        if codes.elem_count() == Self::bytes(self.bits, shape) {
            return Ok(());
        }
        let reason = format!("{} bytes of codes do not make {shape:?}", codes.elem_count());
        Err(Error::shape(KERNEL, reason))
    }

    /// Elements of a sample and of a plane.
    pub(crate) fn sizes(&self, shape: &[usize]) -> Result<(usize, usize)> {
        let channels = self.weight.elem_count();
        match shape {
            &[_, found, ref plane @ ..] if found == channels => {
                let plane = plane.iter().product();
                Ok((channels * plane, plane))
            }
            other => {
                let reason = format!("expected ({{N}},{channels},...), found {other:?}");
                Err(Error::shape(KERNEL, reason))
            }
        }
    }
}

impl<T: Element> Channel<T> {
    fn new(weight: T, bias: T, bits: u8) -> Self {
        let codes = f64::from(1u16 << bits);
        let size = weight.wide().abs();
        // How far, in deviations, the output's mean lies above 0.
        let above = match (size > 0.0, bias.wide() > 0.0) {
            (true, _) => bias.wide() / size,
            (false, true) => f64::INFINITY,
            (false, false) => f64::NEG_INFINITY,
        };
        let step = RANGE / codes;
        let zero = codes / 2.0 - (above / step).floor();
        let (zero, step, low) = if zero < 1.0 {
            let step = RANGE / (codes - 1.0);
            (1.0, step, -RANGE / 2.0 - step)
        } else if zero > codes - 1.0 {
            (codes - 1.0, RANGE / (codes - 1.0), -RANGE / 2.0)
        } else {
            (zero, step, -zero * step - above)
        };
        let half = T::narrow(size * step / 2.0);
        Self {
            sign: if weight < T::zero() { -1.0 } else { 1.0 },
            low: low as f32,
            step: step as f32,
            zero: zero as f32,
            weight,
            bias,
            limits: (Float::max(half, T::min_positive_value()), -half),
        }
    }

    #[inline(always)]
    fn code_of(&self, value: T, top: f32) -> u8 {
        let place = ((self.sign * value.wide() as f32 - self.low) / self.step).ceil() - 1.0;
        let positive = value * self.weight + self.bias > T::zero();
        let (least, most) = if positive { (self.zero, top) } else { (0.0, self.zero - 1.0) };
        let place = if place > least { place } else { least };
        let place = if place < most { place } else { most };
        (place + INTEGER).to_bits() as u8
    }

    #[inline(always)]
    fn value_of(&self, code: u8) -> T {
        let code = f32::from(code);
        let middle = self.sign * ((code + 0.5) * self.step + self.low);
        let value = T::narrow(middle.into()) * self.weight + self.bias;
        let (least, most) = self.limits;
        let (above, below) =
            (if value > least { value } else { least }, if value < most { value } else { most });
        if code >= self.zero { above } else { below }
    }
}

on_widest_vectors! {
    fn encode<T: Element>(
        sample: &[T],
        plane: usize,
        channels: &[Channel<T>],
        bits: u8,
        packed: &mut [u8],
    ) {
        let top = f32::from(u8::MAX >> (8 - bits));
        let mut codes = vec![0u8; sample.len()];
        if plane == 1 {
            for ((code, &value), channel) in codes.iter_mut().zip(sample).zip(channels) {
                *code = channel.code_of(value, top);
            }
        } else {
            let planes = codes.chunks_exact_mut(plane).zip(sample.chunks_exact(plane));
            for ((codes, values), channel) in planes.zip(channels) {
                for (code, &value) in codes.iter_mut().zip(values) {
                    *code = channel.code_of(value, top);
                }
            }
        }
        let mut packed = packed;
        for codes in codes.chunks(RUN) {
            let mut run = [0; RUN];
            run[..codes.len()].copy_from_slice(codes);
            let (own, rest) = packed.split_at_mut(bit_pack::bytes(codes.len(), bits));
            bit_pack::pack(&run, codes.len(), bits, own);
            packed = rest;
        }
    }
}

on_widest_vectors! {
    fn decode<T: Element>(
        packed: &[u8],
        plane: usize,
        channels: &[Channel<T>],
        bits: u8,
        sample: &mut [T],
    ) {
        let mut codes = Vec::with_capacity(sample.len());
        bit_pack::read(packed, (sample.len(), bits), 0..sample.len(), #[inline(always)] |run| {
            codes.extend_from_slice(run);
        });
        if plane == 1 {
            for ((value, &code), channel) in sample.iter_mut().zip(&codes).zip(channels) {
                *value = channel.value_of(code);
            }
        } else {
            let planes = sample.chunks_exact_mut(plane).zip(codes.chunks_exact(plane));
            for ((values, codes), channel) in planes.zip(channels) {
                for (value, &code) in values.iter_mut().zip(codes) {
                    *value = channel.value_of(code);
                }
            }
        }
    }
}

/// Added to a small number, it leaves the nearest integer in the lowest bits.
const INTEGER: f32 = 1.5 * (1 << 23) as f32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel_affine::channel_affine;
    use crate::rng::{Key, Purpose};
    use candle_core::DType;
    use proptest::prelude::*;

    #[test]
    fn errors_say_what_does_not_fit() {
        let of = |n: usize| Tensor::ones(n, DType::F32, &Device::Cpu).unwrap();
        let error = FixedRange::new(&of(2), &of(3), 4).unwrap_err().to_string();
        assert!(error.contains("1 to 8 bits"), "{error}");
        assert!(FixedRange::new(&of(2), &of(2), 0).is_err());
        let range = FixedRange::new(&of(2), &of(2), 4).unwrap();
        let x = Tensor::zeros((1, 3, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(range.pack(&x).unwrap_err().to_string().contains("found [1, 3, 2]"));
        let bad = (of(2) * f64::NAN).unwrap();
        let x = Tensor::zeros((1, 2, 2), DType::F32, &Device::Cpu).unwrap();
        let error = FixedRange::new(&bad, &of(2), 4).unwrap().pack(&x).unwrap_err().to_string();
        assert!(error.contains("a weight or bias is not finite"), "{error}");
    }

    /// Weights and biases, of which the last ones put 0 out of the range's reach.
    const CHANNELS: [(f64, f64); 10] = [
        (1.0, 0.0),
        (-0.3, 0.8),
        (5.0, -2.0),
        (1e-30, 0.0),
        (-1e30, 2e30),
        (0.0, 0.0),
        (0.0, -0.5),
        (1e-7, 1.0),
        (-1e-30, 1e-3),
        (2.0, 7.0),
    ];

    proptest! {
        #[test]
        fn signs_of_outputs_are_exact_and_values_within_half_a_step(
            bits in 1u8..=8, pixels in 0usize..300, samples in 0usize..3, seed in 0u64..200,
            single in any::<bool>(),
        ) {
            let mut stream = Key::new(seed, Purpose::Sample).stream();
            let count = CHANNELS.len();
            let shape = [samples, count, pixels];
            let values: Vec<f64> = (0..samples * count * pixels)
                .map(|i| {
                    let (weight, bias) = CHANNELS[i / pixels.max(1) % count];
                    // Also where the output is nearly 0, and far out.
                    [stream.normal(), -bias / weight + 1e-9 * stream.normal(), 9.0][i % 7 % 3]
                })
                .map(|x| if x.is_finite() { x.clamp(-1e3, 1e3) } else { 0.0 })
                .collect();
            let dtype = if single { DType::F32 } else { DType::F64 };
            let of = |values: Vec<f64>, shape: &[usize]| {
                Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
            };
            let x = of(values, &shape);
            let weight = of(CHANNELS.map(|(weight, _)| weight).to_vec(), &[count]);
            let bias = of(CHANNELS.map(|(_, bias)| bias).to_vec(), &[count]);
            let range = FixedRange::new(&weight, &bias, bits).unwrap();
            let codes = range.pack(&x).unwrap();
            let flat = |t: Tensor| {
                t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
            };
            let exact = flat(channel_affine(&x, &weight, &bias).unwrap());
            let output = flat(range.output(&codes, &shape).unwrap());
            let normalised = flat(range.normalised(&codes, &shape).unwrap());
            let steps = f64::from(1u16 << bits);
            for (i, x) in flat(x).into_iter().enumerate() {
                let (exact, output, normalised) = (exact[i], output[i], normalised[i]);
                prop_assert_eq!(exact > 0.0, output > 0.0, "{} {}", exact, output);
                let (weight, bias) = CHANNELS[i / pixels % count];
                // Codes lie within the range and, for the rarer sign, next to it.
                prop_assert!(normalised.abs() <= 3.0 + 6.0 / (steps - 1.0) + 1e-5);
                let out_of_reach = weight == 0.0 || (bias / weight).abs() >= 3.0;
                let usual = !out_of_reach || (exact > 0.0) == (bias > 0.0);
                let step = 6.0 / if out_of_reach { steps - 1.0 } else { steps };
                // The edge at 0 moves a range that holds it by up to a step.
                let end = if out_of_reach { 3.0 } else { 3.0 - step };
                if usual && x.abs() <= end {
                    prop_assert!((x - normalised).abs() <= 0.5001 * step + 1e-6, "{x} {normalised}");
                    let made = weight * normalised + bias;
                    let allowed = 1e-6 * (made.abs() + bias.abs()) + 1e-37;
                    prop_assert!((made - output).abs() <= allowed, "{made} {output}");
                }
            }
        }
    }
}
