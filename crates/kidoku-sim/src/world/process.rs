//! One server process without its threads: the cores with their real shards, the real log and its
//! committer on a simulated disk, the real checkpoint over a simulated store, the gate.
//!
//! What the server's engine does in a turn is done here in the same order: facts to the log, loads
//! behind them, messages and answers with the highest lsn they may rest on. Whoever drives it decides
//! which thing happens next.

use super::disk::SimDisk;
use super::replay::{Replayed, replay};
use super::store::SimStore;
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::effect::{Effects, Input, Load, LoadFailed, Loaded};
use kidoku_core::error::Error;
use kidoku_core::fact::{Fact, codec};
use kidoku_core::id::ShardId;
use kidoku_core::placement::Placement;
use kidoku_core::reply::{Event, Reply};
use kidoku_core::request::{Request, Ticket};
use kidoku_core::shard::{PeerMessage, Shard, ShardConfig};
use kidoku_log::{
    Appender, BatchState, Committer, Cutter, Lsn, QueueOptions, Recovery, Sink, Verdict, View,
};
use kidoku_store::{Batch, CheckpointOptions, FlushStep, Steps, Store};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a process is set up at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// 1 to 4.
    pub cores: u16,
    /// What each shard may keep in memory; a small value evicts all the time.
    pub memory_bytes_max: usize,
    /// Bytes of a log segment.
    pub segment_bytes_max: u64,
    /// Bytes of the overlay.
    pub overlay_bytes_max: usize,
    /// Bytes that may wait for the disk.
    pub queue_bytes_max: usize,
    /// Seeds the shards' tables.
    pub hash_seed: u64,
    /// Which of several owners of the same data this is: their clocks must differ.
    pub owner: u16,
}

/// What goes to a core.
#[derive(Debug)]
enum Mail {
    Request(Ticket, Request),
    Peer(ShardId, PeerMessage),
    Reply(Ticket, Result<Reply, Error>),
    Push(Ticket, Arc<Event>),
}

#[derive(Debug)]
struct Sealed {
    stamp: u64,
    mail: Mail,
}

/// An answer at the core that asked, behind the gate.
#[derive(Debug)]
struct Held {
    call: u64,
    result: Result<Reply, Error>,
    stamp: u64,
    writes: bool,
}

/// An event at the core of the one who watches, behind the gate.
#[derive(Debug)]
struct HeldEvent {
    device: u64,
    event: Arc<Event>,
    stamp: u64,
}

/// An event that has left the gate.
#[derive(Debug)]
pub(super) struct Told {
    /// Whom it goes to.
    pub(super) device: u64,
    /// What it says.
    pub(super) event: Arc<Event>,
    /// The lsn behind what it says; `None` when nothing is promised by it.
    pub(super) promises: Option<u64>,
}

/// What a shard has answered, before the gate.
#[derive(Debug)]
pub(super) struct Answered {
    /// Which call.
    pub(super) call: u64,
    /// The answer.
    pub(super) result: Result<Reply, Error>,
    /// How many facts had been emitted by then.
    pub(super) emitted: usize,
}

/// An answer that has left the gate.
#[derive(Debug)]
pub(super) struct Released {
    /// Of which call.
    pub(super) call: u64,
    /// What the client is told.
    pub(super) result: Result<Reply, Error>,
    /// The lsn behind the answer; `None` when nothing is promised by it.
    pub(super) promises: Option<u64>,
}

#[derive(Debug)]
struct Core {
    shard: Shard,
    seen: u64,
    /// Mail by sender: the other cores, and last the clients.
    inboxes: Vec<VecDeque<Sealed>>,
    held: Vec<Held>,
    events: Vec<HeldEvent>,
}

/// What the log's thread, the checkpoint's threads and the cores tell one another.
#[derive(Debug, Default)]
struct Board {
    durable: u64,
    failing: bool,
    loads_asked: usize,
    unmerged: usize,
    loaded: VecDeque<(ShardId, Load, Result<Loaded, LoadFailed>)>,
}

type SharedBoard = Arc<Mutex<Board>>;

