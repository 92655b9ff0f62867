//! Bits by sensitivity: which layers and samples get more, and what it takes together.

#![allow(clippy::unwrap_used)]

mod quantising;

use candle_core::{Device, Tensor};
use packlight_codec::{Codec, Context, InputForm, Memory, parse};
use packlight_kernels::rng::{Key, Purpose};
use quantising::{pack_with, sample, values};

const SHAPE: [usize; 4] = [8, 16, 16, 16];

/// A layer's step: packs `x`, sees a gradient of the given size.
fn step(codec: &dyn Codec, x: &Tensor, grad: f64, kernel: usize, memory: &mut Memory) -> usize {
    let bytes = pack_with("actnn:3", x, 0, memory).bytes().payload;
    let grad = (sample(&SHAPE) * grad).unwrap();
    let key = Key::new(1, Purpose::Codec);
    let context = &mut Context { form: InputForm::Images, key, memory };
    codec.observe_output_grad(&grad, &[16, 16, kernel, kernel], context).unwrap();
    bytes
}

fn bits(memory: &Memory) -> f64 {
    memory.get("bits").unwrap().to_scalar().unwrap()
}

#[test]
fn two_bits_on_average_go_where_the_variance_is() {
    let codec = parse("actnn:3").unwrap();
    let x = sample(&SHAPE);
    let mut layers = vec![Memory::default(); 4];
    let payload = |bits: f64| (x.elem_count() as f64 * bits / 8.0) as usize;
    for round in 0..3 {
        let mut total = 0;
        for (memory, (grad, kernel)) in layers.iter_mut().zip([(1.0, 1), (1.0, 3), (30.0, 3)]) {
            total += step(&*codec, &x, grad, kernel, memory);
        }
        // The last one is a norm, which sees no gradient.
        let norm = pack_with("actnn:3", &x, 0, &mut layers[3]).bytes().payload;
        assert!(round > 0 || total == 3 * payload(8.0), "all start at 8 bits");
        assert!(round == 0 || total <= 3 * payload(2.0) && total > 3 * payload(1.9));
        assert!(round == 0 || norm == payload(bits(&layers[2])), "it follows the conv before it");
        codec.allocate(&mut layers.iter_mut().collect::<Vec<_>>()).unwrap();
    }
    let bits: Vec<f64> = layers.iter().map(bits).collect();
    assert!(bits[0] <= bits[1] && bits[1] < bits[2] && bits[2] == bits[3], "{bits:?}");
    assert!((bits[..3].iter().sum::<f64>() - 6.0).abs() < 1e-9);
}

#[test]
fn samples_of_wider_range_get_more_bits_and_less_error() {
    let codec = parse("actnn:3").unwrap();
    // The last sample spreads a hundred times as far.
    let scale = Tensor::new(&[1f32, 1., 1., 1., 1., 1., 1., 100.], &Device::Cpu).unwrap();
    let x = sample(&SHAPE).broadcast_mul(&scale.reshape((8, 1, 1, 1)).unwrap()).unwrap();
    let memory = &mut Memory::default();
    step(&*codec, &x, 1.0, 3, memory);
    codec.allocate(&mut [&mut *memory]).unwrap();
    let packed = pack_with("actnn:3", &x, 1, memory);
    assert_eq!(packed.bytes().metadata, x.elem_count() / 256 * 4 + 8);
    assert_eq!(packed.bytes().payload, x.elem_count() / 4);
    let error = |name: &str, memory: &mut Memory| -> f64 {
        let restored = values(&pack_with(name, &x, 1, memory).unpack().unwrap());
        values(&x).iter().zip(restored).map(|(x, r)| (x - r).powi(2)).sum()
    };
    assert!(error("actnn:3", memory) < 0.2 * error("q2", &mut Memory::default()));
}

#[test]
fn fixed_levels_are_four_bits_for_all_or_for_some() {
    let x = sample(&SHAPE);
    for level in ["actnn:1", "actnn:2"] {
        let packed = pack_with(level, &x, 0, &mut Memory::default());
        assert_eq!(packed.bytes(), pack_with("q4", &x, 0, &mut Memory::default()).bytes());
    }
    let scope = |name: &str| format!("{:?}", parse(name).unwrap().scope());
    assert!(scope("actnn:2").contains("Norm") && !scope("actnn:1").contains("Norm"));
    assert!(parse("actnn:4").is_err() && parse("actnn").is_err());
}

#[test]
fn nothing_to_go_by_and_nothing_finite() {
    let codec = parse("actnn:3").unwrap();
    codec.allocate(&mut []).unwrap();
    let memory = &mut Memory::default();
    codec.allocate(&mut [&mut *memory]).unwrap();
    let bad = (sample(&SHAPE) * f64::NAN).unwrap();
    step(&*codec, &bad, f64::NAN, 3, memory);
    codec.allocate(&mut [&mut *memory]).unwrap();
    assert_eq!(bits(memory), 2.0);
    // Another batch size shares out the same mean.
    let packed = pack_with("actnn:3", &sample(&[3, 16, 16, 16]), 1, memory);
    assert_eq!(packed.bytes().payload, 3 * 16 * 256 / 4);
}
