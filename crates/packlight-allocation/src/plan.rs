//! Allocations as plans, and plans as allocations.

use packlight_spec::{Checkpointing, MemoryStrategy, PlanSpec};

use crate::choices::{EXACT, LayerChoices};
use crate::rules::{Target, rules};
use crate::{Allocation, Error, Measured, Objective, Result};

impl Measured {
    /// The plan that recomputes the blocks and gives each layer its codec, in few words:
    /// `recompute=layer3.0:layer3.1,conv=q4,layer1.*.conv2=q2,...`, or `none` if all are exact.
    pub fn plan(&self, allocation: &Allocation) -> String {
        let mut targets: Vec<Target<'_>> = Vec::new();
        for (LayerChoices { facts, .. }, codec) in self.layers().iter().zip(&allocation.codecs) {
            targets.push(Target { layer: &facts.layer, kind: facts.kind, codec });
        }
        let all: Vec<&str> = (0..).map_while(|number| self.block(number)).collect();
        let rules = rules(&targets, &all);
        let blocks: Vec<&str> =
            allocation.recomputed.iter().filter_map(|&block| self.block(block)).collect();
        let recompute = (!blocks.is_empty()).then(|| format!("recompute={}", blocks.join(":")));
        match (recompute, rules.is_empty()) {
            (None, true) => EXACT.to_owned(),
            (recompute, _) => recompute.into_iter().chain(rules).collect::<Vec<_>>().join(","),
        }
    }

    /// The codecs that a plan gives the layers and the blocks that it recomputes by name, with the most that
    /// is kept and the sum of the errors. Within a recomputed block, bytes are those of exact layers.
    ///
    /// # Errors
    /// Returns an error if the plan does more, or gives a layer a codec that was not measured there.
    pub fn of_plan(&self, plan: &PlanSpec) -> Result<Allocation> {
        let strategy = match &plan.strategy {
            MemoryStrategy { checkpoint: Some(named @ Checkpointing::Named(_)), .. } => {
                MemoryStrategy { checkpoint: Some(named.clone()), ..MemoryStrategy::default() }
            }
            _ => MemoryStrategy::default(),
        };
        if plan.last.is_some() || plan.biases || plan.strategy != strategy {
            return Err(Error::MoreThanPacked);
        }
        let recomputed = self.named(strategy.checkpoint.as_ref()).ok_or(Error::MoreThanPacked)?;
        let choice = |layer: &LayerChoices| {
            let facts = &layer.facts;
            let codec = plan.codec(&facts.layer, facts.kind).unwrap_or(EXACT);
            layer.position(codec).ok_or_else(|| Error::NotMeasured {
                layer: facts.layer.clone(),
                codec: codec.to_owned(),
            })
        };
        let chosen: Vec<usize> = self.layers().iter().map(choice).collect::<Result<_>>()?;
        Ok(self.allocation(&chosen, &recomputed, Objective::Sum))
    }

    /// The blocks that a plan names; `None` if one of them is not among those that can be recomputed.
    fn named(&self, checkpoint: Option<&Checkpointing>) -> Option<Vec<usize>> {
        let Some(checkpoint) = checkpoint else { return Some(Vec::new()) };
        let all = (0..).map_while(|number| Some((number, self.block(number)?)));
        let blocks: Vec<(usize, String)> =
            all.map(|(number, name)| (number, name.to_owned())).collect();
        let names: Vec<String> = blocks.iter().map(|(_, name)| name.clone()).collect();
        let named = blocks.iter().filter(|(_, name)| checkpoint.names(name));
        checkpoint.missing(&names).is_none().then(|| named.map(|(number, _)| *number).collect())
    }
}
