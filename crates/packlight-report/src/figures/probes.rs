//! The gradients of a plan that are drawn, in the shapes that figures take.

use std::collections::{BTreeSet, HashMap};

use packlight_figure::Compared;
use packlight_record::{Fidelity, Record};

use crate::study::Study;

/// A gradient of one seed's run, compared with the exact one at one step.
struct Probe<'a> {
    seed: u64,
    step: u64,
    /// The layer, or the parameter.
    name: &'a str,
    fidelity: &'a Fidelity,
}

/// All of a plan, in the order of seeds.
pub(super) struct Probes<'a> {
    all: Vec<Probe<'a>>,
    /// Ascending.
    steps: Vec<u64>,
}

impl<'a> Probes<'a> {
    /// Those of one backward pass side by side, or those of whole passes.
    pub(super) fn of(study: &'a Study, plan: &'a str, compared: Compared) -> Self {
        let probe = |seed: u64, record: &'a Record| match (record, compared) {
            (Record::Gradient { step, layer, fidelity, .. }, Compared::SideBySide) => {
                Some(Probe { seed, step: *step, name: layer, fidelity })
            }
            (Record::WholeGradient { step, parameter, fidelity, .. }, Compared::WholePasses) => {
                Some(Probe { seed, step: *step, name: parameter, fidelity })
            }
            _ => None,
        };
        let runs = study.of(plan);
        let all: Vec<Probe<'a>> = runs
            .flat_map(|run| run.records.iter().map(|record| (run.manifest.seed, record)))
            .filter_map(|(seed, record)| probe(seed, record))
            .collect();
        let steps: BTreeSet<u64> = all.iter().map(|probe| probe.step).collect();
        Self { steps: steps.into_iter().collect(), all }
    }

    /// The steps, ascending.
    pub(super) fn steps(&self) -> Vec<f64> {
        self.steps.iter().map(|step| *step as f64).collect()
    }

    /// The mean over the seeds of a value, for each of `names` at each step; NaN if there is none.
    pub(super) fn means(
        &self,
        names: &[String],
        value: fn(&Fidelity) -> Option<f64>,
    ) -> Vec<Vec<f64>> {
        let mut sums = vec![vec![(0.0, 0u64); self.steps.len()]; names.len()];
        for (probe, name, step) in self.placed(names) {
            if let Some(value) = value(probe.fidelity) {
                let (sum, count) = &mut sums[name][step];
                (*sum, *count) = (*sum + value, *count + 1);
            }
        }
        let mean = |(sum, count): (f64, u64)| sum / count as f64;
        sums.into_iter().map(|row| row.into_iter().map(mean).collect()).collect()
    }

    /// The cosines of each of `names`, for each of its seeds, ascending, at each step; NaN if there is none.
    pub(super) fn cosines(&self, names: &[String]) -> Vec<Vec<Vec<f64>>> {
        let mut lines: Vec<Vec<(u64, Vec<f64>)>> = vec![Vec::new(); names.len()];
        for (probe, name, step) in self.placed(names) {
            let own = &mut lines[name];
            let place = own.binary_search_by_key(&probe.seed, |(seed, _)| *seed);
            let place = place.unwrap_or_else(|place| {
                own.insert(place, (probe.seed, vec![f64::NAN; self.steps.len()]));
                place
            });
            own[place].1[step] = probe.fidelity.cosine.unwrap_or(f64::NAN);
        }
        let values = |own: Vec<(u64, Vec<f64>)>| own.into_iter().map(|(_, line)| line).collect();
        lines.into_iter().map(values).collect()
    }

    /// The probes of `names`, each with the places of its name and its step.
    fn placed<'s>(
        &'s self,
        names: &'s [String],
    ) -> impl Iterator<Item = (&'s Probe<'a>, usize, usize)> + 's {
        let places: HashMap<&str, usize> =
            names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
        self.all.iter().filter_map(move |probe| {
            let step = self.steps.binary_search(&probe.step).ok()?;
            Some((probe, *places.get(probe.name)?, step))
        })
    }
}
