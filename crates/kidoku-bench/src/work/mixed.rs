//! Ten million read states for minutes: acks, messages, counts and whole states at a steady rate, while
//! what was answered is written behind and a few of the users are not in memory.

use super::ack::shuffled;
use super::entrants::{Entrant, gather};
use super::place::Place;
use crate::error::BenchError;
use crate::load::{Pace, Work};
use crate::number::{count_of, grouped};
use crate::peer::{Contender, Layout, Program, Tuned};
use crate::report::{Aim, Raw, Section};
use crate::rounds::Load;
use crate::setup::Setup;
use crate::wire::{Template, command};
use std::io;

/// Every user is in 200 of 5,000 channels, so every channel has 2,000 members. Both are counted from 1.
const USERS: u64 = 50_000;
const CHANNELS: u64 = 5_000;
const CHANNELS_PER_USER: u64 = 200;
const STATES: u64 = USERS * CHANNELS_PER_USER;
const STATES_BITS: u32 = 24;
/// Between two channels of a user.
const STEP: u64 = CHANNELS / CHANNELS_PER_USER;
/// Members told in one command; as many as a channel has, or a part of them.
const USERS_PER_COMMAND: usize = 1_000;
/// Ids have eleven digits, whatever is measured.
const FIRST_ID: u64 = 10_000_000_000;

const CONNECTIONS: usize = 200;
const PER_SECOND: u32 = 20_000;
/// Requests under way on a connection.
const PIPELINE: usize = 64;
/// How many times as long as others this row is measured: with 15 seconds for a row, five minutes.
const DURATIONS: u32 = 20;

/// The most of Go's time that an answer may take, of a thousand the slowest, and the slowest of all.
const P999_AIM: f64 = 1.0 / 5.0;
const LONGEST_AIM: f64 = 1.0 / 10.0;

/// Room for all but a few of a hundred read states.
const KIDOKU: Tuned = Tuned {
    name: "kidoku sync",
    program: Program::Kidoku,
    options: &["--memory", "144MiB"],
};
const MAP: Tuned = Tuned {
    name: "go-lru map",
    program: Program::Golru(Layout::Map),
    options: &["-capacity", "610000"],
};
const SLICE: Tuned = Tuned {
    name: "go-lru slice",
    program: Program::Golru(Layout::Slice),
    options: &["-capacity", "610000"],
};

/// The n-th channel of a user.
fn channel(user: u64, n: u64) -> u64 {
    (user + n * STEP) % CHANNELS + 1
}

/// Members of a channel.
fn members(number: u64) -> impl Iterator<Item = u64> {
    (1..=USERS).filter(move |user| (number - 1 + STEP - user % STEP).is_multiple_of(STEP))
}

/// A kind of request. Of twenty, fourteen are acks, two messages, three counts, and one a whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ack,
    Post,
    Count,
    State,
}

fn kind(n: u64) -> Kind {
    match n % 20 {
        3 | 13 => Kind::Post,
        6 | 12 | 18 => Kind::Count,
        9 => Kind::State,
        _ => Kind::Ack,
    }
}

/// User, channel and id of the n-th request.
fn numbers(n: u64) -> [u64; 3] {
    let state = shuffled(n, STATES, STATES_BITS);
    let user = state / CHANNELS_PER_USER + 1;
    [user, channel(user, state % CHANNELS_PER_USER), FIRST_ID + n]
}

struct Mixed {
    ack: Template,
    post: Template,
    count: Template,
    state: Template,
    next: u64,
}

impl Mixed {
    fn boxed(words: [&[&str]; 4]) -> Box<dyn Work> {
        let [ack, post, count, state] = words.map(Template::resp);
        Box::new(Self {
            ack,
            post,
            count,
            state,
            next: 0,
        })
    }
}

impl Work for Mixed {
    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        let number = self.next;
        self.next += 1;
        let template = match kind(number) {
            Kind::Ack => &self.ack,
            Kind::Post => &self.post,
            Kind::Count => &self.count,
            Kind::State => &self.state,
        };
        template.write(&numbers(number), out);
        number
    }

    /// What a number is depends on what others have sent meanwhile: it has to be one.
    fn is_right(&mut self, request: u64, reply: &[u8]) -> bool {
        match kind(request) {
            Kind::Ack | Kind::Post => matches!(reply, b":0\r\n" | b":1\r\n"),
            Kind::Count => reply.starts_with(b"*"),
            // At least a number for each channel.
            Kind::State => {
                let lines = count_of(reply.split(|byte| *byte == b'\n').count());
                reply.starts_with(b"*") && lines > 4 * CHANNELS_PER_USER
            }
        }
    }
}

fn kidoku(_: &Place) -> Box<dyn Work> {
    let (user, channel) = ("user:{0:5}", "channel:{1:4}");
    Mixed::boxed([
        &["KD.ACK", user, channel, "{2:11}"],
        &["KD.POST", channel, "{2:11}"],
        &["KD.COUNT", user, channel],
        &["KD.STATE", user],
    ])
}

