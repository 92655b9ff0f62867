//! `packlight allocate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Error, bail};
use clap::{Args, ValueEnum};
use packlight::allocation::{Allocation, Log, Measured, Objective, Selection, knee};
use packlight::record::layout::{SCORES, SENSITIVITY, STUDY, TIMES};
use packlight::record::log::Values;
use packlight::record::{ChoiceTimes, SensitivityRecord, fold_log};
use packlight::spec::{Budget, PlanSpec, Point};
use packlight::study::{self, Options, check_measured, data, read_study};
use serde::Serialize;

use super::allocated::{Answer, Layer, OnFrontier};
use super::verify::{Contenders, only_recomputing, plans_of_scores, verify};
use super::{study_folder, use_threads};
use crate::output::{Output, say};

/// Find the plan that keeps at most so many bytes and disturbs the gradient least.
///
/// Reads DIR/sensitivity/scores.jsonl, which `packlight sensitivity DIR` writes, and prints lines to
/// paste under `[plans]` in study.toml. Each layer gets one of the codecs that were measured at it, or
/// stays exact. Layers that save the same tensor and pack it alike share one copy, and masks and
/// statistics, which every plan keeps, count as well.
///
/// Errors are those of the gradient of all parameters, relative to its norm. The prediction adds up
/// the squared errors of the layers, each measured with all others exact; with `--objective worst` it
/// is the largest of them. The interval is Student's t over the seeds, or with a single seed over the batches
/// of each point.
///
/// `--objective loss` minimises the rise of the loss instead: after the `horizon` updates that
/// `[sensitivity]` in study.toml asks for, with one codec at one layer, above that after exact ones; those of
/// the layers are added up. Since it is small beside its noise, each is drawn towards the mean of its codec
/// over the layers, and that towards 0, as far as they are noise; less than 0 counts as 0. Where losses then
/// do not tell choices apart, errors decide.
///
/// The frontier is what no other plan beats in both bytes and error. Its knee is the plan from which
/// on saving bytes costs the most.
///
/// With `--recompute`, whole blocks may be recomputed in the backward pass instead: that has no error, but
/// takes the time of their forward pass once more, so as few as will do are. The bytes are then those of the
/// peak, which may lie in the backward pass, where a block is there again. With `--fit-peak` they are those
/// of a whole step at its peak: parameters, buffers, the optimizer's state and gradients, as `packlight plan`
/// counts them, besides what is kept.
///
/// `--max-slowdown` limits what packing, restoring and recomputing add to a pass, as `packlight sensitivity` has
/// timed them. Where the plan is not proven to be the best within both limits, it says how much better another
/// one could be.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight allocate reports/mine --budget 200MiB
  packlight allocate reports/mine --budget 0.3x --why
  packlight allocate reports/mine --budget 0.3x --objective worst --point end --json
  packlight allocate reports/mine --budget 0.3x --objective loss
  packlight allocate reports/mine --budget 0.2x --recompute
  packlight allocate reports/mine --fit-peak 12GiB --recompute --max-slowdown 1.2
  packlight allocate reports/mine --budget 0.3x --verify")]
pub(crate) struct Arguments {
    /// The folder of a study whose layers were measured
    dir: PathBuf,
    /// The most bytes to keep (B, KiB, MiB, GiB; KB, MB and GB count in thousands), or a share of what
    /// the exact plan keeps, such as 0.3x
    #[arg(long, required_unless_present = "fit_peak", conflicts_with = "fit_peak")]
    budget: Option<Budget>,
    /// The most bytes that a step may hold at its peak, or a share of those of the exact plan
    #[arg(long, value_name = "BUDGET")]
    fit_peak: Option<Budget>,
    /// Also recompute blocks
    #[arg(long)]
    recompute: bool,
    /// How many times as long a pass may take as an exact one, such as 1.2. The frontier has no such limit
    #[arg(long, value_name = "TIMES", value_parser = slowdown)]
    max_slowdown: Option<f64>,
    /// What to minimise
    #[arg(long, value_enum, default_value = "sum")]
    objective: Minimised,
    /// Use only what was measured at this point of the training: start, a share such as 0.1, or end
    /// [default: the mean over all points]
    #[arg(long, value_parser = point)]
    point: Option<Point>,
    /// Show for each layer what the next cheaper and the next better codec would cost
    #[arg(long)]
    why: bool,
    /// Train the plan beside its rivals under the study's protocol: exact, the codecs at all layers alike
    /// that fit the budget, the largest plans of ASI, ActNN and GACT that fit, the best that only recomputes
    /// blocks, and plans drawn at random from those that fit. With --fit-peak, those of ASI, ActNN and GACT
    /// have the bytes that the plan keeps. Then measure what the plan, those of one codec and those drawn at
    /// random do to whole gradients, on other batches than the scores', and say whether the plan beats the
    /// best of one codec. Records and report are in DIR/verify-NAME
    #[arg(long)]
    verify: bool,
    /// Remove the runs of an earlier --verify of this budget and start again
    #[arg(long, requires = "verify")]
    overwrite: bool,
    /// The folder with the data sets that are not built in, for --verify [default: $PACKLIGHT_DATA]
    #[arg(long, value_name = "DIR", requires = "verify")]
    data_dir: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// What an allocation minimises.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Minimised {
    /// The error of the whole gradient
    Sum,
    /// The error of the layer that disturbs it most
    Worst,
    /// The rise of the loss after the updates of `horizon` in study.toml
    Loss,
}

