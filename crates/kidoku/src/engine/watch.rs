//! The events of one user for somebody who is not a connection of a core: a live stream over HTTP,
//! wherever its task runs.
//!
//! A watch lives on one core, where it has a place and a ticket like a connection. The events that
//! come there are put into a slot that the stream takes from. The slot holds one event at most: what
//! comes before the last was taken is merged into it, channel by channel, the newest numbers win. So
//! a slow reader costs no more than the channels of one user, and still misses nothing.

use super::Engine;
use super::core::{Asker, Core};
use super::gate::View;
use super::mailbox::Envelope;
use super::shared::Shared;
use super::ticket::{Place, Waiter};
use kidoku_core::error::Error;
use kidoku_core::id::{ChannelKey, ShardId, UserKey};
use kidoku_core::reply::{Event, ReadState, Reply};
use kidoku_core::request::{Request, Ticket};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The events of a user, until it is dropped.
#[derive(Debug)]
pub(crate) struct WatchStream {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    user: UserKey,
    home: ShardId,
}

/// How a watch goes on.
#[derive(Debug)]
pub(crate) enum Watched {
    /// News.
    Event(Arc<Event>),
    /// It never began, or broke off.
    Failed(Error),
    /// The server stops.
    Stopping,
}

/// Where the core puts in and the stream takes out.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    /// Where the core finds the watch; `None` = not there yet, or gone.
    place: Option<Place>,
    pending: Option<Pending>,
    end: Option<End>,
    waker: Option<Waker>,
}

#[derive(Clone, Debug)]
enum End {
    Failed(Error),
    Stopping,
}

/// What came and was not taken yet.
#[derive(Debug)]
enum Pending {
    /// As it came.
    One(Arc<Event>),
    /// Of several; the last one's totals and revision, and of each channel the newest numbers.
    Merged {
        last: Arc<Event>,
        all: bool,
        channels: BTreeMap<ChannelKey, ReadState>,
    },
}

impl Pending {
    fn and(self, next: Arc<Event>) -> Self {
        // It holds everything, and what it does not name is gone.
        if next.all {
            return Self::One(next);
        }
        let (all, mut channels) = match self {
            Self::One(event) => (event.all, event.channels.iter().cloned().collect()),
            Self::Merged { all, channels, .. } => (all, channels),
        };
        channels.extend(next.channels.iter().cloned());
        Self::Merged {
            last: next,
            all,
            channels,
        }
    }

