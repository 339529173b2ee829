//! Log, checkpoint and store behind the cores: opening with recovery, and the journal they make.

use super::journal::{Journal, JournalStatus, Marker, ScanPage};
use super::mailbox::Envelope;
use super::rot::Watcher;
use super::shared::Shared;
use crate::config::{Config, Durability};
use crate::server::waiting::Progress;
use kidoku_core::clock::Clock;
use kidoku_core::error::Error;
use kidoku_core::fact::codec;
use kidoku_log::{
    Appender, BatchState, Committer, Cutter, FsDisk, Log, LogError, LogOptions, Lsn, QueueError,
    QueueOptions, Recovery, Sink, Writer,
};
use kidoku_store::{
    Batch, Checkpoint, CheckpointOptions, Embedded, EmbeddedOptions, Gathered, Store, StoreError,
};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// Facts of one page of a scan, from which on it ends with the partition it is in.
const SCAN_FACTS: usize = 4_096;

/// Bytes of recovered records handed to the checkpoint at a time.
const RECOVERY_BATCH_BYTES: usize = 1 << 20;

/// Bytes before each record of the log, for the account of how far the replay is.
const RECORD_HEADER_BYTES: u64 = 8;

/// Records between two reports of progress.
const PROGRESS_RECORDS: u64 = 65_536;

/// Bytes that may wait for the disk before clients are refused.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Why log or store can not be opened or closed.
#[derive(Debug)]
pub enum StorageError {
    /// The log.
    Log(LogError),
    /// The store.
    Store(StoreError),
    /// The system gives no thread, or the like.
    Io(io::Error),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Log(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Io(error) => Some(error),
        }
    }
}

impl From<LogError> for StorageError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<StoreError> for StorageError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Log, checkpoint and store of a running server.
#[derive(Debug)]
pub(crate) struct Storage {
    writer: Writer<Marker>,
    checkpoint: Arc<Checkpoint>,
    /// Where the log's thread finds the cores, once they are there.
    shared: Arc<OnceLock<Arc<Shared>>>,
    /// What the cores use.
    pub(crate) journal: Arc<dyn Journal>,
    /// The highest clock that a fact in the log may have.
    pub(crate) clock: Arc<AtomicU64>,
    /// What recovery found.
    pub(crate) recovery: Recovery,
    /// What is found rotten.
    pub(crate) rot: Watcher,
    /// Log and store were empty.
    pub(crate) is_fresh: bool,
}

