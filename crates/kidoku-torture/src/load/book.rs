//! What a lane did, and what must be, may be and may not be there after it.
//!
//! This is a second account of the rules, kept small and apart from the server's: a message counts
//! for a user when it is live, above the cursor, and somebody else's.

use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// The channel that all lanes post in.
pub const PLAZA: u64 = 0;

/// Channels of a lane, the shared one counted.
pub const CHANNELS: u64 = 6;

/// The user of a lane that never reads: what is unread for it is what is live.
pub const WITNESS: u64 = 0;

/// The user of a lane that only joins and leaves.
pub const GUEST: u64 = 1;

/// Users of a lane.
pub const USERS: u64 = 9;

/// Lanes there may be: message ids of the shared channel are dealt out by it.
pub const LANES_MAX: u64 = 16;

/// Messages after which a lane trims a channel of its own, so that long runs do not grow.
const MESSAGES_MAX: usize = 1_500;

/// An operation of a lane, on its users and channels by number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named as in the command reference")]
pub enum Op {
    /// A user joins at the start.
    Join { user: u64, channel: u64 },
    /// A user leaves.
    Leave { user: u64, channel: u64 },
    /// A message is posted.
    Post {
        channel: u64,
        id: u64,
        author: u64,
        acks: bool,
        mentions: Vec<u64>,
    },
    /// A message is deleted.
    Delete { channel: u64, id: u64 },
    /// A user has read up to a message.
    Ack { user: u64, channel: u64, id: u64 },
    /// A user marks a message and all after it unread.
    Unread { user: u64, channel: u64, id: u64 },
    /// Messages up to this one no longer count.
    Trim { channel: u64, id: u64 },
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was acknowledged: it is owed.
    Sure,
    /// No reply, or an error: it may be there or not.
    Open,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who wrote it.
    pub author: u64,
    /// Whom it names.
    pub mentions: Vec<u64>,
    /// Its author may have marked it unread since it was first sent: sent again, it then acks only if
    /// it was not there.
    pub unread_since: bool,
    /// Whether posting acks.
    pub acks: bool,
    /// Whether it must be there.
    pub posted: Fate,
    /// Whether it is deleted; `None` = no.
    pub deleted: Option<Fate>,
}

/// Where a user may stand in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// In the channel.
    pub member: bool,
    /// Read up to here.
    pub cursor: u64,
}

/// A channel.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    /// What may be live.
    pub messages: BTreeMap<u64, Message>,
    /// Trimmed for sure up to here.
    pub trim_sure: u64,
    /// Trimmed perhaps up to here.
    pub trim_open: u64,
    last: u64,
}

/// The book of one lane.
#[derive(Clone, Debug)]
pub struct Book {
    /// Which lane.
    pub lane: u64,
    /// The channels by number.
    pub channels: Vec<Channel>,
    /// Every standing that a user may have, by user and channel. More than one only between a crash
    /// and the look at what is there.
    pub standings: BTreeMap<(u64, u64), BTreeSet<Standing>>,
    /// Operations acknowledged.
    pub sure: u64,
    /// Operations whose fate was open.
    pub open: u64,
}

impl Book {
    /// Of a lane that has done nothing.
    pub fn new(lane: u64) -> Self {
        assert!(lane < LANES_MAX, "ids are dealt out to {LANES_MAX} lanes");
        let nobody = BTreeSet::from([Standing {
            member: false,
            cursor: 0,
        }]);
        let pairs = (0..USERS).flat_map(|user| (0..CHANNELS).map(move |channel| (user, channel)));
        Self {
            lane,
            channels: (0..CHANNELS).map(|_| Channel::default()).collect(),
            standings: pairs.map(|pair| (pair, nobody.clone())).collect(),
            sure: 0,
            open: 0,
        }
    }

    /// The name of a user.
    pub fn user(&self, user: u64) -> String {
        format!("user{}-{user}", self.lane)
    }

    /// The name of a channel.
    pub fn channel(&self, channel: u64) -> String {
        if channel == PLAZA {
            "plaza".to_owned()
        } else {
            format!("channel{}-{channel}", self.lane)
        }
    }

