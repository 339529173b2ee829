//! The long run: every gate in turn with fresh seeds, until the time is over. A failure is noted and
//! the run goes on. What happened is kept as a list of turns; the totals are counted from that list,
//! so that several runs into one file add up.

use crate::gates::{self, Gate, Turn};
use crate::root;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest turn of one gate: long enough to get far, short enough that all have theirs.
const TURN_SECONDS_MAX: u64 = 120;

/// A turn shorter than this would only start and stop the server.
const TURN_SECONDS_MIN: u64 = 10;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Plan<'a> {
    minutes: u64,
    report: PathBuf,
    names: Vec<&'a str>,
}

/// A turn that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Done {
    /// Seconds since 1970.
    at: u64,
    gate: String,
    seed: u64,
    seconds: u64,
    failed: bool,
    /// What the gate said.
    said: String,
}

/// Rotates the gates for as long as is asked.
///
/// # Errors
/// An option that is none, a report that can not be written, or how many turns failed.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let plan = plan(options)?;
    let chosen = gates::named(&plan.names)?;
    let mut turns = match fs::read_to_string(&plan.report) {
        Ok(text) => read(&text)?,
        Err(_) => Vec::new(),
    };
    let before = turns.len();
    gates::build()?;
    let total = Duration::from_secs(plan.minutes * 60);
    let begun = Instant::now();
    while let Some(gate) = next(&chosen, &turns) {
        let left = total.saturating_sub(begun.elapsed()).as_secs();
        if left < TURN_SECONDS_MIN {
            break;
        }
        let share = total.as_secs() / u64::try_from(chosen.len()).unwrap_or(1);
        let seconds = share.clamp(TURN_SECONDS_MIN, TURN_SECONDS_MAX).min(left);
        turns.push(take(gate, seconds));
        write(&plan.report, &turns)?;
    }
    let new = turns.get(before..).unwrap_or_default();
    println!("\n{}", table(&turns));
    for turn in new.iter().filter(|turn| turn.failed) {
        println!("failed: {}", line(turn));
    }
    println!("the turns and their seeds: {}", plan.report.display());
    let failed = new.iter().filter(|turn| turn.failed).count();
    println!("{} passed, {failed} failed", new.len() - failed);
    if failed == 0 {
        Ok(())
    } else {
        Err(format!("{failed} of {} turns", new.len()))
    }
}

fn plan<'a>(options: &[&'a str]) -> Result<Plan<'a>, String> {
    let mut minutes = None;
    let mut report = root().join("target/torture.md");
    let mut names = Vec::new();
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match *word {
            "--minutes" => {
                let text = value()?;
                let number = text.parse().map_err(|_| format!("not minutes: {text:?}"))?;
                minutes = Some(number);
            }
            "--report" => report = PathBuf::from(value()?),
            option if option.starts_with("--") => return Err(format!("no option {option}")),
            name => names.push(name),
        }
    }
    Ok(Plan {
        minutes: minutes.ok_or("how long? --minutes N")?,
        report,
        names,
    })
}

