//! What gradient filtering promises.

#![allow(clippy::unwrap_used)]

mod asked;
mod common;

use asked::{LINEAR, gradient};
use candle_core::Tensor;
use common::{gap, restore, sample, values};
use packlight_codec::{AxisLayout, CodecState, Packed, Result, Site, parse};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::rng::{Key, Purpose};

const PLAIN: Conv2dGeometry =
    Conv2dGeometry { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 };

fn pack(codec: &str, x: &Tensor, weight: &[usize], g: &Conv2dGeometry) -> Result<Box<dyn Packed>> {
    let (key, state) = (Key::new(1, Purpose::Codec), &mut CodecState::default());
    let site = &mut Site::new(asked::conv2d(weight, g), AxisLayout::Images, key, state);
    parse(codec).unwrap().pack(x, site)
}

fn weight_grad(
    codec: &str,
    x: &Tensor,
    grad: &Tensor,
    weight: &[usize],
    g: &Conv2dGeometry,
) -> Tensor {
    gradient(&*pack(codec, x, weight, g).unwrap(), asked::conv2d(weight, g), grad).unwrap()
}

fn input_grad(codec: &str, grad: &Tensor, w: &Tensor, x: &[usize], g: &Conv2dGeometry) -> Tensor {
    let (codec, op) = (parse(codec).unwrap(), asked::conv2d(w.dims(), g));
    codec.gradients().unwrap().input_grad(op, grad, w, x).unwrap().unwrap()
}

#[test]
fn for_one_by_one_kernels_it_is_pooling() {
    let (x, grad, weight) = (sample(&[2, 3, 8, 6], 1), sample(&[2, 4, 8, 6], 2), [4, 3, 1, 1]);
    let filtered = weight_grad("gf2", &x, &grad, &weight, &PLAIN);
    let pooled = common::pack("pool2", &x, AxisLayout::Images);
    let from_pooled = gradient(&*pooled, asked::conv2d(&weight, &PLAIN), &grad).unwrap();
    let upsampled = conv2d::weight_grad(&pooled.unpack().unwrap(), &grad, &weight, &PLAIN).unwrap();
    assert!(gap(&filtered, &from_pooled) < 1e-12);
    assert!(gap(&filtered, &upsampled) < 1e-12);
    // Nothing is lost where the output gradient is constant on each patch.
    let constant = restore("pool2", &grad, AxisLayout::Images);
    let exact = conv2d::weight_grad(&x, &constant, &weight, &PLAIN).unwrap();
    assert!(gap(&weight_grad("gf2", &x, &constant, &weight, &PLAIN), &exact) < 1e-12);
    let w = sample(&weight, 3);
    let exact = conv2d::input_grad(&constant, &w, x.dims(), &PLAIN).unwrap();
    assert!(gap(&input_grad("gf2", &constant, &w, x.dims(), &PLAIN), &exact) < 1e-12);
}

#[test]
fn patches_of_one_pixel_are_exact() {
    let (x, grad, w) =
        (sample(&[2, 3, 5, 4], 1), sample(&[2, 4, 5, 4], 2), sample(&[4, 3, 1, 1], 3));
    let exact = conv2d::weight_grad(&x, &grad, w.dims(), &PLAIN).unwrap();
    assert!(gap(&weight_grad("gf1", &x, &grad, w.dims(), &PLAIN), &exact) < 1e-12);
    let exact = conv2d::input_grad(&grad, &w, x.dims(), &PLAIN).unwrap();
    assert!(gap(&input_grad("gf1", &grad, &w, x.dims(), &PLAIN), &exact) < 1e-12);
}

#[test]
fn it_keeps_the_published_number_of_elements() {
    let bytes = |channels: usize, weight: &[usize], g: &Conv2dGeometry| {
        let x =
            Tensor::zeros((1, channels, 7, 7), candle_core::DType::F32, &candle_core::Device::Cpu);
        pack("gf2", &x.unwrap(), weight, g).unwrap().bytes().total()
    };
    let same = Conv2dGeometry { padding: (1, 1), ..PLAIN };
    let of_3x3 = bytes(512, &[512, 512, 3, 3], &same);
    assert_eq!(of_3x3, 4 * 8192);
    let mib = |bytes: usize| (64 * bytes) as f64 / (1 << 20) as f64;
    assert_eq!(mib(2 * of_3x3), 4.0);
    // The last convolutions of MobileNetV2, from the last on.
    let depthwise = Conv2dGeometry { groups: 960, ..same };
    let last_two = bytes(320, &[1280, 320, 1, 1], &PLAIN) + bytes(960, &[320, 960, 1, 1], &PLAIN);
    assert_eq!(mib(last_two), 5.0);
    let before = bytes(960, &[960, 1, 3, 3], &depthwise) + bytes(160, &[960, 160, 1, 1], &PLAIN);
    assert_eq!(mib(last_two + before), 9.375);
}

#[test]
fn all_taps_get_the_same_gradient() {
    let geometry = Conv2dGeometry { padding: (1, 1), stride: (2, 2), ..PLAIN };
    let (x, grad, weight) = (sample(&[2, 3, 7, 9], 1), sample(&[2, 4, 4, 5], 2), [4, 3, 3, 3]);
    let found = values(&weight_grad("gf2", &x, &grad, &weight, &geometry));
    assert!(found.chunks(9).all(|taps| taps.iter().all(|tap| *tap == taps[0] && *tap != 0.0)));
}

