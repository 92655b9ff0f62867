//! `packlight allocate --verify`: trains an allocation beside its rivals.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail};
use packlight::allocation::{Allocation, Error, Measured, Objective};
use packlight::record::layout::{ERRORS, RIVALS, RUNS, STUDY, VERIFY};
use packlight::record::{PlanFacts, PlanOrigin, atomic_file};
use packlight::report::{self, Contest};
use packlight::study::{
    self, Fit, Options, Rival, StudySummary, find_rivals, measure_plans, run_study, write_variant,
};
use serde::{Deserialize, Serialize};

use super::allocated::size;
use super::{SOME_FAILED, run};
use crate::output::Output;
use crate::progress_bar::ProgressBar;
use crate::signals::stop_on_signals;

/// The most codecs that are tried at all layers alike.
const UNIFORM: usize = 3;
/// How many allocations are drawn at random.
const RANDOM: u64 = 2;

/// Set by signals; training then stops after the current step, with a checkpoint.
static STOP: AtomicBool = AtomicBool::new(false);

/// The plans that are verified, before those of other methods are found.
pub(super) struct Contenders {
    /// The name of the allocation.
    pub(super) name: String,
    /// Those that follow from the scores, the allocation first; see [`plans_of_scores`].
    pub(super) of_scores: Vec<PlanFacts>,
    /// See [`only_recomputing`].
    pub(super) only_recomputing: Rival,
    /// Whether the bytes of these are those of a whole step at its peak.
    pub(super) fit_peak: bool,
    /// The bytes that the plans of other methods may keep.
    pub(super) kept: u64,
}

/// The plans to compare that follow from the scores: the allocation, the codecs at all layers alike that fit
/// the budget and whose predicted error is least, and allocations drawn at random from those that fit.
pub(super) fn plans_of_scores(
    measured: &Measured,
    name: &str,
    allocation: &Allocation,
    budget: u64,
) -> Vec<PlanFacts> {
    let facts = |plan: String, origin: PlanOrigin, allocation: &Allocation| PlanFacts {
        plan,
        spec: measured.plan(allocation),
        origin,
        budget,
        bytes: allocation.bytes,
    };
    let mut uniform: Vec<(&str, Allocation)> = measured
        .codecs()
        .into_iter()
        .filter_map(|codec| Some((codec, measured.uniform(codec)?)))
        .filter(|(_, uniform)| uniform.bytes <= budget)
        .collect();
    uniform.sort_by(|a, b| a.1.error.total_cmp(&b.1.error));
    uniform.truncate(UNIFORM);
    let uniform = uniform
        .iter()
        .map(|(codec, plan)| facts(format!("all-{}", file_name(codec)), PlanOrigin::Uniform, plan));
    let random = (0..RANDOM).filter_map(|draw| measured.random(budget, draw)).zip(1..);
    let random =
        random.map(|(plan, number)| facts(format!("random-{number}"), PlanOrigin::Random, &plan));
    let own = facts(name.to_owned(), PlanOrigin::Allocated, allocation);
    [own].into_iter().chain(uniform).chain(random).collect()
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
    /// The plan beside the others that follow from the scores; none if no error could be measured.
    contest: Option<Contest>,
    /// The page that compares them.
    page: PathBuf,
    /// The page of the measured study, with what was predicted of them beside what was measured.
    predicted: PathBuf,
}

/// The plans of other methods that were found, in a file, so that a verification that was stopped goes on with them.
#[derive(Serialize, Deserialize)]
struct Found {
    /// The bytes that they may keep.
    kept: u64,
    rivals: Vec<Rival>,
}

impl Found {
    /// What the file has; `None` if it has nothing of use, so that they are to be found again.
    fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }
}

