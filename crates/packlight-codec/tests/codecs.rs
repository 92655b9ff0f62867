//! What every codec promises, over random shapes and values.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_codec::registry::CODECS;
use packlight_codec::{Codec, Context, InputForm, Memory, Packed, parse};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::linear;
use packlight_kernels::rng::{Key, Purpose};
use proptest::prelude::*;

fn sample(shape: &[usize], seed: u64) -> Tensor {
    let mut stream = Key::new(seed, Purpose::Sample).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// |a - b| / |b|, or |a| where b is 0.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    let (gap, size) = (norm(&(a - b).unwrap()), norm(b));
    if size == 0.0 { gap } else { gap / size }
}

/// Packs at step 0 of a layer of which nothing is remembered.
fn pack(codec: &dyn Codec, x: &Tensor, form: InputForm) -> Box<dyn Packed> {
    let key = Key::new(1, Purpose::Codec);
    codec.pack(x, &mut Context { form, key, memory: &mut Memory::default() }).unwrap()
}

/// Whether the codec is not for such tensors, in which case packing says so as well.
fn refused(codec: &dyn Codec, x: &Tensor, form: InputForm) -> bool {
    let Err(said) = codec.bytes(x.dims(), DType::F64, form) else { return false };
    let key = Key::new(1, Purpose::Codec);
    let packed = codec.pack(x, &mut Context { form, key, memory: &mut Memory::default() });
    assert_eq!(packed.err().unwrap().to_string(), said.to_string());
    true
}

/// What packing took is what the codec had said, where it can say.
fn predicted(codec: &dyn Codec, packed: &dyn Packed, shape: &[usize], form: InputForm) -> bool {
    let said = codec.bytes(shape, DType::F64, form).unwrap();
    said.is_none_or(|bytes| bytes == packed.bytes())
}

fn names() -> impl Strategy<Value = &'static str> {
    let examples = CODECS.iter().flat_map(|entry| entry.examples.iter().copied());
    prop::sample::select(examples.collect::<Vec<_>>())
}

/// Codecs whose weight gradient is not that of the restored input, each for its paper's reason.
const SCALED: &[&str] = &["asa", "alt"]; // the gradient is `expansion` times as large

fn gradient_is_of_the_restored_input(name: &str) -> bool {
    !SCALED.iter().any(|scaled| name.starts_with(scaled))
}

proptest! {
    #[test]
    fn images(name in names(), n in 1usize..3, c in 1usize..4, h in 1usize..10, w in 1usize..10, seed in 0u64..50) {
        let codec = parse(name).unwrap();
        let x = sample(&[n, c, h, w], seed);
        if refused(&*codec, &x, InputForm::Images) {
            return Ok(());
        }
        let packed = pack(&*codec, &x, InputForm::Images);
        prop_assert!(predicted(&*codec, &*packed, x.dims(), InputForm::Images));
        let restored = packed.unpack().unwrap();
        prop_assert_eq!(restored.dims(), x.dims());
        prop_assert_eq!(restored.dtype(), x.dtype());

        let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        let weight_shape = [2, c, 3, 3];
        let grad = sample(&[n, 2, h, w], seed + 1);
        let expected = conv2d::weight_grad(&restored, &grad, &weight_shape, &geometry).unwrap();
        let found = packed.conv2d_weight_grad(&grad, &weight_shape, &geometry).unwrap();
        if gradient_is_of_the_restored_input(name) {
            prop_assert!(distance(&found, &expected) < 1e-12);
        }
    }

    #[test]
    fn tokens(name in names(), shape in prop::collection::vec(1usize..6, 1..4), n in 1usize..12, seed in 0u64..50) {
        let codec = parse(name).unwrap();
        let x = sample(&[&shape[..], &[n]].concat(), seed);
        if refused(&*codec, &x, InputForm::Tokens) {
            return Ok(());
        }
        let packed = pack(&*codec, &x, InputForm::Tokens);
        prop_assert!(predicted(&*codec, &*packed, x.dims(), InputForm::Tokens));
        let restored = packed.unpack().unwrap();
        prop_assert_eq!(restored.dims(), x.dims());
        let grad = sample(&[&shape[..], &[3]].concat(), seed + 1);
        let expected = linear::weight_grad(&restored, &grad).unwrap();
        let found = packed.linear_weight_grad(&grad).unwrap();
        if gradient_is_of_the_restored_input(name) {
            prop_assert!(distance(&found, &expected) < 1e-12);
        }
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
                * codec
                    .bytes(&[1, c, side, side], DType::U8, InputForm::Images)
                    .unwrap()
                    .unwrap()
                    .total()
        };
        inputs.into_iter().map(bytes).sum()
    };
    assert_eq!((count("none"), count("pool2"), count("pool4")), (1_831_424, 463_616, 119_744));
}
