//! The codecs at single layers that two studies have both measured.

use serde::Serialize;

use super::side::Side;
use crate::sensitivity::Sensitivity;
use crate::sensitivity::ranking::{RelativeError, Row, ranked};

/// A codec at a layer in both studies.
#[derive(Debug, Clone, Serialize)]
pub struct LayerChange {
    /// The layer.
    pub layer: String,
    /// The codec.
    pub codec: String,
    /// The lasting error of the whole gradient, relative to its norm.
    pub errors: [f64; 2],
    /// The ends of their 95 % intervals, where they have one.
    pub intervals: [Option<(f64, f64)>; 2],
    /// The numbers of batches, over all points and seeds.
    pub n: [u64; 2],
    /// The second error as a multiple of the first one; `None` where that is 0.
    pub ratio: Option<f64>,
    /// Its 95 % interval.
    pub ratio_interval: Option<(f64, f64)>,
    /// Whether both were measured on the same batches, by which the interval then pairs them.
    pub paired: bool,
    /// Whether the interval excludes 1, and so that of the difference 0; `None` without an interval, or if
    /// the layer is at the numerical floor.
    pub exceeds: Option<bool>,
    /// The places among the layers that both have measured with this codec, from 1, the most sensitive
    /// first; `None` if the layer is at the numerical floor.
    pub ranks: Option<[usize; 2]>,
}

impl LayerChange {
    /// Whether it has another place in the second study.
    pub(super) fn moved(&self) -> bool {
        self.ranks.is_some_and(|[first, second]| first != second)
    }

    /// What follows from the change, in a few words.
    pub(super) fn said(&self) -> &'static str {
        match (self.exceeds, self.ranks) {
            (Some(true), _) => "exceeds the noise",
            (Some(false), _) => "within the noise",
            (None, None) => "at the numerical floor",
            (None, Some(_)) => "cannot say",
        }
    }
}

/// The codecs at layers that both have, codec by codec, in the first one's order. With `alike`, the same
/// batches are the same samples.
pub(super) fn changes(sides: &[Side; 2], alike: bool) -> Vec<LayerChange> {
    let [Some(first), Some(second)] = sides.each_ref().map(|side| side.layers.as_ref()) else {
        return Vec::new();
    };
    let paired = alike && first.measured.same_batches(&second.measured);
    first.codecs.iter().flat_map(|codec| of_codec([first, second], codec, paired)).collect()
}

fn of_codec(studies: [&Sensitivity; 2], codec: &str, paired: bool) -> Vec<LayerChange> {
    let find = |study: usize, layer: &str| {
        studies[study].rows.iter().find(|row| row.codec == codec && row.layer == layer)
    };
    let both = |row: &Row| [0, 1].iter().all(|&study| find(study, &row.layer).is_some());
    let ranked_in_both = |row: &Row| {
        [0, 1].iter().all(|&study| find(study, &row.layer).is_some_and(|row| !row.at_floor))
    };
    let orders = studies.map(|study| {
        let ranked = ranked(&study.rows, codec).into_iter().filter(|row| ranked_in_both(row));
        ranked.map(|row| row.layer.as_str()).collect::<Vec<_>>()
    });
    let place =
        |study: usize, layer: &str| Some(1 + orders[study].iter().position(|l| *l == layer)?);
    let of_row = |row: &Row| {
        let errors: [RelativeError; 2] = [row.error, find(1, &row.layer)?.error];
        let [first, second] = studies.map(|study| &study.measured);
        let ratio = first.ratio_in(second, &row.layer, codec, paired);
        let ranks = place(0, &row.layer).zip(place(1, &row.layer)).map(|(a, b)| [a, b]);
        let interval = ratio.filter(|ratio| ratio.interval.is_some()).map(|ratio| ratio.ends());
        let exceeds = interval.map(|(low, high)| low > 1.0 || high < 1.0);
        Some(LayerChange {
            layer: row.layer.clone(),
            codec: codec.to_owned(),
            errors: errors.map(|error| error.value),
            intervals: errors.map(|error| error.interval.map(|_| error.ends())),
            n: errors.map(|error| error.n),
            ratio: ratio.map(|ratio| ratio.mean),
            ratio_interval: interval,
            paired,
            exceeds: exceeds.filter(|_| ranks.is_some()),
            ranks,
        })
    };
    let rows = studies[0].rows.iter().filter(|row| row.codec == codec && both(row));
    rows.filter_map(of_row).collect()
}
