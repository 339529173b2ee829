//! A whole conversation with the numbers every member must have after its last line: a real one
//! when its file is there, else one made to the same shape.

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Events as JSON Lines, and unread and mentions by (channel, user).
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) lines: Vec<String>,
    pub(crate) expected: BTreeMap<(String, String), (u64, u64)>,
}

/// The conversation; made once.
pub(crate) static CHAT: LazyLock<Chat> = LazyLock::new(load);

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// True where a missing program or file must fail, not be done without.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told where they run by the environment"
)]
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

fn load() -> Chat {
    let folder = repository().join("../shared/data/irc");
    let events = folder.join("ubuntu-irc.jsonl.gz");
    if !events.exists() {
        assert!(
            !in_ci(),
            "the real conversation is missing: {}",
            events.display()
        );
        return made();
    }
    let lines = unzip(&events).lines().map(str::to_owned).collect();
    let table = unzip(&folder.join("ubuntu-irc.expected.tsv.gz"));
    let expected = table.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let member = (cells[0].to_owned(), cells[1].to_owned());
        (
            member,
            (cells[2].parse().unwrap(), cells[3].parse().unwrap()),
        )
    });
    let chat = Chat {
        lines,
        expected: expected.collect(),
    };
    assert_eq!((chat.lines.len(), chat.expected.len()), (144_375, 12_090));
    chat
}

fn unzip(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}

const PEOPLE: u64 = 1_500;
const MESSAGES: u64 = 20_000;

/// What the made conversation knows of a person.
#[derive(Clone, Default)]
struct Person {
    member: bool,
    line: u64,
}

/// People join when they first speak, answer each other by name, and some leave for good or for a
/// while. The expected numbers are counted one message at a time.
fn made() -> Chat {
    let mut random = Random(42);
    let mut people = vec![Person::default(); usize::try_from(PEOPLE).unwrap()];
    let mut messages: Vec<(u64, usize, BTreeSet<usize>)> = Vec::new();
    let mut lines = Vec::new();
    for number in 1..=MESSAGES {
        let id = number * 4096 + random.below(4096);
        // Some speak much more than others.
        let highest = random.below(PEOPLE) + 1;
        let author = usize::try_from(random.below(highest)).unwrap();
        let tail = messages.last().map_or(0, |(id, ..)| *id);
        if !people[author].member {
            people[author] = Person {
                member: true,
                line: people[author].line.max(tail),
            };
            lines.push(json!({"op": "join", "channel": "made", "user": name(author)}).to_string());
        }
        let mut mentions = BTreeSet::new();
        for _ in 0..random.below(5).saturating_sub(2) {
            mentions.insert(usize::try_from(random.below(PEOPLE)).unwrap());
        }
        let names: Vec<String> = mentions.iter().map(|user| name(*user)).collect();
        lines.push(
            json!({
                "op": "message", "channel": "made", "id": id.to_string(), "author": name(author),
                "mentions": names,
            })
            .to_string(),
        );
        people[author].line = id;
        messages.push((id, author, mentions));
        if random.below(40) == 0 {
            let user = usize::try_from(random.below(PEOPLE)).unwrap();
            if people[user].member {
                people[user].member = false;
                lines.push(
                    json!({"op": "leave", "channel": "made", "user": name(user)}).to_string(),
                );
            }
        }
    }
    Chat {
        lines,
        expected: count(&people, &messages),
    }
}

fn count(
    people: &[Person],
    messages: &[(u64, usize, BTreeSet<usize>)],
) -> BTreeMap<(String, String), (u64, u64)> {
    let mut expected = BTreeMap::new();
    for (user, person) in people
        .iter()
        .enumerate()
        .filter(|(_, person)| person.member)
    {
        let (mut unread, mut mentioned) = (0, 0);
        for (id, author, mentions) in messages {
            if *id > person.line && *author != user {
                unread += 1;
                mentioned += u64::from(mentions.contains(&user));
            }
        }
        expected.insert(("made".to_owned(), name(user)), (unread, mentioned));
    }
    expected
}

fn name(user: usize) -> String {
    format!("person {user}")
}

/// `SplitMix64`: enough for a conversation, the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// An event as the command a backend would send.
pub(crate) fn command(line: &str) -> Vec<String> {
    let event: Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| event[key].as_str().unwrap().to_owned();
    let mut words = match event["op"].as_str().unwrap() {
        "join" => return vec!["KD.JOIN".to_owned(), text("channel"), text("user")],
        "leave" => return vec!["KD.LEAVE".to_owned(), text("channel"), text("user")],
        "message" => vec!["KD.POST".to_owned(), text("channel"), text("id")],
        other => panic!("no command for {other}"),
    };
    words.extend(["BY".to_owned(), text("author")]);
    let mentions = event["mentions"].as_array().map_or(&[][..], Vec::as_slice);
    if !mentions.is_empty() {
        words.extend(["MENTIONS".to_owned(), mentions.len().to_string()]);
        words.extend(
            mentions
                .iter()
                .map(|user| user.as_str().unwrap().to_owned()),
        );
    }
    words
}
