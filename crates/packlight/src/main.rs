//! The command line.

mod batch_file;
mod command;
mod failure;
mod machine;
mod model_options;
mod output;
mod pages;
mod progress_bar;
mod signals;
mod tables;
mod time_left;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use packlight::autograd::allocator::{self, Counting};

use crate::failure::Failure;
use crate::output::{Output, say};

/// Counts allocated bytes, to compare with those that the ledger predicts. It wraps mimalloc,
/// because glibc returns large blocks to the system at once and pays for their pages again at each
/// step.
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
  packlight codecs                       # list everything that a plan can name

Exit codes:
  0    success, also if the reader of standard output has closed its pipe
  1    an error, printed on standard error; with --json also on standard output, as one document
       {\"error\": {\"message\": ..., \"causes\": [...], \"exit_code\": 1}}
  2    an invalid command line
  3    the study finished, but some of its runs failed
  130  interrupted by Ctrl-C, SIGTERM or SIGHUP; run the same command again to resume";

#[derive(Subcommand)]
enum Command {
    Run(command::run::Arguments),
    Sensitivity(command::sensitivity::Arguments),
    Report(command::report::Arguments),
    Allocate(command::allocate::Arguments),
    Eval(command::eval::Arguments),
    Grads(command::grads::Arguments),
    Plan(command::plan::Arguments),
    Plans(command::plans::Arguments),
    Codecs(command::codecs::Arguments),
}

fn main() -> ExitCode {
    pages::keep();
    allocator::on_release(pages::give_back);
    let mut out = Output::standard();
    let done = match Cli::try_parse() {
        Ok(cli) => cli.command.run(&mut out),
        Err(unparsed) => print_usage(&unparsed, &mut out),
    };
    let written = out.finish();
    done.and_then(|code| written.map(|()| code)).unwrap_or_else(|error| {
        let failure = Failure::of(&error);
        say(format_args!("packlight: {}", failure.message));
        failure.tell(&mut out)
    })
}

impl Command {
    fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        match self {
            Command::Run(arguments) => arguments.run(out),
            Command::Sensitivity(arguments) => arguments.run(out),
            Command::Report(arguments) => arguments.run(out),
            Command::Allocate(arguments) => arguments.run(out),
            Command::Eval(arguments) => arguments.run(out),
            Command::Grads(arguments) => arguments.run(out),
            Command::Plan(arguments) => arguments.run(out),
            Command::Plans(arguments) => arguments.run(out),
            Command::Codecs(arguments) => arguments.run(out),
        }
    }
}

/// Prints what is wrong with a command line, or the help or version that it asks for.
fn print_usage(unparsed: &clap::Error, out: &mut Output) -> anyhow::Result<ExitCode> {
    let said = unparsed.print();
    if unparsed.use_stderr() {
        return Ok(Failure::of_usage(unparsed).tell(out));
    }
    out.checked(said)?;
    Ok(ExitCode::SUCCESS)
}
