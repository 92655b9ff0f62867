//! The figures of the page: pairs of markers.

use packlight_figure::{
    Caption, Figure, Pair, PairAxis, PairColumn, Spread, side_by_side, significant,
};

use super::Beside;
use super::layers::LayerChange;
use super::plans::{Compared, PlanChange};
use crate::Result;
use crate::format::{percent, points};

const OF_PLANS: &str = " Accuracies are means over the seeds with intervals by Student's t. Whether a change \
    exceeds the noise is tested as the table tells.";
const OF_LAYERS: &str = " A row for each layer in forward order and a column for each codec: the lasting error \
    of the whole gradient where this layer alone is packed by it. A change exceeds the noise if the 95 % \
    interval of the ratio of both errors excludes 1.";

/// The accuracy of each plan; `None` if no plan has finished runs in both.
pub(super) fn plans(beside: &Beside, slug: &str) -> Result<Option<Figure>> {
    let rows: Vec<(&PlanChange, &Compared)> =
        beside.plans.iter().filter_map(|plan| Some((plan, plan.accuracy.as_ref()?))).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let pair = |(_, accuracy): &(&PlanChange, &Compared)| {
        let end = |side: usize| {
            let value = accuracy.means[side];
            let half = accuracy.half_intervals[side].unwrap_or(0.0);
            Spread { value, low: value - half, high: value + half }
        };
        let said = format!(
            "{} to {}: {} points, {}",
            percent(accuracy.means[0]),
            percent(accuracy.means[1]),
            points(accuracy.change),
            accuracy.said()
        );
        Some(Pair { ends: [end(0), end(1)], exceeds: accuracy.exceeds(), said })
    };
    let pairs: Vec<Option<Pair>> = rows.iter().map(pair).collect();
    let changed = rows.iter().filter(|(_, accuracy)| accuracy.exceeds()).count();
    let title = format!(
        "Accuracy from {} to {}: the change exceeds the noise for {changed} of {}",
        beside.labels()[0],
        beside.labels()[1],
        crate::format::count(rows.len() as u64, "plan"),
    );
    let names: Vec<&str> = rows.iter().map(|(plan, _)| plan.plan.as_str()).collect();
    let column = PairColumn { name: "test accuracy", pairs: &pairs };
    let caption = caption(beside, format!("{slug}-accuracy"), title);
    let axis = PairAxis::Linear("test accuracy (fraction)");
    let mut figure = side_by_side(&caption, beside.labels(), axis, &names, &[column])?;
    figure.how_to_read += OF_PLANS;
    Ok(Some(figure))
}

/// The error of each codec at each layer; `None` if none was measured in both, or all are exact.
pub(super) fn layers(beside: &Beside, slug: &str) -> Result<Option<Figure>> {
    let drawn =
        |change: &&LayerChange| change.ranks.is_some() && change.errors.iter().all(|e| *e > 0.0);
    let all: Vec<&LayerChange> = beside.layers.iter().filter(drawn).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let order = beside.sides[0].layers.iter().flat_map(|layers| &layers.rows);
    let mut layers: Vec<&str> = Vec::new();
    for row in order.filter(|row| all.iter().any(|change| change.layer == row.layer)) {
        if !layers.contains(&row.layer.as_str()) {
            layers.push(&row.layer);
        }
    }
    let mut codecs: Vec<&str> = all.iter().map(|change| change.codec.as_str()).collect();
    codecs.dedup(); // changes are codec by codec
    let cell = |codec: &str, layer: &str| {
        all.iter().find(|change| change.codec == codec && change.layer == layer).map(|c| pair(c))
    };
    let pairs: Vec<Vec<Option<Pair>>> = codecs
        .iter()
        .map(|codec| layers.iter().map(|layer| cell(codec, layer)).collect())
        .collect();
    let columns: Vec<PairColumn<'_>> =
        codecs.iter().zip(&pairs).map(|(name, pairs)| PairColumn { name, pairs }).collect();
    let changed = all.iter().filter(|change| change.exceeds == Some(true)).count();
    let title = format!(
        "Errors of single layers from {} to {}: {changed} of {} ratios exclude 1",
        beside.labels()[0],
        beside.labels()[1],
        all.len(),
    );
    let caption = caption(beside, format!("{slug}-layers"), title);
    let axis = PairAxis::Log("error of the gradient");
    let mut figure = side_by_side(&caption, beside.labels(), axis, &layers, &columns)?;
    figure.how_to_read += OF_LAYERS;
    Ok(Some(figure))
}

fn pair(change: &LayerChange) -> Pair {
    let end = |side: usize| {
        let value = change.errors[side];
        let (low, high) = change.intervals[side].unwrap_or((value, value));
        Spread { value, low, high }
    };
    let ends = [end(0), end(1)];
    let ratio = change.ratio.map_or_else(String::new, |r| format!(", {} times", significant(r)));
    let said = format!("{} to {}{ratio}, {}", ends[0].said(), ends[1].said(), change.said());
    Pair { ends, exceeds: change.exceeds == Some(true), said }
}

fn caption(beside: &Beside, id: String, title: String) -> Caption {
    let [first, second] = &beside.sides;
    Caption::new(id, title)
        .subtitle(format!("{}: {}; {}: {}", first.label, first.title, second.label, second.title))
}
