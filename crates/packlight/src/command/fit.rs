//! The largest step within a budget of bytes.

use anyhow::Context;
use clap::ValueEnum;
use packlight::nn::model::Bottlenecks;
use packlight::nn::{ModelSpec, Plan};
use toml::Value;

use super::plan::Arguments;
use super::planned::amount;

/// What is made as large as fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fit {
    /// The most samples
    Batch,
    /// The most blocks; in a ResNet of bottleneck blocks, those of its third stage
    Depth,
    /// The largest `--width`, in steps of `--heads` where there are heads
    Width,
}

/// No batch of more samples is looked for.
pub(crate) const LARGEST_BATCH: u32 = 1 << 20;

/// No more blocks or features are looked for.
const LARGEST_SIZE: usize = 1 << 16;

/// A step that is as large as fits.
pub(crate) struct Largest {
    pub(crate) spec: ModelSpec,
    pub(crate) batch: usize,
    /// The samples, the layers of a ResNet as its name counts them, or what the option is set to.
    pub(crate) size: usize,
}

/// The largest step of the model and plan whose peak is within `budget`.
///
/// # Errors
/// Returns an error if the model has no such option, or even the smallest step does not fit.
pub(crate) fn largest(
    arguments: &Arguments,
    plan: &Plan,
    fit: Fit,
    budget: u64,
) -> anyhow::Result<Largest> {
    let spec = arguments.spec()?;
    let step = |size: usize| -> anyhow::Result<Largest> {
        Ok(match fit {
            Fit::Batch => Largest { spec: spec.clone(), batch: size, size },
            Fit::Depth => {
                let (spec, size) = deep(arguments, &spec, size)?;
                Largest { spec, batch: arguments.given_batch()?, size }
            }
            Fit::Width => {
                let spec = with(&spec, "width", size)?;
                Largest { spec, batch: arguments.given_batch()?, size }
            }
        })
    };
    let peak = |size: usize| -> anyhow::Result<u64> {
        let Largest { spec, batch, .. } = step(size)?;
        Ok(arguments.footprint(&spec, plan, batch)?.peak_bytes() as u64)
    };
    let (unit, most) = match fit {
        // A batch norm may refuse a single sample.
        Fit::Batch if peak(1).is_err() => (1, 2..=LARGEST_BATCH as usize),
        Fit::Batch => (1, 1..=LARGEST_BATCH as usize),
        Fit::Depth => (1, 1..=LARGEST_SIZE),
        Fit::Width => {
            let heads = match spec.option("heads") {
                Some(Value::Integer(heads)) => usize::try_from(heads)?,
                _ => 1,
            };
            (heads.max(1), 1..=LARGEST_SIZE / heads.max(1))
        }
    };
    let (mut fits, mut beyond) = (*most.start(), most.end() + 1);
    let least = peak(unit * fits)?;
    anyhow::ensure!(
        least <= budget,
        "--budget: a {} of {} already takes {}, {} are given",
        match fit {
            Fit::Batch => "batch",
            Fit::Depth => "depth",
            Fit::Width => "width",
        },
        unit * fits,
        amount(least as usize),
        amount(budget as usize)
    );
    while fits + 1 < beyond {
        let middle = (2 * fits).min(fits + (beyond - fits) / 2);
        match peak(unit * middle)? <= budget {
            true => fits = middle,
            false => beyond = middle,
        }
    }
    step(unit * fits)
}

/// The model with so many blocks, and the layers of a ResNet as its name counts them.
fn deep(
    arguments: &Arguments,
    spec: &ModelSpec,
    blocks: usize,
) -> anyhow::Result<(ModelSpec, usize)> {
    let Some(mut network) = Bottlenecks::like(spec) else {
        return Ok((with(spec, "depth", blocks)?, blocks));
    };
    if let Some(third) = network.blocks.get_mut(2) {
        *third = blocks;
    }
    let depth = network.depth();
    Ok((arguments.for_data(&ModelSpec::new(network))?, depth))
}

/// The model with another value of an option.
fn with(spec: &ModelSpec, key: &str, size: usize) -> anyhow::Result<ModelSpec> {
    let usual = spec.option(key);
    let usual = usual.with_context(|| format!("--fit {key}: {} has no {key}", spec.name()))?;
    let value = match usual {
        Value::Float(_) => Value::Float(size as f64),
        _ => Value::Integer(i64::try_from(size)?),
    };
    Ok(spec.with(key, value)?)
}
