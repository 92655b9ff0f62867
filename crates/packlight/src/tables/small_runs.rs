//! What low-rank codecs keep in small real runs, beside the ranks that published bytes imply.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use candle_core::{DType, Device, Tensor};
use packlight::autograd::{Ledger, Pass};
use packlight::kernels::rng::{Key, Purpose};
use packlight::nn::footprint::{Footprint, Step};
use packlight::nn::optimizer::{Sgd, SgdConfig};
use packlight::nn::{Model, ModelSpec, Plan, Trainer};
use packlight::record::KeptKind;
use packlight::study::data::{self, Batch, DataSet, DataSpec, SetName};
use serde::Deserialize;

use super::rule::{Rule, trained_convs};
use crate::output::say;

const SEED: u64 = 0;

/// Networks that are trained exactly on the digits. Then each plan packs one more batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SmallRuns {
    /// Side of the images.
    size: usize,
    batch: usize,
    steps: u64,
    learning_rate: f64,
    /// The network that stands for each of those that cells name.
    networks: BTreeMap<String, ModelSpec>,
    #[serde(skip)]
    digits: Option<DataSet>,
    #[serde(skip)]
    trained: BTreeMap<String, BTreeMap<String, Tensor>>,
}

impl SmallRuns {
    /// Checks all that can be checked before training; `networks` are those that cells may name.
    ///
    /// # Errors
    /// Returns an error if a number is out of range, or a network stands for none of `networks`.
    pub(super) fn check(&mut self, networks: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let (size, rate) = (self.size, self.learning_rate);
        ensure!((1..=1024).contains(&size), "size: {size} given, expected 1 to 1024");
        ensure!(self.steps > 0, "steps: 0 given, expected at least 1");
        ensure!(
            rate > 0.0 && rate.is_finite(),
            "learning_rate: {rate} given, expected a number > 0"
        );
        let images = self.digits()?.train.len();
        let batch = self.batch;
        ensure!(
            (1..=images).contains(&batch),
            "batch: {batch} given, expected 1 to the {images} digits"
        );
        for name in self.networks.keys() {
            ensure!(networks.contains_key(name), "there is no network `{name}` in [networks]");
        }
        Ok(())
    }

    /// The ranks that `plan` has in the network that stands for `network`, in words; `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if the plan does not fit the network, or training fails.
    pub(super) fn ranks(
        &mut self,
        network: &str,
        plan: &str,
        rule: Rule,
    ) -> anyhow::Result<Option<String>> {
        let Some(spec) = self.networks.get(network).cloned() else { return Ok(None) };
        let spec = self.digits()?.model(&spec)?;
        if !self.trained.contains_key(network) {
            say(format_args!("training: {} on the digits, {} steps", spec.in_words(), self.steps));
            let weights =
                self.train(&spec).with_context(|| format!("training {}", spec.in_words()))?;
            self.trained.insert(network.to_owned(), weights);
        }
        let plan = Plan::parse(plan)?;
        let model = Model::planned(&spec, &plan, SEED, DType::F32, &Device::Cpu)?;
        if let Some(weights) = self.trained.get(network) {
            model.parameters().set(weights)?;
        }
        let ledger = Ledger::new();
        let pass = Pass::training().with_ledger(&ledger).freeze_statistics();
        let Batch { inputs, .. } = self.batch(self.steps)?;
        let logits = model.logits(&inputs, &pass)?;
        let kept = ledger.entries();
        drop(logits);
        let footprint = Footprint::of(&spec, &plan, &Step::of_batch(self.batch))?;
        let mut shapes = Vec::new();
        let mut bytes = 0;
        for layer in trained_convs(&footprint) {
            let of_input = |entry: &&packlight::autograd::Entry| {
                *entry.layer == *layer.layer.name() && entry.kind == KeptKind::Input
            };
            let Some(entry) = kept.iter().find(of_input) else { continue };
            bytes += entry.bytes.payload;
            shapes.extend(layer.products.first().map(|product| product.input.as_slice()));
        }
        Ok(rule.implied(&shapes, bytes as f64 / 4.0))
    }

    /// The weights after exact training.
    fn train(&mut self, spec: &ModelSpec) -> anyhow::Result<BTreeMap<String, Tensor>> {
        let model = Model::new(spec, SEED, DType::F32, &Device::Cpu)?;
        let config = SgdConfig { lr: self.learning_rate, momentum: 0.9, ..SgdConfig::default() };
        let sgd = Sgd::for_parameters(model.parameters(), config)?;
        let mut trainer = Trainer::new(model.parameters(), sgd, SEED, self.steps);
        for step in 0..self.steps {
            let Batch { inputs, targets, .. } = self.batch(step)?;
            trainer.step(|pass| model.loss(&model.logits(&inputs, pass)?, &targets))?;
        }
        Ok(model.parameters().tensors()?)
    }

    /// The batch of a step, drawn from all images anew.
    fn batch(&mut self, step: u64) -> anyhow::Result<Batch> {
        let size = self.batch;
        let images = &self.digits()?.train;
        let mut samples: Vec<usize> = (0..images.len()).collect();
        Key::new(SEED, Purpose::Sample).step(step).stream().shuffle(&mut samples);
        samples.truncate(size);
        Ok(images.batch(&samples, None, &Device::Cpu)?)
    }

    fn digits(&mut self) -> anyhow::Result<&DataSet> {
        let digits = match self.digits.take() {
            Some(digits) => digits,
            None => {
                let spec = DataSpec::new(SetName::Digits);
                data::load(&DataSpec { size: Some(self.size), ..spec }, None)?
            }
        };
        Ok(self.digits.insert(digits))
    }
}
