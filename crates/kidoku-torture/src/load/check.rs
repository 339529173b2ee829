//! Compares a book with what a server answers.

use super::book::{
    Book, CHANNELS, Channel, Fate, GUEST, Message, PLAZA, Standing, USERS, WITNESS, index,
};
use crate::wire::{Client, Value};
use std::collections::BTreeSet;

/// Ids of one page of an explanation.
const PAGE: &str = "1000";

/// Looks at everything a lane is owed and takes what is found, where more than one thing was right,
/// as what is so from now on. Answers how many claims were compared.
///
/// # Errors
/// What is missing, came back, or is counted wrong.
pub fn check(client: &mut Client, book: &mut Book) -> Result<u64, String> {
    let mut claims = 0;
    let mut badges = vec![0; index(USERS)];
    for channel in 0..CHANNELS {
        let (trim, live) = live_ids(client, book, channel)?;
        settle_trim(book, channel, trim)?;
        claims += check_messages(book, channel, &live)?;
        for user in 0..USERS {
            let state = read_state(client, &book.user(user), &book.channel(channel))?;
            check_state(book, (user, channel), &live, &state)?;
            let standing = BTreeSet::from([state.standing]);
            book.standings.insert((user, channel), standing);
            badges[index(user)] += state.unread;
            claims += 3;
        }
        settle_deletes(book, channel, &live);
    }
    for user in 0..USERS {
        let badge = client.command(&["KD.BADGE", &book.user(user)]);
        let unread = field(&badge, "unread")?;
        let sum = badges[index(user)];
        if unread != sum {
            return Err(format!(
                "{}: a badge of {unread} over channels that add up to {sum}",
                book.user(user)
            ));
        }
        claims += 1;
    }
    Ok(claims)
}

/// What the server says of a user in a channel.
struct State {
    standing: Standing,
    unread: u64,
    mentions: u64,
}

fn read_state(client: &mut Client, user: &str, channel: &str) -> Result<State, String> {
    let reply = client.command(&["KD.COUNT", user, channel]);
    let Value::Array(items) = &reply else {
        return Err(format!("KD.COUNT {user} {channel}: {reply:?}"));
    };
    let state = items.first().ok_or("an empty KD.COUNT")?;
    Ok(State {
        standing: Standing {
            member: state.get("member").is_true(),
            cursor: field(state, "cursor")?,
        },
        unread: field(state, "unread")?,
        mentions: field(state, "mentions")?,
    })
}

fn field(value: &Value, name: &str) -> Result<u64, String> {
    match value {
        Value::Map(_) | Value::Array(_) => Ok(value.get(name).number()),
        other => Err(format!("no {name} in {other:?}")),
    }
}

/// The trim of a channel and every live message above it: the witness has read none and wrote none.
fn live_ids(
    client: &mut Client,
    book: &Book,
    channel: u64,
) -> Result<(u64, BTreeSet<u64>), String> {
    let (user, channel) = (book.user(WITNESS), book.channel(channel));
    let mut ids = BTreeSet::new();
    let mut after = None::<String>;
    loop {
        let mut words = vec!["KD.EXPLAIN", &user, &channel, "LIMIT", PAGE];
        if let Some(after) = &after {
            words.extend(["AFTER", after]);
        }
        let reply = client.command(&words);
        if !matches!(reply, Value::Map(_) | Value::Array(_)) {
            return Err(format!("{}: {reply:?}", words.join(" ")));
        }
        ids.extend(reply.get("unread_ids").items().iter().map(Value::number));
        match reply.get("next") {
            Value::Null => return Ok((field(&reply, "trim")?, ids)),
            next => after = Some(next.text()),
        }
    }
}

