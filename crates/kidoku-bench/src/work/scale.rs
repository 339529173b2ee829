//! How the cost of a request grows with what it is about: an ack with the channels of its user, a message
//! with the members of its channel, a count with the messages of its channel. Each over three powers of
//! ten, on one server, that has to stay within a small factor: whatever was read from end to end would
//! take a thousand times as long.

use super::entrants::{Entrant, gather};
use super::fixed::Fixed;
use super::place::Place;
use super::told::Told;
use crate::error::BenchError;
use crate::load::Work;
use crate::number::{grouped, shown};
use crate::peer::{Contender, Program, Tuned};
use crate::report::{Bars, Raw, Section, Table};
use crate::rounds::{Contest, Load, Spread};
use crate::setup::Setup;
use crate::wire::command;
use std::io;

/// Read states of the acks, however many channels each of their users has.
const STATES: u64 = 10_000;
/// Users who count, each from elsewhere in the channel.
const READERS: u64 = 100;
/// Members or messages told in one go.
const LOT: u64 = 1_000;
/// Ids have eleven digits, whatever is measured.
const FIRST_ID: u64 = 10_000_000_000;

const CONNECTIONS: usize = 10;
const PIPELINE: usize = 16;

/// What the largest may cost, as a multiple of the smallest.
const GROWTH_MAX: f64 = 3.0;

/// Writes to its store twice a second, so that it soon rests.
const RESTLESS: Tuned = Tuned {
    name: "kidoku sync",
    program: Program::Kidoku,
    options: &["--checkpoint-interval-ms", "500"],
};

/// Sizes of a kind of request.
const SIZES: usize = 4;

/// A kind of request, and what it may grow with.
struct Curve {
    what: &'static str,
    of: &'static str,
    sizes: [u64; SIZES],
}

/// In the order of their jobs.
const CURVES: [Curve; 3] = [
    Curve {
        what: "an ack",
        of: "channels of the user",
        sizes: [10, 100, 1_000, 10_000],
    },
    Curve {
        what: "a message",
        of: "members of the channel",
        sizes: [100, 1_000, 10_000, 100_000],
    },
    Curve {
        what: "a count",
        of: "messages of the channel",
        sizes: [1_000, 10_000, 100_000, 1_000_000],
    },
];

/// The n-th ack of users with so many channels each: user, channel, id. The channels are taken in an order
/// that meets each once before any again.
fn ack<const CHANNELS: u64>(n: u64) -> [u64; 3] {
    let state = n * 7_919 % STATES;
    [state / CHANNELS + 1, state % CHANNELS + 1, FIRST_ID + n]
}

fn acks<const CHANNELS: u64>(place: &Place) -> Box<dyn Work> {
    let user = place.name(&format!("ack:{CHANNELS}:user:{{0:5}}"));
    let channel = place.name(&format!("ack:{CHANNELS}:channel:{{1:5}}"));
    let words = ["KD.ACK", &user, &channel, "{2:11}"];
    Fixed::resp(place, &words, ":1\r\n", ack::<CHANNELS>)
}

fn fill_acks(place: &Place, channels: u64) -> io::Result<()> {
    let users = STATES / channels;
    let joins = (1..=channels).map(|channel| {
        let channel = place.name(&format!("ack:{channels}:channel:{channel:05}"));
        let user = |user| place.name(&format!("ack:{channels}:user:{user:05}"));
        command(
            &[
                vec!["KD.JOIN".to_owned(), channel],
                (1..=users).map(user).collect(),
            ]
            .concat(),
        )
    });
    place.told(joins, &format!(":{users}\r\n"))
}

fn posts<const MEMBERS: u64>(place: &Place) -> Box<dyn Work> {
    let channel = place.name(&format!("post:{MEMBERS}:channel"));
    let words = ["KD.POST", &channel, "{0:11}"];
    Fixed::resp(place, &words, ":1\r\n", |n| [FIRST_ID + n, 0, 0])
}

