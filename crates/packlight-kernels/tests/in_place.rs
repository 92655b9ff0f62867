//! What is written over an operand has the bits of what is written beside it.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_kernels::batch_norm;
use packlight_kernels::rng::{Key, Purpose};

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
