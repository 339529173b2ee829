//! How far the members of a channel have read, as others may see it.
//!
//! Rows by user say who has read a message. How many have is asked far more often, so the positions of
//! the members are kept a second time, sorted, in blocks that know how many they hold.

use crate::effect::ReceiptRow;
use crate::id::{MessageId, Position};

/// Positions of a block at most.
const BLOCK_MAX: usize = 512;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers {
    /// By rising user.
    rows: Vec<ReceiptRow>,
    /// Of the members among them.
    positions: Positions,
}

impl Readers {
    /// Of rows by rising user, each once.
    pub(super) fn of(rows: Vec<ReceiptRow>) -> Self {
        let members = rows.iter().filter(|row| row.member);
        let positions = Positions::of(members.map(|row| row.public).collect());
        Self { rows, positions }
    }

    /// Notes what receipts show of a user now.
    pub(super) fn set(&mut self, row: ReceiptRow) {
        if row.member {
            self.positions.add(row.public);
        }
        let found = self
            .rows
            .binary_search_by(|known| known.user.cmp(&row.user));
        let before = match found {
            Ok(at) => self
                .rows
                .get_mut(at)
                .map(|known| std::mem::replace(known, row)),
            Err(at) => {
                self.rows.insert(at, row);
                None
            }
        };
        if let Some(before) = before.filter(|before| before.member) {
            self.positions.remove(before.public);
        }
    }

    /// What receipts show of a user; `None` = nothing, or that they are no member.
    pub(super) fn member(&self, user: &str) -> Option<&ReceiptRow> {
        let at = self
            .rows
            .binary_search_by(|known| known.user.name().cmp(user));
        self.rows.get(at.ok()?).filter(|row| row.member)
    }

    /// Members by rising name, those behind a name if there is one.
    pub(super) fn members_after(&self, name: Option<&str>) -> impl Iterator<Item = &ReceiptRow> {
        let first = name.map_or(0, |name| {
            self.rows.partition_point(|row| row.user.name() <= name)
        });
        let rest = self.rows.get(first..).unwrap_or_default();
        rest.iter().filter(|row| row.member)
    }

    /// How many members there are.
    pub(super) fn members(&self) -> usize {
        self.positions.count
    }

    /// How many members have read a message.
    pub(super) fn count(&self, id: MessageId) -> usize {
        self.positions.count_from(id)
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<ReceiptRow>() + self.positions.memory_bytes()
    }
}

/// Sorted positions, the same any number of times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Positions {
    /// None is empty, and the last of one is not above the first of the next.
    blocks: Vec<Vec<Position>>,
    count: usize,
}

impl Positions {
    fn of(mut positions: Vec<Position>) -> Self {
        positions.sort_unstable();
        // Half full, so that the first ones to come find room.
        let blocks = positions.chunks(BLOCK_MAX / 2).map(<[Position]>::to_vec);
        Self {
            blocks: blocks.collect(),
            count: positions.len(),
        }
    }

    fn add(&mut self, position: Position) {
        self.count += 1;
        let below = |block: &Vec<Position>| block.last().is_some_and(|last| *last < position);
        let nth = self.blocks.partition_point(below);
        // What is above all others goes to the end of the last block.
        let nth = nth.min(self.blocks.len().saturating_sub(1));
        let Some(block) = self.blocks.get_mut(nth) else {
            return self.blocks.push(vec![position]);
        };
        block.insert(block.partition_point(|known| *known < position), position);
        if block.len() > BLOCK_MAX {
            let upper = block.split_off(BLOCK_MAX / 2);
            self.blocks.insert(nth + 1, upper);
        }
    }

    /// Takes one out that is there.
    fn remove(&mut self, position: Position) {
        let below = |block: &Vec<Position>| block.last().is_some_and(|last| *last < position);
        let nth = self.blocks.partition_point(below);
        let Some(block) = self.blocks.get_mut(nth) else {
            return;
        };
        if let Ok(at) = block.binary_search(&position) {
            block.remove(at);
            self.count -= 1;
        }
        if block.is_empty() {
            self.blocks.remove(nth);
        }
    }

    /// How many are not before a message.
    fn count_from(&self, id: MessageId) -> usize {
        let is_before = |block: &Vec<Position>| block.last().is_some_and(|last| last.is_before(id));
        let rest = self.blocks.get(self.blocks.partition_point(is_before)..);
        let Some([first, rest @ ..]) = rest else {
            return 0;
        };
        let behind = first.len() - first.partition_point(|position| position.is_before(id));
        behind + rest.iter().map(Vec::len).sum::<usize>()
    }

    fn memory_bytes(&self) -> usize {
        let held = self
            .blocks
            .iter()
            .map(|block| block.capacity() * size_of::<Position>());
        held.sum::<usize>() + self.blocks.capacity() * size_of::<Vec<Position>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{App, UserKey};
    use proptest::prelude::*;

    fn row(user: u16, member: bool, public: u64) -> ReceiptRow {
        ReceiptRow {
            user: UserKey::new(&App::default_app(), &format!("u{user:05}")).unwrap(),
            member,
            public: Position(public),
        }
    }

    /// The same by looking at every row.
    fn counted(rows: &[ReceiptRow], id: MessageId) -> usize {
        let members = rows.iter().filter(|row| row.member);
        members.filter(|row| !row.public.is_before(id)).count()
    }

    proptest! {
        #[test]
        fn counts_are_those_of_all_rows(
            first in 0_u16..2_000,
            sets in proptest::collection::vec((0_u16..2_500, any::<bool>(), 0_u64..40), 0..1_500),
        ) {
            let rows: Vec<ReceiptRow> = (0..first).map(|user| row(user, user % 3 > 0, u64::from(user % 29))).collect();
            let mut readers = Readers::of(rows);
            for (user, member, public) in sets {
                readers.set(row(user, member, public));
            }
            prop_assert!(readers.rows.is_sorted_by(|one, next| one.user < next.user));
            prop_assert_eq!(readers.members(), readers.members_after(None).count());
            for id in (1..42).filter_map(|id| MessageId::new(id).ok()) {
                prop_assert_eq!(readers.count(id), counted(&readers.rows, id));
            }
            for block in &readers.positions.blocks {
                prop_assert!((1..=BLOCK_MAX).contains(&block.len()));
            }
            for user in [0, 1, 777, 2_499] {
                let name = format!("u{user:05}");
                let expected = readers.rows.iter().find(|row| row.user.name() == name && row.member);
                prop_assert_eq!(readers.member(&name), expected);
                let after = readers.rows.iter().filter(|row| row.member && row.user.name() > name.as_str());
                prop_assert!(readers.members_after(Some(&name)).eq(after));
            }
        }
    }
}
