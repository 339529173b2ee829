//! The figures.

use super::load::{self, Turn};
use super::server::{Server, kidoku_path};
use super::{PIPELINED_RUNS, REQUESTS, ROUNDS, Size};
use crate::program;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// One line of the table of commands: a server, a command, a depth, and the median of each figure.
pub(crate) struct Row {
    pub(crate) server: &'static str,
    pub(crate) command: &'static str,
    pub(crate) pipeline: u32,
    pub(crate) turn: Turn,
}

/// The import of a whole conversation.
pub(crate) struct Import {
    pub(crate) events: f64,
    pub(crate) seconds: f64,
    pub(crate) server_cpu_seconds: f64,
    pub(crate) messages: f64,
    pub(crate) message_bytes: f64,
}

/// Many read states in memory.
pub(crate) struct Memory {
    pub(crate) read_states: f64,
    pub(crate) gauge_bytes: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) messages: f64,
    pub(crate) message_bytes: f64,
}

/// Everything.
pub(crate) struct Figures {
    pub(crate) machine: String,
    pub(crate) load: String,
    pub(crate) load_after: String,
    pub(crate) import: Option<Import>,
    pub(crate) memory: Memory,
    pub(crate) rows: Vec<Row>,
    /// Microseconds of one sync of Kidoku's log, on average, while the rows were measured.
    pub(crate) sync_us: f64,
}

/// Measures everything, one thing after the other.
///
/// # Errors
/// What could not be started or asked.
pub(crate) fn all(size: Size) -> Result<Figures, String> {
    let load_before = load_average();
    let import = import(size)?;
    let memory = memory(size)?;
    let (rows, sync_us) = commands(size)?;
    Ok(Figures {
        machine: machine(),
        load: load_before,
        load_after: load_average(),
        import,
        memory,
        rows,
        sync_us,
    })
}

fn rounds(size: Size) -> usize {
    if size == Size::Full { ROUNDS } else { 1 }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The real conversation, where it is to be found.
fn conversation() -> PathBuf {
    crate::root().join("../shared/data/irc/ubuntu-irc.jsonl.gz")
}

fn import(size: Size) -> Result<Option<Import>, String> {
    let file = conversation();
    if !file.exists() {
        println!("no import measured: {} is missing", file.display());
        return Ok(None);
    }
    let lines = program::output("sh", &["-c", &format!("zcat '{}' | wc -l", file.display())]);
    let events: f64 = lines
        .and_then(|n| n.trim().parse().ok())
        .ok_or("zcat fails")?;
    let (mut seconds, mut cpu) = (Vec::new(), Vec::new());
    let (mut messages, mut message_bytes) = (0.0, 0.0);
    for round in 0..rounds(size) {
        let server = Server::kidoku()?;
        let (begun, before) = (Instant::now(), server.cpu_seconds());
        let status = Command::new(kidoku_path())
            .arg("import")
            .arg(&file)
            .arg("--data-dir")
            .arg(server.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(format!("kidoku import: {status}"));
        }
        seconds.push(begun.elapsed().as_secs_f64());
        cpu.push(server.cpu_seconds() - before);
        println!(
            "import {}: {:.2} s",
            round + 1,
            begun.elapsed().as_secs_f64()
        );
        messages = load::metric(&server, "kidoku_messages")?;
        message_bytes = load::metric(&server, "kidoku_channel_bytes")?;
    }
    let (seconds, server_cpu_seconds) = (median(seconds), median(cpu));
    Ok(Some(Import {
        events,
        seconds,
        server_cpu_seconds,
        messages,
        message_bytes,
    }))
}

/// Users in each of the channels, told a thousand at a time.
const USERS: usize = 10_000;
const CHANNELS: usize = 100;
const USERS_PER_COMMAND: usize = 1_000;

/// Messages of one channel. Ids as snowflakes have them: a message a second on average (2^22 steps
/// of an id are a millisecond), at irregular times, with anything in the low bits.
const MESSAGES: u64 = 1_000_000;
const MESSAGE_GAP: u64 = 1_000 << 22;

/// The id of the n-th message; mixed by a multiplication, the same in every run.
fn message_id(n: u64) -> u64 {
    n * MESSAGE_GAP + n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) % MESSAGE_GAP
}

