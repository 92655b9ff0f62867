//! An error as the program ends with it.

use std::process::ExitCode;

use packlight::study;
use serde::Serialize;

use crate::command::INTERRUPTED;
use crate::output::Output;

/// The exit code for an error.
const ERROR: u8 = 1;
/// The exit code for an invalid command line.
const INVALID_COMMAND_LINE: u8 = 2;

/// Why the program ends without a result.
#[derive(Serialize)]
pub(crate) struct Failure {
    /// What is wrong and what to do, in one line.
    pub(crate) message: String,
    /// What lies behind it, from the outermost to the innermost cause.
    causes: Vec<String>,
    exit_code: u8,
}

/// The document that `--json` prints in place of a result.
#[derive(Serialize)]
struct Document<'a> {
    error: &'a Failure,
}

impl Failure {
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let exit_code = match error.downcast_ref() {
            Some(study::Error::Interrupted) => INTERRUPTED,
            _ => ERROR,
        };
        let causes = error.chain().skip(1).map(ToString::to_string).collect();
        Self { message: told_once(error), causes, exit_code }
    }

    /// A command line that is not valid.
    pub(crate) fn of_usage(error: &clap::Error) -> Self {
        let text = error.render().to_string(); // the error, then how the command is used
        let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
        let line = lines.collect::<Vec<_>>().join(" ");
        let message = line.strip_prefix("error: ").unwrap_or(&line).to_owned();
        Self { message, causes: Vec::new(), exit_code: INVALID_COMMAND_LINE }
    }

    /// Prints it on standard output if the command line asks for JSON, so that a script that reads one
    /// document there always finds one. Returns the exit code.
    pub(crate) fn tell(&self, out: &mut Output) -> ExitCode {
        if std::env::args_os().any(|argument| argument == "--json") {
            // A failure to write is the error itself, or that of the last resort.
            let _ = out.json(&Document { error: self }).and_then(|()| out.finish());
        }
        ExitCode::from(self.exit_code)
    }
}

/// An error with its causes, without repetitions.
fn told_once(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        already if already.contains(&cause) => told,
        already if cause.starts_with(already) => cause,
        _ => format!("{told}: {cause}"),
    })
}
