//! `kidoku-sim`: runs worlds by the thousand, and says which seed failed and why.
#![expect(
    clippy::print_stdout,
    reason = "a developer command talks to the terminal"
)]

use kidoku_sim::campaign::{Campaign, Report, shrunk};
use kidoku_sim::kept::Kept;
use kidoku_sim::world::{Event, Plan, run_noted};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

const USAGE: &str = "\
usage: kidoku-sim run [--seed N | --seeds N [--first N] | --minutes M [--first N]] [--seconds S]
                      [--threads N]

  --seed N      one seed, with everything that happens in it; when it fails, shrunk
  --seeds N     that many seeds, from --first (0) on
  --minutes M   as many seeds as there is time for

       kidoku-sim teeth [FAULT ...]     (feature `planted`) puts known faults in; the shrunk histories that
                                        find the named ones, such as store-FlushedUnlogged, are kept
";

/// The options, all of them numbers.
struct Options(Vec<(String, u64)>);

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Vec::new();
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{pair:?} has no value"));
            };
            let known = [
                "--seed",
                "--seeds",
                "--first",
                "--minutes",
                "--seconds",
                "--threads",
            ];
            let value = value
                .parse()
                .map_err(|_| format!("{name} takes a number"))?;
            if !known.contains(&name.as_str()) {
                return Err(format!("no option {name:?}"));
            }
            options.push((name.clone(), value));
        }
        Ok(Self(options))
    }

    fn get(&self, name: &str) -> Option<u64> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.split_first() {
        Some((verb, rest)) if verb == "run" => Options::parse(rest).and_then(|it| simulate(&it)),
        #[cfg(feature = "planted")]
        Some((verb, rest)) if verb == "teeth" => teeth(rest),
        Some(_) | None => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn simulate(options: &Options) -> Result<(), String> {
    if let Some(seed) = options.get("--seed") {
        return one(seed);
    }
    let time = options
        .get("--minutes")
        .map(|minutes| minutes * 60)
        .or(options.get("--seconds"));
    let count = match (options.get("--seeds"), time) {
        (Some(count), _) => count,
        (None, Some(_)) => u64::MAX / 2,
        (None, None) => 1_000,
    };
    let cores = available_parallelism().map_or(1, usize::from);
    let threads = options
        .get("--threads")
        .and_then(|n| usize::try_from(n).ok());
    let campaign = Campaign {
        first: options.get("--first").unwrap_or(0),
        count,
        time: time.map(Duration::from_secs),
        threads: threads.unwrap_or(cores).max(1),
        until_failure: false,
    };
    let report = campaign.run(|| (), tell);
    println!("{}", report.totals);
    for failed in report.failed.iter().take(20) {
        let (seed, failure) = (failed.seed, &failed.failure);
        println!("seed {seed}, event {}: {}", failure.event, failure.text);
    }
    if let Some(first) = report.failed.first() {
        explain(first.seed);
    }
    let totals = &report.totals;
    let (ends, failed) = (
        totals.power_cuts + totals.kills + totals.stops,
        report.failed.len(),
    );
    let line = format!(
        "sim: {} seeds, {} acknowledged, {ends} ends of a process, {failed} seeds failed",
        report.seeds, totals.acks
    );
    if failed > 0 {
        return Err(line);
    }
    println!("{line}");
    Ok(())
}

fn tell(report: &Report, after: Duration) {
    println!(
        "    {} seeds after {} s, {} failed",
        report.seeds,
        after.as_secs(),
        report.failed.len()
    );
}

fn one(seed: u64) -> Result<(), String> {
    let plan = Plan::new(seed);
    let (outcome, notes) = run_noted(&plan, &plan.events(), true);
    print!("{notes}");
    println!("{}\ntrace {:016x}", outcome.totals, outcome.trace);
    if let Some(failure) = outcome.failure {
        explain(seed);
        return Err(format!("sim: seed {seed} failed: {}", failure.text));
    }
    println!("sim: seed {seed} holds");
    Ok(())
}

/// Puts known faults in, and says by which seed each is found.
#[cfg(feature = "planted")]
fn teeth(kept: &[String]) -> Result<(), String> {
    use kidoku_sim::teeth::{SEEDS_MAX, all, find, select};
    // What a fault makes the driven code panic with is in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let threads = available_parallelism().map_or(1, usize::from);
    if let Some(failed) = find(None, threads) {
        let (seed, text) = (failed.seed, failed.failure.text);
        return Err(format!(
            "teeth: no fault is in, and seed {seed} fails: {text}"
        ));
    }
    let bugs = all();
    let mut missed = Vec::new();
    for bug in &bugs {
        match find(Some(*bug), threads) {
            Some(failed) => {
                let name = format!("{bug:?}").replace(' ', "-");
                if kept.contains(&name) {
                    select(Some(*bug));
                    let plan = Plan::new(failed.seed);
                    keep(&plan, &shrunk(&plan), &name);
                    select(None);
                }
                let text = failed.failure.text.lines().next().unwrap_or_default();
                let text: String = text.chars().take(110).collect();
                println!("{:28} seed {:3}  {text}", format!("{bug:?}"), failed.seed);
            }
            None => {
                println!("{:28} NOT FOUND", format!("{bug:?}"));
                missed.push(format!("{bug:?}"));
            }
        }
    }
    let count = bugs.len();
    if missed.is_empty() {
        println!("teeth: {count} planted faults, each found within {SEEDS_MAX} seeds");
        return Ok(());
    }
    Err(format!(
        "teeth: of {count} planted faults not found: {}",
        missed.join(", ")
    ))
}

/// What is left of a seed when everything is left out that its failure does not need.
fn explain(seed: u64) {
    let plan = Plan::new(seed);
    let events = shrunk(&plan);
    println!("\nseed {seed}, shrunk:\n{plan:?}");
    for event in &events {
        println!("  {event:?}");
    }
    keep(&plan, &events, &format!("seed-{seed}"));
}

/// Writes what is left of a failure to a file, which a test runs for ever once it is committed.
fn keep(plan: &Plan, events: &[Event], name: &str) {
    let (outcome, _) = run_noted(plan, events, false);
    let Some(failure) = outcome.failure else {
        return;
    };
    println!("{}\n", failure.text);
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("failures");
    let path = dir.join(format!("{name}.txt"));
    match std::fs::write(&path, Kept::new(plan, events).text(&failure)) {
        Ok(()) => println!("kept in {}", path.display()),
        Err(why) => println!("{}: {why}", path.display()),
    }
}
