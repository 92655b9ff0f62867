//! One figure over all networks of a collection: loss of accuracy against bytes.

use packlight_figure::{Caption, Family, Figure, NetworkLosses, PlanLoss, accuracy_loss};

use super::Source;
use crate::plan::PlanRow;
use crate::training::Training;
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
    /// The most bytes held at once, as a multiple of the exact plan's.
    bytes: f64,
    /// The mean difference of accuracy within a seed, in points, and the number of seeds.
    difference: f64,
    n: u64,
}

impl Loss {
    fn drawn(&self) -> PlanLoss<'_> {
        let Self { plan, family, bytes, difference, n } = self;
        PlanLoss { plan, family: *family, bytes: *bytes, difference: *difference, n: *n as usize }
    }
}

impl Network {
    /// The plans of the study called `name` that train as long as the exact plan, and from the same
    /// start: any other comparison is of another experiment.
    pub(crate) fn new(name: &str, source: &Source<'_>) -> Self {
        let loss = |plan: &PlanRow| {
            let difference = plan.comparison.as_ref()?.difference;
            Some(Loss {
                plan: plan.plan.name.clone(),
                family: family::of_plan(&plan.plan.spec),
                bytes: plan.held_ratio(source.base())?,
                difference: 100.0 * difference.mean,
                n: difference.n,
            })
        };
        let alike = source.plans.iter().filter(|plan| plan.training == Training::Plain);
        Self { name: name.to_owned(), plans: alike.filter_map(loss).collect() }
    }
}

/// Loss of accuracy against bytes on all networks; `None` if no plan can be compared.
///
/// # Errors
/// Returns an error if the figure cannot be drawn.
pub(crate) fn collection_figure(networks: &[Network]) -> Result<Option<Figure>> {
    let losses: Vec<Vec<PlanLoss<'_>>> =
        networks.iter().map(|network| network.plans.iter().map(Loss::drawn).collect()).collect();
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
