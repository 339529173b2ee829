//! What read states and messages take in memory, by what each server says of itself and by what the
//! system says of its process.

use super::place::Place;
use crate::error::BenchError;
use crate::machine::resident_bytes;
use crate::number::{figure, grouped, shown};
use crate::peer::{AppendOnly, Contender, Durability, Kept, Layout};
use crate::report::{Bars, Raw, Section, Table};
use crate::rounds::settle;
use crate::setup::Setup;
use crate::wire::{Template, command};
use std::io;

/// A million read states, users and channels counted from 1, and a million messages.
const USERS: u64 = 5_000;
const CHANNELS: u64 = 1_000;
const CHANNELS_PER_USER: u64 = 200;
/// Between two channels of a user.
const STEP: u64 = CHANNELS / CHANNELS_PER_USER;
const STATES: u64 = USERS * CHANNELS_PER_USER;
const MESSAGES: u64 = 1_000_000;

/// Bytes that a read state may take.
const STATE_BYTES_AIM: f64 = 16.0;

/// Between two messages: a second, in ids whose unit is a millisecond divided by 2^22, as snowflakes
/// have it.
const MESSAGE_GAP: u64 = 1_000 << 22;

/// The id of the n-th message: irregular in all its bits, the same in every run.
fn message_id(n: u64) -> u64 {
    n * MESSAGE_GAP + n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) % MESSAGE_GAP
}

/// The same below 2^53, for a server whose numbers are doubles: fewer bits at the end.
fn short_id(n: u64) -> u64 {
    message_id(n) >> 12
}

/// The n-th message is the last one that a user has read in a channel.
fn read(user: u64, channel: u64) -> u64 {
    (user * 7_919 + channel * 104_729) % MESSAGES + 1
}

fn channels(user: u64) -> impl Iterator<Item = u64> {
    (0..CHANNELS_PER_USER).map(move |n| (user + n * STEP) % CHANNELS + 1)
}

/// A command for each user with two words for each channel.
fn everybody(
    first: impl Fn(u64) -> [String; 2],
    pair: impl Fn(u64, u64) -> [String; 2],
) -> impl Iterator<Item = Vec<u8>> {
    (1..=USERS).map(move |user| {
        let mut words = first(user).to_vec();
        words.extend(channels(user).flat_map(|channel| pair(user, channel)));
        command(&words)
    })
}

/// One kind of thing that is put into one server.
struct Stock {
    contender: Contender,
    what: &'static str,
    count: u64,
    fill: fn(&Place) -> io::Result<()>,
    kept: Kept,
}

fn stocks() -> Vec<Stock> {
    let kidoku = Contender::Kidoku(Durability::Sync);
    let redis = Contender::Redis(AppendOnly::Off);
    let states = |contender, what, fill: fn(&Place) -> io::Result<()>| Stock {
        contender,
        what,
        count: STATES,
        fill,
        kept: Kept::States,
    };
    let messages = |contender, what, fill: fn(&Place) -> io::Result<()>| Stock {
        contender,
        what,
        count: MESSAGES,
        fill,
        kept: Kept::Messages,
    };
    vec![
        states(kidoku, "read states", kidoku_states),
        states(redis, "read states, hashes", redis_hashes),
        states(redis, "read states, sorted sets", redis_sets),
        states(Contender::Golru(Layout::Slice), "read states", golru_states),
        states(Contender::Golru(Layout::Map), "read states", golru_states),
        states(Contender::Postgres, "read states, on disk", postgres_states),
        messages(kidoku, "messages of a channel", kidoku_messages),
        messages(redis, "messages, sorted set", redis_messages),
        messages(Contender::Postgres, "messages, on disk", postgres_messages),
    ]
}

