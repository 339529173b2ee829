//! `INFO`: facts about the server, in the form Redis clients read.

use super::Names;
use super::connection::REDIS_VERSION;

/// A section of the answer.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name, such as `Clients`.
    pub name: &'static str,
    /// Names and values; neither may hold a line end.
    pub lines: Vec<(&'static str, String)>,
}

/// What the first sections are made of.
#[derive(Clone, Copy, Debug)]
pub struct ServerFacts {
    /// Version of the server.
    pub kidoku_version: &'static str,
    /// The RESP port.
    pub port: u16,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Number of the process.
    pub process_id: u32,
    /// Connections now open.
    pub connections: u64,
}

/// The text of the answer: the sections that clients of Redis expect, then the server's own. With
/// no names, or with `all`, `default` or `everything`, all of them.
pub fn text(facts: &ServerFacts, own: &[Section], asked: &Names<'_>) -> String {
    let for_all = ["all", "default", "everything"];
    let is_asked = |name: &str| {
        let named = |asked: &[u8]| {
            let is = |word: &str| asked.eq_ignore_ascii_case(word.as_bytes());
            is(name) || for_all.into_iter().any(is)
        };
        asked.is_empty() || asked.iter().any(named)
    };
    let mut text = String::new();
    for section in redis_sections(facts).iter().chain(own) {
        if !is_asked(section.name) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str("# ");
        text.push_str(section.name);
        text.push_str("\r\n");
        for (name, value) in &section.lines {
            text.push_str(name);
            text.push(':');
            text.push_str(value);
            text.push_str("\r\n");
        }
    }
    text
}

fn redis_sections(facts: &ServerFacts) -> [Section; 4] {
    let section = |name, lines: Vec<(&'static str, String)>| Section { name, lines };
    [
        section(
            "Server",
            vec![
                ("redis_version", REDIS_VERSION.to_owned()),
                ("redis_mode", "standalone".to_owned()),
                ("kidoku_version", facts.kidoku_version.to_owned()),
                ("process_id", facts.process_id.to_string()),
                ("tcp_port", facts.port.to_string()),
                ("uptime_in_seconds", facts.uptime_s.to_string()),
            ],
        ),
        section(
            "Clients",
            vec![("connected_clients", facts.connections.to_string())],
        ),
        // ioredis waits until `loading` is 0; a server that answers at all has recovered.
        section("Persistence", vec![("loading", "0".to_owned())]),
        section("Replication", vec![("role", "master".to_owned())]),
    ]
}
