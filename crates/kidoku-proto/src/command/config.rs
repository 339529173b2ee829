//! `CONFIG GET`: the few settings that Redis clients look for.

use super::arguments::Arguments;
use super::connection::unknown_subcommand;
use super::{Command, Names};
use crate::error::CommandError;
use crate::resp::write::Writer;

/// What the answers depend on.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFacts {
    /// True = replies wait for the log to be on disk, as `appendonly yes` does.
    pub durable: bool,
    /// The RESP port.
    pub port: u16,
    /// The budget of the cache in bytes.
    pub memory_bytes_max: u64,
}

pub(super) fn parse(mut arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let subcommand = arguments.required()?;
    if subcommand.eq_ignore_ascii_case(b"GET") {
        Ok(Command::ConfigGet(Names::new(arguments.all(), 2)))
    } else {
        Err(unknown_subcommand("CONFIG", subcommand))
    }
}

/// Answers the settings that one of the patterns matches.
pub fn answer(writer: &mut Writer<'_>, patterns: &Names<'_>, facts: &ConfigFacts) {
    let settings = [
        (
            "appendfsync",
            if facts.durable { "always" } else { "no" }.to_owned(),
        ),
        (
            "appendonly",
            if facts.durable { "yes" } else { "no" }.to_owned(),
        ),
        ("databases", "1".to_owned()),
        ("maxmemory", facts.memory_bytes_max.to_string()),
        ("port", facts.port.to_string()),
        (
            "proto-max-bulk-len",
            crate::resp::parse::Limits::AFTER_AUTH
                .bulk_bytes_max
                .to_string(),
        ),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ];
    let is_asked = |name: &str| {
        patterns
            .iter()
            .any(|pattern| matches(pattern, name.as_bytes()))
    };
    let asked: Vec<_> = settings.iter().filter(|(name, _)| is_asked(name)).collect();
    writer.map(asked.len());
    for (name, value) in asked {
        writer.text(name);
        writer.text(value);
    }
}

/// Matches `*` and `?`, in any case. Goes back only to the last `*`, so the work is at most pattern
/// times name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern_at, mut name_at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while name_at < name.len() {
        match (pattern.get(pattern_at), name.get(name_at)) {
            (Some(b'*'), _) => {
                star = Some((pattern_at + 1, name_at));
                pattern_at += 1;
            }
            (Some(p), Some(n)) if *p == b'?' || p.eq_ignore_ascii_case(n) => {
                pattern_at += 1;
                name_at += 1;
            }
            (_, _) => {
                let Some((after_star, eaten)) = star else {
                    return false;
                };
                star = Some((after_star, eaten + 1));
                pattern_at = after_star;
                name_at = eaten + 1;
            }
        }
    }
    pattern
        .get(pattern_at..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis_and_do_not_explode() {
        for (pattern, name, expected) in [
            ("save", "save", true),
            ("SAVE", "save", true),
            ("*", "save", true),
            ("", "", true),
            ("*", "", true),
            ("append*", "appendonly", true),
            ("*only", "appendonly", true),
            ("a*d*y", "appendonly", true),
            ("sav?", "save", true),
            ("sav", "save", false),
            ("save?", "save", false),
            ("a*x", "appendonly", false),
            ("", "save", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
        let stars = "*a".repeat(30_000);
        assert!(!matches(stars.as_bytes(), "a".repeat(100).as_bytes()));
    }
}
