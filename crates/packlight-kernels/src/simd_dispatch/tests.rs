//! Every vectorised kernel, on each kind of vectors that this processor has.

use std::cell::Cell;

use candle_core::{DType, Device, Tensor};

use super::Vectors;
use crate::block_pool::pool;
use crate::conv2d::{self, Conv2dGeometry};
use crate::cross_entropy::Targets;
use crate::division::Maps;
use crate::fixed_range::FixedRange;
use crate::noise::Rounding;
use crate::quantise::{Bits, Coded, Grouping};
use crate::rng::{Key, Purpose};
use crate::{
    Result, argmax, batch_norm, channel_affine, cross_entropy, division, fp8, gelu, gelu_tanh,
    gram, largest, layer_norm, linear, plane_scale, quantise, relu, relu6, sigmoid, sign, silu,
};

thread_local! {
    /// The vectors that a test asks for on this thread.
    pub(super) static ASKED: Cell<Option<Vectors>> = const { Cell::new(None) };
}

/// The result of `f` on a thread that uses these vectors.
fn on<T: Send>(vectors: Vectors, f: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .start_handler(move |_| ASKED.set(Some(vectors)))
        .build();
    pool.unwrap().install(f)
}

/// The vectors that this machine has; those that it lacks are named.
fn here() -> impl Iterator<Item = Vectors> {
    Vectors::ALL.iter().copied().filter(|vectors| {
        let here = vectors.are_here();
        if !here {
            eprintln!("skipped: this machine has no {vectors:?}");
        }
        here
    })
}

