//! What a client asks when it starts: everything of a user with 200 channels, with exact numbers.
//!
//! Nothing is written while it is measured, so that every answer can be compared with what is known.

use super::entrants::{Entrant, gather};
use super::place::Place;
use super::told::Told;
use crate::error::BenchError;
use crate::load::{Pace, Work};
use crate::number::{count_of, grouped};
use crate::peer::{AppendOnly, Contender, Durability, Layout};
use crate::report::{Aim, Raw, Section};
use crate::rounds::Load;
use crate::setup::Setup;
use crate::wire::{Template, Value, command};
use std::collections::BTreeMap;
use std::io;

/// Users and channels, counted from 1. Every channel has half of the users.
const USERS: u64 = 1_000;
const CHANNELS: u64 = 400;
const CHANNELS_PER_USER: u64 = 200;
/// Between two channels of a user.
const STEP: u64 = CHANNELS / CHANNELS_PER_USER;
/// Messages of each channel, with ids from 1.
const MESSAGES: u64 = 500;
/// The two messages of a channel that mention somebody.
const MENTIONING: [u64; 2] = [MESSAGES / 2, MESSAGES];
/// A user is mentioned in every so manieth of their channels.
const MENTIONED_EVERY: u64 = 50;

/// The n-th channel of a user.
fn channel(user: u64, n: u64) -> u64 {
    (user + n * STEP) % CHANNELS + 1
}

/// Channels of a user, in order.
fn channels(user: u64) -> impl Iterator<Item = u64> {
    (0..CHANNELS_PER_USER).map(move |n| channel(user, n))
}

/// Members of a channel.
fn members(number: u64) -> impl Iterator<Item = u64> {
    (1..=USERS).filter(move |user| (number - 1 + STEP - user % STEP).is_multiple_of(STEP))
}

/// Where a user stands in a channel: anywhere, but below the last message.
fn cursor(user: u64, channel: u64) -> u64 {
    (user * 7_919 + channel * 104_729) % MESSAGES
}

/// True when the two mentioning messages of a channel name this user.
fn is_mentioned(user: u64, number: u64) -> bool {
    channels(user)
        .zip(0_u64..)
        .any(|(channel, n)| channel == number && n.is_multiple_of(MENTIONED_EVERY))
}

/// The users that a message names.
fn named(number: u64, message: u64) -> Vec<u64> {
    if !MENTIONING.contains(&message) {
        return Vec::new();
    }
    members(number)
        .filter(|user| is_mentioned(*user, number))
        .collect()
}

/// What is right: unread and mentions of a user in each channel.
fn truth(user: u64) -> BTreeMap<u64, (u64, u64)> {
    channels(user)
        .map(|number| {
            let cursor = cursor(user, number);
            let mentions = if is_mentioned(user, number) {
                MENTIONING.iter().filter(|id| **id > cursor).count()
            } else {
                0
            };
            (number, (MESSAGES - cursor, count_of(mentions)))
        })
        .collect()
}

/// True when rows of channel, unread and mentions are what is right for the n-th user.
fn is_truth(index: usize, rows: impl Iterator<Item = Option<(u64, u64, u64)>>) -> bool {
    let rows: Option<Vec<_>> = rows.collect();
    let Some(rows) = rows else {
        return false;
    };
    let count = rows.len();
    let told: BTreeMap<u64, (u64, u64)> = rows.into_iter().map(|(c, u, m)| (c, (u, m))).collect();
    // A channel told twice would be hidden by the map.
    told.len() == count && told == truth(count_of(index) + 1)
}

/// The number at the end of a name.
fn number_of(name: &str) -> Option<u64> {
    name.rsplit(':').next()?.parse().ok()
}

// Kidoku

