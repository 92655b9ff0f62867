//! `packlight codecs`.

use std::process::ExitCode;

use clap::Args;
use packlight::codec::registry::entries;
use packlight::nn::plan::scope_in_words;
use serde::Serialize;

use crate::output::Output;

/// List the codecs that a plan can give a layer.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight codecs
  packlight codecs --json")]
pub(crate) struct Arguments {
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Codec {
    /// The form in which a plan writes it, with placeholders in angle brackets.
    pattern: String,
    examples: &'static [&'static str],
    /// The layers that it covers by default.
    scope: String,
    keeps: &'static str,
    #[serde(skip)]
    parameters: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let codecs = entries()
            .into_iter()
            .map(|entry| {
                let codec = packlight::codec::parse(entry.examples[0])?;
                Ok(Codec {
                    pattern: entry.pattern(),
                    examples: entry.examples,
                    scope: scope_in_words(codec.scope()),
                    keeps: entry.summary,
                    parameters: entry.parameters.iter().map(|p| p.help()).collect(),
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        if self.json {
            out.json(&codecs)?;
            return Ok(ExitCode::SUCCESS);
        }
        let width = codecs.iter().map(|codec| codec.pattern.len()).max().unwrap_or(0);
        writeln!(out, "{:<width$} {:<14} keeps", "codec", "such as")?;
        for Codec { pattern, examples, keeps, parameters, .. } in &codecs {
            writeln!(out, "{pattern:<width$} {:<14} {keeps}", examples[0])?;
            for parameter in parameters {
                writeln!(out, "  {parameter}")?;
            }
        }
        writeln!(out, "\nA plan is a codec, or rules such as `layer3.*=pool4,default=pool2`.")?;
        Ok(ExitCode::SUCCESS)
    }
}
