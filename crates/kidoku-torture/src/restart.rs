//! Restart: how long from the start of the process until it answers right, with many read states.

use crate::options::Options;
use crate::server::{Server, TempDir, cpu_seconds, serve_command};
use crate::web::Web;
use crate::wire::{Client, Value};
use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Users that join with one command.
const USERS_PER_COMMAND: u64 = 1_000;

/// Commands sent at a time.
const WINDOW: usize = 32;

/// Users after whom a long fill says how far it is.
const USERS_BETWEEN_REPORTS: u64 = 1_000_000;

/// Channels a user is in.
const CHANNELS_PER_USER: u64 = 10;

/// How long a start may take at all.
const PATIENCE: Duration = Duration::from_secs(600);

/// How much longer it may take until all is merged than until the first right answer. Nobody waits for it:
/// whoever comes is answered with what the log has of their own.
const MERGE_FACTOR: f64 = 2.0;

/// Between two looks at whether the server is ready.
const STEP: Duration = Duration::from_millis(2);

/// One start.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    /// Until the first right answer.
    first: Taken,
    /// Until everything is merged.
    all: Taken,
    /// `/readyz` was ready, and told of the replay.
    told: bool,
}

/// How long something took since the start of the process.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    wall_s: f64,
    /// Seconds of processor: on a machine that does much else, the better measure.
    cpu_s: f64,
}

impl Taken {
    fn now(begun: Instant, pid: u32) -> Self {
        Self {
            wall_s: begun.elapsed().as_secs_f64(),
            cpu_s: cpu_seconds(pid),
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s ({:.2} s of processor)", self.wall_s, self.cpu_s)
    }
}

/// Runs it: `--states` read states, at most `--seconds-max` until a start is ready (0 = only measure), so many
/// `--tries`, of which the best counts.
///
/// # Errors
/// A start that takes too long, or a wrong number after it.
pub fn run(options: &mut Options) -> Result<String, String> {
    let states: u64 = options.take("states", 1_000_000)?;
    let seconds_max: f64 = options.take("seconds-max", 1.0)?;
    let tries: u32 = options.take("tries", 3)?;
    let home = TempDir::new();
    let dir = home.file("data");
    fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let users = (states / CHANNELS_PER_USER).max(1);

    // By `kill -9`, the youngest part in the log alone.
    let mut server = Server::on(&dir, &["--dev"]);
    fill(&server, users).map_err(|why| {
        let ready = Web::new(server.admin_address()).get("/readyz").body;
        format!("{why}; /readyz: {ready}")
    })?;
    server.kill();
    let killed = best(&dir, users, tries)?;
    let log_bytes = bytes_of(&dir.join("log"));
    // A clean stop moves everything into the store.
    let mut server = Server::on(&dir, &["--dev"]);
    if !server.stop().success() {
        return Err("the server did not stop well".to_owned());
    }
    let stopped = best(&dir, users, tries)?;
    let store_bytes = bytes_of(&dir.join("store/keyspaces"));
    let guard_bytes = bytes_of(&dir.join("store.guards"));
    let text = format!(
        "{} read states: ready {} after kill -9, for everybody {}, with {} MiB of log; {} after a \
         clean stop with {} MiB of tables and {} KiB of guards",
        users * CHANNELS_PER_USER,
        killed.first,
        killed.all,
        log_bytes >> 20,
        stopped.all,
        store_bytes >> 20,
        guard_bytes >> 10,
    );
    let too_long = |taken: Taken| seconds_max > 0.0 && taken.wall_s.min(taken.cpu_s) > seconds_max;
    if !killed.told {
        return Err(format!("{text}; /readyz did not tell of the replay"));
    }
    let merged = Taken {
        wall_s: killed.all.wall_s / MERGE_FACTOR,
        cpu_s: killed.all.cpu_s / MERGE_FACTOR,
    };
    if too_long(killed.first) || too_long(merged) || too_long(stopped.all) {
        return Err(format!(
            "{text}; at most {seconds_max} s, and {MERGE_FACTOR} times that for everybody"
        ));
    }
    Ok(text)
}

/// The best of several starts on the same directory. Each is killed at once, long before a
/// checkpoint, so it takes no work from the next one.
fn best(dir: &Path, users: u64, tries: u32) -> Result<Start, String> {
    let mut best: Option<Start> = None;
    let mut told = false;
    for _ in 0..tries.max(1) {
        let start = start(dir, users)?;
        told |= start.told;
        let better = best.is_none_or(|best| start.all.wall_s < best.all.wall_s);
        if better {
            best = Some(start);
        }
    }
    let best = best.ok_or_else(|| "no start".to_owned())?;
    Ok(Start { told, ..best })
}

fn start(dir: &Path, users: u64) -> Result<Start, String> {
    let addresses = dir.join("addresses.json");
    drop(fs::remove_file(&addresses));
    let out = File::create(dir.join("serve.out")).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let mut child = serve_command(dir, &["--dev", "--checkpoint-interval-ms", "3600000"])
        .stdout(Stdio::null())
        .stderr(out)
        .spawn()
        .map_err(|error| error.to_string())?;
    let measured = wait(&addresses, &mut child, begun, users);
    drop(child.kill());
    drop(child.wait());
    measured
}

/// Until everybody's number is answered, and right.
fn wait(addresses: &Path, child: &mut Child, begun: Instant, users: u64) -> Result<Start, String> {
    let json = loop {
        let text = fs::read_to_string(addresses).unwrap_or_default();
        if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) {
            break json;
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the server ended with {status}"));
        }
        if begun.elapsed() > PATIENCE {
            return Err("the server is not ready".to_owned());
        }
        sleep(STEP);
    };
    let address = |name: &str| -> Result<SocketAddr, String> {
        let text = json[name].as_str().unwrap_or_default();
        text.parse().map_err(|error| format!("{name}: {error}"))
    };
    let mut client = Client::connect(address("resp")?);
    client.command(&["HELLO", "3"]);
    // The first has been in the store for long, if anybody is.
    ask(&mut client, 0)?;
    let first = Taken::now(begun, child.id());
    let web = Web::new(address("admin")?);
    let mut told = false;
    loop {
        let ready = web.get("/readyz");
        if ready.status != 200 {
            return Err(format!("/readyz after an answer: {}", ready.body));
        }
        if !ready.body.contains("serving while the log is replayed") {
            break;
        }
        told = true;
        sleep(STEP);
    }
    ask(&mut client, users - 1)?;
    let all = Taken::now(begun, child.id());
    Ok(Start { first, all, told })
}

