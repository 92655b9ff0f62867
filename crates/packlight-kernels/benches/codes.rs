//! How fast values are quantised and restored.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group};
use packlight_kernels::division::{self, Maps};
use packlight_kernels::quantise::{self, Bits, Coded, Grouping, Rounding};
use packlight_kernels::rng::{Key, Purpose};

fn codes(criterion: &mut Criterion) {
    let x = Tensor::randn(0f32, 1.0, (64, 65, 192), &Device::Cpu).unwrap();
    let mut group = criterion.benchmark_group("64x65x192");
    group.throughput(Throughput::Elements(x.elem_count() as u64));
    let stochastic = Rounding::Stochastic(Key::new(1, Purpose::Codec));
    for bits in [2, 8] {
        let grouping = Grouping { row: 65 * 192, group: 256, bits: Bits::All(bits) };
        for (name, rounding) in [("nearest", Rounding::Nearest), ("stochastic", stochastic)] {
            group.bench_function(format!("pack/{bits}/{name}"), |b| {
                b.iter(|| quantise::pack(black_box(&x), &grouping, rounding).unwrap());
            });
        }
        let (codes, ranges) = quantise::pack(&x, &grouping, stochastic).unwrap();
        let (shape, dtype) = (x.dims(), DType::F32);
        let coded = Coded { codes: &codes, ranges: &ranges, grouping, shape, dtype };
        group.bench_function(format!("unpack/{bits}"), |b| {
            b.iter(|| quantise::unpack(black_box(&coded)).unwrap());
        });
    }
    let grouping = Grouping { row: 192, group: 64, bits: Bits::All(8) };
    let ranges = Tensor::new(&[[-3f32, 6.0 / 255.0]; 3], &Device::Cpu).unwrap();
    group.bench_function("extremes_over_rows/64", |b| {
        b.iter(|| quantise::extremes_over_rows(black_box(&x), 192, 64).unwrap());
    });
    group.bench_function("pack_within/64", |b| {
        b.iter(|| quantise::pack_within(black_box(&x), &ranges, &grouping, stochastic).unwrap());
    });
    let codes = quantise::pack_within(&x, &ranges, &grouping, stochastic).unwrap();
    let (shape, dtype) = (x.dims(), DType::F32);
    let coded = Coded { codes: &codes, ranges: &ranges, grouping, shape, dtype };
    group.bench_function("unpack_within/64", |b| {
        b.iter(|| quantise::unpack(black_box(&coded)).unwrap());
    });
    let tokens = Maps { size: (1, 192), block: (1, 64), bits: 2 };
    group.bench_function("division/pack", |b| {
        b.iter(|| division::pack(black_box(&x), &tokens, stochastic).unwrap());
    });
    group.finish();
    maps(criterion, stochastic);
}

/// Maps of the sizes that a ResNet-18 has, as `division` packs them.
fn maps(criterion: &mut Criterion, rounding: Rounding) {
    for (channels, side) in [(64, 32), (128, 16), (256, 8), (512, 4)] {
        let x = Tensor::randn(0f32, 1.0, (16, channels, side, side), &Device::Cpu).unwrap();
        let mut group = criterion.benchmark_group(format!("16x{channels}x{side}x{side}"));
        group.throughput(Throughput::Elements(x.elem_count() as u64));
        let maps = Maps { size: (side, side), block: (8, 8), bits: 2 };
        group.bench_function("division/pack", |b| {
            b.iter(|| division::pack(black_box(&x), &maps, rounding).unwrap());
        });
        let packed = division::pack(&x, &maps, rounding).unwrap();
        group.bench_function("division/unpack", |b| {
            b.iter(|| division::unpack(black_box(&packed), &maps, x.dims(), DType::F32).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, codes);
fn main() -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?; // as the program does
    benches();
    Criterion::default().configure_from_args().final_summary();
    Ok(())
}
