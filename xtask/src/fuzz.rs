//! Fuzzing: builds the targets of `fuzz/` with a nightly toolchain and runs them, a minute each as a
//! gate and longer on demand. What is found by the way stays under `target/fuzz`; what crashes
//! becomes a file of `fuzz/regressions`, which the plain tests replay from then on.

use crate::gates::{Outcome, Turn};
use crate::program::{self, command, output};
use crate::root;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long each target runs as a gate.
const GATE_SECONDS: u64 = 60;
/// Targets that run at once: as many as the machines of continuous integration have cores.
const WORKERS: usize = 2;
/// Memory of one target at most; they hold less than half of it.
const RSS_MB_MAX: u32 = 256;
/// Address space of one target at most, ten times what it takes. The longest input is 2 KiB, so an
/// allocation that does not fit was made for a length that was only declared.
const ADDRESS_SPACE_MB_MAX: u32 = 512;
/// How long one input may take.
const INPUT_SECONDS_MAX: u32 = 20;

/// A row of `fuzz/targets.txt`.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    input_bytes_max: u32,
}

/// What a run of a target says at its end.
#[derive(Debug, Default)]
struct Stats {
    runs: u64,
    runs_per_s: u64,
    coverage: u64,
    corpus: u64,
    rss_mb: u64,
}

fn fuzz_dir() -> PathBuf {
    root().join("fuzz")
}

fn work_dir() -> PathBuf {
    root().join("target/fuzz")
}

fn targets() -> Result<Vec<Target>, String> {
    let path = fuzz_dir().join("targets.txt");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let row = line.split_once(' ');
            let row = row.and_then(|(name, len)| Some((name, len.parse().ok()?)));
            let (name, input_bytes_max) = row.ok_or_else(|| format!("targets.txt: {line:?}"))?;
            Ok(Target {
                name: name.to_owned(),
                input_bytes_max,
            })
        })
        .collect()
}

/// What is missing to fuzz, if something is.
fn missing() -> Option<&'static str> {
    if output("rustup", &["run", "nightly", "rustc", "--version"]).is_none() {
        Some("a nightly toolchain (rustup toolchain install nightly --profile minimal)")
    } else if output("cargo-fuzz", &["--version"]).is_none() {
        Some("cargo-fuzz (cargo install cargo-fuzz --locked)")
    } else {
        None
    }
}

/// The gate: every target for a minute, with a seed of its own, so that each commit tries something
/// else.
///
/// # Errors
/// What crashed; in continuous integration also what is missing.
pub(crate) fn gate() -> Outcome {
    run_where_possible(GATE_SECONDS, 0)
}

/// One turn of a long run: the targets share its time.
///
/// # Errors
/// As [`gate`].
pub(crate) fn turn(turn: &Turn) -> Outcome {
    let rounds = targets()?.len().div_ceil(WORKERS);
    let seconds = turn.seconds / u64::try_from(rounds).unwrap_or(1).max(1);
    run_where_possible(seconds.max(GATE_SECONDS / 6), turn.seed)
}

fn run_where_possible(seconds: u64, seed: u64) -> Outcome {
    if let Some(what) = missing() {
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        if is_ci {
            return Err(format!("fuzz: needs {what}"));
        }
        let why = format!("SKIPPED fuzz: there is no {what}; cargo test replays the kept inputs");
        println!("{why}");
        return Ok(why);
    }
    run_all(&targets()?, seconds, seed)
}

/// `cargo xtask fuzz [TARGET] [--minutes N]`: N minutes in all, shared by the targets; and
/// `cargo xtask fuzz keep`: takes what was found into the corpus of the repository.
///
/// # Errors
/// Words that mean nothing, what is missing, what crashed.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let all = targets()?;
    if let Some(what) = missing() {
        return Err(format!("fuzz: needs {what}"));
    }
    if words == ["keep"] {
        build()?;
        return all.iter().try_for_each(keep);
    }
    let (names, minutes) = match words {
        [names @ .., "--minutes", minutes] => {
            let minutes = minutes.parse::<u64>();
            (names, minutes.map_err(|e| format!("--minutes: {e}"))?)
        }
        names => (names, 10),
    };
    let chosen = match names {
        [] => all,
        [name] => {
            let found = all.into_iter().find(|target| target.name == *name);
            vec![found.ok_or_else(|| format!("no fuzz target {name:?}, see fuzz/targets.txt"))?]
        }
        _ => return Err("usage: cargo xtask fuzz [TARGET] [--minutes N]".to_owned()),
    };
    let rounds = chosen.len().div_ceil(WORKERS);
    let seconds = minutes * 60 / u64::try_from(rounds).unwrap_or(1).max(1);
    run_all(&chosen, seconds.max(1), 0).map(drop)
}

