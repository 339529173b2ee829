//! The binary: reads the command line, runs one subcommand, answers with an exit code.

use std::process::ExitCode;

/// Many small allocations come from one core and go on another; mimalloc hands them back without a
/// lock that all cores share.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kidoku::cmd::run(std::env::args_os())
}
