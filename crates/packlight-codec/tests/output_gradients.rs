//! What codecs promise that change the gradient of a layer's output.

#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Tensor};
use common::{dot, gap, sample, values};
use packlight_codec::{AxisLayout, CodecState, Op, Site, parse};
use packlight_kernels::rng::{Key, Purpose};

fn output_grad(codec: &str, grad: &Tensor, step: u64, memory: &mut CodecState) -> Option<Tensor> {
    let key = Key::new(1, Purpose::Codec).step(step);
    let site = &mut Site::new(Op::Custom("test"), AxisLayout::Images, key, memory);
    parse(codec).unwrap().gradients().unwrap().output_grad(grad, site).unwrap()
}

#[test]
fn dither_leaves_the_known_share_of_zeros() {
    let grad = (sample(&[64, 16, 16, 16], 1) * 1e-3).unwrap();
    for dtype in [DType::F32, DType::F64] {
        let grad = grad.to_dtype(dtype).unwrap();
        for (codec, expected) in
            [("dither:1", 0.370), ("dither:2", 0.610), ("dither:4", 0.801), ("dither:6", 0.867)]
        {
            let dithered =
                values(&output_grad(codec, &grad, 0, &mut CodecState::default()).unwrap());
            let zeros = dithered.iter().filter(|g| **g == 0.0).count();
            let share = zeros as f64 / dithered.len() as f64;
            assert!((share - expected).abs() < 0.004, "{codec}: {share}");
        }
    }
}

#[test]
fn dithers_variance_is_within_a_quarter_of_its_steps_square() {
    const DRAWS: u64 = 1000;
    let grad = sample(&[500], 2);
    let mut squares = [0.0; 500];
    let mut step = f64::INFINITY;
    for draw in 0..DRAWS {
        let dithered = output_grad("dither:2", &grad, draw, &mut CodecState::default()).unwrap();
        for (i, (g, exact)) in values(&dithered).into_iter().zip(values(&grad)).enumerate() {
            squares[i] += (g - exact) * (g - exact);
            if g != 0.0 {
                step = step.min(g.abs());
            }
        }
    }
    let variances = squares.map(|squares| squares / DRAWS as f64);
    assert!(variances.iter().all(|variance| *variance < 1.2 * step * step / 4.0));
}

#[test]
fn a_gradient_without_deviation_is_left_alone() {
    let ones = Tensor::ones((2, 3), DType::F32, &candle_core::Device::Cpu).unwrap();
    for grad in [ones.clone(), (&ones * f64::NAN).unwrap(), (&ones * f64::INFINITY).unwrap()] {
        assert!(output_grad("dither:2", &grad, 0, &mut CodecState::default()).is_none());
    }
}

#[test]
fn resprop_follows_the_largest_changes() {
    let mut memory = CodecState::default();
    let (first, second) = (sample(&[4, 5, 5, 4], 1), sample(&[4, 5, 5, 4], 2));
    assert!(output_grad("resprop:0.1", &first, 0, &mut memory).is_none());
    assert_eq!(memory.bytes(), 400 * 8);
    let used = output_grad("resprop:0.1", &second, 1, &mut memory).unwrap();
    let taken = (&used - &first).unwrap();
    assert_eq!(values(&taken).iter().filter(|x| **x != 0.0).count(), 40);
    // What is left of the change is smaller than what was taken over.
    let left = (&second - &used).unwrap();
    let nonzero = |t: &Tensor| values(t).into_iter().map(f64::abs).filter(|x| *x > 1e-12);
    let least = nonzero(&taken).fold(f64::INFINITY, f64::min);
    assert!(nonzero(&left).fold(0.0, f64::max) <= least && dot(&left, &left) > 0.0);
    // A gradient that stays the same is met exactly, one of another size taken as it is.
    let again = output_grad("resprop:0.1", &second, 2, &mut memory).unwrap();
    assert_eq!(gap(&again, &second), 0.0);
    assert!(output_grad("resprop:0.1", &sample(&[3, 5, 5, 4], 3), 3, &mut memory).is_none());
    assert_eq!(memory.bytes(), 300 * 8);
}
