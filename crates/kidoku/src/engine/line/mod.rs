//! Whose turn it is while a core has more to do than time.
//!
//! Whoever asks for much stands in line, and those in line are served for a slice of time before the
//! sockets are looked at again. Who asks for little goes ahead of them, or if many do, first in the
//! line. So a client that asks for one thing waits for about a slice, however many others ask for
//! thousands.
//!
//! Who had more to do in its last turn than fitted into it is heavy, who came a moment ago is new, and
//! all others are light. Every other turn is that of a light one: of a crowd that has just come nobody
//! knows yet what it is up to, and those who have been there should not wait behind all of it. Within
//! its kind, what is little is told by start-time fair queuing (Goyal, Vin and Cheng, 1996): each
//! connection has a [`Seat`] that sums up the time its requests took, and the line has a clock, which
//! stands at the sum of the last one that was called. Who is behind the clock has asked for less than
//! those who always have something to ask; it can save up at most [`SAVED_MAX`].

mod seat;

pub(crate) use seat::{Call, Seat, Turn};

use super::stall::{Stalls, Work};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long those in line are served before the sockets are looked at.
const SLICE: Duration = Duration::from_micros(250);

/// The turn of one that was called.
const CALLED_TIME: Duration = Duration::from_micros(125);

/// The turn of one that did not have to stand in line.
const FREE_TIME: Duration = Duration::from_micros(50);

/// How long the others wait for one that was called and does not come, which nobody should do.
const PATIENCE: Duration = Duration::from_millis(10);

/// Those turns together, until answers leave.
const FREE_TIME_IN_ALL: Duration = Duration::from_micros(500);

/// Service that a connection begins with, which is about what it costs to take it in.
const ENTRY_TIME: Duration = Duration::from_micros(200);

/// How long a connection is new.
const NEW_TIME: Duration = Duration::from_secs(1);

/// Service that a turn counts for at most. What takes longer is hardly ever a request's doing: the
/// system gave the processor to something else meanwhile.
const CHARGE_MAX: Duration = Duration::from_millis(1);

/// Service that a connection can save up while it asks for less than the others.
const SAVED_MAX: Duration = Duration::from_micros(100);

/// How long after the last sign of it there is more to do than time. While there is not, nobody
/// stands in line who does not ask for more than a turn's worth at once.
const CONTENTION: Duration = Duration::from_millis(2);

/// What is known of one who stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It had all done in its last turn.
    Light,
    /// It came a moment ago.
    New,
    /// It had more to do in its last turn.
    Heavy,
}

/// Those of a kind, by service and then in the order in which they came.
type Queue = BTreeMap<(u64, u64), Rc<Seat>>;

/// Those in line.
#[derive(Debug, Default)]
struct Waiting {
    light: Queue,
    new: Queue,
    heavy: Queue,
    /// Whose turn it was last, and whose of the others before.
    last: Option<Kind>,
    last_other: Option<Kind>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.light.is_empty() && self.new.is_empty() && self.heavy.is_empty()
    }

    fn of(&mut self, kind: Kind) -> &mut Queue {
        match kind {
            Kind::Light => &mut self.light,
            Kind::New => &mut self.new,
            Kind::Heavy => &mut self.heavy,
        }
    }

    /// The next one, with what it was served when it came.
    fn pop(&mut self) -> Option<(u64, Rc<Seat>)> {
        let others = match self.last_other {
            Some(Kind::New) => [Kind::Heavy, Kind::New],
            _ => [Kind::New, Kind::Heavy],
        };
        let [first, second] = others;
        let order = match self.last {
            Some(Kind::Light) => [first, second, Kind::Light],
            _ => [Kind::Light, first, second],
        };
        let (kind, ((served, _), seat)) = order
            .into_iter()
            .find_map(|kind| Some((kind, self.of(kind).pop_first()?)))?;
        self.last = Some(kind);
        if kind != Kind::Light {
            self.last_other = Some(kind);
        }
        Some((served, seat))
    }
}

/// See the module. It holds at most one entry for each connection of the core.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Service in nanoseconds.
    clock: Cell<u64>,
    waiting: RefCell<Waiting>,
    /// How many have come.
    comers: Cell<u64>,
    caller: RefCell<Option<Waker>>,
    /// The last one that was called, until its turn ends.
    called: RefCell<Weak<Call>>,
    /// Until when the others wait for it.
    called_until: Cell<Option<Instant>>,
    slice_until: Cell<Option<Instant>>,
    contended_until: Cell<Option<Instant>>,
    /// Service since answers last left.
    turn: Cell<Duration>,
    stalls: Arc<Stalls>,
}

impl Line {
    /// Nobody is there. Turns that take too long are counted.
    pub(crate) fn new(stalls: Arc<Stalls>) -> Self {
        Self {
            stalls,
            ..Self::default()
        }
    }

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
        let has_come = self.called.borrow().strong_count() == 0;
        if has_come || self.called_until.get().is_some_and(|until| until <= now) {
            self.call_next(now);
        }
    }

    /// The answers of all turns since the last time leave.
    pub(crate) fn end_turn(&self) {
        self.turn.set(Duration::ZERO);
    }

    /// Calls the next, if there is time left in the slice.
    fn go_on(&self, now: Instant) {
        if self.slice_until.get().is_some_and(|until| now < until) {
            self.call_next(now);
        }
    }

    fn call_next(&self, now: Instant) {
        loop {
            let next = self.waiting.borrow_mut().pop();
            let Some((served, seat)) = next else {
                return;
            };
            let Some((call, has_more)) = seat.call() else {
                continue;
            };
            // As of when it came: what it was served since must not put it ahead of those who wait.
            self.clock.set(self.clock.get().max(served));
            *self.called.borrow_mut() = Rc::downgrade(&call);
            self.called_until.set(now.checked_add(PATIENCE));
            if has_more {
                self.enter(seat);
            }
            return call.wake();
        }
    }

    fn stand(&self, seat: &Rc<Seat>) {
        self.enter(Rc::clone(seat));
        if let Some(caller) = self.caller.borrow_mut().take() {
            caller.wake();
        }
    }

    fn enter(&self, seat: Rc<Seat>) {
        let number = self.comers.get();
        self.comers.set(number.wrapping_add(1));
        let served = seat.catch_up();
        let kind = seat.kind(Instant::now());
        let mut waiting = self.waiting.borrow_mut();
        waiting.of(kind).insert((served, number), seat);
    }

    fn note_contention(&self, now: Instant) {
        self.contended_until.set(now.checked_add(CONTENTION));
    }

    fn note_service(&self, time: Duration, now: Instant) {
        self.stalls.note(Work::Requests, time);
        let turn = self.turn.get().saturating_add(time);
        self.turn.set(turn);
        if turn > SLICE {
            self.note_contention(now);
        }
    }

    /// True when so much was done since answers last left that nobody goes ahead of the line.
    fn is_long(&self) -> bool {
        self.turn.get() >= FREE_TIME_IN_ALL
    }

    fn is_contended(&self, now: Instant) -> bool {
        let recently = self.contended_until.get().is_some_and(|until| now < until);
        recently || !self.waiting.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests;
