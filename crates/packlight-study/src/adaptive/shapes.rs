//! What a network saves on a batch of any size, from shapes alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_autograd::Pass;
use packlight_codec::Codec;
use packlight_nn::footprint::go_through;
use packlight_nn::model::{Inputs, blanks_of};
use packlight_nn::{Model, ModelSpec, Plan};
use packlight_probe::{Survey, Surveyed, survey};

use crate::Result;
use crate::data::Batch;
use crate::run_trainer::RunTrainer;

/// The shapes of a study's batches: those with its longest samples.
pub(super) struct Shapes {
    spec: ModelSpec,
    inputs: Inputs,
    labels: Tensor,
}

impl Shapes {
    pub(super) fn of(trainer: &RunTrainer<'_>) -> Result<Self> {
        let train = &trainer.data.train;
        let Batch { inputs, targets, .. } = train.batch(&train.longest(), None, &trainer.device)?;
        Ok(Self { spec: trainer.model.spec().clone(), inputs, labels: targets })
    }

    /// What an exact pass over so many samples saves, and what codecs would make of it.
    pub(super) fn survey(&self, samples: usize, codecs: &[Arc<dyn Codec>]) -> Result<Survey> {
        let model = Model::blank(&self.spec, &Plan::parse("none")?, DType::F32)?;
        let (inputs, labels) = self.blanks(samples)?;
        let loss = |pass: &Pass| model.loss(&model.logits(&inputs, pass)?, &labels);
        Ok(survey(model.parameters(), &Pass::training(), loss, codecs)?)
    }

    /// The most bytes that a step over so many samples keeps with a plan's codecs.
    pub(super) fn most_kept(&self, plan: &Plan, samples: usize) -> Result<u64> {
        let (_, ledger) = go_through(&self.spec, plan, DType::F32, self.blanks(samples)?)?;
        Ok(ledger.entries().iter().map(|entry| entry.bounds[1] as u64).sum())
    }

    fn blanks(&self, samples: usize) -> Result<(Inputs, Tensor)> {
        let labels = blanks_of(&self.labels, samples, self.labels.dtype())?;
        Ok((self.inputs.blanks(samples, DType::F32)?, labels))
    }
}

/// The bytes that an exact pass keeps.
pub(super) fn exact_bytes(survey: &Survey) -> u64 {
    let sources: BTreeMap<u64, u64> =
        survey.layers.iter().map(|layer| (layer.source, layer.bytes)).collect();
    let fixed = survey.fixed.iter().map(|fixed| fixed.bytes).sum::<u64>();
    sources.values().sum::<u64>() + fixed
}

/// The most bytes that a pass keeps in which one codec is at one layer: where this layer shares what it
/// saves with others, the packed copy comes on top of the exact one.
pub(super) fn measuring_bytes(survey: &Survey) -> u64 {
    let shares = |layer: &&Surveyed| {
        survey.layers.iter().filter(|other| other.source == layer.source).count() > 1
    };
    let packed = survey.layers.iter().filter(shares).flat_map(|layer| &layer.codecs).flatten();
    exact_bytes(survey) + packed.map(|packing| packing.most_bytes).max().unwrap_or_default()
}
