//! Whose turn it is while a core has more to do than time.
//!
//! Who asks for little goes first, whoever asks for much stands in line, and those in line are served
//! for a slice of time before the sockets are looked at again. So a client that asks for one thing
//! waits for about a slice, however many others ask for thousands.
//!
//! What is little is told by start-time fair queuing (Goyal, Vin and Cheng, 1996): each connection
//! has a [`Seat`] that sums up the time its requests took, and the line has a clock, which stands at
//! the sum of the last one that was called. Who is behind the clock has asked for less than those who
//! always have something to ask; it can save up at most [`SAVED_MAX`].

mod seat;

pub(crate) use seat::{Call, Seat, Turn};

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long those in line are served before the sockets are looked at.
const SLICE: Duration = Duration::from_micros(250);

/// The turn of one that was called.
const CALLED_TIME: Duration = Duration::from_micros(125);

/// The turn of one that did not have to stand in line.
const FREE_TIME: Duration = Duration::from_micros(50);

/// Service that a connection can save up while it asks for less than the others.
const SAVED_MAX: Duration = Duration::from_micros(100);

/// How long after the last sign of it there is more to do than time. While there is not, nobody
/// stands in line who does not ask for more than a turn's worth at once.
const CONTENTION: Duration = Duration::from_millis(2);

/// See the module. It holds at most one entry for each connection of the core.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Service in nanoseconds.
    clock: Cell<u64>,
    waiting: RefCell<VecDeque<Rc<Seat>>>,
    caller: RefCell<Option<Waker>>,
    /// The last one that was called, until its turn ends.
    called: RefCell<Weak<Call>>,
    slice_until: Cell<Option<Instant>>,
    contended_until: Cell<Option<Instant>>,
    /// Service since answers last left.
    turn: Cell<Duration>,
}

impl Line {
    /// Calls those who stand in line, for ever.
    pub(crate) async fn call(self: Rc<Self>) {
        loop {
            poll_fn(|context| self.poll_waiting(context)).await;
            self.begin_slice(Instant::now());
            // The runtime looks for news of sockets before it comes back here.
            tokio::task::yield_now().await;
        }
    }

    /// Ready when somebody stands in line.
    fn poll_waiting(&self, context: &Context<'_>) -> Poll<()> {
        if !self.waiting.borrow().is_empty() {
            return Poll::Ready(());
        }
        *self.caller.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Begins a slice, and calls the first, unless one of the slice before has still to come.
    fn begin_slice(&self, now: Instant) {
        self.slice_until.set(now.checked_add(SLICE));
        if self.called.borrow().strong_count() == 0 {
            self.call_next();
        }
    }

    /// The answers of all turns since the last time leave.
    pub(crate) fn end_turn(&self) {
        self.turn.set(Duration::ZERO);
    }

    /// Calls the next, if there is time left in the slice.
    fn go_on(&self, now: Instant) {
        if self.slice_until.get().is_some_and(|until| now < until) {
            self.call_next();
        }
    }

    fn call_next(&self) {
        loop {
            let Some(seat) = self.waiting.borrow_mut().pop_front() else {
                return;
            };
            let Some((call, has_more)) = seat.call() else {
                continue;
            };
            self.clock.set(self.clock.get().max(seat.served()));
            *self.called.borrow_mut() = Rc::downgrade(&call);
            if has_more {
                self.waiting.borrow_mut().push_back(seat);
            }
            return call.wake();
        }
    }

    fn stand(&self, seat: &Rc<Seat>) {
        self.waiting.borrow_mut().push_back(Rc::clone(seat));
        if let Some(caller) = self.caller.borrow_mut().take() {
            caller.wake();
        }
    }

    fn note_contention(&self, now: Instant) {
        self.contended_until.set(now.checked_add(CONTENTION));
    }

    fn note_service(&self, time: Duration, now: Instant) {
        let turn = self.turn.get().saturating_add(time);
        self.turn.set(turn);
        if turn > SLICE {
            self.note_contention(now);
        }
    }

    fn is_contended(&self, now: Instant) -> bool {
        let recently = self.contended_until.get().is_some_and(|until| now < until);
        recently || !self.waiting.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests;
