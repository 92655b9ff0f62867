//! The records of a run, in the order in which they are made.

use packlight_spec::LayerKind;
use serde::{Deserialize, Serialize};

use crate::log::Logged;
use crate::scan::Scan;

/// The purpose of a kept tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptKind {
    /// A layer's input, packed by its codec.
    Input,
    /// A bit mask or window indices.
    Mask,
    /// Means, standard deviations and the like.
    Statistics,
    /// The state that a codec carries from step to step.
    #[serde(rename = "memory")] // the name in records
    CodecState,
}

impl KeptKind {
    /// The name used in records and reports.
    pub fn name(self) -> &'static str {
        match self {
            KeptKind::Input => "input",
            KeptKind::Mask => "mask",
            KeptKind::Statistics => "statistics",
            KeptKind::CodecState => "memory",
        }
    }
}

/// How close a compressed gradient is to the exact one.
///
/// A quantity that is undefined, because the exact gradient is zero or not finite, is `None`, never
/// 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// `<g, h> / (|g| |h|)` over the flattened tensors.
    pub cosine: Option<f64>,
    /// `|g - h| / |g|`.
    pub relative_error: Option<f64>,
    /// `|h| / |g|`.
    pub norm_ratio: Option<f64>,
    /// `10 log10(|g|^2 / |g - h|^2)`; `None` also where the two are equal, since it is infinite.
    pub snr_db: Option<f64>,
    /// `|g|`, the exact gradient's Euclidean norm.
    pub exact_norm: f64,
}

/// The distribution of a quantity over samples or tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// The number of samples or tokens with a defined value.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// The 5th percentile.
    pub p05: f64,
    /// The 25th percentile.
    pub p25: f64,
    /// The median.
    pub median: f64,
    /// The 75th percentile.
    pub p75: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The largest.
    pub max: f64,
    /// The fraction at or below 0.
    pub nonpositive: f64,
}

/// Bias and variance of a compressed gradient over repeated draws of the codecs' random numbers on
/// one batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Draws {
    /// The number of draws.
    pub count: u64,
    /// `|mean(h) - g| / |g|`; for an unbiased codec it falls with the square root of the count.
    pub bias: Option<f64>,
    /// `E|h - mean(h)|^2 / |g|^2`, with the count less one in the denominator.
    pub variance: Option<f64>,
}

