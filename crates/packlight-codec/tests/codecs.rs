//! What every codec promises, over random shapes and values.

#![allow(clippy::unwrap_used)]

mod asked;
mod summed;

use asked::{LINEAR, bytes, gradient};
use candle_core::{DType, Device, Tensor};
use packlight_codec::registry::CODECS;
use packlight_codec::{AxisLayout, Codec, CodecState, Op, Packed, Result, Site, parse};
use packlight_kernels::accumulate;
use packlight_kernels::channel_affine::channel_affine;
use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_kernels::rng::{Key, Purpose};
use proptest::prelude::*;
use summed::{conv2d_weight_grad, linear_weight_grad, values};

/// Codecs whose weight gradient is by definition not that of the restored input, and why.
const OWN_WEIGHT_GRADIENT: &[(&str, &str)] = &[
    ("gf", "all taps get the gradient of their sum"),
    ("basis", "the sketch of the output gradient has its norm, too"),
];
/// Codecs that restore nothing, and why.
const NO_VALUES: &[(&str, &str)] =
    &[("regelu2", "keeps a derivative"), ("resilu2", "keeps a derivative")];

/// Whether a list names this codec, whatever its parameters.
fn listed(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(family, _)| name.starts_with(family))
}

fn sample(shape: &[usize], seed: u64) -> Tensor {
    let mut stream = Key::new(seed, Purpose::Sample).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// |a - b| / |b|, or |a| where b is 0.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let norm = |t: &Tensor| {
        let squares = t.to_dtype(DType::F64).unwrap().sqr().unwrap();
        squares.sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
    };
    let (gap, size) = (norm(&(a - b).unwrap()), norm(b));
    if size == 0.0 { gap } else { gap / size }
}

/// The weight's gradient of a depthwise convolution of 3 x 3 taps, padded by one, with so many outputs
/// for each channel: channel by channel, that of a convolution of stride 1 whose output gradient is 0
/// between the pixels that the stride reaches.
fn depthwise_weight_grad(x: &Tensor, grad: &Tensor, outputs: usize, stride: usize) -> Vec<f64> {
    let (n, channels, h, w) = x.dims4().unwrap();
    let (_, _, out_h, out_w) = grad.dims4().unwrap();
    let grads = values(grad);
    let by_channel = (0..channels).flat_map(|channel| {
        let x = x.narrow(1, channel, 1).unwrap().contiguous().unwrap();
        let mut spread = vec![0.0; n * outputs * h * w];
        for (at, grad) in grads.iter().enumerate() {
            let (plane, row, column) = (at / out_w / out_h, at / out_w % out_h, at % out_w);
            let (sample, output) = (plane / (channels * outputs), plane % (channels * outputs));
            if output / outputs == channel {
                let plane = sample * outputs + output % outputs;
                spread[(plane * h + row * stride) * w + column * stride] = *grad;
            }
        }
        let spread = Tensor::from_vec(spread, (n, outputs, h, w), &Device::Cpu).unwrap();
        conv2d_weight_grad(&x, &spread)
    });
    by_channel.collect()
}

/// What signs expand the weight's gradient by.
fn expansion(name: &str) -> f64 {
    if !(name.starts_with("asa") || name.starts_with("alt")) {
        return 1.0;
    }
    name.split(':').nth(2).map_or(100.0, |text| text.parse().unwrap())
}

/// Whether a codec's weight gradient is what was summed up, to rounding.
fn near(name: &str, found: &Tensor, mut expected: Vec<f64>) -> bool {
    expected.iter_mut().for_each(|sum| *sum *= expansion(name));
    let expected = Tensor::from_vec(expected, found.shape(), &Device::Cpu).unwrap();
    let dtype = found.dtype();
    distance(&found.to_dtype(DType::F64).unwrap(), &expected) < rounding(dtype)
}

/// Rounding in sums of a few hundred products.
fn rounding(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-12 } else { 1e-4 }
}

