//! `kidoku completions SHELL`.

use super::error::CmdError;
use super::out;
use clap_complete::Shell;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, command: &mut clap::Command) -> Result<(), CmdError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "kidoku", &mut script);
        out::print(&String::from_utf8_lossy(&script))
    }
}
