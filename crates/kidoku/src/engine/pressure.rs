//! How much a core has taken on from its connections, and what follows from it.
//!
//! The first answer to too much work is to take in no more: a connection that is not read from
//! makes its client wait, which costs nobody anything. Only what would have to be kept meanwhile is
//! refused with `BUSY`. Between the two lies "crowded": connections with much under way wait, so
//! that those with little are served as ever.

use std::cell::Cell;

/// Requests of connections under way on a core, from which on it is crowded.
const CROWDED_REQUESTS: usize = 8_192;
/// The same as the sum of their weights, the entries that the answers may have.
const CROWDED_WEIGHT: usize = 65_536;

/// Requests of connections under way on a core, from which on one more is refused: 8 times what
/// makes a core crowded, so it takes thousands of connections to come here.
pub(crate) const REQUESTS_MAX: usize = 65_536;
/// The same as the sum of their weights. An entry takes some 100 bytes while it waits.
pub(crate) const WEIGHT_MAX: usize = 524_288;

/// Bytes that connections of all cores may hold together in unfinished requests and unsent answers.
pub(crate) const BUFFER_BYTES_MAX: usize = 64 << 20;

/// Commands of a turn after which answers leave before more is taken in.
const TURN_COMMANDS_MAX: usize = 1_024;
/// The same as the sum of their weights.
const TURN_WEIGHT_MAX: usize = 4_096;

/// What one connection has under way and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Requests not answered, or whose answer has not left.
    pub(crate) requests: usize,
    /// The sum of their weights.
    pub(crate) weight: usize,
    /// Bytes of unfinished requests and unsent answers.
    pub(crate) bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pressure {
    now: Cell<Share>,
    turn: Cell<(usize, usize)>,
    bytes_max: usize,
}

impl Pressure {
    /// Nothing is under way on this one of `cores` cores.
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            now: Cell::default(),
            turn: Cell::default(),
            bytes_max: BUFFER_BYTES_MAX / cores.max(1),
        }
    }

    /// A connection has `new` where it had `old`.
    pub(crate) fn change(&self, old: Share, new: Share) {
        let now = self.now.get();
        self.now.set(Share {
            requests: now.requests + new.requests - old.requests,
            weight: now.weight + new.weight - old.weight,
            bytes: now.bytes + new.bytes - old.bytes,
        });
    }

    /// A connection has taken in commands, which added so much weight to what is under way.
    pub(crate) fn note_turn(&self, commands: usize, weight: usize) {
        let (all, all_weight) = self.turn.get();
        self.turn.set((all + commands, all_weight + weight));
    }

    /// The answers of the turn leave.
    pub(crate) fn end_turn(&self) {
        self.turn.set((0, 0));
    }

    /// True when answers have to leave before more is taken in.
    pub(crate) fn turn_is_full(&self) -> bool {
        let (commands, weight) = self.turn.get();
        commands >= TURN_COMMANDS_MAX || weight >= TURN_WEIGHT_MAX
    }

    /// True when connections with much under way have to wait.
    pub(crate) fn is_crowded(&self) -> bool {
        let now = self.now.get();
        now.requests >= CROWDED_REQUESTS || now.weight >= CROWDED_WEIGHT
    }

    /// True when one more request is refused.
    pub(crate) fn is_full(&self) -> bool {
        let now = self.now.get();
        now.requests >= REQUESTS_MAX || now.weight >= WEIGHT_MAX
    }

    /// True when connections hold as many bytes as they may.
    pub(crate) fn buffers_are_full(&self) -> bool {
        self.now.get().bytes >= self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(share: Share) -> Pressure {
        let pressure = Pressure::new(1);
        pressure.change(Share::default(), share);
        pressure
    }

    #[test]
    fn a_core_is_crowded_and_full_at_its_bounds_and_not_one_below() {
        let requests = |requests| {
            loaded(Share {
                requests,
                ..Share::default()
            })
        };
        let weight = |weight| {
            loaded(Share {
                weight,
                ..Share::default()
            })
        };
        assert!(!requests(CROWDED_REQUESTS - 1).is_crowded());
        assert!(requests(CROWDED_REQUESTS).is_crowded());
        assert!(!requests(REQUESTS_MAX - 1).is_full());
        assert!(requests(REQUESTS_MAX).is_full());
        assert!(!weight(CROWDED_WEIGHT - 1).is_crowded());
        assert!(weight(CROWDED_WEIGHT).is_crowded());
        assert!(!weight(WEIGHT_MAX - 1).is_full());
        assert!(weight(WEIGHT_MAX).is_full());
    }

    #[test]
    fn buffers_are_full_at_this_cores_part_of_the_bound() {
        let pressure = Pressure::new(4);
        let mut share = Share::default();
        for (bytes, full) in [
            (BUFFER_BYTES_MAX / 4 - 1, false),
            (BUFFER_BYTES_MAX / 4, true),
            (0, false),
        ] {
            let new = Share { bytes, ..share };
            pressure.change(share, new);
            share = new;
            assert_eq!(pressure.buffers_are_full(), full, "{bytes}");
        }
    }

    #[test]
    fn a_turn_is_full_at_its_commands_or_their_weight_until_it_ends() {
        for (commands, weight, full) in [
            (TURN_COMMANDS_MAX - 1, TURN_WEIGHT_MAX - 1, false),
            (TURN_COMMANDS_MAX, 0, true),
            (1, TURN_WEIGHT_MAX, true),
        ] {
            let pressure = Pressure::new(1);
            pressure.note_turn(commands, weight);
            assert_eq!(pressure.turn_is_full(), full, "{commands} {weight}");
            pressure.end_turn();
            assert!(!pressure.turn_is_full());
        }
    }
}