fn look(board: &SharedBoard) -> MutexGuard<'_, Board> {
    // A panic of what is driven ends the run, so nobody sees a half-changed state.
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A load that travels through the log's queue.
#[derive(Debug)]
struct Marker(ShardId, Load);

struct SimSink {
    board: SharedBoard,
    steps: Arc<Steps>,
}

impl Sink<Marker> for SimSink {
    fn durable(&mut self, up_to: Lsn) {
        let mut board = look(&self.board);
        board.durable = board.durable.max(up_to.0);
    }

    fn batch(&mut self, batch: Arc<kidoku_log::Batch>, _state: BatchState) {
        look(&self.board).unmerged += 1;
        self.steps.batch(Batch {
            first_lsn: batch.first.0,
            last_lsn: batch.last.0,
            clock: Clock(batch.clock),
            bytes: Arc::from(batch.bytes.as_slice()),
            count: u64::from(batch.count),
        });
    }

    fn marker(&mut self, Marker(core, load): Marker) {
        look(&self.board).loads_asked += 1;
        let (board, asked) = (Arc::clone(&self.board), load.clone());
        let reply = move |data| look(&board).loaded.push_back((core, asked, data));
        self.steps.load(load, Box::new(reply));
    }

    fn failed(&mut self, _first: Lsn, _last: Lsn, _error: &io::Error) {
        self.steps.hold();
        look(&self.board).failing = true;
    }

    fn recovered(&mut self) {
        self.steps.release();
        look(&self.board).failing = false;
    }
}

/// A running process.
pub(super) struct Process {
    placement: Placement,
    cores: Vec<Core>,
    appender: Appender<Marker>,
    committer: Committer<SimDisk, Marker, SimSink>,
    steps: Arc<Steps>,
    board: SharedBoard,
    cutter: Cutter<SimDisk>,
    clock: Arc<AtomicU64>,
    /// Something is in the log's queue.
    queued: bool,
    /// The last lsn that the store holds and the log may be cut at.
    cut_at: Option<u64>,
    /// What was there at the start.
    pub(super) base: Vec<Fact>,
    /// Every fact since, the first of them with this lsn.
    pub(super) emitted: Vec<Fact>,
    /// See `emitted`.
    pub(super) first_lsn: u64,
    /// The clock above which the shards began.
    pub(super) clock_seen: Clock,
    /// What recovery found.
    pub(super) recovery: Recovery,
    /// Answers of the shards since last asked for, before the gate.
    pub(super) answered: Vec<Answered>,
    /// Devices that may not watch, since their user can not be loaded.
    pub(super) refused: Vec<u64>,
}

/// Where a process' data is.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// Its log.
    pub(super) disk: SimDisk,
    /// Its store, perhaps not its alone.
    pub(super) store: Arc<SimStore>,
}

impl Process {
    /// Starts on what is there.
    ///
    /// # Errors
    /// The disk or the store refuses: try again later.
    pub(super) fn start(home: &Home, setup: &Setup) -> Result<Self, String> {
        let store: Arc<dyn Store> = home.store.clone();
        let text = |error: &dyn std::fmt::Display| error.to_string();
        store.sync().map_err(|error| text(&error))?;
        let store_is_empty = store.is_empty().map_err(|error| text(&error))?;
        let options = CheckpointOptions {
            overlay_bytes_max: setup.overlay_bytes_max,
            ..CheckpointOptions::default()
        };
        let steps = Arc::new(Steps::new(store, options));
        let stored = steps.stored_clock().map_err(|error| text(&error))?;
        let base = home.store.facts()?;
        let Replayed {
            log,
            recovery,
            base,
            batches,
            clock_replayed,
        } = replay(home, setup, &steps, base)?;
        let clock_seen = recovery.clock_max.max(clock_replayed).max(stored.0);
        let fresh = store_is_empty && clock_seen == 0 && recovery.last == Lsn::NONE;
        let board = Arc::new(Mutex::new(Board {
            durable: recovery.last.0,
            unmerged: batches,
            ..Board::default()
        }));
        let clock = Arc::new(AtomicU64::new(clock_seen));
        let (cutter, first_lsn) = (log.cutter(), recovery.last.next().0);
        let clock_now = Arc::clone(&clock);
        let sink = SimSink {
            board: Arc::clone(&board),
            steps: Arc::clone(&steps),
        };
        let queue = QueueOptions {
            queue_bytes_max: setup.queue_bytes_max,
            ..QueueOptions::default()
        };
        let (appender, committer) =
            Committer::new(log, queue, move || clock_now.load(Ordering::Acquire), sink);
        let placement = Placement::new(setup.cores);
        Ok(Self {
            placement,
            cores: start_cores(setup, placement, fresh, Clock(clock_seen)),
            appender,
            committer,
            steps,
            board,
            cutter,
            clock,
            queued: false,
            cut_at: None,
            base,
            emitted: Vec::new(),
            first_lsn,
            clock_seen: Clock(clock_seen),
            recovery,
            answered: Vec::new(),
            refused: Vec::new(),
        })
    }

