//! Events of a connection that wait until their ids are looked up.

use super::limits::EVENTS_WAITING_MAX;
use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    events: VecDeque<T>,
}

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl<T> Waiting<T> {
    /// None.
    pub(super) fn new() -> Self {
        Self {
            events: VecDeque::new(),
        }
    }

    /// Adds one behind the others.
    ///
    /// # Errors
    /// [`TooMany`] when there are [`EVENTS_WAITING_MAX`].
    pub(super) fn push(&mut self, event: T) -> Result<(), TooMany> {
        if self.events.len() >= EVENTS_WAITING_MAX {
            return Err(TooMany);
        }
        self.events.push_back(event);
        Ok(())
    }

    /// Takes the first.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.events.pop_front()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.events = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_events_wait_and_not_one_more_until_one_is_taken() {
        let mut waiting = Waiting::new();
        for number in 0..EVENTS_WAITING_MAX {
            assert_eq!(waiting.push(number), Ok(()));
        }
        assert_eq!(waiting.push(0), Err(TooMany));
        assert_eq!(waiting.pop(), Some(0));
        assert_eq!(waiting.push(1), Ok(()));
        assert_eq!(waiting.push(2), Err(TooMany));
        waiting.clear();
        assert_eq!(waiting.pop(), None);
    }
}
