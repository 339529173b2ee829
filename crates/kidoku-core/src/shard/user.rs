//! A user in memory: 13 bytes for a plain read state, more only for those that need it.
//!
//! A plain row is a channel number, a position and a byte of marks, in three sorted arrays. What
//! does not fit (an era, a private position, mentions above the line …) is in the side table. What
//! lies below the line (old mentions, ids of own messages, where the join was) is forgotten and
//! loaded again when a mark unread or a join goes back there.

use super::interner::ChannelIndex;
use super::table::Weigh;
use crate::clock::Clock;
use crate::fact::{Cursor, Floor, Incarnation, Membership, Merge, Preference, StateRow};
use crate::id::{MessageId, Name, Position};
use std::collections::BTreeMap;

/// The user is in the channel.
const MEMBER: u8 = 1;
/// A join or leave has been said.
const RECORD: u8 = 2;
/// The position is where the join starts; the cursor is 0.
const JOIN_ONLY: u8 = 4;
/// The row is in the side table.
const SIDE: u8 = 8;

/// Where a membership starts, as far as memory knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Known(Position),
    /// At or below the cursor; the store knows.
    Forgotten,
}

/// A read state unfolded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) incarnation: Incarnation,
    pub(crate) cursor: Cursor,
    pub(crate) public: Position,
    /// True = a join or leave has been said.
    pub(crate) record: bool,
    pub(crate) member: bool,
    pub(crate) from: From,
    pub(crate) preference: Option<Preference>,
    /// Messages above `known_above` that name the user, rising.
    pub(crate) mentions: Vec<MessageId>,
    /// Own messages above `known_above`, rising.
    pub(crate) own: Vec<MessageId>,
    /// Mentions and own messages at or below this may be missing here.
    pub(crate) known_above: Position,
}

impl Row {
    fn empty(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            cursor: Cursor::default(),
            public: Position::START,
            record: false,
            member: false,
            from: From::Known(Position::START),
            preference: None,
            mentions: Vec::new(),
            own: Vec::new(),
            known_above: Position::START,
        }
    }

    /// Nothing at or below this can count, whatever floors and trims say.
    pub(crate) fn base(&self) -> Position {
        match self.from {
            From::Known(from) => self.cursor.position.max(from),
            From::Forgotten => self.cursor.position,
        }
    }

    pub(crate) fn join_position_or_start(&self) -> Position {
        match self.from {
            From::Known(from) => from,
            From::Forgotten => Position::START,
        }
    }

    /// Takes in what the store has of this row.
    pub(crate) fn absorb(&mut self, stored: &StateRow) {
        self.incarnation = stored.incarnation;
        self.cursor = stored.cursor;
        self.public = stored.public;
        self.preference = stored.preference;
        let membership = stored.membership.unwrap_or_default();
        self.record = stored.membership.is_some();
        self.member = membership.member;
        self.from = From::Known(membership.from);
    }

    pub(crate) fn set_membership(&mut self, membership: Membership) {
        self.record = true;
        self.member = membership.member;
        self.from = From::Known(membership.from);
    }

    fn forget_below_base(&mut self) {
        let base = self.base();
        self.mentions.retain(|id| base.is_before(*id));
        self.own.retain(|id| base.is_before(*id));
        self.known_above = self.known_above.max(base);
    }

    /// The plain form, when the row has one.
    fn plain(&self, erased: Incarnation) -> Option<(Position, u8)> {
        let simple = self.incarnation == erased
            && self.cursor.era == Clock::NEVER
            && self.preference.is_none()
            && self.mentions.is_empty()
            && self.own.is_empty()
            && self.public == self.cursor.position;
        let marks = if self.member { MEMBER } else { 0 } | if self.record { RECORD } else { 0 };
        match (simple, self.from) {
            (false, _) => None,
            (true, From::Forgotten) => Some((self.cursor.position, marks)),
            (true, From::Known(from)) if self.cursor.position == Position::START => {
                Some((from, marks | JOIN_ONLY))
            }
            (true, From::Known(from)) if from <= self.cursor.position => {
                Some((self.cursor.position, marks))
            }
            (true, From::Known(_)) => None,
        }
    }
}

/// Inserts into a sorted list; true = new.
pub(crate) fn insert_sorted(ids: &mut Vec<MessageId>, id: MessageId) -> bool {
    match ids.binary_search(&id) {
        Ok(_) => false,
        Err(at) => {
            ids.insert(at, id);
            true
        }
    }
}

