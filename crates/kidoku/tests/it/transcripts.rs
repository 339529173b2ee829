//! Every command with the exact bytes of its replies, in RESP2 and RESP3: `transcripts/*.txt`.
//!
//! `> words` is sent (a word in quotes may hold spaces or nothing); `< bytes` is the reply in both
//! versions, `2< bytes` and `3< bytes` where they differ. Clocks and times become `{clock}`. `>~`
//! records only the type of the reply, for what differs between runs.

use crate::generated::compare;
use kidoku_torture::server::Server;
use kidoku_torture::wire::Client;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/transcripts")
}

/// Plays one file in both versions and compares.
fn check(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(['<', '2', '3']))
        .collect();
    let (old, new) = (replies(&lines, 2), replies(&lines, 3));
    let (mut old, mut new) = (old.iter(), new.iter());
    let mut played = String::new();
    for line in lines {
        writeln!(played, "{line}").unwrap();
        if line.starts_with('>') {
            let (old, new) = (old.next().unwrap(), new.next().unwrap());
            if old == new {
                writeln!(played, "< {old}").unwrap();
            } else {
                writeln!(played, "2< {old}\n3< {new}").unwrap();
            }
        }
    }
    compare(&path, &played);
}

fn replies(lines: &[&str], protocol: u8) -> Vec<String> {
    let server = Server::dev();
    let mut client = Client::connect(server.resp_address());
    if protocol == 3 {
        client.command(&["HELLO", "3"]);
    }
    lines
        .iter()
        .filter_map(|line| {
            if let Some(line) = line.strip_prefix(">~ ") {
                return Some(client.raw(&words(line)).chars().take(1).collect());
            }
            let reply = client.raw(&words(line.strip_prefix("> ")?));
            Some(mask(&reply).replace("\r\n", "\\r\\n"))
        })
        .collect()
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Digits of a clock or a time in ms, which differ between runs, and the id of the connection.
fn mask(reply: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in reply.split("\r\n") {
        let digits = line.trim_start_matches(':');
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let after_id = out.last().is_some_and(|last| last == "id");
        if is_number && digits.len() >= 13 {
            if !line.starts_with(':') {
                // The length of the text stands before it.
                out.pop();
            }
            out.push("{clock}".to_owned());
        } else if after_id && line.starts_with(':') {
            out.push("{id}".to_owned());
        } else {
            out.push(line.to_owned());
        }
    }
    out.join("\r\n")
}

macro_rules! transcripts {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])* #[test] fn $name() { check(stringify!($name)); })*

        /// The names of the files.
        pub(crate) const FILES: &[&str] = &[$(stringify!($name)),*];
    };
}

transcripts! {
    connection
    membership
    messages
    reading
    numbers
    push_and_admin
    refusals
}

#[test]
fn every_file_is_played() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(FILES.contains(&name.as_str()), "{name} is not in the list");
    }
}

#[test]
fn clocks_and_connection_ids_are_masked_and_nothing_else() {
    let reply = "%2\r\n$3\r\nrev\r\n$19\r\n7400000000000000001\r\n$2\r\nid\r\n:7\r\n:12\r\n";
    assert_eq!(
        mask(reply),
        "%2\r\n$3\r\nrev\r\n{clock}\r\n$2\r\nid\r\n{id}\r\n:12\r\n"
    );
}