fn fill_members(place: &Place, members: u64) -> io::Result<()> {
    let lot = LOT.min(members);
    let joins = (0..members / lot).map(|nth| {
        let channel = place.name(&format!("post:{members}:channel"));
        let users =
            (nth * lot + 1..=(nth + 1) * lot).map(|user| place.name(&format!("user:{user:06}")));
        command(&[vec!["KD.JOIN".to_owned(), channel], users.collect()].concat())
    });
    place.told(joins, &format!(":{lot}\r\n"))
}

/// Up to where a reader of a channel with so many messages has read.
fn cursor(reader: u64, messages: u64) -> u64 {
    (reader + 1) * (messages / READERS) - 1
}

fn reader(place: &Place, messages: u64, reader: u64) -> [String; 2] {
    [
        place.name(&format!("count:{messages}:user:{reader:02}")),
        place.name(&format!("count:{messages}:channel")),
    ]
}

fn counts<const MESSAGES: u64>(place: &Place) -> Box<dyn Work> {
    let question = |number| {
        let [user, channel] = reader(place, MESSAGES, number);
        command(&["KD.COUNT", &user, &channel])
    };
    Told::resp(
        place,
        1,
        (0..READERS).map(question).collect(),
        |number, reply| {
            let number = u64::try_from(number).unwrap_or(0);
            let unread = format!("unread\r\n:{}\r\n", MESSAGES - cursor(number, MESSAGES));
            String::from_utf8_lossy(reply).contains(&unread)
        },
    )
}

fn fill_messages(place: &Place, messages: u64) -> io::Result<()> {
    let channel = place.name(&format!("count:{messages}:channel"));
    let users = (0..READERS).map(|number| {
        let [user, _] = reader(place, messages, number);
        user
    });
    let join = [vec!["KD.JOIN".to_owned(), channel.clone()], users.collect()].concat();
    place.told([command(&join)].into_iter(), &format!(":{READERS}\r\n"))?;
    let post = |id: u64| command(&["KD.POST", &channel, &id.to_string()]);
    place.told((1..=messages).map(post), ":1\r\n")?;
    place.told_all((0..READERS).map(|number| {
        let [user, channel] = reader(place, messages, number);
        command(&[
            "KD.ACK",
            &user,
            &channel,
            &cursor(number, messages).to_string(),
        ])
    }))
}

fn fill(place: &Place) -> io::Result<()> {
    let [acks, posts, counts] = CURVES;
    acks.sizes
        .iter()
        .try_for_each(|size| fill_acks(place, *size))?;
    posts
        .sizes
        .iter()
        .try_for_each(|size| fill_members(place, *size))?;
    counts
        .sizes
        .iter()
        .try_for_each(|size| fill_messages(place, *size))
}

fn entrant() -> Entrant {
    Entrant {
        contender: Contender::Tuned(&RESTLESS),
        name: None,
        what: "KD.ACK, KD.POST, KD.COUNT",
        fill,
        jobs: &[
            acks::<10>,
            acks::<100>,
            acks::<1_000>,
            acks::<10_000>,
            posts::<100>,
            posts::<1_000>,
            posts::<10_000>,
            posts::<100_000>,
            counts::<1_000>,
            counts::<10_000>,
            counts::<100_000>,
            counts::<1_000_000>,
        ],
    }
}

/// The median cost of each load, in microseconds of the server's processor.
fn costs(contests: &[Contest]) -> Vec<f64> {
    let cost = |contest: &Contest| {
        let line = contest.lines.first()?;
        Some(Spread::of(line.samples.iter().map(|sample| sample.cpu_us)).median)
    };
    contests
        .iter()
        .map(|contest| cost(contest).unwrap_or(f64::NAN))
        .collect()
}

