//! Steps that were planned: what they hold, layer by layer and from moment to moment.

mod page;

use std::path::Path;

use packlight_figure::{Caption, Figure, Moment, binary, step_course};

use crate::document::document;
use crate::report::write_figure;
use crate::{Result, file, stale};

/// The steps of one model with one plan or several.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedSteps {
    /// The model and its inputs.
    pub model: String,
    /// Batch, optimizer and type of numbers.
    pub setting: String,
    /// The machine that times are for, with its figures.
    pub machine: Option<String>,
    /// The bytes that there are.
    pub budget: Option<f64>,
    /// The plans; the first is what the others are compared with.
    pub plans: Vec<PlannedPlan>,
    /// The layers of all plans as CSV.
    pub layers_csv: Vec<u8>,
}

/// A step with one plan. Bytes, if nothing else is said.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPlan {
    /// The plan.
    pub plan: String,
    /// Whether nothing depends on the data, so that all bytes are known.
    pub is_exact: bool,
    /// What the forward pass keeps.
    pub kept: f64,
    /// The most that the step holds.
    pub peak: f64,
    /// The layer at which it does.
    pub peak_layer: Option<String>,
    /// Multiplications of both passes.
    pub multiplications: u64,
    /// What operations read and write.
    pub moved: f64,
    /// The estimated seconds on the machine.
    pub seconds: Option<f64>,
    /// Those in bf16.
    pub seconds_in_bf16: Option<f64>,
    /// Its layers in forward order.
    pub layers: Vec<PlannedLayer>,
    /// What it holds, moment by moment.
    pub course: Vec<PlannedMoment>,
}

/// A layer. Bytes, if nothing else is said.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedLayer {
    /// Its name.
    pub layer: String,
    /// What it computes.
    pub kind: String,
    /// Its codec.
    pub codec: String,
    /// What of it is frozen, in words.
    pub frozen: Option<&'static str>,
    /// Its parameters.
    pub parameters: f64,
    /// Their gradients.
    pub gradients: f64,
    /// The optimizer's state for them.
    pub optimizer: f64,
    /// What it keeps in the forward pass.
    pub kept: f64,
    /// The fewest and the most that it keeps, where that depends on the data.
    pub within: Option<[f64; 2]>,
    /// What it keeps in the backward pass, where it is recomputed.
    pub kept_again: f64,
    /// What it allocates while it runs.
    pub workspace: f64,
    /// Multiplications of both passes.
    pub multiplications: u64,
    /// What it reads and writes.
    pub moved: f64,
    /// The estimated seconds on the machine.
    pub seconds: Option<f64>,
}

/// What a step holds at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedMoment {
    /// The layer at work.
    pub layer: String,
    /// Whether it is in the backward pass.
    pub is_backward: bool,
    /// The bytes of parameters and buffers, the optimizer's state, the gradients of parameters, what is
    /// kept of activations, activations and gradients on their way, and workspace.
    pub bytes: [f64; 6],
}

/// The names of the bytes of a [`PlannedMoment`].
const PARTS: [&str; 6] = [
    "parameters",
    "optimizer state",
    "gradients of parameters",
    "kept activations",
    "activations and gradients on their way",
    "workspace",
];

/// Writes the page into `folder`, with its figures in `figures/` and the layers in `tables/layers.csv`.
///
/// # Errors
/// Returns an error if a figure cannot be drawn or a file cannot be written.
pub fn write_planned(folder: &Path, steps: &PlannedSteps) -> Result<()> {
    let figures: Vec<Figure> = steps
        .plans
        .iter()
        .enumerate()
        .map(|(number, plan)| course(steps, number, plan))
        .collect::<Result<_>>()?;
    for figure in &figures {
        write_figure(folder, figure)?;
    }
    file::write(&folder.join("tables").join("layers.csv"), &steps.layers_csv)?;
    let html = document(&format!("Plan: {}", steps.model), &page::body(steps, &figures));
    stale::replace(&folder.join("index.html"), &html)
}

/// The course of a step.
fn course(steps: &PlannedSteps, number: usize, plan: &PlannedPlan) -> Result<Figure> {
    let at = plan.peak_layer.as_ref().map(|layer| format!(", at {layer}")).unwrap_or_default();
    let up = if plan.is_exact { "up to" } else { "at least" };
    let title = format!("{}: a step holds {up} {}{at}", plan.plan, binary(plan.peak));
    let caption = Caption::new(format!("course-{}", number + 1), title);
    let caption = caption.subtitle(format!("{}; {}", steps.model, steps.setting));
    let moments: Vec<Moment<'_>> = plan.course.iter().map(drawn).collect();
    Ok(step_course(&caption, &PARTS, &moments)?)
}

fn drawn(moment: &PlannedMoment) -> Moment<'_> {
    let PlannedMoment { layer, is_backward, bytes } = moment;
    Moment { layer, backward: *is_backward, bytes }
}
