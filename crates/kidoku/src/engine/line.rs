//! Those on a core who have more to do than fits into a turn. They are served a few at a time, and
//! in between whoever has little to do: a client that asks for one thing waits for a few turns of
//! those that ask for thousands, not for one of each.

use super::ticket::Place;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// See the module. Bounded by the connections of the core: each stands in it once.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: RefCell<VecDeque<Place>>,
    caller: RefCell<Option<Waker>>,
}

impl Line {
    /// Puts somebody at the end; who stands in line already must not.
    pub(crate) fn stand(&self, place: Place) {
        self.waiting.borrow_mut().push_back(place);
        if let Some(caller) = self.caller.borrow_mut().take() {
            caller.wake();
        }
    }

    /// Takes the first one out.
    pub(crate) fn next(&self) -> Option<Place> {
        self.waiting.borrow_mut().pop_front()
    }

    /// Ready when somebody stands in line.
    pub(crate) fn poll_waiting(&self, context: &Context<'_>) -> Poll<()> {
        if !self.waiting.borrow().is_empty() {
            return Poll::Ready(());
        }
        *self.caller.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_in_line_are_called_in_order_and_the_caller_is_woken_for_the_first() {
        let line = Line::default();
        let context = Context::from_waker(Waker::noop());
        assert!(line.poll_waiting(&context).is_pending());
        let place = |index| Place { index, used: 0 };
        line.stand(place(2));
        line.stand(place(1));
        assert!(line.caller.borrow().is_none());
        assert!(line.poll_waiting(&context).is_ready());
        assert_eq!(line.next(), Some(place(2)));
        assert_eq!(line.next(), Some(place(1)));
        assert_eq!(line.next(), None);
    }
}
