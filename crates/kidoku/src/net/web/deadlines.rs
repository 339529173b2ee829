//! When a connection has taken too long over something.
//!
//! Its socket, its requests and its answers tell [`Deadlines`] what happens; the connection's task
//! asks for the earliest deadline after each of its turns and keeps one timer for it, which it moves
//! only when it rings. So a request costs a few words under a lock that nobody else wants, and no
//! timer.

use crate::net::limits::Times;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Deadlines {
    times: Times,
    /// Whether keys are shown here at all.
    strangers: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// No request has come yet.
    is_new: bool,
    /// The head of a request begins with any byte; not so in HTTP/2, whose clients may say much
    /// between two requests.
    heads_are_read: bool,
    /// Nobody has shown a valid key, or the last one was none.
    without_key: bool,
    /// Requests that have ended, and who waits for one more, or for a key.
    ended: u64,
    waiter: Option<Waker>,
    /// Requests whose answers are not all with the protocol yet.
    requests: u32,
    /// Since when there are none.
    idle_since: Instant,
    /// When the first byte of a head came.
    head_since: Option<Instant>,
    /// Since when the socket takes nothing.
    blocked_since: Option<Instant>,
    /// Answers of which a piece is made that nobody has asked to follow by the next.
    waiting: u32,
    /// When a piece was last asked for.
    asked_at: Instant,
}

impl Deadlines {
    /// Of a connection just accepted, on a port with strangers or without.
    pub(super) fn new(times: Times, strangers: bool) -> Self {
        let now = Instant::now();
        Self {
            times,
            strangers,
            state: Mutex::new(State {
                is_new: true,
                heads_are_read: true,
                without_key: strangers,
                ended: 0,
                waiter: None,
                requests: 0,
                idle_since: now,
                head_since: None,
                blocked_since: None,
                waiting: 0,
                asked_at: now,
            }),
        }
    }

    /// How long what may take.
    pub(super) fn times(&self) -> &Times {
        &self.times
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection turned out to speak HTTP/2.
    pub(super) fn note_http2(&self) {
        let mut state = self.lock();
        state.heads_are_read = false;
        state.head_since = None;
    }

    /// Bytes came.
    pub(super) fn note_read(&self) {
        let mut state = self.lock();
        if state.requests == 0 && state.heads_are_read && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// The socket took bytes, or takes none.
    pub(super) fn note_write(&self, took: bool) {
        let mut state = self.lock();
        if took {
            state.blocked_since = None;
        } else if state.blocked_since.is_none() {
            state.blocked_since = Some(Instant::now());
        }
    }

    /// How many requests have ended, for one that waits until there are more; `None` = a valid key was
    /// shown, so nobody has to wait.
    pub(super) fn ended(&self, context: &Context<'_>) -> Option<u64> {
        let mut state = self.lock();
        if !state.without_key {
            return None;
        }
        state.waiter = Some(context.waker().clone());
        Some(state.ended)
    }

    /// A valid key was shown.
    fn note_key(&self) {
        let waiter = {
            let mut state = self.lock();
            state.without_key = false;
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Counts a request until its answer is with the protocol.
    pub(super) fn enter(self: &Arc<Self>) -> Underway {
        let mut state = self.lock();
        state.is_new = false;
        state.head_since = None;
        state.requests += 1;
        drop(state);
        Underway {
            deadlines: Arc::clone(self),
            waits: false,
        }
    }

    /// When the connection is cut off, unless something changes. `None` = it waits for the server.
    pub(super) fn next(&self) -> Option<Instant> {
        let (times, state) = (&self.times, self.lock());
        let stalled = state.blocked_since.map(|since| since + times.write_stall);
        let untaken = (state.waiting > 0).then(|| state.asked_at + times.write_stall);
        let idle = (state.requests == 0).then(|| {
            let limit = match (state.is_new, state.without_key) {
                (true, _) => times.first_request,
                (false, true) => times.idle_without_key,
                (false, false) => times.idle,
            };
            state.idle_since + limit
        });
        // Only one of the two is for the head: it may begin late in an idle time, and is then no
        // longer bound by that.
        let head = state.head_since.map(|since| since + times.head);
        let quiet = match head {
            Some(head) if state.is_new => idle.map(|idle| idle.min(head)),
            Some(head) => Some(head),
            None => idle,
        };
        [stalled, untaken, quiet].into_iter().flatten().min()
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Underway {
    deadlines: Arc<Deadlines>,
    /// A piece is made, and nobody has asked for the next.
    waits: bool,
}

impl Underway {
    /// How long what may take.
    pub(super) fn times(&self) -> &Times {
        self.deadlines.times()
    }

    /// Whether the request was refused for having no valid key.
    pub(super) fn note_answer(&self, refused: bool) {
        let mut state = self.deadlines.lock();
        if refused {
            state.without_key = true;
        } else if !self.deadlines.strangers {
            state.without_key = false;
        }
    }

    /// For whoever looks at the request's key.
    pub(super) fn key_shown(&self) -> KeyShown {
        KeyShown(Arc::clone(&self.deadlines))
    }

    /// The protocol asks for the next piece of the answer.
    pub(super) fn note_asked(&mut self) {
        if std::mem::take(&mut self.waits) {
            let mut state = self.deadlines.lock();
            state.waiting -= 1;
            state.asked_at = Instant::now();
        }
    }

    /// The protocol has got a piece of the answer.
    pub(super) fn note_given(&mut self) {
        if !std::mem::replace(&mut self.waits, true) {
            let mut state = self.deadlines.lock();
            state.waiting += 1;
            state.asked_at = Instant::now();
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.note_asked();
        let waiter = {
            let mut state = self.deadlines.lock();
            state.requests -= 1;
            if state.requests == 0 {
                state.idle_since = Instant::now();
            }
            state.ended += 1;
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// Goes with a request, among its extensions, to whoever looks at its key.
#[derive(Clone, Debug)]
pub(crate) struct KeyShown(Arc<Deadlines>);

impl KeyShown {
    /// The key is valid: the connection is no stranger's any more.
    pub(crate) fn note(&self) {
        self.0.note_key();
    }
}