fn ask(client: &mut Client, user: u64) -> Result<(), String> {
    let answer = client.say(&format!("KD.COUNT u{user} c0"));
    let unread = match &answer {
        Value::Array(items) => items.first().map(|item| item.get("unread").number()),
        _ => None,
    };
    if unread == Some(1) {
        return Ok(());
    }
    Err(format!(
        "u{user} has one unread message, the answer is {answer:?}"
    ))
}

#[expect(
    clippy::print_stdout,
    reason = "a developer command talks to the terminal"
)]
fn fill(server: &Server, users: u64) -> Result<(), String> {
    let mut client = server.client();
    let mut commands = Vec::new();
    let (mut told, begun) = (0, Instant::now());
    for first in (0..users).step_by(usize::try_from(USERS_PER_COMMAND).unwrap_or(1)) {
        let last = (first + USERS_PER_COMMAND).min(users);
        for channel in 0..CHANNELS_PER_USER {
            let mut words = vec!["KD.JOIN".to_owned(), format!("c{channel}")];
            words.extend((first..last).map(|user| format!("u{user}")));
            commands.push(words);
            if commands.len() >= WINDOW {
                send(&mut client, &mut commands)?;
            }
        }
        if last - told >= USERS_BETWEEN_REPORTS {
            told = last;
            let states = last * CHANNELS_PER_USER;
            println!(
                "    {states} read states in {:.0} s",
                begun.elapsed().as_secs_f64()
            );
        }
    }
    commands.push(["KD.POST", "c0", "1"].map(str::to_owned).to_vec());
    send(&mut client, &mut commands)
}

fn send(client: &mut Client, commands: &mut Vec<Vec<String>>) -> Result<(), String> {
    for reply in client.pipeline(commands) {
        if let Value::Error(text) = reply {
            return Err(text);
        }
    }
    commands.clear();
    Ok(())
}

fn bytes_of(dir: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        bytes += if path.is_dir() {
            bytes_of(&path)
        } else {
            entry.metadata().map_or(0, |metadata| metadata.len())
        };
    }
    bytes
}
