//! Compares Gram matrices, eigenvectors, orthonormal bases and mode products with the sums that
//! define them and with another decomposition, over random shapes.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use ndarray::Array2;
use ndarray_linalg::SVD;
use packlight_kernels::Error;
use packlight_kernels::gram::gram;
use packlight_kernels::mode_product::mode_product;
use packlight_kernels::orthonormalise::orthonormalise;
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::symmetric_eigen::{Eigen, rank_for_energy, symmetric_eigen};
use proptest::prelude::*;
use rayon::prelude::*;

fn sample(shape: &[usize], name: &str, dtype: DType) -> Tensor {
    let mut stream = Key::new(7, Purpose::Sample).layer(name).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    tensor(values, shape, dtype)
}

fn tensor(values: Vec<f64>, shape: &[usize], dtype: DType) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    values(tensor).into_iter().map(f64::to_bits).collect()
}

/// All rows of the unfolding along `axis`, in f64.
fn unfold(tensor: &Tensor, axis: usize) -> Array2<f64> {
    let rows = tensor.dim(axis).unwrap();
    let moved = tensor.transpose(0, axis).unwrap().contiguous().unwrap();
    Array2::from_shape_vec((rows, tensor.elem_count() / rows.max(1)), values(&moved)).unwrap()
}

fn array(tensor: &Tensor) -> Array2<f64> {
    Array2::from_shape_vec(tensor.dims2().unwrap(), values(tensor)).unwrap()
}

fn all(matrix: &Tensor) -> Eigen {
    symmetric_eigen(matrix, |values| Ok(values.len())).unwrap()
}

fn assert_close(found: &Array2<f64>, expected: &Array2<f64>, tolerance: f64) {
    assert_eq!(found.dim(), expected.dim());
    let off = (found - expected).iter().fold(0.0f64, |top, x| top.max(x.abs()));
    assert!(off <= tolerance, "off by {off}, more than {tolerance}");
}

fn assert_orthonormal(columns: &Array2<f64>, tolerance: f64) {
    assert_close(&columns.t().dot(columns), &Array2::eye(columns.ncols()), tolerance);
}

fn dtypes() -> impl Strategy<Value = (DType, f64)> {
    prop_oneof![Just((DType::F32, 1e-5)), Just((DType::F64, 1e-12))]
}

/// Shapes of 1 to 4 axes, some of them long enough to be taken without a copy, and an axis.
fn shapes() -> impl Strategy<Value = (Vec<usize>, usize)> {
    let length = prop_oneof![4 => 1usize..9, 1 => 60usize..150];
    prop::collection::vec(length, 1..=4)
        .prop_filter("small enough", |shape| shape.iter().product::<usize>() <= 40_000)
        .prop_flat_map(|shape| (Just(shape.clone()), 0..shape.len()))
}

fn check_gram(shape: &[usize], axis: usize, dtype: DType, tolerance: f64) {
    let x = sample(shape, "gram", dtype);
    let unfolded = unfold(&x, axis);
    let expected = unfolded.dot(&unfolded.t());
    let top = expected.diag().iter().fold(0.0f64, |top, x| top.max(*x));
    assert_close(&array(&gram(&x, axis).unwrap()), &expected, tolerance * top);
}

