//! How time and kept bytes of a training step grow with the batch and with the width, exact and with `pool2`.
//!
//! ResNet-18 on images of 3 x 32 x 32. Each point is a JSON line, and so is each exponent: the slope of a line
//! through the points in logarithms, which is 1 where a quantity is proportional to what it is drawn against. Both
//! are drawn in `target/scaling`. All points take turns, so that whatever else the machine does falls on all of
//! them alike. A batch is to cost what its samples do; twice the width has four times the multiplications and
//! twice the kept bytes.
//!
//! ```sh
//! just bench scaling
//! ```

mod draw;

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use mimalloc::MiMalloc;
use packlight::autograd::{Ledger, Pass};
use packlight::kernels::rng::{Key, Purpose};
use packlight::nn::model::{Inputs, Resnet18};
use packlight::nn::optimizer::{Sgd, SgdConfig};
use packlight::nn::{Model, ModelSpec, Plan, Trainer};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PLANS: [&str; 2] = ["none", "pool2"];
const THREADS: [usize; 2] = [1, 2];
const BATCHES: [usize; 7] = [8, 16, 32, 64, 128, 256, 512];
const WIDTHS: [usize; 4] = [8, 16, 32, 64];
/// The width of the networks whose batch differs.
const WIDTH: usize = 16;
/// The batch of those whose width does.
const BATCH: usize = 64;
const SIDE: usize = 32;
const CLASSES: usize = 10;
/// Timed steps of each point, after one that warms up and counts bytes.
const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let pools = THREADS.map(|threads| ThreadPoolBuilder::new().num_threads(threads).build());
    let pools: Vec<ThreadPool> = pools.into_iter().collect::<Result<_, _>>()?;
    let mut points = Vec::new();
    for plan in PLANS {
        for batch in BATCHES {
            points.push(Point::new(Against::Batch, plan, batch, WIDTH)?);
        }
        for width in WIDTHS {
            points.push(Point::new(Against::Width, plan, BATCH, width)?);
        }
    }
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        for point in &mut points {
            for (pool, seconds) in pools.iter().zip(&mut point.seconds) {
                let begun = Instant::now();
                pool.install(|| point.step.take(&Ledger::new()))?;
                seconds.push(begun.elapsed().as_secs_f64());
            }
        }
    }
    points.iter().for_each(Point::print);
    for against in [Against::Batch, Against::Width] {
        for plan in PLANS {
            print_exponents(&points, against, plan);
        }
    }
    draw::write(&points)
}

/// What time and bytes are drawn against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    Batch,
    Width,
}

impl Against {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Against::Batch => "batch",
            Against::Width => "width",
        }
    }
}

/// A step of one size, and what it took.
pub(crate) struct Point {
    pub(crate) against: Against,
    pub(crate) plan: &'static str,
    batch: usize,
    width: usize,
    step: Step,
    pub(crate) kept: usize,
    /// Of each round, for each number of threads.
    pub(crate) seconds: [Vec<f64>; THREADS.len()],
}

impl Point {
    fn new(
        against: Against,
        plan: &'static str,
        batch: usize,
        width: usize,
    ) -> Result<Self, packlight::nn::Error> {
        let mut step = Step::new(plan, batch, width)?;
        let ledger = Ledger::new();
        step.take(&ledger)?;
        let kept = ledger.entries().iter().map(|entry| entry.bytes.total()).sum();
        Ok(Self { against, plan, batch, width, step, kept, seconds: Default::default() })
    }

    /// What it is drawn at.
    pub(crate) fn at(&self) -> f64 {
        match self.against {
            Against::Batch => self.batch as f64,
            Against::Width => self.width as f64,
        }
    }

    fn print(&self) {
        for (threads, seconds) in THREADS.into_iter().zip(&self.seconds) {
            let line = json!({
                "against": self.against.name(),
                "plan": self.plan,
                "batch": self.batch,
                "width": self.width,
                "threads": threads,
                "median_ms": 1e3 * median(seconds),
                "min_ms": 1e3 * least(seconds),
                "n": seconds.len(),
                "kept_bytes": self.kept,
            });
            println!("{line}");
        }
    }
}

/// A network in training, and a batch at random.
struct Step {
    model: Model,
    trainer: Trainer<Sgd>,
    images: Inputs,
    labels: Tensor,
}

impl Step {
    fn new(plan: &str, batch: usize, width: usize) -> Result<Self, packlight::nn::Error> {
        let spec = ModelSpec::new(Resnet18 { width, ..Resnet18::default() });
        let spec = spec.for_images(3, SIDE, CLASSES)?;
        let model = Model::planned(&spec, &Plan::parse(plan)?, 0, DType::F32, &Device::Cpu)?;
        let config = SgdConfig { lr: 1e-6, ..SgdConfig::default() };
        let sgd = Sgd::for_parameters(model.parameters(), config)?;
        let trainer = Trainer::new(model.parameters(), sgd, 0, u64::MAX);
        let mut random = Key::new(0, Purpose::Sample).stream();
        let pixels = (0..batch * 3 * SIDE * SIDE).map(|_| random.normal() as f32).collect();
        let images = Tensor::from_vec::<_, f32>(pixels, (batch, 3, SIDE, SIDE), &Device::Cpu)?;
        let labels = (0..batch).map(|_| random.below(CLASSES as u32)).collect();
        let labels = Tensor::from_vec::<_, u32>(labels, batch, &Device::Cpu)?;
        Ok(Self { model, trainer, images: Inputs::Images(images), labels })
    }

    /// One training step, with what it saves on the ledger.
    fn take(&mut self, ledger: &Ledger) -> Result<(), packlight::nn::Error> {
        let (model, images, labels) = (&self.model, &self.images, &self.labels);
        let loss = |pass: &Pass| model.loss(&model.logits(images, pass)?, labels);
        let pass = self.trainer.steps.begin(loss)?.with_ledger(ledger);
        let gradients = loss(&pass)?.backward()?;
        self.trainer.update(&gradients)
    }
}

/// Prints how the points of a plan grow: over all of them, and from the last but one to the last.
fn print_exponents(points: &[Point], against: Against, plan: &str) {
    let own: Vec<&Point> =
        points.iter().filter(|p| p.against == against && p.plan == plan).collect();
    let print = |quantity: &str, of: &dyn Fn(&Point) -> f64| {
        let logs: Vec<(f64, f64)> = own.iter().map(|p| (p.at().ln(), of(p).ln())).collect();
        let line = json!({
            "against": against.name(),
            "plan": plan,
            "quantity": quantity,
            "exponent": slope(&logs),
            "last_exponent": slope(&logs[logs.len() - 2..]),
        });
        println!("{line}");
    };
    for (number, threads) in THREADS.into_iter().enumerate() {
        print(&format!("time, {threads} threads"), &|point| least(&point.seconds[number]));
    }
    print("kept bytes", &|point| point.kept as f64);
}

/// The slope of the line that fits points best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    both / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
