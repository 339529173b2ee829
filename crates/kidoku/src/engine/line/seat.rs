//! One connection's place among those of its core, and its turns.

use super::{CALLED_TIME, CHARGE_MAX, ENTRY_TIME, FREE_TIME, Kind, Line, NEW_TIME, SAVED_MAX};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Calls of a seat from which on those of requests that have ended meanwhile are taken out.
const CALLS_LOOKED_THROUGH: usize = 256;

/// One connection.
#[derive(Debug)]
pub(crate) struct Seat {
    line: Rc<Line>,
    /// What its requests took, in nanoseconds, from where the line's clock stood when it came.
    served: Cell<u64>,
    /// The end of the turn in which [`Seat::serve`] is at work: until then its requests need none of
    /// their own.
    turn_until: Cell<Option<Instant>>,
    /// It had more to do in its last turn than fitted into it.
    heavy: Cell<bool>,
    came: Instant,
    /// Its requests that wait for their turn: it stands in line once, whatever their number.
    calls: RefCell<VecDeque<Rc<Call>>>,
    /// The last of them that was called.
    called: RefCell<Weak<Call>>,
}

/// Somebody who stands in line. Who drops it has left.
#[derive(Debug)]
pub(crate) struct Call {
    is_called: Cell<bool>,
    waker: RefCell<Waker>,
}

/// A turn. Whoever was called lets the next one be called by dropping it.
#[derive(Debug)]
pub(crate) struct Turn {
    until: Option<Instant>,
    call: Option<(Rc<Line>, Rc<Call>)>,
}

impl Call {
    /// True when its turn has come.
    pub(crate) fn is_called(&self) -> bool {
        self.is_called.get()
    }

    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }
}

impl Turn {
    /// A turn without a call, until then.
    #[cfg(test)]
    pub(crate) fn free(until: Instant) -> Self {
        Self {
            until: Some(until),
            call: None,
        }
    }

    /// When others come next; `None` = it has not begun.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((line, call)) = self.call.take() {
            drop(call);
            line.go_on(Instant::now());
        }
    }
}

impl Seat {
    /// The seat of somebody who has just come: behind those who have been there, as who comes again and
    /// again would else always be ahead.
    pub(crate) fn new(line: &Rc<Line>) -> Rc<Self> {
        Self::since(line, Instant::now())
    }

    /// The seat of somebody who came then.
    pub(super) fn since(line: &Rc<Line>, came: Instant) -> Rc<Self> {
        Rc::new(Self {
            line: Rc::clone(line),
            served: Cell::new(line.clock.get().saturating_add(nanos(ENTRY_TIME))),
            turn_until: Cell::new(None),
            heavy: Cell::new(false),
            came,
            calls: RefCell::default(),
            called: RefCell::default(),
        })
    }

    /// A turn, if it may take one without standing in line.
    pub(crate) fn free_turn(&self, now: Instant) -> Option<Turn> {
        let (served, clock) = (self.catch_up(), self.line.clock.get());
        if (served >= clock || self.line.is_long()) && self.line.is_contended(now) {
            return None;
        }
        self.line.clock.set(served.max(clock));
        Some(Turn {
            until: now.checked_add(FREE_TIME),
            call: None,
        })
    }

    /// What it was served, with what it may have saved up.
    pub(super) fn catch_up(&self) -> u64 {
        let clock = self.line.clock.get();
        let least = clock.saturating_sub(nanos(SAVED_MAX));
        let served = self.served.get().max(least);
        self.served.set(served);
        served
    }

    /// The turn of a call whose turn has come.
    pub(crate) fn called_turn(&self, call: Rc<Call>, now: Instant) -> Turn {
        Turn {
            until: now.checked_add(CALLED_TIME),
            call: Some((Rc::clone(&self.line), call)),
        }
    }