/// One line of a run's `records.jsonl`.
///
/// `step` counts optimizer steps from 0 at the start of the run, `epoch` from 0; a quantity
/// recorded "after" an epoch carries the number of that epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// A layer of the model, once at the start of a run, in forward order.
    Layer {
        /// Its PyTorch name.
        layer: String,
        /// What it computes.
        kind: LayerKind,
        /// The codec that the plan gives it.
        codec: String,
    },
    /// One pass over the training data, after evaluation on the test data.
    Epoch {
        /// Which epoch has ended.
        epoch: u64,
        /// Optimizer steps done so far.
        step: u64,
        /// The learning rate of its last step.
        learning_rate: f64,
        /// Mean loss over the epoch's training batches, as training minimises it: smoothed where
        /// the manifest says so of the model.
        train_loss: f64,
        /// Fraction of training samples classified correctly (as they were trained on).
        train_accuracy: f64,
        /// Mean cross-entropy over the test data, never smoothed.
        test_loss: f64,
        /// Fraction of the test data classified correctly.
        test_accuracy: f64,
        /// The exponential of the test loss, for a language model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test_perplexity: Option<f64>,
        /// The BLEU of greedy translations of the test sources, from 0 to 100, as sacreBLEU defines it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test_bleu: Option<f64>,
    },
    /// Exact and compressed weight gradient of one layer, from the same batch in one backward pass.
    Gradient {
        /// The epoch of the step.
        epoch: u64,
        /// The step.
        step: u64,
        /// The layer.
        layer: String,
        /// How close the two are.
        fidelity: Fidelity,
        /// The learning indicator per sample (conv) or token (linear).
        learning_indicator: Option<Distribution>,
        /// The same per sample, of a linear layer whose samples have several tokens.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sample_learning_indicator: Option<Distribution>,
        /// Payload and metadata bytes that the codec keeps of this layer's input.
        kept_bytes: u64,
        /// Bytes of the same input uncompressed.
        raw_bytes: u64,
    },
    /// Gradient of one parameter from two whole backward passes over the same batch, one of them
    /// with everything kept exactly.
    WholeGradient {
        /// The epoch of the step.
        epoch: u64,
        /// The step.
        step: u64,
        /// The parameter.
        parameter: String,
        /// How close the two are.
        fidelity: Fidelity,
        /// What repeating the compressed pass showed, where it was repeated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        draws: Option<Draws>,
    },
    /// What one layer keeps for the backward pass of one step, by the ledger.
    Kept {
        /// The step.
        step: u64,
        /// The layer.
        layer: String,
        /// What it is kept for.
        kind: KeptKind,
        /// Data bytes kept.
        payload: u64,
        /// Bytes of scales, indices and the like.
        metadata: u64,
        /// What keeping it uncompressed would take.
        raw: u64,
    },
    /// Bytes kept over one forward and backward pass, by the ledger.
    Timeline {
        /// The step.
        step: u64,
        /// One point for each time something was kept or freed.
        points: Vec<TimelinePoint>,
    },
    /// The codecs that an adaptive plan gives the layers from a step on, before which it has measured
    /// single layers.
    Allocation {
        /// The step.
        step: u64,
        /// The codecs as a plan.
        plan: String,
        /// The budget in bytes.
        budget: u64,
        /// The most bytes that a step keeps with them, masks and statistics included.
        kept_bytes: u64,
        /// What a step keeps with every layer exact.
        exact_bytes: u64,
        /// The most bytes that a pass of the measurement has kept.
        measuring_bytes: u64,
        /// The relative squared error of the whole gradient that averaging over steps leaves, as it is
        /// predicted of these codecs.
        predicted_error: f64,
        /// The layers whose input a codec can pack, in forward order.
        layers: Vec<AllocatedLayer>,
    },
    /// The loss or a gradient was no longer finite, and the run ended there.
    Diverged {
        /// The step.
        step: u64,
        /// What was seen.
        reason: String,
    },
    /// The run came to its planned end.
    Finished {
        /// Optimizer steps done.
        step: u64,
    },
}

impl Logged for Record {
    /// Gradients, of which a long run has most.
    fn scanned(json: &str) -> Option<Self> {
        let mut scan = Scan::new(json);
        let side_by_side = scan.maybe("{\"type\":\"gradient\",\"epoch\":");
        if !side_by_side {
            scan.past("{\"type\":\"whole_gradient\",\"epoch\":")?;
        }
        let epoch = scan.number()?;
        scan.past(",\"step\":")?;
        let step = scan.number()?;
        scan.past(if side_by_side { ",\"layer\":" } else { ",\"parameter\":" })?;
        let name = scan.text()?.to_owned();
        scan.past(",\"fidelity\":")?;
        let fidelity = scan.fidelity()?;
        let record = if side_by_side {
            scan.past(",\"learning_indicator\":")?;
            let learning_indicator = scan.distribution()?;
            let sample_learning_indicator = match scan.maybe(",\"sample_learning_indicator\":") {
                true => scan.distribution()?,
                false => None,
            };
            scan.past(",\"kept_bytes\":")?;
            let kept_bytes = scan.number()?;
            scan.past(",\"raw_bytes\":")?;
            let raw_bytes = scan.number()?;
            Record::Gradient {
                epoch,
                step,
                layer: name,
                fidelity,
                learning_indicator,
                sample_learning_indicator,
                kept_bytes,
                raw_bytes,
            }
        } else {
            let draws = if scan.maybe(",\"draws\":") { Some(scan.draws()?) } else { None };
            Record::WholeGradient { epoch, step, parameter: name, fidelity, draws }
        };
        scan.past("}")?;
        scan.end()?;
        Some(record)
    }
}

/// A layer in an allocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllocatedLayer {
    /// The layer.
    pub layer: String,
    /// Its codec.
    pub codec: String,
    /// The most bytes that it takes.
    pub kept_bytes: u64,
    /// Bytes of the layer's input, uncompressed.
    pub raw_bytes: u64,
    /// The lasting relative squared error of the whole gradient with this layer's codec alone, as measured.
    pub error: f64,
}

/// One event in the memory timeline of a pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelinePoint {
    /// The layer that kept or freed something.
    pub layer: String,
    /// Whether this happened in the backward pass.
    pub backward: bool,
    /// Bytes kept after it.
    pub kept: u64,
}
