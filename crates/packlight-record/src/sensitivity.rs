//! What single layers' codecs do to the gradients.

use std::collections::BTreeMap;

use packlight_spec::{LayerKind, Point};
use serde::{Deserialize, Serialize};

use crate::log::Logged;
use crate::scan::Scan;
use crate::{Distribution, Fidelity, KeptKind};

/// One line of a study's `sensitivity/scores.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SensitivityRecord {
    /// A layer of the network, in forward order.
    Layer(LayerFacts),
    /// What a layer keeps whatever packs its input: masks, statistics.
    Fixed {
        /// The layer.
        layer: String,
        /// What it is kept for.
        kind: KeptKind,
        /// Its bytes.
        bytes: u64,
    },
    /// A step of exact training while one of its passes is at a layer, which keeps then what it has
    /// saved, as do all layers before it. These follow each other in forward order.
    At {
        /// The layer.
        layer: String,
        /// The most bytes that the step then holds beside what is kept: parameters, buffers, the
        /// optimizer's state, gradients, activations on their way, and the inputs that codecs may have to
        /// restore.
        beside: u64,
        /// The same where the layer's own input is exact, so that it is not restored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exact: Option<u64>,
    },
    /// A block that can be recomputed, in forward order.
    Block(BlockFacts),
    /// A measurement.
    Score(Score),
    /// What became of the loss in a training of a few updates.
    Loss(LossChange),
    /// A measurement with one codec at all layers but one.
    OneOff(OneOff),
}

/// A block of the network, and what is kept where it is recomputed with every layer exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockFacts {
    /// Its name.
    pub block: String,
    /// Its layers.
    pub layers: Vec<String>,
    /// The bytes of its input, which is kept in place of what its layers save.
    pub input_bytes: u64,
    /// The bytes that its layers save again, in the backward pass.
    pub again_bytes: u64,
    /// The most bytes that a step then holds, less what is kept for layers before the block.
    pub step_bytes: u64,
}

/// A layer that saves an input which a codec can pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerFacts {
    /// Its PyTorch name.
    pub layer: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Which tensor it saves: layers with the same number save the same one, and those that pack it
    /// alike share one copy.
    pub source: u64,
    /// The bytes of that tensor, uncompressed.
    pub raw_bytes: u64,
    /// What identifies its exact copy; see [`Score::copy`].
    pub copy: String,
    /// Whether it was measured, or is left exact.
    pub measured: bool,
    /// By codec, the most bytes of the tensor that the layer restores at a time, where these are not all: none where the
    /// codec computes the gradient from what it has packed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restored_bytes: BTreeMap<String, u64>,
}

/// What one codec at one layer does to the gradients of one batch, all other layers exact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// SHA-256 of what it was measured on: the weights, the running statistics, the batch and the seed.
    /// With the layer, the codec and the number of draws it determines everything else.
    pub state: String,
    /// The point of the training.
    pub point: Point,
    /// The seed of the training.
    pub seed: u64,
    /// Which of the batches, from 0.
    pub batch: u64,
    /// How many times the codec packed the batch, each time with other random numbers.
    pub draws: u64,
    /// The layer.
    pub layer: String,
    /// The codec.
    pub codec: String,
    /// The gradients that are compared.
    pub compared: Compared,
    /// How close these are, in the first draw.
    pub fidelity: Fidelity,
    /// `E|h - g|^2` over the gradients of all parameters: the mean over the draws.
    pub squared_error: f64,
    /// `|E h - g|^2`, the part of the squared error that does not average out over steps; `None` for a
    /// single draw. It is the mean of `<h - g, h' - g>` over all pairs of draws, which has no bias of its
    /// own and may fall a little below 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squared_bias: Option<f64>,
    /// `|g|`, the exact gradient's norm over all parameters.
    pub whole_norm: f64,
    /// The learning indicator per sample (conv) or token (linear); for these layers alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_indicator: Option<Distribution>,
    /// Payload and metadata bytes of the packed input.
    pub kept_bytes: u64,
    /// What identifies the packed copy: layers that save the same tensor share it if these are equal.
    pub copy: String,
}

