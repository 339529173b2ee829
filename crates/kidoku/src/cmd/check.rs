//! `kidoku check`: recounts by brute force, or compares with numbers that are known from elsewhere.

use super::args::Server;
use super::client::{Client, Failure, segment};
use super::error::{CmdError, DATA, DIFFERENT, INTERNAL};
use super::out;
use super::serve::start_error;
use crate::config::Config;
use crate::server;
use crate::server::repair::Damage;
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Recount every number from the facts and compare it with the index
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Compare with this file instead: tab separated, columns channel, user, unread, mentions; may
    /// be gzipped
    #[arg(long, value_name = "FILE.tsv")]
    expected: Option<PathBuf>,
    /// Look for damaged rows in the store of a stopped server; changes nothing but what a start would
    #[arg(long, conflicts_with = "expected")]
    repair: bool,
    /// Accept what --repair lists as lost: from then on numbers are made of what is left
    #[arg(long, requires = "repair")]
    apply: bool,
    #[command(flatten)]
    server: Server,
}

/// Differences shown; all are counted.
const SHOWN_MAX: usize = 100;
/// Connections that ask at the same time.
const CONNECTIONS: usize = 4;

/// One row of a file of expected numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) channel: String,
    pub(super) user: String,
    pub(super) numbers: Numbers,
}

/// The numbers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Numbers {
    pub(super) unread: u64,
    pub(super) mentions: u64,
}

#[derive(Debug, Deserialize)]
struct Report {
    users: u64,
    channels: u64,
    read_states: u64,
    messages: u64,
    mismatch_count: u64,
    unsettled: u64,
    damaged: Vec<DamagedOwner>,
    damaged_count: u64,
    damaged_states: u64,
    mismatches: Vec<Mismatch>,
}

#[derive(Debug, Deserialize)]
struct DamagedOwner {
    kind: String,
    name: String,
    row: String,
}

#[derive(Debug, Deserialize)]
struct Mismatch {
    user: String,
    channel: String,
    expected: Numbers,
    answered: Numbers,
}

/// A row whose numbers differ.
struct Difference {
    row: usize,
    answered: Numbers,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        if self.repair {
            let damage = if self.apply {
                Damage::Accept
            } else {
                Damage::List
            };
            return repair(&self.server.settings()?, damage);
        }
        let client = self.server.client()?;
        match &self.expected {
            Some(path) => compare(&client, &rows(path)?),
            None => recount(&client),
        }
    }
}

/// Lists what is damaged, or accepts it as lost.
fn repair(config: &Config, damage: Damage) -> Result<(), CmdError> {
    let found = server::repair::repair(config, damage).map_err(|error| start_error(&error))?;
    for note in &found.notes {
        out::complain(&format!("ROT: {note}"));
    }
    let rows = &found.rows;
    let mut text = format!(
        "{} rows looked at: {} damaged, {} stretches of which rows may be missing, {} facts of the \
         log lost\n",
        out::grouped(rows.rows),
        out::grouped(rows.damaged),
        out::grouped(rows.stretches),
        out::grouped(rows.facts_lost)
    );
    for line in &rows.listed {
        text.push_str(&format!("  {line}\n"));
    }
    if let Some(path) = &found.kept {
        text.push_str(&format!(
            "they are kept as they were in {}\n",
            path.display()
        ));
    }
    let is_damaged = rows.is_damaged();
    match damage {
        Damage::Accept if is_damaged => text.push_str("accepted as lost\n"),
        Damage::Accept if !rows.accepted.is_empty() => {
            text.push_str("what was accepted as lost earlier is not told any more\n");
        }
        Damage::List if is_damaged => text
            .push_str("nothing was changed: restore a copy, or accept this as lost with --apply\n"),
        Damage::Accept | Damage::List => {}
    }
    if damage == Damage::List {
        for line in &rows.accepted {
            text.push_str(&format!("  accepted as lost earlier: {line}\n"));
        }
    }
    out::print(&text)?;
    if is_damaged && damage == Damage::List {
        Err(CmdError::silent(DIFFERENT))
    } else {
        Ok(())
    }
}

fn recount(client: &Client) -> Result<(), CmdError> {
    let report: Report = client.post_json("/v1/check", "application/json", b"")?;
    let mut text = format!(
        "{} read states of {} users in {} channels with {} messages: ",
        out::grouped(report.read_states),
        out::grouped(report.users),
        out::grouped(report.channels),
        out::grouped(report.messages),
    );
    match report.mismatch_count {
        0 if report.damaged_count > 0 => text.push_str("every number that can be made is right\n"),
        0 => text.push_str("every number is right\n"),
        count => text.push_str(&format!("{} WRONG\n", out::grouped(count))),
    }
    if report.unsettled > 0 {
        let count = out::grouped(report.unsettled);
        text.push_str(&format!(
            "{count} changed while they were looked at and were not judged\n"
        ));
    }
    text.push_str(&damaged(&report));
    for found in &report.mismatches {
        text.push_str(&difference(
            &found.channel,
            &found.user,
            found.expected,
            found.answered,
        ));
    }
    out::print(&text)?;
    if report.mismatch_count + report.damaged_count > 0 {
        Err(CmdError::silent(DIFFERENT))
    } else {
        Ok(())
    }
}

