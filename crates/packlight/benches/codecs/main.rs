//! What each codec adds to a training step: time against identity, and peak bytes.
//!
//! ResNet-18 of width 64, batches of 64 images of 3 x 32 x 32. The plans take turns, a step each, so
//! that whatever else the machine does falls on all of them alike. Without arguments: every codec of
//! the registry that has something to pack in this network, but for those that need calibrating to
//! pack at all; otherwise the plans named.
//!
//! ```sh
//! just bench codecs
//! just bench codecs pool2 hosvd:0.8 --json
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use mimalloc::MiMalloc;
use packlight::autograd::allocator::{self, Counting};
use packlight::autograd::{Ledger, Pass};
use packlight::codec::registry::CODECS;
use packlight::codec::{Calibration, Codec};
use packlight::kernels::rng::{Key, Purpose};
use packlight::nn::model::{Inputs, Resnet18};
use packlight::nn::optimizer::{Sgd, SgdConfig};
use packlight::nn::{Model, ModelSpec, Plan, Trainer};
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

const WIDTH: usize = 64;
const BATCH: usize = 64;
const SIDE: usize = 32;
const CLASSES: usize = 10;
/// Timed steps of each plan, after one that warms up and one that counts bytes.
const ROUNDS: usize = 9;

/// The overhead that some codecs are to stay below, as a multiple of identity's time.
const LIMITS: [(&str, f64); 7] = [
    ("pool2", 1.0),
    ("q2", 1.15),
    ("q8", 1.15),
    ("division", 1.2),
    ("hosvd:0.8", 1.3),
    ("asi:0.8", 1.1),
    ("mesa", 1.1),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?; // as the program does
    // cargo itself adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let json = arguments.iter().any(|a| a == "--json");
    let named: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|a| !a.starts_with("--")).collect();
    let mut contestants = vec![Contestant::new("none")?];
    if named.is_empty() {
        let limited = LIMITS.iter().map(|(spec, _)| *spec);
        let examples = CODECS.iter().flat_map(|entry| entry.examples).copied();
        let known = |spec| packlight::codec::parse(spec).ok().map(|codec| codec.spec());
        let mut all: Vec<String> = limited.chain(examples).filter_map(known).collect();
        let mut seen = HashSet::from(["none".to_owned()]);
        all.retain(|plan| seen.insert(plan.clone()));
        all.retain(|plan| !needs_distances(plan));
        for plan in all {
            match Contestant::new(&plan) {
                Ok(contestant) => contestants.push(contestant),
                Err(reason) => eprintln!("{plan}: left out: {}", first_line(&reason)),
            }
        }
    } else {
        for plan in named.into_iter().filter(|plan| *plan != "none") {
            contestants.push(Contestant::new(plan)?);
        }
    }
    // Some examples do not fit this network's shapes, which shows when they first pack.
    let mut fitting = Vec::new();
    for mut contestant in contestants {
        match contestant.count() {
            Ok(()) => fitting.push(contestant),
            Err(reason) => eprintln!("{}: left out: {reason}", contestant.plan),
        }
    }
    let mut contestants = fitting;
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}, {} plans", round + 1, contestants.len());
        for contestant in &mut contestants {
            let begun = Instant::now();
            contestant.step(&Ledger::new())?;
            contestant.seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    let rows: Vec<Row> = contestants.iter().map(|c| c.row(&contestants[0])).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print_table(&rows);
    }
    Ok(())
}

/// Whether a codec keeps inputs whole until a trainer has measured what its levels do to gradients,
/// which takes longer than all rounds.
fn needs_distances(plan: &str) -> bool {
    let calibration = |codec: Arc<dyn Codec>| codec.adaptive()?.measure(0, 1);
    let asked = packlight::codec::parse(plan).ok().and_then(calibration);
    matches!(asked, Some(Calibration::Distances(_)))
}