/// The share of a gradient's variance that is left once momentum has averaged over steps: an exponential
/// mean with a momentum of 0.9 has `(1 - 0.9) / (1 + 0.9)` of the variance of its terms.
pub const VARIANCE_LEFT: f64 = 1.0 / 19.0;

impl Score {
    /// The error of the whole gradient.
    pub fn whole_error(&self) -> WholeError {
        let &Self { squared_error, squared_bias, whole_norm, .. } = self;
        WholeError { squared_error, squared_bias, whole_norm }
    }

    /// See [`WholeError::lasting`].
    pub fn lasting_error(&self) -> f64 {
        self.whole_error().lasting()
    }
}

/// The error of the gradient of all parameters on one batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WholeError {
    /// See [`Score::squared_error`].
    pub squared_error: f64,
    /// See [`Score::squared_bias`].
    pub squared_bias: Option<f64>,
    /// See [`Score::whole_norm`].
    pub whole_norm: f64,
}

impl WholeError {
    /// The relative squared error that averaging over steps leaves: the squared bias and [`VARIANCE_LEFT`] of the
    /// variance. Without repeated draws, the whole error.
    pub fn lasting(&self) -> f64 {
        let bias = self.squared_bias.map(|bias| bias.clamp(0.0, self.squared_error));
        Self { squared_bias: bias, ..*self }.lasting_on_average()
    }

    /// The same with a bias that may be below 0 or above the error by chance, for means over batches: where it is
    /// cut off on each of them, chance becomes a bias.
    pub fn lasting_on_average(&self) -> f64 {
        let bias = self.squared_bias.unwrap_or(self.squared_error);
        (bias + VARIANCE_LEFT * (self.squared_error - bias)) / self.whole_norm.powi(2)
    }

    /// The relative squared error of a single pass.
    pub fn of_one_pass(&self) -> f64 {
        self.squared_error / self.whole_norm.powi(2)
    }

    /// The squared bias, relative to the squared norm of the whole gradient; `None` for a single draw.
    pub fn relative_squared_bias(&self) -> Option<f64> {
        Some(self.squared_bias? / self.whole_norm.powi(2))
    }

    /// The rest of the squared error, likewise.
    pub fn relative_variance(&self) -> Option<f64> {
        Some((self.squared_error - self.squared_bias?) / self.whole_norm.powi(2))
    }
}

impl Logged for SensitivityRecord {
    /// Scores, of which nearly all lines are.
    fn scanned(json: &str) -> Option<Self> {
        let mut scan = Scan::new(json);
        scan.past("{\"type\":\"score\",\"state\":")?;
        let state = scan.text()?.to_owned();
        scan.past(",\"point\":")?;
        let point = scan.point()?;
        scan.past(",\"seed\":")?;
        let seed = scan.number()?;
        scan.past(",\"batch\":")?;
        let batch = scan.number()?;
        scan.past(",\"draws\":")?;
        let draws = scan.number()?;
        scan.past(",\"layer\":")?;
        let layer = scan.text()?.to_owned();
        scan.past(",\"codec\":")?;
        let codec = scan.text()?.to_owned();
        scan.past(",\"compared\":")?;
        let compared = match scan.text()? {
            "own" => Compared::Own,
            "all" => Compared::All,
            _ => return None,
        };
        scan.past(",\"fidelity\":")?;
        let fidelity = scan.fidelity()?;
        scan.past(",\"squared_error\":")?;
        let squared_error = scan.number()?;
        let squared_bias = match scan.maybe(",\"squared_bias\":") {
            true => scan.optional()?,
            false => None,
        };
        scan.past(",\"whole_norm\":")?;
        let whole_norm = scan.number()?;
        let learning_indicator = match scan.maybe(",\"learning_indicator\":") {
            true => scan.distribution()?,
            false => None,
        };
        scan.past(",\"kept_bytes\":")?;
        let kept_bytes = scan.number()?;
        scan.past(",\"copy\":")?;
        let copy = scan.text()?.to_owned();
        scan.past("}")?;
        scan.end()?;
        Some(SensitivityRecord::Score(Score {
            state,
            point,
            seed,
            batch,
            draws,
            layer,
            codec,
            compared,
            fidelity,
            squared_error,
            squared_bias,
            whole_norm,
            learning_indicator,
            kept_bytes,
            copy,
        }))
    }
}

