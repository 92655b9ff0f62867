//! One training step of each network: exact, with its usual codec, and, for ResNet-18 on small images,
//! by candle's own autograd.
//!
//! ```sh
//! cargo bench -p packlight --bench step                      # a table of all networks
//! cargo bench -p packlight --bench step -- --list            # their names
//! cargo bench -p packlight --bench step -- --network vit-tiny --plan asa4 --seconds 10
//! ```
//!
//! The last prints one JSON line, for scripts that set other programs beside it. All take as many threads as
//! `RAYON_NUM_THREADS` says or the machine has.

mod candle_resnet;
mod network;

use std::time::{Duration, Instant};

use anyhow::Context;
use candle_core::Device;
use candle_nn::Optimizer;
use candle_resnet::CandleResNet;
use clap::Parser;
use mimalloc::MiMalloc;
use network::{NETWORKS, Network, Step, sgd};
use packlight::autograd::allocator::{self, Counting};
use packlight::nn::model::Inputs;

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

/// A learning rate at which no plan diverges, however often it is timed.
const RATE: f64 = 1e-6;
/// Turns that each contestant of a table takes.
const TURNS: usize = 9;
/// The fewest steps whose median is printed.
const FEWEST: usize = 5;

/// Times a training step of each network.
#[derive(Parser)]
struct Arguments {
    /// Print the names of the networks.
    #[arg(long)]
    list: bool,
    /// Time this network alone, and print one JSON line.
    #[arg(long)]
    network: Option<String>,
    /// The plan of that network.
    #[arg(long, default_value = "none", requires = "network")]
    plan: String,
    /// Take a batch of so many samples.
    #[arg(long, requires = "network")]
    batch: Option<usize>,
    /// Go on for so many seconds.
    #[arg(long, default_value_t = 10.0, requires = "network")]
    seconds: f64,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?; // as the program does
    if arguments.list {
        NETWORKS.iter().for_each(|network| println!("{}", network.name));
    } else if let Some(name) = arguments.network {
        let network = Network::named(&name)
            .with_context(|| format!("there is no network `{name}`; --list has their names"))?;
        let network = &network.of_batch(arguments.batch.unwrap_or(network.batch));
        let step = network.step(&arguments.plan, RATE, &Device::Cpu)?;
        let mut contestant = Contestant::new("", step)?;
        let begun = Instant::now();
        while contestant.times.len() < FEWEST || begun.elapsed().as_secs_f64() < arguments.seconds {
            contestant.time_step()?;
        }
        println!("{}", contestant.json(network, &arguments.plan));
    } else {
        println!("{} threads", rayon::current_num_threads());
        NETWORKS.iter().try_for_each(compare)?;
    }
    Ok(())
}

/// Prints a table of one network.
fn compare(network: &Network) -> anyhow::Result<()> {
    let mut contestants = Vec::new();
    for plan in ["none", network.usual] {
        contestants.push(Contestant::new(plan, network.step(plan, RATE, &Device::Cpu)?)?);
    }
    if let Some(step) = candle_step(network)? {
        contestants.push(Contestant::new("candle", step)?);
    }
    // By turns, so that whatever else the machine does falls on all of them alike.
    for _ in 0..TURNS {
        for contestant in &mut contestants {
            (contestant.step)()?; // finds caches and pages as another has left them
            contestant.time_step()?;
        }
    }
    print_table(network, &contestants);
    Ok(())
}

/// One of those that are compared.
struct Contestant {
    name: &'static str,
    step: Step,
    times: Vec<Duration>,
    /// The most bytes allocated at once during a step, above those before it.
    peak: usize,
}

impl Contestant {
    fn new(name: &'static str, mut step: Step) -> Result<Self, packlight::nn::Error> {
        step()?; // what is allocated once
        let before = allocator::live();
        allocator::reset_peak();
        step()?;
        let peak = allocator::peak() - before;
        Ok(Self { name, step, times: Vec::new(), peak })
    }

    fn time_step(&mut self) -> Result<(), packlight::nn::Error> {
        let begun = Instant::now();
        (self.step)()?;
        self.times.push(begun.elapsed());
        Ok(())
    }

    /// Median of its steps, in milliseconds.
    fn milliseconds(&self) -> f64 {
        1e3 * median(self.times.iter().map(Duration::as_secs_f64))
    }

    /// How many times as long as the other's a step takes in the same turn; median over the turns.
    fn time_over(&self, other: &Self) -> f64 {
        let turns = self.times.iter().zip(&other.times);
        median(turns.map(|(own, other)| own.as_secs_f64() / other.as_secs_f64()))
    }

    /// What scripts read.
    fn json(&self, network: &Network, plan: &str) -> serde_json::Value {
        let least = self.times.iter().min().map(Duration::as_secs_f64);
        serde_json::json!({
            "network": network.name,
            "plan": plan,
            "batch": network.batch,
            "threads": rayon::current_num_threads(),
            "median_ms": self.milliseconds(),
            "min_ms": least.map(|seconds| 1e3 * seconds),
            "n": self.times.len(),
            "peak_bytes": self.peak,
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The step of the same network by candle's own autograd, where there is one.
fn candle_step(network: &Network) -> candle_core::Result<Option<Step>> {
    let width = match network.name {
        "resnet18-w64" => 64,
        "resnet18-w16" => 16,
        _ => return Ok(None),
    };
    let (Inputs::Images(images), labels) = network.data(&Device::Cpu)? else { return Ok(None) };
    let (model, vars) = CandleResNet::new(width, network.classes)?;
    let mut optimizer = sgd(vars, RATE)?;
    Ok(Some(Box::new(move || {
        let loss = candle_nn::loss::cross_entropy(&model.forward(&images)?, &labels)?;
        optimizer.step(&loss.backward()?)?;
        Ok(loss.to_scalar::<f32>()?.into())
    })))
}

fn print_table(network: &Network, contestants: &[Contestant]) {
    let exact = &contestants[0];
    println!("\n{}, batch {}: one step", network.name, network.batch);
    println!("{:<8} {:>11} {:>8} {:>13} {:>8}", "", "time", "/ none", "peak", "/ none");
    for contestant in contestants {
        println!(
            "{:<8} {:>8.1} ms {:>8.2} {:>9.1} MiB {:>8.2}",
            contestant.name,
            contestant.milliseconds(),
            contestant.time_over(exact),
            contestant.peak as f64 / f64::from(1 << 20),
            contestant.peak as f64 / exact.peak as f64,
        );
    }
}
