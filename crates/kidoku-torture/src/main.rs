//! `kidoku-torture NAME [--option value ...]`: one torture of the server built beside it. Prints
//! what it did and found; ends with 0 when every promise was kept.
#![expect(
    clippy::print_stdout,
    reason = "a developer command talks to the terminal"
)]

use kidoku_torture::options::Options;
use std::process::ExitCode;

/// One torture: its name, what it does, and how to run it.
struct Torture {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Options) -> Result<String, String>,
}

const TORTURES: &[Torture] = &[
    Torture {
        name: "kill",
        about: "kill -9 under load, again and again: --cycles --seed --lanes",
        run: kidoku_torture::kill::run,
    },
    Torture {
        name: "power",
        about: "power cuts: --rounds --control-rounds --seed --lanes",
        run: kidoku_torture::power::run,
    },
    Torture {
        name: "flood",
        about: "overload and hostile clients: --seconds --rounds --connections --part",
        run: kidoku_torture::flood::run,
    },
    Torture {
        name: "faults",
        about: "disks that fail, are full or turn read-only: --calls --rounds --seed",
        run: kidoku_torture::faults::run,
    },
    Torture {
        name: "restart",
        about: "how long a start takes: --states --seconds-max --tries",
        run: kidoku_torture::restart::run,
    },
    Torture {
        name: "rot",
        about: "flips single bits of every file of a data directory: --flips --seed --file",
        run: kidoku_torture::rot::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((torture, rest)) = args.split_first().and_then(|(name, rest)| {
        let found = TORTURES.iter().find(|torture| torture.name == name);
        found.map(|torture| (torture, rest))
    }) else {
        println!("usage: kidoku-torture NAME [--option value ...]\n");
        for torture in TORTURES {
            println!("  {:12} {}", torture.name, torture.about);
        }
        return ExitCode::FAILURE;
    };
    let outcome = Options::parse(rest).and_then(|mut options| {
        let summary = (torture.run)(&mut options)?;
        options.finish().map(|()| summary)
    });
    match outcome {
        Ok(summary) => {
            println!("{}: {summary}", torture.name);
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{}: FAILED: {why}", torture.name);
            ExitCode::FAILURE
        }
    }
}
