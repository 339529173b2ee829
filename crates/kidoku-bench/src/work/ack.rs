//! The hot path: a user has read a channel up to a message.
//!
//! Every read state is there before anything is measured, and every ack moves a cursor, as message ids
//! only rise.

use super::entrants::{Entrant, gather};
use super::fixed::{Fixed, Numbers};
use super::place::Place;
use crate::error::BenchError;
use crate::load::{Pace, Work};
use crate::number::grouped;
use crate::peer::{AppendOnly, Contender, Durability, Layout};
use crate::report::{Aim, Raw, Section};
use crate::rounds::Load;
use crate::setup::Setup;
use crate::wire::postgres::completed;
use crate::wire::{Template, command};
use std::io;

/// A million read states: every user is in fifty of a thousand channels, so every channel has a
/// thousand members. Both are counted from 1.
const USERS: u64 = 20_000;
const CHANNELS: u64 = 1_000;
const CHANNELS_PER_USER: u64 = 50;
const STATES: u64 = USERS * CHANNELS_PER_USER;
/// Between two channels of a user.
const STEP: u64 = CHANNELS / CHANNELS_PER_USER;

/// Where all cursors stand before the first ack. Ids have eleven digits, whatever is measured.
const FIRST_ID: u64 = 10_000_000_000;
/// The ids of the second job begin above all that the first can have used.
const FIRST_ID_BUSY: u64 = 50_000_000_000;
/// Read states of those who are busy: a thousand users with all their channels.
const STATES_BUSY: u64 = 50_000;

/// The loads: what a fleet of backends does with connections that are full, and what one request costs.
const CLOSED: [(usize, usize); 4] = [(50, 16), (200, 16), (50, 1), (200, 1)];
/// The load at which times are compared: the same for all, and below what nearly all of them can do.
const OPEN: (usize, u32) = (200, 10_000);
/// The load on which not everybody is busy, as it is most of the time.
const BUSY: (usize, usize) = (50, 16);
/// Requests under way on a connection of the open loop.
const OPEN_PIPELINE: usize = 64;

/// The part of Redis's processor time that an ack may take.
const CPU_AIM: f64 = 0.75;

/// The n-th channel of a user.
fn channel(user: u64, n: u64) -> u64 {
    (user + n * STEP) % CHANNELS + 1
}

/// Numbers below 2^bits in an order that looks random, each once before any comes again; those below
/// `count` of them. Odd multiplications and shifts are turned around one to one, and what falls outside is
/// sent on until it falls inside.
pub(super) fn shuffled(n: u64, count: u64, bits: u32) -> u64 {
    let mask = (1 << bits) - 1;
    let mut state = n % count;
    loop {
        state = (state * 0x9e37_79b1) & mask;
        state ^= state >> (bits / 2);
        state = (state * 0x85eb_ca6b) & mask;
        state ^= state >> (bits / 2);
        if state < count {
            return state;
        }
    }
}

fn of_state(state: u64, id: u64) -> [u64; 3] {
    let user = state / CHANNELS_PER_USER + 1;
    [user, channel(user, state % CHANNELS_PER_USER), id]
}

/// What the n-th ack of all says: user, channel, id.
fn ack(n: u64) -> [u64; 3] {
    of_state(shuffled(n, STATES, 20), FIRST_ID + 1 + n)
}

/// The same when only some users are busy.
fn busy_ack(n: u64) -> [u64; 3] {
    of_state(shuffled(n, STATES_BUSY, 16), FIRST_ID_BUSY + n)
}

/// An ack that an older one can not undo, as `bench/peers/redis` has it.
const EXACT: [&[&str]; 2] = [
    &["ZADD", "cur:{0:6}", "GT", "CH", "{2:11}", "{1:4}"],
    &["ZREMRANGEBYSCORE", "men:{0:6}:{1:4}", "-inf", "{2:11}"],
];
const HSET: [&str; 4] = ["HSET", "user:{0:6}", "channel:{1:4}", "{2:11}"];
const GOLRU: [&str; 4] = ["ACK", "{0:6}", "{1:4}", "{2:11}"];

fn kidoku(place: &Place, numbers: Numbers) -> Box<dyn Work> {
    let (user, channel) = (place.name("user:{0:6}"), place.name("channel:{1:4}"));
    let words = ["KD.ACK", &user, &channel, "{2:11}"];
    Fixed::resp(place, &words, ":1\r\n", numbers)
}

fn hset(place: &Place, numbers: Numbers) -> Box<dyn Work> {
    Fixed::resp(place, &HSET, ":0\r\n", numbers)
}

