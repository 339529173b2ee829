//! Hybrid clocks: unique, rising, close to wall time.
//!
//! Rule from Kulkarni et al., "Logical Physical Clocks" (2014): a tick is above both the wall clock
//! and everything seen. The owner's number in the low bits makes values of two owners distinct, so
//! that "last writer by (clock, id)" is one integer comparison.

use crate::id::ShardId;

/// Wall time in milliseconds since 1970-01-01 UTC, handed in by the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Millis(pub u64);

/// A hybrid clock value: 42 bits of milliseconds, 12 bits of counter, 10 bits of owner.
/// 42 bits of milliseconds last until the year 2109. 0 means "never".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Clock(pub u64);

const OWNER_BITS: u32 = 10;
const COUNTER_BITS: u32 = 12;

impl Clock {
    /// Before every other value.
    pub const NEVER: Self = Self(0);

    /// The lowest value of a millisecond.
    pub fn at(time: Millis) -> Self {
        Self(time.0 << (OWNER_BITS + COUNTER_BITS))
    }

    /// The millisecond of this value.
    pub fn millis(self) -> Millis {
        Millis(self.0 >> (OWNER_BITS + COUNTER_BITS))
    }
}

/// Makes clock values for one owner, each above all it has made or seen.
#[derive(Clone, Debug)]
pub struct ClockSource {
    owner: u64,
    last: Clock,
}

impl ClockSource {
    /// A source for one owner; `owner` must differ between owners of the same data.
    pub fn new(owner: ShardId) -> Self {
        Self {
            owner: u64::from(owner.0) & ((1 << OWNER_BITS) - 1),
            last: Clock::NEVER,
        }
    }

    /// The next value.
    pub fn tick(&mut self, now: Millis) -> Clock {
        let wall = Clock::at(now).0;
        let next = ((self.last.0 >> OWNER_BITS) + 1) << OWNER_BITS;
        self.last = Clock(wall.max(next) | self.owner);
        self.last
    }

    /// Notes a value made elsewhere, so that later ticks are above it.
    pub fn observe(&mut self, seen: Clock) {
        self.last = self.last.max(seen);
    }

    /// The highest value made or seen.
    pub fn last(&self) -> Clock {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_rise_when_the_wall_clock_stands_still_or_jumps_back() {
        let mut source = ClockSource::new(ShardId(3));
        let mut last = Clock::NEVER;
        for now in [5, 5, 5, 9, 2, 2] {
            let tick = source.tick(Millis(now));
            assert!(tick > last);
            last = tick;
        }
        assert_eq!(last.millis(), Millis(9));
    }

    #[test]
    fn a_tick_is_above_everything_observed_and_distinct_between_owners() {
        let mut one = ClockSource::new(ShardId(1));
        let mut two = ClockSource::new(ShardId(2));
        let seen = one.tick(Millis(1_000));
        two.observe(seen);
        assert!(two.tick(Millis(10)) > seen);
        assert_ne!(one.tick(Millis(7_000)), two.tick(Millis(7_000)));
    }
}
