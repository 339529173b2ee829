//! What all cores and all handles share.

use super::calls::Calls;
use super::gate::Gate;
use super::journal::Journal;
use super::mailbox::{Envelope, Mailbox};
use super::space::Room;
use super::stall::Stalls;
use crate::metrics::RespMetrics;
use kidoku_core::clock::Clock;
use kidoku_core::error::Error;
use kidoku_core::id::ShardId;
use kidoku_core::placement::Placement;
use kidoku_core::request::Request;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Running,
    /// It takes nothing new and answers what it has.
    Draining,
    /// The cores end.
    Halted,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Who owns what.
    pub(crate) placement: Placement,
    /// One for each core.
    pub(crate) mailboxes: Box<[Mailbox]>,
    /// For each core, the batches of calls whose replies come to it.
    pub(crate) calls: Box<[Calls]>,
    /// For each core, its turns that took too long.
    pub(crate) stalls: Box<[Arc<Stalls>]>,
    /// Log and checkpoint.
    pub(crate) journal: Arc<dyn Journal>,
    /// Holds replies until they may leave.
    pub(crate) gate: Gate,
    /// Signalled when the log has written a group, for those who wait for room in its queue.
    pub(crate) log_room: Notify,
    /// Gives batches of calls from threads that are no cores their home.
    pub(crate) next_home: AtomicUsize,
    /// Open RESP connections.
    pub(crate) resp_connections: AtomicUsize,
    /// What RESP counts.
    pub(crate) resp_metrics: Arc<RespMetrics>,
    /// RESP connections ever taken; gives each its number.
    pub(crate) resp_connections_total: AtomicU64,
    /// The highest clock that a fact in the log may have.
    clock: Arc<AtomicU64>,
    /// Where the server is in its life.
    pub(crate) phase: watch::Sender<Phase>,
    /// The disk has less room than is to be kept free.
    is_low_on_space: AtomicBool,
    /// What health and metrics say of the disk.
    disk: Mutex<Disk>,
}

/// See [`Shared::disk`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// Why the log can not be written; `None` = it can.
    pub(crate) log_error: Option<String>,
    /// The room on it.
    pub(crate) room: Room,
}

/// Whether a request may change something. A read may be answered while the log can not be written.
pub(crate) fn writes(request: &Request) -> bool {
    match request {
        Request::Join { .. }
        | Request::Leave { .. }
        | Request::Post { .. }
        | Request::Delete { .. }
        | Request::Edit { .. }
        | Request::Ack { .. }
        | Request::AckMany { .. }
        | Request::AckAll { .. }
        | Request::MarkUnread { .. }
        | Request::Mute { .. }
        | Request::Role { .. }
        | Request::Follow { .. }
        | Request::Trim { .. }
        | Request::Erase { .. }
        | Request::Drop { .. }
        | Request::Merge { .. }
        | Request::Resolve { .. } => true,
        Request::Channel {
            space,
            parent,
            receipts,
            ..
        } => space.is_some() || parent.is_some() || receipts.is_some(),
        Request::Count { .. }
        | Request::State { .. }
        | Request::Badge { .. }
        | Request::Seen { .. }
        | Request::Explain { .. }
        | Request::Watch { .. }
        | Request::Unwatch { .. }
        | Request::Names { .. } => false,
    }
}

/// The index of a core in the arrays here.
pub(crate) fn index(core: ShardId) -> usize {
    usize::from(core.0)
}

impl Shared {
    /// The parts of an engine of `cores` cores over a journal whose records up to `durable` were
    /// recovered; `holds` = replies wait for the disk. `clock` is where the highest clock is kept
    /// for the log.
    pub(crate) fn new(
        cores: u16,
        journal: Arc<dyn Journal>,
        clock: Arc<AtomicU64>,
        durable: u64,
        holds: bool,
    ) -> Self {
        let placement = Placement::new(cores);
        Self {
            placement,
            mailboxes: placement.all().map(|_| Mailbox::default()).collect(),
            calls: placement.all().map(Calls::new).collect(),
            stalls: placement.all().map(|_| Arc::default()).collect(),
            journal,
            gate: Gate::new(placement.shards(), durable, holds),
            log_room: Notify::new(),
            next_home: AtomicUsize::new(0),
            resp_connections: AtomicUsize::new(0),
            resp_metrics: Arc::default(),
            resp_connections_total: AtomicU64::new(0),
            clock,
            phase: watch::Sender::new(Phase::Running),
            is_low_on_space: AtomicBool::new(false),
            disk: Mutex::default(),
        }
    }

    /// Notes a clock before facts with it go to the log.
    pub(crate) fn note_clock(&self, clock: Clock) {
        self.clock.fetch_max(clock.0, Ordering::Release);
    }

    /// The mailbox of a core.
    pub(crate) fn mailbox(&self, core: ShardId) -> &Mailbox {
        let index = index(core).min(self.mailboxes.len() - 1);
        &self.mailboxes[index]
    }

    /// Puts in one envelope for a core, from a thread that has seen no lsn.
    pub(crate) fn post(&self, core: ShardId, envelope: Envelope) {
        self.mailbox(core).push(envelope, 0);
    }

    /// Whether a request of a client may come in now.
    ///
    /// # Errors
    /// [`Error::DiskFull`] for a write while the disk takes none, [`Error::Busy`] when a queue is full.
    pub(crate) fn admit(&self, owner: ShardId, writes: bool) -> Result<(), Error> {
        if writes {
            if self.refuses_writes() {
                return Err(Error::DiskFull);
            }
            if !self.journal.has_room() {
                return Err(Error::Busy);
            }
        }
        if self.mailbox(owner).has_room() {
            Ok(())
        } else {
            Err(Error::Busy)
        }
    }

    /// True while the log fails, the store fails and no more may wait for it, or the disk has less room
    /// than is to be kept free.
    pub(crate) fn refuses_writes(&self) -> bool {
        self.gate.is_failing() || self.journal.is_stuck() || self.is_low_on_space()
    }

    /// Everything up to `lsn` is on disk.
    pub(crate) fn publish_durable(&self, lsn: u64) {
        for core in self.gate.publish(lsn) {
            self.mailboxes[core].poke();
        }
        self.log_room.notify_waiters();
    }

    /// The log fails, for this reason, or works again.
    pub(crate) fn publish_failing(&self, error: Option<String>) {
        let failing = error.is_some();
        self.with_disk(|disk| disk.log_error = error);
        for core in self.gate.set_failing(failing) {
            self.mailboxes[core].poke();
        }
        self.log_room.notify_waiters();
    }

    /// How much room the disk has, and whether that is too little.
    pub(crate) fn publish_room(&self, room: Room, is_low: bool) {
        self.with_disk(|disk| disk.room = room);
        self.is_low_on_space.store(is_low, Ordering::Relaxed);
        if is_low {
            self.log_room.notify_waiters();
        }
    }

    /// The disk has less room than is to be kept free.
    pub(crate) fn is_low_on_space(&self) -> bool {
        self.is_low_on_space.load(Ordering::Relaxed)
    }

    /// What health and metrics say of the disk.
    pub(crate) fn disk(&self) -> Disk {
        self.with_disk(|disk| disk.clone())
    }

    fn with_disk<T>(&self, then: impl FnOnce(&mut Disk) -> T) -> T {
        // Nobody panics with it held.
        then(&mut self.disk.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
