//! The runs of a study, read from disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use packlight_record::{Logged, Manifest, Measurement, Record, RunState, Timings, read_log};
use packlight_spec::layout::{MEASUREMENTS, RECORDS, RUNS, STUDY};
use packlight_spec::{Grid, NamedPlan, run_name};
use rayon::prelude::*;

use crate::bias_and_variance::{GradientError, gradient_errors};
use crate::comparison::Accuracies;
use crate::grid::{cells, of_manifests};
use crate::probed::{self, Averages, Drawn};
use crate::{Error, LeftOut, Result};

/// The state of a run, as the report shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Finished,
    Unfinished,
    Failed(String),
    Damaged(String),
}

/// One run with what it recorded. Of the gradients of probed steps, `records` has those that are drawn.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) manifest: Manifest,
    pub(crate) state: State,
    pub(crate) records: Vec<Record>,
    pub(crate) measurements: Vec<Measurement>,
    /// The errors of the whole gradient at all probed steps.
    pub(crate) errors: Vec<GradientError>,
    /// How many steps were probed, and how many of them are in `records`.
    pub(crate) probed: Drawn,
}

impl Run {
    /// The number of recorded epochs.
    pub(crate) fn epochs(&self) -> u64 {
        self.records.iter().filter(|r| matches!(r, Record::Epoch { .. })).count() as u64
    }

    pub(crate) fn finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether it ended with an error, or its records are damaged.
    pub(crate) fn failed(&self) -> bool {
        matches!(self.state, State::Failed(_) | State::Damaged(_))
    }

    /// The number of its steps, if it has finished.
    pub(crate) fn steps(&self) -> Option<u64> {
        self.records.iter().find_map(|record| match record {
            Record::Finished { step } => Some(*step),
            _ => None,
        })
    }

    /// Whether it ended because its loss or a gradient was no longer finite.
    pub(crate) fn diverged(&self) -> bool {
        !self.finished() && self.records.iter().any(|r| matches!(r, Record::Diverged { .. }))
    }
}

/// A study's plans and runs. Runs are sorted by plan and seed: the exact plan first, the others in
/// the study file's order. In `plans`, those that repeat another plan's codecs come last, so that
/// the others have the same colours in figures that leave the repetitions out.
#[derive(Debug)]
pub(crate) struct Study {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) runs: Vec<Run>,
    pub(crate) plans: Vec<NamedPlan>,
    /// Run folders whose manifest cannot be read, and why.
    pub(crate) unreadable: Vec<(String, String)>,
    /// Folders that hold no run of this study, and why not.
    pub(crate) left_out: Vec<LeftOut>,
    /// Plan and seed of runs that the study asks for and that are not there.
    pub(crate) missing: Vec<(String, u64)>,
    /// The seed that comes first.
    pub(crate) first_seed: Option<u64>,
    /// The times of steps.
    pub(crate) timings: Timings,
    /// What is wrong with `study.toml`, so that the runs it asks for are not known.
    pub(crate) no_grid: Option<String>,
    /// The averages of each plan's gradients over all probed steps and seeds, by its name.
    averages: HashMap<String, Averages>,
}