fn exact(numbers: Numbers) -> Box<dyn Work> {
    Fixed::pipeline(&EXACT, ":1\r\n:0\r\n", numbers)
}

fn postgres(numbers: Numbers) -> Box<dyn Work> {
    let parameters = ["{0:6}", "{1:4}", "{2:11}"];
    Fixed::postgres("ack", &parameters, completed("INSERT 0 1"), numbers)
}

fn golru(place: &Place, numbers: Numbers) -> Box<dyn Work> {
    Fixed::resp(place, &GOLRU, ":1\r\n", numbers)
}

/// All who take part. The first job is an ack of anybody, the second one of those who are busy.
pub(super) fn entrants() -> Vec<Entrant> {
    let ours = |durability| Entrant {
        contender: Contender::Kidoku(durability),
        name: None,
        what: "KD.ACK",
        fill: fill_kidoku,
        jobs: &[|place| kidoku(place, ack), |place| kidoku(place, busy_ack)],
    };
    let redis = |append_only| Entrant {
        contender: Contender::Redis(append_only),
        name: None,
        what: "HSET",
        fill: |place| place.told(everybody(hash), &filled()),
        jobs: &[|place| hset(place, ack), |place| hset(place, busy_ack)],
    };
    let redis_exact = Entrant {
        name: Some("redis always, exact"),
        what: "ZADD GT, ZREMRANGEBYSCORE",
        fill: |place| place.told(everybody(sorted_set), &filled()),
        jobs: &[|_| exact(ack), |_| exact(busy_ack)],
        ..redis(AppendOnly::Always)
    };
    vec![
        ours(Durability::Sync),
        ours(Durability::Memory),
        Entrant {
            contender: Contender::Given,
            ..ours(Durability::Sync)
        },
        redis(AppendOnly::Always),
        redis_exact,
        redis(AppendOnly::EverySecond),
        redis(AppendOnly::Off),
        Entrant {
            contender: Contender::Postgres,
            name: None,
            what: "INSERT ON CONFLICT",
            fill: fill_postgres,
            jobs: &[|_| postgres(ack), |_| postgres(busy_ack)],
        },
        Entrant {
            contender: Contender::Golru(Layout::Slice),
            name: None,
            what: "ACK",
            fill: fill_golru,
            jobs: &[|place| golru(place, ack), |place| golru(place, busy_ack)],
        },
    ]
}

/// The channels of the row, by their names in Kidoku.
pub(super) fn made(place: &Place) -> Vec<String> {
    let name = |number| place.name(&format!("channel:{number:04}"));
    (1..=CHANNELS).map(name).collect()
}

/// What a command answers that sets all channels of a user.
fn filled() -> String {
    format!(":{CHANNELS_PER_USER}\r\n")
}

/// A command for each user.
fn everybody(words: impl Fn(u64) -> Vec<String>) -> impl Iterator<Item = Vec<u8>> {
    (1..=USERS).map(move |user| command(&words(user)))
}

/// Everybody joins, and every cursor is set.
fn fill_kidoku(place: &Place) -> io::Result<()> {
    let name = |kind, number: String| place.name(&format!("{kind}:{number}"));
    let joins = (1..=CHANNELS).map(|number| {
        let mut words = vec![
            "KD.JOIN".to_owned(),
            name("channel", format!("{number:04}")),
        ];
        words.extend(members(number).map(|user| name("user", format!("{user:06}"))));
        command(&words)
    });
    place.told(joins, &format!(":{}\r\n", STATES / CHANNELS))?;
    let acks = everybody(|user| {
        let mut words = vec!["KD.MACK".to_owned(), name("user", format!("{user:06}"))];
        for n in 0..CHANNELS_PER_USER {
            words.push(name("channel", format!("{:04}", channel(user, n))));
            words.push(FIRST_ID.to_string());
        }
        words
    });
    place.told(acks, &filled())
}

/// The members of a channel: those a multiple of the step away.
fn members(number: u64) -> impl Iterator<Item = u64> {
    let first = (number - 1) % STEP;
    let users = if first == 0 {
        STEP..=USERS
    } else {
        first..=USERS
    };
    users.step_by(usize::try_from(STEP).unwrap_or(1))
}

fn hash(user: u64) -> Vec<String> {
    let mut words = vec!["HSET".to_owned(), format!("user:{user:06}")];
    for n in 0..CHANNELS_PER_USER {
        words.push(format!("channel:{:04}", channel(user, n)));
        words.push(FIRST_ID.to_string());
    }
    words
}

fn sorted_set(user: u64) -> Vec<String> {
    let mut words = vec!["ZADD".to_owned(), format!("cur:{user:06}")];
    for n in 0..CHANNELS_PER_USER {
        words.push(FIRST_ID.to_string());
        words.push(format!("{:04}", channel(user, n)));
    }
    words
}

