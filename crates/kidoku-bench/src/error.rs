//! Why a bench ends without figures, sorted by what can be done about it.

use std::fmt;

/// Why there are no figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BenchError {
    /// It was asked for something that there is not, or that it refuses.
    Usage(String),
    /// A program that is missing, or a server that does not start or answer.
    Unavailable(String),
    /// A server answered wrong, or the run went wrong: there is no figure to be had.
    Failed(String),
    /// A file that can not be read or written.
    Io(String),
    /// It was stopped from outside; what it had started is gone.
    Stopped,
}

impl BenchError {
    /// A file that can not be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Io(format!("{}: {error}", path.display()))
    }

    /// The same error with the name of whom it befell in front.
    #[must_use]
    pub(crate) fn of(self, who: &str) -> Self {
        match self {
            Self::Usage(text) => Self::Usage(format!("{who}: {text}")),
            Self::Unavailable(text) => Self::Unavailable(format!("{who}: {text}")),
            Self::Failed(text) => Self::Failed(format!("{who}: {text}")),
            Self::Io(text) => Self::Io(format!("{who}: {text}")),
            Self::Stopped => Self::Stopped,
        }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usage(text) | Self::Unavailable(text) | Self::Failed(text) | Self::Io(text) => {
                text
            }
            Self::Stopped => "stopped",
        })
    }
}

impl std::error::Error for BenchError {}
