//! Restart: how long from the start of the process until it answers right, with many read states.

use crate::options::Options;
use crate::server::{Server, TempDir, cpu_seconds, serve_command};
use crate::web::Web;
use crate::wire::{Client, Value};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Users that join with one command.
const USERS_PER_COMMAND: u64 = 1_000;

/// Commands sent at a time.
const WINDOW: usize = 32;

/// Channels a user is in.
const CHANNELS_PER_USER: u64 = 10;

/// How long a start may take at all.
const PATIENCE: Duration = Duration::from_secs(600);

/// Between two looks at whether the server is ready.
const STEP: Duration = Duration::from_millis(2);

/// One start.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// Until the first right answer.
    wall_s: f64,
    /// Seconds of processor that took: on a machine that does much else, the better measure.
    cpu_s: f64,
}

/// Runs it: `--states` read states, at most `--seconds-max` for a start (0 = only measure), so many
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
        "{} read states: ready {:.2} s ({:.2} s of processor) after kill -9 with {} MiB of log, {:.2} s \
         ({:.2} s) after a clean stop with {} MiB of tables and {} KiB of guards",
        users * CHANNELS_PER_USER,
        killed.wall_s,
        killed.cpu_s,
        log_bytes >> 20,
        stopped.wall_s,
        stopped.cpu_s,
        store_bytes >> 20,
        guard_bytes >> 10,
    );
    let too_long = |start: Start| seconds_max > 0.0 && start.wall_s.min(start.cpu_s) > seconds_max;
    if too_long(killed) || too_long(stopped) {
        return Err(format!("{text}; at most {seconds_max} s"));
    }
    Ok(text)
}

/// The best of several starts on the same directory. Each is killed at once, long before a
/// checkpoint, so it takes no work from the next one.
fn best(dir: &Path, users: u64, tries: u32) -> Result<Start, String> {
    let mut best: Option<Start> = None;
    for _ in 0..tries.max(1) {
        let start = start(dir, users)?;
        let better = best.is_none_or(|best| start.wall_s < best.wall_s);
        if better {
            best = Some(start);
        }
    }
    best.ok_or_else(|| "no start".to_owned())
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
    let answered = wait(&addresses, &mut child, begun, users);
    let measured = Start {
        wall_s: begun.elapsed().as_secs_f64(),
        cpu_s: cpu_seconds(child.id()),
    };
    drop(child.kill());
    drop(child.wait());
    answered.map(|()| measured)
}

/// Until the last user's number is answered, and right.
fn wait(addresses: &Path, child: &mut Child, begun: Instant, users: u64) -> Result<(), String> {
    let resp = loop {
        let text = fs::read_to_string(addresses).unwrap_or_default();
        if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text)
            && let Some(resp) = json["resp"].as_str()
        {
            break resp.parse().map_err(|error| format!("{resp}: {error}"))?;
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the server ended with {status}"));
        }
        if begun.elapsed() > PATIENCE {
            return Err("the server is not ready".to_owned());
        }
        sleep(STEP);
    };
    let mut client = Client::connect(resp);
    client.command(&["HELLO", "3"]);
    for user in [0, users - 1] {
        let answer = client.say(&format!("KD.COUNT u{user} c0"));
        let unread = match &answer {
            Value::Array(items) => items.first().map(|item| item.get("unread").number()),
            _ => None,
        };
        if unread != Some(1) {
            return Err(format!(
                "u{user} has one unread message, the answer is {answer:?}"
            ));
        }
    }
    Ok(())
}

fn fill(server: &Server, users: u64) -> Result<(), String> {
    let mut client = server.client();
    let mut commands = Vec::new();
    for channel in 0..CHANNELS_PER_USER {
        for first in (0..users).step_by(usize::try_from(USERS_PER_COMMAND).unwrap_or(1)) {
            let mut words = vec!["KD.JOIN".to_owned(), format!("c{channel}")];
            let last = (first + USERS_PER_COMMAND).min(users);
            words.extend((first..last).map(|user| format!("u{user}")));
            commands.push(words);
            if commands.len() >= WINDOW {
                send(&mut client, &mut commands)?;
            }
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
