//! The record of a trial.

use packlight_codec::CodecState;
use packlight_probe::one_on::{Outcome, Trial};
use packlight_record::{Distribution, Score};
use packlight_spec::Point;

use super::table::Pair;

/// What trials are made on.
pub(crate) struct On<'a> {
    pub(crate) point: Point,
    pub(crate) seed: u64,
    pub(crate) batch: u64,
    /// How many times a codec packs the batch.
    pub(crate) draws: u64,
    /// The state of the network and the batch; see [`Score::state`].
    pub(crate) state: &'a str,
    /// The exact gradient's norm.
    pub(crate) whole_norm: f64,
}

/// The trial of a codec at its layer.
pub(crate) fn trial(pair: &Pair, draws: u64, state: CodecState) -> Trial {
    Trial { layer: pair.layer.clone(), codec: pair.codec.clone(), draws, state }
}

/// The record of a trial, or why there is none.
pub(crate) fn score(on: &On<'_>, pair: &Pair, outcome: Outcome) -> Result<Score, String> {
    let effect = outcome?;
    let all = [Some(effect.squared_error), effect.squared_bias];
    if !all.into_iter().flatten().all(f64::is_finite) {
        return Err(format!("with {} the gradient is not finite", pair.codec.spec()));
    }
    let is_finite = |found: &Distribution| found.mean.is_finite();
    Ok(Score {
        state: on.state.to_owned(),
        point: on.point,
        seed: on.seed,
        batch: on.batch,
        draws: on.draws,
        layer: pair.layer.to_string(),
        codec: pair.codec.spec(),
        compared: effect.compared,
        fidelity: effect.fidelity,
        squared_error: effect.squared_error,
        squared_bias: effect.squared_bias,
        whole_norm: on.whole_norm,
        learning_indicator: effect.learning_indicator.filter(is_finite),
        kept_bytes: effect.kept_bytes,
        copy: effect.copy,
    })
}