fn kidoku(place: &Place) -> Box<dyn Work> {
    let template = Template::resp(&["KD.STATE", &place.name("user:{0:4}")]);
    let requests = (1..=USERS).map(|user| template.with(&[user])).collect();
    Told::resp(place, 1, requests, |index, reply| {
        let Ok(values) = Value::all(reply) else {
            return false;
        };
        let channels = values.first().and_then(|map| map.field("channels"));
        let Some(channels) = channels.and_then(Value::array) else {
            return false;
        };
        let row = |map: &Value| {
            let number = |name| map.field(name).and_then(Value::unsigned);
            let channel = map.field("channel")?.text().and_then(number_of)?;
            Some((channel, number("unread")?, number("mentions")?))
        };
        is_truth(index, channels.iter().map(row))
    })
}

/// The channels of the row, by their names in Kidoku.
fn made(place: &Place) -> Vec<String> {
    let name = |number| place.name(&format!("channel:{number:04}"));
    (1..=CHANNELS).map(name).collect()
}

fn fill_kidoku(place: &Place) -> io::Result<()> {
    let user_name = |user: u64| place.name(&format!("user:{user:04}"));
    let channel_name = |number: u64| place.name(&format!("channel:{number:04}"));
    let joins = (1..=CHANNELS).map(|number| {
        let mut words = vec!["KD.JOIN".to_owned(), channel_name(number)];
        words.extend(members(number).map(user_name));
        words.extend(["AT", "START"].map(str::to_owned));
        command(&words)
    });
    place.told(joins, &format!(":{}\r\n", USERS / STEP))?;
    let posts = messages().map(|(number, message)| {
        let mut words = vec![
            "KD.POST".to_owned(),
            channel_name(number),
            message.to_string(),
        ];
        let named = named(number, message);
        if !named.is_empty() {
            words.extend(["MENTIONS".to_owned(), named.len().to_string()]);
            words.extend(named.into_iter().map(user_name));
        }
        command(&words)
    });
    place.told(posts, ":1\r\n")?;
    place.told_all((1..=USERS).map(|user| {
        let mut words = vec!["KD.MACK".to_owned(), user_name(user)];
        for number in channels(user).filter(|number| cursor(user, *number) > 0) {
            words.extend([channel_name(number), cursor(user, number).to_string()]);
        }
        command(&words)
    }))
}

/// All messages of all channels.
fn messages() -> impl Iterator<Item = (u64, u64)> {
    (1..=CHANNELS).flat_map(|number| (1..=MESSAGES).map(move |message| (number, message)))
}

// Redis

/// The names of `bench/peers/redis`.
fn fill_redis(place: &Place) -> io::Result<()> {
    place.function(
        "state",
        include_str!("../../../../bench/peers/redis/state.lua"),
    )?;
    place.told_all((1..=CHANNELS).map(|number| {
        let mut words = vec!["ZADD".to_owned(), format!("msg:{number}")];
        for message in 1..=MESSAGES {
            words.extend([message.to_string(), message.to_string()]);
        }
        command(&words)
    }))?;
    place.told_all((1..=USERS).flat_map(|user| {
        let mut cursors = vec!["ZADD".to_owned(), format!("cur:{user}")];
        for number in channels(user) {
            cursors.extend([cursor(user, number).to_string(), number.to_string()]);
        }
        let mentions = mentioned(user).flat_map(move |number| {
            let mut words = vec!["ZADD".to_owned(), format!("men:{user}:{number}")];
            for id in MENTIONING.iter().filter(|id| **id > cursor(user, number)) {
                words.extend([id.to_string(), id.to_string()]);
            }
            let set = [
                "SADD".to_owned(),
                format!("mentioned:{user}"),
                number.to_string(),
            ];
            [command(&words), command(&set)]
        });
        std::iter::once(command(&cursors))
            .chain(mentions)
            .collect::<Vec<_>>()
    }))
}

/// The channels in which a user is mentioned above the cursor, as it is below the last message.
fn mentioned(user: u64) -> impl Iterator<Item = u64> {
    channels(user).step_by(usize::try_from(MENTIONED_EVERY).unwrap_or(1))
}