/// Packs at step 0 of a layer of which nothing is remembered.
fn pack(codec: &dyn Codec, x: &Tensor, axes: AxisLayout, op: Op<'_>) -> Result<Box<dyn Packed>> {
    codec.pack(x, &mut Site::new(op, axes, key(), &mut CodecState::default()))
}

fn key() -> Key {
    Key::new(1, Purpose::Codec)
}

/// A convolution of images with this weight, a linear layer of all else.
fn op_of(axes: AxisLayout, weight_shape: &[usize]) -> Op<'_> {
    match axes {
        AxisLayout::Images => asked::conv2d(weight_shape, &geometry()),
        _ => LINEAR,
    }
}

/// That of a convolution with 3 x 3 taps whose output is as large as its input.
fn geometry() -> Conv2dGeometry {
    Conv2dGeometry { padding: (1, 1), ..Default::default() }
}

/// Whether the codec says beforehand that it cannot pack such tensors.
fn refused(codec: &dyn Codec, x: &Tensor, axes: AxisLayout, op: Op<'_>) -> bool {
    bytes(codec, op, axes, x.dims(), x.dtype()).is_err()
}

/// What packing took is what the codec had said, where it can say.
fn predicted(
    codec: &dyn Codec,
    packed: &dyn Packed,
    x: &Tensor,
    axes: AxisLayout,
    op: Op<'_>,
) -> bool {
    let said = bytes(codec, op, axes, x.dims(), x.dtype()).unwrap();
    said.is_none_or(|bytes| bytes == packed.bytes())
}

fn examples() -> impl Iterator<Item = &'static str> {
    CODECS.iter().flat_map(|entry| entry.examples.iter().copied())
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(examples().collect::<Vec<_>>())
}

