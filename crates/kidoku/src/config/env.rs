//! The only place that reads the environment.

#![expect(
    clippy::disallowed_methods,
    reason = "the one module that may read the environment"
)]

use std::path::PathBuf;

/// All variables that are valid UTF-8, sorted by name so that errors are the same every time.
/// Others can not be ours: no setting has such a name, and a path setting takes text.
pub fn all() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    all.sort();
    all
}

/// The configuration file, when no flag names one: `KIDOKU_CONFIG`.
pub fn config_file() -> Option<PathBuf> {
    text("KIDOKU_CONFIG").map(PathBuf::from)
}

/// Where client commands find the server: `KIDOKU_URL`.
pub fn url() -> Option<String> {
    text("KIDOKU_URL")
}

/// The key of client commands: `KIDOKU_KEY`.
pub fn key() -> Option<String> {
    text("KIDOKU_KEY")
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
