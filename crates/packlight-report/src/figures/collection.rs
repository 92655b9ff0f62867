//! One figure over all networks of a collection: loss of accuracy against bytes.

use std::collections::HashMap;

use packlight_figure::{Caption, Family, Figure, NetworkLosses, PlanLoss, accuracy_loss};
use packlight_record::Record;

use super::Source;
use crate::plan::{PlanRow, mean};
use crate::study::{Run, Study};
use crate::{Result, family};

/// A study's plans beside its exact plan.
pub(crate) struct Network {
    name: String,
    plans: Vec<Loss>,
}

/// A plan beside the exact plan.
struct Loss {
    plan: String,
    family: Family,
    bytes: f64,
    /// Differences of accuracy, in points, for each seed that both have.
    differences: Vec<f64>,
}

impl Loss {
    /// The mean over the seeds; `None` if there is none, or the bytes are not known.
    fn compared(&self) -> Option<PlanLoss<'_>> {
        let Self { plan, family, bytes, differences } = self;
        let difference = mean(differences.iter().copied()).filter(|_| bytes.is_finite())?;
        Some(PlanLoss { plan, family: *family, bytes: *bytes, difference, n: differences.len() })
    }
}

impl Network {
    /// The plans of the study called `name` that train as long as the exact plan, and from the same
    /// start: any other comparison is of another experiment.
    pub(crate) fn new(name: &str, source: &Source<'_>) -> Self {
        let base = source.base();
        let exact = base.map(|base| accuracies(source.study, &base.plan.name)).unwrap_or_default();
        let alike = |plan: &&PlanRow| {
            plan.plan.from.is_none()
                && base.is_some_and(|base| {
                    plan.planned_epochs == base.planned_epochs && plan.plan.name != base.plan.name
                })
        };
        let loss = |plan: &PlanRow| {
            let own = accuracies(source.study, &plan.plan.name);
            let both = own.iter().filter_map(|(seed, own)| Some(100.0 * (own - exact.get(seed)?)));
            Loss {
                plan: plan.plan.name.clone(),
                family: family::of_plan(&plan.plan.spec),
                bytes: plan.held_ratio(base).unwrap_or(f64::NAN),
                differences: both.collect(),
            }
        };
        Self { name: name.to_owned(), plans: source.plans.iter().filter(alike).map(loss).collect() }
    }
}

/// The final accuracy of each finished run of a plan, by seed.
fn accuracies(study: &Study, plan: &str) -> HashMap<u64, f64> {
    let last = |run: &Run| {
        run.records.iter().rev().find_map(|record| match record {
            Record::Epoch { test_accuracy, .. } => Some(*test_accuracy),
            _ => None,
        })
    };
    let finished = study.of(plan).filter(|run| run.finished());
    finished.filter_map(|run| Some((run.manifest.seed, last(run)?))).collect()
}

/// Loss of accuracy against bytes on all networks; `None` if no plan can be compared.
///
/// # Errors
/// Returns an error if the figure cannot be drawn.
pub(crate) fn collection_figure(networks: &[Network]) -> Result<Option<Figure>> {
    let losses: Vec<Vec<PlanLoss<'_>>> = networks
        .iter()
        .map(|network| network.plans.iter().filter_map(Loss::compared).collect())
        .collect();
    if losses.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let named = networks.iter().zip(&losses).filter(|(_, plans)| !plans.is_empty());
    let all: Vec<NetworkLosses<'_>> =
        named.map(|(network, plans)| NetworkLosses { name: &network.name, plans }).collect();
    let title = "What each method loses for the bytes that it saves, network by network";
    let caption = Caption::new("accuracy-loss", title)
        .subtitle("plans with the epochs and the start of the exact plan of their network");
    Ok(Some(accuracy_loss(&caption, &all)?))
}