/// A role said to be held or not.
#[derive(Clone, Debug)]
pub(crate) struct RoleMark {
    pub(crate) role: Name,
    pub(crate) clock: Clock,
    pub(crate) held: bool,
}

/// One user's changes by revision, kept while somebody syncs by revision.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Changes after this are all in `changes`.
    start: Clock,
    changes: Vec<(Clock, crate::id::ChannelKey)>,
}

/// Changes remembered per syncing user; who asks for older ones gets everything.
const RECENT_CHANGES_MAX: usize = 256;

/// One user.
#[derive(Debug, Default)]
pub(crate) struct User {
    channels: Vec<ChannelIndex>,
    positions: Vec<u64>,
    marks: Vec<u8>,
    side: BTreeMap<ChannelIndex, Row>,
    /// Ack-alls, everywhere (`None`) or by space; a handful at most.
    pub(crate) floors: Vec<(Option<Name>, Floor)>,
    pub(crate) roles: Vec<RoleMark>,
    pub(crate) erased: Incarnation,
    /// When anything of the user last changed.
    pub(crate) changed: Clock,
    recent: Option<Box<Recent>>,
}

impl User {
    /// A user of whom nothing is known since an erasure.
    pub(crate) fn new(erased: Incarnation, changed: Clock) -> Self {
        Self {
            erased,
            changed,
            ..Self::default()
        }
    }

    pub(crate) fn row_count(&self) -> usize {
        self.channels.len()
    }

    /// Every channel with a row, in the order of the numbers.
    pub(crate) fn channels(&self) -> &[ChannelIndex] {
        &self.channels
    }

