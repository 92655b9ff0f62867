//! `packlight allocate --verify`: trains an allocation beside its rivals.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail};
use packlight::allocation::{Allocation, Error, Measured, Objective};
use packlight::record::atomic_file;
use packlight::record::layout::{RIVALS, RUNS, STUDY, VERIFY};
use packlight::report;
use packlight::study::{
    self, Fit, Options, Rival, StudySummary, find_rivals, read_study, run_study, write_variant,
};
use serde::Serialize;

use super::allocated::size;
use super::{SOME_FAILED, run, use_threads};
use crate::output::Output;
use crate::progress_bar::ProgressBar;
use crate::signals::stop_on_signals;

/// The most codecs that are tried at all layers alike.
const UNIFORM: usize = 3;
/// How many allocations are drawn at random.
const RANDOM: u64 = 2;

/// Set by signals; training then stops after the current step, with a checkpoint.
static STOP: AtomicBool = AtomicBool::new(false);

/// The plans to train beside each other that follow from the scores, by name: the exact one, the
/// allocation, the codecs at all layers alike that fit the budget and whose predicted error is least, and
/// allocations drawn at random from those that fit.
pub(super) fn plans_of_scores(
    measured: &Measured,
    name: &str,
    allocation: &Allocation,
    budget: u64,
) -> Vec<(String, String)> {
    let mut uniform: Vec<(&str, Allocation)> = measured
        .codecs()
        .into_iter()
        .filter_map(|codec| Some((codec, measured.uniform(codec)?)))
        .filter(|(_, uniform)| uniform.bytes <= budget)
        .collect();
    uniform.sort_by(|a, b| a.1.error.total_cmp(&b.1.error));
    uniform.truncate(UNIFORM);
    let uniform = uniform.iter().map(|(codec, plan)| (format!("all-{}", file_name(codec)), plan));
    let random: Vec<Allocation> =
        (0..RANDOM).filter_map(|draw| measured.random(budget, draw)).collect();
    let random = random.iter().zip(1..).map(|(plan, number)| (format!("random-{number}"), plan));
    let plans = [(name.to_owned(), allocation)].into_iter().chain(uniform).chain(random);
    let exact = ("none".to_owned(), "none".to_owned());
    [exact].into_iter().chain(plans.map(|(name, plan)| (name, measured.plan(plan)))).collect()
}

/// The best plan that only recomputes blocks, as PyTorch's memory budget does.
pub(super) fn only_recomputing(measured: &Measured, budget: u64) -> Rival {
    let found = measured.clone().with_recomputing().and_then(|measured| {
        let measured = measured.without_codecs();
        let within = |budget| measured.allocate(budget, Objective::Sum);
        let fits = |found: Allocation| (measured.plan(&found), found.bytes);
        match within(budget) {
            Err(Error::TooSmall { least, .. }) => {
                let (plan, bytes) = fits(within(least)?);
                Ok(Fit::TooLarge { plan, bytes })
            }
            found => found.map(fits).map(|(plan, bytes)| Fit::Fits { plan, bytes }),
        }
    });
    let fit = found.unwrap_or_else(|error| Fit::Refused { reason: error.to_string() });
    Rival { method: "recomputing alone, by knapsack as in PyTorch".to_owned(), fit }
}

/// A name for the plan of another method.
fn rival_name(plan: &str) -> String {
    if plan.starts_with("recompute=") { "recompute".to_owned() } else { file_name(plan) }
}

