//! How much the gradient suffers from each codec at each layer, and at each block of layers.

use std::collections::HashMap;

use packlight_allocation::{Allocation, Brief, Estimate, Interval, Measured, Objective};
use packlight_figure::significant;
use polars::prelude::*;

use super::scores::Scores;
use crate::Result;
use crate::tables::finite;

/// A lasting error of the whole gradient: the root of a mean square, with the roots of the
/// ends of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RelativeError {
    pub(crate) value: f64,
    pub(crate) interval: Option<Interval>,
    /// The number of batches, over all points and seeds.
    pub(crate) n: u64,
}

impl From<Estimate> for RelativeError {
    fn from(square: Estimate) -> Self {
        let Estimate { mean, interval, n } = square.map(f64::sqrt);
        Self { value: mean, interval, n }
    }
}

impl RelativeError {
    /// The interval, such as `0.0120 to 0.0140`; few measurements have none.
    pub(crate) fn interval(&self) -> String {
        match self.interval {
            None => format!("none, n = {}", self.n),
            Some(Interval { low, high }) => {
                format!("{} to {}", significant(low), significant(high))
            }
        }
    }

    /// The ends of the interval; the value twice if there is none.
    pub(crate) fn ends(&self) -> (f64, f64) {
        self.interval.map_or((self.value, self.value), |Interval { low, high }| (low, high))
    }

    /// Value and interval in a sentence.
    pub(crate) fn said(&self) -> String {
        let value = significant(self.value);
        match self.interval {
            None => format!("{value} (n = {}: no interval)", self.n),
            Some(_) => format!("{value} (95 % interval {})", self.interval()),
        }
    }

    /// The lower end of the interval, by which intervals are sorted.
    pub(crate) fn least(&self) -> Option<f64> {
        self.interval.map(|interval| interval.low).filter(|low| low.is_finite())
    }
}

/// A codec at a layer, all other layers exact.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) layer: String,
    pub(crate) kind: &'static str,
    pub(crate) codec: String,
    pub(crate) error: RelativeError,
    pub(crate) kept: u64,
    pub(crate) raw: u64,
    pub(crate) cosine: Option<f64>,
    /// The share of samples or tokens whose learning indicator is at or below 0, mean over the scores.
    pub(crate) nonpositive: Option<f64>,
    /// Whether the layer's own exact gradient is at the numerical floor, so that it has no rank.
    pub(crate) at_floor: bool,
}

/// A row for each layer and codec that was measured there, in forward order.
pub(crate) fn rows(measured: &Measured, scores: &Scores) -> Vec<Row> {
    let nonpositive = |score: &Brief| [score.nonpositive().and_then(finite)];
    let shares = scores.averages(nonpositive).into_iter();
    let shares: HashMap<(&str, &str), f64> =
        shares.map(|(layer, codec, [share])| ((layer, codec), share.mean())).collect();
    let share = |layer: &str, codec: &str| shares.get(&(layer, codec)).copied();
    let mut rows = Vec::new();
    for layer in measured.layers() {
        for choice in layer.choices.iter().skip(1) {
            let (name, codec) = (&layer.facts.layer, &choice.codec);
            rows.push(Row {
                nonpositive: share(name, codec).and_then(finite),
                layer: name.clone(),
                kind: layer.facts.kind.name(),
                codec: codec.clone(),
                error: choice.error.into(),
                kept: choice.bytes,
                raw: layer.facts.raw_bytes,
                cosine: choice.cosine,
                at_floor: layer.at_floor,
            });
        }
    }
    rows
}

/// The rows of a codec that have a rank, the layer that suffers most first.
pub(crate) fn ranked<'a>(rows: &'a [Row], codec: &str) -> Vec<&'a Row> {
    let mut ranked: Vec<&Row> =
        rows.iter().filter(|row| row.codec == codec && !row.at_floor).collect();
    ranked.sort_by(|a, b| b.error.value.total_cmp(&a.error.value));
    ranked
}

/// The rows as a table.
pub(crate) fn table(rows: &[Row]) -> Result<DataFrame> {
    let numbers = |of: fn(&Row) -> f64| rows.iter().map(of).collect::<Vec<_>>();
    let counts = |of: fn(&Row) -> u64| rows.iter().map(of).collect::<Vec<_>>();
    Ok(df!(
        "layer" => rows.iter().map(|row| row.layer.clone()).collect::<Vec<_>>(),
        "kind" => rows.iter().map(|row| row.kind).collect::<Vec<_>>(),
        "codec" => rows.iter().map(|row| row.codec.clone()).collect::<Vec<_>>(),
        "error" => numbers(|row| row.error.value),
        "low" => numbers(|row| row.error.ends().0),
        "high" => numbers(|row| row.error.ends().1),
        "n" => counts(|row| row.error.n),
        "kept_bytes" => counts(|row| row.kept),
        "raw_bytes" => counts(|row| row.raw),
        "cosine" => rows.iter().map(|row| row.cosine).collect::<Vec<_>>(),
        "li_nonpositive" => rows.iter().map(|row| row.nonpositive).collect::<Vec<_>>(),
        "at_floor" => rows.iter().map(|row| row.at_floor).collect::<Vec<_>>(),
    )?)
}

/// The block of a layer: its name without the last part, `layer1.0` of `layer1.0.conv1`.
pub(crate) fn block(layer: &str) -> &str {
    layer.rsplit_once('.').map_or(layer, |(block, _)| block)
}

/// The blocks in forward order.
pub(crate) fn blocks(rows: &[Row]) -> Vec<&str> {
    let mut blocks: Vec<&str> = Vec::new();
    for row in rows {
        if !blocks.contains(&block(&row.layer)) {
            blocks.push(block(&row.layer));
        }
    }
    blocks
}

/// The error of `codec` at the layers of a block that were measured with it, all others exact; `None`
/// if there are none.
pub(crate) fn of_block(measured: &Measured, codec: &str, name: &str) -> Option<RelativeError> {
    let mut allocation = measured.uniform(codec)?;
    allocation.error = 0.0;
    let mut any = false;
    for (layer, chosen) in measured.layers().iter().zip(&mut allocation.codecs) {
        let choice = layer.choices.iter().find(|choice| choice.codec == *codec);
        match choice.filter(|_| block(&layer.facts.layer) == name && !layer.at_floor) {
            Some(choice) => {
                allocation.error += choice.error.mean;
                any = true;
            }
            None => "none".clone_into(chosen),
        }
    }
    any.then(|| of_allocation(measured, &allocation))
}

/// The predicted error of an allocation.
pub(crate) fn of_allocation(measured: &Measured, allocation: &Allocation) -> RelativeError {
    measured.estimate(allocation, Objective::Sum).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_a_name_without_its_last_part() {
        let found = ["layer1.0.conv1", "blocks.3.attn.qkv", "fc"].map(block);
        assert_eq!(found, ["layer1.0", "blocks.3.attn", "fc"]);
    }

    #[test]
    fn errors_are_roots_and_few_measurements_have_no_interval() {
        let interval = Some(Interval { low: 0.01, high: 0.09 });
        let error = RelativeError::from(Estimate { mean: 0.04, interval, n: 6 });
        assert_eq!(error.said(), "0.200 (95 % interval 0.100 to 0.300)");
        let two = RelativeError::from(Estimate { mean: 0.04, interval: None, n: 2 });
        assert_eq!(two.said(), "0.200 (n = 2: no interval)");
        assert_eq!(two.ends(), (0.2, 0.2));
    }
}
