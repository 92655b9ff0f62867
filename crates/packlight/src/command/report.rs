//! `packlight report`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use packlight::report::{self, Collection};

use super::print_json;

/// Write a study's report from its records.
///
/// Reads DIR/runs and writes DIR/index.html, one self-contained page, and DIR/figures, each figure
/// with its data. Runs that failed or are not finished are in it as far as they got. Where
/// DIR/study.toml names other studies, each of them gets its page, and DIR/index.html shows them
/// head to head.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight report reports/quickstart
  packlight report reports/quickstart --json
  packlight report reports/methods        # of several studies")]
pub(crate) struct Arguments {
    /// The folder of the study, or of several
    dir: PathBuf,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(collection) = Collection::read(&self.dir)? {
            let summary = collection.write(&self.dir)?;
            if self.json {
                print_json(&summary)?;
            } else {
                summary.studies.iter().for_each(|study| println!("{}", study.page.display()));
                println!("{}", summary.page.display());
            }
            return Ok(ExitCode::SUCCESS);
        }
        let summary = report::write(&self.dir)?;
        if self.json {
            print_json(&summary)?;
        } else {
            for finding in &summary.findings {
                println!("{}: {}", finding.verdict.word(), finding.headline);
            }
            println!("{}", summary.page.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