/// Rows in runs, few and many columns of them; whole entries of the outer axes, parts of them, and
/// copies.
#[test]
fn every_way_through_an_unfolding_is_right() {
    let shapes: [(&[usize], usize); 7] = [
        (&[3, 40, 12], 1),
        (&[2, 70, 1028], 1),
        (&[33, 4100], 0),
        (&[20, 7, 132], 1),
        (&[3, 7, 3000], 1),
        (&[40, 5, 6], 1),
        (&[50, 33], 1),
    ];
    for (shape, axis) in shapes {
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-12)] {
            check_gram(shape, axis, dtype, tolerance);
            let x = sample(shape, "product", dtype);
            let matrix = sample(&[5, shape[axis]], "matrix", dtype);
            let found = unfold(&mode_product(&x, &matrix, axis).unwrap(), axis);
            let expected = array(&matrix).dot(&unfold(&x, axis));
            assert_close(&found, &expected, tolerance * 5.0 * shape[axis] as f64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn gram_is_the_product_of_the_unfolding((shape, axis) in shapes(), (dtype, tolerance) in dtypes()) {
        check_gram(&shape, axis, dtype, tolerance);
    }

    #[test]
    fn mode_product_is_the_product_with_the_unfolding(
        (shape, axis) in shapes(), rows in 1usize..12, turned: bool, (dtype, tolerance) in dtypes(),
    ) {
        let x = sample(&shape, "product", dtype);
        let matrix = match turned {
            true => sample(&[shape[axis], rows], "matrix", dtype).t().unwrap(),
            false => sample(&[rows, shape[axis]], "matrix", dtype),
        };
        let found = mode_product(&x, &matrix, axis).unwrap();
        let mut expected_shape = shape.clone();
        expected_shape[axis] = rows;
        assert_eq!(found.dims(), expected_shape);
        assert_eq!(found.dtype(), dtype);
        let expected = array(&matrix).dot(&unfold(&x, axis));
        assert_close(&unfold(&found, axis), &expected, tolerance * 5.0 * shape[axis] as f64);
    }

    #[test]
    fn eigenvectors_of_the_gram_matrix_are_left_singular_vectors(
        (shape, axis) in shapes(), (dtype, tolerance) in dtypes(), energy in 0.0..1.0,
    ) {
        let x = sample(&shape, "eigen", dtype);
        let g = gram(&x, axis).unwrap();
        let (u, s, _) = unfold(&x, axis).svd(true, false).unwrap();
        let total: f64 = s.iter().map(|s| s * s).sum();

        let Eigen { values, vectors } =
            symmetric_eigen(&g, |values| rank_for_energy(values, energy)).unwrap();
        for (i, value) in values.iter().enumerate() {
            let expected = s.get(i).map_or(0.0, |s| s * s);
            assert!((value - expected).abs() <= tolerance * total, "{value} {expected}");
        }
        let vectors = array(&vectors);
        let kept = vectors.ncols();
        assert_eq!(kept, rank_for_energy(&values, energy).unwrap());
        assert_orthonormal(&vectors, 1e-12);
        for (vector, value) in vectors.columns().into_iter().zip(&values) {
            let off = array(&g).dot(&vector) - &vector * *value;
            assert!(off.dot(&off).sqrt() <= 1e-12 * total);
        }
        // The same space, wherever what is kept and what is not differ enough to tell.
        let gap = values[kept - 1] - values.get(kept).copied().unwrap_or(0.0);
        if gap > 1e-2 * total {
            let u = u.unwrap();
            let u = u.slice(ndarray::s![.., ..kept]);
            assert_close(&vectors.dot(&vectors.t()), &u.dot(&u.t()), 200.0 * tolerance);
        }
    }

    #[test]
    fn orthonormal_columns_span_the_same(
        m in 1usize..90, k in 1usize..12, rank in 0usize..12, (dtype, tolerance) in dtypes(),
    ) {
        let (k, rank) = (k.min(m), rank.min(k).min(m));
        let factor = array(&sample(&[m, rank], "left", DType::F64));
        let a = factor.dot(&array(&sample(&[rank, k], "right", DType::F64)));
        let a = tensor(a.iter().copied().collect(), &[m, k], dtype);
        let q = orthonormalise(&a).unwrap();
        assert_eq!((q.dims(), q.dtype()), (a.dims(), dtype));
        let (q, a) = (array(&q), array(&a));
        assert_orthonormal(&q, tolerance);
        assert_close(&q.dot(&q.t().dot(&a)), &a, 10.0 * tolerance * (1.0 + rank as f64));
    }
}

/// As on a CUDA device, where activations may be bf16.
#[test]
fn bases_of_bf16_are_those_of_the_same_numbers_rounded() {
    let a = sample(&[40, 5], "narrow", DType::F32).to_dtype(DType::BF16).unwrap();
    let q = orthonormalise(&a).unwrap();
    assert_eq!((q.dims(), q.dtype()), (a.dims(), DType::BF16));
    let exact = orthonormalise(&a.to_dtype(DType::F64).unwrap()).unwrap();
    for (found, exact) in values(&q).iter().zip(values(&exact)) {
        assert!((found - exact).abs() <= exact.abs() / 256.0, "{found} {exact}");
    }
}

#[test]
fn a_tucker_decomposition_of_low_rank_is_exact() {
    let core = sample(&[2, 3, 2, 1], "core", DType::F64);
    let x = [(0, 6), (1, 9), (2, 7), (3, 5)].into_iter().fold(core, |x, (axis, length)| {
        let factor = sample(&[length, x.dim(axis).unwrap()], &format!("u{axis}"), DType::F64);
        mode_product(&x, &factor, axis).unwrap()
    });
    let keep = |values: &[f64]| rank_for_energy(values, 1.0 - 1e-12);
    let factors: Vec<Tensor> =
        (0..4).map(|m| symmetric_eigen(&gram(&x, m).unwrap(), keep).unwrap().vectors).collect();
    assert_eq!([2, 3, 2, 1], *factors.iter().map(|u| u.dim(1).unwrap()).collect::<Vec<_>>());
    let mut packed = x.clone();
    for (axis, u) in factors.iter().enumerate() {
        packed = mode_product(&packed, &u.t().unwrap(), axis).unwrap();
    }
    for (axis, u) in factors.iter().enumerate() {
        packed = mode_product(&packed, u, axis).unwrap();
    }
    assert_close(&unfold(&packed, 0), &unfold(&x, 0), 1e-12);
}

#[test]
fn rounding_does_not_grow_with_the_size() {
    // All of one sign, as after a ReLU, where rounding in a long f32 sum is worst.
    let x = sample(&[2, 1_000_000], "long", DType::F32).abs().unwrap();
    let wide = x.to_dtype(DType::F64).unwrap();
    let (found, expected) = (gram(&x, 0).unwrap(), gram(&wide, 0).unwrap());
    for (found, expected) in values(&found).iter().zip(values(&expected)) {
        assert!((found / expected - 1.0).abs() < 2e-7, "{found} {expected}");
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut found = Vec::new();
            for dtype in [DType::F32, DType::F64] {
                for shape in [[16, 144, 8, 8], [5, 70, 24, 24]] {
                    let x = sample(&shape, "threads", dtype);
                    let axes: Vec<Vec<u64>> = (0..4)
                        .into_par_iter() // eigenproblems side by side
                        .flat_map_iter(|axis| {
                            let g = gram(&x, axis).unwrap();
                            let eigen = all(&g);
                            let u = eigen.vectors.to_dtype(dtype).unwrap();
                            let q = orthonormalise(&u).unwrap();
                            let y = mode_product(&x, &u.t().unwrap(), axis).unwrap();
                            let spectrum = eigen.values.into_iter().map(f64::to_bits).collect();
                            [bits(&g), spectrum, bits(&u), bits(&q), bits(&y)]
                        })
                        .collect();
                    found.push(axes);
                }
            }
            found
        })
    };
    let one = run(1);
    for threads in [1, 2, 3] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn what_has_no_rank() {
    for dtype in [DType::F32, DType::F64] {
        let zeros = Tensor::zeros((3, 4, 5), dtype, &Device::Cpu).unwrap();
        for axis in 0..3 {
            let g = gram(&zeros, axis).unwrap();
            let eigen = symmetric_eigen(&g, |values| rank_for_energy(values, 0.9)).unwrap();
            assert!(eigen.values.iter().all(|value| *value == 0.0));
            assert_eq!(eigen.vectors.dim(1).unwrap(), 1);
            assert_orthonormal(&array(&all(&g).vectors), 1e-14);
        }
        let zeros = Tensor::zeros((6, 3), dtype, &Device::Cpu).unwrap();
        assert_orthonormal(&array(&orthonormalise(&zeros).unwrap()), 1e-14);
    }
    let empty = Tensor::zeros((3, 0, 2), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(values(&gram(&empty, 0).unwrap()), [0.0; 9]);
    assert_eq!(gram(&empty, 1).unwrap().dims(), [0, 0]);
    let widened =
        mode_product(&empty, &Tensor::zeros((4, 0), DType::F32, &Device::Cpu).unwrap(), 1);
    assert_eq!(values(&widened.unwrap()), [0.0; 24]);
    assert_eq!(all(&gram(&empty, 1).unwrap()).vectors.dims(), [0, 0]);
}

#[test]
fn extreme_sizes_neither_overflow_nor_vanish() {
    for scale in [1e-300, 1e300] {
        let g = tensor(vec![2.0 * scale, scale, scale, 2.0 * scale], &[2, 2], DType::F64);
        let eigen = all(&g);
        assert!((eigen.values[0] / scale - 3.0).abs() < 1e-14);
        assert!((eigen.values[1] / scale - 1.0).abs() < 1e-14);
    }
}

#[test]
fn what_is_not_finite_is_an_error() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for dtype in [DType::F32, DType::F64] {
            let mut square = vec![0.5; 49];
            square[23] = bad;
            let square = tensor(square, &[7, 7], dtype);
            let failures = [
                gram(&square, 0).map(drop),
                gram(&square, 1).map(drop),
                symmetric_eigen(&square, |values| Ok(values.len())).map(drop),
                orthonormalise(&square).map(drop),
            ];
            for failure in failures {
                assert!(matches!(failure, Err(Error::NotFinite { .. })), "{failure:?}");
            }
        }
    }
    let large = Tensor::full(1e30f32, (2, 2), &Device::Cpu).unwrap();
    assert!(matches!(gram(&large, 0), Err(Error::NotFinite { .. })));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let wide = sample(&[3, 5], "wide", DType::F32);
    assert!(gram(&wide, 2).is_err());
    assert!(mode_product(&wide, &wide, 0).is_err());
    assert!(mode_product(&wide, &wide, 2).is_err());
    assert!(mode_product(&wide, &sample(&[2, 5], "m", DType::F64), 1).is_err());
    assert!(symmetric_eigen(&wide, |_| Ok(1)).is_err());
    assert!(orthonormalise(&wide).is_err());
    let integers = wide.to_dtype(DType::U32).unwrap();
    assert!(matches!(gram(&integers, 0), Err(Error::DType { .. })));
    assert!(matches!(orthonormalise(&integers.t().unwrap()), Err(Error::DType { .. })));
}
