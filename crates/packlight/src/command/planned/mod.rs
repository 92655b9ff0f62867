//! What `packlight plan` says: the bytes of one plan, layer by layer, or of several side by side.

mod page;
mod words;

use packlight::autograd::{Entry, StepPeak};
use packlight::nn::Plan;
use packlight::nn::footprint::{Footprint, LayerFootprint};
use packlight::spec::LayerKind;
use serde::Serialize;

use crate::machine::Machine;

pub(super) use page::page;
pub(super) use words::{amount, compare};

/// What a step keeps with one plan. Bytes, if nothing else is said.
#[derive(Serialize)]
pub(super) struct Planned {
    model: String,
    plan: String,
    batch: usize,
    optimizer: String,
    parameters: usize,
    parameter_bytes: usize,
    gradient_bytes: usize,
    optimizer_bytes: usize,
    buffer_bytes: usize,
    kept_bytes: usize,
    kept_payload: usize,
    kept_metadata: usize,
    /// What is kept is within these; both are `kept_bytes` where nothing depends on the data.
    kept_at_least: usize,
    kept_at_most: usize,
    /// Whether no codec's bytes depend on the data, so that sums are exact.
    kept_is_exact: bool,
    /// The uncompressed bytes of what depends on the data.
    depends_on_data_uncompressed: usize,
    kept_peak_bytes: usize,
    peak_bytes: usize,
    peak: Peak,
    /// Multiplications of convolutions, linear layers and products of activations, as their formulas have
    /// them.
    forward_multiplications: u64,
    backward_multiplications: u64,
    /// What all operations read and write, once each in each pass.
    moved_bytes: u64,
    /// Of these, what operations between layers move.
    moved_between: u64,
    /// The machine, and the estimated seconds of a step on it; and in bf16, where it has that.
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<Machine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_in_bf16: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Fits>,
    kinds: Vec<Row>,
    layers: Vec<Row>,
    /// What a step holds, moment by moment, for the page.
    #[serde(skip)]
    moments: Vec<StepPeak>,
}

/// What `peak_bytes` consists of.
#[derive(Serialize)]
struct Peak {
    resident: usize,
    kept: usize,
    parameter_gradients: usize,
    /// Activations and their gradients on their way, and what is restored of inputs.
    flowing: usize,
    /// What convolutions allocate while they run, with the threads of this machine.
    workspace: usize,
    /// The layer at work, or the next one behind it that has saved anything.
    layer: Option<String>,
}

#[derive(Serialize)]
struct Fits {
    bytes: u64,
    fits: bool,
}

/// A layer, or all layers of a kind.
#[derive(Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen: Option<bool>,
    parameters: usize,
    /// How many of these train.
    trained: usize,
    parameter_bytes: usize,
    gradient_bytes: usize,
    optimizer_bytes: usize,
    kept_payload: usize,
    kept_metadata: usize,
    /// What is saved in the backward pass, where it is recomputed.
    kept_again: usize,
    depends_on_data: bool,
    kept_at_least: usize,
    kept_at_most: usize,
    uncompressed: usize,
    /// The most that one of its passes allocates while it runs.
    workspace: usize,
    forward_multiplications: u64,
    backward_multiplications: u64,
    moved_bytes: u64,
    /// The least that it takes on the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// What is planned: the step, and where it runs.
pub(super) struct Setting<'a> {
    /// The model and its inputs, in words.
    pub(super) model: String,
    pub(super) plan: &'a Plan,
    pub(super) batch: usize,
    pub(super) optimizer: &'a str,
    pub(super) machine: Option<&'a Machine>,
    pub(super) budget: Option<u64>,
}

impl Planned {
    pub(super) fn of(footprint: Footprint, setting: Setting<'_>) -> Self {
        let Setting { model, plan, batch, optimizer, machine, budget } = setting;
        let layers: Vec<Row> =
            footprint.layers.iter().map(|layer| Row::of(layer, machine)).collect();
        let kinds = LayerKind::ALL.iter().filter_map(|kind| Row::of_kind(kind.name(), &layers));
        let sum = |of: fn(&Row) -> usize| layers.iter().map(of).sum();
        let count = |of: fn(&Row) -> u64| layers.iter().map(of).sum();
        let depends = layers.iter().filter(|row| row.depends_on_data);
        let StepPeak { kept, parameter_gradients, flowing, workspace, layer, .. } =
            footprint.peak.clone();
        let peak_bytes = footprint.peak_bytes();
        Self {
            model,
            plan: plan.to_string(),
            batch,
            optimizer: optimizer.to_owned(),
            parameters: sum(|row| row.parameters),
            parameter_bytes: sum(|row| row.parameter_bytes),
            gradient_bytes: sum(|row| row.gradient_bytes),
            optimizer_bytes: sum(|row| row.optimizer_bytes),
            buffer_bytes: footprint.buffers,
            kept_bytes: footprint.kept().total(),
            kept_payload: footprint.kept().payload,
            kept_metadata: footprint.kept().metadata,
            kept_at_least: footprint.kept_within()[0],
            kept_at_most: footprint.kept_within()[1],
            kept_is_exact: footprint.is_exact(),
            depends_on_data_uncompressed: depends.map(|row| row.uncompressed).sum(),
            kept_peak_bytes: footprint.kept_peak,
            peak_bytes,
            peak: Peak {
                resident: footprint.resident(),
                kept,
                parameter_gradients,
                flowing,
                workspace,
                layer: layer.map(|layer| layer.to_string()),
            },
            forward_multiplications: count(|row| row.forward_multiplications),
            backward_multiplications: count(|row| row.backward_multiplications),
            moved_bytes: count(|row| row.moved_bytes) + footprint.streamed_between,
            moved_between: footprint.streamed_between,
            on: machine.cloned(),
            seconds: machine.map(|machine| machine.step_seconds(&footprint)),
            seconds_in_bf16: machine.and_then(|machine| machine.step_seconds_in_bf16(&footprint)),
            budget: budget.map(|bytes| Fits { bytes, fits: peak_bytes as u64 <= bytes }),
            kinds: kinds.collect(),
            layers,
            moments: footprint.moments,
        }
    }
}

