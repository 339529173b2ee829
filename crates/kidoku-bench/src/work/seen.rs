//! How many of a hundred thousand members have read a message.
//!
//! Nothing is written while it is measured, so that every answer can be compared with what is known.

use super::entrants::{Entrant, gather};
use super::place::Place;
use super::told::Told;
use crate::error::BenchError;
use crate::load::Work;
use crate::number::{count_of, grouped};
use crate::peer::{AppendOnly, Contender, Durability};
use crate::report::{Aim, Raw, Section};
use crate::rounds::Load;
use crate::setup::Setup;
use crate::wire::postgres::rows;
use crate::wire::{Template, Value, command};
use std::io;

/// Members of the channel, counted from 1.
const USERS: u64 = 100_000;
/// Members told in one command.
const USERS_PER_COMMAND: u64 = 1_000;
/// Messages, with ids from 1.
const MESSAGES: u64 = 1_000;
/// Every so manieth message is asked for.
const ASKED_EVERY: u64 = 10;

const CONNECTIONS: usize = 10;

/// The part of PostgreSQL's processor time that a count may take.
const CPU_AIM: f64 = 1.0 / 50.0;

/// How far a member has read: not at all, to the end, or anywhere between.
fn cursor(user: u64) -> u64 {
    user * 7_919 % (MESSAGES + 1)
}

fn asked() -> impl Iterator<Item = u64> {
    (1..=MESSAGES).step_by(usize::try_from(ASKED_EVERY).unwrap_or(1))
}

/// Whether this is how many have read the message that the question of this number asks for.
fn is_truth(index: usize, count: Option<u64>) -> bool {
    let readers = |id: u64| (1..=USERS).filter(|user| cursor(*user) >= id).count();
    asked().nth(index).map(readers).map(count_of) == count
}

/// The channel of the row, by its name in Kidoku.
fn made(place: &Place) -> Vec<String> {
    vec![place.name("channel")]
}

fn user(place: &Place, number: u64) -> String {
    place.name(&format!("user:{number:06}"))
}

fn kidoku(place: &Place) -> Box<dyn Work> {
    let question = |id: u64| command(&["KD.SEEN", &place.name("channel"), &id.to_string()]);
    Told::resp(place, 1, asked().map(question).collect(), |index, reply| {
        let values = Value::all(reply).unwrap_or_default();
        let count = values.first().and_then(|map| map.field("count"));
        is_truth(index, count.and_then(Value::unsigned))
    })
}

fn fill_kidoku(place: &Place) -> io::Result<()> {
    let channel = place.name("channel");
    let joins = (0..USERS / USERS_PER_COMMAND).map(|lot| {
        let first = lot * USERS_PER_COMMAND + 1;
        let users = (first..first + USERS_PER_COMMAND).map(|number| user(place, number));
        command(&[vec!["KD.JOIN".to_owned(), channel.clone()], users.collect()].concat())
    });
    place.told(joins, &format!(":{USERS_PER_COMMAND}\r\n"))?;
    let post = |id: u64| command(&["KD.POST", &channel, &id.to_string()]);
    place.told((1..=MESSAGES).map(post), ":1\r\n")?;
    let acks = (1..=USERS)
        .filter(|number| cursor(*number) > 0)
        .map(|number| {
            let id = cursor(number).to_string();
            command(&["KD.ACK", &user(place, number), &channel, &id])
        });
    place.told(acks, ":1\r\n")
}

/// The members of the channel by how far they have read, in a sorted set of its own.
fn redis(place: &Place) -> Box<dyn Work> {
    let question = |id: u64| command(&["ZCOUNT", "readers:1", &id.to_string(), "+inf"]);
    Told::resp(place, 1, asked().map(question).collect(), |index, reply| {
        let values = Value::all(reply).unwrap_or_default();
        is_truth(index, values.first().and_then(Value::unsigned))
    })
}

fn fill_redis(place: &Place) -> io::Result<()> {
    let template = Template::resp(&["ZADD", "readers:1", "{0:4}", "{1:6}"]);
    let adds = (1..=USERS).map(|number| template.with(&[cursor(number), number]));
    place.told(adds, ":1\r\n")
}

fn postgres(_: &Place) -> Box<dyn Work> {
    let template = Template::postgres("seen", &["1", "{0:4}"]);
    let requests = asked().map(|id| template.with(&[id])).collect();
    Told::postgres(requests, |index, reply| {
        let rows = rows(reply);
        let count = rows.first().and_then(|row| row.first());
        is_truth(index, count.and_then(|count| count.parse().ok()))
    })
}

fn fill_postgres(place: &Place) -> io::Result<()> {
    let states = format!(
        "INSERT INTO read_state SELECT u, 1, u * 7919 % ({MESSAGES} + 1) \
         FROM generate_series(1, {USERS}) u"
    );
    let messages =
        format!("INSERT INTO message SELECT 1, m, 0 FROM generate_series(1, {MESSAGES}) m");
    place.sql(&[&states, &messages, "VACUUM ANALYZE"])
}

fn entrants() -> Vec<Entrant> {
    let ours = |contender| Entrant {
        contender,
        name: None,
        what: "KD.SEEN",
        fill: fill_kidoku,
        jobs: &[kidoku],
    };
    vec![
        ours(Contender::Kidoku(Durability::Sync)),
        ours(Contender::Given),
        Entrant {
            contender: Contender::Redis(AppendOnly::Always),
            name: Some("redis, readers sorted"),
            what: "ZCOUNT",
            fill: fill_redis,
            jobs: &[redis],
        },
        Entrant {
            contender: Contender::Postgres,
            name: None,
            what: "SELECT count(*)",
            fill: fill_postgres,
            jobs: &[postgres],
        },
    ]
}

/// Measures the row.
///
/// # Errors
/// A server that fails or answers wrong.
pub(super) fn run(
    setup: &Setup,
    raw: &Raw,
    progress: &mut dyn FnMut(&str),
) -> Result<Section, BenchError> {
    let gathered = gather(&entrants(), made, setup, progress)?;
    let load = Load::closed(setup, CONNECTIONS, 1);
    let (contests, mut notes) = gathered.measure(&[load], setup, raw, progress)?;
    notes.extend(NOTES.map(str::to_owned));
    Ok(Section {
        name: "seen",
        title: format!("How many of {} members have read a message", grouped(USERS)),
        about: format!(
            "A channel with {} messages; its members stand anywhere between the first and the last. Every \
             {ASKED_EVERY}th message is asked for in turn, by nobody but a count.",
            grouped(MESSAGES)
        ),
        contests,
        aims: vec![
            Aim::cpu("kidoku sync", "postgres", CPU_AIM),
            Aim::beside("kidoku sync", "redis, readers sorted"),
        ],
        tables: Vec::new(),
        bars: Vec::new(),
        notes,
    })
}

/// What is not the same work.
const NOTES: [&str; 2] = [
    "the sorted set of readers is one for this question alone, written beside the cursor with every ack, \
     and takes tens of bytes for each member, asked or not",
    "go-lru can not say who has read a message: it keeps users, not channels",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_everywhere_and_a_wrong_count_is_seen() {
        let first = asked().next().unwrap();
        let all = (1..=USERS).filter(|user| cursor(*user) >= first).count();
        assert!(is_truth(0, Some(count_of(all))));
        assert!(!is_truth(0, Some(count_of(all) + 1)) && !is_truth(0, None));
        for at in 0..=MESSAGES {
            assert!((1..=USERS).any(|user| cursor(user) == at), "{at}");
        }
    }
}