/// Trains these plans, and those of other methods that keep at most as many bytes, under the protocol of
/// the study in `dir`, each with each of its seeds, in the folder `verify-NAME` within it, and writes the
/// reports of both. Before the reports, it measures what the plans that follow from the scores do to whole
/// gradients. Goes on where it was stopped, with the plans of other methods that it had found.
pub(super) fn verify(
    dir: &Path,
    contenders: Contenders,
    options: Options<'_>,
) -> anyhow::Result<Verified> {
    let Contenders { name, of_scores, only_recomputing, fit_peak, kept } = contenders;
    stop_on_signals(&STOP)?;
    let options = Options { interrupted: &STOP, ..options };
    let mut progress = ProgressBar::new();
    let variant = format!("{VERIFY}{name}");
    let file = dir.join(&variant).join(RIVALS);
    let before = Found::read(&file).filter(|found| found.kept == kept && !options.overwrite);
    let mut rivals = match before {
        Some(found) => found.rivals,
        None => find_rivals(dir, kept, &options, &mut progress)?,
    };
    std::fs::create_dir_all(dir.join(&variant))?;
    let found = Found { kept, rivals: rivals.clone() };
    atomic_file::write(&file, &serde_json::to_vec_pretty(&found)?)?;
    for rival in &rivals {
        let keeps =
            |bytes| format!("keeps {bytes} with masks, statistics and what codecs remember");
        progress.say(&in_words(rival, kept, keeps));
    }
    let asked = of_scores.first().map_or(kept, |own| own.budget);
    progress.say(&in_words(&only_recomputing, asked, |bytes| match fit_peak {
        true => format!("holds {bytes} at the peak of a step"),
        false => format!("keeps {bytes} at the peak"),
    }));
    rivals.push(only_recomputing);
    let exact = ("none".to_owned(), "none".to_owned());
    let own = of_scores.iter().map(|facts| (facts.plan.clone(), facts.spec.clone()));
    let mut plans: Vec<(String, String)> = [exact].into_iter().chain(own).collect();
    for rival in &rivals {
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
    let errors = folder.join(ERRORS);
    if options.overwrite && errors.exists() {
        std::fs::remove_file(&errors).with_context(|| errors.display().to_string())?;
    }
    let runs = run_study(&folder, &options, &mut progress);
    if let (Err(study::Error::Changed { folder: run, what, how }), Some(before)) = (&runs, before) {
        progress.finish();
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
    measure_plans(dir, &of_scores, &errors, &options, &mut progress)?;
    progress.finish();
    let contest = Contest::read(&folder)?;
    let page = report::write(&folder)?.page;
    let layers = report::write(dir)?.sensitivity;
    let predicted = layers.map_or_else(|| page.clone(), |layers| layers.page);
    Ok(Verified { rivals, runs, contest, page, predicted })
}

/// What a method makes of the budget; `holding` says that a plan holds so many bytes.
fn in_words(
    Rival { method, fit }: &Rival,
    budget: u64,
    holding: impl Fn(String) -> String,
) -> String {
    let budget = size(budget);
    match fit {
        Fit::Fits { plan, bytes } => {
            let holds = holding(size(*bytes));
            format!("rival: {} = \"{plan}\" ({method}) {holds}", rival_name(plan))
        }
        Fit::TooLarge { plan, bytes } => {
            let holds = holding(size(*bytes));
            format!("no rival: {method}: even {plan} {holds}, more than {budget}")
        }
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
        if let Some(contest) = &self.contest {
            writeln!(out, "{}", contest.in_words())?;
        }
        writeln!(out, "the plan beside its rivals: {}", self.page.display())?;
        writeln!(out, "predicted beside measured: {}", self.predicted.display())?;
        Ok(())
    }

    pub(super) fn code(&self) -> ExitCode {
        if self.runs.any_failed() { ExitCode::from(SOME_FAILED) } else { ExitCode::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_are_found_again_only_where_the_file_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(RIVALS);
        assert!(Found::read(&file).is_none());
        let fit = Fit::Refused { reason: "too small".to_owned() };
        let found = Found { kept: 7, rivals: vec![Rival { method: "ASI".to_owned(), fit }] };
        std::fs::write(&file, serde_json::to_vec(&found).unwrap()).unwrap();
        let read = Found::read(&file).unwrap();
        assert_eq!((read.kept, read.rivals), (found.kept, found.rivals));
        std::fs::write(&file, "[]").unwrap(); // as an earlier version wrote it
        assert!(Found::read(&file).is_none());
    }

    #[test]
    fn what_a_rival_holds_is_said_in_the_words_of_its_budget() {
        let rival = |fit| Rival { method: "recomputing alone".to_owned(), fit };
        let holds = |bytes| format!("holds {bytes} at the peak of a step");
        let (plan, bytes) = ("recompute=layer1".to_owned(), 3 << 20);
        let fits = rival(Fit::Fits { plan: plan.clone(), bytes });
        assert_eq!(
            in_words(&fits, 4 << 20, holds),
            "rival: recompute = \"recompute=layer1\" (recomputing alone) holds 3.00 MiB at the peak of a step"
        );
        assert_eq!(
            in_words(&rival(Fit::TooLarge { plan, bytes }), 2 << 20, holds),
            "no rival: recomputing alone: even recompute=layer1 holds 3.00 MiB at the peak of a step, more \
             than 2.00 MiB"
        );
    }
}