fn dtypes() -> impl Strategy<Value = DType> {
    prop::sample::select(vec![DType::F32, DType::F64])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn images(
        name in names(), dtype in dtypes(),
        n in 1usize..3, c in 1usize..4, h in 1usize..10, w in 1usize..10, seed in 0u64..50,
    ) {
        let codec = parse(name).unwrap();
        let x = sample(&[n, c, h, w], seed).to_dtype(dtype).unwrap();
        let weight_shape = [2, c, 3, 3];
        let op = op_of(AxisLayout::Images, &weight_shape);
        let packed = pack(&*codec, &x, AxisLayout::Images, op);
        if refused(&*codec, &x, AxisLayout::Images, op) {
            prop_assert!(packed.is_err());
            return Ok(());
        }
        let packed = packed.unwrap();
        prop_assert!(predicted(&*codec, &*packed, &x, AxisLayout::Images, op));
        if listed(NO_VALUES, name) {
            prop_assert!(packed.unpack().is_err());
            return Ok(());
        }
        let restored = packed.unpack().unwrap();
        prop_assert_eq!(restored.dims(), x.dims());
        prop_assert_eq!(restored.dtype(), x.dtype());

        let grad = sample(&[n, 2, h, w], seed + 1).to_dtype(dtype).unwrap();
        let found = gradient(&*packed, op, &grad).unwrap();
        prop_assert_eq!(found.dims(), &weight_shape);
        let expected = conv2d_weight_grad(&restored, &grad);
        prop_assert!(listed(OWN_WEIGHT_GRADIENT, name) || near(name, &found, expected), "{name}");
    }

    /// A depthwise convolution with its own taps for each channel, and one with two outputs for each.
    #[test]
    fn images_of_a_depthwise_convolution(
        name in names(), dtype in dtypes(),
        n in 1usize..3, c in 1usize..6, outputs in 1usize..3, h in 1usize..10, w in 1usize..10,
        stride in 1usize..3, seed in 0u64..50,
    ) {
        let codec = parse(name).unwrap();
        let x = sample(&[n, c, h, w], seed).to_dtype(dtype).unwrap();
        let geometry = Conv2dGeometry { stride: (stride, stride), groups: c, ..geometry() };
        let weight_shape = [c * outputs, 1, 3, 3];
        let op = asked::conv2d(&weight_shape, &geometry);
        let packed = pack(&*codec, &x, AxisLayout::Images, op);
        if refused(&*codec, &x, AxisLayout::Images, op) {
            let error = packed.err().map(|error| error.to_string());
            let said = format!("codec `{name}`");
            prop_assert!(error.is_some_and(|error| error.starts_with(&said)));
            return Ok(());
        }
        let packed = packed.unwrap();
        prop_assert!(predicted(&*codec, &*packed, &x, AxisLayout::Images, op));
        if listed(NO_VALUES, name) {
            return Ok(());
        }
        let restored = packed.unpack().unwrap();
        let size = geometry.output_size((h, w), (3, 3)).unwrap();
        let grad = sample(&[n, c * outputs, size.0, size.1], seed + 1).to_dtype(dtype).unwrap();
        let found = gradient(&*packed, op, &grad).unwrap();
        prop_assert_eq!(found.dims(), &weight_shape);
        let expected = depthwise_weight_grad(&restored, &grad, outputs, stride);
        prop_assert!(listed(OWN_WEIGHT_GRADIENT, name) || near(name, &found, expected), "{name}");
    }

    #[test]
    fn tokens(
        name in names(), dtype in dtypes(),
        shape in prop::collection::vec(1usize..6, 1..4), n in 1usize..12, seed in 0u64..50,
        heads in any::<bool>(),
    ) {
        let codec = parse(name).unwrap();
        let axes = if heads && shape.len() == 3 { AxisLayout::Heads } else { AxisLayout::Tokens };
        let x = sample(&[&shape[..], &[n]].concat(), seed).to_dtype(dtype).unwrap();
        let packed = pack(&*codec, &x, axes, LINEAR);
        if refused(&*codec, &x, axes, LINEAR) {
            prop_assert!(packed.is_err());
            return Ok(());
        }
        let packed = packed.unwrap();
        prop_assert!(predicted(&*codec, &*packed, &x, axes, LINEAR));
        if listed(NO_VALUES, name) {
            prop_assert!(packed.unpack().is_err());
            return Ok(());
        }
        let restored = packed.unpack().unwrap();
        prop_assert_eq!(restored.dims(), x.dims());
        let grad = sample(&[&shape[..], &[3]].concat(), seed + 1).to_dtype(dtype).unwrap();
        let found = gradient(&*packed, LINEAR, &grad).unwrap();
        prop_assert_eq!(found.dims(), &[3, n]);
        let expected = linear_weight_grad(&restored, &grad);
        prop_assert!(listed(OWN_WEIGHT_GRADIENT, name) || near(name, &found, expected), "{name}");
    }
}

/// What says that it holds nothing of the tensor is the same after another was written over that; what does
/// not say so would be another.
#[test]
fn what_is_written_over_a_tensor_reaches_only_what_holds_it() {
    use AxisLayout::{Images, Tokens};
    let mut apart = 0;
    for name in examples() {
        let codec = parse(name).unwrap();
        for (axes, shape) in [(Images, &[2, 3, 8, 8][..]), (Tokens, &[6, 16])] {
            let op = match listed(NO_VALUES, name) {
                true if name == "resilu2" => Op::Silu,
                true => Op::Gelu,
                false => op_of(axes, &[2, 3, 3, 3]),
            };
            let (x, ones) = (sample(shape, 6), sample(shape, 7).ones_like().unwrap());
            let Ok(packed) = pack(&*codec, &x, axes, op) else { continue };
            let seen = || match op {
                Op::Gelu | Op::Silu => values(&gradient(&*packed, op, &ones).unwrap()),
                _ => values(&packed.unpack().unwrap()),
            };
            let before = seen();
            accumulate::add_in_place(&x, &sample(shape, 8)).unwrap();
            assert_eq!(seen() == before, packed.is_apart(), "{name}, {shape:?}");
            apart += usize::from(packed.is_apart());
        }
    }
    assert!(apart > 0);
    let half = sample(&[6, 16], 6).to_dtype(DType::BF16).unwrap();
    let packed = pack(&*parse("bf16").unwrap(), &half, Tokens, LINEAR).unwrap();
    assert!(!packed.is_apart(), "a tensor of bf16 is kept as it is");
}