    /// How many cores it has.
    pub(super) fn cores(&self) -> u16 {
        self.placement.shards()
    }

    /// The last lsn given.
    pub(super) fn appended(&self) -> u64 {
        self.appender.stats().appended.0
    }

    /// Facts that are certain by what the log says: all up to the durable lsn.
    pub(super) fn durable(&self) -> u64 {
        look(&self.board).durable
    }

    /// True while the log can not be written.
    pub(super) fn is_failing(&self) -> bool {
        look(&self.board).failing
    }

    /// The facts there were at the start and those emitted up to an lsn.
    pub(super) fn facts_up_to(&self, lsn: u64) -> impl Iterator<Item = &Fact> {
        let count = (lsn + 1).saturating_sub(self.first_lsn);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.base.iter().chain(self.emitted.iter().take(count))
    }

    /// All facts it knows of.
    pub(super) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.base.iter().chain(&self.emitted)
    }

    /// Whether a request may come in: what the server asks before it takes one.
    ///
    /// # Errors
    /// What the client is told.
    pub(super) fn admit(&self, writes: bool) -> Result<(), Error> {
        if writes && self.is_failing() {
            return Err(Error::DiskFull);
        }
        if writes && !self.appender.has_room() {
            return Err(Error::Busy);
        }
        Ok(())
    }

    /// Hands a request, which came in at the core `home`, to its owner.
    pub(super) fn submit(&mut self, home: ShardId, call: u64, request: Request) {
        let owner = request.owner(&self.placement);
        let ticket = Ticket {
            core: home,
            id: call,
        };
        let mail = Mail::Request(ticket, request);
        let clients = self.cores.len();
        if let Some(core) = self.cores.get_mut(usize::from(owner.0)) {
            core.inbox(clients).push_back(Sealed { stamp: 0, mail });
        }
    }

    // ---- What can be done next.

    /// Cores with mail or loaded data.
    pub(super) fn busy_cores(&self, into: &mut Vec<u16>) {
        into.clear();
        let board = look(&self.board);
        for id in self.placement.all() {
            let Some(core) = self.cores.get(usize::from(id.0)) else {
                continue;
            };
            let mail = core.inboxes.iter().any(|inbox| !inbox.is_empty());
            if mail || board.loaded.iter().any(|(to, ..)| *to == id) {
                into.push(id.0);
            }
        }
    }

    /// Something waits for the log's thread, which would not have to wait itself.
    pub(super) fn can_commit(&self) -> bool {
        self.queued && self.steps.has_room()
    }

    /// A batch waits to be merged.
    pub(super) fn can_merge(&self) -> bool {
        look(&self.board).unmerged > 0
    }

    /// A load waits to be answered.
    pub(super) fn can_load(&self) -> bool {
        look(&self.board).loads_asked > 0
    }

    /// An answer may leave.
    pub(super) fn can_release(&self) -> bool {
        let view = self.view();
        let mut held = self.cores.iter().flat_map(|core| &core.held);
        let mut events = self.cores.iter().flat_map(|core| &core.events);
        held.any(|held| view.judge(held.stamp, held.writes) != Verdict::Wait)
            || events.any(|held| view.may_show(held.stamp))
    }

    /// No mail, no load, nothing in the queue: the shards have nothing under way.
    pub(super) fn is_quiet(&self) -> bool {
        let board = look(&self.board);
        let mail = self.cores.iter().flat_map(|core| &core.inboxes);
        !self.queued
            && board.loads_asked == 0
            && board.loaded.is_empty()
            && mail.into_iter().all(VecDeque::is_empty)
    }

    fn view(&self) -> View {
        let board = look(&self.board);
        View::new(board.durable, board.failing)
    }

    // ---- Doing it.

    /// A turn of a core: up to `count` pieces of mail from the sender that `pick` draws each time,
    /// and then everything that follows from them.
    pub(super) fn turn(
        &mut self,
        now: Millis,
        id: u16,
        count: usize,
        mut pick: impl FnMut(usize) -> usize,
    ) {
        let mut turn = Turn::default();
        for _ in 0..count {
            let Some(input) = self.next_input(id, &mut turn, &mut pick) else {
                break;
            };
            self.apply(now, id, input, &mut turn);
        }
        self.end_turn(id, turn);
    }

    /// Time passes at a core.
    pub(super) fn tick(&mut self, now: Millis, id: u16) {
        let mut turn = Turn::default();
        self.apply(now, id, Input::Tick, &mut turn);
        self.end_turn(id, turn);
    }

    /// The next input; answers that come by mail are taken out on the way.
    fn next_input(
        &mut self,
        id: u16,
        turn: &mut Turn,
        pick: &mut impl FnMut(usize) -> usize,
    ) -> Option<Input> {
        loop {
            let mut board = look(&self.board);
            let core = self.cores.get_mut(usize::from(id))?;
            let filled = core.inboxes.iter().enumerate();
            let filled: Vec<usize> = filled
                .filter(|(_, inbox)| !inbox.is_empty())
                .map(|(at, _)| at)
                .collect();
            let mut loads = board.loaded.iter().enumerate();
            let loaded = loads.find(|(_, (to, ..))| to.0 == id).map(|(at, _)| at);
            let choices = filled.len() + usize::from(loaded.is_some());
            if choices == 0 {
                return None;
            }
            let Some(from) = filled.get(pick(choices)) else {
                let (_, load, data) = board.loaded.remove(loaded?)?;
                return Some(Input::Loaded { load, data });
            };
            let Sealed { stamp, mail } = core.inboxes.get_mut(*from)?.pop_front()?;
            core.seen = core.seen.max(stamp);
            match mail {
                Mail::Request(ticket, request) => return Some(Input::Request { ticket, request }),
                Mail::Peer(from, message) => return Some(Input::Peer { from, message }),
                Mail::Reply(ticket, result) => turn.answers.push((ticket, result, Some(stamp))),
                Mail::Push(ticket, event) => turn.events.push((ticket, event, Some(stamp))),
            }
        }
    }

    fn apply(&mut self, now: Millis, id: u16, input: Input, turn: &mut Turn) {
        let Some(core) = self.cores.get_mut(usize::from(id)) else {
            return;
        };
        core.shard.apply(now, input, &mut turn.effects);
        for fact in turn.effects.facts.drain(..) {
            let start = turn.records.len();
            turn.records.extend_from_slice(&[0; 4]);
            codec::encode(&fact, &mut turn.records);
            let length = u32::try_from(turn.records.len() - start - 4).unwrap_or(u32::MAX);
            if let Some(prefix) = turn.records.get_mut(start..start + 4) {
                prefix.copy_from_slice(&length.to_le_bytes());
            }
            turn.count += 1;
            self.emitted.push(fact);
        }
        for (ticket, result) in turn.effects.replies.drain(..) {
            if ticket.id & DEVICE != 0 {
                if result.is_err() {
                    self.refused.push(ticket.id);
                }
                continue;
            }
            self.answered.push(Answered {
                call: ticket.id,
                result: result.clone(),
                emitted: self.emitted.len(),
            });
            turn.answers.push((ticket, result, None));
        }
        for (ticket, event) in turn.effects.pushes.drain(..) {
            turn.events.push((ticket, event, None));
        }
    }

    /// Facts to the log, loads behind them, mail and answers with the stamp.
    fn end_turn(&mut self, id: u16, turn: Turn) {
        let Some(core) = self.cores.get_mut(usize::from(id)) else {
            return;
        };
        if turn.count > 0 {
            self.clock
                .fetch_max(core.shard.clock_seen().0, Ordering::AcqRel);
            let appended = self.appender.append_admitted(&turn.records, turn.count);
            core.seen = core.seen.max(appended.map_or(u64::MAX, |lsn| lsn.0));
            self.queued = true;
        }
        for load in turn.effects.loads {
            self.queued = true;
            // The queue is open as long as the process lives.
            drop(self.appender.mark(Marker(ShardId(id), load)));
        }
        let seen = core.seen;
        for (to, message) in turn.effects.messages {
            self.send(id, to, seen, Mail::Peer(ShardId(id), message));
        }
        for (ticket, result, stamp) in turn.answers {
            if ticket.core.0 == id {
                self.hold(ticket, result, stamp.unwrap_or(seen));
            } else {
                self.send(id, ticket.core, seen, Mail::Reply(ticket, result));
            }
        }
        for (ticket, event, stamp) in turn.events {
            if ticket.core.0 != id {
                self.send(id, ticket.core, seen, Mail::Push(ticket, event));
            } else if let Some(core) = self.cores.get_mut(usize::from(id)) {
                core.events.push(HeldEvent {
                    device: ticket.id,
                    event,
                    stamp: stamp.unwrap_or(seen),
                });
            }
        }
    }

    fn send(&mut self, from: u16, to: ShardId, stamp: u64, mail: Mail) {
        if let Some(core) = self.cores.get_mut(usize::from(to.0)) {
            core.inbox(usize::from(from))
                .push_back(Sealed { stamp, mail });
        }
    }

    fn hold(&mut self, ticket: Ticket, result: Result<Reply, Error>, stamp: u64) {
        if let Some(core) = self.cores.get_mut(usize::from(ticket.core.0)) {
            // Bit 63 of a call says that it writes.
            core.held.push(Held {
                call: ticket.id,
                result,
                stamp,
                writes: ticket.id & WRITES != 0,
            });
        }
    }

    /// Lets go what the gate lets go, as every core does when it is woken.
    pub(super) fn release(&mut self) -> Vec<Released> {
        let view = self.view();
        let mut released = Vec::new();
        for core in &mut self.cores {
            core.held.retain(|held| {
                let result = match view.judge(held.stamp, held.writes) {
                    Verdict::Wait => return true,
                    Verdict::Go => held.result.clone(),
                    Verdict::Refuse => held.result.clone().and(Err(Error::DiskFull)),
                };
                // While the log fails, reads go on and what they show may be undone: then the same
                // judgement would refuse a write.
                let certain = view.judge(held.stamp, true) != Verdict::Refuse;
                let promises = (result.is_ok() && certain).then_some(held.stamp);
                released.push(Released {
                    call: held.call,
                    result,
                    promises,
                });
                false
            });
        }
        released
    }

    /// Lets go the events that the gate lets go. Those of one device stay in order.
    pub(super) fn release_events(&mut self) -> Vec<Told> {
        let view = self.view();
        let mut told = Vec::new();
        for core in &mut self.cores {
            let mut waiting = Vec::new();
            core.events.retain(|held| {
                if waiting.contains(&held.device) || !view.may_show(held.stamp) {
                    waiting.push(held.device);
                    return true;
                }
                told.push(Told {
                    device: held.device,
                    event: Arc::clone(&held.event),
                    // As of answers.
                    promises: (view.judge(held.stamp, true) != Verdict::Refuse)
                        .then_some(held.stamp),
                });
                false
            });
        }
        told
    }

    /// A turn of the log's thread.
    pub(super) fn commit(&mut self) {
        self.queued = false;
        self.committer.turn();
    }

    /// A new try of the log's thread after a failure.
    pub(super) fn retry(&mut self) {
        self.committer.retry();
    }

    /// A turn of the merging thread.
    pub(super) fn merge(&mut self) {
        if self.steps.merge() {
            look(&self.board).unmerged -= 1;
        }
    }

    /// Freezes the overlay.
    pub(super) fn freeze(&mut self) -> bool {
        self.steps.freeze()
    }

    /// A turn of the flushing thread; true = something was written.
    ///
    /// # Errors
    /// The store has what the log does not have.
    pub(super) fn flush(&mut self) -> Result<bool, String> {
        match self.steps.flush() {
            FlushStep::Done(lsn) if lsn > self.durable() => Err(format!(
                "the store has everything up to {lsn}, and the log only up to {}",
                self.durable()
            )),
            FlushStep::Done(lsn) => {
                self.cut_at = Some(lsn);
                Ok(true)
            }
            FlushStep::Idle | FlushStep::Failed => Ok(false),
        }
    }

    /// Cuts the log as far as the store has it.
    pub(super) fn cut(&mut self) -> bool {
        // What can not be removed now is tried again after the next flush.
        let cut = self.cut_at.take().map(|lsn| self.cutter.cut(Lsn(lsn)));
        matches!(cut, Some(Ok(removed)) if removed > 0)
    }

    /// A turn of a loading thread; the load and its answer.
    pub(super) fn load(&mut self, place: usize) -> Option<(Load, Result<Loaded, LoadFailed>)> {
        if !self.steps.answer(place) {
            return None;
        }
        let mut board = look(&self.board);
        board.loads_asked -= 1;
        let (_, load, data) = board.loaded.back()?;
        Some((load.clone(), data.clone()))
    }

    /// The last lsn merged into the overlay.
    pub(super) fn merged(&self) -> u64 {
        self.steps.status().merged_lsn.max(self.first_lsn - 1)
    }

    /// Stops in order: the log is synced; the checkpoint is left to the next start.
    ///
    /// # Errors
    /// When the log could not be synced: what waited is gone.
    pub(super) fn stop(self) -> io::Result<()> {
        self.committer.finish()
    }

    /// Ends a turn of eviction for the checks at rest.
    pub(super) fn evictions(&self) -> u64 {
        self.cores
            .iter()
            .map(|core| core.shard.stats().evictions)
            .sum()
    }
}