/// Builds all targets, with the versions of the root's lock file.
fn build() -> Result<(), String> {
    let lock = fuzz_dir().join("Cargo.lock");
    let text = fs::read_to_string(root().join("Cargo.lock")).map_err(|e| e.to_string())?;
    fs::write(&lock, text).map_err(|e| format!("{}: {e}", lock.display()))?;
    let target_dir = work_dir();
    let words = [
        "run",
        "nightly",
        "cargo",
        "fuzz",
        "build",
        // All of it is safe Rust, so that a sanitizer of addresses would find nothing that the
        // compiler lets through, and with one the targets run seven times slower.
        "--sanitizer",
        "none",
        "--fuzz-dir",
        "fuzz",
        "--target-dir",
        &target_dir.to_string_lossy(),
    ];
    program::run("cargo fuzz build", &mut command("rustup", &words))
}

fn binary(target: &Target) -> Result<PathBuf, String> {
    let host = output("rustup", &["run", "nightly", "rustc", "-vV"]).unwrap_or_default();
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say what its host is")?;
    Ok(work_dir().join(host).join("release").join(&target.name))
}

/// Runs targets, each so long; a seed of 0 lets each draw its own.
fn run_all(targets: &[Target], seconds: u64, seed: u64) -> Outcome {
    build()?;
    println!(
        "==> fuzz: {} targets, {seconds} s each, {WORKERS} at a time",
        targets.len()
    );
    let begun = Instant::now();
    let waiting = Mutex::new(targets.iter());
    let broken = Mutex::new(Vec::new());
    let runs = AtomicU64::new(0);
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(target) = next() {
                    match fuzz(target, seconds, seed) {
                        Ok(count) => {
                            runs.fetch_add(count, Ordering::Relaxed);
                        }
                        Err(why) => broken.lock().map(|mut all| all.push(why)).unwrap_or(()),
                    }
                }
            });
        }
    });
    println!("    fuzz: {:.1} s", begun.elapsed().as_secs_f64());
    let broken = broken.into_inner().unwrap_or_default();
    if broken.is_empty() {
        let runs = runs.into_inner();
        Ok(format!("{} targets, {runs} runs, 0 crashes", targets.len()))
    } else {
        Err(broken.join("\n"))
    }
}