fn first_line(error: &packlight::nn::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// A plan that takes its turns.
struct Contestant {
    plan: String,
    model: Model,
    trainer: Trainer<Sgd>,
    images: Inputs,
    labels: Tensor,
    seconds: Vec<f64>,
    peak: usize,
    kept: usize,
}

/// What is told of a plan.
#[derive(Serialize)]
struct Row {
    plan: String,
    /// Median over the rounds.
    median_seconds: f64,
    /// As a multiple of the plan `none` in the same round; median over the rounds.
    ratio: f64,
    /// What the ratio is to stay below, where that is agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    /// The most live bytes during a step above those before it.
    peak_bytes: usize,
    /// Kept for the backward pass, by the ledger.
    kept_bytes: usize,
}

impl Contestant {
    fn new(plan: &str) -> Result<Self, packlight::nn::Error> {
        let spec = ModelSpec::new(Resnet18 { width: WIDTH, ..Resnet18::default() });
        let spec = spec.for_images(3, SIDE, CLASSES)?;
        let model = Model::planned(&spec, &Plan::parse(plan)?, 0, DType::F32, &Device::Cpu)?;
        let config = SgdConfig { lr: 1e-3, ..SgdConfig::default() };
        let sgd = Sgd::for_parameters(model.parameters(), config)?;
        let mut trainer = Trainer::new(model.parameters(), sgd, 0, 2 + ROUNDS as u64);
        trainer.steps.go_to(1); // the first step would calibrate, which takes longer than all rounds
        let mut random = Key::new(0, Purpose::Sample).stream();
        let pixels = (0..BATCH * 3 * SIDE * SIDE).map(|_| random.normal() as f32).collect();
        let images = Tensor::from_vec::<_, f32>(pixels, (BATCH, 3, SIDE, SIDE), &Device::Cpu)?;
        let labels = (0..BATCH).map(|_| random.below(CLASSES as u32)).collect();
        Ok(Self {
            plan: plan.to_owned(),
            model,
            trainer,
            images: Inputs::Images(images),
            labels: Tensor::from_vec::<_, u32>(labels, BATCH, &Device::Cpu)?,
            seconds: Vec::new(),
            peak: 0,
            kept: 0,
        })
    }

    /// One training step, with what it saves on the ledger.
    fn step(&mut self, ledger: &Ledger) -> Result<(), packlight::nn::Error> {
        let (model, images, labels) = (&self.model, &self.images, &self.labels);
        let loss = |pass: &Pass| model.loss(&model.logits(images, pass)?, labels);
        let pass = self.trainer.steps.begin(loss)?.with_ledger(ledger);
        let gradients = loss(&pass)?.backward()?;
        self.trainer.update(&gradients)
    }

    /// Warms up, and counts what a step takes.
    fn count(&mut self) -> Result<(), packlight::nn::Error> {
        self.step(&Ledger::new())?;
        let ledger = Ledger::new();
        let before = allocator::live();
        allocator::reset_peak();
        self.step(&ledger)?;
        self.peak = allocator::peak().saturating_sub(before);
        let entries = ledger.entries();
        self.kept = entries.iter().filter(|e| !e.again).map(|e| e.bytes.total()).sum();
        Ok(())
    }

    fn row(&self, none: &Contestant) -> Row {
        let ratios = self.seconds.iter().zip(&none.seconds).map(|(own, none)| own / none);
        Row {
            plan: self.plan.clone(),
            median_seconds: median(self.seconds.iter().copied()),
            ratio: median(ratios),
            limit: LIMITS.iter().find(|(plan, _)| *plan == self.plan).map(|(_, limit)| *limit),
            peak_bytes: self.peak,
            kept_bytes: self.kept,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_table(rows: &[Row]) {
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "ResNet-18 width {WIDTH}, batch {BATCH}, 3 x {SIDE} x {SIDE}, {} threads: one training step",
        rayon::current_num_threads()
    );
    println!(
        "{:<18} {:>10} {:>7} {:>6} {:>11} {:>7} {:>11} {:>7}",
        "plan", "time", "/ none", "limit", "peak", "/ none", "kept", "/ none"
    );
    for row in rows {
        println!(
            "{:<18} {:>7.1} ms {:>6.2}x {:>6} {:>7.1} MiB {:>6.2}x {:>7.1} MiB {:>6.3}x",
            row.plan,
            1e3 * row.median_seconds,
            row.ratio,
            row.limit.map_or_else(String::new, |limit| format!("{limit:.2}")),
            mib(row.peak_bytes),
            row.peak_bytes as f64 / rows[0].peak_bytes as f64,
            mib(row.kept_bytes),
            row.kept_bytes as f64 / rows[0].kept_bytes as f64,
        );
    }
}
