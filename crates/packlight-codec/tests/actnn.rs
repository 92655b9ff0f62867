//! Bits by sensitivity: which layers and samples get more, and what it takes together.

#![allow(clippy::unwrap_used)]

mod quantising;

use candle_core::{Device, Tensor};
use packlight_codec::{AxisLayout, Codec, CodecState, Op, Site, parse};
use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_kernels::rng::{Key, Purpose};
use quantising::{pack_with, sample, values};

const SHAPE: [usize; 4] = [8, 16, 16, 16];

/// A layer's step: packs `x`, sees a gradient of the given size.
fn step(codec: &dyn Codec, x: &Tensor, grad: f64, kernel: usize, memory: &mut CodecState) -> usize {
    let bytes = pack_with("actnn:3", x, 0, memory).bytes().payload;
    let grad = (sample(&SHAPE) * grad).unwrap();
    let key = Key::new(1, Purpose::Codec);
    let op =
        Op::Conv2d { weight_shape: &[16, 16, kernel, kernel], geometry: Conv2dGeometry::default() };
    let site = &mut Site::new(op, AxisLayout::Images, key, memory);
    let used = codec.gradients().unwrap().output_grad(&grad, site).unwrap();
    assert!(used.is_none(), "it only observes");
    bytes
}

fn bits(memory: &CodecState) -> f64 {
    memory.get("bits").unwrap().to_scalar().unwrap()
}

#[test]
fn two_bits_on_average_go_where_the_variance_is() {
    let codec = parse("actnn:3").unwrap();
    let x = sample(&SHAPE);
    let mut layers = vec![CodecState::default(); 4];
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
        codec.adaptive().unwrap().allocate(&mut layers.iter_mut().collect::<Vec<_>>()).unwrap();
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
    let memory = &mut CodecState::default();
    step(&*codec, &x, 1.0, 3, memory);
    codec.adaptive().unwrap().allocate(&mut [&mut *memory]).unwrap();
    let packed = pack_with("actnn:3", &x, 1, memory);
    assert_eq!(packed.bytes().metadata, x.elem_count() / 256 * 4 + 8);
    assert_eq!(packed.bytes().payload, x.elem_count() / 4);
    let error = |name: &str, memory: &mut CodecState| -> f64 {
        let restored = values(&pack_with(name, &x, 1, memory).unpack().unwrap());
        values(&x).iter().zip(restored).map(|(x, r)| (x - r).powi(2)).sum()
    };
    assert!(error("actnn:3", memory) < 0.2 * error("q2", &mut CodecState::default()));
}

#[test]
fn fixed_levels_are_four_bits_for_all_or_for_some() {
    let x = sample(&SHAPE);
    for level in ["actnn:1", "actnn:2"] {
        let packed = pack_with(level, &x, 0, &mut CodecState::default());
        assert_eq!(packed.bytes(), pack_with("q4", &x, 0, &mut CodecState::default()).bytes());
    }
    let scope = |name: &str| format!("{:?}", parse(name).unwrap().scope());
    assert!(scope("actnn:2").contains("Norm") && !scope("actnn:1").contains("Norm"));
    assert!(parse("actnn:4").is_err() && parse("actnn").is_err());
}

#[test]
fn nothing_to_go_by_and_nothing_finite() {
    let codec = parse("actnn:3").unwrap();
    codec.adaptive().unwrap().allocate(&mut []).unwrap();
    let memory = &mut CodecState::default();
    codec.adaptive().unwrap().allocate(&mut [&mut *memory]).unwrap();
    let bad = (sample(&SHAPE) * f64::NAN).unwrap();
    step(&*codec, &bad, f64::NAN, 3, memory);
    codec.adaptive().unwrap().allocate(&mut [&mut *memory]).unwrap();
    assert_eq!(bits(memory), 2.0);
    // Another batch size shares out the same mean.
    let packed = pack_with("actnn:3", &sample(&[3, 16, 16, 16]), 1, memory);
    assert_eq!(packed.bytes().payload, 3 * 16 * 256 / 4);
}

