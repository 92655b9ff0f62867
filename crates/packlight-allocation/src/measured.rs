//! What was measured of a network, averaged, and what follows for whole allocations.

use std::collections::HashMap;

use packlight_record::{LayerFacts, LossChange, SensitivityRecord};
use packlight_spec::Point;
use rayon::prelude::*;

use crate::choices::{Choice, EXACT, LayerChoices, LeftOut, agree_on_copies, layer_choices};
use crate::estimate::{Cluster, Estimate};
use crate::log::Log;
use crate::one_off::add_one_offs;
use crate::selection::{Selected, Selection};
use crate::timeline::Timeline;
use crate::units::{self, Moves, Units};
use crate::{Allocation, Error, Objective, Result};

/// What was measured of the layers of a network, averaged over batches, seeds and points.
#[derive(Debug, Clone)]
pub struct Measured {
    layers: Vec<LayerChoices>,
    timeline: Timeline,
    /// Whether allocations may recompute blocks.
    recomputes: bool,
    /// Seconds of a pass forward and back with every layer exact, where they were measured.
    pub(crate) pass_seconds: Option<f64>,
    pub(crate) left_out: Vec<LeftOut>,
    /// What all layers together were measured on.
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) units: Units,
    /// After how many updates losses were compared.
    pub(crate) horizon: Option<u64>,
    /// Whether rises of the loss stand in place of errors.
    pub(crate) counts_losses: bool,
}

impl Measured {
    /// Averages the scores of one point of the training, or of all.
    ///
    /// # Errors
    /// Returns an error as [`Measured::of`] does.
    pub fn new(records: &[SensitivityRecord], point: Option<Point>) -> Result<Self> {
        Self::of(&records.iter().collect(), &Selection::at(point))
    }

    /// Averages the scores that count.
    ///
    /// # Errors
    /// Returns an error if there are no scores, none of those that count, or if those of two networks or
    /// trainings are mixed.
    pub fn of(log: &Log, selection: &Selection) -> Result<Self> {
        let selected = Selected::new(log, selection)?;
        let units = match selection.without_intervals {
            true => Units::none(),
            false => Units::new(&selected.clusters),
        };
        let mut losses: HashMap<&str, Vec<&LossChange>> = HashMap::new();
        for &change in &selected.losses {
            losses.entry(&change.layer).or_default().push(change);
        }
        let of_layer = |facts: &LayerFacts| {
            let losses = losses.get(facts.layer.as_str()).map_or(&[][..], Vec::as_slice);
            let mut left_out = Vec::new();
            let choices = layer_choices(facts, &selected, losses, &units, &mut left_out);
            (choices, left_out)
        };
        let (mut layers, left_out): (Vec<LayerChoices>, Vec<Vec<LeftOut>>) =
            log.layers.par_iter().map(of_layer).unzip();
        agree_on_copies(&mut layers);
        add_one_offs(&mut layers, &selected, &units);
        let timeline = Timeline::new(&layers, log);
        Ok(Self {
            layers,
            timeline,
            recomputes: false,
            pass_seconds: None,
            left_out: left_out.concat(),
            horizon: selected.horizon,
            counts_losses: false,
            clusters: selected.clusters,
            units,
        })
    }

    /// The same, with allocations that may recompute blocks. A recomputed block has no error: its layers are
    /// exact. It keeps its input, and what its layers save is there only while the backward pass goes back
    /// through it. It takes the time of its forward pass once more, so none is recomputed in vain.
    ///
    /// # Errors
    /// Returns an error if no block can be recomputed, or the log says nothing of blocks.
    pub fn with_recomputing(self) -> Result<Self> {
        if !self.timeline.known {
            return Err(Error::Lacks { lacks: "what blocks keep that are recomputed" });
        }
        let mut left_out = self.left_out;
        left_out.extend(self.timeline.apart.iter().cloned());
        match self.timeline.blocks.is_empty() {
            true => Err(Error::NoBlocks),
            false => Ok(Self { recomputes: true, left_out, ..self }),
        }
    }

    /// The same, with bytes that are those of a training step at its peak: parameters, buffers, the
    /// optimizer's state and gradients, besides what is kept.
    ///
    /// # Errors
    /// Returns an error if the log does not say what a step holds.
    pub fn of_steps(mut self) -> Result<Self> {
        if !self.timeline.known {
            return Err(Error::Lacks { lacks: "what a step holds beside what is kept" });
        }
        self.timeline.whole_step = true;
        Ok(self)
    }

    /// The same without any codec: allocations can only recompute blocks.
    #[must_use]
    pub fn without_codecs(mut self) -> Self {
        self.layers.iter_mut().for_each(|layer| layer.choices.truncate(1));
        self
    }

    /// The same, with allocations that recompute no block.
    pub(crate) fn without_recomputing(&self) -> Self {
        Self { recomputes: false, ..self.clone() }
    }

    /// The layers in forward order.
    pub fn layers(&self) -> &[LayerChoices] {
        &self.layers
    }

    /// After how many updates losses were compared; `None` if none were.
    pub fn horizon(&self) -> Option<u64> {
        self.horizon
    }

    /// What was measured, but cannot be chosen, and why.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The bytes of masks and statistics, which are kept whatever packs the inputs.
    pub fn fixed_bytes(&self) -> u64 {
        self.timeline.places.iter().map(|place| place.fixed).sum()
    }

