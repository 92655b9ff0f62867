//! What each codec adds to a training step: time against identity, and peak bytes.
//!
//! The plans take turns, a step each, so that whatever else the machine does falls on all of them alike.
//! Without plans: every codec of the registry that has something to pack in the network, but for those that
//! need calibrating to pack at all.
//!
//! ```sh
//! just bench codecs                           # on ResNet-18 of width 64
//! just bench codecs pool2 hosvd:0.8 --json
//! just bench codecs --network vit-tiny        # any network of the benchmark of steps
//! ```

#[allow(dead_code)] // some of it is for the benchmark of steps alone
#[path = "../step/network.rs"]
mod network;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use candle_core::{Device, Tensor};
use clap::Parser;
use mimalloc::MiMalloc;
use network::{Network, sgd};
use packlight::autograd::allocator::{self, Counting};
use packlight::autograd::{EagerUpdates, Ledger, Pass};
use packlight::codec::registry::CODECS;
use packlight::codec::{Calibration, Codec};
use packlight::nn::model::Inputs;
use packlight::nn::optimizer::Sgd;
use packlight::nn::{Model, Plan, Trainer};
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

/// A learning rate at which no plan diverges.
const RATE: f64 = 1e-3;
/// Timed steps of each plan, after one that warms up and one that counts bytes.
const ROUNDS: usize = 9;

/// What some codecs are to stay below, as a multiple of identity's time.
const LIMITS: [(&str, f64); 7] = [
    ("pool2", 0.85),
    ("q2", 1.1),
    ("q8", 1.1),
    ("division", 1.1),
    ("hosvd:0.8", 1.2),
    ("asi:0.8", 1.05),
    ("mesa", 1.05),
];

/// Times each codec against identity.
#[derive(Parser)]
struct Arguments {
    /// The plans; every codec if there is none.
    plans: Vec<String>,
    /// A network of the benchmark of steps.
    #[arg(long, default_value = "resnet18-w64")]
    network: String,
    /// Print JSON in place of a table.
    #[arg(long)]
    json: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments { plans: named, network, json, .. } = Arguments::parse();
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?; // as the program does
    let network = Network::named(&network).with_context(|| {
        format!("there is no network `{network}`; `just bench step -- --list` has their names")
    })?;
    let mut contestants = vec![Contestant::new(network, "none")?];
    if named.is_empty() {
        let limited = LIMITS.iter().map(|(spec, _)| *spec);
        let examples = CODECS.iter().flat_map(|entry| entry.examples).copied();
        let known = |spec| packlight::codec::parse(spec).ok().map(|codec| codec.spec());
        let mut all: Vec<String> = limited.chain(examples).filter_map(known).collect();
        let mut seen = HashSet::from(["none".to_owned()]);
        all.retain(|plan| seen.insert(plan.clone()));
        all.retain(|plan| !needs_distances(plan));
        for plan in all {
            match Contestant::new(network, &plan) {
                Ok(contestant) => contestants.push(contestant),
                Err(reason) => eprintln!("{plan}: left out: {}", first_line(&reason)),
            }
        }
    } else {
        for plan in named.iter().filter(|plan| *plan != "none") {
            contestants.push(Contestant::new(network, plan)?);
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
        print_table(network, &rows);
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
    inputs: Inputs,
    targets: Tensor,
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
    fn new(network: &Network, plan: &str) -> Result<Self, packlight::nn::Error> {
        let model = network.model(&Plan::parse(plan)?, &Device::Cpu)?;
        let sgd = sgd(model.parameters().vars(), RATE)?;
        let mut trainer = Trainer::new(model.parameters(), sgd, 0, 2 + ROUNDS as u64);
        trainer.steps.go_to(1); // the first step would calibrate, which takes longer than all rounds
        let (inputs, targets) = network.data(&Device::Cpu)?;
        Ok(Self {
            plan: plan.to_owned(),
            model,
            trainer,
            inputs,
            targets,
            seconds: Vec::new(),
            peak: 0,
            kept: 0,
        })
    }

    /// One training step, with what it saves on the ledger.
    fn step(&mut self, ledger: &Ledger) -> Result<(), packlight::nn::Error> {
        let (model, inputs, targets) = (&self.model, &self.inputs, &self.targets);
        let loss = |pass: &Pass| model.loss(&model.logits(inputs, pass)?, targets);
        let updates = EagerUpdates::default();
        let pass = self.trainer.steps.begin(loss)?.with_ledger(ledger);
        let gradients = updates.collect(&loss(&pass.with_eager_updates(&updates))?)?;
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

fn print_table(network: &Network, rows: &[Row]) {
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "{}, batch {}, {} threads: one training step",
        network.name,
        network.batch,
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
