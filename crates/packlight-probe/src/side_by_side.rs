//! Exact and compressed weight gradients of one backward pass.

use std::sync::{Arc, Mutex, PoisonError};

use packlight_autograd::{Observer, SavePoint, WeightGradient};
use packlight_record::{Distribution, Fidelity, Record};

use crate::Result;
use crate::metric::{Rows, fidelity, learning_indicator};

/// Records, for every conv and linear layer in one backward pass, how close its compressed weight
/// gradient is to the exact one.
///
/// Set it as a pass's observer; afterwards [`SideBySide::records`] returns the results. It keeps
/// only a few numbers for each layer, no tensors.
#[derive(Debug, Default)]
pub struct SideBySide {
    findings: Mutex<Vec<Finding>>,
}

#[derive(Debug)]
struct Finding {
    layer: String,
    fidelity: Fidelity,
    learning_indicator: Option<Distribution>,
    sample_learning_indicator: Option<Distribution>,
    kept_bytes: u64,
    raw_bytes: u64,
}

impl SideBySide {
    /// A recorder for one pass.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The results as records of `step`, in the order of `layers` (the model's forward order). A
    /// layer that the pass used twice has two records.
    pub fn records(&self, layers: &[Arc<SavePoint>], epoch: u64, step: u64) -> Vec<Record> {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        layers
            .iter()
            .flat_map(|layer| findings.iter().filter(|f| f.layer == layer.name()))
            .map(|finding| Record::Gradient {
                epoch,
                step,
                layer: finding.layer.clone(),
                fidelity: finding.fidelity,
                learning_indicator: finding.learning_indicator,
                sample_learning_indicator: finding.sample_learning_indicator,
                kept_bytes: finding.kept_bytes,
                raw_bytes: finding.raw_bytes,
            })
            .collect()
    }

    fn examine(&self, seen: &WeightGradient<'_>) -> Result<()> {
        let rows = Rows::of(seen.layer.kind());
        let indicator = |rows| learning_indicator(rows, seen.input, seen.restored);
        let of_samples = rows == Rows::Tokens && seen.input.rank() > 2;
        let finding = Finding {
            layer: seen.layer.name().to_owned(),
            fidelity: fidelity(seen.exact, seen.compressed)?,
            learning_indicator: indicator(rows)?,
            sample_learning_indicator: match of_samples {
                true => indicator(Rows::Samples)?,
                false => None,
            },
            kept_bytes: seen.kept.total() as u64,
            raw_bytes: (seen.input.elem_count() * seen.input.dtype().size_in_bytes()) as u64,
        };
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
        Ok(())
    }
}

impl Observer for SideBySide {
    fn weight_gradient(&self, seen: &WeightGradient<'_>) -> std::result::Result<(), String> {
        self.examine(seen).map_err(|e| e.to_string())
    }
}
