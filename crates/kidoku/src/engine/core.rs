//! One core: its shard, and what a turn of it leaves to be done.
//!
//! Connections and the mailbox put requests in; the effects are collected, and one flush after all
//! tasks that are ready does the rest, once for all of them: append the facts, send to the other
//! cores, answer. A [`Core`] never leaves its thread.

use super::calls::HeldCalls;
use super::gate::View;
use super::journal::Marker;
use super::line::Line;
use super::mailbox::{Envelope, Taken};
use super::pressure::Pressure;
use super::pushes::HeldPushes;
use super::shared::{Shared, index};
use super::stall::Work;
use super::ticket::{Place, Table, Waiter};
use kidoku_core::clock::Millis;
use kidoku_core::effect::{Effects, Input, Load};
use kidoku_core::error::Error;
use kidoku_core::fact::codec;
use kidoku_core::id::ShardId;
use kidoku_core::reply::{Event, Reply};
use kidoku_core::request::{Request, Ticket};
use kidoku_core::shard::{Shard, Stats};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Encoded facts over this many bytes go to the log before the turn ends, to bound the buffer.
const RECORDS_BYTES_MAX: usize = 1 << 20;

/// Buffers that have grown over this many entries are given back after a turn.
const KEPT_ENTRIES_MAX: usize = 16_384;

/// Somebody on this core who asks and is answered: a connection.
pub(crate) trait Asker {
    /// Takes an answer; it may be shown once the gate lets its stamp go.
    fn reply(&self, sequence: u32, result: Result<Reply, Error>, stamp: u64);

    /// Takes news of a watched user.
    fn push(&self, event: &Arc<Event>);

    /// Shows what may be shown. True = something is held until more is on disk.
    fn release(&self, view: View) -> bool;

    /// The server goes down: takes nothing new, and leaves when all is answered.
    fn drain(&self);
}

struct AskerEntry {
    asker: Rc<dyn Asker>,
    /// Has answers of this flush.
    dirty: Cell<bool>,
    /// Is in the list of those who wait for the disk.
    held: Cell<bool>,
}

/// What the turn has collected, and the shard.
struct State {
    shard: Shard,
    effects: Effects,
    now: Millis,
    /// Facts for the log, each with its length before it, and how many.
    records: Vec<u8>,
    record_count: u32,
    /// The highest lsn this core has seen: of its own facts, and of those its mail may rest on.
    seen: u64,
    /// For each core, what goes to it.
    outboxes: Vec<Vec<Envelope>>,
    replies: Vec<Answer>,
    pushes: Vec<Push>,
    loads: Vec<Load>,
}

/// An answer for somebody on this core.
struct Answer {
    ticket: Ticket,
    result: Result<Reply, Error>,
    /// `None` = of this core's shard, in this turn.
    stamp: Option<u64>,
}

/// An event for somebody on this core.
struct Push {
    ticket: Ticket,
    event: Arc<Event>,
    /// As of an [`Answer`].
    stamp: Option<u64>,
}

/// See the module.
pub(crate) struct Core {
    /// Which one.
    pub(crate) id: ShardId,
    /// What all share.
    pub(crate) shared: Arc<Shared>,
    /// What its connections have under way.
    pub(crate) pressure: Pressure,
    /// Whose turn it is.
    pub(crate) line: Rc<Line>,
    state: RefCell<State>,
    askers: RefCell<Table<AskerEntry>>,
    dirty: RefCell<Vec<Place>>,
    held: RefCell<Vec<Place>>,
    held_calls: RefCell<HeldCalls>,
    held_pushes: RefCell<HeldPushes>,
    /// Some who wait for the disk have not looked whether they still have to.
    look_again: Cell<bool>,
    flush_wanted: Cell<bool>,
    flusher: RefCell<Option<Waker>>,
    ticker: RefCell<Option<Waker>>,
}

/// How long answers leave before others get their turn.
const SLICE: Duration = Duration::from_micros(500);

/// Askers between two looks at the clock.
const SHOWN_PER_LOOK: usize = 4;

/// A bound on the time that one turn takes.
struct Slice(Instant);

impl Slice {
    fn begin() -> Self {
        Self(Instant::now())
    }

    /// True when time is up; the first few are always served.
    fn is_over(&self, shown: usize) -> bool {
        shown > 0 && shown.is_multiple_of(SHOWN_PER_LOOK) && self.0.elapsed() >= SLICE
    }
}

