//! How long the measured choices take, in a file beside the scores.

use std::path::Path;

use packlight_probe::{Timed, Times};
use packlight_record::layout::TIMES;
use packlight_record::{BlockTime, ChoiceTimes, CodecTime, atomic_file};

use super::sample::{SETTLING, Sample};
use super::table::Table;
use crate::Result;
use crate::run_trainer::RunTrainer;

/// The batches whose median counts.
const BATCHES: u64 = 3;

/// Times the choices of `table` and writes them to `folder`.
pub(super) fn write_times(folder: &Path, trainer: &RunTrainer<'_>, table: &Table) -> Result<()> {
    let codecs: Vec<Timed> =
        table.pairs.iter().map(|pair| (pair.layer.clone(), pair.codec.clone())).collect();
    let of_batch = |batch| Sample::new(trainer, SETTLING + 1 + batch)?.times(&codecs);
    let found = (0..BATCHES).map(of_batch).collect::<Result<Vec<Times>>>()?;
    let codec = |(at, (layer, codec)): (usize, &Timed)| {
        let seconds = found.iter().map(|times| times.codecs[at]).collect::<Option<Vec<f64>>>()?;
        let seconds = median(seconds);
        Some(CodecTime { layer: layer.to_string(), codec: codec.spec(), seconds })
    };
    let block = |(at, block): (usize, &packlight_nn::Block)| {
        let seconds = median(found.iter().map(|times| times.blocks[at]).collect());
        BlockTime { block: block.name.clone(), seconds }
    };
    let times = ChoiceTimes {
        pass: median(found.iter().map(|times| times.pass).collect()),
        codecs: codecs.iter().enumerate().filter_map(codec).collect(),
        blocks: trainer.model.parameters().blocks().iter().enumerate().map(block).collect(),
    };
    let path = folder.join(TIMES);
    let json = |source| packlight_record::Error::Json { path: path.clone(), source };
    atomic_file::write(&path, &serde_json::to_vec_pretty(&times).map_err(json)?)?;
    Ok(())
}

/// The middle one of some values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
