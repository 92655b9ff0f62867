//! What is gained where a single layer is left exact.

use std::collections::{BTreeMap, HashMap};

use packlight_record::OneOff;

use crate::LayerChoices;
use crate::estimate::{Cluster, Sampling};
use crate::selection::Selected;
use crate::units::Units;

/// Adds to each choice by how much the error of its codec at all layers falls without it.
pub(crate) fn add_one_offs(layers: &mut [LayerChoices], log: &Selected<'_>, units: &Units) {
    let passed_on = log.passed_on();
    let errors = Errors::of(log);
    for layer in layers {
        for choice in &mut layer.choices[1..] {
            if !passed_on.contains(&choice.codec.as_str()) {
                choice.one_off = Some(choice.error); // squared errors add up
                continue;
            }
            let falls = errors.falls(&choice.codec, &layer.facts.layer);
            let (clusters, falls): (Vec<usize>, Vec<f64>) = falls.into_iter().unzip();
            if !clusters.is_empty() {
                let sampling = Sampling::new(&log.clusters, clusters);
                choice.one_off = Some(sampling.estimate(units, &falls));
            }
        }
    }
}

/// The lasting errors of codecs at all layers, or at all but one, by codec and by the layer that is exact: on each
/// cluster the one with the most draws.
struct Errors<'a>(HashMap<(&'a str, Option<&'a str>), BTreeMap<usize, &'a OneOff>>);

impl<'a> Errors<'a> {
    /// Of a table that was widened, the last measurement counts, which is among the most layers.
    fn of(log: &Selected<'a>) -> Self {
        let last = log.one_offs.iter().map(|of| (of.codec.as_str(), of.among.as_str()));
        let among: HashMap<&str, &str> = last.collect();
        let mut errors: HashMap<_, BTreeMap<usize, &'a OneOff>> = HashMap::new();
        for &of in log.one_offs.iter().filter(|of| among[of.codec.as_str()] == of.among) {
            let Some(cluster) = Cluster::of_one_off(of).number(&log.clusters) else { continue };
            let own = errors.entry((of.codec.as_str(), of.except.as_deref())).or_default();
            let most_draws = own.entry(cluster).or_insert(of);
            if of.draws >= most_draws.draws {
                *most_draws = of;
            }
        }
        Self(errors)
    }

    /// By how much the error of a codec falls without a layer, on each cluster on which that was measured.
    fn falls(&self, codec: &str, layer: &str) -> BTreeMap<usize, f64> {
        let errors = |except| self.0.get(&(codec, except));
        let (Some(all), Some(without)) = (errors(None), errors(Some(layer))) else {
            return BTreeMap::new();
        };
        let fall = |(&cluster, of): (&usize, &&OneOff)| {
            // A difference of such errors: what chance does to a bias on one batch, it undoes on another.
            let [all, without] =
                [*all.get(&cluster)?, *of].map(|of| of.whole_error().lasting_on_average());
            Some((cluster, all - without))
        };
        without.iter().filter_map(fall).collect()
    }
}
