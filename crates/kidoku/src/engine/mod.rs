//! The engine: one shard per core, its runtimes, mailboxes, the log and the checkpoint behind them.
//!
//! [`Engine`] is the handle everything else uses; it is cheap to clone and may be used from any
//! thread.
//!
//! The path of a request: `Core::submit` or the mailbox of another core, the shard, its effects, the
//! journal, the gate, the reply.

pub(crate) mod calls;
pub(crate) mod core;
pub(crate) mod gate;
pub(crate) mod journal;
pub(crate) mod line;
pub(crate) mod mailbox;
pub(crate) mod opaque;
pub(crate) mod pressure;
pub(crate) mod priority;
pub(crate) mod pushes;
pub mod rot;
pub(crate) mod runtime;
pub(crate) mod shared;
pub(crate) mod space;
pub(crate) mod stall;
pub(crate) mod storage;
pub(crate) mod ticket;
pub(crate) mod watch;

use self::calls::OpenBatch;
use self::journal::Marker;
use self::mailbox::Envelope;
use self::shared::{Phase, Shared, index, writes};
use crate::metrics::RespMetrics;
use kidoku_core::error::Error;
use kidoku_core::fact::Partition;
use kidoku_core::id::{App, ShardId};
use kidoku_core::placement::Placement;
use kidoku_core::reply::Reply;
use kidoku_core::request::{Request, Ticket};
use kidoku_core::shard::Stats;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// Calls of one batch that may be out at a time.
const WINDOW: usize = 4_096;

/// A handle on the running engine.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What the engine says of itself, for health and metrics.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Why the server is not ready; empty = ready.
    pub not_ready: Vec<String>,
    /// Counters of each shard.
    pub shards: Vec<Stats>,
    /// Inputs waiting in each core's mailbox.
    pub mailbox_lengths: Vec<u64>,
    /// Turns of each core that took too long.
    pub stalls: Vec<stall::StallCounts>,
    /// The last lsn appended to the log.
    pub appended_lsn: u64,
    /// The last lsn known to be durable.
    pub durable_lsn: u64,
    /// The last lsn checkpointed into the store.
    pub flushed_lsn: u64,
    /// Groups written and synced by the log.
    pub log_groups: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Seconds spent in fsync, all together.
    pub log_sync_seconds: f64,
    /// Times a write or sync of the log failed.
    pub log_failures: u64,
    /// Times a flush into the store succeeded.
    pub flushes: u64,
    /// Times a flush into the store failed.
    pub flush_failures: u64,
    /// Times the store was opened again after a failure.
    pub store_reopened: u64,
    /// Bytes free on the disk of the data directory.
    pub disk_free_bytes: u64,
    /// Bytes free below which writes are refused.
    pub disk_free_bytes_min: u64,
    /// Facts of the log from before the start that are not merged yet.
    pub replay_facts: u64,
    /// Bytes of the overlay waiting to be checkpointed.
    pub overlay_bytes: u64,
    /// Open RESP connections.
    pub resp_connections: u64,
    /// What RESP has counted.
    pub resp: Arc<RespMetrics>,
    /// What was found rotten in log and store.
    pub rot: rot::Found,
}

impl Engine {
    /// A handle on what the cores share.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Follows the server's life.
    pub(crate) fn phase(&self) -> tokio::sync::watch::Receiver<Phase> {
        self.shared.phase.subscribe()
    }

    /// Which core owns what.
    pub fn placement(&self) -> Placement {
        self.shared.placement
    }

    /// Runs one request; resolves when the reply may leave (its facts are durable).
    ///
    /// # Errors
    /// What the shard refuses, [`Error::Busy`] when a queue is full.
    pub async fn call(&self, request: Request) -> Result<Reply, Error> {
        let writes = writes(&request);
        let owner = request.owner(&self.shared.placement);
        self.shared.admit(owner, writes)?;
        let batch = self.shared.calls[self.home()].open(std::iter::once(writes))?;
        batch.note_sent(1);
        let ticket = batch.ticket(0);
        self.shared
            .post(owner, Envelope::Request { ticket, request });
        let mut results = batch.finish().await;
        results.pop().unwrap_or(Err(Error::Busy))
    }

    /// Runs requests with the effect of one after the other, many in flight; one reply each, in
    /// order. Resolves when all replies may leave. Waits, instead of answering busy, while queues
    /// are full.
    pub async fn call_many(&self, requests: Vec<Request>) -> Vec<Result<Reply, Error>> {
        let count = requests.len();
        match self.shared.calls[self.home()].open(requests.iter().map(writes)) {
            Ok(batch) => {
                let mut sender = Sender::new(&self.shared, &batch);
                sender.send_all(requests).await;
                batch.finish().await
            }
            Err(error) => vec![Err(error); count],
        }
    }

    /// A page of live facts of one app, partition by partition (users first), each partition whole;
    /// `None` for the next page when done. Holds everything applied before the call. What can not be
    /// read is left out, and named in the page.
    ///
    /// # Errors
    /// [`Error::Storage`] when the store can not be read.
    pub async fn scan(
        &self,
        app: App,
        after: Option<Partition>,
    ) -> Result<kidoku_store::ScanPage, Error> {
        let (reply, page) = oneshot::channel();
        self.shared.journal.mark(Marker::Scan { app, after, reply });
        page.await.unwrap_or(Err(Error::Storage))
    }

