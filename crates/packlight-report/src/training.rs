//! What a plan's training starts from and how long it takes, beside the exact plan's.

use crate::plan::PlanRow;

/// Which plans a plan's accuracy may be put beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Training {
    /// As long as the exact plan's, from the study's own start.
    Plain,
    /// With another number of epochs.
    OtherLength,
    /// From the weights that another plan ends with.
    Continued {
        /// The epochs that led to these weights.
        before: u64,
    },
}

impl Training {
    /// What to add to the name of a plan of this many `epochs`: `24 epochs`, `6 + 3 epochs`.
    pub(crate) fn mark(self, epochs: u64) -> Option<String> {
        match self {
            Training::Plain => None,
            Training::OtherLength => Some(crate::format::count(epochs, "epoch")),
            Training::Continued { before } => Some(format!("{before} + {epochs} epochs")),
        }
    }

    /// Whether it starts from the weights that another plan ends with.
    pub(crate) fn continued(self) -> bool {
        matches!(self, Training::Continued { .. })
    }
}

/// Sets the training of each plan. Without a `baseline` no number of epochs is the study's.
pub(crate) fn classify(plans: &mut [PlanRow], baseline: Option<&str>) {
    let epochs = baseline.and_then(|name| row(plans, name)).map(|base| base.planned_epochs);
    let trainings: Vec<Training> = plans
        .iter()
        .map(|plan| match &plan.plan.from {
            Some(from) => Training::Continued { before: all_epochs(plans, from) },
            None if epochs.is_some_and(|epochs| epochs != plan.planned_epochs) => {
                Training::OtherLength
            }
            None => Training::Plain,
        })
        .collect();
    for (plan, training) in plans.iter_mut().zip(trainings) {
        plan.training = training;
    }
}

/// The plan called `name`.
pub(crate) fn row<'a>(plans: &'a [PlanRow], name: &str) -> Option<&'a PlanRow> {
    plans.iter().find(|plan| plan.plan.name == name)
}

/// The epochs of a plan and of those whose weights it starts from, which stand above it.
fn all_epochs(plans: &[PlanRow], name: &str) -> u64 {
    let (mut epochs, mut next) = (0, row(plans, name));
    for _ in plans {
        let Some(plan) = next else { break };
        epochs += plan.planned_epochs;
        next = plan.plan.from.as_ref().and_then(|from| row(plans, from));
    }
    epochs
}
