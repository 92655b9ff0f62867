//! The codec of each layer, and why.

use packlight_allocation::{Allocation, Choice, LayerChoices, Measured, Neighbour};
use packlight_figure::{binary, significant};

use crate::Table;

/// The codec of each layer in an allocation, the bytes that it keeps, its error, and what the next cheaper
/// and the next better codec would change, all other layers as they are.
///
/// A layer that shares its copy with one before it says so instead of its bytes, which count once.
pub fn choices(measured: &Measured, allocation: &Allocation) -> Table {
    let mut table = Table::new(["layer", "codec", "keeps", "error", "cheaper", "better"]);
    let mut before: Vec<(&LayerChoices, &Choice)> = Vec::new();
    let neighbours = measured.neighbours(allocation);
    for ((layer, codec), neighbours) in
        measured.layers().iter().zip(&allocation.codecs).zip(neighbours)
    {
        let Some(choice) = layer.choices.iter().find(|choice| choice.codec == *codec) else {
            continue; // each codec of an allocation is a choice of its layer
        };
        let shared = before.iter().find(|(other, kept)| {
            other.facts.source == layer.facts.source && kept.copy == choice.copy
        });
        let keeps = match shared {
            Some((other, _)) => format!("shared with {}", other.facts.layer),
            None => binary(choice.bytes as f64),
        };
        before.push((layer, choice));
        let error = choice.error.mean;
        let other = |next: Option<Neighbour>| next.map_or(String::new(), |next| tell(&next, error));
        table.push([
            layer.facts.layer.clone(),
            codec.clone(),
            keeps,
            significant(error.sqrt()),
            other(neighbours.cheaper),
            other(neighbours.better),
        ]);
    }
    table
}

/// Another codec for a layer whose squared error is `error` now.
fn tell(next: &Neighbour, error: f64) -> String {
    let sign = if next.bytes < 0 { "-" } else { "+" };
    let bytes = binary(next.bytes.unsigned_abs() as f64);
    let error = significant((error + next.error).max(0.0).sqrt());
    format!("{}: {sign}{bytes}, error {error}", next.codec)
}
