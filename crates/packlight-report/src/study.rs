//! The runs of a study as they lie on disk.

use std::path::Path;

use packlight_record::layout::{MEASUREMENTS, RECORDS, RUNS};
use packlight_record::{Manifest, Measurement, Record, RunState, read_log};
use serde::de::DeserializeOwned;

use crate::grid::Grid;
use crate::{Error, Result};

/// How a run stands, as far as the report is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Finished,
    Unfinished,
    Failed(String),
    Damaged(String),
}

/// One run with all that it recorded.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) manifest: Manifest,
    pub(crate) state: State,
    pub(crate) records: Vec<Record>,
    pub(crate) measurements: Vec<Measurement>,
}

impl Run {
    /// Epochs that it has recorded.
    pub(crate) fn epochs(&self) -> u64 {
        self.records.iter().filter(|r| matches!(r, Record::Epoch { .. })).count() as u64
    }

    pub(crate) fn finished(&self) -> bool {
        self.state == State::Finished
    }
}

/// A plan of the study, in the order in which reports show plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) spec: String,
    /// The plan whose weights its runs start from, where they are not drawn at random.
    pub(crate) from: Option<String>,
}

/// A study's runs, sorted by plan and seed: the plan that keeps everything first, the others as
/// the study file has them. Among the plans those that repeat another's codecs come last, so that a
/// figure that leaves them out gives the others their usual colours.
#[derive(Debug)]
pub(crate) struct Study {
    pub(crate) runs: Vec<Run>,
    pub(crate) plans: Vec<Plan>,
    /// Folders without a readable manifest, and why it is not.
    pub(crate) unreadable: Vec<(String, String)>,
    /// Plan and seed of runs that the study asks for and that are not there.
    pub(crate) missing: Vec<(String, u64)>,
    /// Why the study does not tell which runs it asks for, where its description is damaged.
    pub(crate) no_grid: Option<String>,
}

impl Study {
    /// Reads all runs of the study in `folder`.
    ///
    /// # Errors
    /// If there is not one run, or the folder cannot be listed.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let runs_folder = folder.join(RUNS);
        let no_runs = || Error::NoRuns { study: folder.to_path_buf(), runs: runs_folder.clone() };
        let entries = match std::fs::read_dir(&runs_folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(no_runs()),
            Err(e) => return Err(Error::io(&runs_folder, e)),
        };
        let mut runs = Vec::new();
        let mut unreadable = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| Error::io(&runs_folder, e))?.path();
            if !path.is_dir() {
                continue;
            }
            match Manifest::read(&path) {
                Ok(manifest) => runs.push(read_run(&path, manifest)),
                Err(e) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    unreadable.push((name.into_owned(), e.to_string()));
                }
            }
        }
        if runs.is_empty() && unreadable.is_empty() {
            return Err(no_runs());
        }
        unreadable.sort();
        runs.sort_by(|a, b| key(&a.manifest).cmp(&key(&b.manifest)));
        let mut plans: Vec<Plan> = Vec::new();
        for Run { manifest, .. } in &runs {
            if plans.iter().all(|p| p.name != manifest.plan) {
                let Manifest { plan: name, plan_spec: spec, from, .. } = manifest.clone();
                plans.push(Plan { name, spec, from });
            }
        }
        let plans = repeats_last(plans);
        let (grid, no_grid) = match Grid::read(folder) {
            Ok(grid) => (grid, None),
            Err(reason) => (None, Some(reason)),
        };
        let grid = grid.unwrap_or_else(|| grid_of(&runs, &plans));
        let begun = |plan: &str, seed: u64| {
            runs.iter().any(|r| r.manifest.plan == plan && r.manifest.seed == seed)
                || unreadable.iter().any(|(run, _)| *run == format!("{plan}-seed{seed}"))
        };
        let cells = grid.plans.iter().flat_map(|p| grid.seeds.iter().map(move |&s| (p, s)));
        let missing = cells
            .filter(|(plan, seed)| !begun(plan, *seed))
            .map(|(plan, seed)| (plan.clone(), seed))
            .collect();
        Ok(Self { runs, plans, unreadable, missing, no_grid })
    }

    /// The runs of one plan.
    pub(crate) fn of<'a>(&'a self, plan: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |r| r.manifest.plan == plan)
    }

    /// The plan that keeps everything exactly, against which the others are held.
    pub(crate) fn baseline(&self) -> Option<&Plan> {
        self.plans.iter().find(|p| p.spec == "none" && p.from.is_none())
    }
}

/// The plans in their order, but those that repeat the codecs of another after all others.
fn repeats_last(plans: Vec<Plan>) -> Vec<Plan> {
    let (mut first, mut again) = (Vec::<Plan>::new(), Vec::new());
    for plan in plans {
        let repeats = first.iter().any(|earlier| earlier.spec == plan.spec);
        if repeats { again.push(plan) } else { first.push(plan) }
    }
    first.extend(again);
    first
}

/// Every plan with every seed that there is a run of.
fn grid_of(runs: &[Run], plans: &[Plan]) -> Grid {
    let mut seeds: Vec<u64> = runs.iter().map(|r| r.manifest.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    Grid { plans: plans.iter().map(|p| p.name.clone()).collect(), seeds }
}

fn key(manifest: &Manifest) -> (bool, u64, &str, u64) {
    (manifest.plan_spec != "none", manifest.plan_index, &manifest.plan, manifest.seed)
}

fn read_run(folder: &Path, manifest: Manifest) -> Run {
    let mut state = match &manifest.state {
        RunState::Finished => State::Finished,
        RunState::Unfinished => State::Unfinished,
        RunState::Failed { reason } => State::Failed(reason.clone()),
    };
    let records = values(&folder.join(RECORDS), &mut state);
    let measurements = values(&folder.join(MEASUREMENTS), &mut state);
    if let (State::Unfinished | State::Failed(_), Some(reason)) =
        (&state, records.iter().find_map(divergence))
    {
        state = State::Failed(reason);
    }
    Run { manifest, state, records, measurements }
}

/// The values of a log; none where it is damaged, which `state` then says. A run that was killed may
/// leave a last line that is torn, but one that has finished may not.
fn values<T: DeserializeOwned>(path: &Path, state: &mut State) -> Vec<T> {
    match read_log(path) {
        Ok(log) if log.torn && *state == State::Finished => {
            *state = State::Damaged(format!("{}: the last line is damaged", path.display()));
            Vec::new()
        }
        Ok(log) => log.values,
        Err(e) => {
            *state = State::Damaged(e.to_string());
            Vec::new()
        }
    }
}

fn divergence(record: &Record) -> Option<String> {
    match record {
        Record::Diverged { step, reason } => Some(format!("diverged at step {step}: {reason}")),
        _ => None,
    }
}