/// What a curve shows: how many times as much the largest costs, and whether that is as it should be.
fn verdict(curve: &Curve, costs: &[f64]) -> String {
    let [smallest, _, _, largest] = curve.sizes;
    let growth = match costs {
        [first, .., last] => last / first,
        _ => f64::NAN,
    };
    // What is no number is not met either.
    let outcome = if growth <= GROWTH_MAX {
        "met"
    } else {
        "MISSED"
    };
    format!(
        "{} with {} {} costs {} times one with {}; aim: at most {GROWTH_MAX}, {outcome}",
        curve.what,
        grouped(largest),
        curve.of,
        shown(growth),
        grouped(smallest),
    )
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
    let setup = &Setup {
        settles: false,
        ..setup.clone()
    };
    let gathered = gather(&[entrant()], |_| Vec::new(), setup, progress)?;
    let load = |(job, title)| {
        let mut load = Load::closed(setup, CONNECTIONS, PIPELINE);
        (load.job, load.plan.title) = (job, title);
        load
    };
    let loads: Vec<Load> = (0..).zip(TITLES).map(load).collect();
    let (contests, mut notes) = gathered.measure(&loads, setup, raw, progress)?;
    let costs = costs(&contests);
    let mut table = Table::new("Cost by size", 1, &["request", "size", "µs CPU"]);
    let mut bars = Vec::new();
    for (curve, own) in CURVES.iter().zip(costs.chunks(SIZES)) {
        let name = |size: &u64| format!("{} {}", grouped(*size), curve.of);
        for (size, cost) in curve.sizes.iter().zip(own) {
            table.push(vec![curve.what.to_owned(), name(size), shown(*cost)]);
        }
        bars.push(Bars {
            title: format!("{}: µs of server processor", curve.what),
            bars: curve
                .sizes
                .iter()
                .map(name)
                .zip(own.iter().copied())
                .collect(),
        });
        notes.push(verdict(curve, own));
    }
    Ok(Section {
        name: "scale",
        title: "How cost grows".to_owned(),
        about: format!(
            "{} read states acked in turn by users of few and of many channels; new messages to channels of few \
             and of many members; counts from {READERS} places of channels with few and with many messages. \
             {CONNECTIONS} connections, pipeline {PIPELINE}; the server writes to its store every half second, \
             and what is on the disk is not counted.",
            grouped(STATES)
        ),
        contests: Vec::new(),
        aims: Vec::new(),
        tables: vec![table],
        bars,
        notes,
    })
}

/// The loads, by the numbers of their jobs.
const TITLES: [&str; 12] = [
    "ack, 10 channels",
    "ack, 100 channels",
    "ack, 1,000 channels",
    "ack, 10,000 channels",
    "message, 100 members",
    "message, 1,000 members",
    "message, 10,000 members",
    "message, 100,000 members",
    "count, 1,000 messages",
    "count, 10,000 messages",
    "count, 100,000 messages",
    "count, 1,000,000 messages",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_cost_that_grows_with_the_size_is_missed() {
        let [curve, ..] = &CURVES;
        let grown = |per_size: f64| {
            let costs: Vec<f64> = curve
                .sizes
                .iter()
                .map(|size| 2.0 + per_size * crate::number::figure(*size))
                .collect();
            verdict(curve, &costs)
        };
        assert!(
            grown(0.0).ends_with("times one with 10; aim: at most 3, met"),
            "{}",
            grown(0.0)
        );
        assert!(grown(0.001).ends_with("MISSED"), "{}", grown(0.001));
        let logarithm: Vec<f64> = curve
            .sizes
            .iter()
            .map(|size| 2.0 + 0.3 * crate::number::figure(*size).log2())
            .collect();
        assert!(verdict(curve, &logarithm).ends_with("met"));
        assert!(verdict(curve, &[]).ends_with("MISSED"));
    }

    #[test]
    fn every_read_state_is_acked_once_before_any_is_again() {
        let states: BTreeSet<[u64; 2]> = (0..STATES)
            .map(|n| {
                let [user, channel, _] = ack::<1_000>(n);
                assert!((1..=10).contains(&user) && (1..=1_000).contains(&channel));
                [user, channel]
            })
            .collect();
        assert_eq!(crate::number::count_of(states.len()), STATES);
    }

    #[test]
    fn every_size_has_a_job_and_readers_stand_apart() {
        let sizes: usize = CURVES.iter().map(|curve| curve.sizes.len()).sum();
        assert_eq!((sizes, sizes), (TITLES.len(), entrant().jobs.len()));
        let cursors: BTreeSet<u64> = (0..READERS).map(|number| cursor(number, 1_000)).collect();
        assert_eq!((cursors.first(), cursors.last()), (Some(&9), Some(&999)));
        assert_eq!(crate::number::count_of(cursors.len()), READERS);
    }
}
