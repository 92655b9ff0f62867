//! Weight gradients summed up one product after the other, in f64.

use candle_core::{DType, Tensor};

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A convolution's weight gradient, (O,C,3,3) for `grad` (N,O,H,W), summed up one product after the
/// other. Each codec's is held against it, also where it is the default, which unpacks.
pub(crate) fn conv2d_weight_grad(x: &Tensor, grad: &Tensor) -> Vec<f64> {
    let ((n, c, h, w), o) = (x.dims4().unwrap(), grad.dims()[1]);
    let (x, grad) = (values(x), values(grad));
    let mut sums = vec![0.0; o * c * 9];
    for (at, sum) in sums.iter_mut().enumerate() {
        let (out, channel, row, column) = (at / 9 / c, at / 9 % c, at / 3 % 3, at % 3);
        for pixel in 0..n * h * w {
            let (sample, i, j) = (pixel / w / h, pixel / w % h + row, pixel % w + column);
            // Padded by one.
            if (1..=h).contains(&i) && (1..=w).contains(&j) {
                *sum += x[((sample * c + channel) * h + i - 1) * w + j - 1]
                    * grad[(sample * o + out) * h * w + pixel % (h * w)];
            }
        }
    }
    sums
}

/// A linear layer's weight gradient, (O,F) for `grad` (...,O) and `x` (...,F), in the same way.
pub(crate) fn linear_weight_grad(x: &Tensor, grad: &Tensor) -> Vec<f64> {
    let last = |t: &Tensor| *t.dims().last().unwrap();
    let (features, outputs) = (last(x), last(grad));
    let (x, grad) = (values(x), values(grad));
    let of = |at: usize| {
        let tokens = x.chunks(features).zip(grad.chunks(outputs));
        tokens.map(|(x, grad)| x[at % features] * grad[at / features]).sum()
    };
    (0..outputs * features).map(of).collect()
}
