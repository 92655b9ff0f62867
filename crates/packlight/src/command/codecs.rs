//! `packlight codecs`.

use std::process::ExitCode;

use clap::Args;
use packlight::codec::registry::CODECS;
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
    /// How it is written in a plan, with placeholders in angle brackets.
    pattern: &'static str,
    examples: &'static [&'static str],
    /// The layers that it covers by default.
    scope: String,
    keeps: &'static str,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let codecs = CODECS
            .iter()
            .map(|entry| {
                let codec = packlight::codec::parse(entry.examples[0])?;
                Ok(Codec {
                    pattern: entry.pattern,
                    examples: entry.examples,
                    scope: scope_in_words(codec.scope()),
                    keeps: entry.summary,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        if self.json {
            out.json(&codecs)?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "{:<28} {:<14} keeps", "codec", "such as")?;
        for codec in &codecs {
            writeln!(out, "{:<28} {:<14} {}", codec.pattern, codec.examples[0], codec.keeps)?;
        }
        writeln!(out, "\nA plan is a codec, or rules such as `layer3.*=pool4,default=pool2`.")?;
        Ok(ExitCode::SUCCESS)
    }
}
