//! Kernels give the same bits for any number of threads.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_kernels::block_sparse::BlockSparse;
use packlight_kernels::patches::{self, Patches};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::{bit_mask, dither, linear, top_k};

/// The results of the kernels for a large tensor with many equal magnitudes.
fn results() -> Vec<Vec<f32>> {
    let key = Key::new(4, Purpose::Sample);
    let mut stream = key.stream();
    let values: Vec<f32> = (0..8 * 16 * 40 * 40).map(|_| stream.below(50) as f32 - 25.0).collect();
    let x = Tensor::from_vec(values, (8, 16, 40, 40), &Device::Cpu).unwrap();
    let grad = dither::dither(&x, dither::deviation(&x).unwrap(), key).unwrap();
    let indices = top_k::indices(&x, 70_001).unwrap();
    let mask = top_k::mask(&x, 8, 7_001).unwrap();
    let blocks = BlockSparse::pack(&x, 8 * 16 * 40, 7, 1000).unwrap();
    let tokens = grad.reshape((8 * 16 * 40, 40)).unwrap();
    let windows = Patches { count: 14, size: 3, before: 1 };
    let tensors = [
        top_k::gather(&x, &indices).unwrap(),
        bit_mask::compress(&x, &mask).unwrap(),
        indices,
        mask,
        blocks.linear_weight_grad(&tokens).unwrap(),
        patches::means(&x, windows, windows).unwrap(),
        grad,
    ];
    let values = |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1();
    tensors.iter().map(|tensor| values(tensor).unwrap()).collect()
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(results)
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(7));
}

/// Products that are divided among threads in different ways: of long sums, beside few columns, and with rows that
/// would be alone.
#[test]
fn products_do_not_depend_on_the_number_of_threads() {
    let sample = |shape: (usize, usize), name: &str| {
        let mut stream = Key::new(4, Purpose::Sample).layer(name).stream();
        let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| stream.normal() as f32).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    for (tokens, n, m) in
        [(1123, 600, 65), (1057, 1100, 40), (70, 64, 1300), (33, 700, 200), (5, 3, 2)]
    {
        let (x, weight) = (sample((tokens, n), "input"), sample((m, n), "weight"));
        let (grad, bias) =
            (sample((tokens, m), "gradient"), sample((1, m), "bias").squeeze(0).unwrap());
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let results = || {
                [
                    linear::forward(&x, &weight, Some(&bias)),
                    linear::forward(&x, &weight, None),
                    linear::input_grad(&grad, &weight),
                    linear::weight_grad(&x, &grad),
                    linear::transposed_weight_grad((&x).into(), &grad),
                    linear::bias_grad(&grad),
                ]
            };
            let bits = |tensor: Result<Tensor, _>| {
                let values = tensor.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            pool.install(|| results().map(bits))
        };
        let one = with(1);
        for threads in [2, 3, 7, 16, 35] {
            assert!(with(threads) == one, "{tokens} x {n} x {m}, {threads} threads");
        }
    }
}