fn kidoku_states(place: &Place) -> io::Result<()> {
    let name = |kind, number: u64| place.name(&format!("{kind}:{number}"));
    let joins = (1..=CHANNELS).map(|number| {
        let mut words = vec!["KD.JOIN".to_owned(), name("channel", number)];
        let members =
            (1..=USERS).filter(|user| (number - 1 + STEP - user % STEP).is_multiple_of(STEP));
        words.extend(members.map(|user| name("user", user)));
        command(&words)
    });
    place.told(joins, &format!(":{}\r\n", STATES / CHANNELS))?;
    let acks = everybody(
        |user| ["KD.MACK".to_owned(), name("user", user)],
        |user, channel| {
            [
                name("channel", channel),
                message_id(read(user, channel)).to_string(),
            ]
        },
    );
    place.told(acks, &format!(":{CHANNELS_PER_USER}\r\n"))
}

fn kidoku_messages(place: &Place) -> io::Result<()> {
    let channel = place.name("channel");
    let posts = (1..=MESSAGES).map(|n| command(&["KD.POST", &channel, &message_id(n).to_string()]));
    place.told(posts, ":1\r\n")
}

fn redis_hashes(place: &Place) -> io::Result<()> {
    let hashes = everybody(
        |user| ["HSET".to_owned(), format!("user:{user}")],
        |user, channel| {
            let id = message_id(read(user, channel));
            [format!("channel:{channel}"), id.to_string()]
        },
    );
    place.told(hashes, &format!(":{CHANNELS_PER_USER}\r\n"))
}

fn redis_sets(place: &Place) -> io::Result<()> {
    let sets = everybody(
        |user| ["ZADD".to_owned(), format!("cur:{user}")],
        |user, channel| {
            [
                short_id(read(user, channel)).to_string(),
                channel.to_string(),
            ]
        },
    );
    place.told(sets, &format!(":{CHANNELS_PER_USER}\r\n"))
}

fn redis_messages(place: &Place) -> io::Result<()> {
    let posts = (1..=MESSAGES).map(|n| {
        let id = short_id(n).to_string();
        command(&["ZADD", "msg:1", "NX", &id, &id])
    });
    place.told(posts, ":1\r\n")
}

fn golru_states(place: &Place) -> io::Result<()> {
    let template = Template::resp(&["ACK", "{0:4}", "{1:4}", "{2:19}"]);
    let acks = (1..=USERS).flat_map(|user| {
        channels(user).map(move |channel| [user, channel, message_id(read(user, channel))])
    });
    place.told(acks.map(|numbers| template.with(&numbers)), ":1\r\n")
}

fn postgres_states(place: &Place) -> io::Result<()> {
    let rows = format!(
        "INSERT INTO read_state SELECT u, (u + n * {STEP}) % {CHANNELS} + 1, u * {MESSAGE_GAP} + n \
         FROM generate_series(1::bigint, {USERS}) u, generate_series(0, {CHANNELS_PER_USER} - 1) n"
    );
    place.sql(&[&rows, "VACUUM ANALYZE"])
}

fn postgres_messages(place: &Place) -> io::Result<()> {
    let rows = format!(
        "INSERT INTO message SELECT 1, n * {MESSAGE_GAP}, 0 FROM generate_series(1::bigint, {MESSAGES}) n"
    );
    place.sql(&[&rows, "VACUUM ANALYZE"])
}

/// Puts it there: bytes for each by the server's own count, and by the growth of the process.
fn measure(stock: &Stock, setup: &Setup) -> Result<(f64, f64), BenchError> {
    let peer = stock.contender.start(setup)?;
    let place = Place::of(peer.as_ref(), setup, stock.contender);
    settle(peer.as_ref(), setup)?;
    let bytes = || -> Result<(f64, f64), BenchError> {
        let own = peer.kept_bytes(stock.kept)?;
        Ok((own, figure(peer.pid().map_or(0, resident_bytes))))
    };
    let before = bytes()?;
    (stock.fill)(&place).map_err(|error| BenchError::Failed(format!("{}: {error}", stock.what)))?;
    settle(peer.as_ref(), setup)?;
    let after = bytes()?;
    let each = |before: f64, after: f64| (after - before) / figure(stock.count);
    Ok((each(before.0, after.0), each(before.1, after.1)))
}

/// The figures of the row so far.
struct Figures {
    table: Table,
    own: Bars,
    process: Bars,
    notes: Vec<String>,
}

