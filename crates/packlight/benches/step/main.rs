//! One training step of ResNet-18: candle's own autograd against ours, in time and in memory.
//!
//! Batches of 64 images of 3 x 32 x 32; all with the same threads, as many as `RAYON_NUM_THREADS`
//! says or the machine has.

mod candle_resnet;

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer;
use candle_resnet::CandleResNet;
use criterion::{Criterion, SamplingMode};
use mimalloc::MiMalloc;
use packlight::autograd::allocator::{self, Counting};
use packlight::autograd::{Activation, Pass};
use packlight::kernels::rng::{Key, Purpose};
use packlight::nn::model::Architecture;
use packlight::nn::optimizer::{Sgd, SgdConfig};
use packlight::nn::{Model, ModelSpec, Module, Plan};

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

const BATCH: usize = 64;
const CLASSES: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{} threads", rayon::current_num_threads());
    let mut criterion = Criterion::default().configure_from_args();
    for width in [16, 64] {
        let mut rows = Vec::new();
        let name = format!("resnet18 width {width}");
        let mut group = criterion.benchmark_group(&name);
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_millis(100));
        group.measurement_time(Duration::from_secs(if width == 16 { 5 } else { 12 }));

        let mut candle = candle_step(width)?;
        let peak = peak_of(&mut candle)?;
        // Criterion takes ten samples at least, which at this width would be minutes.
        let begun = Instant::now();
        candle()?;
        rows.push(("candle", begun.elapsed(), peak));
        if width == 16 {
            group.bench_function("candle", |b| b.iter(|| candle().is_ok()));
        }
        drop(candle);
        for plan in ["none", "pool2", "pool4"] {
            let mut step = packlight_step(width, plan)?;
            let peak = peak_of(&mut step)?;
            let times = (0..5).map(|_| {
                let begun = Instant::now();
                step().map(|()| begun.elapsed())
            });
            let mut times = times.collect::<candle_core::Result<Vec<_>>>()?;
            times.sort();
            rows.push((plan, times[times.len() / 2], peak));
            group.bench_function(plan, |b| b.iter(|| step().is_ok()));
        }
        group.finish();
        print_table(&name, &rows);
    }
    criterion.final_summary();
    Ok(())
}

type Step = Box<dyn FnMut() -> candle_core::Result<()>>;

fn batch() -> candle_core::Result<(Tensor, Tensor)> {
    let mut random = Key::new(0, Purpose::Sample).stream();
    let pixels: Vec<f32> = (0..BATCH * 3 * 32 * 32).map(|_| random.normal() as f32).collect();
    let labels: Vec<u32> = (0..BATCH).map(|_| random.below(CLASSES as u32)).collect();
    let images = Tensor::from_vec(pixels, (BATCH, 3, 32, 32), &Device::Cpu)?;
    Ok((images, Tensor::from_vec(labels, BATCH, &Device::Cpu)?))
}

fn sgd(vars: Vec<Var>) -> candle_core::Result<Sgd> {
    Sgd::new(vars, SgdConfig { lr: 1e-3, ..SgdConfig::default() })
}

fn candle_step(width: usize) -> candle_core::Result<Step> {
    let (images, labels) = batch()?;
    let (model, vars) = CandleResNet::new(width, CLASSES)?;
    let mut optimizer = sgd(vars)?;
    Ok(Box::new(move || {
        let loss = candle_nn::loss::cross_entropy(&model.forward(&images)?, &labels)?;
        optimizer.step(&loss.backward()?)
    }))
}

fn packlight_step(width: usize, plan: &str) -> Result<Step, packlight::nn::Error> {
    let (images, labels) = batch()?;
    let spec = ModelSpec { width: Some(width), ..ModelSpec::new(Architecture::Resnet18) };
    let spec = spec.for_images(3, 32, CLASSES)?;
    let model = Model::planned(&spec, &Plan::parse(plan)?, 0, DType::F32, &Device::Cpu)?;
    let mut optimizer = sgd(model.parameters().vars())?;
    let loss = move || {
        let logits = model.forward(&Activation::from_tensor(&images, &Pass::training())?)?;
        Ok::<_, packlight::nn::Error>(model.loss(&logits, &labels)?.into_tensor()?)
    };
    Ok(Box::new(move || {
        let loss = loss().map_err(candle_core::Error::wrap)?;
        optimizer.step(&loss.backward()?)
    }))
}

/// The most bytes allocated at once during a step, above those before it.
fn peak_of(step: &mut Step) -> candle_core::Result<usize> {
    step()?; // what is allocated once
    let before = allocator::live();
    allocator::reset_peak();
    step()?;
    Ok(allocator::peak() - before)
}

fn print_table(name: &str, rows: &[(&str, Duration, usize)]) {
    let (_, candle_time, candle_peak) = rows[0];
    println!("\n{name}, batch {BATCH}, 3 x 32 x 32: one step");
    println!("{:<8} {:>10} {:>8} {:>12} {:>8}", "", "time", "candle/", "peak", "candle/");
    for (name, time, peak) in rows {
        println!(
            "{name:<8} {:>7.1} ms {:>8.2} {:>8.1} MiB {:>8.2}",
            1e3 * time.as_secs_f64(),
            candle_time.as_secs_f64() / time.as_secs_f64(),
            *peak as f64 / f64::from(1 << 20),
            candle_peak as f64 / *peak as f64,
        );
    }
    println!();
}