/// Wall time now.
pub(crate) fn wall_clock() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Core {
    /// A core around an empty shard.
    pub(crate) fn new(id: ShardId, shared: Arc<Shared>, shard: Shard) -> Rc<Self> {
        let state = State {
            shard,
            effects: Effects::default(),
            now: wall_clock(),
            records: Vec::new(),
            record_count: 0,
            seen: 0,
            outboxes: shared.placement.all().map(|_| Vec::new()).collect(),
            replies: Vec::new(),
            pushes: Vec::new(),
            loads: Vec::new(),
        };
        let pressure = Pressure::new(shared.mailboxes.len());
        let line = Rc::new(Line::new(Arc::clone(&shared.stalls[index(id)])));
        Rc::new(Self {
            id,
            shared,
            pressure,
            line,
            state: RefCell::new(state),
            askers: RefCell::default(),
            dirty: RefCell::default(),
            held: RefCell::default(),
            held_calls: RefCell::default(),
            held_pushes: RefCell::default(),
            look_again: Cell::new(false),
            flush_wanted: Cell::new(false),
            flusher: RefCell::new(None),
            ticker: RefCell::new(None),
        })
    }

    /// Takes in somebody who will ask; `None` when the core serves as many as it can.
    pub(crate) fn enter(&self, asker: Rc<dyn Asker>) -> Option<Place> {
        let entry = AskerEntry {
            asker,
            dirty: Cell::new(false),
            held: Cell::new(false),
        };
        self.askers.borrow_mut().insert(entry)
    }

    /// Lets go somebody who asks no more and waits for nothing.
    pub(crate) fn leave(&self, place: Place) {
        drop(self.askers.borrow_mut().remove(place));
    }

    /// Tells all askers to come to an end.
    pub(crate) fn drain_askers(&self) {
        for entry in self.askers.borrow().values() {
            entry.asker.drain();
        }
    }

    /// Starts a turn: takes the time.
    pub(crate) fn begin_turn(&self) -> Millis {
        let now = wall_clock();
        self.state.borrow_mut().now = now;
        now
    }

    /// The time of the turn.
    pub(crate) fn now(&self) -> Millis {
        self.state.borrow().now
    }

    /// Runs a request here, or sends it to its owner. It is answered, by [`Asker::reply`], at the
    /// coming flush or a later one. True = it has had its effect already.
    pub(crate) fn submit(&self, owner: ShardId, ticket: Ticket, request: Request) -> bool {
        let mut state = self.state.borrow_mut();
        let mut applied = false;
        if owner == self.id {
            state.apply(self, Input::Request { ticket, request });
            applied = state
                .replies
                .last()
                .is_some_and(|answer| answer.ticket == ticket);
        } else if let Some(outbox) = state.outboxes.get_mut(index(owner)) {
            outbox.push(Envelope::Request { ticket, request });
        }
        drop(state);
        self.want_flush();
        applied
    }

    /// Works off some mail.
    pub(crate) fn take_mail(&self, envelopes: impl Iterator<Item = Envelope>, stamp: u64) {
        {
            let mut state = self.state.borrow_mut();
            state.seen = state.seen.max(stamp);
        }
        for envelope in envelopes {
            self.take_envelope(envelope, stamp);
        }
        self.want_flush();
    }

    fn take_envelope(&self, envelope: Envelope, stamp: u64) {
        let input = match envelope {
            Envelope::Reply { ticket, result } => {
                let answer = Answer {
                    ticket,
                    result,
                    stamp: Some(stamp),
                };
                self.state.borrow_mut().replies.push(answer);
                return;
            }
            Envelope::Push { ticket, event } => {
                let stamp = Some(stamp);
                self.state.borrow_mut().pushes.push(Push {
                    ticket,
                    event,
                    stamp,
                });
                return;
            }
            Envelope::Job(job) => return job(self),
            Envelope::Request { ticket, request } => Input::Request { ticket, request },
            Envelope::Peer { from, message } => Input::Peer { from, message },
            Envelope::Loaded { load, data } => Input::Loaded { load, data },
        };
        self.state.borrow_mut().apply(self, input);
    }

    /// Lets the shard do what is due.
    pub(crate) fn tick(&self) {
        self.begin_turn();
        self.state.borrow_mut().apply(self, Input::Tick);
        self.want_flush();
    }

    /// True while the shard wants [`Self::tick`].
    pub(crate) fn wants_tick(&self) -> bool {
        self.state.borrow().shard.wants_tick()
    }

    /// The shard's counters.
    pub(crate) fn stats(&self) -> Stats {
        self.state.borrow().shard.stats()
    }

    /// Asks for a flush after the tasks that are ready now.
    pub(crate) fn want_flush(&self) {
        if !self.flush_wanted.replace(true) {
            let waker = self.flusher.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// A turn that began then is over.
    pub(crate) fn note_turn(&self, work: Work, begun: Instant) {
        if let Some(stalls) = self.shared.stalls.get(index(self.id)) {
            stalls.note(work, begun.elapsed());
        }
    }

    /// True when there is more to show than fitted into a slice.
    pub(crate) fn wants_flush(&self) -> bool {
        self.flush_wanted.get()
    }

    /// Ready when a flush is wanted.
    pub(crate) fn poll_flush_wanted(&self, context: &Context<'_>) -> Poll<()> {
        if self.flush_wanted.get() {
            return Poll::Ready(());
        }
        *self.flusher.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ready when the shard wants ticks.
    pub(crate) fn poll_tick_wanted(&self, context: &Context<'_>) -> Poll<()> {
        if self.wants_tick() {
            return Poll::Ready(());
        }
        *self.ticker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ends the turn: facts to the log, messages to the other cores, answers to those who asked.
    pub(crate) fn flush(&self) {
        self.flush_wanted.set(false);
        self.line.end_turn();
        let (mut replies, mut pushes, seen) = {
            let mut state = self.state.borrow_mut();
            state.append(self);
            for load in std::mem::take(&mut state.loads) {
                self.shared.journal.mark(Marker::Load {
                    core: self.id,
                    load,
                });
            }
            let seen = state.seen;
            for (mailbox, outbox) in self.shared.mailboxes.iter().zip(&mut state.outboxes) {
                mailbox.push_all(outbox, seen);
                outbox.shrink_to(KEPT_ENTRIES_MAX);
            }
            let replies = std::mem::take(&mut state.replies);
            (replies, std::mem::take(&mut state.pushes), seen)
        };
        let view = self.shared.gate.view();
        for push in pushes.drain(..) {
            let stamp = push.stamp.unwrap_or(seen);
            let mut held = self.held_pushes.borrow_mut();
            if let Some(event) = held.take_in(push.ticket, push.event, stamp, view) {
                drop(held);
                self.deliver(push.ticket, |asker, _| asker.push(&event));
            }
        }
        for Answer {
            ticket,
            result,
            stamp,
        } in replies.drain(..)
        {
            self.answer(ticket, result, stamp.unwrap_or(seen));
        }
        self.give_back(replies, pushes);
        self.release_dirty();
        if self.wants_tick()
            && let Some(waker) = self.ticker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Keeps the emptied buffers for the next turn.
    fn give_back(&self, replies: Vec<Answer>, pushes: Vec<Push>) {
        let mut state = self.state.borrow_mut();
        if replies.capacity() <= KEPT_ENTRIES_MAX && state.replies.capacity() == 0 {
            state.replies = replies;
        }
        if pushes.capacity() <= KEPT_ENTRIES_MAX && state.pushes.capacity() == 0 {
            state.pushes = pushes;
        }
    }

    fn answer(&self, ticket: Ticket, result: Result<Reply, Error>, stamp: u64) {
        if let Waiter::Calls { place, sequence } = Waiter::of(ticket) {
            let calls = &self.shared.calls[index(self.id)];
            if let Some(done) = calls.answer(place, sequence, result, stamp) {
                self.held_calls.borrow_mut().push(done);
            }
            return;
        }
        self.deliver(ticket, |asker, sequence| {
            asker.reply(sequence, result, stamp)
        });
    }

    fn deliver(&self, ticket: Ticket, give: impl FnOnce(&dyn Asker, u32)) {
        let Waiter::Asker { place, sequence } = Waiter::of(ticket) else {
            return;
        };
        let askers = self.askers.borrow();
        let Some(entry) = askers.get(place) else {
            return;
        };
        give(entry.asker.as_ref(), sequence);
        if !entry.dirty.replace(true) {
            self.dirty.borrow_mut().push(place);
        }
    }

    /// Has the asker look, at the coming flush, at what it may show.
    pub(crate) fn mark_dirty(&self, place: Place) {
        let askers = self.askers.borrow();
        let Some(entry) = askers.get(place) else {
            return;
        };
        if !entry.dirty.replace(true) {
            self.dirty.borrow_mut().push(place);
            self.want_flush();
        }
    }

    fn release_dirty(&self) {
        let view = self.shared.gate.view();
        let slice = Slice::begin();
        let shown = self.show_dirty(view, &slice);
        if shown {
            self.pressure.end_turn();
        }
        if self.look_again.replace(false) {
            self.show_held(view, &slice);
        }
        self.held_calls.borrow_mut().release(view);
        self.wait_for_disk(view);
    }

    /// Has those who got something look at what they may show of it. False when some have to wait for
    /// the next slice.
    fn show_dirty(&self, view: View, slice: &Slice) -> bool {
        let mut dirty = self.dirty.take();
        let mut shown = 0;
        for place in &dirty {
            if slice.is_over(shown) {
                break;
            }
            shown += 1;
            let askers = self.askers.borrow();
            let Some(entry) = askers.get(*place) else {
                continue;
            };
            entry.dirty.set(false);
            if entry.asker.release(view) && !entry.held.replace(true) {
                self.held.borrow_mut().push(*place);
            }
        }
        dirty.drain(..shown);
        let all = dirty.is_empty();
        let come_meanwhile = self.dirty.replace(dirty);
        self.dirty.borrow_mut().extend(come_meanwhile);
        if !all {
            self.want_flush();
        }
        all
    }

    /// Has those who wait for the disk look whether they still have to.
    fn show_held(&self, view: View, slice: &Slice) {
        let mut held = self.held.take();
        let mut stay = Vec::new();
        let mut shown = 0;
        for place in &held {
            if slice.is_over(shown) {
                break;
            }
            shown += 1;
            let askers = self.askers.borrow();
            let Some(entry) = askers.get(*place) else {
                continue;
            };
            let stays = entry.asker.release(view);
            entry.held.set(stays);
            if stays {
                stay.push(*place);
            }
        }
        // Who has not looked comes first the next time.
        held.drain(..shown);
        if !held.is_empty() {
            self.look_again.set(true);
            self.want_flush();
        }
        held.extend(stay);
        held.append(&mut self.held.borrow_mut());
        *self.held.borrow_mut() = held;
    }

    /// Lets go what the gate lets go by now.
    pub(crate) fn release_held(&self) {
        let view = self.shared.gate.view();
        let released = self.held_pushes.borrow_mut().release(view);
        for (ticket, event) in released {
            self.deliver(ticket, |asker, _| asker.push(&event));
        }
        let slice = Slice::begin();
        self.show_dirty(view, &slice);
        self.show_held(view, &slice);
        self.held_calls.borrow_mut().release(view);
        self.wait_for_disk(view);
    }

    /// Has the log wake this core while something is held. The lsn may rise between the look at it
    /// and the request to be woken, hence the second look.
    fn wait_for_disk(&self, view: View) {
        if !self.holds_anything() {
            return;
        }
        self.shared.gate.wait(index(self.id));
        if self.shared.gate.view() != view {
            self.shared.mailbox(self.id).poke();
        }
    }

    fn holds_anything(&self) -> bool {
        !self.held.borrow().is_empty()
            || !self.held_calls.borrow().is_empty()
            || !self.held_pushes.borrow().is_empty()
    }

    /// Takes what the mailbox holds; see [`Mailbox::poll_take`](super::mailbox::Mailbox::poll_take).
    pub(crate) fn poll_mail(&self, context: &mut Context<'_>, into: &mut Taken) -> Poll<()> {
        self.shared.mailbox(self.id).poll_take(context, into)
    }
}

impl State {
    /// Gives the shard one input and collects the effects.
    fn apply(&mut self, core: &Core, input: Input) {
        self.shard.apply(self.now, input, &mut self.effects);
        self.collect(core);
    }

    fn collect(&mut self, core: &Core) {
        let mut facts = std::mem::take(&mut self.effects.facts);
        for fact in facts.drain(..) {
            let start = self.records.len();
            self.records.extend_from_slice(&[0; 4]);
            codec::encode(&fact, &mut self.records);
            let length = u32::try_from(self.records.len() - start - 4).unwrap_or(u32::MAX);
            if let Some(prefix) = self.records.get_mut(start..start + 4) {
                prefix.copy_from_slice(&length.to_le_bytes());
            }
            self.record_count += 1;
            if self.records.len() > RECORDS_BYTES_MAX {
                self.append(core);
            }
        }
        self.effects.facts = facts;
        for (to, message) in self.effects.messages.drain(..) {
            if let Some(outbox) = self.outboxes.get_mut(index(to)) {
                outbox.push(Envelope::Peer {
                    from: core.id,
                    message,
                });
            }
        }
        for (ticket, result) in self.effects.replies.drain(..) {
            if ticket.core == core.id {
                self.replies.push(Answer {
                    ticket,
                    result,
                    stamp: None,
                });
            } else if let Some(outbox) = self.outboxes.get_mut(index(ticket.core)) {
                outbox.push(Envelope::Reply { ticket, result });
            }
        }
        for (ticket, event) in self.effects.pushes.drain(..) {
            if ticket.core == core.id {
                self.pushes.push(Push {
                    ticket,
                    event,
                    stamp: None,
                });
            } else if let Some(outbox) = self.outboxes.get_mut(index(ticket.core)) {
                outbox.push(Envelope::Push { ticket, event });
            }
        }
        self.loads.append(&mut self.effects.loads);
    }

    fn append(&mut self, core: &Core) {
        if self.record_count == 0 {
            return;
        }
        core.shared.note_clock(self.shard.clock_seen());
        let lsn = core.shared.journal.append(&self.records, self.record_count);
        self.seen = self.seen.max(lsn);
        self.records.clear();
        self.records.shrink_to(2 * RECORDS_BYTES_MAX);
        self.record_count = 0;
    }
}