fn redis_script(place: &Place) -> Box<dyn Work> {
    let requests = (1..=USERS).map(|user| {
        let (cursors, mentioned) = (format!("cur:{user}"), format!("mentioned:{user}"));
        command(&[
            "FCALL",
            "state",
            "2",
            &cursors,
            &mentioned,
            &user.to_string(),
        ])
    });
    Told::resp(place, 1, requests.collect(), |index, reply| {
        let Ok(values) = Value::all(reply) else {
            return false;
        };
        let Some(flat) = values.first().and_then(Value::array) else {
            return false;
        };
        let row = |row: &[Value]| match row {
            [channel, _, unread, mentions] => Some((
                channel.unsigned()?,
                unread.unsigned()?,
                mentions.unsigned()?,
            )),
            _ => None,
        };
        is_truth(index, flat.chunks(4).map(row))
    })
}

/// Replies to a pipeline: cursors, channels with mentions, and a count of each.
const PIPELINE_REPLIES: u64 = 2 + CHANNELS_PER_USER + CHANNELS_PER_USER / MENTIONED_EVERY;

/// The pipeline without its first round trip: as if the client knew what the first two commands answer.
fn redis_pipeline(place: &Place) -> Box<dyn Work> {
    let requests = (1..=USERS).map(|user| {
        let mut bytes = command(&["ZRANGE", &format!("cur:{user}"), "0", "-1", "WITHSCORES"]);
        bytes.extend(command(&["SMEMBERS", &format!("mentioned:{user}")]));
        let count = |key: String, number| {
            let above = format!("({}", cursor(user, number));
            command(&["ZCOUNT", &key, &above, "+inf"])
        };
        bytes.extend(channels(user).flat_map(|number| count(format!("msg:{number}"), number)));
        bytes.extend(mentioned(user).flat_map(|n| count(format!("men:{user}:{n}"), n)));
        bytes
    });
    Told::resp(
        place,
        PIPELINE_REPLIES,
        requests.collect(),
        |index, reply| {
            let Ok(values) = Value::all(reply) else {
                return false;
            };
            let user = count_of(index) + 1;
            let mut counts = values.iter().skip(2).map(Value::unsigned);
            let unread: Vec<Option<u64>> = counts.by_ref().take(channels(user).count()).collect();
            let mentions: BTreeMap<u64, Option<u64>> = mentioned(user).zip(counts).collect();
            let row = |(number, unread): (u64, Option<u64>)| {
                let mentions = mentions.get(&number).copied().unwrap_or(Some(0));
                Some((number, unread?, mentions?))
            };
            is_truth(index, channels(user).zip(unread).map(row))
        },
    )
}

/// Counters, as most people write them first.
fn fill_naive(place: &Place) -> io::Result<()> {
    place.told_all((1..=USERS).flat_map(|user| {
        let mut unread = vec!["HSET".to_owned(), format!("unread:{user}")];
        let mut mentions = vec!["HSET".to_owned(), format!("mentions:{user}")];
        for (number, (unread_count, mention_count)) in truth(user) {
            unread.extend([number.to_string(), unread_count.to_string()]);
            if mention_count > 0 {
                mentions.extend([number.to_string(), mention_count.to_string()]);
            }
        }
        [command(&unread), command(&mentions)]
    }))
}

fn naive(place: &Place) -> Box<dyn Work> {
    let requests = (1..=USERS).map(|user| {
        let mut bytes = command(&["HGETALL", &format!("unread:{user}")]);
        bytes.extend(command(&["HGETALL", &format!("mentions:{user}")]));
        bytes
    });
    Told::resp(place, 2, requests.collect(), |index, reply| {
        let Ok(values) = Value::all(reply) else {
            return false;
        };
        let [Value::Array(unread), mentions] = values.as_slice() else {
            return false;
        };
        let row = |pair: &[Value]| match pair {
            [channel, unread] => {
                let mentions = mentions
                    .field(channel.text()?)
                    .map_or(Some(0), Value::unsigned);
                Some((channel.unsigned()?, unread.unsigned()?, mentions?))
            }
            _ => None,
        };
        is_truth(index, unread.chunks(2).map(row))
    })
}

