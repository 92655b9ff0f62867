//! Kernels that restore codes as they read them compute what they do from the restored tensor.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_kernels::quantise::{self, Bits, Coded, Grouping, Rounding};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::values::Values;
use packlight_kernels::{gelu, gelu_tanh, layer_norm, linear, silu};

fn sample(shape: &[usize], step: u64, dtype: DType) -> Tensor {
    let mut stream = Key::new(3, Purpose::Sample).step(step).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Gives `check` codes of tensors of `tokens` times `features`, and the restored tensor.
fn for_codes(tokens: usize, features: usize, check: impl Fn(Values<'_>, Tensor)) {
    let all = tokens * features;
    let of_rows: Vec<u8> = (0..tokens).map(|row| 1 + (row % 8) as u8).collect();
    let groupings = [
        // Groups across tokens, each in runs of codes of which the last is shorter.
        Grouping { row: all, group: 600, bits: Bits::All(2) },
        Grouping { row: all, group: 256, bits: Bits::All(3) },
        Grouping { row: all, group: 77, bits: Bits::All(8) },
        Grouping { row: features, group: 64, bits: Bits::All(8) },
        Grouping { row: features, group: 30, bits: Bits::PerRow(&of_rows) },
    ];
    for dtype in [DType::F32, DType::F64] {
        let x = sample(&[tokens, features], 0, dtype);
        for grouping in groupings {
            let (codes, ranges) = quantise::pack(&x, &grouping, Rounding::Nearest).unwrap();
            let coded = Coded { codes: &codes, ranges: &ranges, grouping, shape: x.dims(), dtype };
            check(Values::Coded(coded), quantise::unpack(&coded).unwrap());
        }
        // Ranges that the rows share.
        let grouping = Grouping { row: features, group: 64, bits: Bits::All(8) };
        let ranges = vec![vec![-3f32, 0.02]; features.div_ceil(64)];
        let ranges = Tensor::new(ranges, &Device::Cpu).unwrap();
        let codes = quantise::pack_within(&x, &ranges, &grouping, Rounding::Nearest).unwrap();
        let coded = Coded { codes: &codes, ranges: &ranges, grouping, shape: x.dims(), dtype };
        check(Values::Coded(coded), quantise::unpack(&coded).unwrap());
    }
}

#[test]
fn functions_of_single_elements() {
    // None, less than a piece, and several pieces that begin and end within groups.
    for (tokens, features) in [(0, 5), (1, 1), (3, 100), (211, 130)] {
        for_codes(tokens, features, |coded, restored| {
            let grad = sample(&[tokens, features], 1, restored.dtype());
            for (backward, in_place) in [
                (
                    gelu::backward as fn(Values<'_>, &Tensor) -> _,
                    gelu::backward_in_place as fn(Values<'_>, &Tensor) -> _,
                ),
                (gelu_tanh::backward, gelu_tanh::backward_in_place),
                (silu::backward, silu::backward_in_place),
            ] {
                let expected = values(&backward((&restored).into(), &grad).unwrap());
                assert_eq!(values(&backward(coded, &grad).unwrap()), expected);
                let grad = grad.force_contiguous().unwrap();
                in_place(coded, &grad).unwrap();
                assert_eq!(values(&grad), expected);
            }
        });
    }
}

#[test]
fn layer_norms() {
    for_codes(150, 70, |coded, restored| {
        let dtype = restored.dtype();
        let (grad, weight) = (sample(&[150, 70], 1, dtype), sample(&[70], 2, dtype));
        let bias = weight.zeros_like().unwrap();
        let exact = layer_norm::forward(&restored, &weight, &bias, 1e-5).unwrap();
        let backward = |x: Values<'_>| {
            let (x, w, b) =
                layer_norm::backward(x, &grad, &exact.mean, &exact.inverse, &weight).unwrap();
            [x, w, b].map(|gradient| values(&gradient))
        };
        assert_eq!(backward(coded), backward((&restored).into()));
    });
}

#[test]
fn gradients_of_weights() {
    // The second takes more than one part: twice as many bytes as are restored at a time, and some.
    for (tokens, features) in [(40, 33), (1100, 2000)] {
        for_codes(tokens, features, |coded, restored| {
            let grad = sample(&[tokens, 9], 1, restored.dtype());
            let tolerance = if restored.dtype() == DType::F32 { 1e-3 } else { 1e-10 };
            let kernels = [
                (|x, grad| linear::weight_grad(x, grad)) as fn(Values<'_>, &Tensor) -> _,
                linear::transposed_weight_grad,
            ];
            for kernel in kernels {
                let expected = kernel((&restored).into(), &grad).unwrap();
                let found = kernel(coded, &grad).unwrap();
                assert_eq!(found.dims(), expected.dims());
                let pairs = values(&found).into_iter().zip(values(&expected));
                let far = pairs.map(|(a, b): (f64, f64)| (a - b).abs());
                assert!(far.fold(0.0, f64::max) < tolerance);
            }
        });
    }
}

#[test]
fn codes_that_do_not_fit_are_refused() {
    let x = sample(&[4, 6], 0, DType::F32);
    let grouping = Grouping { row: 6, group: 6, bits: Bits::All(4) };
    let (codes, ranges) = quantise::pack(&x, &grouping, Rounding::Nearest).unwrap();
    let coded =
        Coded { codes: &codes, ranges: &ranges, grouping, shape: &[5, 6], dtype: DType::F32 };
    let grad = sample(&[5, 6], 1, DType::F32);
    let error = gelu::backward_in_place(Values::Coded(coded), &grad).unwrap_err().to_string();
    assert!(error.contains("expected 15 bytes of codes, found 12"), "{error}");
    let error = linear::weight_grad(Values::Coded(Coded { shape: &[4, 6], ..coded }), &grad)
        .unwrap_err()
        .to_string();
    assert!(error.contains("differ in tokens"), "{error}");
}
