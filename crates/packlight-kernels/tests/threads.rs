//! Kernels give the same bits for any number of threads.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_kernels::block_sparse::BlockSparse;
use packlight_kernels::patches::{self, Patches};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::{bit_mask, dither, top_k};

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
