//! What a message to a large channel costs: one fact, or a counter for each of ten thousand members.

use super::entrants::{Entrant, gather};
use super::fixed::{Fixed, Numbers};
use super::place::Place;
use crate::error::BenchError;
use crate::load::Work;
use crate::number::{count_of, grouped};
use crate::peer::{AppendOnly, Contender, Durability, Layout};
use crate::report::{Aim, Raw, Section};
use crate::rounds::Load;
use crate::setup::Setup;
use crate::wire::postgres::one_value;
use crate::wire::{Framing, Template, command};
use std::io;

/// Members of each channel, counted from 1.
const USERS: u64 = 10_000;
const CHANNELS: u64 = 10;
/// Members told in one command.
const USERS_PER_COMMAND: u64 = 1_000;

/// Ids have eleven digits, whatever is measured.
const FIRST_ID: u64 = 10_000_000_000;

/// Posters at a time, each with one message under way.
const CONNECTIONS: usize = 10;

/// The n-th message: channel and id.
fn post(n: u64) -> [u64; 3] {
    [n % CHANNELS + 1, FIRST_ID + n, 0]
}

/// Members in lots of a command's size, each as the words for them.
fn lots(word: impl Fn(u64) -> String) -> impl Iterator<Item = Vec<String>> {
    (1..=USERS)
        .step_by(usize::try_from(USERS_PER_COMMAND).unwrap_or(1))
        .map(move |first| (first..first + USERS_PER_COMMAND).map(&word).collect())
}

fn kidoku(place: &Place) -> Box<dyn Work> {
    let words = ["KD.POST", &place.name("channel:{0:2}"), "{1:11}"];
    Fixed::resp(place, &words, ":1\r\n", post)
}

/// The channels of the row, by their names in Kidoku.
fn made(place: &Place) -> Vec<String> {
    let name = |number| place.name(&format!("channel:{number:02}"));
    (1..=CHANNELS).map(name).collect()
}

fn fill_kidoku(place: &Place) -> io::Result<()> {
    let joins = (1..=CHANNELS).flat_map(|number| {
        lots(|user| place.name(&format!("user:{user:05}"))).map(move |users| (number, users))
    });
    let joins = joins.map(|(number, users)| {
        let channel = place.name(&format!("channel:{number:02}"));
        command(&[vec!["KD.JOIN".to_owned(), channel], users].concat())
    });
    place.told(joins, &format!(":{USERS_PER_COMMAND}\r\n"))
}

/// The message in a sorted set, as `bench/peers/redis` has it.
fn exact(place: &Place) -> Box<dyn Work> {
    let words = ["ZADD", "msg:{0:2}", "NX", "{1:11}", "{1:11}"];
    Fixed::resp(place, &words, ":1\r\n", post)
}

/// Counters by a script in the server.
fn naive_script(place: &Place) -> Box<dyn Work> {
    let words = ["FCALL", "naive", "0", "post", "{0:2}", ""];
    Fixed::resp(place, &words, ":1\r\n", post)
}

fn fill_naive(place: &Place) -> io::Result<()> {
    place.function(
        "naive",
        include_str!("../../../../bench/peers/redis/naive.lua"),
    )?;
    place.told_all((1..=CHANNELS).flat_map(|number| {
        lots(|user| format!("{user:05}")).map(move |users| {
            let key = format!("members:{number:02}");
            command(&[vec!["SADD".to_owned(), key], users].concat())
        })
    }))?;
    fill_counters(place)
}

/// Every counter is there before anything is measured.
fn fill_counters(place: &Place) -> io::Result<()> {
    place.told_all((1..=USERS).map(|user| {
        let mut words = vec!["HSET".to_owned(), format!("unread:{user:05}")];
        words.extend((1..=CHANNELS).flat_map(|number| [format!("{number:02}"), "0".to_owned()]));
        command(&words)
    }))
}

/// Counters by a command for each member, all in one pipeline.
struct Counters {
    template: Template,
    next: u64,
}

impl Counters {
    fn boxed(_: &Place) -> Box<dyn Work> {
        let commands = (1..=USERS)
            .map(|user| Template::resp(&["HINCRBY", &format!("unread:{user:05}"), "{0:2}", "1"]));
        Box::new(Self {
            template: Template::joined(commands),
            next: 0,
        })
    }
}

