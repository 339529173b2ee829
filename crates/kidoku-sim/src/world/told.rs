//! What anybody was ever told of cursors and revisions, in replies and in events: neither goes back.
//!
//! What has left the gate for good holds for whoever asks from then on, and for every start, asked or
//! not, as does the newest message that was told of a channel: across crashes, starts,
//! evictions, and, once both have everything, at the other owner. An erasure or a drop takes the
//! cursors of what it erases back to nothing; what was asked before that is over is not compared.

use crate::model::Model;
use crate::workload;
use crate::workload::{CHANNELS, USERS};
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::fact::Cursor;
use kidoku_core::id::{ChannelKey, MessageId, UserKey};
use kidoku_core::reply::{ReadState, Reply};
use kidoku_core::request::{Page, Request};

type Each<T> = [[T; CHANNELS]; USERS];

/// A revision, and during which life of its process it was told.
#[derive(Clone, Copy, Debug, Default)]
struct ToldRev {
    rev: Clock,
    life: u64,
}

/// What one owner has told.
#[derive(Clone, Debug, Default)]
struct Told {
    cursors: Each<Cursor>,
    /// The newest message of each channel.
    messages: [Option<MessageId>; CHANNELS],
    /// When each cursor was last taken back to nothing.
    resets: Each<u64>,
    revs: [ToldRev; USERS],
    /// Erasures and drops under way: which call, whose, where.
    open: Vec<(u64, Option<usize>, Option<usize>)>,
    life: u64,
    /// The lowest wall time in this life.
    wall_min: Millis,
}

/// What must not be gone below by an answer to what is asked now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    since: u64,
    cursors: Each<Cursor>,
    revs: [ToldRev; USERS],
}

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    owners: Vec<Told>,
    now: u64,
}

fn number(name: &str, below: usize) -> Option<usize> {
    // Names of a history are a letter and a number.
    let number = name.get(1..)?.parse().ok()?;
    (number < below).then_some(number)
}

fn user_place(user: &UserKey) -> Option<usize> {
    number(user.name(), USERS)
}

fn channel_place(channel: &ChannelKey) -> Option<usize> {
    number(channel.name(), CHANNELS)
}

fn cursor_of(state: &ReadState) -> Cursor {
    Cursor {
        era: state.era,
        position: state.cursor,
    }
}