/// The gate that has had the least time so far, in this run and those before it: so none is left out
/// for ever by runs that are too short for all.
fn next(chosen: &[&'static Gate], turns: &[Done]) -> Option<&'static Gate> {
    let spent = |gate: &&&Gate| -> u64 {
        let own = turns.iter().filter(|turn| turn.gate == gate.name);
        // A turn that took no time is one all the same.
        own.map(|turn| turn.seconds + 1).sum()
    };
    chosen.iter().min_by_key(spent).copied()
}

fn take(gate: &Gate, seconds: u64) -> Done {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    // Nanoseconds, so that no two turns share a seed; below 2^63, so that every reader takes it.
    let seed = u64::try_from(now.as_nanos() % (1 << 63)).unwrap_or_default();
    let turn = Turn { seed, seconds };
    println!(
        "\n--> {} with seed {}, about {} s",
        gate.name, turn.seed, turn.seconds
    );
    let begun = Instant::now();
    let outcome = gate.turn(&turn);
    let failed = outcome.is_err();
    let said = outcome.unwrap_or_else(|why| {
        println!("    {why}");
        why
    });
    Done {
        at: now.as_secs(),
        gate: gate.name.to_owned(),
        seed,
        seconds: begun.elapsed().as_secs(),
        failed,
        // One line for one turn, whatever was said.
        said: said.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// The line of a turn, as [`read`] takes it.
fn line(turn: &Done) -> String {
    let Done {
        at,
        gate,
        seed,
        seconds,
        failed,
        said,
    } = turn;
    let word = if *failed { "FAILED" } else { "held" };
    format!("- {at} {gate} seed {seed} took {seconds} s {word}: {said}")
}

fn read_line(line: &str) -> Option<Done> {
    let (head, said) = line.strip_prefix("- ")?.split_once(": ")?;
    let words: Vec<&str> = head.split(' ').collect();
    let [at, gate, "seed", seed, "took", seconds, "s", word] = words.as_slice() else {
        return None;
    };
    Some(Done {
        at: at.parse().ok()?,
        gate: (*gate).to_owned(),
        seed: seed.parse().ok()?,
        seconds: seconds.parse().ok()?,
        failed: *word == "FAILED",
        said: said.to_owned(),
    })
}

/// The turns of a report.
fn read(report: &str) -> Result<Vec<Done>, String> {
    let lines = report.lines().filter(|line| line.starts_with("- "));
    let turn =
        |line| read_line(line).ok_or(format!("the report has a line of another form: {line}"));
    lines.map(turn).collect()
}

/// Words behind a number that measures: sums of those say nothing.
const UNITS: [&str; 8] = ["ms", "s", "us", "%", "MiB", "KiB", "B", "x"];

/// The numbers that a gate said, by what they count.
fn counts(said: &str) -> impl Iterator<Item = (&str, u64)> {
    // "seed 7: 50 cycles, ..." begins with what is in the turn's line already.
    let said = match said.split_once(": ") {
        Some((head, rest)) if head.starts_with("seed ") => rest,
        Some(_) | None => said,
    };
    said.split([',', ';']).filter_map(|piece| {
        let (number, what) = piece.trim().split_once(' ')?;
        let unit = what.split(' ').next().unwrap_or_default();
        (!UNITS.contains(&unit)).then_some((what, number.parse().ok()?))
    })
}

fn table(turns: &[Done]) -> String {
    let mut gates: BTreeMap<&str, Vec<&Done>> = BTreeMap::new();
    for turn in turns {
        gates.entry(&turn.gate).or_default().push(turn);
    }
    let mut text =
        "| gate | turns | failed | seconds | in all |\n|---|---|---|---|---|\n".to_owned();
    for (gate, turns) in gates {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (what, number) in turns
            .iter()
            .filter(|t| !t.failed)
            .flat_map(|t| counts(&t.said))
        {
            *sums.entry(what).or_default() += number;
        }
        let sums: Vec<String> = sums
            .iter()
            .map(|(what, sum)| format!("{sum} {what}"))
            .collect();
        let failed = turns.iter().filter(|turn| turn.failed).count();
        let seconds: u64 = turns.iter().map(|turn| turn.seconds).sum();
        // Writing into a string can not fail.
        let _written = writeln!(
            text,
            "| {gate} | {} | {failed} | {seconds} | {} |",
            turns.len(),
            sums.join(", ")
        );
    }
    text
}

fn write(path: &Path, turns: &[Done]) -> Result<(), String> {
    let lines: Vec<String> = turns.iter().map(line).collect();
    let text = format!(
        "# Torture\n\nMade by `cargo xtask torture`, which adds to the turns below and counts the \
         table from them.\n\n{}\n## Turns\n\n{}\n",
        table(turns),
        lines.join("\n")
    );
    let aside = path.with_extension("new");
    // Renamed into place, so that a run that is stopped leaves the list of before or of after.
    fs::write(&aside, text)
        .and_then(|()| fs::rename(&aside, path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(gate: &str, failed: bool, said: &str) -> Done {
        Done {
            at: 1_700_000_000,
            gate: gate.to_owned(),
            seed: 42,
            seconds: 90,
            failed,
            said: said.to_owned(),
        }
    }

    #[test]
    fn a_report_that_is_read_again_has_the_same_turns() {
        let turns = vec![
            turn("kill", false, "50 cycles, 9000 acks, 0 lost"),
            turn("kill", true, "exit status: 1: kill: FAILED: lost 3: ada"),
        ];
        let dir = std::env::temp_dir().join(format!("kidoku-torture-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("report.md");
        write(&path, &turns).unwrap();
        assert_eq!(read(&fs::read_to_string(&path).unwrap()), Ok(turns));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_gate_that_had_the_least_time_is_next() {
        let chosen = gates::named(&["kill", "supply"]).unwrap();
        let name = |turns: &[Done]| next(&chosen, turns).unwrap().name;
        assert_eq!(name(&[]), "kill");
        assert_eq!(name(&[turn("kill", false, "")]), "supply");
        let turns = ["kill", "supply", "supply"].map(|gate| turn(gate, false, ""));
        assert_eq!(name(&turns), "kill");
    }

    #[test]
    fn a_report_of_another_form_is_not_overwritten() {
        assert!(read("- something else").is_err());
    }

    #[test]
    fn numbers_that_gates_say_are_added_up_by_what_they_count() {
        let turns = [
            turn("kill", false, "50 cycles, 9000 acks, 0 lost, p99 3 ms"),
            turn(
                "kill",
                false,
                "seed 9: 10 cycles, 1000 acks, 0 lost; 12 ms median",
            ),
            turn("kill", true, "7 cycles"),
        ];
        assert!(
            table(&turns).contains("| kill | 3 | 1 | 270 | 10000 acks, 60 cycles, 0 lost |"),
            "{}",
            table(&turns)
        );
    }

    #[test]
    fn what_is_asked_is_read_and_slips_are_named() {
        let good = plan(&["--minutes", "5", "--report", "r.md", "kill"]).unwrap();
        assert_eq!((good.minutes, good.names), (5, vec!["kill"]));
        for bad in [
            &["--minutes"][..],
            &["--minutes", "x"],
            &["--hours", "1"],
            &[],
        ] {
            assert!(plan(bad).is_err(), "{bad:?}");
        }
    }
}