    fn into_event(self) -> Arc<Event> {
        match self {
            Self::One(event) => event,
            Self::Merged {
                last,
                all,
                channels,
            } => Arc::new(Event {
                user: last.user.clone(),
                rev: last.rev,
                all,
                channels: channels.into_iter().collect(),
                damaged: last.damaged.clone(),
                badge: last.badge,
            }),
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut SlotState)) {
        let waker = {
            let mut state = self.lock();
            change(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn put(&self, event: &Arc<Event>) {
        self.update(|state| {
            let event = Arc::clone(event);
            state.pending = Some(match state.pending.take() {
                Some(pending) => pending.and(event),
                None => Pending::One(event),
            });
        });
    }

    fn end(&self, end: End) {
        self.update(|state| {
            state.end.get_or_insert(end);
        });
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Watched> {
        let mut state = self.lock();
        match (state.end.clone(), state.pending.take()) {
            (Some(End::Stopping), _) => Poll::Ready(Watched::Stopping),
            (Some(End::Failed(error)), _) => Poll::Ready(Watched::Failed(error)),
            (None, Some(pending)) => Poll::Ready(Watched::Event(pending.into_event())),
            (None, None) => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The watch on its core.
struct Watcher {
    slot: Arc<Slot>,
}

impl Asker for Watcher {
    fn reply(&self, _sequence: u32, result: Result<Reply, Error>, _stamp: u64) {
        if let Err(error) = result {
            self.slot.end(End::Failed(error));
        }
    }

    fn push(&self, event: &Arc<Event>) {
        self.slot.put(event);
    }

    fn release(&self, _view: View) -> bool {
        false
    }

    fn drain(&self) {
        self.slot.end(End::Stopping);
    }
}

impl Engine {
    /// Begins to watch a user. The first event that has `all` set holds everything; one before it
    /// may hold what other watchers of the user were about to be told.
    ///
    /// # Errors
    /// [`Error::Busy`] when a queue is full.
    pub(crate) fn watch(&self, user: UserKey) -> Result<WatchStream, Error> {
        let shared = Arc::clone(&self.shared);
        let owner = shared.placement.of_user(&user);
        shared.admit(owner, false)?;
        let home = shared.calls[self.home()].home();
        let slot = Arc::new(Slot::default());
        let begin = Begin {
            slot: Arc::clone(&slot),
            user: user.clone(),
            owner,
        };
        shared.post(home, Envelope::Job(Box::new(move |core| begin.run(core))));
        Ok(WatchStream {
            shared,
            slot,
            user,
            home,
        })
    }
}

struct Begin {
    slot: Arc<Slot>,
    user: UserKey,
    owner: ShardId,
}

impl Begin {
    fn run(self, core: &Core) {
        let Self { slot, user, owner } = self;
        let Some(place) = core.enter(Rc::new(Watcher {
            slot: Arc::clone(&slot),
        })) else {
            return slot.end(End::Failed(Error::Busy));
        };
        slot.lock().place = Some(place);
        if *core.shared.phase.borrow() != super::shared::Phase::Running {
            slot.end(End::Stopping);
        }
        let watcher = ticket(place, core.id);
        core.submit(owner, watcher, Request::Watch { user, watcher });
    }
}

/// Names the watch both as who watches and as who gets the answer.
fn ticket(place: Place, home: ShardId) -> Ticket {
    Waiter::Asker { place, sequence: 0 }.ticket(home)
}

impl WatchStream {
    /// The next news; everything since the last, merged. May be given up at any time without
    /// losing any. After the end it answers the end again.
    pub(crate) async fn next(&mut self) -> Watched {
        std::future::poll_fn(|context| self.slot.poll(context)).await
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        let (slot, user) = (Arc::clone(&self.slot), self.user.clone());
        let owner = self.shared.placement.of_user(&user);
        // Behind the job that began it, in the same mailbox.
        let job = move |core: &Core| {
            let place = slot.lock().place.take();
            if let Some(place) = place {
                let nobody = Waiter::Nobody.ticket(core.id);
                let watcher = ticket(place, core.id);
                core.submit(owner, nobody, Request::Unwatch { user, watcher });
                core.leave(place);
            }
        };
        self.shared.post(self.home, Envelope::Job(Box::new(job)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidoku_core::clock::Clock;
    use kidoku_core::id::App;
    use kidoku_core::reply::Badge;

    fn event(rev: u64, all: bool, channels: &[(&str, u64)]) -> Arc<Event> {
        let app = App::default_app();
        let state = |unread: u64| ReadState {
            unread,
            ..ReadState::default()
        };
        let channel =
            |(name, unread): &(&str, u64)| (ChannelKey::new(&app, name).unwrap(), state(*unread));
        Arc::new(Event {
            user: UserKey::new(&app, "u").unwrap(),
            rev: Clock(rev),
            all,
            channels: channels.iter().map(channel).collect(),
            damaged: Vec::new(),
            badge: Some(Badge {
                unread: rev,
                ..Badge::default()
            }),
        })
    }

    fn take(slot: &Slot) -> Option<Watched> {
        match slot.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(watched) => Some(watched),
            Poll::Pending => None,
        }
    }

    #[test]
    fn events_that_nobody_takes_become_one_in_which_the_newest_numbers_win() {
        let slot = Slot::default();
        assert!(take(&slot).is_none());
        slot.put(&event(1, true, &[("a", 1), ("b", 1)]));
        slot.put(&event(2, false, &[("b", 2)]));
        slot.put(&event(3, false, &[("c", 3)]));
        let Some(Watched::Event(taken)) = take(&slot) else {
            panic!("an event")
        };
        assert_eq!(taken, event(3, true, &[("a", 1), ("b", 2), ("c", 3)]));
        slot.put(&event(4, false, &[("a", 4)]));
        let Some(Watched::Event(taken)) = take(&slot) else {
            panic!("an event")
        };
        assert_eq!(taken, event(4, false, &[("a", 4)]));
        assert!(take(&slot).is_none());
    }

    #[test]
    fn an_end_is_told_again_and_again() {
        let slot = Slot::default();
        slot.put(&event(1, true, &[]));
        slot.end(End::Failed(Error::Storage));
        slot.end(End::Stopping);
        for _ in 0..2 {
            assert!(matches!(take(&slot), Some(Watched::Failed(Error::Storage))));
        }
    }
}