impl Row {
    fn of(layer: &LayerFootprint, machine: Option<&Machine>) -> Self {
        let all = || layer.saved.iter().chain(&layer.saved_again);
        let raw = |entries: &[Entry]| entries.iter().map(|entry| entry.raw).sum();
        Self {
            layer: Some(layer.layer.name().to_owned()),
            kind: layer.layer.kind().name(),
            codec: Some(layer.layer.codec().spec()),
            frozen: Some(layer.parameters > 0 && layer.trained == 0),
            parameters: layer.parameters,
            trained: layer.trained,
            parameter_bytes: layer.parameter_bytes,
            gradient_bytes: layer.gradient_bytes,
            optimizer_bytes: layer.optimizer_bytes,
            kept_payload: layer.kept().payload,
            kept_metadata: layer.kept().metadata,
            kept_again: layer.saved_again.iter().map(|entry| entry.bytes.total()).sum(),
            depends_on_data: all().any(|entry| !entry.known),
            kept_at_least: layer.kept_within()[0],
            kept_at_most: layer.kept_within()[1],
            uncompressed: raw(&layer.saved),
            workspace: layer.workspace(),
            forward_multiplications: layer.multiplications().0,
            backward_multiplications: layer.multiplications().1,
            moved_bytes: layer.moved(),
            seconds: machine.map(|machine| machine.seconds(layer)),
        }
    }

    /// All layers of a kind; `None` if there are none.
    fn of_kind(kind: &'static str, layers: &[Row]) -> Option<Self> {
        let own: Vec<&Row> = layers.iter().filter(|row| row.kind == kind).collect();
        let sum = |of: fn(&Row) -> usize| own.iter().map(|row| of(row)).sum();
        let count = |of: fn(&Row) -> u64| own.iter().map(|row| of(row)).sum();
        (!own.is_empty()).then(|| Self {
            layer: None,
            kind,
            codec: None,
            frozen: None,
            parameters: sum(|row| row.parameters),
            trained: sum(|row| row.trained),
            parameter_bytes: sum(|row| row.parameter_bytes),
            gradient_bytes: sum(|row| row.gradient_bytes),
            optimizer_bytes: sum(|row| row.optimizer_bytes),
            kept_payload: sum(|row| row.kept_payload),
            kept_metadata: sum(|row| row.kept_metadata),
            kept_again: sum(|row| row.kept_again),
            depends_on_data: own.iter().any(|row| row.depends_on_data),
            kept_at_least: sum(|row| row.kept_at_least),
            kept_at_most: sum(|row| row.kept_at_most),
            uncompressed: sum(|row| row.uncompressed),
            workspace: own.iter().map(|row| row.workspace).max().unwrap_or_default(),
            forward_multiplications: count(|row| row.forward_multiplications),
            backward_multiplications: count(|row| row.backward_multiplications),
            moved_bytes: count(|row| row.moved_bytes),
            seconds: own.iter().map(|row| row.seconds).sum(),
        })
    }
}

/// The columns of [`csv`]: the plan, and the fields of a [`Row`].
const COLUMNS: [&str; 21] = [
    "plan",
    "layer",
    "kind",
    "codec",
    "frozen",
    "parameters",
    "trained",
    "parameter_bytes",
    "gradient_bytes",
    "optimizer_bytes",
    "kept_payload",
    "kept_metadata",
    "kept_again",
    "depends_on_data",
    "kept_at_least",
    "kept_at_most",
    "uncompressed",
    "workspace",
    "forward_multiplications",
    "backward_multiplications",
    "moved_bytes",
];

/// The layers of each plan as CSV, with a line for the names of the columns, and the seconds as the last
/// one where there is a machine.
pub(super) fn csv(plans: &[Planned]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let timed = plans.iter().any(|plan| plan.on.is_some());
    writer.write_record(COLUMNS.iter().chain(timed.then_some(&"seconds")))?;
    for plan in plans {
        for row in &plan.layers {
            writer.serialize((&plan.plan, row))?;
        }
    }
    Ok(writer.into_inner()?)
}
