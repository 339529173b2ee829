//! Bit rot: flips one bit of one file of a data directory at a time and starts the server on it.
//!
//! It always opens; every answer is that of the sound directory or an error; what was rotten is
//! told in `/readyz`, `INFO` and the metrics. A file of keys is the one exception: there the server
//! may refuse to start, and says which file it is.

mod content;
mod flips;

use crate::options::Options;
use crate::server::{Server, TempDir, said};
use crate::web::Web;
use crate::wire::{Client, Value};
use content::Content;
use flips::Flip;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Runs of the server at the same time.
const AT_ONCE: usize = 2;

/// How long the slow look at all files may take to find the rot that nothing else met.
const LOOK_TIME: Duration = Duration::from_secs(30);

/// What the damage of a file may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Log and store: nothing may be lost, and it is told.
    Data,
    /// Read by nobody: nothing happens.
    Scratch,
    /// Keys and secrets: the server starts, or says which file it can not read.
    Secret,
}

fn kind(file: &str) -> Kind {
    if file.ends_with(".jnl") || file.ends_with("/lock") {
        return Kind::Scratch;
    }
    match file.split('/').next().unwrap_or_default() {
        "log" | "store" | "store.guards" => Kind::Data,
        "keys.json" | "root.key" | "device.key" => Kind::Secret,
        _ => Kind::Scratch,
    }
}

/// What one flip did.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// Answers compared.
    answers: usize,
    /// Answers that were errors.
    errors: usize,
    repaired: u64,
    lost: u64,
    /// The server refused to start and said why.
    refused: bool,
}

/// Runs it.
///
/// # Errors
/// The first broken promise.
pub fn run(options: &mut Options) -> Result<String, String> {
    let seed: u64 = options.take("seed", 1)?;
    let count: usize = options.take("flips", 200)?;
    let only: String = options.take("file", String::new())?;
    let begun = Instant::now();
    let home = TempDir::new();
    let sound = home.file("sound");
    fs::create_dir_all(&sound).map_err(|error| error.to_string())?;
    let content = Content::make(&sound)?;
    let expected = expected(&sound, &content)?;
    let files = flips::files(&sound)?;
    let flips: Vec<Flip> = flips::choose(&sound, &files, count, seed)?
        .into_iter()
        .filter(|flip| flip.file.contains(&only))
        .collect();
    let outcomes = run_all(&sound, &content, &expected, &flips)?;
    Ok(summary(&flips, &outcomes, files.len(), begun.elapsed()))
}

fn summary(flips: &[Flip], outcomes: &[Outcome], files: usize, took: Duration) -> String {
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let told = outcomes
        .iter()
        .filter(|outcome| outcome.repaired + outcome.lost > 0);
    format!(
        "{} flips, {files} files, {} answers, {} errors, 0 wrong; {} flips told, {} of them with \
         a loss; {} times keys were refused; {:.0} s",
        flips.len(),
        sum(|outcome| outcome.answers),
        sum(|outcome| outcome.errors),
        told.count(),
        sum(|outcome| usize::from(outcome.lost > 0)),
        sum(|outcome| usize::from(outcome.refused)),
        took.as_secs_f64()
    )
}

/// The answers of the sound directory; asked twice, so that what changes from start to start would
/// be seen.
fn expected(sound: &Path, content: &Content) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for _ in 0..2 {
        let home = TempDir::new();
        let dir = home.file("data");
        copy(sound, &dir)?;
        let server = Server::on(&dir, &[]);
        all.push(content.ask(&server)?);
        let (repaired, lost) = told(&server);
        if repaired + lost > 0 {
            return Err(format!(
                "the sound directory is said to be rotten: {}",
                said(&dir)
            ));
        }
    }
    let second = all.pop();
    let first = all.pop().unwrap_or_default();
    let second = second.unwrap_or_default();
    if let Some((one, two)) = first.iter().zip(&second).find(|(one, two)| one != two) {
        return Err(format!(
            "the sound directory answers differently at the second start: {one:?} and {two:?}"
        ));
    }
    if let Some(error) = first.iter().find(|value| matches!(value, Value::Error(_))) {
        return Err(format!("the sound directory answers an error: {error:?}"));
    }
    Ok(first)
}