    /// What a lane begins with: everybody in every channel.
    pub fn opening(&self) -> Vec<Op> {
        let pairs = (0..USERS).flat_map(|user| (0..CHANNELS).map(move |channel| (user, channel)));
        pairs
            .map(|(user, channel)| Op::Join { user, channel })
            .collect()
    }

    /// Something to do next. The caller sends it and notes its fate later; ids are used up now.
    pub fn next(&mut self, random: &mut Random) -> Op {
        let channel = random.below(CHANNELS);
        let user = random.between(GUEST + 1, USERS);
        let held = &self.channels[index(channel)];
        let last = held.last.max(1);
        match random.below(100) {
            0..40 => {
                // Mostly near the end of the channel, as people read; sometimes far below.
                let far = if random.percent(80) { 40 } else { 4_000 };
                let back = random.below(far);
                let id = last.saturating_sub(back).max(1);
                Op::Ack { user, channel, id }
            }
            40..84 => self.next_post(channel, user, random),
            84..89 => match some_message(held, random) {
                Some(id) => Op::Delete { channel, id },
                None => self.next_post(channel, user, random),
            },
            89..94 => {
                let id = last.saturating_sub(random.below(200)).max(1);
                Op::Unread { user, channel, id }
            }
            94..97 => Op::Leave {
                user: GUEST,
                channel,
            },
            97.. => Op::Join {
                user: GUEST,
                channel,
            },
        }
    }

    fn next_post(&mut self, channel: u64, author: u64, random: &mut Random) -> Op {
        let lane = self.lane;
        let held = &mut self.channels[index(channel)];
        if channel != PLAZA
            && held.messages.len() > MESSAGES_MAX
            && let Some(id) = held.messages.keys().nth(MESSAGES_MAX / 2)
        {
            return Op::Trim { channel, id: *id };
        }
        let round = held.last / LANES_MAX + random.between(1, 4);
        let id = round * LANES_MAX + lane;
        held.last = id;
        let named = if random.percent(40) {
            random.between(1, 4)
        } else {
            0
        };
        let mentions: BTreeSet<u64> = (0..named)
            .map(|_| random.between(GUEST + 1, USERS))
            .filter(|named| *named != author)
            .collect();
        Op::Post {
            channel,
            id,
            author,
            acks: random.percent(50),
            mentions: mentions.into_iter().collect(),
        }
    }

    /// Notes what became of an operation. In the order in which they were sent.
    pub fn note(&mut self, op: &Op, fate: Fate) {
        match fate {
            Fate::Sure => self.sure += 1,
            Fate::Open => self.open += 1,
        }
        match op {
            Op::Join { user, channel } => self.stand(*user, *channel, fate, |before| Standing {
                member: true,
                ..before
            }),
            Op::Leave { user, channel } => self.stand(*user, *channel, fate, |before| Standing {
                member: false,
                ..before
            }),
            Op::Ack { user, channel, id } => self.read_to(*user, *channel, *id, fate),
            Op::Unread { user, channel, id } => {
                let cursor = id - 1;
                for message in self.channels[index(*channel)].messages.range_mut(id..) {
                    message.1.unread_since |= message.1.author == *user;
                }
                self.stand(*user, *channel, fate, |before| Standing {
                    cursor,
                    ..before
                });
            }
            Op::Post {
                channel,
                id,
                author,
                acks,
                mentions,
            } => self.note_post(*channel, *id, (*author, *acks, mentions), fate),
            Op::Delete { channel, id } => {
                if let Some(message) = self.channels[index(*channel)].messages.get_mut(id) {
                    let known = message.deleted == Some(Fate::Sure);
                    message.deleted = Some(if known { Fate::Sure } else { fate });
                }
            }
            Op::Trim { channel, id } => {
                let channel = &mut self.channels[index(*channel)];
                channel.trim_open = channel.trim_open.max(*id);
                if fate == Fate::Sure {
                    channel.trim_sure = channel.trim_sure.max(*id);
                    channel.messages = channel.messages.split_off(&(id + 1));
                }
            }
        }
    }