    /// Stands in line; `waker` is woken when the turn has come.
    pub(crate) fn stand(self: &Rc<Self>, waker: Waker) -> Rc<Call> {
        let call = Rc::new(Call {
            is_called: Cell::new(false),
            waker: RefCell::new(waker),
        });
        let mut calls = self.calls.borrow_mut();
        if calls.len() >= CALLS_LOOKED_THROUGH {
            // One stays, for which the seat stands in line.
            let mut is_first = true;
            calls.retain(|call| std::mem::take(&mut is_first) || is_wanted(call));
        }
        calls.push_back(Rc::clone(&call));
        if calls.len() == 1 {
            self.line.stand(self);
        }
        call
    }

    /// It has done all that it had to do.
    pub(crate) fn note_done(&self) {
        self.heavy.set(false);
    }

    /// True when it had more to do in its last turn than fitted into it.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy.get()
    }

    pub(super) fn kind(&self, now: Instant) -> Kind {
        if self.is_heavy() {
            Kind::Heavy
        } else if now.duration_since(self.came) < NEW_TIME {
            Kind::New
        } else {
            Kind::Light
        }
    }

    /// It has more to do than fits into a turn.
    pub(crate) fn note_more(&self, now: Instant) {
        self.heavy.set(true);
        self.line.note_contention(now);
    }

    /// It was served for so long.
    pub(crate) fn charge(&self, time: Duration, now: Instant) {
        self.served.set(
            self.served
                .get()
                .saturating_add(nanos(time.min(CHARGE_MAX))),
        );
        self.line.note_service(time, now);
    }

    /// Does what may be several requests' work, in a turn if there is one, and charges for it.
    pub(crate) fn serve<T>(&self, turn: Option<&Turn>, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let until = turn.and_then(Turn::until);
        self.turn_until.set(until);
        let done = work();
        self.turn_until.set(None);
        let now = Instant::now();
        if let Some(until) = until {
            self.heavy.set(until < now);
        }
        self.charge(now.duration_since(begun), now);
        done
    }

    /// The turn of a request that is worked off inside of [`Self::serve`].
    pub(crate) async fn turn(self: &Rc<Self>) -> Turn {
        let mut standing = None;
        poll_fn(|context| self.poll_turn(&mut standing, context)).await
    }

    /// The same for who is polled anyway; keeps in `standing` whether it stands in line.
    pub(crate) fn poll_turn(
        self: &Rc<Self>,
        standing: &mut Option<Rc<Call>>,
        context: &Context<'_>,
    ) -> Poll<Turn> {
        let now = Instant::now();
        if let Some(call) = standing.take_if(|call| call.is_called()) {
            return Poll::Ready(self.called_turn(call, now));
        }
        match &*standing {
            Some(call) => call.waker.borrow_mut().clone_from(context.waker()),
            None => {
                if let Some(turn) = self.next_free_turn(now) {
                    return Poll::Ready(turn);
                }
                *standing = Some(self.stand(context.waker().clone()));
            }
        }
        Poll::Pending
    }

    fn next_free_turn(&self, now: Instant) -> Option<Turn> {
        match self.turn_until.get() {
            Some(until) if now < until => Some(Turn {
                until: Some(until),
                call: None,
            }),
            Some(_) => {
                self.note_more(now);
                None
            }
            None => self.free_turn(now),
        }
    }

    /// True while the turn has come of one of its requests: whoever polls that must not stand in line
    /// itself, as nobody else is called before.
    pub(crate) fn has_called(&self) -> bool {
        self.called.borrow().strong_count() > 0
    }

    #[cfg(test)]
    pub(super) fn calls_kept(&self) -> usize {
        self.calls.borrow().len()
    }

    /// Takes out its first request that still waits, and whether there are more.
    pub(super) fn call(&self) -> Option<(Rc<Call>, bool)> {
        let mut calls = self.calls.borrow_mut();
        while let Some(call) = calls.pop_front() {
            if is_wanted(&call) {
                call.is_called.set(true);
                *self.called.borrow_mut() = Rc::downgrade(&call);
                return Some((call, !calls.is_empty()));
            }
        }
        None
    }
}

/// False when whoever stood in line has left.
fn is_wanted(call: &Rc<Call>) -> bool {
    Rc::strong_count(call) > 1
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