    /// Channels the user is in, in the order of the numbers.
    pub(crate) fn members(&self) -> impl Iterator<Item = ChannelIndex> + '_ {
        let pairs = self.channels.iter().zip(&self.marks);
        let members = pairs.filter(|(index, marks)| {
            if **marks & SIDE == 0 {
                **marks & MEMBER != 0
            } else {
                self.side_member(**index)
            }
        });
        members.map(|(index, _)| *index)
    }

    fn side_member(&self, index: ChannelIndex) -> bool {
        self.side.get(&index).is_some_and(|row| row.member)
    }

    pub(crate) fn has_row(&self, index: ChannelIndex) -> bool {
        self.channels.binary_search(&index).is_ok()
    }

    /// The read state of a channel, an empty one where there is none.
    pub(crate) fn row(&self, index: Option<ChannelIndex>) -> Row {
        let found = index.and_then(|index| self.channels.binary_search(&index).ok());
        let (Some(index), Some(at)) = (index, found) else {
            return Row::empty(self.erased);
        };
        let (position, marks) = (Position(self.positions[at]), self.marks[at]);
        if marks & SIDE != 0 {
            return self
                .side
                .get(&index)
                .cloned()
                .unwrap_or_else(|| Row::empty(self.erased));
        }
        let mut row = Row::empty(self.erased);
        row.member = marks & MEMBER != 0;
        row.record = marks & RECORD != 0;
        row.known_above = position;
        if marks & JOIN_ONLY != 0 {
            row.from = From::Known(position);
        } else {
            row.cursor.position = position;
            row.public = position;
            row.from = From::Forgotten;
        }
        row
    }

    /// The hot path: moves a plain member row forward. `None` = not that simple.
    pub(crate) fn ack_plain(&mut self, index: ChannelIndex, id: MessageId) -> Option<bool> {
        let at = self.channels.binary_search(&index).ok()?;
        let marks = self.marks[at];
        if marks & (SIDE | MEMBER) != MEMBER {
            return None;
        }
        let position = self.positions[at];
        if position >= id.get() {
            // Below the join of a cursor at 0: the cursor moves though the line does not.
            return if marks & JOIN_ONLY == 0 {
                Some(false)
            } else {
                None
            };
        }
        self.positions[at] = id.get();
        self.marks[at] = marks & !JOIN_ONLY;
        Some(true)
    }

    /// Puts a row back, in the plainest form that holds it. True = the channel had no row before,
    /// and the caller has acquired the number for this one.
    pub(crate) fn put(&mut self, index: ChannelIndex, mut row: Row) -> bool {
        row.forget_below_base();
        let (position, marks) = row.plain(self.erased).unwrap_or((Position::START, SIDE));
        let fresh = match self.channels.binary_search(&index) {
            Ok(at) => {
                self.positions[at] = position.0;
                self.marks[at] = marks;
                false
            }
            Err(at) => {
                self.reserve();
                self.channels.insert(at, index);
                self.positions.insert(at, position.0);
                self.marks.insert(at, marks);
                true
            }
        };
        if marks & SIDE != 0 {
            self.side.insert(index, row);
        } else {
            self.side.remove(&index);
        }
        fresh
    }

    /// Grows by an eighth instead of doubling: rows are what memory is made of.
    fn reserve(&mut self) {
        if self.channels.len() == self.channels.capacity() {
            let more = (self.channels.len() / 8).max(2);
            self.channels.reserve_exact(more);
            self.positions.reserve_exact(more);
            self.marks.reserve_exact(more);
        }
    }

    /// Roles the user holds now.
    pub(crate) fn held_roles(&self) -> Vec<Name> {
        self.roles
            .iter()
            .filter(|mark| mark.held)
            .map(|mark| mark.role.clone())
            .collect()
    }

    /// Last writer by clock; true = what is held has changed.
    pub(crate) fn merge_role(&mut self, role: &Name, clock: Clock, held: bool) -> bool {
        match self.roles.binary_search_by(|mark| mark.role.cmp(role)) {
            Ok(at) => {
                let mark = &mut self.roles[at];
                if (clock, held) <= (mark.clock, mark.held) {
                    return false;
                }
                let changed = mark.held != held;
                (mark.clock, mark.held) = (clock, held);
                changed
            }
            Err(at) => {
                self.roles.insert(
                    at,
                    RoleMark {
                        role: role.clone(),
                        clock,
                        held,
                    },
                );
                held
            }
        }
    }

    pub(crate) fn merge_floor(&mut self, space: Option<&Name>, floor: &Floor) {
        match self
            .floors
            .iter_mut()
            .find(|(known, _)| known.as_ref() == space)
        {
            Some((_, known)) => known.merge(floor),
            None => self.floors.push((space.cloned(), floor.clone())),
        }
    }

    /// The highest "mark all read" that holds everywhere.
    pub(crate) fn highest_floor(&self) -> Position {
        let everywhere = self.floors.iter().filter(|(space, _)| space.is_none());
        everywhere
            .map(|(_, floor)| floor.highest())
            .max()
            .unwrap_or_default()
    }

    /// The highest "mark all read" of each space.
    pub(crate) fn space_floors(&self) -> Vec<(Name, Position)> {
        let spaces = self
            .floors
            .iter()
            .filter_map(|(space, floor)| Some((space.clone()?, floor)));
        spaces
            .map(|(space, floor)| (space, floor.highest()))
            .collect()
    }

    /// Begins to remember changes, or tells which channels changed after `since`; `None` = not
    /// known, everything has to be told.
    pub(crate) fn changed_since(
        &mut self,
        since: Option<Clock>,
    ) -> Option<Vec<crate::id::ChannelKey>> {
        let recent = self.recent.get_or_insert_with(|| {
            Box::new(Recent {
                start: self.changed,
                changes: Vec::new(),
            })
        });
        let since = since.filter(|since| *since >= recent.start)?;
        let after = recent.changes.iter().filter(|(clock, _)| *clock > since);
        Some(after.map(|(_, channel)| channel.clone()).collect())
    }

    /// Notes a change; `channel` = only there, `None` = everywhere.
    pub(crate) fn touch(&mut self, clock: Clock, channel: Option<&crate::id::ChannelKey>) {
        self.changed = clock;
        let Some(recent) = self.recent.as_mut() else {
            return;
        };
        match channel {
            None => {
                recent.changes.clear();
                recent.start = clock;
            }
            Some(channel) => {
                if recent.changes.len() == RECENT_CHANGES_MAX {
                    let (oldest, _) = recent.changes.remove(0);
                    recent.start = oldest;
                }
                recent.changes.push((clock, channel.clone()));
            }
        }
    }
}

impl Weigh for User {
    fn weight(&self) -> usize {
        let side = self.side.len() * (size_of::<Row>() + 48);
        let recent = self
            .recent
            .as_ref()
            .map_or(0, |recent| recent.changes.capacity() * 24 + 32);
        size_of::<Self>()
            + self.channels.capacity() * size_of::<ChannelIndex>()
            + self.positions.capacity() * size_of::<u64>()
            + self.marks.capacity()
            + side
            + self.floors.capacity() * 64
            + self.roles.capacity() * size_of::<RoleMark>()
            + recent
    }
}
