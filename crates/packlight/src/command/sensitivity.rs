//! `packlight sensitivity`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::bail;
use clap::{Args, value_parser};
use packlight::record::layout::STUDY;
use packlight::spec::DeviceSpec;
use packlight::study::{
    Collection, Options, SensitivitySummary, data, measure_sensitivity, read_study,
};

use super::{study_folder, use_threads};
use crate::output::Output;
use crate::progress_bar::ProgressBar;
use crate::signals::stop_on_signals;

/// Measure what each codec at each layer alone does to the gradients.
///
/// Reads the table `[sensitivity]` of DIR/study.toml, trains exactly with each seed to each of its
/// points, and compares there the gradients of each batch with those of a pass in which one codec packs
/// one layer's input, all other layers exact. Scores are appended to DIR/sensitivity/scores.jsonl. What
/// stands there is not measured again, so a table can be widened. Before it starts, it times a few
/// passes and prints how long it will take.
///
/// A codec is tried at every layer of the table that it can pack, whatever kinds of layers it was
/// published for. Codecs that remember something of earlier batches see one batch first.
///
/// With `horizon`, it also trains: from each point, on each batch and those that follow it, so many updates
/// with one codec at one layer, and as many exact ones. It compares their losses on a fixed sample of 4 other
/// batches of the training part, whose samples the trainings also see in other batches, after one update and
/// after all of them. That takes the time of `horizon` + 3 steps for each score, where scores of convolutions
/// and linear layers share a pass; the time is printed before. `packlight allocate --objective loss` needs it.
/// A codec whose error at a layer, by what averaging over steps leaves, is at least as large as the whole
/// gradient is hopeless there: it is not trained with, and named.
///
/// With `one_off`, each codec is also at all layers and at all but each one, which takes a pass for each of
/// these. A codec that only changes the gradients of its layers' own weights takes none: its squared errors add
/// up.
///
/// Ctrl-C, SIGTERM and SIGHUP stop it after the current batch; a second signal stops it at once. The
/// same command goes on from there.
#[derive(Args)]
#[command(after_help = "\
A table for DIR/study.toml; only `codecs` has to be given:
  [sensitivity]
  codecs = [\"q8\", \"q2\", \"pool2\", \"hosvd:0.8\"]
  layers = [\"conv\", \"layer4.*\"]     # names, patterns or kinds; all by default
  except = [\"conv1\"]
  points = [\"start\", 0.1, \"end\"]    # shares of the steps of training; the start by default
  batches = 4
  draws = 2                           # of random numbers, on each batch: bias apart from variance
  horizon = 20                        # updates after which losses are compared; none by default
  one_off = true                      # each codec also at all layers but one; not by default

Examples:
  packlight sensitivity reports/mine
  packlight sensitivity reports/mine --overwrite --threads 2
  packlight sensitivity reports/mine --json")]
pub(crate) struct Arguments {
    /// The folder of a study, with its study.toml
    dir: PathBuf,
    /// Remove what was measured before and start again
    #[arg(long)]
    overwrite: bool,
    /// Number of threads; does not change any score [default: from study.toml, or all cores]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Where to compute: cpu, cuda, or auto for a CUDA device where there is one [default: from study.toml, or cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceSpec>,
    /// The folder with the data sets that are not built in, and weights to start from [default: $PACKLIGHT_DATA]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print what was measured as JSON
    #[arg(long)]
    json: bool,
}

/// Set by signals; the measurement then stops after the current batch.
static STOP: AtomicBool = AtomicBool::new(false);

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        study_folder::check(&self.dir, "sensitivity", &[STUDY])?;
        let data_dir = data::data_dir(self.data_dir);
        if let Some(collection) = Collection::read(&self.dir, data_dir.as_deref())? {
            let first = collection.members.first().map(|member| self.dir.join(&member.name));
            let example = first.map(|dir| format!(", such as {}", dir.display()));
            bail!(
                "{} holds several studies; give the folder of one of them{}",
                self.dir.display(),
                example.unwrap_or_default()
            );
        }
        let threads = match self.threads {
            Some(threads) => threads.into(),
            None => read_study(&self.dir, data_dir.as_deref())?.threads(),
        };
        use_threads(threads)?;
        stop_on_signals(&STOP)?;
        let options = Options {
            overwrite: self.overwrite,
            data_dir,
            device: self.device,
            threads,
            interrupted: &STOP,
            ..Options::default()
        };
        let mut progress = ProgressBar::new();
        let summary = measure_sensitivity(&self.dir, &options, &mut progress)?;
        progress.finish();
        match self.json {
            true => out.json(&summary)?,
            false => tell(out, &summary)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints what was measured.
pub(super) fn tell(out: &mut Output, summary: &SensitivitySummary) -> anyhow::Result<()> {
    let SensitivitySummary { scores, measured, losses, trained, hopeless, layers, codecs, .. } =
        summary;
    writeln!(out, "{scores} scores of {layers} layers with {}", codecs.join(", "))?;
    writeln!(out, "{measured} of them are new")?;
    if *losses > 0 {
        writeln!(out, "{losses} trainings were compared with exact ones, {trained} of them now")?;
    }
    if !hopeless.is_empty() {
        writeln!(
            out,
            "not trained with, since their error is as large as the gradient: {}",
            hopeless.join(", ")
        )?;
    }
    writeln!(out, "they are in {}", summary.file.display())
}