fn fill_golru(place: &Place) -> io::Result<()> {
    let template = Template::resp(&GOLRU);
    let acks = (1..=USERS)
        .flat_map(|user| (0..CHANNELS_PER_USER).map(move |n| [user, channel(user, n), FIRST_ID]))
        .map(|numbers| template.with(&numbers));
    place.told(acks, ":1\r\n")
}

fn fill_postgres(place: &Place) -> io::Result<()> {
    let rows = format!(
        "INSERT INTO read_state SELECT u, (u + n * {STEP}) % {CHANNELS} + 1, {FIRST_ID} \
         FROM generate_series(1, {USERS}) u, generate_series(0, {CHANNELS_PER_USER} - 1) n"
    );
    place.sql(&[&rows, "VACUUM ANALYZE read_state"])
}

fn loads(setup: &Setup) -> Vec<Load> {
    let closed = CLOSED.map(|(connections, pipeline)| Load::closed(setup, connections, pipeline));
    let (connections, per_second) = OPEN;
    let mut open = Load::closed(setup, connections, OPEN_PIPELINE);
    open.plan.pace = Pace::Open { per_second };
    // Last, as its ids are above all others.
    let (connections, pipeline) = BUSY;
    let mut busy = Load::closed(setup, connections, pipeline);
    busy.job = 1;
    busy.plan.title = "one user of twenty is busy";
    closed.into_iter().chain([open, busy]).collect()
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
    let (contests, mut notes) = gathered.measure(&loads(setup), setup, raw, progress)?;
    notes.extend(NOTES.map(str::to_owned));
    Ok(Section {
        name: "ack",
        title: "A user has read a channel up to a message".to_owned(),
        about: format!(
            "{} read states, {} users in {CHANNELS_PER_USER} of {} channels each, are there before \
             anything is measured, and every ack moves the cursor of one of them, in an order that looks \
             random: of all of them, and in the last table of {} of them.",
            grouped(STATES),
            grouped(USERS),
            grouped(CHANNELS),
            grouped(STATES_BUSY),
        ),
        contests,
        aims: vec![
            Aim::cpu("kidoku sync", "redis always", CPU_AIM),
            Aim::cpu("kidoku memory", "redis appendonly off", CPU_AIM),
            Aim::p99("kidoku sync", "redis always"),
            Aim::p99("kidoku memory", "redis appendonly off"),
        ],
        tables: Vec::new(),
        bars: Vec::new(),
        notes,
    })
}

/// What is not the same work.
const NOTES: [&str; 4] = [
    "HSET lets an older ack take the cursor back; \"redis always, exact\" does not, and drops mentions \
     that were read, as Kidoku does",
    "redis everysec loses up to a second in a crash, redis appendonly off all, kidoku memory the last \
     moments",
    "go-lru loses up to 30 s in a crash, and knows only whether something is unread; what it writes \
     behind is in \"µs CPU, all\"",
    "postgres writes its tables minutes later, at checkpoints that are not in its figures",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::count_of;
    use std::collections::BTreeSet;

    #[test]
    fn every_state_comes_once_before_any_comes_again() {
        for (count, bits) in [(STATES, 20), (STATES_BUSY, 16)] {
            let mut seen = vec![false; usize::try_from(count).unwrap()];
            for n in 0..count {
                let at = usize::try_from(shuffled(n, count, bits)).unwrap();
                let place = seen.get_mut(at).unwrap();
                assert!(!*place, "{n}");
                *place = true;
            }
            assert_eq!(shuffled(7, count, bits), shuffled(7 + count, count, bits));
        }
    }

    #[test]
    fn channels_and_members_say_the_same() {
        for user in [1, 2, STEP, STEP + 1, 999, 1_000, 12_345, USERS] {
            let channels: BTreeSet<u64> =
                (0..CHANNELS_PER_USER).map(|n| channel(user, n)).collect();
            assert_eq!(count_of(channels.len()), CHANNELS_PER_USER);
            for number in 1..=CHANNELS {
                let is_member = members(number).any(|member| member == user);
                assert_eq!(is_member, channels.contains(&number), "{user} {number}");
            }
        }
        let all: u64 = (1..=CHANNELS)
            .map(|number| count_of(members(number).count()))
            .sum();
        assert_eq!(all, STATES);
    }

    #[test]
    fn ids_rise_and_are_above_where_cursors_stand() {
        let [_, _, first] = ack(0);
        let [_, _, next] = ack(1);
        assert!(first > FIRST_ID && next > first);
    }
}