/// A codec's text with `-` for what a plan's name cannot have.
fn file_name(codec: &str) -> String {
    codec.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// What came of training an allocation and its rivals.
#[derive(Serialize)]
pub(super) struct Verified {
    /// The methods that divide the bytes by themselves.
    rivals: Vec<Rival>,
    /// How the runs ended.
    runs: StudySummary,
    /// The page that compares them.
    page: PathBuf,
    /// The page of the measured study, with what was predicted of them beside what was measured.
    predicted: PathBuf,
}

/// Trains these plans, and those of other methods that keep at most `budget` bytes, under the protocol of
/// the study in `dir`, each with each of its seeds, in the folder `verify-NAME` within it, and writes the
/// reports of both. Goes on where it was stopped, with the plans of other methods that it had found.
pub(super) fn verify(
    dir: &Path,
    name: &str,
    mut plans: Vec<(String, String)>,
    only_recomputing: Rival,
    budget: u64,
    options: Options<'_>,
) -> anyhow::Result<Verified> {
    let threads = read_study(dir)?.threads();
    use_threads(threads)?;
    stop_on_signals(&STOP)?;
    let options = Options { threads, interrupted: &STOP, ..options };
    let mut progress = ProgressBar::new();
    let variant = format!("{VERIFY}{name}");
    let found = dir.join(&variant).join(RIVALS);
    let mut rivals = match std::fs::read(&found) {
        Ok(found_before) if !options.overwrite => {
            serde_json::from_slice(&found_before).with_context(|| found.display().to_string())?
        }
        _ => find_rivals(dir, budget, &options, &mut progress)?,
    };
    std::fs::create_dir_all(dir.join(&variant))?;
    atomic_file::write(&found, &serde_json::to_vec_pretty(&rivals)?)?;
    rivals.push(only_recomputing);
    for rival in &rivals {
        progress.say(&in_words(rival, budget));
        if let Fit::Fits { plan, .. } = &rival.fit
            && plan != "none"
        {
            plans.push((rival_name(plan), plan.clone()));
        }
    }
    let title = format!("The plan {name} beside its rivals");
    let description = dir.join(&variant).join(STUDY);
    let before = std::fs::read(&description).ok(); // there may be none
    let folder = write_variant(dir, &variant, &title, &plans)?;
    let runs = run_study(&folder, &options, &mut progress);
    progress.finish();
    if let (Err(study::Error::Changed { folder: run, what, how }), Some(before)) = (&runs, before) {
        atomic_file::write(&description, &before)?; // what was trained stays as it was
        let how = match *what {
            "the study" => "by a new measurement, from which they follow, or in study.toml",
            _ => how,
        };
        bail!(
            "{}: {what} changed since the plans of this budget were trained ({how}); to train the present \
             ones instead: {}",
            run.display(),
            this_command_with("--overwrite")
        );
    }
    let runs = runs?;
    let page = report::write(&folder)?.page;
    let layers = report::write(dir)?.sensitivity;
    let predicted = layers.map_or_else(|| page.clone(), |layers| layers.page);
    Ok(Verified { rivals, runs, page, predicted })
}

/// What a method makes of the budget.
fn in_words(Rival { method, fit }: &Rival, budget: u64) -> String {
    let [of, budget] = [" with masks, statistics and what codecs remember", &size(budget)];
    match fit {
        Fit::Fits { plan, bytes } => {
            format!(
                "rival: {} = \"{plan}\" ({method}) keeps {}{of}",
                rival_name(plan),
                size(*bytes)
            )
        }
        Fit::TooLarge { plan, bytes } => format!(
            "no rival: {method}: even {plan} keeps {}{of}, more than {budget}",
            size(*bytes)
        ),
        Fit::Refused { reason } => format!("no rival: {method}: not within {budget}: {reason}"),
    }
}

/// The command line of this process with another flag.
fn this_command_with(flag: &str) -> String {
    let arguments = std::env::args().skip(1).map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
        match argument.chars().all(plain) {
            true => argument,
            false => format!("'{}'", argument.replace('\'', "'\\''")),
        }
    });
    let arguments: Vec<String> = arguments.collect();
    format!("packlight {} {flag}", arguments.join(" "))
}

impl Verified {
    pub(super) fn print(&self, out: &mut Output) -> anyhow::Result<()> {
        writeln!(out)?;
        run::tell(out, &self.runs, self.page.with_file_name(RUNS).as_path())?;
        writeln!(out, "the plan beside its rivals: {}", self.page.display())?;
        writeln!(out, "predicted beside measured: {}", self.predicted.display())?;
        Ok(())
    }

    pub(super) fn code(&self) -> ExitCode {
        if self.runs.any_failed() { ExitCode::from(SOME_FAILED) } else { ExitCode::SUCCESS }
    }
}
