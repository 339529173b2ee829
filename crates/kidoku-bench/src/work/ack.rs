//! The hot path: a user has read a channel up to a message.
//!
//! Every read state is there before anything is measured, and every ack moves a cursor, as message ids
//! only rise. Redis does the same write, `HSET user channel id`; it does not refuse an older id, so it
//! does a little less.

use crate::error::BenchError;
use crate::load::{Pace, Plan, Work};
use crate::number::count_of;
use crate::peer::{AppendOnly, Durability, Kidoku, Peer, Redis};
use crate::report::{Aim, Raw, Section};
use crate::rounds::{Entry, hold};
use crate::setup::Setup;
use crate::wire::{Client, Template, command};
use std::net::SocketAddr;

/// A million read states: every user is in fifty of a thousand channels, so every channel has a
/// thousand members.
const USERS: u64 = 20_000;
const CHANNELS: u64 = 1_000;
const CHANNELS_PER_USER: u64 = 50;
const STATES: u64 = USERS * CHANNELS_PER_USER;

/// Where all cursors stand before the first ack. Ids have eleven digits, whatever is measured.
const FIRST_ID: u64 = 10_000_000_000;

/// The loads: what a fleet of backends does with connections that are full, and what one request costs.
const CLOSED: [(usize, usize); 4] = [(50, 16), (200, 16), (50, 1), (200, 1)];
/// The load at which times are compared: the same for all, and below what any of them can do.
const OPEN: (usize, u32) = (200, 10_000);
/// Requests under way on a connection of the open loop.
const OPEN_PIPELINE: usize = 64;

/// The part of Redis's processor time that an ack may take.
const CPU_AIM: f64 = 0.75;

/// The n-th channel of a user.
fn channel(user: u64, n: u64) -> u64 {
    (user + n * (CHANNELS / CHANNELS_PER_USER)) % CHANNELS
}

/// The states in an order that looks random: each once before any comes again. Odd multiplications and
/// shifts are turned around one to one, and what falls outside is sent on until it falls inside.
fn shuffled(n: u64) -> u64 {
    const BITS: u32 = 20;
    const MASK: u64 = (1 << BITS) - 1;
    let mut state = n % STATES;
    loop {
        state = state * 0x9e37_79b1 & MASK;
        state ^= state >> (BITS / 2);
        state = state * 0x85eb_ca6b & MASK;
        state ^= state >> (BITS / 2);
        if state < STATES {
            return state;
        }
    }
}

/// What the n-th ack of all says: user, channel, id.
fn ack(n: u64) -> [u64; 3] {
    let state = shuffled(n);
    let user = state / CHANNELS_PER_USER;
    [
        user,
        channel(user, state % CHANNELS_PER_USER),
        FIRST_ID + 1 + n,
    ]
}

/// How the work is said, and the right answer to it.
#[derive(Clone, Copy, Debug)]
struct Words {
    write: [&'static str; 4],
    /// Moved, for Kidoku; no new field, for Redis.
    answer: &'static [u8],
}

const KIDOKU: Words = Words {
    write: ["KD.ACK", "user:{6}", "channel:{4}", "{11}"],
    answer: b":1\r\n",
};

const REDIS: Words = Words {
    write: ["HSET", "user:{6}", "channel:{4}", "{11}"],
    answer: b":0\r\n",
};

/// Acks without end.
struct Acks {
    template: Template,
    answer: &'static [u8],
    next: u64,
}

impl Acks {
    fn new(words: Words) -> Self {
        Self {
            template: Template::resp(&words.write),
            answer: words.answer,
            next: 0,
        }
    }
}

impl Work for Acks {
    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.template.write(&ack(number), out);
        number
    }

    fn is_right(&mut self, _: u64, reply: &[u8]) -> bool {
        reply == self.answer
    }
}

/// Fills Kidoku: everybody joins, and every cursor is set.
fn fill_kidoku(address: SocketAddr) -> std::io::Result<()> {
    let mut client = Client::connect(address)?;
    let joins = (0..CHANNELS).map(|number| {
        let mut words = vec!["KD.JOIN".to_owned(), format!("channel:{number:04}")];
        words.extend(members(number).map(|user| format!("user:{user:06}")));
        command(&words)
    });
    let all = format!(":{}\r\n", USERS * CHANNELS_PER_USER / CHANNELS);
    client.ask_all(joins, expect(all))?;
    let all = format!(":{CHANNELS_PER_USER}\r\n");
    client.ask_all((0..USERS).map(|user| pairs("KD.MACK", user)), expect(all))
}

/// Fills Redis: every user has a hash with all its channels.
fn fill_redis(address: SocketAddr) -> std::io::Result<()> {
    let all = format!(":{CHANNELS_PER_USER}\r\n");
    let hashes = (0..USERS).map(|user| pairs("HSET", user));
    Client::connect(address)?.ask_all(hashes, expect(all))
}

