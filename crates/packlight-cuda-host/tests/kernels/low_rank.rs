//! Gram matrices, products along an axis, rows near lines.

use candle_core::{DType, Tensor};
use packlight_cuda_host::{Host, Tolerance, here, prove};
use packlight_kernels::gram::gram;
use packlight_kernels::mode_product::mode_product;
use packlight_kernels::{cuda, nearest_line};

use crate::{close, results, sample, wide};

/// A tensor seen as (outer, length, inner) along an axis.
fn lengths(dims: &[usize], axis: usize) -> (usize, usize, usize) {
    (dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product())
}

#[test]
fn gram_matrices_of_every_axis_are_those_of_the_cpu() {
    for (shape, dtype) in
        [([3, 5, 7, 33], DType::F32), ([4, 2, 1, 3], DType::BF16), ([2, 3, 0, 4], DType::F32)]
    {
        let x = sample(&shape, "x", dtype);
        for axis in 0..4 {
            let expected = gram(&wide(&x), axis).unwrap();
            // Sums of at most 1024 products in f32.
            prove(&[expected], Tolerance::OfLargest(1e-6), |gpu| {
                Ok(vec![cuda::gram::gram(gpu, &x, lengths(&shape, axis))?])
            })
            .unwrap();
        }
    }
}

#[test]
fn a_gram_matrix_of_what_cannot_be_squared_is_refused() {
    if !here() {
        return;
    }
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        let x = Tensor::full(bad, (2, 3), &candle_core::Device::Cpu).unwrap();
        let error = cuda::gram::gram(&Host::default(), &x, (1, 2, 3)).unwrap_err().to_string();
        assert_eq!(error, gram(&x, 0).unwrap_err().to_string());
    }
}

#[test]
fn products_along_every_axis_are_those_of_the_cpu() {
    for shape in [[3, 5, 7, 33], [2, 1, 3, 1], [2, 3, 0, 4]] {
        let axes = (0..4).flat_map(|axis| [(axis, DType::F32), (axis, DType::BF16)]);
        for (axis, dtype) in axes {
            let x = sample(&shape, "x", dtype);
            for rows in [0, 1, 4] {
                let matrix = sample((rows, shape[axis]), "m", dtype);
                let expected = mode_product(&wide(&x), &wide(&matrix), axis).unwrap();
                let expected = results(&[&expected], dtype);
                prove(&expected, close(dtype), |gpu| {
                    let lengths = lengths(&shape, axis);
                    let dims = expected[0].dims();
                    Ok(vec![cuda::mode_product::mode_product(gpu, &x, &matrix, lengths, dims)?])
                })
                .unwrap();
            }
        }
    }
}

#[test]
fn rows_and_their_lines_are_those_of_the_cpu() {
    for (t, k, n, m) in [(1, 1, 1, 1), (67, 40, 9, 5), (0, 3, 4, 2)] {
        let (x, lines) = (sample((t, n), "x", DType::F32), sample((k, n), "l", DType::F32));
        let values = sample((t, m), "v", DType::F32);
        let (indices, factors) = nearest_line::nearest(&x, &lines).unwrap();
        let back = nearest_line::restore(&lines, &indices, &factors).unwrap();
        let sums = nearest_line::gather(&values, &indices, &factors, k).unwrap();
        prove(std::slice::from_ref(&indices), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::nearest_line::nearest(gpu, &x, &lines)?.0])
        })
        .unwrap();
        prove(&[factors.clone(), back, sums], close(DType::F32), |gpu| {
            Ok(vec![
                cuda::nearest_line::nearest(gpu, &x, &lines)?.1,
                cuda::nearest_line::restore(gpu, &lines, &indices, &factors)?,
                cuda::nearest_line::gather(gpu, &values, &indices, &factors, k)?,
            ])
        })
        .unwrap();
    }
    // In bf16, exact numbers: ties, a line of zeros and a row of NaN among them.
    let rows = [[1.0, 0.0], [-3.0, -3.0], [0.0, 0.0], [f32::NAN, 1.0]];
    let lines = [[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [4.0, 0.0]];
    let narrow = |rows: &[[f32; 2]; 4]| {
        Tensor::new(rows, &candle_core::Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap()
    };
    let (rows, lines) = (narrow(&rows), narrow(&lines));
    let (indices, factors) = nearest_line::nearest(&wide(&rows), &wide(&lines)).unwrap();
    prove(&results(&[&indices, &factors], DType::BF16), Tolerance::Relative(0.0), |gpu| {
        let (indices, factors) = cuda::nearest_line::nearest(gpu, &rows, &lines)?;
        Ok(vec![indices, factors])
    })
    .unwrap();
    if here() {
        let one = indices.narrow(0, 1, 1).unwrap();
        let factor = factors.narrow(0, 1, 1).unwrap();
        let host = Host::default();
        assert!(cuda::nearest_line::restore(&host, &wide(&lines), &one, &factor).is_ok());
        let few = wide(&lines).narrow(0, 0, 1).unwrap();
        assert!(cuda::nearest_line::restore(&host, &few, &one, &factor).is_err());
    }
}
