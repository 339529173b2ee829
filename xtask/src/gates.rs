//! The gates: what has to hold on every commit and takes a driver of its own. Each is one row
//! here; `cargo xtask test` runs them in a short form, `cargo xtask torture` in a long one.

use crate::program::{self, command};
use crate::root;
use std::path::PathBuf;

/// A gate: a name to select it by, and how to run it.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    run: fn() -> Result<(), String>,
}

/// All gates, in the order they run.
pub(crate) const GATES: &[Gate] = &[Gate {
    name: "kill",
    run: || torture(&["kill"]),
}];

impl Gate {
    /// Runs it in the form continuous integration uses.
    ///
    /// # Errors
    /// What did not hold.
    pub(crate) fn run(&self) -> Result<(), String> {
        (self.run)()
    }
}

/// Builds the server and its driver as the gates run them.
///
/// # Errors
/// They do not build.
pub(crate) fn build() -> Result<(), String> {
    program::cargo(&[
        "build",
        "--locked",
        "--profile",
        "gate",
        "--package",
        "kidoku",
        "--package",
        "kidoku-torture",
        "--bins",
    ])
}

/// A program of the gate profile.
pub(crate) fn gate_path(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    target.join("gate").join(name)
}

/// Runs one torture with options.
///
/// # Errors
/// What it says did not hold.
pub(crate) fn torture(words: &[&str]) -> Result<(), String> {
    let program = gate_path("kidoku-torture");
    program::run(
        &format!("torture {}", words.join(" ")),
        &mut command(&program.to_string_lossy(), words),
    )
}

/// Runs the gates whose names are given, all when none is.
///
/// # Errors
/// A name that is none, or the gates that did not hold.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| GATES.iter().all(|gate| gate.name != **name))
    {
        let known: Vec<&str> = GATES.iter().map(|gate| gate.name).collect();
        return Err(format!(
            "no gate {unknown:?}; there are: {}",
            known.join(", ")
        ));
    }
    build()?;
    let mut broken = Vec::new();
    for gate in GATES
        .iter()
        .filter(|gate| names.is_empty() || names.contains(&gate.name))
    {
        if let Err(why) = gate.run() {
            println!("    {why}");
            broken.push(gate.name);
        }
    }
    if broken.is_empty() {
        Ok(())
    } else {
        Err(format!("gates that did not hold: {}", broken.join(", ")))
    }
}