    fn note_post(
        &mut self,
        channel: u64,
        id: u64,
        (author, acks, mentions): (u64, bool, &[u64]),
        fate: Fate,
    ) {
        if acks {
            let before = self.channels[index(channel)].messages.get(&id);
            let may_stay = before.is_some_and(|message| message.unread_since);
            // Either way is possible, as if it were open.
            let fate = if may_stay { Fate::Open } else { fate };
            self.read_to(author, channel, id, fate);
        }
        let held = &mut self.channels[index(channel)];
        held.last = held.last.max(id);
        if id <= held.trim_sure {
            return;
        }
        let message = held.messages.entry(id).or_insert_with(|| Message {
            author,
            mentions: mentions.to_vec(),
            unread_since: false,
            acks,
            posted: Fate::Open,
            deleted: None,
        });
        if fate == Fate::Sure {
            message.posted = Fate::Sure;
        }
    }

    fn read_to(&mut self, user: u64, channel: u64, id: u64, fate: Fate) {
        self.stand(user, channel, fate, |before| Standing {
            member: true,
            cursor: before.cursor.max(id),
        });
    }

    fn stand(
        &mut self,
        user: u64,
        channel: u64,
        fate: Fate,
        change: impl Fn(Standing) -> Standing,
    ) {
        let standings = self.standings.entry((user, channel)).or_default();
        let changed: BTreeSet<Standing> = standings.iter().map(|before| change(*before)).collect();
        match fate {
            Fate::Sure => *standings = changed,
            Fate::Open => standings.extend(changed),
        }
    }

    /// Posts whose fate is open, to be sent again as a client would.
    pub fn open_posts(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        for (number, channel) in (0..).zip(&self.channels) {
            for (id, message) in &channel.messages {
                if message.posted == Fate::Open {
                    ops.push(Op::Post {
                        channel: number,
                        id: *id,
                        author: message.author,
                        acks: message.acks,
                        mentions: message.mentions.clone(),
                    });
                }
            }
        }
        ops
    }

    /// True when nothing is open any more.
    pub fn is_settled(&self) -> bool {
        let settled = |channel: &Channel| {
            let mut messages = channel.messages.values();
            channel.trim_open == channel.trim_sure
                && messages.all(|message| {
                    message.posted == Fate::Sure && message.deleted != Some(Fate::Open)
                })
        };
        self.channels.iter().all(settled)
            && self
                .standings
                .values()
                .all(|standings| standings.len() == 1)
    }
}

impl Op {
    /// As words of a RESP command.
    pub fn words(&self, book: &Book) -> Vec<String> {
        let words = |name: &str, rest: &[String]| {
            let mut words = vec![name.to_owned()];
            words.extend_from_slice(rest);
            words
        };
        match self {
            Self::Join { user, channel } => words(
                "KD.JOIN",
                &[
                    book.channel(*channel),
                    book.user(*user),
                    "AT".to_owned(),
                    "START".to_owned(),
                ],
            ),
            Self::Leave { user, channel } => {
                words("KD.LEAVE", &[book.channel(*channel), book.user(*user)])
            }
            Self::Ack { user, channel, id } => words(
                "KD.ACK",
                &[book.user(*user), book.channel(*channel), id.to_string()],
            ),
            Self::Unread { user, channel, id } => words(
                "KD.UNREAD",
                &[book.user(*user), book.channel(*channel), id.to_string()],
            ),
            Self::Delete { channel, id } => {
                words("KD.DELETE", &[book.channel(*channel), id.to_string()])
            }
            Self::Trim { channel, id } => {
                words("KD.TRIM", &[book.channel(*channel), id.to_string()])
            }
            Self::Post {
                channel,
                id,
                author,
                acks,
                mentions,
            } => {
                let mut rest = vec![
                    book.channel(*channel),
                    id.to_string(),
                    "BY".to_owned(),
                    book.user(*author),
                ];
                if !acks {
                    rest.push("NOACK".to_owned());
                }
                if !mentions.is_empty() {
                    rest.push("MENTIONS".to_owned());
                    rest.push(mentions.len().to_string());
                    rest.extend(mentions.iter().map(|user| book.user(*user)));
                }
                words("KD.POST", &rest)
            }
        }
    }