#[test]
fn the_scale_is_right_at_stride_two_except_as_in_the_paper() {
    let geometry = Conv2dGeometry { stride: (2, 2), ..PLAIN };
    let x = sample(&[1, 1, 8, 8], 1).ones_like().unwrap();
    let grad = sample(&[1, 1, 4, 4], 1).ones_like().unwrap();
    let weight = [1, 1, 1, 1];
    assert_eq!(values(&weight_grad("gf2:paper", &x, &grad, &weight, &geometry)), [64.0]);
    assert_eq!(values(&weight_grad("gf2", &x, &grad, &weight, &geometry)), [16.0]);
    let w = sample(&weight, 1).ones_like().unwrap();
    let sum =
        |codec| values(&input_grad(codec, &grad, &w, x.dims(), &geometry)).iter().sum::<f64>();
    assert_eq!((sum("gf2:paper"), sum("gf2")), (64.0, 16.0));
}

#[test]
fn depthwise_convolutions_are_filtered_by_channel() {
    let same = Conv2dGeometry { padding: (1, 1), ..PLAIN };
    let depthwise = Conv2dGeometry { groups: 3, ..same };
    let (x, grad, w) =
        (sample(&[2, 3, 6, 5], 1), sample(&[2, 3, 6, 5], 2), sample(&[3, 1, 3, 3], 3));
    let found = weight_grad("gf2", &x, &grad, w.dims(), &depthwise);
    let by_input = input_grad("gf2", &grad, &w, x.dims(), &depthwise);
    for channel in 0..3 {
        let one = |t: &Tensor, axis| t.narrow(axis, channel, 1).unwrap().contiguous().unwrap();
        let (x, grad, w) = (one(&x, 1), one(&grad, 1), one(&w, 0));
        let alone = weight_grad("gf2", &x, &grad, w.dims(), &same);
        assert!(gap(&one(&found, 0), &alone) < 1e-12);
        let alone = input_grad("gf2", &grad, &w, x.dims(), &same);
        assert!(gap(&one(&by_input, 1), &alone) < 1e-12);
    }
}

#[test]
fn dilated_kernels_keep_their_taps_among_patches() {
    let (x, w) = ([2, 3, 8, 8], sample(&[4, 3, 3, 3], 3));
    let geometry = Conv2dGeometry { padding: (2, 2), dilation: (2, 2), ..PLAIN };
    // Taps two pixels apart are whole patches apart, so nothing is lost on constant patches.
    let grad = restore("pool2", &sample(&[2, 4, 8, 8], 2), AxisLayout::Images);
    let exact = conv2d::input_grad(&grad, &w, &x, &geometry).unwrap();
    assert!(gap(&input_grad("gf2", &grad, &w, &x, &geometry), &exact) < 1e-12);
    assert!(gap(&input_grad("gf3", &grad, &w, &x, &geometry), &exact) > 0.1);
}

#[test]
fn copies_serve_convolutions_with_the_same_windows() {
    let x = sample(&[1, 4, 8, 8], 1);
    let halving = |padding| Conv2dGeometry { stride: (2, 2), padding: (padding, padding), ..PLAIN };
    let key = |weight: &[usize], g: &Conv2dGeometry| {
        let (key, state) = (Key::new(1, Purpose::Codec), &mut CodecState::default());
        let op = asked::conv2d(weight, g);
        let site = Site::new(op, AxisLayout::Images, key, state);
        parse("gf2").unwrap().share_key(&site, x.dims())
    };
    let packed = key(&[8, 4, 3, 3], &halving(1));
    assert_eq!(packed, key(&[8, 4, 1, 1], &halving(0)));
    assert_ne!(packed, key(&[8, 4, 1, 1], &PLAIN));
    // An image that windows do not cover, as without padding.
    let valid = pack("gf2", &x, &[8, 4, 5, 5], &PLAIN).unwrap();
    let (restored, sums) = (values(&valid.unpack().unwrap()), values(&x));
    assert_eq!(restored[..16], [0.0; 16]);
    let mean = (sums[18] + sums[19] + sums[26] + sums[27]) / 4.0;
    assert!((restored[18] - mean).abs() < 1e-15);
}

#[test]
fn other_layers_are_refused_with_a_word() {
    let grouped = Conv2dGeometry { groups: 2, ..PLAIN };
    let error = pack("gf2", &sample(&[1, 4, 8, 8], 1), &[4, 2, 3, 3], &grouped).err().unwrap();
    assert!(error.to_string().contains("2 groups"), "{error}");
    let (key, state) = (Key::new(1, Purpose::Codec), &mut CodecState::default());
    let site = &mut Site::new(LINEAR, AxisLayout::Tokens, key, state);
    let error = parse("gf2").unwrap().pack(&sample(&[3, 4], 1), site).err().unwrap();
    assert!(error.to_string().contains("`gf2`") && error.to_string().contains("convolutions"));
    for wrong in ["gf", "gf0", "gf2:", "gf2:papers"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
