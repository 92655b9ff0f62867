//! The command line.

mod batch_file;
mod command;
mod model_options;
mod progress_bar;
mod time_left;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use packlight::autograd::allocator::Counting;

/// Counts what is allocated, so that the bytes that a ledger predicts stand beside the bytes that
/// were really taken. mimalloc, because glibc hands large blocks back to the system at once and
/// pays for their pages again at each step.
#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

#[derive(Parser)]
#[command(version, about, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  packlight run reports/quickstart       # train every plan of the study with every seed
  packlight report reports/quickstart    # write reports/quickstart/index.html from the records
  packlight run reports/methods          # several studies, one after another
  packlight codecs                       # what a plan can say

Exit codes:
  0    all went well
  1    an error, said on standard error
  2    the command line could not be understood
  3    the study ran to its end, but some of its runs failed
  130  interrupted; the same command goes on";

#[derive(Subcommand)]
enum Command {
    Run(command::run::Arguments),
    Report(command::report::Arguments),
    Eval(command::eval::Arguments),
    Grads(command::grads::Arguments),
    Plans(command::plans::Arguments),
    Codecs(command::codecs::Arguments),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(arguments) => arguments.run(),
        Command::Report(arguments) => arguments.run(),
        Command::Eval(arguments) => arguments.run(),
        Command::Grads(arguments) => arguments.run(),
        Command::Plans(arguments) => arguments.run(),
        Command::Codecs(arguments) => arguments.run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("packlight: {}", told_once(&error));
        match error.downcast_ref() {
            Some(packlight::study::Error::Interrupted) => ExitCode::from(command::INTERRUPTED),
            _ => ExitCode::FAILURE,
        }
    })
}

/// An error with its causes, leaving out what is said twice.
fn told_once(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        already if already.contains(&cause) => told,
        already if cause.starts_with(already) => cause,
        _ => format!("{told}: {cause}"),
    })
}