impl Study {
    /// Reads all runs of the study in `folder`. Title, plans and seeds come from `study.toml`, or
    /// from the runs' manifests where it is missing. Of the gradients of probed steps, runs keep those of
    /// `most` steps, spread evenly; averages are of all.
    ///
    /// # Errors
    /// Returns an error if there are no runs, the folder cannot be listed, or `timings.json` is
    /// damaged.
    pub(crate) fn read(folder: &Path, most: usize) -> Result<Self> {
        let (grid, no_grid) = match Grid::read(folder) {
            Ok(grid) => (grid, None),
            Err(error) => (None, Some(format!("{STUDY}: {}", error.reason()))),
        };
        let (mut found, mut unreadable, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for path in run_folders(folder)? {
            let folder = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(reason) = grid.as_ref().and_then(|grid| no_run(&folder, grid)) {
                left_out.push(LeftOut { folder, reason });
                continue;
            }
            match Manifest::read(&path) {
                Err(e) => unreadable.push((folder, e.to_string())),
                Ok(manifest) => match stranger(&folder, &manifest, grid.as_ref()) {
                    Some(reason) => left_out.push(LeftOut { folder, reason }),
                    None => found.push((path, manifest)),
                },
            }
        }
        let Grid { name, title, plans, seeds } =
            grid.unwrap_or_else(|| of_manifests(found.iter().map(|(_, manifest)| manifest)));
        let grid = Grid { name, title, plans: exact_first(plans), seeds };
        let place = |plan: &str| grid.plans.iter().position(|known| known.name == plan);
        found.sort_by_key(|(_, manifest)| (place(&manifest.plan), manifest.seed));
        let (runs, averages) = read_runs(&found, most);
        let begun = |plan: &str, seed: u64| {
            runs.iter().any(|r| r.manifest.plan == plan && r.manifest.seed == seed)
                || unreadable.iter().any(|(run, _)| *run == run_name(plan, seed))
        };
        let missing = cells(&grid).filter(|(plan, seed)| !begun(&plan.name, *seed));
        let missing = missing.map(|(plan, seed)| (plan.name.clone(), seed)).collect();
        let Grid { name, title, mut plans, seeds } = grid;
        plans.retain(|plan| runs.iter().any(|run| run.manifest.plan == plan.name));
        let plans = repeats_last(plans);
        let first_seed = seeds.first().copied();
        let timings = Timings::read(folder)?;
        Ok(Self {
            name,
            title,
            runs,
            plans,
            unreadable,
            left_out,
            missing,
            first_seed,
            timings,
            no_grid,
            averages,
        })
    }

    /// The averages of a plan's gradients; `None` if it has no runs.
    pub(crate) fn averages(&self, plan: &str) -> Option<&Averages> {
        self.averages.get(plan)
    }

    /// How many of their probed steps runs have drawn, where that is not all, for the run with the most.
    pub(crate) fn drawn(&self) -> Option<Drawn> {
        let part = self.runs.iter().map(|run| run.probed).filter(|drawn| drawn.steps < drawn.of);
        part.max_by_key(|drawn| drawn.of)
    }

    /// The factors other than 1 by which the epochs of runs were multiplied.
    pub(crate) fn scales(&self) -> Vec<f64> {
        let mut scales: Vec<f64> = self.runs.iter().map(|run| run.manifest.scale).collect();
        scales.retain(|scale| *scale != 1.0);
        scales.sort_by(f64::total_cmp);
        scales.dedup();
        scales
    }

    /// The smallest difference between two test accuracies.
    pub(crate) fn resolution(&self) -> f64 {
        let samples = self.runs.iter().map(|run| run.manifest.test_samples).max();
        1.0 / samples.unwrap_or(1).max(1) as f64
    }

    /// What test accuracies can be.
    pub(crate) fn accuracies(&self) -> Accuracies {
        let guessed = self.runs.iter().find_map(|run| run.manifest.guessed); // older runs do not say it
        Accuracies { resolution: self.resolution(), guessed }
    }

    /// The runs of one plan.
    pub(crate) fn of<'a>(&'a self, plan: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |r| r.manifest.plan == plan)
    }

    /// The exact plan, with which the others are compared.
    pub(crate) fn baseline(&self) -> Option<&NamedPlan> {
        self.plans.iter().find(|p| p.spec == "none" && p.from.is_none())
    }
}

/// The folders in `runs/` of the study in `folder`, sorted by name.
fn run_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let runs = folder.join(RUNS);
    let none = || Error::NoRuns { study: folder.to_path_buf(), runs: runs.clone() };
    let entries = match std::fs::read_dir(&runs) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(none()),
        Err(e) => return Err(Error::io(&runs, e)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(&runs, e))?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    if folders.is_empty() { Err(none()) } else { Ok(folders) }
}

/// Why a folder of this name is no run that the study asks for; `None` if it is one.
fn no_run(folder: &str, grid: &Grid) -> Option<String> {
    let asked_for = cells(grid).any(|(plan, seed)| run_name(&plan.name, seed) == folder);
    (!asked_for).then(|| format!("{STUDY} asks for no run of this name"))
}