// PostgreSQL

fn fill_postgres(place: &Place) -> io::Result<()> {
    let cursor = format!("(u * 7919 + c * 104729) % {MESSAGES}");
    let of_user = format!(
        "(SELECT u, n, (u + n * {STEP}) % {CHANNELS} + 1 AS c \
          FROM generate_series(1, {USERS}) u, generate_series(0, {CHANNELS_PER_USER} - 1) n) s"
    );
    let ids = MENTIONING.map(|id| id.to_string()).join(", ");
    place.sql(&[
        &format!("INSERT INTO read_state SELECT u, c, {cursor} FROM {of_user}"),
        &format!(
            "INSERT INTO message SELECT c, m, 0 FROM generate_series(1, {CHANNELS}) c, \
             generate_series(1, {MESSAGES}) m"
        ),
        &format!(
            "INSERT INTO mention SELECT u, c, m FROM {of_user}, unnest(ARRAY[{ids}]) m \
             WHERE n % {MENTIONED_EVERY} = 0"
        ),
        "VACUUM ANALYZE",
    ])
}

fn postgres(_: &Place) -> Box<dyn Work> {
    let template = Template::postgres("state", &["{0:4}"]);
    let requests = (1..=USERS).map(|user| template.with(&[user])).collect();
    Told::postgres(requests, |index, reply| {
        let row = |columns: Vec<String>| match columns.as_slice() {
            [channel, _, unread, mentions] => {
                let number = |text: &str| text.parse().ok();
                Some((number(channel)?, number(unread)?, number(mentions)?))
            }
            _ => None,
        };
        is_truth(
            index,
            crate::wire::postgres::rows(reply).into_iter().map(row),
        )
    })
}

// Go

fn fill_golru(place: &Place) -> io::Result<()> {
    // Messages first, as an ack sets mentions to nothing.
    let last = (1..=CHANNELS).map(|number| golru_post(number, MENTIONING[0], &[]));
    place.told_all(last)?;
    place.told_all((1..=USERS).flat_map(|user| {
        let acks = channels(user).filter_map(move |number| {
            let id = cursor(user, number).to_string();
            (cursor(user, number) > 0)
                .then(|| command(&["ACK", &user.to_string(), &number.to_string(), &id]))
        });
        acks.collect::<Vec<_>>()
    }))?;
    place.told_all((1..=CHANNELS).map(|number| {
        let named = named(number, MESSAGES);
        golru_post(number, MESSAGES, &named)
    }))
}

fn golru_post(number: u64, message: u64, named: &[u64]) -> Vec<u8> {
    let mut words = vec!["POST".to_owned(), number.to_string(), message.to_string()];
    words.extend(named.iter().map(u64::to_string));
    command(&words)
}

fn golru(place: &Place) -> Box<dyn Work> {
    let requests = (1..=USERS)
        .map(|user| command(&["STATE", &user.to_string()]))
        .collect();
    Told::resp(place, 1, requests, |index, reply| {
        let Ok(values) = Value::all(reply) else {
            return false;
        };
        let Some(flat) = values.first().and_then(Value::array) else {
            return false;
        };
        // It knows of no count: the channels and how far they are read have to be right.
        let user = count_of(index) + 1;
        let rows = flat.chunks(4).filter_map(|row| match row {
            [channel, cursor, _, last] => {
                Some((channel.unsigned()?, cursor.unsigned()?, last.unsigned()?))
            }
            _ => None,
        });
        let told: Vec<(u64, u64, u64)> = rows.collect();
        let known = channels(user).filter(|n| cursor(user, *n) > 0 || is_mentioned(user, *n));
        told.len() == known.count()
            && told
                .iter()
                .all(|(number, at, last)| *at == cursor(user, *number) && *last == MESSAGES)
    })
}

