//! The scores as a data frame.

use packlight_allocation::{Choice, LayerChoices, Measured};
use polars::prelude::*;

use super::Result;

/// What each codec does at each layer, all other layers exact: a row for each layer, in forward order, and
/// codec that was measured there.
///
/// The columns are `layer`, `kind`, `codec`; `error`, the lasting error of the whole gradient relative to
/// its norm, with its 95 % interval from `low` to `high` and the number `n` of batches; `cosine`, between the
/// gradients that the codec can change; `kept_bytes` and `raw_bytes` of the layer's input, packed and exact;
/// and `at_floor`, whether the layer's own gradient is rounding, so that its errors say nothing.
///
/// # Errors
/// Returns an error if polars rejects a column.
pub fn errors(measured: &Measured) -> Result<DataFrame> {
    let rows: Vec<(&LayerChoices, &Choice)> = measured
        .layers()
        .iter()
        .flat_map(|layer| layer.choices.iter().skip(1).map(move |choice| (layer, choice)))
        .collect();
    let texts = |of: fn(&LayerChoices, &Choice) -> String| -> Vec<String> {
        rows.iter().map(|(layer, choice)| of(layer, choice)).collect()
    };
    let roots = |of: fn(&Choice) -> f64| -> Vec<f64> {
        rows.iter().map(|(_, choice)| of(choice).sqrt()).collect()
    };
    let counts = |of: fn(&LayerChoices, &Choice) -> u64| -> Vec<u64> {
        rows.iter().map(|(layer, choice)| of(layer, choice)).collect()
    };
    Ok(df!(
        "layer" => texts(|layer, _| layer.facts.layer.clone()),
        "kind" => texts(|layer, _| layer.facts.kind.name().to_owned()),
        "codec" => texts(|_, choice| choice.codec.clone()),
        "error" => roots(|choice| choice.error.mean),
        "low" => roots(|choice| choice.error.ends().0),
        "high" => roots(|choice| choice.error.ends().1),
        "n" => counts(|_, choice| choice.error.n),
        "cosine" => rows.iter().map(|(_, choice)| choice.cosine).collect::<Vec<_>>(),
        "kept_bytes" => counts(|_, choice| choice.bytes),
        "raw_bytes" => counts(|layer, _| layer.facts.raw_bytes),
        "at_floor" => rows.iter().map(|(layer, _)| layer.at_floor).collect::<Vec<_>>(),
    )?)
}
