//! Steps of training on the device, and their peaks.

use std::time::Instant;

use candle_core::{DType, Device};
use packlight::autograd::Counter;
use packlight::nn::ModelSpec;
use packlight::nn::model::{Resnet18, Resnet50, Stem, Vit};

use crate::figures::TimedStep;
use crate::median;
use crate::network::{Network, Takes};
use crate::torch::TorchStep;

/// A learning rate at which no plan diverges, however often it is timed.
const RATE: f64 = 1e-6;
/// Steps that are timed at most, and for how many seconds.
const MOST: usize = 20;
const SECONDS: f64 = 2.0;

/// The networks that are timed, each with its plans. Others go by these names when they are laid beside.
const NETWORKS: [(Network, &[&str]); 4] = [
    (
        Network {
            name: "resnet18_32",
            usual: "pool2",
            spec: || ModelSpec::new(Resnet18::default()),
            takes: Takes::Image(32),
            batch: 128,
            classes: 10,
        },
        &RESNET18,
    ),
    (
        Network {
            name: "resnet18_224",
            usual: "pool2",
            spec: || ModelSpec::new(Resnet18 { stem: Stem::Imagenet, ..Resnet18::default() }),
            takes: Takes::Image(224),
            batch: 64,
            classes: 1000,
        },
        &RESNET18,
    ),
    (
        Network {
            name: "resnet50_224",
            usual: "pool2",
            spec: || ModelSpec::new(Resnet50 { stem: Stem::Imagenet, ..Resnet50::default() }),
            takes: Takes::Image(224),
            batch: 64,
            classes: 1000,
        },
        &["none", "pool2", "q2"],
    ),
    (
        Network {
            name: "vits_224",
            usual: "asa4",
            spec: || ModelSpec::new(Vit { width: 384, heads: 6, patch: 16, ..Vit::default() }),
            takes: Takes::Image(224),
            batch: 64,
            classes: 1000,
        },
        &["none", "q2"],
    ),
];
/// The eigenproblems of `hosvd` are small enough for the processor up to 512 channels.
const RESNET18: [&str; 4] = ["none", "pool2", "q2", "hosvd:0.8"];

/// Times all networks with all plans, and lays PyTorch's beside them.
pub(crate) fn measure(
    device: &Device,
    small: bool,
    torch: &[TorchStep],
) -> anyhow::Result<Vec<TimedStep>> {
    println!("\nSteps, and bytes beyond those before");
    println!("{:<13} {:<17} {:>11} {:>13}", "", "", "step", "peak");
    let mut all = Vec::new();
    for (network, plans) in &NETWORKS {
        let network = &network.of_batch(if small { 2 } else { network.batch });
        for &dtype in precisions(device) {
            for plan in *plans {
                let step = timed(network, plan, dtype, device)?;
                let what = format!("{plan}, {}", step.precision);
                print(network.name, &what, step.median_ms, Some(step.peak_bytes as f64));
                all.push(step);
            }
        }
        for theirs in torch.iter().filter(|theirs| theirs.network == network.name) {
            let plan = format!("PyTorch, {}", theirs.precision);
            print(network.name, &plan, theirs.median_ms, theirs.peak_bytes);
        }
    }
    Ok(all)
}

fn print(network: &str, plan: &str, ms: f64, peak: Option<f64>) {
    let peak = peak.map(|bytes| format!("{:.1} MiB", bytes / f64::from(1 << 20)));
    println!("{network:<13} {plan:<17} {ms:>8.2} ms {:>13}", peak.unwrap_or_default());
}

/// The types of activations; the processor computes in f32.
fn precisions(device: &Device) -> &'static [DType] {
    if device.is_cuda() { &[DType::F32, DType::BF16] } else { &[DType::F32] }
}

fn timed(
    network: &Network,
    plan: &'static str,
    dtype: DType,
    device: &Device,
) -> anyhow::Result<TimedStep> {
    let counter = Counter::of(device);
    let mut step = network.step_in(dtype, plan, RATE, device)?;
    for _ in 0..2 {
        step()?; // codecs calibrate, and memory is obtained
    }
    device.synchronize()?;
    let before = counter.live();
    counter.reset_peak();
    step()?;
    device.synchronize()?;
    let peak_bytes = counter.peak().saturating_sub(before);
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.is_empty() || times.len() < MOST && begun.elapsed().as_secs_f64() < SECONDS {
        let begun = Instant::now();
        step()?;
        device.synchronize()?;
        times.push(1e3 * begun.elapsed().as_secs_f64());
    }
    let (network, batch, steps) = (network.name, network.batch, times.len());
    let precision = dtype.as_str();
    Ok(TimedStep { network, plan, precision, batch, median_ms: median(times), steps, peak_bytes })
}