fn slowdown(text: &str) -> Result<f64, String> {
    let found = text.trim_end_matches('x').parse().ok();
    let expected = || "a number of at least 1 expected, such as 1.2".to_owned();
    found.filter(|times: &f64| times.is_finite() && *times >= 1.0).ok_or_else(expected)
}

fn point(text: &str) -> Result<Point, String> {
    let share = serde_json::from_str(text); // "start" and "end" are no JSON
    share.or_else(|_| serde_json::from_value(text.into())).map_err(|e| e.to_string())
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        study_folder::check(&self.dir, "allocate", &[SENSITIVITY, STUDY])?;
        let data_dir = data::data_dir(self.data_dir.clone());
        let mut threads = None;
        let study = read_study(&self.dir, data_dir.as_deref());
        if self.verify {
            let study = study?;
            let data = data::load(&study.data, data_dir.as_deref())?;
            check_measured(&self.dir, &study, Some(&data))?;
            use_threads(study.threads())?; // before the scores are averaged
            threads = Some(study.threads());
        } else if let Ok(study) = study
            && let Err(changed @ study::Error::MeasuredOtherwise { .. }) =
                check_measured(&self.dir, &study, None)
        {
            say(format_args!("warning: the plan is that of another study: {changed}"));
        }
        let measured = self.measured()?;
        let counted = match self.objective {
            Minimised::Loss => {
                measured.clone().by_loss().with_context(|| self.dir.display().to_string())?
            }
            Minimised::Sum | Minimised::Worst => measured.clone(),
        };
        let (mut answer, allocation) = self.answer(&counted)?;
        if self.objective == Minimised::Loss {
            let plan: PlanSpec = answer.plan.parse().map_err(Error::msg)?;
            let by_error = measured.of_plan(&plan)?;
            answer.gradient_error = Some(measured.estimate(&by_error, Objective::Sum));
        }
        if !self.json {
            answer.print(self.why, out)?;
            out.finish()?; // before the training, which takes its time
        }
        if let Some(threads) = threads {
            let contenders = Contenders {
                name: answer.name.clone(),
                of_scores: plans_of_scores(&measured, &answer.name, &allocation, answer.budget),
                only_recomputing: only_recomputing(&measured, answer.budget),
                fit_peak: answer.fit_peak,
                kept: if answer.fit_peak { answer.kept_bytes } else { answer.budget },
            };
            let overwrite = self.overwrite;
            let options = Options { overwrite, data_dir, threads, ..Options::default() };
            answer.verified = Some(verify(&self.dir, contenders, options)?);
        }
        match (&answer.verified, self.json) {
            (_, true) => out.json(&answer)?,
            (Some(verified), false) => verified.print(out)?,
            (None, false) => {}
        }
        Ok(answer.verified.map_or(ExitCode::SUCCESS, |verified| verified.code()))
    }

    fn answer(&self, measured: &Measured) -> anyhow::Result<(Answer, Allocation)> {
        let objective = match self.objective {
            Minimised::Sum | Minimised::Loss => Objective::Sum,
            Minimised::Worst => Objective::Worst,
        };
        let (asked, fit_peak) = match (&self.budget, &self.fit_peak) {
            (_, Some(peak)) => (peak, true),
            (Some(budget), None) => (budget, false),
            (None, None) => bail!("--budget: a number of bytes expected, such as 200MiB"),
        };
        let budget = asked.bytes(measured.exact_bytes());
        let by_loss = self.objective == Minimised::Loss;
        let allocation = match (self.max_slowdown, objective) {
            (None, _) => measured.allocate(budget, objective)?,
            (Some(limit), Objective::Sum) => measured.allocate_in_time(budget, limit)?,
            (Some(_), Objective::Worst) => bail!("--max-slowdown: not with `--objective worst`"),
        };
        let frontier = measured.frontier(objective);
        let knee = knee(&frontier);
        let on_frontier = |(number, point): (usize, &Allocation)| OnFrontier {
            bytes: point.bytes,
            error: point.error,
            knee: Some(number) == knee,
            plan: measured.plan(point),
        };
        let recomputed = allocation.recomputed.iter().filter_map(|&block| measured.block(block));
        let answer = Answer {
            name: self.name(asked),
            plan: measured.plan(&allocation),
            objective: self.objective,
            horizon: measured.horizon().filter(|_| by_loss),
            point: self.point,
            fit_peak,
            budget,
            bytes: allocation.bytes,
            kept_bytes: measured.kept_bytes(&allocation),
            least_bytes: measured.least_bytes(&allocation),
            fixed_bytes: measured.fixed_bytes(),
            exact_bytes: measured.exact_bytes(),
            error: measured.estimate(&allocation, objective),
            gradient_error: None,
            gap: allocation.gap,
            slowdown: measured.slowdown(&allocation),
            recomputed: recomputed.map(str::to_owned).collect(),
            layers: layers(measured, &allocation),
            frontier: frontier.iter().enumerate().map(on_frontier).collect(),
            left_out: measured.left_out().to_vec(),
            verified: None,
        };
        Ok((answer, allocation))
    }

    /// The name of the plan within this budget: those of different searches differ.
    fn name(&self, budget: &Budget) -> String {
        let ending = |is: bool, ending: &str| if is { ending.to_owned() } else { String::new() };
        let number = |value: f64| value.to_string().replace('.', "_");
        let at = match self.point {
            None => String::new(),
            Some(point @ (Point::START | Point::END)) => format!("-{point}"),
            Some(point) => format!("-at-{}", number(point.share())),
        };
        [
            budget.plan_name(),
            ending(self.fit_peak.is_some(), "-peak"),
            ending(self.recompute, "-recompute"),
            ending(self.objective == Minimised::Loss, "-loss"),
            ending(self.objective == Minimised::Worst, "-worst"),
            at,
            self.max_slowdown.map_or_else(String::new, |times| format!("-in-{}x", number(times))),
        ]
        .concat()
    }

    fn measured(&self) -> anyhow::Result<Measured> {
        let path = self.dir.join(SENSITIVITY).join(SCORES);
        let mut log = Log::default();
        let piece = |block: &mut Values<'_, SensitivityRecord>| block.collect::<Log>();
        let torn = fold_log(&path, piece, |piece| {
            log.append(piece);
        })?;
        let measure = format!("packlight sensitivity {}", self.dir.display());
        if log.is_empty() {
            bail!("{}: there are no scores; measure them with `{measure}`", path.display());
        }
        if torn {
            say(format_args!("{}: the last line is torn; `{measure}` goes on", path.display()));
        }
        let mut measured = Measured::of(&log, &Selection::at(self.point));
        if let Ok(times) = std::fs::read(path.with_file_name(TIMES)) {
            let times: ChoiceTimes = serde_json::from_slice(&times)
                .with_context(|| path.with_file_name(TIMES).display().to_string())?;
            measured = measured.map(|measured| measured.timed(&times));
        }
        if self.recompute {
            measured = measured.and_then(Measured::with_recomputing);
        }
        if self.fit_peak.is_some() {
            measured = measured.and_then(Measured::of_steps);
        }
        measured.with_context(|| path.display().to_string())
    }
}