fn check_messages(book: &Book, number: u64, live: &BTreeSet<u64>) -> Result<u64, String> {
    let name = book.channel(number);
    let channel = &book.channels[index(number)];
    for (id, message) in &channel.messages {
        let is_owed =
            message.posted == Fate::Sure && message.deleted.is_none() && *id > channel.trim_sure;
        if is_owed && !live.contains(id) {
            return Err(format!(
                "{name}: the post of {id} was acknowledged and is gone"
            ));
        }
        if message.deleted == Some(Fate::Sure) && live.contains(id) {
            return Err(format!("{name}: {id} was deleted and is back"));
        }
    }
    for id in live.iter().filter(|id| is_own(book, number, **id)) {
        if *id <= channel.trim_sure {
            return Err(format!("{name}: {id} was trimmed and is back"));
        }
        if !channel.messages.contains_key(id) {
            return Err(format!("{name}: nobody posted {id}"));
        }
    }
    Ok(u64::try_from(channel.messages.len()).unwrap_or(u64::MAX))
}

/// In the shared channel, messages of other lanes are in other books.
fn is_own(book: &Book, channel: u64, id: u64) -> bool {
    channel != PLAZA || id % super::book::LANES_MAX == book.lane
}

fn check_state(
    book: &Book,
    (user, channel): (u64, u64),
    live: &BTreeSet<u64>,
    found: &State,
) -> Result<(), String> {
    let whom = format!("{} in {}", book.user(user), book.channel(channel));
    let possible = &book.standings[&(user, channel)];
    if !possible.contains(&found.standing) {
        let lowest = possible.first();
        return Err(format!(
            "{whom}: {:?}, owed one of {} standings from {lowest:?} on",
            found.standing,
            possible.len()
        ));
    }
    let line = found.standing.cursor;
    let held = &book.channels[index(channel)];
    let mut unread = Bounds::default();
    let mut mentions = Bounds::default();
    if found.standing.member {
        for id in live.range(line + 1..) {
            match held.messages.get(id) {
                None => unread.add(Fate::Sure),
                Some(message) => {
                    count(&mut unread, &mut mentions, message, user);
                }
            }
        }
    }
    if !unread.contains(found.unread) {
        return Err(format!("{whom}: {} unread, not {unread:?}", found.unread));
    }
    if !mentions.contains(found.mentions) {
        return Err(format!(
            "{whom}: {} mentions, not {mentions:?}",
            found.mentions
        ));
    }
    Ok(())
}

/// A message whose post got no reply may be filed before its author and those it names know of it.
fn count(unread: &mut Bounds, mentions: &mut Bounds, message: &Message, user: u64) {
    if message.author == user && user != GUEST {
        if message.posted == Fate::Open {
            unread.add(Fate::Open);
        }
        return;
    }
    unread.add(Fate::Sure);
    if message.mentions.contains(&user) {
        mentions.add(message.posted);
    }
}

/// From how many up to how many.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    low: u64,
    high: u64,
}

impl Bounds {
    fn add(&mut self, fate: Fate) {
        self.high += 1;
        if fate == Fate::Sure {
            self.low += 1;
        }
    }

    fn contains(self, number: u64) -> bool {
        (self.low..=self.high).contains(&number)
    }
}

/// What is found is so from now on.
fn settle_trim(book: &mut Book, number: u64, found: u64) -> Result<(), String> {
    let name = book.channel(number);
    let channel = &mut book.channels[index(number)];
    let (sure, open) = (channel.trim_sure, channel.trim_open);
    if found < sure || found > open {
        return Err(format!("{name}: trimmed to {found}, owed {sure} to {open}"));
    }
    channel.trim_sure = found;
    channel.trim_open = found;
    channel.messages = channel.messages.split_off(&(found + 1));
    Ok(())
}

/// As with the trim. Posts without a reply stay open until they are sent again.
fn settle_deletes(book: &mut Book, number: u64, live: &BTreeSet<u64>) {
    let channel: &mut Channel = &mut book.channels[index(number)];
    channel.messages.retain(|id, message| {
        if message.deleted == Some(Fate::Open) {
            if !live.contains(id) {
                // Deleted, or never posted: its id is not used again.
                return false;
            }
            message.deleted = None;
        }
        true
    });
}
