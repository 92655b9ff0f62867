//! The cost of a low-rank codec, compared with the convolution whose input it packs.

#![allow(missing_docs, clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use criterion::{Criterion, criterion_group};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::gram::gram;
use packlight_kernels::mode_product::mode_product;
use packlight_kernels::orthonormalise::orthonormalise;
use packlight_kernels::symmetric_eigen::symmetric_eigen;

fn normal(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
}

/// The inputs of ResNet-18's four stages, at width 64 and batch 64 on 32 x 32 pixels.
fn stages(criterion: &mut Criterion) {
    for (channels, size) in [(64, 32), (128, 16), (256, 8), (512, 4)] {
        let mut group = criterion.benchmark_group(format!("64x{channels}x{size}x{size}"));
        group.sample_size(10);
        let x = normal(&[64, channels, size, size]);
        let weight = normal(&[channels, channels, 3, 3]);
        let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        group.bench_function("convolution", |b| {
            b.iter(|| conv2d::forward(&x, &weight, None, &geometry).unwrap());
        });
        for axis in 0..4 {
            let length = x.dim(axis).unwrap();
            group.bench_function(format!("gram/{axis}"), |b| b.iter(|| gram(&x, axis).unwrap()));
            let u = normal(&[length.div_ceil(4), length]);
            group.bench_function(format!("mode_product/{axis}"), |b| {
                b.iter(|| mode_product(&x, &u, axis).unwrap());
            });
        }
        group.finish();
    }
}

fn matrices(criterion: &mut Criterion) {
    for n in [64, 128, 256, 512] {
        let mut group = criterion.benchmark_group(format!("{n}x{n}"));
        group.sample_size(10);
        let g = gram(&normal(&[n, 2 * n]), 0).unwrap();
        for kept in [n / 8, n] {
            group.bench_function(format!("symmetric_eigen/{kept}"), |b| {
                b.iter(|| symmetric_eigen(&g, |_| Ok(kept)).unwrap());
            });
        }
        let tall = normal(&[n, n / 8]);
        group.bench_function(format!("orthonormalise/{}", n / 8), |b| {
            b.iter(|| orthonormalise(&tall).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, stages, matrices);
fn main() -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?; // as the program does
    benches();
    Criterion::default().configure_from_args().final_summary();
    Ok(())
}