/// Values that training may meet where something has gone wrong before.
fn awkward(shape: &[usize], dtype: DType) -> Vec<(&'static str, Tensor)> {
    let normal = sample(shape, 3).flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let with = |place: usize, value: f64| {
        let mut values = normal.clone();
        if let Some(x) = values.get_mut(place) {
            *x = value;
        }
        values
    };
    let all = |value: f64| vec![value; normal.len()];
    [
        ("equal", all(3.5)),
        ("zero", all(0.0)),
        ("large", normal.iter().map(|x| x * 1e29).collect()),
        ("overflowing", normal.iter().map(|x| x * 1e38).collect()),
        ("tiny", normal.iter().map(|x| x * 1e-40).collect()),
        ("NaN", all(f64::NAN)),
        ("infinite", all(f64::NEG_INFINITY)),
        ("one NaN", with(normal.len() / 2, f64::NAN)),
        ("one infinite", with(normal.len() / 2, f64::INFINITY)),
    ]
    .map(|(what, values)| {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        (what, tensor.to_dtype(dtype).unwrap())
    })
    .into()
}

/// No codec panics; on values that are there and finite up to 1e30 it works, and restores finite
/// ones.
#[test]
fn awkward_shapes_and_values() {
    use AxisLayout::{Heads, Images, Tokens};
    let images = [[1, 1, 1, 1], [1, 1, 7, 5], [3, 1, 1, 9], [2, 3, 4, 4]];
    let no_images = [[0, 2, 3, 3], [1, 0, 3, 3], [2, 2, 0, 3], [2, 1, 3, 0]];
    let tokens: [&[usize]; 8] = [&[1], &[5], &[1, 1], &[3, 7], &[2, 3, 5], &[0, 4], &[3, 0], &[0]];
    let four_axes = || images.iter().chain(&no_images);
    let shapes = four_axes().map(|shape| (Images, &shape[..]));
    let shapes = shapes.chain(four_axes().map(|shape| (Heads, &shape[..])));
    let shapes: Vec<_> = shapes.chain(tokens.map(|shape| (Tokens, shape))).collect();
    for name in examples() {
        let codec = parse(name).unwrap();
        for dtype in [DType::F32, DType::F64] {
            for &(axes, shape) in &shapes {
                for (what, x) in awkward(shape, dtype) {
                    let case = format!("{name}, {dtype:?} {shape:?}, {what}");
                    let weight_shape = [2, shape.get(1).copied().unwrap_or(1), 3, 3];
                    let finite =
                        !["NaN", "infinite", "overflowing"].iter().any(|w| what.contains(w));
                    let usual = finite && !shape.contains(&0);
                    let op = op_of(axes, &weight_shape);
                    let packed = match pack(&*codec, &x, axes, op) {
                        Ok(packed) => packed,
                        Err(error) => {
                            assert!(!usual || refused(&*codec, &x, axes, op), "{case}: {error}");
                            continue;
                        }
                    };
                    assert!(predicted(&*codec, &*packed, &x, axes, op), "{case}");
                    match packed.unpack() {
                        Ok(restored) => {
                            assert_eq!(restored.dims(), x.dims(), "{case}");
                            let largest = distance(&restored, &restored.zeros_like().unwrap());
                            assert!(!usual || largest.is_finite(), "{case}");
                        }
                        Err(error) => assert!(!usual || listed(NO_VALUES, name), "{case}: {error}"),
                    }
                    // Whatever they say, they do not panic.
                    let grad = match axes {
                        Images => vec![shape[0], 2, shape[2], shape[3]],
                        Tokens | Heads => [&shape[..shape.len() - 1], &[3]].concat(),
                    };
                    let grad = sample(&grad, 1).to_dtype(dtype).unwrap();
                    let _ = gradient(&*packed, op, &grad);
                    for op in [Op::Gelu, Op::Silu] {
                        let _ = gradient(&*packed, op, &x);
                    }
                    if let Some(operands) = codec.operands() {
                        let _ = (operands.input(&x), operands.weight(&x));
                    }
                    let state = &mut CodecState::default();
                    for _ in 0..2 {
                        let site = &mut Site::new(op, axes, key(), state);
                        let _ = codec.gradients().map(|own| own.output_grad(&x, site));
                        let _ = codec.adaptive().map(|own| own.measured(&[f64::NAN], state));
                    }
                    let _ = codec.adaptive().map(|own| own.allocate(&mut [state]));
                    if axes == Images {
                        input_grad(&*codec, &x, usual, &case);
                    }
                    norm_output(&*codec, &x, axes, usual, &case);
                }
            }
        }
    }
}