    /// The most bytes with every layer exact and nothing recomputed, fixed bytes included.
    pub fn exact_bytes(&self) -> u64 {
        self.peak(&vec![0; self.layers.len()], &[]).0
    }

    /// The name of the block with this number.
    pub fn block(&self, number: usize) -> Option<&str> {
        Some(&self.timeline.blocks.get(number)?.facts.block)
    }

    /// For each layer, the recomputed block of an allocation that it is in.
    pub fn recomputed(&self, allocation: &Allocation) -> Vec<Option<&str>> {
        let of = |layer| self.block(self.timeline.block_of(layer, &allocation.recomputed)?);
        (0..self.layers.len()).map(of).collect()
    }

    /// The most bytes that an allocation keeps at once, whatever else a step holds.
    pub fn kept_bytes(&self, allocation: &Allocation) -> u64 {
        let kept = Timeline { whole_step: false, ..self.timeline.clone() };
        let chosen = self.indices(allocation);
        kept.peak(&self.layers, &chosen, &allocation.recomputed, |choice| choice.bytes).0
    }

    /// All codecs that were measured at any layer, in the order of the log.
    pub fn codecs(&self) -> Vec<&str> {
        let mut codecs: Vec<&str> = Vec::new();
        for choice in self.layers.iter().flat_map(|layer| &layer.choices[1..]) {
            if !codecs.contains(&choice.codec.as_str()) {
                codecs.push(&choice.codec);
            }
        }
        codecs
    }

    /// The same codec at every layer that was measured with it, all others exact; `None` if it was
    /// measured at no layer. Its error is the sum.
    pub fn uniform(&self, codec: &str) -> Option<Allocation> {
        let chosen: Vec<Option<usize>> =
            self.layers.iter().map(|layer| layer.position(codec).filter(|&at| at > 0)).collect();
        chosen.iter().any(Option::is_some).then(|| {
            let chosen: Vec<usize> = chosen.into_iter().map(Option::unwrap_or_default).collect();
            self.allocation(&chosen, &[], Objective::Sum)
        })
    }

    /// The least bytes that an allocation kept in the measurements; less than its bytes only where
    /// these depend on the data.
    pub fn least_bytes(&self, allocation: &Allocation) -> u64 {
        let chosen = self.indices(allocation);
        let (timeline, recomputed) = (&self.timeline, &allocation.recomputed);
        timeline.peak(&self.layers, &chosen, recomputed, |choice| choice.least_bytes).0
    }

    /// The error of an allocation with its interval. Batch by batch the errors of all layers are added up, so what
    /// they have in common on a batch is in it; that of the worst layer is its own.
    pub fn estimate(&self, allocation: &Allocation, objective: Objective) -> Estimate {
        let chosen = self.layers.iter().zip(self.indices(allocation));
        let chosen: Vec<&Choice> = chosen
            .map(|(layer, choice)| &layer.choices[choice])
            .filter(|choice| choice.codec != EXACT)
            .collect();
        let mean = allocation.error;
        let n = chosen.iter().map(|choice| choice.error.n).max().unwrap_or_default();
        match objective {
            Objective::Sum if chosen.iter().all(|choice| choice.error.interval.is_some()) => {
                let mut moves = Moves::new();
                chosen.iter().for_each(|choice| units::add(&mut moves, &choice.moves));
                match self.counts_losses {
                    true => self.units.estimate(mean, &moves, n as usize),
                    false => self.units.error(mean, &moves, n as usize),
                }
            }
            Objective::Sum => Estimate { mean, interval: None, n },
            Objective::Worst => {
                let worst = chosen.iter().max_by(|a, b| a.error.mean.total_cmp(&b.error.mean));
                worst.map_or(Estimate::EXACT, |worst| Estimate { mean, ..worst.error })
            }
        }
    }

    /// The allocation of the choices with these numbers, with these blocks recomputed.
    pub(crate) fn allocation(
        &self,
        chosen: &[usize],
        recomputed: &[usize],
        objective: Objective,
    ) -> Allocation {
        let choices =
            || self.layers.iter().zip(chosen).map(|(layer, &choice)| &layer.choices[choice]);
        Allocation {
            codecs: choices().map(|choice| choice.codec.clone()).collect(),
            recomputed: recomputed.to_vec(),
            bytes: self.peak(chosen, recomputed).0,
            error: choices().fold(0.0, |error, choice| objective.add(error, choice.error.mean)),
            gap: 0.0,
        }
    }

    /// The numbers of an allocation's choices; layers whose codec was not measured are exact.
    pub(crate) fn indices(&self, allocation: &Allocation) -> Vec<usize> {
        let of = |(layer, codec): (&LayerChoices, &String)| layer.position(codec).unwrap_or(0);
        self.layers.iter().zip(&allocation.codecs).map(of).collect()
    }

    /// The most bytes with the choices of these numbers and these blocks recomputed, fixed bytes included;
    /// and what is kept at the end of the forward pass.
    pub(crate) fn peak(&self, chosen: &[usize], recomputed: &[usize]) -> (u64, u64) {
        self.timeline.peak(&self.layers, chosen, recomputed, |choice| choice.bytes)
    }

    /// What was measured, to change it.
    pub(crate) fn parts(&mut self) -> (&mut [LayerChoices], &mut Timeline) {
        (&mut self.layers, &mut self.timeline)
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Whether allocations may recompute blocks.
    pub(crate) fn recomputes(&self) -> bool {
        self.recomputes
    }
}
