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
use packlight::autograd::Pass;
use packlight::autograd::allocator::{self, Counting};
use packlight::kernels::rng::{Key, Purpose};
use packlight::nn::model::{Inputs, Resnet18};
use packlight::nn::optimizer::{Sgd, SgdConfig};
use packlight::nn::{Model, ModelSpec, Plan, Trainer};

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

const BATCH: usize = 64;
const CLASSES: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{} threads", rayon::current_num_threads());
    let mut criterion = Criterion::default().configure_from_args();
    // With the turns that each takes for the table.
    for (width, rounds) in [(16, 15), (64, 5)] {
        let name = format!("resnet18 width {width}");
        let mut group = criterion.benchmark_group(&name);
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_millis(100));
        group.measurement_time(Duration::from_secs(if width == 16 { 5 } else { 12 }));

        let mut contestants = vec![Contestant::new("candle", candle_step(width)?)?];
        for plan in ["none", "pool2", "pool4"] {
            contestants.push(Contestant::new(plan, packlight_step(width, plan)?)?);
        }
        for contestant in &mut contestants {
            // Criterion takes ten samples at least, which for candle at this width would be minutes.
            if contestant.name != "candle" || width == 16 {
                let step = &mut contestant.step;
                group.bench_function(contestant.name, |b| b.iter(|| step().is_ok()));
            }
        }
        group.finish();
        // By turns, so that whatever else the machine does falls on all of them alike.
        for _ in 0..rounds {
            contestants.iter_mut().try_for_each(Contestant::time_step)?;
        }
        print_table(&name, &contestants);
    }
    criterion.final_summary();
    Ok(())
}

type Step = Box<dyn FnMut() -> candle_core::Result<()>>;

/// One of those that are compared.
struct Contestant {
    name: &'static str,
    step: Step,
    times: Vec<Duration>,
    /// The most bytes allocated at once during a step, above those before it.
    peak: usize,
}

impl Contestant {
    fn new(name: &'static str, mut step: Step) -> candle_core::Result<Self> {
        step()?; // what is allocated once
        let before = allocator::live();
        allocator::reset_peak();
        step()?;
        let peak = allocator::peak() - before;
        Ok(Self { name, step, times: Vec::new(), peak })
    }

    /// A turn: one step that finds caches and pages as another has left them, then one that is timed.
    fn time_step(&mut self) -> candle_core::Result<()> {
        (self.step)()?;
        let begun = Instant::now();
        (self.step)()?;
        self.times.push(begun.elapsed());
        Ok(())
    }

    /// Median of the steps taken by turns, in milliseconds.
    fn milliseconds(&self) -> f64 {
        1e3 * median(self.times.iter().map(Duration::as_secs_f64))
    }

    /// How many times as long as the other's a step takes in the same turn; median over the turns.
    fn time_over(&self, other: &Self) -> f64 {
        let turns = self.times.iter().zip(&other.times);
        median(turns.map(|(own, other)| own.as_secs_f64() / other.as_secs_f64()))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

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
    let spec = ModelSpec::new(Resnet18 { width, ..Resnet18::default() });
    let spec = spec.for_images(3, 32, CLASSES)?;
    let model = Model::planned(&spec, &Plan::parse(plan)?, 0, DType::F32, &Device::Cpu)?;
    let sgd = sgd(model.parameters().vars())?;
    let mut trainer = Trainer::new(model.parameters(), sgd, 0, u64::MAX);
    let images = Inputs::Images(images);
    Ok(Box::new(move || {
        let loss = |pass: &Pass| model.loss(&model.logits(&images, pass)?, &labels);
        trainer.step(loss).map(drop).map_err(candle_core::Error::wrap)
    }))
}

fn print_table(name: &str, contestants: &[Contestant]) {
    let (candle, none) = (&contestants[0], &contestants[1]);
    println!("\n{name}, batch {BATCH}, 3 x 32 x 32: one step");
    println!(
        "{:<8} {:>10} {:>8} {:>8} {:>12} {:>8}",
        "", "time", "candle/", "/ none", "peak", "candle/"
    );
    for contestant in contestants {
        println!(
            "{:<8} {:>7.1} ms {:>8.2} {:>8.2} {:>8.1} MiB {:>8.2}",
            contestant.name,
            contestant.milliseconds(),
            candle.time_over(contestant),
            contestant.time_over(none),
            contestant.peak as f64 / f64::from(1 << 20),
            candle.peak as f64 / contestant.peak as f64,
        );
    }
    println!();
}