impl Figures {
    fn new() -> Self {
        let head = [
            "server",
            "what",
            "count",
            "bytes each, own count",
            "bytes each, process",
        ];
        let bars = |title: &str| Bars {
            title: title.to_owned(),
            bars: Vec::new(),
        };
        Self {
            table: Table::new("Bytes each", 2, &head),
            own: bars("Bytes each, by the server's own count"),
            process: bars("Bytes each, by the growth of the process"),
            notes: Vec::new(),
        }
    }

    fn push(&mut self, stock: &Stock, own: f64, process: f64) {
        let name = stock.contender.name();
        if stock.contender.is_ours() && stock.kept == Kept::States {
            let outcome = if own <= STATE_BYTES_AIM {
                "met"
            } else {
                "MISSED"
            };
            self.notes.push(format!(
                "a read state of {name} takes {} bytes; aim: at most {STATE_BYTES_AIM}, {outcome}",
                shown(own)
            ));
        }
        let bar = |value| (format!("{name}: {}", stock.what), value);
        self.own.bars.push(bar(own));
        self.process.bars.push(bar(process));
        self.table.push(vec![
            name.to_owned(),
            stock.what.to_owned(),
            grouped(stock.count),
            shown(own),
            shown(process),
        ]);
    }
}

/// Measures the row.
///
/// # Errors
/// Kidoku does not start, or somebody does not take the data.
pub(super) fn run(
    setup: &Setup,
    _: &Raw,
    progress: &mut dyn FnMut(&str),
) -> Result<Section, BenchError> {
    let mut figures = Figures::new();
    let chosen = stocks().into_iter();
    for stock in chosen.filter(|stock| setup.measures(stock.contender)) {
        let name = stock.contender.name();
        progress(&format!(
            "  {name}: {} {}",
            grouped(stock.count),
            stock.what
        ));
        match measure(&stock, setup) {
            Ok((own, process)) => figures.push(&stock, own, process),
            Err(BenchError::Unavailable(why)) if !stock.contender.is_ours() => {
                let note = format!("{name} was not measured: {why}");
                progress(&format!("  WARNING: {note}"));
                figures.notes.push(note);
            }
            Err(error) => return Err(error.of(name)),
        }
    }
    figures.notes.extend(NOTES.map(str::to_owned));
    Ok(Section {
        name: "memory",
        title: "Bytes of a read state and of a message".to_owned(),
        about: format!(
            "{} read states of {} users with {CHANNELS_PER_USER} channels each, with cursors at any of \
             {} messages; and as many messages of one channel, with ids as snowflakes have them, a second \
             apart on average.",
            grouped(STATES),
            grouped(USERS),
            grouped(MESSAGES)
        ),
        contests: Vec::new(),
        aims: Vec::new(),
        tables: vec![figures.table],
        bars: vec![figures.own, figures.process],
        notes: figures.notes,
    })
}

/// How it is counted.
const NOTES: [&str; 4] = [
    "own count: kidoku's gauges of users (read states) and channels (messages), Redis's used_memory, the \
     heap that Go's last collection found alive, PostgreSQL's tables with their indexes on disk",
    "process: growth of what the system counts for the processes, after the server has come to rest; with \
     all caches, and for kidoku with the members each channel knows",
    "ids of sorted sets in Redis are shortened, as its scores hold 53 bits",
    "postgres keeps what it can of its files in buffers that are there from the start, so its process \
     tells little",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_fit() {
        let ids: Vec<u64> = (1..=MESSAGES).map(message_id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| *id < 1 << 63));
        let short: Vec<u64> = (1..=MESSAGES).map(short_id).collect();
        assert!(short.is_sorted_by(|a, b| a < b));
        assert!(short.iter().all(|id| *id < 1 << 53));
    }

    #[test]
    fn every_channel_has_as_many_members_as_it_is_told() {
        let mut members = vec![0; usize::try_from(CHANNELS).unwrap()];
        for channel in (1..=USERS).flat_map(channels) {
            *members
                .get_mut(usize::try_from(channel - 1).unwrap())
                .unwrap() += 1;
        }
        let each = usize::try_from(STATES / CHANNELS).unwrap();
        assert!(members.iter().all(|count| *count == each));
    }
}
