//! A real conversation through the model and the shards at once: 130,281 messages of a public
//! channel, and the unread and mentions of each of its 12,090 members, counted by somebody else.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use flate2::read::GzDecoder;
use kidoku_core::clock::Millis;
use kidoku_core::id::{ChannelKey, MessageId, UserKey};
use kidoku_core::reply::Reply;
use kidoku_core::request::{JoinAt, MentionList, Post, Request};
use kidoku_sim::cluster::ClusterConfig;
use kidoku_sim::history::Run;
use kidoku_sim::random::Random;
use kidoku_sim::workload::app;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Join {
        channel: String,
        user: String,
        time: u64,
    },
    Leave {
        channel: String,
        user: String,
        time: u64,
    },
    Message {
        channel: String,
        id: String,
        author: String,
        #[serde(default)]
        mentions: Vec<String>,
        time: u64,
    },
}

fn channel(name: &str) -> ChannelKey {
    ChannelKey::new(&app(), name).unwrap()
}

fn user(name: &str) -> UserKey {
    UserKey::new(&app(), name).unwrap()
}

impl Line {
    fn request(&self) -> (Millis, Request) {
        match self {
            Self::Join {
                channel: at,
                user: who,
                time,
            } => {
                let (channel, users) = (channel(at), vec![user(who)]);
                (
                    Millis(*time),
                    Request::Join {
                        channel,
                        users,
                        at: JoinAt::Tail,
                    },
                )
            }
            Self::Leave {
                channel: at,
                user: who,
                time,
            } => (
                Millis(*time),
                Request::Leave {
                    channel: channel(at),
                    users: vec![user(who)],
                },
            ),
            Self::Message {
                channel: at,
                id,
                author,
                mentions,
                time,
            } => {
                let users = mentions.iter().map(|name| user(name)).collect();
                let post = Post {
                    id: MessageId::parse(id.as_bytes()).unwrap(),
                    author: Some(user(author)),
                    noack: false,
                    silent: false,
                    mentions: MentionList {
                        users,
                        ..MentionList::default()
                    },
                };
                (
                    Millis(*time),
                    Request::Post {
                        channel: channel(at),
                        post,
                    },
                )
            }
        }
    }
}

/// `None` when the data is not there, which it has to be on CI.
fn read(name: &str) -> Option<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../../../shared/data/irc").join(name);
    let mut text = String::new();
    match File::open(&path) {
        Ok(file) => GzDecoder::new(file).read_to_string(&mut text).unwrap(),
        Err(error) => {
            #[expect(clippy::disallowed_methods, reason = "on CI the data must be there")]
            let ci = std::env::var("CI").unwrap_or_default();
            assert_ne!(ci, "true", "{}: {error}", path.display());
            return None;
        }
    };
    Some(text)
}

/// A conversation of the same kind, and what its members have not read, both made here.
fn made() -> (String, String) {
    let mut random = Random::new(7);
    let (mut lines, mut expected) = (String::new(), String::new());
    let mut unread: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for n in 1..=4_000_u64 {
        // Few write much, many write little.
        let draw = random.below(600);
        let author = draw * draw / 600;
        let time = 1_103_966_040_000 + n * 1_000;
        if unread.insert(author, (0, 0)).is_none() {
            let join =
                format!(r#"{{"op":"join","channel":"made","user":"p{author}","time":{time}}}"#);
            writeln!(lines, "{join}").unwrap();
        }
        let named: BTreeSet<u64> = (0..random.below(3)).map(|_| random.below(600)).collect();
        let names: Vec<String> = named.iter().map(|name| format!(r#""p{name}""#)).collect();
        let names = names.join(",");
        writeln!(
            lines,
            r#"{{"op":"message","channel":"made","id":"{n}","author":"p{author}","mentions":[{names}],"time":{time}}}"#
        )
        .unwrap();
        for (member, numbers) in &mut unread {
            if *member != author {
                numbers.0 += 1;
                numbers.1 += u64::from(named.contains(member));
            }
        }
    }
    writeln!(expected, "channel\tuser\tunread\tmentions").unwrap();
    for (member, (unread, mentions)) in unread {
        writeln!(expected, "made\tp{member}\t{unread}\t{mentions}").unwrap();
    }
    (lines, expected)
}

#[test]
fn every_member_of_a_real_conversation_has_the_expected_numbers() {
    let data = read("ubuntu-irc.jsonl.gz").zip(read("ubuntu-irc.expected.tsv.gz"));
    let (lines, expected) = data.unwrap_or_else(made);
    let memory_bytes_max = 1 << 30;
    let mut run = Run::new(ClusterConfig {
        shards: 2,
        memory_bytes_max,
        seed: 3,
        traced: false,
    });
    let mut now = Millis(0);
    for line in lines.lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        let (time, request) = line.request();
        now = time;
        run.check(time, &request).unwrap().unwrap();
    }
    let mut wrong = Vec::new();
    for row in expected.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let request = Request::Count {
            user: user(fields[1]),
            channels: vec![channel(fields[0])],
        };
        let Reply::ReadStates(states) = run.check(now, &request).unwrap().unwrap() else {
            panic!("{row}")
        };
        let state = &states[0];
        let came = format!("{}\t{}", state.unread, state.mentions);
        if !state.member || came != fields[2..].join("\t") {
            wrong.push(format!("{row}: {state:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows differ, the first is {}",
        wrong.len(),
        wrong[0]
    );
}