impl Work for Counters {
    fn framing(&self) -> Framing {
        Framing::Resp { replies: USERS }
    }

    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.template.write(&post(number), out);
        number
    }

    /// Counts depend on what others have sent meanwhile: each has to be a number above 0.
    fn is_right(&mut self, _: u64, reply: &[u8]) -> bool {
        let mut lines = reply.split(|byte| *byte == b'\n');
        let is_count = |line: &[u8]| line.starts_with(b":") && !line.starts_with(b":0");
        // Behind the last line end there is nothing more.
        lines.next_back().is_some_and(<[u8]>::is_empty)
            && lines.clone().all(is_count)
            && count_of(lines.count()) == USERS
    }
}

fn postgres(_: &Place) -> Box<dyn Work> {
    let numbers: Numbers = post;
    let parameters = ["{0:2}", "{1:11}", "0"];
    Fixed::postgres("post", &parameters, one_value("1", "SELECT 1"), numbers)
}

fn fill_postgres(place: &Place) -> io::Result<()> {
    let rows = format!(
        "INSERT INTO read_state SELECT u, c, 0 \
         FROM generate_series(1, {USERS}) u, generate_series(1, {CHANNELS}) c"
    );
    place.sql(&[&rows, "VACUUM ANALYZE"])
}

/// Answers 0 to a message that another connection's newer one has overtaken.
fn golru(place: &Place) -> Box<dyn Work> {
    Fixed::either(
        place,
        &["POST", "{0:2}", "{1:11}"],
        [":1\r\n", ":0\r\n"],
        post,
    )
}

fn fill_golru(place: &Place) -> io::Result<()> {
    let template = Template::resp(&["ACK", "{0:5}", "{1:2}", "1"]);
    let states = (1..=USERS).flat_map(|user| (1..=CHANNELS).map(move |number| [user, number]));
    place.told(states.map(|numbers| template.with(&numbers)), ":1\r\n")
}

fn entrants() -> Vec<Entrant> {
    let kidoku = |contender| Entrant {
        contender,
        name: None,
        what: "KD.POST",
        fill: fill_kidoku,
        jobs: &[kidoku],
    };
    let redis = |append_only, name, what, fill, jobs| Entrant {
        contender: Contender::Redis(append_only),
        name: Some(name),
        what,
        fill,
        jobs,
    };
    let (always, off) = (AppendOnly::Always, AppendOnly::Off);
    vec![
        kidoku(Contender::Kidoku(Durability::Sync)),
        kidoku(Contender::Kidoku(Durability::Memory)),
        kidoku(Contender::Given),
        redis(always, "redis always, exact", "ZADD", |_| Ok(()), &[exact]),
        redis(
            off,
            "redis naive script",
            "FCALL of HINCRBYs",
            fill_naive,
            &[naive_script],
        ),
        redis(
            off,
            "redis naive pipeline",
            "HINCRBYs",
            fill_counters,
            &[Counters::boxed],
        ),
        Entrant {
            contender: Contender::Postgres,
            name: None,
            what: "INSERT",
            fill: fill_postgres,
            jobs: &[postgres],
        },
        Entrant {
            contender: Contender::Golru(Layout::Slice),
            name: None,
            what: "POST",
            fill: fill_golru,
            jobs: &[golru],
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
        name: "post",
        title: format!("A message to a channel of {} members", grouped(USERS)),
        about: format!(
            "{CHANNELS} channels with the same {} members each; every message is new and names nobody.",
            grouped(USERS)
        ),
        contests,
        aims: vec![
            Aim::beside("kidoku sync", "redis naive script"),
            Aim::beside("kidoku sync", "redis naive pipeline"),
            Aim::beside("kidoku sync", "redis always, exact"),
        ],
        tables: Vec::new(),
        bars: Vec::new(),
        notes,
    })
}

/// What is not the same work.
const NOTES: [&str; 2] = [
    "naive counters are those most people write first, here without keeping anything on disk: a message \
     sent twice counts twice, and a delete takes nothing back",
    "go-lru keeps the id of the last message of a channel and nothing else of it",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_to_be_as_many_as_members_and_above_zero() {
        let mut work = Counters::boxed(&Place::nowhere());
        let users = usize::try_from(USERS).unwrap();
        let right = ":12\r\n".repeat(users);
        assert!(work.is_right(0, right.as_bytes()));
        assert!(!work.is_right(0, ":12\r\n".repeat(users - 1).as_bytes()));
        assert!(!work.is_right(0, right.replacen(":12", "-ERR", 1).as_bytes()));
        assert!(!work.is_right(0, right.replacen(":12", ":0", 1).as_bytes()));
    }
}
