//! The facts of a user: cursors, memberships, floors, preferences.

use super::{Incarnation, Merge};
use crate::clock::{Clock, Millis};
use crate::id::Position;
use crate::planted::{self, Bug};

/// The identity of the last backward move (mark unread) of a cursor; 0 = there was none.
pub type Era = Clock;

/// How far a user has read. Ordered by era first: an ack raises the position inside an era, a mark
/// unread opens a new era with a lower position, and the greater of two cursors wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor {
    /// Which backward move this cursor comes after.
    pub era: Era,
    /// Up to and including.
    pub position: Position,
}

impl Merge for Cursor {
    fn merge(&mut self, other: &Self) {
        if planted::is(Bug::LastArrival) && *other != Self::default() {
            *self = *other;
        }
        *self = (*self).max(*other);
    }
}

/// Whether a user is in a channel. Last writer by clock; at one clock, the greater by
/// (member, from).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Membership {
    /// When it was said.
    pub clock: Clock,
    /// True = in, false = has left.
    pub member: bool,
    /// Unread starts after this position.
    pub from: Position,
}

impl Merge for Membership {
    fn merge(&mut self, other: &Self) {
        *self = (*self).max(*other);
    }
}

/// How much of a channel stays out of a user's unmuted totals. Never changes a channel's own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MuteLevel {
    /// Everything is in the totals.
    #[default]
    None,
    /// Only direct mentions are in.
    Mentions,
    /// Nothing is in.
    All,
}

impl MuteLevel {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Mentions => "MENTIONS",
            Self::All => "ALL",
        }
    }
}

/// A user's view of a channel. Last writer by clock; at one clock, the greater by (level, until).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Preference {
    /// When it was said.
    pub clock: Clock,
    /// What stays out.
    pub level: MuteLevel,
    /// Not muted any more from this time on; 0 = no end.
    pub until: Millis,
}

impl Preference {
    /// The level in force at a time.
    pub fn level_at(&self, now: Millis) -> MuteLevel {
        if self.until != Millis(0) && self.until <= now {
            MuteLevel::None
        } else {
            self.level
        }
    }
}

impl Merge for Preference {
    fn merge(&mut self, other: &Self) {
        *self = (*self).max(*other);
    }
}

/// What is known of a user in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StateRow {
    /// The latest erasure of the user, or drop of the channel, that this row comes after. The row
    /// of a later incarnation replaces the other one whole.
    pub incarnation: Incarnation,
    /// How far the user has read.
    pub cursor: Cursor,
    /// When the cursor got there; 0 = not known. At one cursor, the earlier known one.
    pub cursor_at: Millis,
    /// What others see in receipts: never goes back.
    pub public: Position,
    /// Whether the user is in the channel; `None` = never said.
    pub membership: Option<Membership>,
    /// Mute; `None` = never said.
    pub preference: Option<Preference>,
    /// Nothing is said here but by somebody whose membership was said before, in this incarnation: the
    /// plain acks of a member. Whoever keeps lists of who is where has the user already.
    pub listed: bool,
}

fn merge_option<T: Merge + Copy>(mine: &mut Option<T>, other: Option<T>) {
    match (mine.as_mut(), other) {
        (Some(value), Some(other)) => value.merge(&other),
        (None, Some(other)) => *mine = Some(other),
        (_, None) => {}
    }
}

impl Merge for StateRow {
    fn merge(&mut self, other: &Self) {
        if self.incarnation != other.incarnation {
            if other.incarnation > self.incarnation {
                *self = *other;
            }
            return;
        }
        if other.cursor > self.cursor {
            self.cursor_at = other.cursor_at;
        } else if other.cursor == self.cursor && other.cursor_at != Millis(0) {
            let mine = self.cursor_at;
            self.cursor_at = if mine == Millis(0) {
                other.cursor_at
            } else {
                mine.min(other.cursor_at)
            };
        }
        self.cursor.merge(&other.cursor);
        self.public = self.public.max(other.public);
        merge_option(&mut self.membership, other.membership);
        merge_option(&mut self.preference, other.preference);
        self.listed &= other.listed && self.membership.is_none();
    }
}

/// One "mark all read up to".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FloorEntry {
    /// When it was said.
    pub clock: Clock,
    /// Up to and including.
    pub position: Position,
}

/// A set of floor entries, without those that a later one of an equal or higher position covers:
/// clocks rise and positions fall from entry to entry. Nearly always a single entry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Floor {
    entries: Vec<FloorEntry>,
}

impl Floor {
    /// A floor of one entry.
    pub fn new(entry: FloorEntry) -> Self {
        Self {
            entries: vec![entry],
        }
    }

    /// A floor of entries as [`Self::entries`] gives them; `None` when they are not in that order.
    pub fn from_entries(entries: Vec<FloorEntry>) -> Option<Self> {
        let in_order = entries
            .windows(2)
            .all(|pair| pair[0].clock < pair[1].clock && pair[0].position > pair[1].position);
        in_order.then_some(Self { entries })
    }

    /// The entries, clocks rising and positions falling.
    pub fn entries(&self) -> &[FloorEntry] {
        &self.entries
    }

    /// Adds an entry. True when that changed the set.
    pub fn insert(&mut self, entry: FloorEntry) -> bool {
        let covers = |later: &FloorEntry, earlier: &FloorEntry| {
            later.clock >= earlier.clock && later.position >= earlier.position
        };
        if self.entries.iter().any(|known| covers(known, &entry)) {
            return false;
        }
        self.entries.retain(|known| !covers(&entry, known));
        let at = self
            .entries
            .partition_point(|known| known.clock < entry.clock);
        self.entries.insert(at, entry);
        true
    }

    /// The highest entry newer than an era: how far the floor has read a channel of that era.
    pub fn line(&self, era: Era) -> Option<FloorEntry> {
        self.entries.iter().copied().find(|entry| entry.clock > era)
    }

    /// The highest position of any entry.
    pub fn highest(&self) -> Position {
        self.entries
            .first()
            .map_or(Position::START, |entry| entry.position)
    }
}

impl Merge for Floor {
    fn merge(&mut self, other: &Self) {
        for entry in &other.entries {
            self.insert(*entry);
        }
    }
}