/// Cores of one owner at most.
const CORES_MAX: u16 = 8;

/// In a call's number: it can emit facts.
pub(super) const WRITES: u64 = 1 << 63;

/// In the number of somebody who asks: it is a device that watches, which gets events and no answers.
pub(super) const DEVICE: u64 = 1 << 62;

fn start_cores(setup: &Setup, placement: Placement, fresh: bool, clock_seen: Clock) -> Vec<Core> {
    let start = |id: ShardId| Core {
        shard: Shard::new(ShardConfig {
            id,
            placement,
            hash_seed: setup.hash_seed,
            memory_bytes_max: setup.memory_bytes_max,
            fresh,
            clock_seen,
            clock_owner: ShardId(setup.owner * CORES_MAX + id.0),
        }),
        seen: 0,
        inboxes: Vec::new(),
        held: Vec::new(),
        events: Vec::new(),
    };
    placement.all().map(start).collect()
}

impl Core {
    fn inbox(&mut self, from: usize) -> &mut VecDeque<Sealed> {
        if self.inboxes.len() <= from {
            self.inboxes.resize_with(from + 1, VecDeque::new);
        }
        &mut self.inboxes[from]
    }
}

/// What a turn has collected.
#[derive(Default)]
struct Turn {
    effects: Effects,
    records: Vec<u8>,
    count: u32,
    answers: Vec<(Ticket, Result<Reply, Error>, Option<u64>)>,
    events: Vec<(Ticket, Arc<Event>, Option<u64>)>,
}
