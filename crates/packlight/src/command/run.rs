//! `packlight run`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::{Args, value_parser};
use packlight::record::layout::{RUNS, STUDY, TABLES};
use packlight::spec::DeviceSpec;
use packlight::study::{
    Collection, Options, Outcome, StudySummary, data, read_study, run_collection, run_study,
};

use super::{SOME_FAILED, sensitivity, study_folder, use_threads};
use crate::output::Output;
use crate::progress_bar::ProgressBar;
use crate::signals::stop_on_signals;

/// Train every plan of a study with every seed.
///
/// Reads DIR/study.toml and writes the records of each run into a folder in DIR/runs. Finished runs
/// are skipped; unfinished runs resume where they were stopped or killed. Before training, it times
/// a few steps of each plan and prints how long the study will take. What a table `[sensitivity]` asks for
/// is measured after the runs, as `packlight sensitivity DIR` does. If DIR/study.toml names other
/// studies (`studies = ["vit", "mixer"]`), DIR/vit and then DIR/mixer are run.
///
/// Ctrl-C, SIGTERM and SIGHUP stop it after the current step, with a checkpoint; a second signal
/// stops it at once.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight run reports/quickstart
  packlight run reports/quickstart --overwrite --threads 2
  packlight run reports/methods                   # several studies, one after another
  packlight run reports/methods --scale 0.1       # a tenth of the epochs, as a quick test
  packlight run reports/methods/vit               # one of them
  PACKLIGHT_DATA=~/data packlight run reports/cifar --json")]
pub(crate) struct Arguments {
    /// The folder of a study or collection, with its study.toml
    dir: PathBuf,
    /// Remove existing runs and start again
    #[arg(long)]
    overwrite: bool,
    /// Multiply the epochs of every plan by FACTOR, to at least 1; seeds stay the same. A run
    /// cannot resume with another factor
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = factor)]
    scale: f64,
    /// Number of threads; does not change any record [default: from study.toml, or all cores]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Where to compute: cpu, cuda, or auto for a CUDA device where there is one [default: from study.toml, or cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceSpec>,
    /// The folder with the data sets that are not built in, and weights to start from [default: $PACKLIGHT_DATA]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print the outcome of each run as JSON
    #[arg(long)]
    json: bool,
}

/// Set by signals; the study then stops after the current step, with a checkpoint.
static STOP: AtomicBool = AtomicBool::new(false);

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        if self.dir.join(TABLES).is_file() {
            let dir = self.dir.display();
            anyhow::bail!(
                "{dir} holds {TABLES}, whose numbers are counted, not trained; run `packlight report {dir}`"
            );
        }
        study_folder::check(&self.dir, "run", &[STUDY])?;
        let data_dir = data::data_dir(self.data_dir.clone());
        let collection = Collection::read(&self.dir, data_dir.as_deref())?;
        let threads = match (self.threads, &collection) {
            (Some(threads), _) => threads.into(),
            (None, Some(collection)) => collection.threads(),
            (None, None) => read_study(&self.dir, data_dir.as_deref())?.threads(),
        };
        use_threads(threads)?;
        stop_on_signals(&STOP)?;
        let options = Options {
            scale: self.scale,
            overwrite: self.overwrite,
            data_dir,
            device: self.device,
            threads,
            interrupted: &STOP,
            ..Options::default()
        };
        let mut progress = ProgressBar::new();
        let any_failed = match collection {
            None => {
                let summary = run_study(&self.dir, &options, &mut progress)?;
                progress.finish();
                match self.json {
                    true => out.json(&summary)?,
                    false => tell(out, &summary, &self.dir.join(RUNS))?,
                }
                summary.any_failed()
            }
            Some(collection) => {
                let folders: Vec<PathBuf> =
                    collection.members.iter().map(|m| self.dir.join(&m.name).join(RUNS)).collect();
                let summary = run_collection(&self.dir, collection, &options, &mut progress)?;
                progress.finish();
                if self.json {
                    out.json(&summary)?;
                } else {
                    for (study, folder) in summary.studies.iter().zip(&folders) {
                        tell(out, study, folder)?;
                    }
                }
                summary.any_failed()
            }
        };
        Ok(if any_failed { ExitCode::from(SOME_FAILED) } else { ExitCode::SUCCESS })
    }
}

/// Parses a factor for the number of epochs.
fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|f: &f64| *f > 0.0 && *f <= 1e6);
    factor.ok_or_else(|| "expected a number above 0 and up to 1e6, such as 0.1 or 2".to_owned())
}

/// Prints the outcome of each run.
pub(super) fn tell(out: &mut Output, summary: &StudySummary, folder: &Path) -> anyhow::Result<()> {
    for run in &summary.runs {
        match &run.outcome {
            Outcome::Finished => writeln!(out, "{}: finished", run.run)?,
            Outcome::AlreadyFinished => writeln!(out, "{}: already finished", run.run)?,
            Outcome::Failed { reason } => writeln!(out, "{}: failed: {reason}", run.run)?,
        }
    }
    writeln!(out, "records are in {}", folder.display())?;
    summary.sensitivity.iter().try_for_each(|measured| sensitivity::tell(out, measured))
}