/// The gradient of a convolution's input, for these values as that of its output.
fn input_grad(codec: &dyn Codec, grad: &Tensor, usual: bool, case: &str) {
    let shape = [grad.dims()[0], 2, grad.dims()[2], grad.dims()[3]];
    let weight = sample(&[grad.dims()[1], 2, 3, 3], 2).to_dtype(grad.dtype()).unwrap();
    let op = asked::conv2d(weight.dims(), &geometry());
    let own = codec.gradients().map(|gradients| gradients.input_grad(op, grad, &weight, &shape));
    match own.transpose().map(Option::flatten) {
        Ok(None) => {} // the exact one
        Ok(Some(found)) => {
            assert_eq!(found.dims(), shape, "{case}");
            let largest = distance(&found, &found.zeros_like().unwrap());
            assert!(!usual || largest.is_finite(), "{case}");
        }
        Err(error) => assert!(!usual, "{case}: {error}"),
    }
}

/// Values that a norm has normalised: its output keeps its signs.
fn norm_output(codec: &dyn Codec, normalised: &Tensor, axes: AxisLayout, usual: bool, case: &str) {
    let Some(packer) = codec.norm_output() else { return };
    let channels = normalised.dims().get(1).copied().unwrap_or(1);
    let of = |at: f64| {
        let values: Vec<f64> = [1.0, -0.5, 0.0, 1e-7].repeat(channels);
        let values: Vec<f64> = values[..channels].iter().map(|x| at * x).collect();
        Tensor::from_vec(values, channels, &Device::Cpu).unwrap()
    };
    for bias in [0.0, 1.0, -1.0] {
        let (weight, bias) = (of(1.0), (of(0.0) + bias).unwrap());
        let [weight, bias] = [weight, bias].map(|x| x.to_dtype(normalised.dtype()).unwrap());
        let state = &mut CodecState::default();
        let site = &mut Site::new(Op::Norm, axes, key(), state);
        let Ok(packed) = packer.pack_norm_output(normalised, &weight, &bias, site) else {
            assert!(!usual || normalised.rank() < 2, "{case}: a norm's output is refused");
            return;
        };
        if normalised.rank() > 1 {
            assert_eq!(packed.normalised().unwrap().dims(), normalised.dims(), "{case}");
            let output = channel_affine(normalised, &weight, &bias).unwrap();
            let restored = packed.output().unwrap();
            assert_eq!(restored.dims(), output.dims(), "{case}");
            assert_eq!(distance(&positive(&restored), &positive(&output)), 0.0, "{case}");
        }
    }
}

/// 1 where a value is positive, 0 elsewhere.
fn positive(values: &Tensor) -> Tensor {
    values.gt(0.0).unwrap().to_dtype(DType::F64).unwrap()
}

