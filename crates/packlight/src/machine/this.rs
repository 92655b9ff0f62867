//! The rates of this machine, measured.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use packlight::kernels::{accumulate, linear};

use super::Machine;

/// How long each rate is measured.
const TIME: Duration = Duration::from_millis(60);

/// Elements of a tensor that no cache holds.
const ELEMENTS: usize = 16 << 20;

/// Rows and columns of the factors of a product.
const SIDE: usize = 1024;

/// Measures this machine: the sum of two large tensors, and the product of two matrices.
pub(super) fn measured() -> anyhow::Result<Machine> {
    let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu);
    let (a, b) = (tensor(&[ELEMENTS])?, tensor(&[ELEMENTS])?);
    let sums = runs_a_second(|| Ok(accumulate::add_in_place(&a, &b)?))?;
    drop((a, b));
    let (a, b) = (tensor(&[SIDE, SIDE])?, tensor(&[SIDE, SIDE])?);
    let products = runs_a_second(|| Ok(linear::forward(&a, &b, None).map(drop)?))?;
    let threads = rayon::current_num_threads();
    Ok(Machine {
        name: "this machine".to_owned(),
        source: format!("measured now, with {threads} threads"),
        memory_bytes: memory(),
        bytes_per_second: sums * (3 * ELEMENTS * size_of::<f32>()) as f64,
        f32_per_second: products * 2.0 * (SIDE as f64).powi(3),
        bf16_per_second: None,
    })
}

/// How often `run` runs in a second: the fastest of as many runs as [`TIME`] holds.
fn runs_a_second(run: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    run()?; // the first one touches its memory
    let (start, mut fastest) = (Instant::now(), f64::INFINITY);
    while start.elapsed() < TIME {
        let begun = Instant::now();
        run()?;
        fastest = fastest.min(begun.elapsed().as_secs_f64());
    }
    Ok(1.0 / fastest)
}

/// The bytes of this machine's memory; `None` where the system does not say.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?)
}
