//! `packlight codecs`.

use std::process::ExitCode;

use clap::Args;
use packlight::codec::Scope;
use packlight::codec::registry::entries;
use packlight::spec::LayerKind;
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
    /// The kinds of layers that it covers by default.
    scope: Vec<&'static str>,
    /// Of these, only the ones up to this level of auxiliary sign activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    keeps: &'static str,
    /// A line about each placeholder of the pattern.
    parameters: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let codecs = entries()
            .into_iter()
            .map(|entry| {
                let codec = packlight::codec::parse(entry.examples[0])?;
                let (kinds, level) = match codec.scope() {
                    Scope::Kinds(kinds) => (kinds, None),
                    Scope::Auxiliary(level) => (&[LayerKind::Linear][..], Some(level)),
                };
                Ok(Codec {
                    pattern: entry.pattern(),
                    examples: entry.examples,
                    scope: kinds.iter().map(|kind| kind.name()).collect(),
                    level,
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
