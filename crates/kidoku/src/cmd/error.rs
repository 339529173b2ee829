//! Why a subcommand ends without success: a text for people and an exit code for scripts. The codes
//! are those of `sysexits.h`.

use crate::auth::{DeviceKeysError, KeysError};
use crate::config::ConfigError;
use crate::server::TlsFault;

/// A check found differences; nothing is wrong with the command.
pub(super) const DIFFERENT: u8 = 1;
/// Wrong usage or configuration.
pub(super) const USAGE: u8 = 64;
/// Bad input.
pub(super) const DATA: u8 = 65;
/// No server, or a port that can not be bound.
pub(super) const UNAVAILABLE: u8 = 69;
/// A fault of the program.
pub(super) const INTERNAL: u8 = 70;
/// A file or the storage fails.
pub(super) const IO: u8 = 74;
/// Stopped by a signal before it was done.
pub(super) const STOPPED: u8 = 130;
/// The key does not allow it.
pub(super) const NOT_ALLOWED: u8 = 77;

/// How a subcommand fails.
#[derive(Debug)]
pub(super) struct CmdError {
    /// What the process ends with.
    pub(super) exit_code: u8,
    /// What is shown; empty = all was said already.
    pub(super) text: String,
}

impl CmdError {
    pub(super) fn new(exit_code: u8, text: impl Into<String>) -> Self {
        Self {
            exit_code,
            text: text.into(),
        }
    }

    /// Ends with a code after everything was said.
    pub(super) fn silent(exit_code: u8) -> Self {
        Self::new(exit_code, "")
    }

    /// A file that can not be read or written.
    pub(super) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(IO, format!("{}: {error}", path.display()))
    }
}

impl From<ConfigError> for CmdError {
    fn from(error: ConfigError) -> Self {
        Self::new(USAGE, error.to_string())
    }
}

impl From<DeviceKeysError> for CmdError {
    fn from(error: DeviceKeysError) -> Self {
        let exit_code = match &error {
            DeviceKeysError::Io { .. } => IO,
            DeviceKeysError::Bad { .. } | DeviceKeysError::NoKey { .. } => USAGE,
        };
        Self::new(exit_code, error.to_string())
    }
}

impl From<TlsFault> for CmdError {
    fn from(fault: TlsFault) -> Self {
        let exit_code = if fault.is_io() { IO } else { USAGE };
        Self::new(exit_code, fault.to_string())
    }
}

impl From<KeysError> for CmdError {
    fn from(error: KeysError) -> Self {
        Self::new(IO, error.to_string())
    }
}
