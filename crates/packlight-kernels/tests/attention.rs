//! The operations of attention, compared with the sums that define them.

#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{D, DType, Device, Tensor};
use common::{assert_tensors_close, sample, values};
use packlight_kernels::batched_matmul::{Matrices, products};
use packlight_kernels::cross_entropy::{self, Targets};
use packlight_kernels::softmax::{self, Visible};
use packlight_kernels::{mean_axis, permute};

#[track_caller]
fn close(found: &Tensor, expected: &Tensor) {
    assert_tensors_close(found, expected, 1e-13);
}

#[test]
fn products_in_every_orientation() {
    let (a, b) = (sample(&[2, 3, 4, 5], "a"), sample(&[2, 3, 5, 7], "b"));
    let expected = a.matmul(&b).unwrap();
    let swapped = |t: &Tensor| t.transpose(2, 3).unwrap().contiguous().unwrap();
    let (at, bt) = (swapped(&a), swapped(&b));
    for left in [Matrices::plain(&a), Matrices::transposed(&at)] {
        for right in [Matrices::plain(&b), Matrices::transposed(&bt)] {
            close(&products(left, right).unwrap(), &expected);
        }
    }
    let error = products(Matrices::plain(&a), Matrices::transposed(&b)).unwrap_err().to_string();
    assert!(error.contains("[2, 3, 4, 5] and [2, 3, 5, 7] (transposed) do not fit"), "{error}");
    assert!(products(Matrices::plain(&a), Matrices::plain(&sample(&[5, 7], "b"))).is_err());
    let empty = Tensor::zeros((2, 3, 5, 0), DType::F64, &Device::Cpu).unwrap();
    let product = products(Matrices::plain(&a), Matrices::plain(&empty)).unwrap();
    assert_eq!(product.dims(), [2, 3, 4, 0]);
}

#[test]
fn axes_in_every_order() {
    let x = sample(&[2, 3, 4, 5], "x");
    for axes in [[0, 2, 1, 3], [0, 1, 3, 2], [3, 2, 1, 0], [2, 0, 3, 1], [0, 1, 2, 3]] {
        let found = permute::permute(&x, &axes).unwrap();
        close(&found, &x.permute(axes.to_vec()).unwrap().contiguous().unwrap());
        close(&permute::permute(&found, &permute::inverse(&axes)).unwrap(), &x);
    }
    assert!(permute::permute(&x, &[0, 1, 2, 2]).is_err());
    assert!(permute::permute(&x, &[0, 1, 2]).is_err());
}

#[test]
fn means_over_each_axis() {
    let x = sample(&[2, 3, 4], "x");
    for axis in 0..3 {
        close(&mean_axis::forward(&x, axis).unwrap(), &x.mean(axis).unwrap());
    }
    assert!(mean_axis::forward(&x, 3).is_err());
}

#[test]
fn rows_see_what_they_may() {
    let scores = sample(&[2, 2, 3, 4], "scores");
    let all = softmax::forward(&scores, &Visible::default()).unwrap();
    let powers = scores.exp().unwrap();
    let expected = powers.broadcast_div(&powers.sum_keepdim(D::Minus1).unwrap()).unwrap();
    close(&all, &expected);

    let visible = Visible { lengths: Some(vec![2, 4]), causal: true };
    let some = softmax::forward(&scores, &visible).unwrap();
    let some: Vec<f64> = values(&some);
    for (row, probabilities) in some.chunks_exact(4).enumerate() {
        let seen = [2, 4][row / 6].min(row % 3 + 1);
        assert!(probabilities[..seen].iter().all(|&p| p > 0.0));
        assert!(probabilities[seen..].iter().all(|&p| p == 0.0));
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let misfit = Visible { lengths: Some(vec![2]), causal: false };
    assert!(softmax::forward(&scores, &misfit).is_err());
}

#[test]
fn labels_that_do_not_count_change_nothing() {
    let logits = sample(&[2, 3, 5], "logits");
    let targets = Targets { smoothing: 0.1, ignored: Some(0) };
    let labels = Tensor::new(&[[1u32, 4, 0], [2, 0, 0]], &Device::Cpu).unwrap();
    let (loss, probabilities) = cross_entropy::forward(&logits, &labels, &targets).unwrap();
    let counting = Tensor::new(&[0u32, 1, 3], &Device::Cpu).unwrap();
    let rows = logits.reshape((6, 5)).unwrap().index_select(&counting, 0).unwrap();
    let few = Tensor::new(&[1u32, 4, 2], &Device::Cpu).unwrap();
    close(&loss, &cross_entropy::forward(&rows, &few, &targets).unwrap().0);
    let one = Tensor::new(1f64, &Device::Cpu).unwrap();
    let grad = cross_entropy::backward(&probabilities, &labels, &targets, &one).unwrap();
    let of_row: Vec<f64> =
        values(&grad).chunks(5).map(|g| g.iter().map(|g| g.abs()).sum()).collect();
    assert!([0, 1, 3].iter().all(|&row| of_row[row] > 0.0));
    assert!([2, 4, 5].iter().all(|&row| of_row[row] == 0.0));
    let none = labels.zeros_like().unwrap();
    let error = cross_entropy::forward(&logits, &none, &targets).unwrap_err().to_string();
    assert!(error.contains("found none"), "{error}");
}