/// A layer of a vision transformer: what its input is, whether it is a conv or linear one with this
/// weight, and how large its output's gradient is.
struct Part {
    axes: AxisLayout,
    shape: &'static [usize],
    weight: Option<&'static [usize]>,
    grad: f64,
}

/// Patches of 4 x 4 pixels, two blocks of width 64 with 4 heads, and a classifier, in forward order;
/// queries, keys and values share one input.
fn vision_transformer() -> Vec<Part> {
    use AxisLayout::{Heads, Images, Tokens};
    const SQUARE: Option<&[usize]> = Some(&[64, 64]);
    let part = |axes, shape, weight, grad| Part { axes, shape, weight, grad };
    let block = |grad: f64| {
        [
            part(Tokens, &[8, 17, 64], None, 0.0),
            part(Tokens, &[8, 17, 64], SQUARE, grad),
            part(Heads, &[8, 4, 17, 16], None, 0.0),
            part(Heads, &[8, 4, 17, 16], None, 0.0),
            part(Heads, &[8, 4, 17, 17], None, 0.0),
            part(Heads, &[8, 4, 17, 16], None, 0.0),
            part(Tokens, &[8, 17, 64], SQUARE, 3.0 * grad),
            part(Tokens, &[8, 17, 64], None, 0.0),
            part(Tokens, &[8, 17, 64], Some(&[256, 64]), grad),
            part(Tokens, &[8, 17, 256], None, 0.0),
            part(Tokens, &[8, 17, 256], Some(&[64, 256]), 2.0 * grad),
        ]
    };
    let patches = part(Images, &[8, 3, 16, 16], Some(&[64, 3, 4, 4]), 0.5);
    let classifier = part(Tokens, &[8, 64], Some(&[10, 64]), 20.0);
    [patches].into_iter().chain(block(1.0)).chain(block(4.0)).chain([classifier]).collect()
}

#[test]
fn the_budget_is_that_of_conv_and_linear_inputs_and_the_others_follow() {
    let codec = parse("actnn:3").unwrap();
    let parts = vision_transformer();
    let mut memories = vec![CodecState::default(); parts.len()];
    // Elements, and bytes of codes and of what belongs to them, of layers that share the budget and
    // of the others.
    let (mut budgeted, mut others) = ([0; 3], [0; 3]);
    for step in 0..3 {
        (budgeted, others) = ([0; 3], [0; 3]);
        for (part, memory) in parts.iter().zip(&mut memories) {
            let x = sample(part.shape);
            let key = Key::new(1, Purpose::Codec).step(step);
            let op = match part.weight {
                Some(weight_shape @ [_, _]) => Op::Linear { weight_shape },
                Some(weight_shape) => {
                    Op::Conv2d { weight_shape, geometry: Conv2dGeometry::default() }
                }
                None => Op::Norm,
            };
            let site = &mut Site::new(op, part.axes, key, memory);
            let bytes = codec.pack(&x, site).unwrap().bytes();
            if part.weight.is_some() {
                let grad = (&x * part.grad).unwrap();
                codec.gradients().unwrap().output_grad(&grad, site).unwrap();
            }
            let all = if part.weight.is_some() { &mut budgeted } else { &mut others };
            let own = [x.elem_count(), bytes.payload, bytes.metadata];
            all.iter_mut().zip(own).for_each(|(all, own)| *all += own);
            // Two bf16 for each group, and a byte for each sample.
            let groups = (x.elem_count() / 8).div_ceil(256);
            assert_eq!(bytes.metadata, 8 * (groups * 4 + 1), "{:?}", part.shape);
        }
        codec.adaptive().unwrap().allocate(&mut memories.iter_mut().collect::<Vec<_>>()).unwrap();
    }
    let bits = |bytes: usize, elements: usize| 8.0 * bytes as f64 / elements as f64;
    let of_budgeted = bits(budgeted[1], budgeted[0]);
    assert!((1.97..=2.0).contains(&of_budgeted), "{of_budgeted} bits");
    // All layers together have the average of neither.
    assert_eq!((budgeted, others), ([128_512, 32_024, 2256], [175_168, 32_296, 3120]));
    assert!((bits(others[1], others[0]) - 1.475).abs() < 1e-3);
}
