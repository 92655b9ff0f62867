//! Activation functions, norms and the loss on the activations of a transformer and of a
//! convolutional network.

#![allow(missing_docs, clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use criterion::{Criterion, criterion_group};
use packlight_kernels::cross_entropy::{self, Targets};
use packlight_kernels::{batch_norm, gelu, layer_norm, silu};

fn normal(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
}

fn pointwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("32x65x256");
    let (x, g) = (normal(&[32, 65, 256]), normal(&[32, 65, 256]));
    group.bench_function("gelu/forward", |b| b.iter(|| gelu::forward(&x).unwrap()));
    group.bench_function("gelu/backward", |b| b.iter(|| gelu::backward((&x).into(), &g).unwrap()));
    group.bench_function("silu/forward", |b| b.iter(|| silu::forward(&x).unwrap()));
    group.bench_function("silu/backward", |b| b.iter(|| silu::backward((&x).into(), &g).unwrap()));
    let (weight, bias) = (normal(&[256]), normal(&[256]));
    let forward = || layer_norm::forward(&x, &weight, &bias, 1e-5).unwrap();
    group.bench_function("layer_norm/forward", |b| b.iter(forward));
    let kept = forward();
    group.bench_function("layer_norm/backward", |b| {
        b.iter(|| {
            layer_norm::backward((&x).into(), &g, &kept.mean, &kept.inverse, &weight).unwrap()
        });
    });
    let labels = Tensor::zeros((32, 65), candle_core::DType::U32, &Device::Cpu).unwrap();
    for smoothing in [0.0, 0.1] {
        let targets = Targets { smoothing, ignored: None };
        let loss = || cross_entropy::forward(&x, &labels, &targets).unwrap();
        group.bench_function(format!("cross_entropy/forward/{smoothing}"), |b| b.iter(loss));
        let (one, p) = (Tensor::new(1f32, &Device::Cpu).unwrap(), loss().1);
        group.bench_function(format!("cross_entropy/backward/{smoothing}"), |b| {
            b.iter(|| cross_entropy::backward(&p, &labels, &targets, &one).unwrap());
        });
    }
    group.finish();
}

fn images(criterion: &mut Criterion) {
    for (channels, size) in [(64, 32), (512, 4)] {
        let mut group = criterion.benchmark_group(format!("64x{channels}x{size}x{size}"));
        let shape = [64, channels, size, size];
        let (x, g, one) = (normal(&shape), normal(&shape), normal(&[channels]));
        group.bench_function("batch_norm/statistics", |b| {
            b.iter(|| batch_norm::statistics(&x).unwrap());
        });
        group.bench_function("batch_norm/backward", |b| {
            b.iter(|| batch_norm::backward(&x, &g, &one, &one, &one).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, pointwise, images);
fn main() -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?; // as the program does
    benches();
    Criterion::default().configure_from_args().final_summary();
    Ok(())
}