/// Why a manifest is not that of the run that the folder is named after; `None` if it is. A copied
/// or renamed folder is not another run, and a run of an earlier version of a plan does not count.
fn stranger(folder: &str, manifest: &Manifest, grid: Option<&Grid>) -> Option<String> {
    let Manifest { plan, seed, plan_spec, from, .. } = manifest;
    let own = run_name(plan, *seed);
    if own != folder {
        return Some(format!("its manifest is that of {own}"));
    }
    let asked_for = grid?.plans.iter().find(|asked_for| asked_for.name == *plan)?;
    let in_words = |spec: &str, from: &Option<String>| match from {
        Some(from) => format!("`{spec}` from the weights of {from}"),
        None => format!("`{spec}`"),
    };
    let (then, now) = (in_words(plan_spec, from), in_words(&asked_for.spec, &asked_for.from));
    (then != now).then(|| format!("it was run with the plan {then}, but {STUDY} now says {now}"))
}

/// The exact plans first, otherwise in the same order.
fn exact_first(mut plans: Vec<NamedPlan>) -> Vec<NamedPlan> {
    plans.sort_by_key(|plan| plan.spec != "none"); // the sort is stable
    plans
}

/// Plans that repeat another plan's codecs last, otherwise in the same order.
fn repeats_last(plans: Vec<NamedPlan>) -> Vec<NamedPlan> {
    let (mut first, mut again) = (Vec::<NamedPlan>::new(), Vec::new());
    for plan in plans {
        let repeats = first.iter().any(|earlier| earlier.spec == plan.spec);
        if repeats { again.push(plan) } else { first.push(plan) }
    }
    first.extend(again);
    first
}

/// Reads runs, which are in the order of their plans, and averages their gradients. Plans are read side by
/// side, the runs of each one after another, so that sums do not depend on the number of threads.
fn read_runs(found: &[(PathBuf, Manifest)], most: usize) -> (Vec<Run>, HashMap<String, Averages>) {
    let plans: Vec<&[(PathBuf, Manifest)]> =
        found.chunk_by(|(_, a), (_, b)| a.plan == b.plan).collect();
    let read = |runs: &&[(PathBuf, Manifest)]| {
        let mut averages = Averages::default();
        let read = |(path, manifest): &(PathBuf, Manifest)| {
            read_run(path, manifest.clone(), most, &mut averages)
        };
        let runs: Vec<Run> = runs.iter().map(read).collect();
        (runs, averages)
    };
    let read: Vec<(Vec<Run>, Averages)> = plans.par_iter().map(read).collect();
    let (mut runs, mut by_plan) = (Vec::new(), HashMap::new());
    for (of_plan, averages) in read {
        by_plan.extend(of_plan.first().map(|run| (run.manifest.plan.clone(), averages)));
        runs.extend(of_plan);
    }
    (runs, by_plan)
}

fn read_run(folder: &Path, manifest: Manifest, most: usize, averages: &mut Averages) -> Run {
    let mut state = match &manifest.state {
        RunState::Finished => State::Finished,
        RunState::Unfinished => State::Unfinished,
        RunState::Failed { reason } => State::Failed(reason.clone()),
    };
    let path = folder.join(RECORDS);
    let mut records = values(&path, &mut state);
    let mut measurements = values(&folder.join(MEASUREMENTS), &mut state);
    let ended = records.iter().any(|record| matches!(record, Record::Finished { .. }));
    if state == State::Finished && !ended {
        // Otherwise an earlier epoch's accuracy would count as that of the end.
        state = State::Damaged(packlight_record::Error::NoEnd { path }.to_string());
    }
    if let State::Damaged(_) = state {
        records.clear();
        measurements.clear();
    }
    if let (State::Unfinished | State::Failed(_), Some(reason)) =
        (&state, records.iter().find_map(divergence))
    {
        state = State::Failed(reason);
    }
    averages.add(manifest.seed, &records);
    let errors = gradient_errors(manifest.seed, &records);
    let probed = probed::thin(&mut records, most);
    Run { manifest, state, records, measurements, errors, probed }
}

/// The values of a log; none if it is damaged, which is noted in `state`. A killed run may leave
/// an incomplete last line, a finished run may not.
fn values<T: Logged>(path: &Path, state: &mut State) -> Vec<T> {
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
