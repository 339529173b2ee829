//! What a [`Ticket`] means on the core that made it: who waits for the reply.
//!
//! A ticket's number is 2 bits of kind, 20 bits of place in a table, 10 bits that change each time
//! the place is used anew, and 32 bits that the waiter itself gives out.

use kidoku_core::id::ShardId;
use kidoku_core::request::Ticket;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// Somebody in the core's own table of [`Asker`](super::core::Asker)s.
    Asker {
        /// Where in the table.
        place: Place,
        /// The asker's own number for the request.
        sequence: u32,
    },
    /// A batch of calls made through the [`Engine`](super::Engine).
    Calls {
        /// Where in the table of batches.
        place: Place,
        /// Which call of the batch.
        sequence: u32,
    },
    /// Nobody: the reply is dropped.
    Nobody,
}

/// A place in a table, with the number of times it has been used, so that what comes late for a
/// former user of the place is not taken for the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The index, under [`Place::INDEX_END`].
    pub(crate) index: u32,
    /// The use, under [`Place::USE_END`].
    pub(crate) used: u32,
}

const INDEX_BITS: u32 = 20;
const USE_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 32;
const KIND_ASKER: u64 = 0;
const KIND_CALLS: u64 = 1;
const KIND_NOBODY: u64 = 2;

impl Place {
    /// One past the highest index: what a core may serve at one time.
    pub(crate) const INDEX_END: u32 = 1 << INDEX_BITS;
    /// One past the highest use, after which it starts again at 0.
    pub(crate) const USE_END: u32 = 1 << USE_BITS;

    /// The same place for its next user.
    pub(crate) fn next_use(self) -> Self {
        Self {
            index: self.index,
            used: (self.used + 1) % Self::USE_END,
        }
    }
}

fn pack(kind: u64, place: Place, sequence: u32) -> u64 {
    debug_assert!(place.index < Place::INDEX_END && place.used < Place::USE_END);
    (((kind << INDEX_BITS | u64::from(place.index)) << USE_BITS | u64::from(place.used))
        << SEQUENCE_BITS)
        | u64::from(sequence)
}

fn low_bits(value: u64, bits: u32) -> u32 {
    let mask = (1_u64 << bits) - 1;
    u32::try_from(value & mask).unwrap_or_default()
}

impl Waiter {
    /// The ticket that finds this waiter again.
    pub(crate) fn ticket(self, core: ShardId) -> Ticket {
        let id = match self {
            Self::Asker { place, sequence } => pack(KIND_ASKER, place, sequence),
            Self::Calls { place, sequence } => pack(KIND_CALLS, place, sequence),
            Self::Nobody => pack(KIND_NOBODY, Place::default(), 0),
        };
        Ticket { core, id }
    }

    /// Who is behind a ticket that this core made.
    pub(crate) fn of(ticket: Ticket) -> Self {
        let sequence = low_bits(ticket.id, SEQUENCE_BITS);
        let place = Place {
            index: low_bits(ticket.id >> (SEQUENCE_BITS + USE_BITS), INDEX_BITS),
            used: low_bits(ticket.id >> SEQUENCE_BITS, USE_BITS),
        };
        match ticket.id >> (SEQUENCE_BITS + USE_BITS + INDEX_BITS) {
            KIND_ASKER => Self::Asker { place, sequence },
            KIND_CALLS => Self::Calls { place, sequence },
            _ => Self::Nobody,
        }
    }
}

/// Values in numbered places that are used again.
#[derive(Debug)]
pub(crate) struct Table<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Table<T> {
    /// Puts in a value; `None` when the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Option<Place> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.places.len()).ok()?;
                if index >= Place::INDEX_END {
                    return None;
                }
                self.places.push((0, None));
                index
            }
        };
        let slot = self.places.get_mut(usize::try_from(index).ok()?)?;
        let place = Place {
            index,
            used: slot.0,
        };
        slot.1 = Some(value);
        Some(place)
    }

    /// What is at a place, if it is still the same user of it.
    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        let (used, value) = self.places.get(usize::try_from(place.index).ok()?)?;
        if *used == place.used {
            value.as_ref()
        } else {
            None
        }
    }

    /// Frees a place.
    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        let slot = self.places.get_mut(usize::try_from(place.index).ok()?)?;
        if slot.0 != place.used {
            return None;
        }
        let value = slot.1.take()?;
        slot.0 = place.next_use().used;
        self.free.push(place.index);
        Some(value)
    }

    /// How many places are taken.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Everything in the table, in order of place.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|(_, value)| value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_gives_back_its_waiter() {
        let place = Place {
            index: Place::INDEX_END - 1,
            used: Place::USE_END - 1,
        };
        for waiter in [
            Waiter::Asker {
                place,
                sequence: u32::MAX,
            },
            Waiter::Asker {
                place: Place::default(),
                sequence: 0,
            },
            Waiter::Calls { place, sequence: 7 },
            Waiter::Nobody,
        ] {
            assert_eq!(Waiter::of(waiter.ticket(ShardId(3))), waiter);
            assert_eq!(waiter.ticket(ShardId(3)).core, ShardId(3));
        }
    }

    #[test]
    fn a_freed_place_is_used_again_and_its_former_user_is_not_found() {
        let mut table = Table::default();
        let first = table.insert("a").unwrap();
        assert_eq!(table.remove(first), Some("a"));
        let second = table.insert("b").unwrap();
        assert_eq!(second.index, first.index);
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&"b"));
        assert_eq!(table.len(), 1);
        assert_eq!(table.values().count(), 1);
    }
}
