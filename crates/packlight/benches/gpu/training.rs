//! The losses of 50 steps under each plan, on the device and on the processor. Both train from the same weights
//! on the same batch, draw the same random numbers and differ in rounding alone.

use std::time::Instant;

use anyhow::{Context, ensure};
use candle_core::{DType, Device};
use serde::Serialize;

use crate::median;
use crate::network::Network;

/// The networks, by their names in the benchmark of steps: small ones, since the processor trains them, too.
const NETWORKS: [&str; 2] = ["resnet18-w16", "vit-tiny"];
const PLANS: [&str; 8] =
    ["none", "pool2", "q2", "actnn:3", "mesa", "hosvd:0.8", "checkpoint=block", "asa4"];
const STEPS: usize = 50;
/// The learning rate, at which 50 steps learn the batch in part.
const RATE: f64 = 1e-3;
/// Plans that the device also trains in bf16.
const IN_BF16: [&str; 2] = ["none", "q2"];
/// The most that a loss may differ, as a share of the first one: rounding, and codes that it tips over.
const CLOSE: f64 = 0.02;
/// The same in bf16, whose rounding is 65,536 times as coarse.
const CLOSE_IN_BF16: f64 = 0.1;

/// A network with a plan on both devices.
#[derive(Serialize)]
pub(crate) struct Training {
    network: &'static str,
    plan: &'static str,
    /// Of activations on the device: `f32` or `bf16`. The processor computes in f32.
    precision: &'static str,
    /// Losses on the device, step by step.
    losses: Vec<f64>,
    /// Losses on the processor.
    cpu_losses: Vec<f64>,
    /// See [`difference`].
    difference: f64,
    /// Median step on the device, in milliseconds.
    step_ms: f64,
}

/// Trains all networks with all plans.
pub(crate) fn measure(device: &Device, small: bool) -> anyhow::Result<Vec<Training>> {
    let (steps, plans) = if small { (2, &PLANS[..3]) } else { (STEPS, &PLANS[..]) };
    println!("\nLosses of {steps} steps beside the processor's");
    println!("{:<14} {:<23} {:>10} {:>14}", "", "", "step", "loss differs");
    let mut all = Vec::new();
    for name in NETWORKS {
        let network = Network::named(name).context("a network of the benchmark of steps")?;
        let network = &network.of_batch(if small { 4 } else { network.batch });
        for &plan in plans {
            let (cpu_losses, _) = losses_of(network, plan, DType::F32, &Device::Cpu, steps)?;
            let also = device.is_cuda() && IN_BF16.contains(&plan);
            for dtype in [DType::F32].into_iter().chain(also.then_some(DType::BF16)) {
                let (losses, times) = losses_of(network, plan, dtype, device, steps)?;
                let difference = difference(&losses, &cpu_losses);
                let (precision, step_ms) = (dtype.as_str(), median(times));
                let what = format!("{plan}, {precision}");
                println!("{name:<14} {what:<23} {step_ms:>7.2} ms {difference:>14.1e}");
                let (network, cpu_losses) = (network.name, cpu_losses.clone());
                let case =
                    Training { network, plan, precision, losses, cpu_losses, difference, step_ms };
                all.push(case);
            }
        }
    }
    Ok(all)
}

/// Fails if losses are further apart than rounding explains.
pub(crate) fn check(all: &[Training]) -> anyhow::Result<()> {
    for Training { network, plan, precision, difference, .. } in all {
        let most = if *precision == "f32" { CLOSE } else { CLOSE_IN_BF16 };
        ensure!(
            *difference <= most,
            "{network} with {plan} in {precision}: losses differ by {difference:.1e} of the first one, at most {most} \
             expected"
        );
    }
    Ok(())
}

/// The greatest difference of two losses of the same step, as a share of the processor's first.
fn difference(losses: &[f64], cpu_losses: &[f64]) -> f64 {
    let first = cpu_losses.first().copied().unwrap_or(1.0);
    let apart = |(a, b): (&f64, &f64)| (a - b).abs() / first;
    losses.iter().zip(cpu_losses).map(apart).fold(0.0, largest)
}

/// The loss of each step, and how many milliseconds it took.
fn losses_of(
    network: &Network,
    plan: &str,
    dtype: DType,
    device: &Device,
    steps: usize,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut step = network.step_in(dtype, plan, RATE, device)?;
    let (mut losses, mut times) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let begun = Instant::now();
        losses.push(step()?);
        device.synchronize()?;
        times.push(1e3 * begun.elapsed().as_secs_f64());
    }
    Ok((losses, times))
}

/// The larger one, and NaN if one is.
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}