/// Normal random numbers rounded to f32, as `dtype`.
fn sample(shape: &[usize], name: &str, dtype: DType) -> Tensor {
    let mut stream = Key::new(3, Purpose::Sample).layer(name).stream();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// All elements as f64, which f32 and codes convert to exactly.
fn values(tensors: &[Tensor]) -> Vec<f64> {
    let of = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    tensors.iter().flat_map(|tensor| of(tensor).unwrap()).collect()
}

/// Runs a kernel on inputs of a type.
type Kernel = fn(DType) -> Result<Vec<Tensor>>;

/// Kernels whose operations are neither fused nor reordered.
const SAME: &[(&str, Kernel)] = &[
    ("argmax", |dtype| Ok(vec![argmax::argmax(&sample(&[40, 77], "x", dtype))?])),
    ("batch_norm", |dtype| {
        let (x, g) = (sample(&[3, 5, 37, 31], "x", dtype), sample(&[3, 5, 37, 31], "g", dtype));
        let [inverse, weight, bias] = ["i", "w", "b"].map(|name| sample(&[5], name, dtype));
        let (mean, variance) = batch_norm::statistics(&x)?;
        let output = batch_norm::normalise(&x, &mean, &inverse, &weight, &bias)?;
        let (by_input, by_weight, by_bias) =
            batch_norm::backward(&x, &g, &mean, &inverse, &weight)?;
        Ok(vec![mean, variance, output, by_input, by_weight, by_bias])
    }),
    ("layer_norm", |dtype| {
        let (x, g) = (sample(&[70, 77], "x", dtype), sample(&[70, 77], "g", dtype));
        let [weight, bias] = ["w", "b"].map(|name| sample(&[77], name, dtype));
        let found = layer_norm::forward(&x, &weight, &bias, 1e-5)?;
        let (by_input, by_weight, by_bias) =
            layer_norm::backward((&x).into(), &g, &found.mean, &found.inverse, &weight)?;
        Ok(vec![found.output, found.mean, found.inverse, by_input, by_weight, by_bias])
    }),
    ("relu", |dtype| {
        let (output, mask) = relu::forward(&sample(&[1003], "x", dtype))?;
        let grad = relu::backward(&sample(&[1003], "g", dtype), &mask)?;
        Ok(vec![output, mask, grad])
    }),
    ("plane_scale", |dtype| {
        let (x, g) = (sample(&[3, 5, 7, 9], "x", dtype), sample(&[3, 5, 7, 9], "g", dtype));
        let factors = sample(&[3, 5], "f", dtype);
        Ok(vec![plane_scale::scale(&x, &factors)?, plane_scale::products(&x, &g, &[3, 5])?])
    }),
    ("sigmoid", |dtype| {
        let y = sigmoid::forward(&(sample(&[1003], "x", dtype) * 30.0)?)?;
        Ok(vec![sigmoid::backward(&y, &sample(&[1003], "g", dtype))?, y])
    }),
    ("relu6", |dtype| {
        let (output, mask) = relu6::forward(&(sample(&[1003], "x", dtype) * 5.0)?)?;
        Ok(vec![output, mask])
    }),
    ("gelu", |dtype| {
        let x = (sample(&[1003], "x", dtype) * 5.0)?;
        Ok(vec![gelu::forward(&x)?, gelu::backward((&x).into(), &sample(&[1003], "g", dtype))?])
    }),
    ("gelu_tanh", |dtype| {
        let x = (sample(&[1003], "x", dtype) * 5.0)?;
        let grad = sample(&[1003], "g", dtype);
        Ok(vec![gelu_tanh::forward(&x)?, gelu_tanh::backward((&x).into(), &grad)?])
    }),
    ("silu", |dtype| {
        let x = (sample(&[1003], "x", dtype) * 30.0)?;
        Ok(vec![silu::forward(&x)?, silu::backward((&x).into(), &sample(&[1003], "g", dtype))?])
    }),
    ("cross_entropy", |dtype| {
        let logits = (sample(&[37, 77], "x", dtype) * 9.0)?;
        let labels = Tensor::arange(0u32, 37, &Device::Cpu)?;
        let targets = Targets { smoothing: 0.1, ignored: None };
        let (loss, probabilities) = cross_entropy::forward(&logits, &labels, &targets)?;
        let one = Tensor::ones((), dtype, &Device::Cpu)?;
        let grad = cross_entropy::backward(&probabilities, &labels, &targets, &one)?;
        Ok(vec![loss, probabilities, grad])
    }),
    ("bias_grad", |dtype| {
        let images = conv2d::bias_grad(&sample(&[3, 5, 31, 37], "g", dtype))?;
        Ok(vec![linear::bias_grad(&sample(&[300, 77], "g", dtype))?, images])
    }),
    ("conv2d, depthwise", |dtype| {
        let (x, w) = (sample(&[3, 5, 21, 23], "x", dtype), sample(&[5, 1, 5, 5], "w", dtype));
        let geometry = Conv2dGeometry {
            stride: (2, 2),
            padding: (2, 2),
            groups: 5,
            ..Conv2dGeometry::default()
        };
        let output = conv2d::forward(&x, &w, None, &geometry)?;
        let by_input = conv2d::input_grad(&output, &w, x.dims(), &geometry)?;
        let by_weight = conv2d::weight_grad(&x, &output, w.dims(), &geometry)?;
        Ok(vec![output, by_input, by_weight])
    }),
    ("fp8", |dtype| {
        let formats = [fp8::Format::E4M3, fp8::Format::E5M2].into_iter();
        let both = formats.map(|format| {
            let (codes, scales) = fp8::pack(&sample(&[1003], "x", dtype), format, 59)?;
            Ok([fp8::unpack(&codes, &scales, format, dtype)?, codes, scales])
        });
        Ok(both.collect::<Result<Vec<_>>>()?.concat())
    }),
    ("division", |dtype| {
        let key = Rounding::Stochastic(Key::new(1, Purpose::Codec));
        // Blocks that end within the map, and squares of both sizes.
        let all = [(13, 14), (16, 8), (4, 4)].into_iter().map(|size| {
            let (maps, shape) = (Maps { size, block: (8, 8), bits: 2 }, [20, size.0, size.1]);
            let packed = division::pack(&sample(&shape, "x", dtype), &maps, key)?;
            let restored = division::unpack(&packed, &maps, &shape, dtype)?;
            Ok([packed.codes, packed.means, packed.ranges, restored])
        });
        Ok(all.collect::<Result<Vec<_>>>()?.concat())
    }),
    ("quantise", |dtype| {
        let x = sample(&[7, 300], "x", dtype);
        let mut all = vec![quantise::extremes(&x, 300, 77)?];
        for bits in 1..=8 {
            let grouping = Grouping { row: 300, group: 77, bits: Bits::All(bits) };
            let rounding = Rounding::Stochastic(Key::new(1, Purpose::Codec));
            let (codes, ranges) = quantise::pack(&x, &grouping, rounding)?;
            let shape = x.dims();
            let coded = Coded { codes: &codes, ranges: &ranges, grouping, shape, dtype };
            all.push(quantise::unpack(&coded)?);
            all.extend([codes, ranges]);
        }
        let (grouping, rounding) = (
            Grouping { row: 300, group: 64, bits: Bits::All(8) },
            Rounding::Stochastic(Key::new(2, Purpose::Codec)),
        );
        let ranges = Tensor::new(&[[-1f32, 0.01]; 5], &Device::Cpu)?;
        let codes = quantise::pack_within(&x, &ranges, &grouping, rounding)?;
        let shape = x.dims();
        let coded = Coded { codes: &codes, ranges: &ranges, grouping, shape, dtype };
        all.push(quantise::unpack(&coded)?);
        all.extend([codes, quantise::extremes_over_rows(&x, 300, 64)?]);
        Ok(all)
    }),
    ("fixed_range", |dtype| {
        let [weight, bias] = ["w", "b"].map(|name| sample(&[6], name, dtype));
        let x = sample(&[3, 6, 7, 9], "x", dtype);
        let mut all = Vec::new();
        for bits in 1..=8 {
            let range = FixedRange::new(&weight, &bias, bits)?;
            let codes = range.pack(&x)?;
            all.extend([range.normalised(&codes, x.dims())?, range.output(&codes, x.dims())?]);
            all.push(codes);
        }
        Ok(all)
    }),
    ("channel_affine", |dtype| {
        let [weight, bias] = ["w", "b"].map(|name| sample(&[6], name, dtype));
        let x = sample(&[3, 6, 7, 9], "x", dtype);
        Ok(vec![channel_affine::channel_affine(&x, &weight, &bias)?])
    }),
    ("largest", |dtype| {
        let found = largest::largest(&sample(&[7, 5003], "x", dtype))?;
        Ok(vec![Tensor::new(found, &Device::Cpu)?])
    }),
    ("sign", |dtype| Ok(vec![sign::pack(&sample(&[1003], "x", dtype))?])),
    ("block_pool", |dtype| Ok(vec![pool(&sample(&[3, 5, 13, 14], "x", dtype), 4)?])),
];

/// Kernels that use fused multiply-add where available.
const FUSED: &[(&str, Kernel)] = &[
    ("direct convolutions", |dtype| {
        let strided =
            Conv2dGeometry { stride: (2, 2), padding: (1, 1), dilation: (1, 1), groups: 1 };
        let grouped =
            Conv2dGeometry { stride: (1, 1), padding: (2, 2), dilation: (2, 2), groups: 2 };
        let mut all = convolution([5, 20, 17, 15], [40, 20, 3, 3], &strided, dtype)?;
        all.extend(convolution([3, 8, 9, 10], [10, 4, 3, 3], &grouped, dtype)?);
        all.extend(convolution([2, 7, 6, 6], [9, 7, 1, 1], &Conv2dGeometry::default(), dtype)?);
        Ok(all)
    }),
    ("Winograd's convolution, by samples", |dtype| {
        let same = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        convolution([3, 48, 16, 16], [64, 48, 3, 3], &same, dtype)
    }),
    ("Winograd's convolution, by channels", |dtype| {
        let same = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        convolution([2, 64, 4, 4], [64, 64, 3, 3], &same, dtype)
    }),
    ("the weight's gradient from means", |dtype| {
        let (x, g) = (sample(&[4, 20, 16, 16], "x", dtype), sample(&[4, 33, 16, 16], "g", dtype));
        let same = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        let shape = [33, 20, 3, 3];
        let found = conv2d::weight_grad_from_pooled(&pool(&x, 4)?, 4, x.dims(), &g, &shape, &same)?;
        Ok(vec![found])
    }),
    ("Gram matrices", |dtype| {
        let x = sample(&[3, 40, 12, 16], "x", dtype);
        (0..4).map(|axis| gram::gram(&x, axis)).collect()
    }),
];

/// A convolution and its gradients.
fn convolution(
    input: [usize; 4],
    weight: [usize; 4],
    geometry: &Conv2dGeometry,
    dtype: DType,
) -> Result<Vec<Tensor>> {
    let [x, w, b] = [(&input[..], "x"), (&weight[..], "w"), (&weight[..1], "b")]
        .map(|(shape, name)| sample(shape, name, dtype));
    let output = conv2d::forward(&x, &w, Some(&b), geometry)?;
    let grad = sample(output.dims(), "g", dtype);
    let by_input = conv2d::input_grad(&grad, &w, &input, geometry)?;
    let by_weight = conv2d::weight_grad(&x, &grad, &weight, geometry)?;
    Ok(vec![output, by_input, by_weight])
}

#[test]
fn what_is_neither_fused_nor_reordered_has_the_same_bits_on_all_vectors() {
    for (name, kernel) in SAME {
        for dtype in [DType::F32, DType::F64] {
            let run = |vectors| values(&on(vectors, || kernel(dtype)).unwrap());
            let expected = run(Vectors::Baseline);
            for vectors in here() {
                let found = run(vectors);
                assert_eq!(found.len(), expected.len());
                let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{name} in {dtype:?} on {vectors:?}");
            }
        }
    }
}

#[test]
fn what_is_fused_is_right_on_all_vectors() {
    for (name, kernel) in FUSED {
        let exact = on(Vectors::Baseline, || kernel(DType::F64)).unwrap();
        for (dtype, tolerance) in [(DType::F32, 5e-6), (DType::F64, 1e-13)] {
            for vectors in here() {
                let found = on(vectors, || kernel(dtype)).unwrap();
                assert_eq!(found.len(), exact.len());
                for (found, exact) in found.iter().zip(&exact) {
                    assert_eq!(found.dims(), exact.dims());
                    let exact = values(std::slice::from_ref(exact));
                    let top = exact.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
                    for (found, exact) in values(std::slice::from_ref(found)).iter().zip(exact) {
                        let error = (found - exact).abs() / top;
                        assert!(error < tolerance, "{name} in {dtype:?} on {vectors:?}: {error:e}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_test_gets_the_vectors_that_it_asks_for() {
    for vectors in here() {
        assert_eq!(on(vectors, Vectors::of_this_machine), vectors);
        assert_eq!(on(vectors, || rayon::join(|| (), Vectors::of_this_machine).1), vectors);
    }
    assert_eq!(Some(Vectors::of_this_machine()), here().last());
}
