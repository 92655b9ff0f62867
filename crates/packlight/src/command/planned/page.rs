//! The page of `packlight plan --report`.

use std::path::Path;

use packlight::autograd::StepPeak;
use packlight::report::{PlannedLayer, PlannedMoment, PlannedPlan, PlannedSteps, write_planned};

use super::{Planned, Row, csv};
use crate::command::plans::what_is_frozen;

/// Writes the page of these plans of one model into a folder.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub(in crate::command) fn page(folder: &Path, plans: &[Planned]) -> anyhow::Result<()> {
    let Some(first) = plans.first() else { return Ok(()) };
    let steps = PlannedSteps {
        model: first.model.clone(),
        setting: format!("batch {}, {}, f32", first.batch, first.optimizer),
        machine: first.on.as_ref().map(|machine| machine.in_words()),
        budget: first.budget.as_ref().map(|budget| budget.bytes as f64),
        plans: plans.iter().map(plan).collect(),
        layers_csv: csv(plans)?,
    };
    Ok(write_planned(folder, &steps)?)
}

fn plan(planned: &Planned) -> PlannedPlan {
    let fixed = [planned.parameter_bytes + planned.buffer_bytes, planned.optimizer_bytes];
    PlannedPlan {
        plan: planned.plan.clone(),
        is_exact: planned.kept_is_exact,
        kept: planned.kept_bytes as f64,
        peak: planned.peak_bytes as f64,
        peak_layer: planned.peak.layer.clone(),
        multiplications: planned.forward_multiplications + planned.backward_multiplications,
        moved: planned.moved_bytes as f64,
        seconds: planned.seconds,
        seconds_in_bf16: planned.seconds_in_bf16,
        layers: planned.layers.iter().map(layer).collect(),
        course: planned.moments.iter().map(|at| moment(at, fixed)).collect(),
    }
}

fn layer(row: &Row) -> PlannedLayer {
    PlannedLayer {
        layer: row.layer.clone().unwrap_or_default(),
        kind: row.kind.to_owned(),
        codec: row.codec.clone().unwrap_or_default(),
        frozen: what_is_frozen(row.parameters, row.trained),
        parameters: row.parameter_bytes as f64,
        gradients: row.gradient_bytes as f64,
        optimizer: row.optimizer_bytes as f64,
        kept: (row.kept_payload + row.kept_metadata) as f64,
        within: row.depends_on_data.then_some([row.kept_at_least as f64, row.kept_at_most as f64]),
        kept_again: row.kept_again as f64,
        workspace: row.workspace as f64,
        multiplications: row.forward_multiplications + row.backward_multiplications,
        moved: row.moved_bytes as f64,
        seconds: row.seconds,
    }
}

/// What a step holds at a moment, in the order of the report's parts.
fn moment(at: &StepPeak, [parameters, optimizer]: [usize; 2]) -> PlannedMoment {
    let bytes = [parameters, optimizer, at.parameter_gradients, at.kept, at.flowing, at.workspace];
    PlannedMoment {
        layer: at.layer.as_deref().unwrap_or("between layers").to_owned(),
        is_backward: at.backward,
        bytes: bytes.map(|bytes| bytes as f64),
    }
}
