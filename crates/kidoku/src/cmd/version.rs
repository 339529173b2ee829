//! `kidoku version`.

use super::error::CmdError;
use super::out;

/// Print the version
#[derive(Debug, clap::Args)]
pub(super) struct Version {}

impl Version {
    #[expect(clippy::unused_self, reason = "every subcommand runs the same way")]
    pub(super) fn run(&self) -> Result<(), CmdError> {
        out::print(concat!("kidoku ", env!("CARGO_PKG_VERSION"), "\n"))
    }
}