    /// As a line of an event stream.
    pub fn line(&self, book: &Book) -> String {
        let value = match self {
            Self::Join { user, channel } => serde_json::json!({
                "op": "join", "channel": book.channel(*channel), "user": book.user(*user), "at": "start",
            }),
            Self::Leave { user, channel } => serde_json::json!({
                "op": "leave", "channel": book.channel(*channel), "user": book.user(*user),
            }),
            Self::Ack { user, channel, id } => serde_json::json!({
                "op": "ack", "user": book.user(*user), "channel": book.channel(*channel), "id": id.to_string(),
            }),
            Self::Unread { user, channel, id } => serde_json::json!({
                "op": "unread", "user": book.user(*user), "channel": book.channel(*channel), "id": id.to_string(),
            }),
            Self::Delete { channel, id } => serde_json::json!({
                "op": "delete", "channel": book.channel(*channel), "id": id.to_string(),
            }),
            Self::Trim { channel, id } => serde_json::json!({
                "op": "trim", "channel": book.channel(*channel), "id": id.to_string(),
            }),
            Self::Post {
                channel,
                id,
                author,
                acks,
                mentions,
            } => {
                let mentions: Vec<String> = mentions.iter().map(|user| book.user(*user)).collect();
                serde_json::json!({
                    "op": "message", "channel": book.channel(*channel), "id": id.to_string(),
                    "author": book.user(*author), "noack": !acks, "mentions": mentions,
                })
            }
        };
        format!("{value}\n")
    }
}

fn some_message(channel: &Channel, random: &mut Random) -> Option<u64> {
    let count = u64::try_from(channel.messages.len()).ok()?;
    let skip = usize::try_from(random.below(count.max(1))).ok()?;
    channel.messages.keys().nth(skip).copied()
}

/// A channel's place in the book.
pub fn index(channel: u64) -> usize {
    usize::try_from(channel).expect("channels are few")
}

#[cfg(test)]
mod tests {
    use super::{Book, Fate, GUEST, Op, Standing};

    const READER: u64 = GUEST + 1;

    fn cursors(book: &Book) -> Vec<u64> {
        let standings = &book.standings[&(READER, 1)];
        standings.iter().map(|standing| standing.cursor).collect()
    }

    fn ack(id: u64) -> Op {
        Op::Ack {
            user: READER,
            channel: 1,
            id,
        }
    }

    #[test]
    fn what_was_not_answered_may_be_there_or_not_and_what_was_must() {
        let mut book = Book::new(0);
        book.note(&ack(10), Fate::Sure);
        book.note(&ack(5), Fate::Open);
        assert_eq!(cursors(&book), [10], "an ack below changes nothing");
        book.note(&ack(20), Fate::Open);
        let unread = Op::Unread {
            user: READER,
            channel: 1,
            id: 4,
        };
        book.note(&unread, Fate::Open);
        assert_eq!(cursors(&book), [3, 10, 20]);
        book.note(&ack(15), Fate::Sure);
        assert_eq!(cursors(&book), [15, 20]);
    }

    #[test]
    fn a_post_sent_again_may_leave_what_was_marked_unread_since() {
        let post = |id| Op::Post {
            channel: 1,
            id,
            author: READER,
            acks: true,
            mentions: Vec::new(),
        };
        let mut book = Book::new(0);
        let join = Op::Join {
            user: READER,
            channel: 1,
        };
        book.note(&join, Fate::Sure);
        book.note(&post(32), Fate::Open);
        let unread = Op::Unread {
            user: READER,
            channel: 1,
            id: 16,
        };
        book.note(&unread, Fate::Sure);
        assert_eq!(cursors(&book), [15]);
        book.note(&post(32), Fate::Sure);
        assert_eq!(cursors(&book), [15, 32]);
        book.note(&post(48), Fate::Open);
        book.note(&post(48), Fate::Sure);
        assert_eq!(cursors(&book), [48]);
    }

    #[test]
    fn a_delete_without_a_reply_does_not_undo_one_with_a_reply() {
        let mut book = Book::new(0);
        let post = Op::Post {
            channel: 1,
            id: 16,
            author: READER,
            acks: true,
            mentions: Vec::new(),
        };
        book.note(&post, Fate::Sure);
        let delete = Op::Delete { channel: 1, id: 16 };
        book.note(&delete, Fate::Sure);
        book.note(&delete, Fate::Open);
        assert_eq!(book.channels[1].messages[&16].deleted, Some(Fate::Sure));
        let here = Standing {
            member: true,
            cursor: 16,
        };
        assert!(book.standings[&(READER, 1)].contains(&here));
    }
}
