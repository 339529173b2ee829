//! Subcommands, one file each. They talk to people: plain text on standard output, complaints on
//! standard error, an exit code at the end.

mod args;
mod bench;
mod check;
mod client;
mod completions;
mod config;
mod error;
mod explain;
mod export;
mod import;
mod key;
mod out;
mod serve;
mod token;
mod version;

#[cfg(test)]
pub(crate) mod scratch;
#[cfg(test)]
mod tests;

use clap::{CommandFactory, Parser, Subcommand};
use error::{CmdError, USAGE};
use std::ffi::OsString;
use std::process::ExitCode;

/// Kidoku serves read state: exact unread counts, mention badges and receipts.
#[derive(Debug, Parser)]
#[command(name = "kidoku", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 a check found differences, 64 wrong usage or \
                          configuration, 65 bad input, 69 no server or port, 70 internal, 74 \
                          storage or files, 77 not allowed, 130 stopped by a signal.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Import(import::Import),
    Export(export::Export),
    Check(check::Check),
    Explain(explain::Explain),
    Bench(bench::Bench),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Config(config::Config),
    Completions(completions::Completions),
    Version(version::Version),
}

/// Runs the command line and says with which code the process should end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match dispatch(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.text.is_empty() {
                out::complain(&format!("kidoku: {}", error.text));
            }
            ExitCode::from(error.exit_code)
        }
    }
}

fn dispatch(command: &Command) -> Result<(), CmdError> {
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Import(import) => import.run(),
        Command::Export(export) => export.run(),
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Bench(bench) => bench.run(),
        Command::Key(key) => key.run(),
        Command::Token(token) => token.run(),
        Command::Config(config) => config.run(),
        Command::Completions(completions) => completions.run(&mut Cli::command()),
        Command::Version(version) => version.run(),
    }
}

/// Help and version are asked for and end well; everything else is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        out::complain(error.render().to_string().trim_end());
        return ExitCode::from(USAGE);
    }
    // Nothing can be said when the terminal is gone.
    let _printed = error.print();
    ExitCode::SUCCESS
}