/// Channels with the same members one after another, as most users are not in memory for long.
fn fill_kidoku(place: &Place) -> io::Result<()> {
    let alike = |first| (first..=CHANNELS).step_by(usize::try_from(STEP).unwrap_or(1));
    let joins = (1..=STEP).flat_map(alike).flat_map(|number| {
        let users: Vec<u64> = members(number).collect();
        let lots = users.chunks(USERS_PER_COMMAND).map(|lot| {
            let users = lot.iter().map(|user| format!("user:{user:05}"));
            let channel = format!("channel:{number:04}");
            command(&[vec!["KD.JOIN".to_owned(), channel], users.collect()].concat())
        });
        lots.collect::<Vec<_>>()
    });
    place.told(joins, &format!(":{USERS_PER_COMMAND}\r\n"))
}

fn golru(_: &Place) -> Box<dyn Work> {
    let (user, channel) = ("{0:5}", "{1:4}");
    Mixed::boxed([
        &["ACK", user, channel, "{2:11}"],
        &["POST", channel, "{2:11}"],
        &["COUNT", user, channel],
        &["STATE", user],
    ])
}

fn fill_golru(place: &Place) -> io::Result<()> {
    let template = Template::resp(&["ACK", "{0:5}", "{1:4}", "1"]);
    let acks =
        (1..=USERS).flat_map(|user| (0..CHANNELS_PER_USER).map(move |n| [user, channel(user, n)]));
    place.told(acks.map(|numbers| template.with(&numbers)), ":1\r\n")
}

fn entrants() -> Vec<Entrant> {
    let twin = |tuned| Entrant {
        contender: Contender::Tuned(tuned),
        name: None,
        what: "ACK, POST, COUNT, STATE",
        fill: fill_golru,
        jobs: &[golru],
    };
    let kidoku = Entrant {
        contender: Contender::Tuned(&KIDOKU),
        name: None,
        what: "KD.ACK, POST, COUNT, STATE",
        fill: fill_kidoku,
        jobs: &[kidoku],
    };
    vec![kidoku, twin(&MAP), twin(&SLICE)]
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
    let gathered = gather(&entrants(), |_| Vec::new(), setup, progress)?;
    let mut load = Load::closed(setup, CONNECTIONS, PIPELINE);
    load.plan.pace = Pace::Open {
        per_second: PER_SECOND,
    };
    load.plan.duration *= DURATIONS;
    let once = Setup {
        rounds: 1,
        ..setup.clone()
    };
    let (contests, mut notes) = gathered.measure(&[load], &once, raw, progress)?;
    notes.extend(NOTES.map(str::to_owned));
    let twins = ["go-lru map", "go-lru slice"];
    let beside = |twin| {
        [
            Aim::p999("kidoku sync", twin, P999_AIM),
            Aim::longest("kidoku sync", twin, LONGEST_AIM),
        ]
    };
    Ok(Section {
        name: "mixed",
        title: format!("{} read states and all kinds of requests", grouped(STATES)),
        about: format!(
            "{} users in {CHANNELS_PER_USER} channels each, a few of a hundred of them not in memory. Of twenty requests fourteen \
             are acks, two messages to {} members, three counts and one all of a user, each of anybody.",
            grouped(USERS),
            grouped(STATES / CHANNELS)
        ),
        contests,
        aims: twins.into_iter().flat_map(beside).collect(),
        tables: Vec::new(),
        bars: Vec::new(),
        notes,
    })
}

/// What is not the same work.
const NOTES: [&str; 2] = [
    "kidoku keeps on disk whatever it answers, and its counts are exact; go-lru loses up to 30 s in a crash, \
     and knows only whether something is unread",
    "measured once, and for 20 times as long as the other rows",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_twenty_requests_fourteen_are_acks() {
        let count = |wanted| (0..20).filter(|n| kind(*n) == wanted).count();
        let kinds = [Kind::Ack, Kind::Post, Kind::Count, Kind::State];
        assert_eq!(kinds.map(count), [14, 2, 3, 1]);
    }

    #[test]
    fn an_answer_that_is_none_is_wrong() {
        let mut work = kidoku(&Place::nowhere());
        let of = |wanted| (0..20).find(|n| kind(*n) == wanted).unwrap();
        let state = format!("*2\r\n{}", ":1\r\n".repeat(1_000));
        for (wanted, right) in [
            (Kind::Ack, ":0\r\n"),
            (Kind::Post, ":1\r\n"),
            (Kind::Count, "*1\r\n:1\r\n"),
            (Kind::State, state.as_str()),
        ] {
            assert!(work.is_right(of(wanted), right.as_bytes()));
            assert!(!work.is_right(of(wanted), b"-BUSY\r\n"));
            assert!(!work.is_right(of(wanted), b""));
        }
        assert!(!work.is_right(of(Kind::State), b"*0\r\n"));
    }

    #[test]
    fn everybody_is_a_member_of_what_they_ack() {
        for n in 0..1_000 {
            let [user, number, _] = numbers(n);
            assert!((1..=USERS).contains(&user) && (1..=CHANNELS).contains(&number));
            assert!(members(number).any(|member| member == user), "{n}");
        }
        let each = usize::try_from(STATES / CHANNELS).unwrap();
        assert!(
            [1, 17, CHANNELS]
                .iter()
                .all(|number| members(*number).count() == each)
        );
    }
}
