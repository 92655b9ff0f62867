//! `packlight report`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::print_json;

/// Write a study's report from its records.
///
/// Reads DIR/runs and writes DIR/index.html, one self-contained page, and DIR/figures, each figure
/// with its data. Runs that failed or are not finished are in it as far as they got.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight report reports/quickstart
  packlight report reports/quickstart --json")]
pub(crate) struct Arguments {
    /// The study's folder
    dir: PathBuf,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let summary = packlight::report::write(&self.dir)?;
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
