//! Training on a CUDA device beside the processor: the losses of 50 steps under each plan, and how long a step
//! takes on the device. Not run on a GPU so far.
//!
//! ```sh
//! cargo bench -p packlight --features cuda --bench gpu                # a table, and target/gpu.json
//! cargo bench -p packlight --features cuda --bench gpu -- --steps 5
//! ```
//!
//! Both devices train from the same weights on the same batch, draw the same random numbers and differ in
//! rounding alone. The program fails if losses are further apart than rounding explains.

#[allow(dead_code)] // some of it is for the benchmark of steps alone
#[path = "../step/network.rs"]
mod network;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use candle_core::Device;
use clap::Parser;
use network::{Network, Step};
use serde::Serialize;

/// The networks, by their names in the benchmark of steps.
const NETWORKS: [&str; 2] = ["resnet18-w64", "vit-tiny"];
const PLANS: [&str; 8] =
    ["none", "pool2", "q2", "actnn:3", "mesa", "hosvd:0.8", "checkpoint=block", "asa4"];

/// The learning rate, at which 50 steps learn the batch in part.
const RATE: f64 = 1e-3;
/// The most that a loss may differ, as a share of the first one: rounding, and codes that it tips over.
const CLOSE: f64 = 0.02;
/// Steps at the end of which the median is the time of a step.
const TIMED: usize = 20;

/// Trains networks on a CUDA device and on the processor.
#[derive(Parser)]
struct Arguments {
    /// Steps on each device.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Steps on the processor, whose losses are compared.
    #[arg(long, default_value_t = 50)]
    cpu_steps: u16,
    /// The file of results.
    #[arg(long, default_value = "target/gpu.json")]
    json: PathBuf,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A network with a plan on both devices.
#[derive(Serialize)]
struct Case {
    network: &'static str,
    plan: &'static str,
    /// Losses on the device, step by step.
    losses: Vec<f64>,
    /// Losses on the processor.
    cpu_losses: Vec<f64>,
    /// The greatest difference of two losses of the same step, as a share of the processor's first.
    difference: f64,
    /// Median of the last steps on the device, in milliseconds.
    step_ms: f64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let card = Device::new_cuda(0)
        .map_err(|error| anyhow::anyhow!(first_line(&error)))
        .context("no CUDA device can be used; this benchmark needs a card and `--features cuda`")?;
    let mut cases = Vec::new();
    println!("{:<14} {:<17} {:>10} {:>12}", "", "", "step", "loss differs");
    for name in NETWORKS {
        let network = Network::named(name).context("a network of the benchmark of steps")?;
        for plan in PLANS {
            let case = Case::of(network, plan, &card, &arguments)?;
            let Case { step_ms, difference, .. } = &case;
            println!("{name:<14} {plan:<17} {step_ms:>7.2} ms {difference:>12.1e}");
            cases.push(case);
        }
    }
    std::fs::write(&arguments.json, serde_json::to_vec_pretty(&cases)?)
        .with_context(|| arguments.json.display().to_string())?;
    println!("{}", arguments.json.display());
    let far = cases.iter().find(|case| case.difference.is_nan() || case.difference > CLOSE);
    let told = far.map(|case| format!("{} with {}", case.network, case.plan)).unwrap_or_default();
    ensure!(far.is_none(), "{told}: losses differ by more than {CLOSE} of the first one");
    Ok(())
}

impl Case {
    fn of(
        network: &'static Network,
        plan: &'static str,
        card: &Device,
        arguments: &Arguments,
    ) -> anyhow::Result<Self> {
        let mut step = network.step(plan, RATE, card)?;
        let (mut losses, mut times) = (Vec::new(), Vec::new());
        for _ in 0..arguments.steps {
            let begun = Instant::now();
            losses.push(step()?);
            card.synchronize()?;
            times.push(1e3 * begun.elapsed().as_secs_f64());
        }
        let cpu_losses = losses_of(network.step(plan, RATE, &Device::Cpu)?, arguments.cpu_steps)?;
        let first = cpu_losses.first().copied().unwrap_or(1.0);
        let apart = |(a, b): (&f64, &f64)| (a - b).abs() / first;
        let difference = losses.iter().zip(&cpu_losses).map(apart).fold(0.0, largest);
        let mut last = times.split_off(times.len().saturating_sub(TIMED));
        last.sort_by(f64::total_cmp);
        let step_ms = last[last.len() / 2];
        Ok(Self { network: network.name, plan, losses, cpu_losses, difference, step_ms })
    }
}

fn losses_of(mut step: Step, count: u16) -> anyhow::Result<Vec<f64>> {
    (0..count).map(|_| Ok(step()?)).collect()
}

/// The larger one, and NaN if one is.
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// An error without the backtrace that candle appends.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
