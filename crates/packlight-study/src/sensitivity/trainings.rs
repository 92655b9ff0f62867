//! Trainings with each codec at each layer, compared with exact ones.

use std::collections::BTreeSet;

use packlight_codec::CodecState;
use packlight_record::{LossChange, SensitivityRecord};

use super::horizon::{Losses, Updates};
use super::measurement::{Group, Measurement, key_of};
use super::scores::Key;
use super::table::Pair;
use crate::run_trainer::RunTrainer;
use crate::{Error, Result};

impl Measurement<'_> {
    /// Compares trainings with each pair of a group that is not hopeless with exact ones. Each is in the log
    /// before the next begins.
    pub(super) fn train(
        &mut self,
        trainer: &mut RunTrainer<'_>,
        group: &Group,
        settled: &[(usize, CodecState)],
        state: &str,
    ) -> Result<()> {
        let Some(horizon) = self.table.spec.horizon.filter(|_| !group.untrained.is_empty()) else {
            return Ok(());
        };
        let (hopeless, to_train): (Vec<usize>, Vec<usize>) =
            group.untrained.iter().partition(|&&pair| self.is_hopeless(group, pair));
        let place = self.place(group);
        let seconds = self.work.training(self.table);
        let skipped = if to_train.is_empty() { group.trainings() } else { hopeless.len() as u64 };
        self.work.advance(seconds * skipped as f64, &place, self.progress);
        if to_train.is_empty() {
            return Ok(());
        }
        let interrupted = self.options.interrupted;
        let mut updates = Updates::new(trainer, group.batch, horizon)?;
        let exact = updates.losses(None, interrupted)?;
        let Losses { after_one: Some(exact_after_one), after_all: Some(exact_after_horizon) } =
            exact
        else {
            let reason = format!(
                "{place}: {horizon} exact updates come to something that is not finite; measure at another \
                 point, or lower the learning rate"
            );
            return Err(Error::Diverged { reason });
        };
        self.work.advance(seconds, &format!("{place}: {horizon} exact updates"), self.progress);
        for pair in to_train {
            let trial = self.trial(pair, settled);
            let found = updates.losses(Some(&trial), interrupted)?;
            let change = LossChange {
                state: state.to_owned(),
                point: group.point,
                seed: group.seed,
                batch: group.batch,
                horizon,
                layer: trial.layer.to_string(),
                codec: trial.codec.spec(),
                exact_after_one,
                exact_after_horizon,
                after_one: found.after_one.map(|loss| loss - exact_after_one),
                after_horizon: found.after_all.map(|loss| loss - exact_after_horizon),
            };
            let now =
                format!("{place}: {horizon} updates with {} at {}", change.codec, change.layer);
            self.scores.append([SensitivityRecord::Loss(change)])?;
            self.trained += 1;
            self.work.advance(seconds, &now, self.progress);
        }
        Ok(())
    }

    /// The number of changes of the loss that the table asks for and that are in the log.
    pub(super) fn losses(&self, seeds: &[u64]) -> u64 {
        let all = self.pairs_with_horizon(seeds);
        all.filter(|(_, _, change)| self.scores.has_loss(change)).count() as u64
    }

    /// The pairs with which no training was compared somewhere, since they are hopeless there, in words.
    pub(super) fn hopeless(&self, seeds: &[u64]) -> Vec<String> {
        let skipped: BTreeSet<usize> = self
            .pairs_with_horizon(seeds)
            .filter(|(_, score, change)| {
                self.scores.is_hopeless(score) && !self.scores.has_loss(change)
            })
            .map(|(pair, ..)| pair)
            .collect();
        let named = |pair: usize| {
            let Pair { layer, codec, .. } = &self.table.pairs[pair];
            format!("{} at {layer}", codec.spec())
        };
        skipped.into_iter().map(named).collect()
    }

    /// Each pair at each place, with the keys of its score and of its change of the loss; nothing without a
    /// horizon.
    fn pairs_with_horizon(&self, seeds: &[u64]) -> impl Iterator<Item = (usize, Key, Key)> {
        let (pairs, draws) = (&self.table.pairs, self.table.spec.draws);
        let places = self.table.places(seeds).into_iter();
        self.table.spec.horizon.into_iter().flat_map(move |horizon| {
            places.clone().flat_map(move |(seed, point, _, batch)| {
                let keys = move |(at, pair)| {
                    let place = (seed, point, batch);
                    (at, key_of(place, draws, pair), key_of(place, horizon, pair))
                };
                pairs.iter().enumerate().map(keys)
            })
        })
    }
}
