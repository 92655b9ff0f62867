//! What a machine with a CUDA device shows of ours: losses beside the processor's, packers beside a copy of the
//! device, steps and their peaks, PyTorch's beside them, and the goals as ratios. Not run on a GPU so far.
//!
//! ```sh
//! just gpu                                         # after all kernels' proofs; writes target/gpu/gpu.json
//! PACKLIGHT_TORCH='python3 torch_steps.py' just gpu
//! cargo bench -p packlight --bench gpu -- --device cpu --small        # tries this program out without a card
//! ```
//!
//! `PACKLIGHT_TORCH` is a command for the shell, which times PyTorch's steps on the same card and prints a JSON
//! line for each: see `torch.rs`.

mod figures;
mod goals;
#[allow(dead_code)] // some of it is for the benchmark of steps alone
#[path = "../step/network.rs"]
mod network;
mod packers;
mod steps;
mod torch;
mod training;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use figures::{Packers, TimedStep};
use goals::Goal;
use mimalloc::MiMalloc;
use packlight::autograd::allocator::Counting;
use packlight::spec::DeviceSpec;
use packlight::study::open_device;
use serde::Serialize;
use torch::TorchStep;
use training::Training;

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

/// Measures on a CUDA device.
#[derive(Parser)]
struct Arguments {
    /// The device.
    #[arg(long, default_value_t = DeviceSpec::Cuda)]
    device: DeviceSpec,
    /// Small networks, tensors and numbers of steps, to try the program out.
    #[arg(long)]
    small: bool,
    /// The file of results.
    #[arg(long, default_value = "gpu.json")]
    json: PathBuf,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// All that is found.
#[derive(Serialize, Default)]
struct Found {
    small: bool,
    torch: Vec<TorchStep>,
    packers: Packers,
    steps: Vec<TimedStep>,
    goals: Vec<Goal>,
    training: Vec<Training>,
}

impl Found {
    /// Writes what there is so far.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        std::fs::write(path, json).with_context(|| path.display().to_string())
    }
}

fn main() -> anyhow::Result<()> {
    let Arguments { device, small, json, .. } = Arguments::parse();
    if small {
        println!("Small, to try this program out: the figures tell nothing of the device.");
    }
    // Before this program holds memory of the device.
    let torch = torch::measure()?;
    let device = &open_device(device)?;
    let mut found = Found { small, torch, ..Found::default() };
    found.packers = packers::measure(device, small)?;
    found.steps = steps::measure(device, small, &found.torch)?;
    found.goals = goals::of(&found.steps, &found.packers, &found.torch);
    goals::print(&found.goals);
    found.write(&json)?;
    // Last, since the processor takes longest.
    found.training = training::measure(device, small)?;
    found.write(&json)?;
    println!("\n{}", json.display());
    // Speed is told; what is wrong fails.
    training::check(&found.training)
}

/// The middle one of these, which must be some.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