fn run_all(
    sound: &Path,
    content: &Content,
    expected: &[Value],
    flips: &[Flip],
) -> Result<Vec<Outcome>, String> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(flip) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run_one(sound, content, expected, flip) {
                        Ok(outcome) => outcomes.lock().unwrap().push(outcome),
                        Err(why) => failed.lock().unwrap().push(format!("{flip}: {why}")),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    if failed.is_empty() {
        Ok(outcomes.into_inner().unwrap())
    } else {
        Err(format!("{} flips:\n{}", failed.len(), failed.join("\n")))
    }
}

fn run_one(
    sound: &Path,
    content: &Content,
    expected: &[Value],
    flip: &Flip,
) -> Result<Outcome, String> {
    let home = TempDir::new();
    let dir = home.file("data");
    copy(sound, &dir)?;
    flip_bit(&dir, flip)?;
    let kind = kind(&flip.file);
    let server = match Server::start(&dir, &[], &[]) {
        Ok(server) => server,
        Err(text) if kind == Kind::Secret && text.contains(&flip.file) => {
            return Ok(Outcome {
                refused: true,
                ..Outcome::default()
            });
        }
        Err(text) => return Err(format!("it does not open: {text}")),
    };
    if kind == Kind::Secret && !content.may_log_in(&server) {
        return Ok(Outcome::default());
    }
    let answers = content.ask(&server)?;
    let mut outcome = Outcome {
        answers: answers.len(),
        ..Outcome::default()
    };
    for (answer, expected) in answers.iter().zip(expected) {
        if matches!(answer, Value::Error(_)) {
            outcome.errors += 1;
        } else if answer != expected {
            return Err(format!("a wrong answer: {answer:?}, it is {expected:?}"));
        }
    }
    let begun = Instant::now();
    loop {
        (outcome.repaired, outcome.lost) = told(&server);
        if kind != Kind::Data || outcome.repaired + outcome.lost > 0 {
            break;
        }
        if begun.elapsed() > LOOK_TIME {
            return Err("the rot is not told".to_owned());
        }
        sleep(Duration::from_millis(100));
    }
    if outcome.errors > 0 && outcome.lost == 0 {
        return Err(format!("{} errors, and no loss is told", outcome.errors));
    }
    if outcome.lost > 1 || outcome.errors > content.questions_of_one() {
        return Err(format!("more than the record hit is lost: {outcome:?}"));
    }
    check_told(&server, outcome)?;
    Ok(outcome)
}

/// Pieces repaired and lost, as the metrics have them.
fn told(server: &Server) -> (u64, u64) {
    let answer = Web::new(server.admin_address()).get("/metrics");
    let text = answer.body;
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0)
    };
    (
        value("kidoku_rot_repaired_total"),
        value("kidoku_rot_lost_total"),
    )
}

/// What the metrics say is in `/readyz` and `INFO` too.
fn check_told(server: &Server, outcome: Outcome) -> Result<(), String> {
    if outcome.repaired + outcome.lost == 0 {
        return Ok(());
    }
    let ready = Web::new(server.admin_address()).get("/readyz").ok();
    let warnings = ready["warnings"].as_array().map_or(0, Vec::len);
    if ready["ready"] != true || warnings == 0 {
        return Err(format!("/readyz does not warn: {ready}"));
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let status = Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .args([from, to])
        .status()
        .map_err(|error| format!("cp: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cp: {status}"))
    }
}

/// Flips the bit and keeps the times of the file, as rot does.
fn flip_bit(dir: &Path, flip: &Flip) -> Result<(), String> {
    let change = || {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(dir.join(&flip.file))?;
        let modified = file.metadata()?.modified()?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, flip.offset)?;
        byte[0] ^= 1 << flip.bit;
        file.write_all_at(&byte, flip.offset)?;
        file.set_modified(modified)
    };
    change().map_err(|error: std::io::Error| format!("{flip}: {error}"))
}

/// Logs in with a key.
fn login(server: &Server, key: &str) -> Result<Client, String> {
    let mut client = Client::connect(server.resp_address());
    match client.command(&["HELLO", "3", "AUTH", "default", key]) {
        Value::Error(text) => Err(text),
        _ => Ok(client),
    }
}
