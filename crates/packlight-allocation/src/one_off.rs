//! What is gained where a single layer is left exact.

use std::collections::{BTreeMap, BTreeSet};

use packlight_record::{Compared, OneOff};

use crate::LayerChoices;
use crate::estimate::{Bootstrap, Cluster, Sampling};
use crate::log::Log;

/// Adds to each choice by how much the error of its codec at all layers falls without it.
pub(crate) fn add_one_offs(layers: &mut [LayerChoices], log: &Log<'_>, bootstrap: &Bootstrap) {
    let passed_on = log.scores.iter().filter(|score| score.compared == Compared::All);
    let passed_on: BTreeSet<&str> = passed_on.map(|score| score.codec.as_str()).collect();
    for layer in layers {
        for choice in &mut layer.choices[1..] {
            if !passed_on.contains(choice.codec.as_str()) {
                choice.one_off = Some(choice.error); // squared errors add up
                continue;
            }
            let falls = falls(&log.one_offs, &choice.codec, &layer.facts.layer, &log.clusters);
            let (clusters, falls): (Vec<usize>, Vec<f64>) = falls.into_iter().unzip();
            if !clusters.is_empty() {
                let sampling = Sampling::new(&log.clusters, clusters);
                choice.one_off = Some(bootstrap.estimate(&sampling, &falls));
            }
        }
    }
}

/// By how much the error of a codec falls without a layer, on each cluster on which that was measured. Of a
/// table that was widened, the last measurement counts, which is among the most layers.
fn falls(
    one_offs: &[&OneOff],
    codec: &str,
    layer: &str,
    clusters: &[Cluster],
) -> BTreeMap<usize, f64> {
    let of_codec = || one_offs.iter().filter(|one_off| one_off.codec == codec);
    let Some(among) = of_codec().next_back().map(|one_off| &one_off.among) else {
        return BTreeMap::new();
    };
    let errors = |except: Option<&str>| -> BTreeMap<usize, f64> {
        let own = of_codec().filter(|of| of.among == *among && of.except.as_deref() == except);
        let mut own: Vec<&&OneOff> = own.collect();
        own.sort_by_key(|of| of.draws); // of several, the one with the most draws stays
        own.iter()
            .filter_map(|of| Some((Cluster::of_one_off(of).number(clusters)?, of.lasting_error())))
            .collect()
    };
    let (all, without) = (errors(None), errors(Some(layer)));
    let fall = |(cluster, error): (usize, f64)| Some((cluster, all.get(&cluster)? - error));
    without.into_iter().filter_map(fall).collect()
}