/// A value that is not finite is an error, or what comes of it is not finite either.
#[test]
fn what_is_not_finite_never_becomes_a_number_of_ordinary_size() {
    use AxisLayout::{Images, Tokens};
    let shown = |tensor: &Tensor| values(tensor).iter().any(|value| !value.is_finite());
    for name in examples() {
        let codec = parse(name).unwrap();
        for (axes, shape) in [(Images, &[2, 3, 8, 8][..]), (Tokens, &[6, 16])] {
            let count = shape.iter().product::<usize>();
            let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter();
            for (bad, place) in bad.flat_map(|bad| [(bad, 1), (bad, count / 2), (bad, count - 1)]) {
                let mut values = values(&sample(shape, 4));
                values[place] = bad;
                let x = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
                for x in [x.to_dtype(DType::F32).unwrap(), x] {
                    let case = format!("{name}, {bad} among {:?} {shape:?}", x.dtype());
                    let op = op_of(axes, &[2, 3, 3, 3]);
                    if let Ok(packed) = pack(&*codec, &x, axes, op) {
                        let restored = packed.unpack();
                        assert!(restored.is_ok_and(|restored| shown(&restored)), "{case}");
                        let grad = match axes {
                            Images => sample(&[2, 2, 8, 8], 5),
                            _ => sample(&[6, 2], 5),
                        };
                        let by_weight = gradient(&*packed, op, &grad.to_dtype(x.dtype()).unwrap());
                        assert!(by_weight.is_ok_and(|grad| shown(&grad)), "{case}: gradient");
                    }
                    let state = &mut CodecState::default();
                    let site = &mut Site::new(op, axes, key(), state);
                    let operands = codec.operands();
                    let changed = [
                        operands.map(|own| own.input(&x)),
                        operands.map(|own| own.weight(&x)),
                        codec.gradients().map(|own| own.output_grad(&x, site)),
                    ];
                    for changed in changed.into_iter().flatten().flatten().flatten() {
                        assert!(shown(&changed), "{case}");
                    }
                    let channels = Tensor::ones(shape[1], x.dtype(), &Device::Cpu).unwrap();
                    let packer = codec.norm_output();
                    let norm =
                        packer.map(|own| own.pack_norm_output(&x, &channels, &channels, site));
                    if let Some(Ok(packed)) = norm {
                        assert!(shown(&packed.output().unwrap()), "{case}: a norm");
                        assert!(shown(&packed.normalised().unwrap()), "{case}: a norm");
                    }
                }
            }
        }
    }
}

#[test]
fn one_thread_and_many_give_the_same_bits() {
    let small = |shape: &[usize]| sample(shape, 7).to_dtype(DType::F32).unwrap();
    let (images, of_images) = (small(&[20, 12, 24, 24]), small(&[20, 5, 24, 24]));
    let tokens =
        [(small(&[30, 20, 24]), small(&[30, 20, 70])), (small(&[600, 24]), small(&[600, 70]))];
    let weight_shape = [5, 12, 3, 3];
    let bits = |tensor: Tensor| -> Vec<u32> {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    for name in examples().filter(|name| !listed(NO_VALUES, name)) {
        let codec = parse(name).unwrap();
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut all = Vec::new();
                if let Ok(packed) = pack(
                    &*codec,
                    &images,
                    AxisLayout::Images,
                    op_of(AxisLayout::Images, &weight_shape),
                ) {
                    all.push(bits(packed.unpack().unwrap()));
                    let grad =
                        gradient(&*packed, asked::conv2d(&weight_shape, &geometry()), &of_images);
                    all.push(bits(grad.unwrap()));
                }
                for (tokens, of_tokens) in &tokens {
                    if let Ok(packed) = pack(&*codec, tokens, AxisLayout::Tokens, LINEAR) {
                        all.push(bits(packed.unpack().unwrap()));
                        all.push(bits(gradient(&*packed, LINEAR, of_tokens).unwrap()));
                    }
                }
                all
            })
        };
        let found = with(1);
        assert!(!found.is_empty() && found == with(3), "{name}");
    }
}