fn entrants() -> Vec<Entrant> {
    let ours = |contender| Entrant {
        contender,
        name: None,
        what: "KD.STATE",
        fill: fill_kidoku,
        jobs: &[kidoku],
    };
    let redis = |name, what, fill, jobs| Entrant {
        contender: Contender::Redis(AppendOnly::Always),
        name: Some(name),
        what,
        fill,
        jobs,
    };
    vec![
        ours(Contender::Kidoku(Durability::Sync)),
        ours(Contender::Given),
        redis(
            "redis script",
            "FCALL of 204 ZCOUNT",
            fill_redis,
            &[redis_script],
        ),
        redis(
            "redis pipeline",
            "206 commands",
            fill_redis,
            &[redis_pipeline],
        ),
        redis("redis naive", "2 HGETALL", fill_naive, &[naive]),
        Entrant {
            contender: Contender::Postgres,
            name: None,
            what: "SELECT, 2 counts a row",
            fill: fill_postgres,
            jobs: &[postgres],
        },
        Entrant {
            contender: Contender::Golru(Layout::Slice),
            name: None,
            what: "STATE",
            fill: fill_golru,
            jobs: &[golru],
        },
    ]
}

fn loads(setup: &Setup) -> [Load; 2] {
    let mut open = Load::closed(setup, 20, 8);
    open.plan.pace = Pace::Open { per_second: 100 };
    [Load::closed(setup, 20, 1), open]
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
        name: "state",
        title: "Everything of a user with 200 channels".to_owned(),
        about: format!(
            "{} users in {CHANNELS_PER_USER} of {CHANNELS} channels with {} messages each; cursors stand \
             anywhere, and every user is mentioned in {} channels. The answer has unread and mentions of \
             all channels, and every number in it was compared with what is right.",
            grouped(USERS),
            grouped(MESSAGES),
            CHANNELS_PER_USER / MENTIONED_EVERY
        ),
        contests,
        aims: vec![
            Aim::beside("kidoku sync", "redis script"),
            Aim::beside("kidoku sync", "redis pipeline"),
            Aim::p99("kidoku sync", "redis script"),
        ],
        tables: Vec::new(),
        bars: Vec::new(),
        notes,
    })
}

/// What is not the same work.
const NOTES: [&str; 4] = [
    "KD.STATE also answers the first unread and the last message, era, mute and membership of each \
     channel; the others answer channel, cursor, unread and mentions",
    "redis pipeline leaves out the first of its two round trips, as if the client knew the cursors; redis \
     script needs one",
    "redis naive reads counters that drift; what they cost is paid by each post, see the row post",
    "go-lru knows only whether something is unread, and not how many",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_channels_and_mentions_say_the_same() {
        for user in [1, 2, 3, 500, USERS] {
            for number in 1..=CHANNELS {
                let is_member = channels(user).any(|channel| channel == number);
                assert_eq!(members(number).any(|member| member == user), is_member);
                let is_named = named(number, MESSAGES).contains(&user);
                assert_eq!(mentioned(user).any(|channel| channel == number), is_named);
            }
            assert_eq!(
                truth(user).len(),
                usize::try_from(CHANNELS_PER_USER).unwrap()
            );
        }
        assert!((1..=USERS).all(|user| channels(user).all(|n| cursor(user, n) < MESSAGES)));
    }

    #[test]
    fn an_answer_is_right_only_with_every_number_of_every_channel() {
        let rows: Vec<_> = truth(7).into_iter().map(|(c, (u, m))| (c, u, m)).collect();
        let is_right = |rows: &[(u64, u64, u64)]| is_truth(6, rows.iter().copied().map(Some));
        assert!(is_right(&rows));
        assert!(!is_right(&rows[1..]));
        let mut twice = rows.clone();
        twice.push(*rows.first().unwrap());
        assert!(!is_right(&twice));
        let mut wrong = rows;
        wrong.last_mut().unwrap().1 += 1;
        assert!(!is_right(&wrong));
    }
}
