//! What is written over an operand has the bits of what is written beside it.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::softmax::{self, Visible};
use packlight_kernels::values::Values;
use packlight_kernels::{Result, batch_norm, gelu, gelu_tanh, relu, relu6, silu, top_k};

fn sample(shape: &[usize], step: u64) -> Tensor {
    let mut stream = Key::new(2, Purpose::Sample).step(step).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn batch_norm_backward() {
    // The last has several pieces, of which none has all channels.
    for shape in [&[3, 5][..], &[2, 3, 4, 5], &[4, 5, 90, 91]] {
        for dtype in [DType::F32, DType::F64] {
            let tensor = |shape, step| sample(shape, step).to_dtype(dtype).unwrap();
            let (input, grad) = (tensor(shape, 0), tensor(shape, 1));
            let [mean, inverse, weight] = [2, 3, 4].map(|step| tensor(&shape[1..2], step));
            let beside = batch_norm::backward(&input, &grad, &mean, &inverse, &weight).unwrap();
            let over =
                batch_norm::backward_in_place(&input, &grad, &mean, &inverse, &weight).unwrap();
            for (over, beside) in [(&over.0, &beside.0), (&over.1, &beside.1), (&over.2, &beside.2)]
            {
                assert_eq!(values(over), values(beside), "{shape:?} {dtype:?}");
            }
            assert_eq!(values(&grad), values(&over.0), "it lies in the storage of the operand");
        }
    }
}

#[test]
fn batch_norm_forward() {
    for shape in [&[3, 5][..], &[2, 3, 4, 5], &[4, 5, 90, 91]] {
        for dtype in [DType::F32, DType::F64] {
            let tensor = |shape, step| sample(shape, step).to_dtype(dtype).unwrap();
            let x = tensor(shape, 0);
            let [a, b, c, d] = [1, 2, 3, 4].map(|step| tensor(&shape[1..2], step));
            let beside = batch_norm::normalise(&x, &a, &b, &c, &d).unwrap();
            batch_norm::normalise_in_place(&x, &a, &b, &c, &d).unwrap();
            assert_eq!(values(&x), values(&beside), "{shape:?} {dtype:?}");
        }
    }
}

#[test]
fn relus() {
    // Whole bytes of mask, and several pieces that are not.
    for count in [0, 8, 13, 70_001] {
        for dtype in [DType::F32, DType::F64] {
            let tensor = |step| (sample(&[count], step).to_dtype(dtype).unwrap() * 5.0).unwrap();
            let kernels = [
                (relu::forward as fn(&Tensor) -> _, relu::forward_in_place as fn(&Tensor) -> _),
                (relu6::forward, relu6::forward_in_place),
            ];
            for (beside, over) in kernels {
                let (x, grad) = (tensor(0), tensor(1));
                let (output, mask) = beside(&x).unwrap();
                assert_eq!(values(&over(&x).unwrap()), values(&mask), "{count} {dtype:?}");
                assert_eq!(values(&x), values(&output), "{count} {dtype:?}");
                let masked = relu::backward(&grad, &mask).unwrap();
                relu::backward_in_place(&grad, &mask).unwrap();
                assert_eq!(values(&grad), values(&masked), "{count} {dtype:?}");
            }
        }
    }
}

type Beside = fn(&Tensor) -> Result<Tensor>;
type Over = fn(&Tensor) -> Result<()>;
type BackwardBeside = fn(Values<'_>, &Tensor) -> Result<Tensor>;
type BackwardOver = fn(Values<'_>, &Tensor) -> Result<()>;

const FUNCTIONS: [(Beside, Over, BackwardBeside, BackwardOver); 3] = [
    (gelu::forward, gelu::forward_in_place, gelu::backward, gelu::backward_in_place),
    (
        gelu_tanh::forward,
        gelu_tanh::forward_in_place,
        gelu_tanh::backward,
        gelu_tanh::backward_in_place,
    ),
    (silu::forward, silu::forward_in_place, silu::backward, silu::backward_in_place),
];

#[test]
fn pointwise_functions() {
    // None, less than a vector, and several pieces.
    for count in [0, 13, 70_001] {
        for dtype in [DType::F32, DType::F64] {
            let tensor = |step| (sample(&[count], step).to_dtype(dtype).unwrap() * 5.0).unwrap();
            for (beside, over, backward, backward_over) in FUNCTIONS {
                let (x, grad) = (tensor(0), tensor(1));
                let (output, by_input) =
                    (beside(&x).unwrap(), backward((&x).into(), &grad).unwrap());
                backward_over((&x).into(), &grad).unwrap();
                assert_eq!(values(&grad), values(&by_input), "{count} {dtype:?}");
                over(&x).unwrap();
                assert_eq!(values(&x), values(&output), "{count} {dtype:?}");
            }
        }
    }
    let (x, grad) = (sample(&[3], 0), sample(&[4], 1));
    let error = gelu::backward_in_place((&x).into(), &grad).unwrap_err().to_string();
    assert!(error.contains("[3] and gradient [4] differ"), "{error}");
}

#[test]
fn softmaxes() {
    // The second has several pieces, the last no elements.
    for shape in [&[3, 4, 5][..], &[3, 50, 67], &[3, 2, 0]] {
        for dtype in [DType::F32, DType::F64] {
            let tensor = |step| (sample(shape, step).to_dtype(dtype).unwrap() * 5.0).unwrap();
            for causal in [false, true] {
                let visible = Visible { lengths: Some(vec![2, 5, 3]), causal };
                let (scores, grad) = (tensor(0), tensor(1));
                let output = softmax::forward(&scores, &visible).unwrap();
                let by_scores = softmax::backward(&output, &grad).unwrap();
                softmax::forward_in_place(&scores, &visible).unwrap();
                softmax::backward_in_place(&output, &grad).unwrap();
                assert_eq!(values(&scores), values(&output), "{shape:?} {dtype:?}");
                assert_eq!(values(&grad), values(&by_scores), "{shape:?} {dtype:?}");
            }
        }
    }
    let error = softmax::backward_in_place(&sample(&[2, 3], 0), &sample(&[3, 2], 1)).unwrap_err();
    assert!(error.to_string().contains("[2, 3] and gradient [3, 2] differ"), "{error}");
}

#[test]
fn what_is_not_contiguous_is_refused() {
    let x = sample(&[4, 6], 0).t().unwrap();
    let error = relu::forward_in_place(&x).unwrap_err().to_string();
    assert!(error.contains("not contiguous"), "{error}");
    for (_, over, _, backward_over) in FUNCTIONS {
        let error = over(&x).unwrap_err().to_string();
        assert!(error.contains("not contiguous"), "{error}");
        let error = backward_over((&x.contiguous().unwrap()).into(), &x).unwrap_err().to_string();
        assert!(error.contains("not contiguous"), "{error}");
    }
}

#[test]
fn top_k_put() {
    for dtype in [DType::F32, DType::F64] {
        // Of several pieces.
        let tensor = |shape: &[usize], step| sample(shape, step).to_dtype(dtype).unwrap();
        let (input, new) = (tensor(&[300, 301], 0), tensor(&[100], 1));
        let indices = Tensor::arange_step(5u32, 90_005, 900, &Device::Cpu).unwrap();
        let beside = top_k::put(&input, &new, &indices).unwrap();
        let over = top_k::put_over(input.copy().unwrap(), &new, &indices).unwrap();
        assert_eq!(values(&over), values(&beside));
        assert_eq!(values(&over)[905], values(&new)[1]);
        assert_eq!(values(&over)[906], values(&input)[906]);
        let outside = Tensor::full(300 * 301u32, 100, &Device::Cpu).unwrap();
        let error = top_k::put_over(input, &new, &outside).unwrap_err().to_string();
        assert!(error.contains("index 90300 lies outside"), "{error}");
    }
}