/// What could not be read, and what to do.
fn damaged(report: &Report) -> String {
    if report.damaged_count == 0 {
        return String::new();
    }
    let mut text = format!(
        "DAMAGED: {} can not be read, and {} read states of others that need them were not \
         compared; 'kidoku check --repair' on the stopped server says what is lost:\n",
        out::grouped(report.damaged_count),
        out::grouped(report.damaged_states),
    );
    for DamagedOwner { kind, name, row } in &report.damaged {
        text.push_str(&format!("  {kind} {name}: {row}\n"));
    }
    text
}

fn difference(channel: &str, user: &str, expected: Numbers, answered: Numbers) -> String {
    format!(
        "{channel}\t{user}\texpected unread {} mentions {}\tanswered unread {} mentions {}\n",
        expected.unread, expected.mentions, answered.unread, answered.mentions
    )
}

fn compare(client: &Client, rows: &[Row]) -> Result<(), CmdError> {
    let next = AtomicUsize::new(0);
    let next = &next;
    let found = thread::scope(|scope| {
        let mut asking = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = client.twin()?;
            asking.push(scope.spawn(move || ask_rows(&client, rows, next)));
        }
        let mut found = Vec::new();
        for thread in asking {
            let ended = thread.join();
            found.extend(ended.map_err(|_| CmdError::new(INTERNAL, "a thread failed"))??);
        }
        Ok::<_, CmdError>(found)
    })?;
    report(rows, found)
}

/// Takes rows one by one until there are none left.
fn ask_rows(
    client: &Client,
    rows: &[Row],
    next: &AtomicUsize,
) -> Result<Vec<Difference>, CmdError> {
    let mut found = Vec::new();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(row) = rows.get(index) else {
            return Ok(found);
        };
        let path = format!(
            "/v1/users/{}/channels/{}",
            segment(&row.user),
            segment(&row.channel)
        );
        let answer: Result<Numbers, Failure> = client.get_json(&path);
        let answered = answer.inspect_err(|_| {
            // The others need not go on when one can not.
            next.store(rows.len(), Ordering::Relaxed);
        })?;
        if answered != row.numbers {
            found.push(Difference {
                row: index,
                answered,
            });
        }
    }
}

fn report(rows: &[Row], mut found: Vec<Difference>) -> Result<(), CmdError> {
    found.sort_by_key(|difference| difference.row);
    let mut text = String::new();
    for found in found.iter().take(SHOWN_MAX) {
        if let Some(Row {
            channel,
            user,
            numbers,
        }) = rows.get(found.row)
        {
            text.push_str(&difference(channel, user, *numbers, found.answered));
        }
    }
    let grouped = |count: usize| out::grouped(u64::try_from(count).unwrap_or(u64::MAX));
    if found.len() > SHOWN_MAX {
        text.push_str(&format!("and {} more\n", grouped(found.len() - SHOWN_MAX)));
    }
    let (all, different) = (grouped(rows.len()), grouped(found.len()));
    text.push_str(&format!("{all} rows compared, {different} differ\n"));
    out::print(&text)?;
    if found.is_empty() {
        Ok(())
    } else {
        Err(CmdError::silent(DIFFERENT))
    }
}

/// Reads a file of expected numbers, gzipped or not.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>, CmdError> {
    let file = File::open(path).map_err(|error| CmdError::file(path, &error))?;
    let mut file = BufReader::new(file);
    let first = file
        .fill_buf()
        .map_err(|error| CmdError::file(path, &error))?;
    let gzip = first.starts_with(&[0x1f, 0x8b]);
    let mut text = String::new();
    let read = if gzip {
        MultiGzDecoder::new(file).read_to_string(&mut text)
    } else {
        file.read_to_string(&mut text)
    };
    read.map_err(|error| CmdError::new(DATA, format!("{}: {error}", path.display())))?;
    parse(&text).map_err(|reason| CmdError::new(DATA, format!("{}: {reason}", path.display())))
}

const COLUMNS: [&str; 4] = ["channel", "user", "unread", "mentions"];

/// Reads the table; the first line names the columns, in any order, others are left alone.
pub(super) fn parse(text: &str) -> Result<Vec<Row>, String> {
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty());
    let (_, header) = lines.next().ok_or("it is empty")?;
    let names: Vec<&str> = header.split('\t').collect();
    let column = |wanted: &str| {
        let at = names.iter().position(|name| *name == wanted);
        at.ok_or_else(|| {
            format!(
                "line 1 names no column '{wanted}', it needs {}",
                COLUMNS.join(", ")
            )
        })
    };
    let [channel, user, unread, mentions] = COLUMNS.map(column);
    let (channel, user, unread, mentions) = (channel?, user?, unread?, mentions?);
    let mut rows = Vec::new();
    for (index, line) in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |at: usize| {
            cells
                .get(at)
                .copied()
                .ok_or(format!("line {}: a column is missing", index + 1))
        };
        let number = |at: usize| {
            let text = cell(at)?;
            text.parse()
                .map_err(|_| format!("line {}: '{text}' is not a number", index + 1))
        };
        rows.push(Row {
            channel: cell(channel)?.to_owned(),
            user: cell(user)?.to_owned(),
            numbers: Numbers {
                unread: number(unread)?,
                mentions: number(mentions)?,
            },
        });
    }
    Ok(rows)
}