fn layers(measured: &Measured, allocation: &Allocation) -> Vec<Layer> {
    let mut copies: Vec<(u64, &str, &str)> = Vec::new();
    let mut layers = Vec::new();
    let neighbours = measured.neighbours(allocation);
    let choices = measured.layers().iter().zip(&allocation.codecs);
    let blocks = measured.recomputed(allocation);
    for (((layer, codec), neighbours), recomputed) in choices.zip(neighbours).zip(blocks) {
        let facts = &layer.facts;
        let Some(choice) = layer.choices.iter().find(|choice| choice.codec == *codec) else {
            continue; // each codec of an allocation is a choice of its layer
        };
        let kept = copies.iter().find(|copy| (copy.0, copy.1) == (facts.source, &choice.copy));
        let shares = kept.map(|copy| copy.2.to_owned()).filter(|_| recomputed.is_none());
        copies.push((facts.source, &choice.copy, &facts.layer));
        let of_copy = |bytes: u64| if recomputed.is_some() { 0 } else { bytes };
        layers.push(Layer {
            layer: facts.layer.clone(),
            kind: facts.kind,
            codec: codec.clone(),
            bytes: of_copy(choice.bytes),
            least_bytes: of_copy(choice.least_bytes),
            recomputed: recomputed.map(str::to_owned),
            shares,
            error: choice.error,
            at_floor: layer.at_floor,
            neighbours,
        });
    }
    layers
}
