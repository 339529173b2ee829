//! A core's mailbox: what other threads have for it. Senders hand over whole batches, and wake the
//! core once, and only when it waits; the core takes everything at once.
//!
//! The mailbox itself never refuses: peer messages, replies and loaded data must arrive. Who brings
//! in new requests asks [`Mailbox::has_room`] first.

use super::core::Core;
use kidoku_core::effect::{Load, LoadFailed, Loaded};
use kidoku_core::error::Error;
use kidoku_core::id::ShardId;
use kidoku_core::reply::{Event, Reply};
use kidoku_core::request::{Request, Ticket};
use kidoku_core::shard::PeerMessage;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// Envelopes a core may have waiting before new requests are refused. Internal messages are not
/// refused, each request makes few of them.
pub(crate) const MAILBOX_LENGTH_MAX: usize = 65_536;

/// One thing for a core to do.
pub(crate) enum Envelope {
    /// Somebody on another thread asks.
    Request {
        /// Whom to answer.
        ticket: Ticket,
        /// What is asked.
        request: Request,
    },
    /// Another shard says something.
    Peer {
        /// Which one.
        from: ShardId,
        /// What.
        message: PeerMessage,
    },
    /// An answer to something asked on this core.
    Reply {
        /// Who asked.
        ticket: Ticket,
        /// The answer.
        result: Result<Reply, Error>,
    },
    /// News for a watcher on this core.
    Push {
        /// Who watches.
        ticket: Ticket,
        /// The news.
        event: Arc<Event>,
    },
    /// Data from the store.
    Loaded {
        /// What was asked.
        load: Load,
        /// What is there.
        data: Result<Loaded, LoadFailed>,
    },
    /// Something else to be done on the core's thread.
    Job(Box<dyn FnOnce(&Core) + Send>),
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request { .. } => "Request",
            Self::Peer { .. } => "Peer",
            Self::Reply { .. } => "Reply",
            Self::Push { .. } => "Push",
            Self::Loaded { .. } => "Loaded",
            Self::Job(_) => "Job",
        })
    }
}

/// What was taken out of a mailbox.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The envelopes, in order of arrival.
    pub(crate) items: Vec<Envelope>,
    /// For each run of envelopes that came in one batch: one past its end, and its sender's lsn.
    pub(crate) stamps: Vec<(usize, u64)>,
    /// The durable lsn rose, or the log's health changed.
    pub(crate) poked: bool,
}

