//! What pooling promises, and what its other rules for edges and upsampling do not.

#![allow(clippy::unwrap_used)]

mod asked;
mod common;

use asked::{LINEAR, bytes, gradient};
use candle_core::{DType, Tensor};
use common::{dot, gap, indicator, pack, restore, sample, values};
use packlight_codec::AxisLayout::{Images, Tokens};
use packlight_codec::parse;
use packlight_kernels::conv2d::{self, Conv2dGeometry};

#[test]
fn pooling_is_an_orthogonal_projection_at_every_size() {
    for (h, w) in [(8, 8), (7, 5), (1, 9), (3, 1)] {
        let x = sample(&[2, 3, h, w], 1);
        for codec in ["pool2", "pool3", "pool4", "pool2:drop"] {
            let once = restore(codec, &x, Images);
            assert!(gap(&once, &restore(codec, &once, Images)) < 1e-14, "{codec}");
            assert!(dot(&(&x - &once).unwrap(), &once).abs() < 1e-12 * dot(&x, &x));
            let kept = dot(&once, &once) / dot(&x, &x);
            assert!((indicator(&once, &x) - kept).abs() < 1e-12);
        }
    }
}

#[test]
fn counting_zeros_at_the_edge_is_no_projection() {
    let (even, odd) = (sample(&[1, 2, 8, 6], 1), sample(&[1, 2, 7, 5], 1));
    let twice = |codec: &str, x: &Tensor| {
        let once = restore(codec, x, Images);
        gap(&once, &restore(codec, &once, Images))
    };
    assert!(twice("pool2:zero", &even) < 1e-14);
    assert!(twice("pool2:zero", &odd) > 0.1);
    assert!(twice("pool2:bilinear", &even) > 0.1);
    // A corner block of one pixel keeps a quarter of it.
    let ones = odd.ones_like().unwrap();
    assert_eq!(values(&restore("pool2:zero", &ones, Images)).last(), Some(&0.25));
}

#[test]
fn white_noise_keeps_one_part_in_k_squared() {
    let x = sample(&[8, 8, 48, 48], 2);
    for (codec, expected) in [("pool2", 0.25), ("pool3", 1.0 / 9.0), ("pool4", 0.0625)] {
        let found = indicator(&restore(codec, &x, Images), &x);
        assert!((found - expected).abs() < 0.005, "{codec}: {found}");
    }
}

#[test]
fn what_is_constant_on_each_block_loses_nothing() {
    let x = restore("pool2", &sample(&[2, 3, 8, 8], 3), Images);
    let packed = pack("pool2", &x, Images);
    assert!(gap(&packed.unpack().unwrap(), &x) < 1e-15);
    let (geometry, weight) =
        (Conv2dGeometry { padding: (1, 1), ..Default::default() }, [4, 3, 3, 3]);
    let grad = sample(&[2, 4, 8, 8], 4);
    let exact = conv2d::weight_grad(&x, &grad, &weight, &geometry).unwrap();
    assert!(
        gap(&gradient(&*packed, asked::conv2d(&weight, &geometry), &grad).unwrap(), &exact) < 1e-12
    );
}

#[test]
fn dropped_edges_come_back_as_zeros() {
    let ones = sample(&[3, 5], 1).ones_like().unwrap();
    assert_eq!(values(&restore("pool2:drop", &ones, Tokens))[..5], [1.0, 1.0, 1.0, 1.0, 0.0]);
    let image = ones.reshape((1, 1, 3, 5)).unwrap();
    let packed = pack("pool2:drop:bilinear", &image, Images);
    assert_eq!(packed.bytes().total(), 2 * 8);
    let expected = [[1.0, 1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.0], [0.0; 5]].concat();
    assert_eq!(values(&packed.unpack().unwrap()), expected);
    assert_eq!(values(&restore("pool6:drop", &image, Images)), [0.0; 15]);
}

#[test]
fn bilinear_upsampling_restores_a_ramp_between_centres() {
    let ramp: Vec<f64> = (0..8).map(f64::from).collect();
    let ramp = Tensor::from_vec(ramp, (1, 8), &candle_core::Device::Cpu).unwrap();
    let expected = [0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.5];
    assert_eq!(values(&restore("pool2:bilinear", &ramp, Tokens)), expected);
}

#[test]
fn flags_are_read_in_any_order_and_once() {
    let name = |spec: &str| packlight_codec::parse(spec).map(|codec| codec.spec());
    assert_eq!(name("pool2:bilinear:zero").unwrap(), "pool2:zero:bilinear");
    for wrong in ["pool2:", "pool2:ceil", "pool2:zero:drop", "pool:zero", "pool2:bilinear:bilinear"]
    {
        assert!(name(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn pooling_resnet18_conv_inputs_keeps_the_published_number_of_elements() {
    // 1,831,424 elements of 224 x 224 images become 463,616 and 119,744.
    // Distinct conv inputs of ResNet-18: (channels, side, how many).
    let inputs = [(3, 224, 1), (64, 56, 5), (128, 28, 4), (256, 14, 4), (512, 7, 3)];
    let count = |name: &str| -> usize {
        let codec = parse(name).unwrap();
        let bytes = |(c, side, times): (usize, usize, usize)| {
            times
                * bytes(&*codec, LINEAR, Images, &[1, c, side, side], DType::U8)
                    .unwrap()
                    .unwrap()
                    .total()
        };
        inputs.into_iter().map(bytes).sum()
    };
    assert_eq!((count("none"), count("pool2"), count("pool4")), (1_831_424, 463_616, 119_744));
}