fn make_dir(dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Runs one target and prints one line about it.
fn fuzz(target: &Target, seconds: u64, seed: u64) -> Result<u64, String> {
    let name = &target.name;
    let found = work_dir().join("corpus").join(name);
    let artifacts = work_dir().join("artifacts").join(name);
    make_dir(&found)?;
    make_dir(&artifacts)?;
    let known = files(&artifacts);
    let limited = format!(
        "ulimit -v {}; exec \"$0\" \"$@\"",
        ADDRESS_SPACE_MB_MAX << 10
    );
    let mut fuzzer = command("sh", &["-c", &limited, &binary(target)?.to_string_lossy()]);
    fuzzer.arg(&found);
    for kept in ["corpus", "regressions"] {
        let dir = fuzz_dir().join(kept).join(name);
        if dir.is_dir() {
            fuzzer.arg(dir);
        }
    }
    if name.starts_with("resp_") {
        fuzzer.arg(format!("-dict={}", fuzz_dir().join("resp.dict").display()));
    }
    fuzzer.args([
        format!("-max_total_time={seconds}"),
        // Of 32 bits; 0 = one of its own.
        format!("-seed={}", seed % u64::from(u32::MAX)),
        format!("-max_len={}", target.input_bytes_max),
        format!("-rss_limit_mb={RSS_MB_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-artifact_prefix={}/", artifacts.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    let begun = Instant::now();
    let outcome = fuzzer
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("fuzz {name}: can not start: {e}"))?;
    let text = String::from_utf8_lossy(&outcome.stderr);
    let stats = stats(&text);
    println!(
        "    {name:<16} {:>10} runs {:>7}/s  coverage {:>5}  corpus {:>5}  {:>4} MiB  {:>4.0} s",
        stats.runs,
        stats.runs_per_s,
        stats.coverage,
        stats.corpus,
        stats.rss_mb,
        begun.elapsed().as_secs_f64()
    );
    let crashes: Vec<PathBuf> = files(&artifacts)
        .into_iter()
        .filter(|path| !known.contains(path))
        .collect();
    if outcome.status.success() && crashes.is_empty() {
        // A target that does not run would find nothing for ever.
        let patience = Duration::from_secs(2);
        return if stats.runs > 0 && begun.elapsed() + patience > Duration::from_secs(seconds) {
            Ok(stats.runs)
        } else {
            Err(format!(
                "fuzz {name}: ended early
{}",
                tail(&text)
            ))
        };
    }
    let mut lines = vec![format!("fuzz {name}: {}\n{}", outcome.status, tail(&text))];
    for crash in &crashes {
        lines.push(keep_crash(name, crash)?);
    }
    Err(lines.join("\n"))
}

/// Makes a crash a file that is replayed from now on, and says how.
fn keep_crash(name: &str, crash: &Path) -> Result<String, String> {
    let dir = fuzz_dir().join("regressions").join(name);
    make_dir(&dir)?;
    let kept = dir.join(crash.file_name().unwrap_or_default());
    fs::copy(crash, &kept).map_err(|e| format!("{}: {e}", kept.display()))?;
    Ok(format!(
        "kept as {}; reproduce: cargo test --package kidoku-fuzz --test replay {name}",
        kept.strip_prefix(root()).unwrap_or(&kept).display()
    ))
}

/// The end of what a fuzzer printed: the panic and the input.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.contains("panicked at") || line.contains("ERROR: "))
        .unwrap_or(lines.len().saturating_sub(20));
    lines[first..]
        .iter()
        .take(60)
        .map(|line| format!("      {line}\n"))
        .collect()
}

/// Reads the numbers out of libFuzzer's text.
fn stats(text: &str) -> Stats {
    let mut stats = Stats::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|have| *have == word)?;
            words.get(at + 1)?.split('/').next()?.parse::<u64>().ok()
        };
        stats.coverage = after("cov:").unwrap_or(stats.coverage);
        stats.corpus = after("corp:").unwrap_or(stats.corpus);
        stats.runs = after("stat::number_of_executed_units:").unwrap_or(stats.runs);
        stats.runs_per_s = after("stat::average_exec_per_sec:").unwrap_or(stats.runs_per_s);
        stats.rss_mb = after("stat::peak_rss_mb:").unwrap_or(stats.rss_mb);
    }
    stats
}

/// Replaces a target's corpus by the fewest inputs that reach what it and the found ones reach.
fn keep(target: &Target) -> Result<(), String> {
    let name = &target.name;
    let fresh = work_dir().join("minimal").join(name);
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|e| format!("{}: {e}", fresh.display()))?;
    }
    make_dir(&fresh)?;
    let corpus = fuzz_dir().join("corpus").join(name);
    let found = work_dir().join("corpus").join(name);
    make_dir(&found)?;
    let mut merge = command(&binary(target)?.to_string_lossy(), &["-merge=1"]);
    merge.arg(format!("-max_len={}", target.input_bytes_max));
    merge.args([&fresh, &corpus, &found]).stderr(Stdio::null());
    program::run(&format!("minimise {name}"), &mut merge)?;
    fs::remove_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    make_dir(&corpus)?;
    for file in files(&fresh) {
        let kept = corpus.join(file.file_name().unwrap_or_default());
        fs::copy(&file, &kept).map_err(|e| format!("{}: {e}", kept.display()))?;
    }
    println!("    {name}: {} inputs", files(&corpus).len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{stats, targets};

    #[test]
    fn the_numbers_of_a_run_are_read_from_its_text() {
        let text = "#2 INITED cov: 10 ft: 20 corp: 3/9b exec/s: 0 rss: 40Mb\n\
                    #9 DONE   cov: 12 ft: 24 corp: 5/99b lim: 4 exec/s: 7 rss: 41Mb\n\
                    stat::number_of_executed_units: 9000\n\
                    stat::average_exec_per_sec:     700\n\
                    stat::peak_rss_mb:              41\n";
        let stats = stats(text);
        assert_eq!((stats.coverage, stats.corpus), (12, 5));
        assert_eq!(
            (stats.runs, stats.runs_per_s, stats.rss_mb),
            (9_000, 700, 41)
        );
    }

    #[test]
    fn all_targets_of_a_minute_each_fit_their_share_of_continuous_integration() {
        let targets = targets().unwrap();
        assert!(!targets.is_empty() && targets.len() <= 12);
        assert!(targets.iter().all(|target| target.input_bytes_max <= 2_048));
    }
}