/// The members of a channel.
fn members(number: u64) -> impl Iterator<Item = u64> {
    // A user is in every channel that is a multiple of the step away.
    (0..USERS).filter(move |user| {
        let away = (number + CHANNELS - user % CHANNELS) % CHANNELS;
        away.is_multiple_of(CHANNELS / CHANNELS_PER_USER)
    })
}

/// A command that sets all channels of a user.
fn pairs(name: &str, user: u64) -> Vec<u8> {
    let mut words = vec![name.to_owned(), format!("user:{user:06}")];
    for n in 0..CHANNELS_PER_USER {
        words.push(format!("channel:{:04}", channel(user, n)));
        words.push(FIRST_ID.to_string());
    }
    command(&words)
}

fn expect(answer: String) -> impl FnMut(&[u8]) -> Result<(), String> {
    move |reply| {
        if reply == answer.as_bytes() {
            return Ok(());
        }
        let text = reply.escape_ascii();
        Err(format!("expected {:?} and not {text}", answer.trim_end()))
    }
}

/// A server of the row, filled.
fn entry(
    peer: impl Peer + 'static,
    words: Words,
    fill: fn(SocketAddr) -> std::io::Result<()>,
    progress: &mut dyn FnMut(&str),
) -> Result<Entry, BenchError> {
    progress(&format!("  filling {}", peer.name()));
    fill(peer.address())
        .map_err(|error| BenchError::Failed(format!("{}: filling: {error}", peer.name())))?;
    Ok(Entry {
        peer: Box::new(peer),
        what: words.write[0].to_owned(),
        works: vec![Box::new(Acks::new(words))],
    })
}

fn plans(setup: &Setup) -> Vec<Plan> {
    let plan = |connections, pipeline, pace| Plan {
        connections,
        pipeline,
        pace,
        warm_up: setup.warm_up,
        duration: setup.duration,
    };
    let mut plans: Vec<Plan> = CLOSED
        .into_iter()
        .map(|(connections, pipeline)| plan(connections, pipeline, Pace::Closed))
        .collect();
    let (connections, per_second) = OPEN;
    plans.push(plan(connections, OPEN_PIPELINE, Pace::Open { per_second }));
    plans
}

/// Measures the row.
///
/// # Errors
/// A server that is missing, fails or answers wrong.
pub(super) fn run(
    setup: &Setup,
    raw: &Raw,
    progress: &mut dyn FnMut(&str),
) -> Result<Section, BenchError> {
    let mut entries = Vec::new();
    for durability in [Durability::Sync, Durability::Memory] {
        let kidoku = Kidoku::start(setup, durability)?;
        entries.push(entry(kidoku, KIDOKU, fill_kidoku, progress)?);
    }
    for append_only in [AppendOnly::Always, AppendOnly::EverySecond, AppendOnly::Off] {
        let redis = Redis::start(setup, append_only)?;
        entries.push(entry(redis, REDIS, fill_redis, progress)?);
    }
    let mut contests = Vec::new();
    for plan in plans(setup) {
        contests.push(hold(&mut entries, &plan, setup, raw, progress)?);
    }
    Ok(Section {
        name: "ack",
        title: "A user has read a channel up to a message".to_owned(),
        about: format!(
            "{} read states ({USERS} users in {CHANNELS_PER_USER} of {CHANNELS} channels each) are \
             there before anything is measured, and every ack moves the cursor of one of them, in an \
             order that looks random. `KD.ACK user channel id` to Kidoku, `HSET user channel id` to \
             Redis.",
            crate::number::grouped(STATES)
        ),
        contests,
        aims: vec![
            Aim::cpu("kidoku sync", "redis always", CPU_AIM),
            Aim::cpu("kidoku memory", "redis appendonly off", CPU_AIM),
            Aim::p99("kidoku sync", "redis always"),
            Aim::p99("kidoku memory", "redis appendonly off"),
        ],
        tables: Vec::new(),
        notes: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_state_comes_once_before_any_comes_again() {
        let mut seen = vec![false; usize::try_from(STATES).unwrap()];
        for n in 0..STATES {
            let place = seen.get_mut(usize::try_from(shuffled(n)).unwrap()).unwrap();
            assert!(!*place, "{n}");
            *place = true;
        }
        assert_eq!(shuffled(7), shuffled(7 + STATES));
    }

    #[test]
    fn channels_and_members_say_the_same() {
        for user in [0, 1, 999, 1_000, 12_345, USERS - 1] {
            let channels: BTreeSet<u64> =
                (0..CHANNELS_PER_USER).map(|n| channel(user, n)).collect();
            assert_eq!(count_of(channels.len()), CHANNELS_PER_USER);
            for number in 0..CHANNELS {
                let is_member = members(number).any(|member| member == user);
                assert_eq!(is_member, channels.contains(&number));
            }
        }
        assert_eq!(members(3).count(), 1_000);
    }

    #[test]
    fn ids_rise_and_are_above_where_cursors_stand() {
        let [_, _, first] = ack(0);
        let [_, _, next] = ack(1);
        assert!(first > FIRST_ID && next > first);
    }
}
