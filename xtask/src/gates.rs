//! The gates: what has to hold on every commit and takes a driver of its own. Each is one row
//! here; `cargo xtask test` runs them in a short form, `cargo xtask torture` in a long one.

use crate::fuzz;
use crate::program::{self, command};
use crate::{conformance, root, sim, supply};
use std::path::PathBuf;
use std::process::Command;

/// What a gate did, in one line: `50 cycles, 12345 acks, 0 lost`. The pieces between commas that begin
/// with a whole number are added up over the turns of a long run. Or: what did not hold.
pub(crate) type Outcome = Result<String, String>;

/// A gate: a name to select it by, and how to run it.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    /// As continuous integration runs it: always the same.
    run: fn() -> Outcome,
    /// As a long run repeats it: with a fresh seed, for about as long as it is told.
    long: fn(&Turn) -> Outcome,
}

/// One turn of a gate in a long run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
}

/// All gates, in the order they run.
pub(crate) const GATES: &[Gate] = &[
    Gate {
        name: "sim",
        run: sim::gate,
        long: sim::turn,
    },
    Gate {
        name: "teeth",
        run: sim::teeth,
        // The seeds are part of the promise.
        long: |_| sim::teeth(),
    },
    Gate {
        name: "kill",
        run: || torture(&["kill"]),
        // A cycle takes about a second.
        long: |turn| {
            torture(&[
                "kill",
                "--seed",
                &text(turn.seed),
                "--cycles",
                &text(turn.seconds),
            ])
        },
    },
    Gate {
        name: "power",
        run: || torture(&["power"]),
        // A cut takes about two seconds.
        long: |turn| {
            torture(&[
                "power",
                "--seed",
                &text(turn.seed),
                "--rounds",
                &text((turn.seconds / 2).max(1)),
            ])
        },
    },
    Gate {
        name: "faults",
        run: || torture(&["faults"]),
        // The lasting faults are most of it, and take about a minute.
        long: |turn| {
            torture(&[
                "faults",
                "--seed",
                &text(turn.seed),
                "--rounds",
                &text((turn.seconds / 60).max(1)),
            ])
        },
    },
    Gate {
        name: "restart",
        run: || torture(&["restart"]),
        // Nothing in it depends on a seed.
        long: |_| torture(&["restart"]),
    },
    Gate {
        name: "rot",
        run: || torture(&["rot"]),
        // Four or five flips a second.
        long: |turn| {
            torture(&[
                "rot",
                "--seed",
                &text(turn.seed),
                "--flips",
                &text(turn.seconds * 4),
            ])
        },
    },
    Gate {
        name: "openapi",
        run: conformance::openapi,
        long: conformance::openapi_turn,
    },
    Gate {
        name: "http2",
        run: conformance::http2,
        long: conformance::http2_turn,
    },
    Gate {
        name: "websocket",
        run: conformance::websocket,
        long: conformance::websocket_turn,
    },
    Gate {
        name: "flood",
        run: || torture(&["flood"]),
        // A turn of the standard length takes about three minutes; longer ones have longer rounds.
        long: |turn| {
            let seconds = (turn.seconds / 40).clamp(2, 30);
            torture(&["flood", "--seconds", &text(seconds)])
        },
    },
    Gate {
        name: "tls",
        run: conformance::tls,
        // Nothing in it depends on a seed.
        long: |_| conformance::tls(),
    },
    Gate {
        name: "fuzz",
        run: fuzz::gate,
        long: fuzz::turn,
    },
    Gate {
        name: "supply",
        run: supply::gate,
        // Nothing in it depends on a seed.
        long: |_| supply::gate(),
    },
];

/// A number as an option has it.
fn text(number: u64) -> String {
    number.to_string()
}

impl Gate {
    /// Runs it in the form continuous integration uses.
    ///
    /// # Errors
    /// What did not hold.
    pub(crate) fn run(&self) -> Outcome {
        (self.run)()
    }

    /// Runs one turn of its long form.
    ///
    /// # Errors
    /// What did not hold.
    pub(crate) fn turn(&self, turn: &Turn) -> Outcome {
        (self.long)(turn)
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

/// Runs one torture with options; the outcome is the last line that it prints, without its name.
///
/// # Errors
/// What it says did not hold.
pub(crate) fn torture(words: &[&str]) -> Outcome {
    let program = gate_path("kidoku-torture");
    last_line(
        &format!("torture {}", words.join(" ")),
        &mut command(&program.to_string_lossy(), words),
    )
}

/// Runs a program that tells its outcome in its last line, `name: outcome`.
///
/// # Errors
/// That line, when the program fails.
pub(crate) fn last_line(title: &str, command: &mut Command) -> Outcome {
    let mut last = String::new();
    let ended = program::run_lines(title, command, |line| {
        if !line.trim().is_empty() {
            line.clone_into(&mut last);
        }
    });
    match ended {
        Ok(()) => Ok(last
            .split_once(": ")
            .map_or(last.clone(), |(_, said)| said.to_owned())),
        Err(why) => Err(format!("{why}: {last}")),
    }
}

/// The gates whose names are given, all when none is.
///
/// # Errors
/// A name that is none.
pub(crate) fn named(names: &[&str]) -> Result<Vec<&'static Gate>, String> {
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
    let wanted = |gate: &&Gate| names.is_empty() || names.contains(&gate.name);
    Ok(GATES.iter().filter(wanted).collect())
}

/// Runs the gates whose names are given, all when none is.
///
/// # Errors
/// A name that is none, or the gates that did not hold.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    let chosen = named(names)?;
    build()?;
    let mut broken = Vec::new();
    for gate in chosen {
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