#[derive(Debug, Default)]
struct Inbox {
    taken: Taken,
    /// Set while the core waits; whoever puts something in takes it and wakes.
    waiting: Option<Waker>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inbox: Mutex<Inbox>,
    /// Envelopes put in and not yet worked off.
    length: AtomicUsize,
    /// Those who wait for room.
    room: Notify,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in a batch, leaving `items` empty. `stamp` is the highest lsn its sender has seen.
    pub(crate) fn push_all(&self, items: &mut Vec<Envelope>, stamp: u64) {
        if items.is_empty() {
            return;
        }
        self.length.fetch_add(items.len(), Ordering::Relaxed);
        let waker = {
            let mut inbox = self.lock();
            inbox.taken.items.append(items);
            let end = inbox.taken.items.len();
            inbox.taken.stamps.push((end, stamp));
            inbox.waiting.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Puts in one envelope.
    pub(crate) fn push(&self, item: Envelope, stamp: u64) {
        self.push_all(&mut vec![item], stamp);
    }

    /// Wakes the core to look at the durable lsn.
    pub(crate) fn poke(&self) {
        let waker = {
            let mut inbox = self.lock();
            inbox.taken.poked = true;
            inbox.waiting.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes everything into `into`, which must be empty and whose memory is used for what comes
    /// next. Pending when there is nothing.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>, into: &mut Taken) -> Poll<()> {
        debug_assert!(into.items.is_empty() && into.stamps.is_empty());
        let mut inbox = self.lock();
        if inbox.taken.items.is_empty() && !inbox.taken.poked {
            inbox.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        into.poked = false;
        std::mem::swap(&mut inbox.taken, into);
        Poll::Ready(())
    }

    /// Says that `count` of the envelopes taken have been worked off.
    pub(crate) fn done(&self, count: usize) {
        let before = self.length.fetch_sub(count, Ordering::Relaxed);
        let low = MAILBOX_LENGTH_MAX / 2;
        if before >= low && before - count < low {
            self.room.notify_waiters();
        }
    }

    /// Envelopes put in and not yet worked off.
    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// True when new requests may come in.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < MAILBOX_LENGTH_MAX
    }

    /// Waits until new requests may come in.
    pub(crate) async fn wait_for_room(&self) {
        loop {
            // Made before the look at the length, so that a rise in between is not missed.
            let room = self.room.notified();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    #[derive(Default)]
    struct Counted(AtomicU32);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn envelope(id: u64) -> Envelope {
        let ticket = Ticket {
            core: ShardId(0),
            id,
        };
        Envelope::Reply {
            ticket,
            result: Ok(Reply::Ok),
        }
    }

    fn ids(taken: &Taken) -> Vec<u64> {
        let id = |item: &Envelope| match item {
            Envelope::Reply { ticket, .. } => ticket.id,
            _ => u64::MAX,
        };
        taken.items.iter().map(id).collect()
    }

    #[test]
    fn batches_come_out_in_order_with_the_stamps_of_their_senders() {
        let mailbox = Mailbox::default();
        mailbox.push_all(&mut vec![envelope(1), envelope(2)], 10);
        mailbox.push(envelope(3), 7);
        let mut taken = Taken::default();
        let mut context = Context::from_waker(Waker::noop());
        assert!(mailbox.poll_take(&mut context, &mut taken).is_ready());
        assert_eq!(ids(&taken), [1, 2, 3]);
        assert_eq!(taken.stamps, [(2, 10), (3, 7)]);
        assert_eq!(mailbox.len(), 3);
        mailbox.done(3);
        assert_eq!(mailbox.len(), 0);
    }

    #[test]
    fn a_core_is_woken_once_however_many_batches_arrive_before_it_looks() {
        let mailbox = Mailbox::default();
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        let mut context = Context::from_waker(&waker);
        let mut taken = Taken::default();
        assert!(mailbox.poll_take(&mut context, &mut taken).is_pending());
        for id in 0..5 {
            mailbox.push(envelope(id), 0);
        }
        mailbox.poke();
        assert_eq!(counted.0.load(Ordering::Relaxed), 1);
        assert!(mailbox.poll_take(&mut context, &mut taken).is_ready());
        assert!(taken.poked);
        assert_eq!(ids(&taken), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_mailbox_is_full_at_its_bound_and_has_room_below_it() {
        let mailbox = Mailbox::default();
        let mut items: Vec<Envelope> = (1..MAILBOX_LENGTH_MAX as u64).map(envelope).collect();
        mailbox.push_all(&mut items, 0);
        assert!(mailbox.has_room());
        mailbox.push(envelope(0), 0);
        assert!(!mailbox.has_room());
        mailbox.done(1);
        assert!(mailbox.has_room());
    }

    #[test]
    fn who_waits_for_room_goes_on_when_half_is_worked_off() {
        let mailbox = Mailbox::default();
        let mut items: Vec<Envelope> = (0..MAILBOX_LENGTH_MAX as u64).map(envelope).collect();
        mailbox.push_all(&mut items, 0);
        let mut context = Context::from_waker(Waker::noop());
        let mut wait = std::pin::pin!(mailbox.wait_for_room());
        assert!(wait.as_mut().poll(&mut context).is_pending());
        mailbox.done(MAILBOX_LENGTH_MAX / 2 + 1);
        assert!(wait.as_mut().poll(&mut context).is_ready());
    }
}