impl Storage {
    /// Opens log and store in a data directory and replays the log. `progress` is told the number
    /// of facts replayed, now and then.
    ///
    /// # Errors
    /// When either can not be read or written.
    pub(crate) fn open(
        config: &Config,
        replayed: &Progress,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, StorageError> {
        let store_dir = config.data_dir.join("store");
        let options = EmbeddedOptions {
            table_rows_min: config.checkpoint.table_rows,
            ..EmbeddedOptions::default()
        };
        let open = || Embedded::open_settled(&store_dir, options);
        let store = Arc::new(super::priority::behind(open)??);
        let rot = store.rot();
        let store_is_empty = store.is_empty()?;
        let embedded = Arc::clone(&store);
        let cutter = Arc::new(OnceLock::new());
        let checkpoint = Arc::new(start_checkpoint(config, store, Arc::clone(&cutter))?);
        // Before the log is opened: what can fail comes first, so that a start that fails leaves the
        // log's damage to the next start to report.
        let stored_clock = checkpoint.stored_clock()?;
        let log_dir = config.data_dir.join("log");
        let settled = Lsn(embedded.settled_lsn());
        let mut replayer = Replayer {
            config,
            dir: &log_dir,
            checkpoint: &checkpoint,
            replayed,
            progress,
            clock_replayed: 0,
        };
        let (mut log, mut recovery) = replayer.run(settled)?;
        if recovery.last < settled {
            // It is not the log that the store was settled with, or has lost its end. Its lsns will be
            // given again.
            embedded.forget_settled_lsn()?;
            drop(log);
            (log, recovery) = replayer.run(Lsn::NONE)?;
        }
        // Before anything is cut of the log, as then nothing else tells of it.
        embedded.note_log_losses(&super::rot::losses(&recovery))?;
        let clock_replayed = replayer.clock_replayed;
        let rot = Watcher::new(&recovery, rot);
        drop(cutter.set(log.cutter()));
        let clock_seen = recovery.clock_max.max(clock_replayed).max(stored_clock.0);
        let clock = Arc::new(AtomicU64::new(clock_seen));
        let is_fresh = store_is_empty && clock_seen == 0 && recovery.last == Lsn::NONE;

        let shared = Arc::new(OnceLock::new());
        let sink = LogSink {
            shared: Arc::clone(&shared),
            checkpoint: Arc::clone(&checkpoint),
        };
        let options = QueueOptions {
            queue_bytes_max: QUEUE_BYTES_MAX,
            ..QueueOptions::default()
        };
        let clock_now = Arc::clone(&clock);
        let clock_of_group = move || clock_now.load(Ordering::Acquire);
        let (appender, committer) = Committer::new(log, options, clock_of_group, sink);
        let journal = LogJournal {
            appender,
            stuck: checkpoint.stuck(),
            checkpoint: Arc::downgrade(&checkpoint),
            store: Arc::downgrade(&embedded),
            rot: rot.clone(),
        };
        let writer = Writer::start(committer, super::priority::go_ahead)?;
        let journal: Arc<dyn Journal> = Arc::new(journal);
        Ok(Self {
            writer,
            checkpoint,
            shared,
            journal,
            clock,
            recovery,
            rot,
            is_fresh,
        })
    }

    /// The last lsn that was recovered.
    pub(crate) fn recovered_lsn(&self) -> u64 {
        self.recovery.last.0
    }

    /// Tells the log's thread whom to wake. Before that nothing may be appended.
    pub(crate) fn connect(&self, shared: &Arc<Shared>) {
        drop(self.shared.set(Arc::clone(shared)));
    }

    /// Syncs the log and then, for at most `checkpoint_time`, moves everything into the store. What
    /// is not moved is in the log.
    ///
    /// # Errors
    /// When the log could not be synced.
    pub(crate) fn close(self, checkpoint_time: Duration) -> Result<(), StorageError> {
        let Self {
            writer,
            checkpoint,
            shared,
            ..
        } = self;
        let result = writer.close();
        drop(shared);
        // A handle that asks for the status at this very moment may hold it; then it just stops.
        if let Some(checkpoint) = Arc::into_inner(checkpoint) {
            let (done, closed) = mpsc::sync_channel(1);
            let close = move || {
                let stored = checkpoint.close().is_ok();
                let _gave_up_waiting = done.send(stored).is_err();
            };
            let thread = std::thread::Builder::new().name("checkpoint-close".to_owned());
            drop(thread.spawn(close)?);
            let _left_to_the_log = closed.recv_timeout(checkpoint_time).is_err();
        }
        result.map_err(StorageError::Io)
    }
}

fn start_checkpoint(
    config: &Config,
    store: Arc<dyn Store>,
    cutter: Arc<OnceLock<Cutter<FsDisk>>>,
) -> Result<Checkpoint, StorageError> {
    let options = CheckpointOptions {
        overlay_bytes_max: config.checkpoint.overlay_bytes,
        flush_interval: Duration::from_millis(config.checkpoint.interval_ms),
        begin_flushing: super::priority::go_behind,
        ..CheckpointOptions::default()
    };
    let options = match config.durability {
        Durability::Sync => options,
        // The log may lose its end with the machine, so it can not stand in for the store for long.
        Durability::Memory => CheckpointOptions {
            settle_interval: Duration::ZERO,
            ..options
        },
    };
    let on_flushed = move |lsn: u64| {
        if let Some(cutter) = cutter.get() {
            // What can not be removed now is tried again after the next flush.
            drop(cutter.cut(Lsn(lsn)));
        }
    };
    Ok(Checkpoint::start(store, options, Box::new(on_flushed))?)
}

/// What it takes to replay a log.
struct Replayer<'a> {
    config: &'a Config,
    dir: &'a Path,
    checkpoint: &'a Checkpoint,
    replayed: &'a Progress,
    progress: &'a mut dyn FnMut(u64),
    /// The highest clock that was given out, also where it had to be taken from the facts.
    clock_replayed: u64,
}

impl Replayer<'_> {
    /// Opens the log and hands every record behind `settled` to the checkpoint: the store has the
    /// others.
    fn run(&mut self, settled: Lsn) -> Result<(Log<FsDisk>, Recovery), StorageError> {
        let durability = match self.config.durability {
            Durability::Sync => kidoku_log::Durability::Sync,
            Durability::Memory => kidoku_log::Durability::Memory,
        };
        let options = LogOptions {
            segment_bytes_max: self.config.log.segment_bytes,
            durability,
        };
        let mut gathered = Gathered::default();
        let mut result = Ok(());
        let disk = FsDisk::open(self.dir)?;
        self.replayed.begin(bytes_of(self.dir)?);
        let (mut records, mut bytes) = (0, 0);
        let (log, recovery) = Log::open(disk, options, |lsn, clock, record| {
            records += 1;
            bytes += RECORD_HEADER_BYTES + u64::try_from(record.len()).unwrap_or(u64::MAX);
            self.replayed.set(records, bytes);
            // The frame's clock is above every fact's in it. Where that is gone, the fact has to say.
            let clock = if clock == 0 { clock_in(record) } else { clock };
            self.clock_replayed = self.clock_replayed.max(clock);
            if records % PROGRESS_RECORDS == 0 {
                (self.progress)(records);
            }
            if lsn <= settled {
                return;
            }
            let is_full = gathered.len() >= RECOVERY_BATCH_BYTES;
            if (is_full || !gathered.goes_on_with(lsn.0)) && result.is_ok() {
                result = hand_over(&mut gathered, self.checkpoint);
            }
            gathered.add(lsn.0, clock, record);
        })?;
        result?;
        hand_over(&mut gathered, self.checkpoint)?;
        (self.progress)(records);
        Ok((log, recovery))
    }
}