    /// Counters and health.
    pub async fn status(&self) -> Status {
        let mut asked = Vec::new();
        for core in self.shared.placement.all() {
            let (reply, stats) = oneshot::channel();
            let job = move |core: &core::Core| {
                let _asker_is_gone = reply.send(core.stats()).is_err();
            };
            self.shared.post(core, Envelope::Job(Box::new(job)));
            asked.push(stats);
        }
        let mut shards = Vec::new();
        for stats in asked {
            shards.push(stats.await.unwrap_or_default());
        }
        self.status_with(shards)
    }

    /// Turns of each core that took too long.
    pub(crate) fn stalls(&self) -> Vec<stall::StallCounts> {
        let stalls = self.shared.stalls.iter();
        stalls.map(|stalls| stalls.counts()).collect()
    }

    fn status_with(&self, shards: Vec<Stats>) -> Status {
        let shared = &self.shared;
        let journal = shared.journal.status();
        let mut not_ready = journal.problems;
        if *shared.phase.borrow() != Phase::Running {
            not_ready.push("the server is stopping".to_owned());
        }
        let disk = shared.disk();
        if let Some(error) = disk.log_error {
            not_ready.push(format!("the log can not be written: {error}"));
        }
        if shared.journal.is_stuck() {
            not_ready.push("no more may wait for the store: writes are refused".to_owned());
        }
        if shared.is_low_on_space() {
            not_ready.push(format!(
                "the disk has {} bytes left, less than {} are not used: writes are refused",
                disk.room.free, disk.room.least
            ));
        }
        let length = |mailbox: &mailbox::Mailbox| u64::try_from(mailbox.len()).unwrap_or(u64::MAX);
        Status {
            not_ready,
            shards,
            mailbox_lengths: shared.mailboxes.iter().map(length).collect(),
            stalls: self.stalls(),
            appended_lsn: journal.appended_lsn,
            durable_lsn: shared.gate.durable(),
            flushed_lsn: journal.flushed_lsn,
            log_groups: journal.groups,
            log_bytes: journal.bytes,
            log_sync_seconds: journal.sync_seconds,
            log_failures: journal.failures,
            flushes: journal.flushes,
            flush_failures: journal.flush_failures,
            store_reopened: journal.store_reopened,
            disk_free_bytes: disk.room.free,
            disk_free_bytes_min: disk.room.least,
            replay_facts: journal.replay_facts,
            overlay_bytes: journal.overlay_bytes,
            resp_connections: u64::try_from(shared.resp_connections.load(Ordering::Relaxed))
                .unwrap_or(u64::MAX),
            resp: Arc::clone(&shared.resp_metrics),
            rot: journal.rot,
        }
    }

    /// The core to which the replies of a batch come: this one, or of other threads one in turn.
    fn home(&self) -> usize {
        match runtime::current_core() {
            Some(core) => index(core).min(self.shared.calls.len() - 1),
            None => self.shared.next_home.fetch_add(1, Ordering::Relaxed) % self.shared.calls.len(),
        }
    }
}

/// Sends the calls of a batch, in order, as far ahead as fences and queues allow.
struct Sender<'a> {
    shared: &'a Shared,
    batch: &'a OpenBatch<'a>,
    /// For each core, what goes to it.
    outboxes: Vec<Vec<Envelope>>,
    /// How many are in the outboxes.
    gathered: usize,
    /// Calls refused here, not yet answered.
    refused: Vec<(Ticket, Error)>,
}

impl<'a> Sender<'a> {
    fn new(shared: &'a Shared, batch: &'a OpenBatch<'a>) -> Self {
        let outboxes = shared.placement.all().map(|_| Vec::new()).collect();
        Self {
            shared,
            batch,
            outboxes,
            gathered: 0,
            refused: Vec::new(),
        }
    }

    async fn send_all(&mut self, requests: Vec<Request>) {
        let mut class = requests.first().map(Request::class);
        for (sequence, request) in (0_u32..).zip(requests) {
            if class.replace(request.class()) != Some(request.class()) {
                self.flush();
                self.batch.wait_in_flight(0).await;
            }
            if self.gathered >= WINDOW / 4 {
                self.flush();
                self.batch.wait_in_flight(WINDOW - WINDOW / 4).await;
            }
            let owner = request.owner(&self.shared.placement);
            let writes = writes(&request);
            let ticket = self.batch.ticket(sequence);
            while let Err(error) = self.shared.admit(owner, writes) {
                if error != Error::Busy {
                    self.refused.push((ticket, error));
                    break;
                }
                self.flush();
                wait_for_room(self.shared, owner).await;
            }
            if self.refused.is_empty() {
                self.outboxes[index(owner)].push(Envelope::Request { ticket, request });
                self.gathered += 1;
            } else {
                self.flush();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        self.batch.note_sent(self.gathered + self.refused.len());
        self.gathered = 0;
        for (mailbox, outbox) in self.shared.mailboxes.iter().zip(&mut self.outboxes) {
            mailbox.push_all(outbox, 0);
        }
        for (ticket, error) in self.refused.drain(..) {
            // Through the home core's mailbox, so that only that core ever answers.
            let refusal = Envelope::Reply {
                ticket,
                result: Err(error),
            };
            self.shared.post(ticket.core, refusal);
        }
    }
}

/// Waits until mailbox and log take more.
async fn wait_for_room(shared: &Shared, owner: ShardId) {
    shared.mailbox(owner).wait_for_room().await;
    // Made before the look, so that a group written in between is not missed.
    let room = shared.log_room.notified();
    if !shared.journal.has_room() && !shared.refuses_writes() {
        room.await;
    }
}
