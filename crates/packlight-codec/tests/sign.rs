//! What the paper of auxiliary sign activation says of it.

#![allow(clippy::unwrap_used)]

mod asked;

use asked::{LINEAR, gradient};
use candle_core::{Device, Tensor};
use packlight_codec::{AxisLayout, CodecState, Site, parse};
use packlight_kernels::linear;
use packlight_kernels::rng::{Key, Purpose};

fn sample(shape: &[usize]) -> Tensor {
    let mut stream = Key::new(3, Purpose::Sample).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    (a * b).unwrap().sum_all().unwrap().to_scalar().unwrap()
}

#[test]
fn the_learning_indicator_on_gaussian_inputs_is_the_published_one() {
    let h = sample(&[100, 1000]);
    let mut memory = CodecState::default();
    let key = Key::new(0, Purpose::Codec);
    let mut site = Site::new(LINEAR, AxisLayout::Tokens, key, &mut memory);
    let codec = parse("asa4").unwrap();
    let (used, packed) =
        (codec.operands().unwrap().input(&h).unwrap().unwrap(), codec.pack(&h, &mut site).unwrap());
    assert_eq!(packed.bytes().total(), 100 * 1000 / 8);
    let kept = packed.unpack().unwrap();
    let doubled = ((&used * 2.0).unwrap() - &kept).unwrap();
    let indicator = dot(&kept, &doubled) / dot(&used, &used);
    assert!((indicator - 0.0158).abs() < 2e-4, "{indicator}");

    // With the authors' epsilon and expansion the gradient is that of unit signs.
    let grad = sample(&[100, 5]);
    let signs = (kept / 0.01).unwrap();
    let expected = linear::weight_grad(&signs, &grad).unwrap();
    let gap = (gradient(&*packed, LINEAR, &grad).unwrap() - &expected).unwrap();
    assert!(dot(&gap, &gap) < 1e-20 * dot(&expected, &expected));
}

#[test]
fn alternative_activation_leaves_the_forward_pass_alone() {
    assert!(parse("alt4").unwrap().operands().is_none());
}

#[test]
fn parameters_are_checked() {
    for (spec, part) in [
        ("asa", "a whole number from 1 to 4"),
        ("asa5", "a whole number from 1 to 4"),
        ("asa1:0.1", "`asa<level>[:<eps>:<expansion>]` expected"),
        ("asa1:0:100", "a number above 0"),
        ("asa1:nan:100", "a number above 0"),
        ("alt2:0.1:x", "`x` found"),
    ] {
        let error = parse(spec).unwrap_err().to_string();
        assert!(error.contains(part), "{spec}: {error}");
    }
}