/// The highest clock in a fact.
fn clock_in(record: &[u8]) -> u64 {
    // What does not decode is no fact of ours; the checkpoint reports it.
    codec::decode(record).map_or(0, |fact| fact.clock_max().0)
}

/// Bytes of the files of a directory.
fn bytes_of(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Hands recovered records over to the checkpoint.
fn hand_over(gathered: &mut Gathered, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    gathered
        .take()
        .map_or(Ok(()), |batch| checkpoint.replayed(batch))
}

/// The log's thread's way back: to the cores that wait, and on to the checkpoint.
struct LogSink {
    shared: Arc<OnceLock<Arc<Shared>>>,
    checkpoint: Arc<Checkpoint>,
}

impl Sink<Marker> for LogSink {
    fn durable(&mut self, up_to: Lsn) {
        if let Some(shared) = self.shared.get() {
            shared.publish_durable(up_to.0);
        }
    }

    fn batch(&mut self, batch: Arc<kidoku_log::Batch>, _state: BatchState) {
        let batch = Batch {
            first_lsn: batch.first.0,
            last_lsn: batch.last.0,
            clock: Clock(batch.clock),
            bytes: Arc::from(batch.bytes.as_slice()),
            count: u64::from(batch.count),
        };
        // It refuses only while it closes, which it does after this sink is gone.
        drop(self.checkpoint.batch(batch));
    }

    fn marker(&mut self, marker: Marker) {
        match marker {
            Marker::Load { core, load } => {
                let Some(shared) = self.shared.get().map(Arc::clone) else {
                    return;
                };
                let asked = load.clone();
                let reply = move |data| shared.post(core, Envelope::Loaded { load: asked, data });
                self.checkpoint.load(load, Box::new(reply));
            }
            Marker::Scan { app, after, reply } => {
                let answer = move |page: Result<kidoku_store::ScanPage, StoreError>| {
                    let page: ScanPage = page.map_err(|_| Error::Storage);
                    // Whoever asked may have gone away.
                    drop(reply.send(page));
                };
                self.checkpoint
                    .scan(app, after, SCAN_FACTS, Box::new(answer));
            }
        }
    }

    fn failed(&mut self, _first: Lsn, _last: Lsn, error: &io::Error) {
        self.checkpoint.hold();
        if let Some(shared) = self.shared.get() {
            shared.publish_failing(Some(error.to_string()));
        }
    }

    fn recovered(&mut self) {
        self.checkpoint.release();
        if let Some(shared) = self.shared.get() {
            shared.publish_failing(None);
        }
    }
}

/// The log's queue as the cores see it.
#[derive(Debug)]
struct LogJournal {
    appender: Appender<Marker>,
    /// See [`Checkpoint::stuck`].
    stuck: Arc<AtomicBool>,
    checkpoint: Weak<Checkpoint>,
    store: Weak<Embedded>,
    rot: Watcher,
}

impl Journal for LogJournal {
    fn append(&self, records: &[u8], count: u32) -> u64 {
        match self.appender.append_admitted(records, count) {
            Ok(lsn) => lsn.0,
            // What is refused is not kept, so what rests on it may never be acknowledged.
            Err(QueueError::Full { .. } | QueueError::Closed | QueueError::Group(_)) => u64::MAX,
        }
    }

    fn mark(&self, marker: Marker) {
        // A closed log drops it: a scan's caller sees that, and a load's shard is ending too.
        drop(self.appender.mark(marker));
    }

    fn has_room(&self) -> bool {
        self.appender.has_room()
    }

    fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    fn status(&self) -> JournalStatus {
        let log = self.appender.stats();
        let checkpoint = self
            .checkpoint
            .upgrade()
            .map(|checkpoint| checkpoint.status());
        let checkpoint = checkpoint.unwrap_or_default();
        let problem = checkpoint
            .flush_error
            .map(|error| format!("the store: {error}"));
        JournalStatus {
            appended_lsn: log.appended.0,
            flushed_lsn: checkpoint.flushed_lsn,
            groups: log.groups,
            bytes: log.bytes,
            sync_seconds: log.commit_time.as_secs_f64(),
            failures: log.failures,
            flushes: checkpoint.flushes,
            flush_failures: checkpoint.flush_failures,
            store_reopened: self.store.upgrade().map_or(0, |store| store.reopened()),
            replay_facts: checkpoint.replay_facts,
            overlay_bytes: u64::try_from(checkpoint.overlay_bytes).unwrap_or(u64::MAX),
            problems: problem.into_iter().collect(),
            rot: self.rot.found(),
        }
    }
}