/// The read states in a reply, by user and channel.
pub(super) fn states<'a>(
    request: &'a Request,
    reply: &'a Reply,
) -> Vec<(&'a UserKey, &'a ChannelKey, &'a ReadState)> {
    match (request, reply) {
        (
            Request::Ack { user, channel, .. } | Request::MarkUnread { user, channel, .. },
            Reply::ReadState(state),
        ) => vec![(user, channel, state)],
        (Request::Explain { user, channel, .. }, Reply::Explanation(explanation)) => {
            vec![(user, channel, &explanation.state)]
        }
        (Request::Count { user, channels }, Reply::ReadStates(states)) => {
            let pairs = channels.iter().zip(states);
            pairs
                .map(|(channel, state)| (user, channel, state))
                .collect()
        }
        (Request::State { user, .. }, Reply::State { channels, .. }) => {
            let pairs = channels.iter();
            pairs
                .map(|(channel, state)| (user, channel, state))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The revision of all of a user's numbers, when a reply has it. A part of the channels may have an
/// earlier one.
pub(super) fn revision<'a>(request: &'a Request, reply: &Reply) -> Option<(&'a UserKey, Clock)> {
    match (request, reply) {
        (Request::Badge { user, .. } | Request::AckAll { user, .. }, Reply::Badge(badge)) => {
            Some((user, badge.rev))
        }
        (
            Request::State {
                user,
                page: Page { after: None, .. },
                ..
            },
            Reply::State {
                rev, next: None, ..
            },
        ) => Some((user, *rev)),
        _ => None,
    }
}

impl Book {
    pub(super) fn new(owners: usize) -> Self {
        Self {
            owners: vec![Told::default(); owners],
            now: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// What holds for whoever asks now.
    pub(super) fn floor(&mut self, owner: usize) -> Floor {
        let since = self.tick();
        let told = &self.owners[owner];
        Floor {
            since,
            cursors: told.cursors,
            revs: told.revs,
        }
    }

    /// A process begins.
    pub(super) fn begun(&mut self, owner: usize, now: Millis) {
        let told = &mut self.owners[owner];
        told.life += 1;
        told.wall_min = now;
    }

    /// Wall time goes on, or back.
    pub(super) fn time(&mut self, owner: usize, now: Millis) {
        let told = &mut self.owners[owner];
        told.wall_min = told.wall_min.min(now);
    }

    /// A request gets to the server: when it erases or drops, cursors go back to nothing.
    pub(super) fn submitted(&mut self, owner: usize, call: u64, request: &Request) {
        let (user, channel) = match request {
            Request::Erase { user } => (user_place(user), None),
            Request::Drop { channel } => (None, channel_place(channel)),
            _ => return,
        };
        self.owners[owner].open.push((call, user, channel));
        self.reset(owner, user, channel);
    }

    fn reset(&mut self, owner: usize, user: Option<usize>, channel: Option<usize>) {
        let now = self.tick();
        let told = &mut self.owners[owner];
        if user.is_none() {
            for at in (0..CHANNELS).filter(|at| channel.is_none_or(|channel| channel == *at)) {
                told.messages[at] = None;
            }
        }
        for at_user in (0..USERS).filter(|at| user.is_none_or(|user| user == *at)) {
            for at in (0..CHANNELS).filter(|at| channel.is_none_or(|channel| channel == *at)) {
                told.cursors[at_user][at] = Cursor::default();
                told.resets[at_user][at] = now;
            }
        }
    }

    /// A request is answered.
    pub(super) fn answered(&mut self, owner: usize, call: u64) {
        let open = &mut self.owners[owner].open;
        if let Some(at) = open.iter().position(|(open, ..)| *open == call) {
            let (_, user, channel) = open.remove(at);
            self.reset(owner, user, channel);
        }
    }

    /// A process has ended, and with it what it was doing.
    pub(super) fn ended(&mut self, owner: usize) {
        for (_, user, channel) in std::mem::take(&mut self.owners[owner].open) {
            self.reset(owner, user, channel);
        }
    }

    /// Rot has taken acknowledged facts.
    pub(super) fn lost(&mut self) {
        for owner in 0..self.owners.len() {
            self.reset(owner, None, None);
        }
    }

    /// Every owner has everything that any of them has told.
    pub(super) fn exchanged(&mut self) {
        let mut highest: Each<Cursor> = Each::default();
        for told in &self.owners {
            for (user, cursors) in told.cursors.iter().enumerate() {
                for (channel, cursor) in cursors.iter().enumerate() {
                    let known = &mut highest[user][channel];
                    *known = (*known).max(*cursor);
                }
            }
        }
        for told in &mut self.owners {
            told.cursors = highest;
        }
    }

    /// What was known of this cursor was taken back since.
    pub(super) fn is_reset(
        &self,
        owner: usize,
        floor: &Floor,
        user: &UserKey,
        channel: &ChannelKey,
    ) -> bool {
        let (Some(user), Some(channel)) = (user_place(user), channel_place(channel)) else {
            return true;
        };
        let told = &self.owners[owner];
        let hits = |at: Option<usize>, place: usize| at.is_none_or(|at| at == place);
        let mut open = told.open.iter();
        told.resets[user][channel] > floor.since
            || open.any(|(_, at_user, at)| hits(*at_user, user) && hits(*at, channel))
    }

    /// What was told is there after a start.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn kept(&self, owner: usize, now: Millis, found: &Model) -> Result<(), String> {
        let told = &self.owners[owner];
        for (at, channel) in workload::channels().iter().enumerate() {
            if let Some(id) = told.messages[at]
                && !found.ids(channel).contains(&id)
            {
                return Err(format!(
                    "a start does not know {id:?} of {channel:?}, which somebody was told of"
                ));
            }
            for (at_user, user) in workload::users().iter().enumerate() {
                let state = found.read_state(now, user, channel);
                let (before, cursor) = (told.cursors[at_user][at], cursor_of(&state));
                if cursor < before {
                    return Err(format!(
                        "a start takes the cursor of {user:?} in {channel:?} back from {before:?}, \
                         which somebody was told, to {cursor:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Somebody who asked when `floor` was taken is told of a read state.
    ///
    /// # Errors
    /// Its cursor has gone back.
    pub(super) fn state(
        &mut self,
        owner: usize,
        floor: &Floor,
        (user, channel, state): (&UserKey, &ChannelKey, &ReadState),
        is_certain: bool,
    ) -> Result<(), String> {
        if self.is_reset(owner, floor, user, channel) {
            return Ok(());
        }
        let (Some(user_at), Some(at)) = (user_place(user), channel_place(channel)) else {
            return Ok(());
        };
        let cursor = cursor_of(state);
        let before = floor.cursors[user_at][at];
        if cursor < before {
            return Err(format!(
                "the cursor of {user:?} in {channel:?} went back from {before:?} to {cursor:?}"
            ));
        }
        if is_certain {
            let known = &mut self.owners[owner].cursors[user_at][at];
            *known = (*known).max(cursor);
            let newest = &mut self.owners[owner].messages[at];
            *newest = (*newest).max(state.last);
        }
        Ok(())
    }

    /// Somebody who asked when `floor` was taken is told the revision of all numbers of a user.
    ///
    /// # Errors
    /// It has gone back. Revisions are not stored: over a start they rise as long as wall time does.
    pub(super) fn rev(
        &mut self,
        owner: usize,
        floor: &Floor,
        user: &UserKey,
        rev: Clock,
    ) -> Result<(), String> {
        let Some(at) = user_place(user) else {
            return Ok(());
        };
        let told = &mut self.owners[owner];
        let before = floor.revs[at];
        let rises = before.life == told.life || told.wall_min > before.rev.millis();
        if rises && rev < before.rev {
            return Err(format!(
                "the rev of {user:?} went back from {:?} to {rev:?}",
                before.rev
            ));
        }
        let known = &mut told.revs[at];
        if known.life != told.life || known.rev < rev {
            *known = ToldRev {
                rev,
                life: told.life,
            };
        }
        Ok(())
    }
}