/// What one codec at all layers but one does to the gradients of one batch. It is measured only for codecs that
/// change more than the gradients of their own layers' weights somewhere; for others it follows from the
/// [`Score`]s, whose squared errors add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneOff {
    /// That of the [`Score`]s of this batch.
    pub state: String,
    /// The point of the training.
    pub point: Point,
    /// The seed of the training.
    pub seed: u64,
    /// Which of the batches, from 0.
    pub batch: u64,
    /// How many times the codec packed the batch.
    pub draws: u64,
    /// The layer that is exact; `None` if the codec is at all layers.
    pub except: Option<String>,
    /// The codec.
    pub codec: String,
    /// The layers that were measured with the codec, as SHA-256 of their names.
    pub among: String,
    /// See [`Score::squared_error`].
    pub squared_error: f64,
    /// See [`Score::squared_bias`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squared_bias: Option<f64>,
    /// `|g|`, the exact gradient's norm over all parameters.
    pub whole_norm: f64,
}

impl OneOff {
    /// The error of the whole gradient.
    pub fn whole_error(&self) -> WholeError {
        let &Self { squared_error, squared_bias, whole_norm, .. } = self;
        WholeError { squared_error, squared_bias, whole_norm }
    }
}

/// A layer and a codec whose lasting error is at least this is hopeless: the gradient that lasts is as far
/// from the exact one as none at all.
pub const HOPELESS: f64 = 1.0;

/// What a few updates with one codec at one layer do to the loss, beside as many exact ones from the same
/// state, on the same batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossChange {
    /// That of the [`Score`]s of this batch, which is the first one that is trained on. With the layer, the
    /// codec and the horizon it determines everything else.
    pub state: String,
    /// The point of the training.
    pub point: Point,
    /// The seed of the training.
    pub seed: u64,
    /// Which of the batches, from 0.
    pub batch: u64,
    /// The number of updates.
    pub horizon: u64,
    /// The layer.
    pub layer: String,
    /// The codec.
    pub codec: String,
    /// The loss on a fixed sample after one exact update.
    pub exact_after_one: f64,
    /// That after `horizon` exact updates.
    pub exact_after_horizon: f64,
    /// The loss after one update with the codec, less that after an exact one; `None` if it is not finite.
    pub after_one: Option<f64>,
    /// The same after `horizon` updates; `None` if the training came to something that is not finite.
    pub after_horizon: Option<f64>,
}

/// The gradients that a score compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// That of the layer's own weight; the codec changes no other.
    Own,
    /// Those of all parameters, since the layer passes its error on.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_variance_a_nineteenth_counts_and_of_the_bias_everything() {
        let fidelity = Fidelity {
            cosine: None,
            relative_error: None,
            norm_ratio: None,
            snr_db: None,
            exact_norm: 2.0,
        };
        let mut score = Score {
            state: String::new(),
            point: Point::START,
            seed: 0,
            batch: 0,
            draws: 2,
            layer: "conv1".into(),
            codec: "q2".into(),
            compared: Compared::Own,
            fidelity,
            squared_error: 8.0,
            squared_bias: Some(0.4),
            whole_norm: 2.0,
            learning_indicator: None,
            kept_bytes: 1,
            copy: String::new(),
        };
        assert!((score.lasting_error() - (0.4 + 7.6 / 19.0) / 4.0).abs() < 1e-12);
        // What chance puts below 0 or above the error is cut off.
        score.squared_bias = Some(-0.1);
        assert!((score.lasting_error() - 8.0 / 19.0 / 4.0).abs() < 1e-12);
        let on_average = score.whole_error().lasting_on_average();
        assert!((on_average - (-0.1 + 8.1 / 19.0) / 4.0).abs() < 1e-12, "{on_average}");
        score.squared_bias = Some(8.5);
        assert_eq!(score.lasting_error(), 2.0);
        score.squared_bias = None;
        assert_eq!(score.lasting_error(), 2.0);
    }
}