fn memory(size: Size) -> Result<Memory, String> {
    let users = if size == Size::Full {
        USERS
    } else {
        USERS / 10
    };
    let server = Server::kidoku()?;
    let before = server.resident_bytes();
    let mut commands = Vec::new();
    for channel in 0..CHANNELS {
        for first in (0..users).step_by(USERS_PER_COMMAND) {
            let names: Vec<String> = (first..first + USERS_PER_COMMAND)
                .map(|user| format!("user:{user}"))
                .collect();
            commands.push(format!("KD.JOIN channel:{channel} {}", names.join(" ")));
        }
    }
    told(&server, &commands)?;
    let read_states = load::metric(&server, "kidoku_read_states")?;
    let gauge_bytes = load::metric(&server, "kidoku_user_bytes")?;
    let resident_bytes = server.resident_bytes() - before;
    println!("{read_states} read states: {gauge_bytes} bytes");

    let server = Server::kidoku()?;
    let count = if size == Size::Full {
        MESSAGES
    } else {
        MESSAGES / 10
    };
    let posts: Vec<String> = (1..=count)
        .map(|n| format!("KD.POST channel {}", message_id(n)))
        .collect();
    told(&server, &posts)?;
    let messages = load::metric(&server, "kidoku_messages")?;
    let message_bytes = load::metric(&server, "kidoku_channel_bytes")?;
    println!("{messages} messages: {message_bytes} bytes");
    Ok(Memory {
        read_states,
        gauge_bytes,
        resident_bytes,
        messages,
        message_bytes,
    })
}

fn told(server: &Server, commands: &[String]) -> Result<(), String> {
    match load::pipeline(server, commands)? {
        0 => Ok(()),
        errors => Err(format!("{errors} commands were refused")),
    }
}

/// What is sent to whom: a user's position in a channel, written by each in its own way. The
/// number of the run stands before the random digits, so that later ids are higher.
const ACK: &str = "KD.ACK user:__rand_int__ channel ";
const HSET: &str = "HSET user:__rand_int__ channel ";

fn commands(size: Size) -> Result<(Vec<Row>, f64), String> {
    let kidoku = Server::kidoku()?;
    let redis = Server::redis("redis (nothing on disk)", false)?;
    let synced = Server::redis("redis (appendfsync always)", true)?;
    let rivals = [(&kidoku, ACK), (&redis, HSET), (&synced, HSET)];
    let requests = if size == Size::Full {
        REQUESTS
    } else {
        REQUESTS / 10
    };
    // All users known before the first turn: what is measured is the steady state.
    let mut run_number = 1;
    for (server, command) in rivals {
        turn(
            server,
            command,
            requests,
            16,
            run_number..run_number + PIPELINED_RUNS,
        )?;
    }
    run_number += PIPELINED_RUNS;
    let mut rows = Vec::new();
    for (pipeline, runs) in [(1, 1), (16, PIPELINED_RUNS)] {
        let mut turns: [Vec<Turn>; 3] = Default::default();
        for round in 0..rounds(size) {
            println!("pipeline {pipeline}, round {}", round + 1);
            for ((server, command), turns) in rivals.iter().zip(&mut turns) {
                let numbers = run_number..run_number + runs;
                turns.push(turn(server, command, requests, pipeline, numbers)?);
            }
            run_number += runs;
        }
        for ((server, command), turns) in rivals.iter().zip(turns) {
            let command = command.split(' ').next().unwrap_or_default();
            rows.push(Row {
                server: server.name,
                command,
                pipeline,
                turn: middle(&turns),
            });
        }
    }
    let groups = load::metric(&kidoku, "kidoku_log_groups_total")?;
    let sync_us = load::metric(&kidoku, "kidoku_log_sync_seconds_total")? * 1e6 / groups.max(1.0);
    Ok((rows, sync_us))
}

/// One turn of a server: the mean of its runs.
fn turn(
    server: &Server,
    command: &str,
    requests: u32,
    pipeline: u32,
    numbers: std::ops::Range<u32>,
) -> Result<Turn, String> {
    let runs: Vec<Turn> = numbers
        .map(|n| {
            load::benchmark(
                server,
                &format!("{command}{n}__rand_int__"),
                requests,
                pipeline,
            )
        })
        .collect::<Result<_, _>>()?;
    let count = f64::from(u32::try_from(runs.len()).unwrap_or(u32::MAX));
    Ok(each(|figure| runs.iter().map(figure).sum::<f64>() / count))
}

/// The median of each figure.
fn middle(turns: &[Turn]) -> Turn {
    each(|figure| median(turns.iter().map(figure).collect()))
}

fn each(of: impl Fn(fn(&Turn) -> f64) -> f64) -> Turn {
    Turn {
        rate: of(|turn| turn.rate),
        cpu_us: of(|turn| turn.cpu_us),
        p50_ms: of(|turn| turn.p50_ms),
        p99_ms: of(|turn| turn.p99_ms),
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split(':').nth(1))
        .unwrap_or("unknown")
        .trim();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: f64 = memory
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0.0);
    let kernel = program::output("uname", &["-sr"]).unwrap_or_default();
    let redis = program::output("redis-server", &["--version"]).unwrap_or_default();
    let redis = redis
        .split(' ')
        .find(|word| word.starts_with("v="))
        .unwrap_or("?")
        .to_owned();
    let redis = redis.trim_start_matches("v=");
    let gib = kib / f64::from(1 << 20);
    format!("{model}, {cores} cores, {gib:.0} GiB, {kernel}, Redis {redis}")
}
