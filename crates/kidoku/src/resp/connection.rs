//! One RESP connection: a state machine polled by its own light task, and called by its core when
//! answers come.
//!
//! The task reads, parses and submits; the core's flush fills the slots and sends what is ready, so
//! that however many answers there are, one write carries them. While nothing is under way the
//! connection has no buffer.

use super::RespServer;
use super::budget::Budget;
use super::crowd;
use super::dispatch::Deferred;
use super::input::Input;
use super::io::Io;
use super::limits::{LINGER, LOGIN_TIME_MAX, SEND_BYTES_MAX, WRITE_STALL_MAX};
use super::output::{Output, Sent};
use super::session::Session;
use super::slots::{Front, Outlook, Ready, Slots};
use super::waiting::Waiting;
use crate::engine::core::{Asker, Core};
use crate::engine::gate::View;
use crate::engine::line::{Call, Seat};
use crate::engine::pressure::Share;
use crate::engine::ticket::Place;
use crate::metrics::DropReason;
use crate::net::stream::Stream;
use kidoku_core::error::Error;
use kidoku_core::reply::{Event, Reply};
use kidoku_core::request::Class;
use kidoku_proto::error::CommandError;
use kidoku_proto::resp::Protocol;
use kidoku_proto::resp::reply::{ReplyContext, write_event, write_result};
use kidoku_proto::resp::write::Writer;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is served.
    Open,
    /// Nothing more is read; it ends when all is answered.
    Ending,
    /// As `Ending`, but the other side may not have stopped sending.
    Refused,
    /// All is answered; what still comes is thrown away until the other side closes.
    Lingering,
    /// It is gone; only what is out has to come back.
    Broken,
}

/// What changes.
pub(super) struct State {
    pub(super) session: Session,
    pub(super) slots: Slots,
    /// The class of the last request.
    pub(super) class: Option<Class>,
    /// A command that has to wait for those before it.
    pub(super) deferred: Option<Deferred>,
    /// A command that takes several steps is under way; those after it wait.
    pub(super) task_runs: bool,
    /// Bytes that are not parsed yet.
    pub(super) input: Option<Box<Input>>,
    pub(super) output: Output,
    pub(super) phase: Phase,
    /// The task waits for something that is not its socket.
    waits: bool,
    /// More could be taken in if less were under way.
    held_up: bool,
    /// When the connection is cut off, unless something changes.
    deadline: Option<Instant>,
    /// It is in the list of connections with a deadline.
    deadline_watched: bool,
    /// It stands in line, and takes in nothing until it is called.
    call: Option<Rc<Call>>,
    /// Events whose ids have to be looked up first, and whether somebody is at it.
    pub(super) events: Waiting<Arc<Event>>,
    pub(super) events_run: bool,
    /// What of it the core knows,
    known: Share,
    /// and whether it is counted among those without a key.
    known_without_key: bool,
}

/// See the module.
pub(crate) struct Connection {
    pub(super) server: Rc<RespServer>,
    pub(super) core: Rc<Core>,
    pub(super) io: Rc<Io>,
    place: Cell<Place>,
    me: Weak<Self>,
    stream: RefCell<Stream>,
    state: RefCell<State>,
    waker: RefCell<Option<Waker>>,
    woken: Cell<bool>,
    seat: Rc<Seat>,
}

/// How far the encoding of answers came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoded {
    /// There is no more.
    All,
    /// One is held for the disk.
    Held,
    /// The buffer has to be sent first.
    Full,
    /// There is more than leaves in one turn.
    More,
}

/// What the task does next.
pub(super) enum Step {
    Again,
    Wait,
    End,
}

impl Connection {
    /// A connection just accepted.
    pub(super) fn new(
        server: Rc<RespServer>,
        core: Rc<Core>,
        io: Rc<Io>,
        stream: Stream,
        session: Session,
    ) -> Rc<Self> {
        let state = State {
            session,
            slots: Slots::default(),
            class: None,
            deferred: None,
            task_runs: false,
            input: None,
            output: Output::default(),
            phase: Phase::Open,
            waits: false,
            held_up: false,
            deadline: None,
            deadline_watched: false,
            call: None,
            events: Waiting::new(),
            events_run: false,
            known: Share::default(),
            known_without_key: false,
        };
        let seat = Seat::new(&core.line);
        Rc::new_cyclic(|me| Self {
            server,
            core,
            io,
            place: Cell::default(),
            me: me.clone(),
            stream: RefCell::new(stream),
            state: RefCell::new(state),
            waker: RefCell::new(None),
            woken: Cell::new(false),
            seat,
        })
    }

    /// Takes its place among those the core serves. False = there is none left, and it said so.
    pub(super) fn enter(self: &Rc<Self>) -> bool {
        let me: Rc<dyn Asker> = Rc::clone(self) as _;
        let Some(place) = self.core.enter(me) else {
            let line = b"-LIMIT this core serves as many connections as it can\r\n";
            // Nothing can be done for a client that does not even take one line.
            drop(self.stream.borrow_mut().try_write(line));
            return false;
        };
        self.place.set(place);
        let mut state = self.state.borrow_mut();
        let deadline = self.login_deadline(&state);
        self.set_deadline(&mut state, deadline);
        self.settle(&mut state);
        true
    }

    /// Where the core finds it.
    pub(super) fn place(&self) -> Place {
        self.place.get()
    }

    /// Serves until the end.
    pub(super) async fn serve(self: Rc<Self>) {
        std::future::poll_fn(|context| self.poll(context)).await;
        self.stream.borrow_mut().say_end();
        let mut state = self.state.borrow_mut();
        self.unwatch_all(&mut state);
        self.core.leave(self.place());
        self.know(&mut state, Share::default(), false);
    }

    /// Tells the core and the counters what has changed.
    fn settle(&self, state: &mut State) {
        let (requests, weight) = state.slots.owed();
        let input = state.input.as_ref().map_or(0, |input| input.memory());
        let share = Share {
            requests,
            weight,
            bytes: input + state.output.memory(),
        };
        let without_key = state.session.grant.is_none();
        self.know(state, share, without_key);
    }

    fn know(&self, state: &mut State, share: Share, without_key: bool) {
        let old = std::mem::replace(&mut state.known, share);
        if old != share {
            self.core.pressure.change(old, share);
        }
        let was = std::mem::replace(&mut state.known_without_key, without_key);
        let metrics = &self.core.shared.resp_metrics;
        match (was, without_key) {
            (false, true) => metrics.enter_without_key(),
            (true, false) => metrics.leave_without_key(),
            (true, true) | (false, false) => {}
        }
    }

    /// Takes nothing more; the connection ends when what is owed has been sent.
    pub(super) fn refuse(&self, state: &mut State, reason: DropReason) {
        self.core.shared.resp_metrics.note_dropped(reason);
        state.phase = Phase::Refused;
    }

    /// Ends the connection at once.
    fn cut_off(&self, state: &mut State, reason: DropReason) {
        self.core.shared.resp_metrics.note_dropped(reason);
        state.phase = Phase::Broken;
        state.deferred = None;
        self.wake();
    }

    /// The connection, for a task of its own.
    pub(super) fn shared(&self) -> Option<Rc<Self>> {
        self.me.upgrade()
    }

    /// Runs `work` on the state, and has the task look at what became of it.
    pub(super) fn update<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = work(&mut self.state.borrow_mut());
        self.wake();
        result
    }

    pub(super) fn wake(&self) {
        if !self.woken.replace(true)
            && let Some(waker) = self.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }

    fn keep_waker(&self, context: &Context<'_>) {
        self.woken.set(false);
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.keep_waker(context);
        self.core.begin_turn();
        let begun = Instant::now();
        let mut state = self.state.borrow_mut();
        let called = state.call.take_if(|call| call.is_called());
        let mut budget = Budget::new(called.map(|call| self.seat.called_turn(call, begun)));
        state.waits = false;
        state.held_up = false;
        self.poll_blocked_output(context, &mut state);
        self.send_more(&mut state, &mut budget);
        let (_, weight) = state.slots.owed();
        let poll = loop {
            match self.step(context, &mut state, &mut budget) {
                Step::Again if budget.is_spent() => {
                    self.seat.note_more(begun);
                    self.stand_in_line(&mut state);
                    break Poll::Pending;
                }
                Step::Again => {}
                Step::Wait => {
                    if budget.has_turn() && !state.output.more {
                        self.seat.note_done();
                    }
                    break Poll::Pending;
                }
                Step::End => break Poll::Ready(()),
            }
        };
        let (_, weight_now) = state.slots.owed();
        let added = weight_now.saturating_sub(weight);
        self.core.pressure.note_turn(budget.spent(), added);
        self.settle(&mut state);
        let now = Instant::now();
        self.seat.charge(now.duration_since(begun), now);
        poll
    }

    fn stand_in_line(&self, state: &mut State) {
        if state.call.is_none()
            && let Some(waker) = self.waker.borrow().clone()
        {
            state.call = Some(self.seat.stand(waker));
        }
    }

    /// Takes a turn, or stands in line for one.
    fn may_begin(&self, state: &mut State, budget: &mut Budget) -> bool {
        if budget.has_turn() {
            return true;
        }
        if state.call.is_some() {
            return false;
        }
        if let Some(turn) = self.seat.free_turn(Instant::now()) {
            *budget = Budget::new(Some(turn));
            return true;
        }
        self.stand_in_line(state);
        false
    }

    fn step(&self, context: &mut Context<'_>, state: &mut State, budget: &mut Budget) -> Step {
        match state.phase {
            Phase::Broken => {
                state.output.clear();
                if state.is_quiet() {
                    Step::End
                } else {
                    state.wait()
                }
            }
            Phase::Lingering => self.discard(context),
            Phase::Ending | Phase::Refused => self.finish(context, state),
            Phase::Open if state.deferred.is_some() => self.resume(state),
            Phase::Open if !state.may_take() || self.stands_back(state) => {
                state.held_up = true;
                state.wait()
            }
            Phase::Open => {
                if !self.may_begin(state, budget) {
                    return Step::Wait;
                }
                if self.core.pressure.turn_is_full() {
                    // Behind the flush, which is asked for in case that everything only waits.
                    self.core.want_flush();
                    context.waker().wake_by_ref();
                    return Step::Wait;
                }
                self.take_in(context, state, budget)
            }
        }
    }

    /// True when others, who have less under way, go first. What it has under way brings it back.
    pub(super) fn stands_back(&self, state: &State) -> bool {
        let unsent = state.output.pending();
        crowd::stands_back(&self.core.pressure, state.slots.owed(), unsent)
    }

    /// Parses what is there, or reads more.
    fn take_in(&self, context: &mut Context<'_>, state: &mut State, budget: &mut Budget) -> Step {
        if state
            .input
            .as_ref()
            .is_some_and(|input| input.may_hold_more())
        {
            self.parse_kept(state, budget);
            return Step::Again;
        }
        match self.poll_read(context) {
            Poll::Pending => Step::Wait,
            Poll::Ready(0) => {
                state.phase = Phase::Ending;
                Step::Again
            }
            Poll::Ready(usize::MAX) => self.broken(state),
            Poll::Ready(count) => {
                self.parse_read(state, count, budget);
                Step::Again
            }
        }
    }

    /// Reads into the core's buffer; `usize::MAX` = the connection is gone.
    fn poll_read(&self, context: &mut Context<'_>) -> Poll<usize> {
        let mut bytes = self.io.read.borrow_mut();
        let mut buffer = ReadBuf::new(&mut bytes);
        let mut stream = self.stream.borrow_mut();
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(buffer.filled().len()),
            Poll::Ready(Err(_)) => Poll::Ready(usize::MAX),
        }
    }

    fn broken(&self, state: &mut State) -> Step {
        state.phase = Phase::Broken;
        state.deferred = None;
        state.input = None;
        Step::Again
    }

    /// Ends the connection once nothing is owed.
    fn finish(&self, context: &mut Context<'_>, state: &mut State) -> Step {
        if state.deferred.is_some() {
            return self.resume(state);
        }
        let owes = state.output.pending() > 0 || state.output.blocked;
        if !state.slots.is_empty() || !state.is_quiet() || owes {
            return state.wait();
        }
        if state.phase == Phase::Ending {
            return Step::End;
        }
        // The answer why is sent; the other side sees the end behind it.
        let shut = Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context);
        if matches!(shut, Poll::Ready(Err(_))) {
            return Step::End;
        }
        state.phase = Phase::Lingering;
        self.set_deadline(state, Instant::now().checked_add(LINGER));
        Step::Again
    }

    fn discard(&self, context: &mut Context<'_>) -> Step {
        match self.poll_read(context) {
            Poll::Pending => Step::Wait,
            Poll::Ready(0 | usize::MAX) => Step::End,
            Poll::Ready(_) => Step::Again,
        }
    }

    /// Sends what the socket would not take before, if it takes more now.
    fn poll_blocked_output(&self, context: &mut Context<'_>, state: &mut State) {
        while state.output.blocked && state.phase != Phase::Broken {
            let ready = self.stream.borrow().poll_write_ready(context);
            match ready {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => self.send_on(state),
                Poll::Ready(Err(_)) => state.phase = Phase::Broken,
            }
            if !state.output.blocked {
                // More answers may have been kept back while the buffer was full.
                self.core.mark_dirty(self.place());
            }
        }
    }

    /// Hands bytes to the socket, if it is known to take some.
    fn send(&self, state: &mut State) {
        if !state.output.blocked && !state.output.more && state.output.pending() > 0 {
            self.send_on(state);
        }
    }

    /// Sends what was too much for the turn before.
    fn send_more(&self, state: &mut State, budget: &mut Budget) {
        if state.output.more && state.phase != Phase::Broken && self.may_begin(state, budget) {
            state.output.more = false;
            let encoded = self.show(state, self.core.shared.gate.view());
            if encoded == Encoded::Held {
                // The coming flush puts it among those who wait for the disk.
                self.core.mark_dirty(self.place());
            }
        }
    }

    /// Hands bytes to the socket, and minds how long it has been taking none. With TLS some may be
    /// there that are no longer among the pending.
    fn send_on(&self, state: &mut State) {
        let mut stream = self.stream.borrow_mut();
        let (before, late) = (state.output.pending(), stream.sent_late());
        match state.output.send(&mut stream, &self.io) {
            Sent::All => self.set_deadline(state, self.login_deadline(state)),
            Sent::More => {
                self.set_deadline(state, self.login_deadline(state));
                self.stand_in_line(state);
            }
            Sent::Blocked => {
                let took = state.output.pending() < before || stream.sent_late() > late;
                if took || state.deadline.is_none() {
                    let stall = Instant::now().checked_add(WRITE_STALL_MAX);
                    // Who has no key can not win time by taking little.
                    let login = self.login_deadline(state);
                    let deadline = login.map_or(stall, |login| stall.map(|at| at.min(login)));
                    self.set_deadline(state, deadline);
                }
                self.wake();
            }
            Sent::Broken => {
                state.phase = Phase::Broken;
                self.wake();
            }
        }
    }

    /// The deadline while nothing is stuck.
    fn login_deadline(&self, state: &State) -> Option<Instant> {
        if state.session.grant.is_some() || state.phase != Phase::Open {
            None
        } else {
            state.session.login_until
        }
    }

    /// Sets or lifts the time at which the connection is cut off.
    pub(super) fn set_deadline(&self, state: &mut State, deadline: Option<Instant>) {
        state.deadline = deadline;
        if deadline.is_some()
            && !state.deadline_watched
            && let Some(me) = self.shared()
        {
            state.deadline_watched = true;
            self.io.watch_deadline(&me);
        }
    }

    /// Cuts the connection off when its deadline has passed. False = it has none any more.
    pub(super) fn check_deadline(&self, now: Instant) -> bool {
        let mut state = self.state.borrow_mut();
        if state.deadline.is_some_and(|deadline| deadline <= now) {
            state.deadline = None;
            self.deadline_passed(&mut state);
        }
        state.deadline_watched = state.deadline.is_some();
        state.deadline_watched
    }

    fn deadline_passed(&self, state: &mut State) {
        if state.output.blocked {
            self.cut_off(state, DropReason::Stall);
        } else if state.phase != Phase::Open {
            state.phase = Phase::Broken;
            self.wake();
        } else {
            let error = CommandError::limit(format!(
                "no key was given within {} s (login_time_max)",
                LOGIN_TIME_MAX.as_secs()
            ));
            self.answer(state, |writer| writer.error(&error));
            self.refuse(state, DropReason::Login);
            self.wake();
        }
    }

    /// Shows what may be shown. Who has asked for more than fits into a turn goes behind those who ask
    /// for less; for all others the turn in which they asked was enough. True = something is held for the
    /// disk.
    fn show_or_stand(&self, state: &mut State, view: View) -> bool {
        if state.output.more {
            return false;
        }
        let begun = Instant::now();
        if self.seat.is_heavy() && self.seat.free_turn(begun).is_none() {
            state.output.more = true;
            self.stand_in_line(state);
            return false;
        }
        let encoded = self.show(state, view);
        let now = Instant::now();
        self.seat.charge(now.duration_since(begun), now);
        encoded == Encoded::Held
    }

    /// Shows what may be shown of the answers, as much as fits into a turn; what does not waits in line.
    fn show(&self, state: &mut State, view: View) -> Encoded {
        let encoded = self.encode_ready(state, view);
        self.send(state);
        let full = encoded == Encoded::Full && !state.output.blocked;
        if full || encoded == Encoded::More {
            state.output.more = true;
            self.seat.note_more(Instant::now());
            self.stand_in_line(state);
        }
        encoded
    }

    /// Encodes answers as they may leave, until the buffer is full or there is enough for a turn.
    fn encode_ready(&self, state: &mut State, view: View) -> Encoded {
        let most = state.output.pending() + SEND_BYTES_MAX;
        loop {
            if state.output.is_paused() {
                return Encoded::Full;
            }
            if state.output.pending() >= most {
                return Encoded::More;
            }
            match state.slots.take_front(view) {
                Front::Nothing => return Encoded::All,
                Front::Held => return Encoded::Held,
                Front::Ready(Ready::Bytes(bytes)) => {
                    state.output.buffer(&self.io).extend_from_slice(&bytes);
                }
                Front::Ready(Ready::Answer(result, protocol)) => {
                    let mut writer = Writer::new(state.output.buffer(&self.io), protocol);
                    write_result(&mut writer, &result, &ReplyContext::default());
                }
            }
        }
    }

    /// Sends events as they are, or as `names` has it.
    pub(super) fn write_event(
        &self,
        state: &mut State,
        event: &Event,
        names: Option<&dyn kidoku_proto::resp::reply::IdNames>,
    ) {
        let watched = state.session.watched.contains(&event.user);
        if state.session.protocol != Protocol::Resp3 || !watched || state.phase != Phase::Open {
            return;
        }
        let mut writer = Writer::new(state.output.buffer(&self.io), Protocol::Resp3);
        write_event(&mut writer, event, names);
        if state.output.is_too_much() {
            // A watcher that does not read is of no use to its user, and costs memory.
            self.cut_off(state, DropReason::Output);
        }
    }
}

impl State {
    /// True when another command may be taken in.
    pub(super) fn may_take(&self) -> bool {
        self.phase == Phase::Open
            && self.deferred.is_none()
            && !self.task_runs
            && self.slots.has_room(1)
            && !self.output.is_paused()
    }

    /// Has answers wake the task.
    pub(super) fn wait(&mut self) -> Step {
        self.waits = true;
        Step::Wait
    }

    /// True when nothing is out that would come back.
    fn is_quiet(&self) -> bool {
        self.slots.all_applied() && !self.task_runs && !self.events_run
    }
}

impl Asker for Connection {
    fn reply(&self, sequence: u32, result: Result<Reply, Error>, stamp: u64) {
        self.state
            .borrow_mut()
            .slots
            .answer(sequence, result, stamp);
    }

    fn push(&self, event: &Arc<Event>) {
        let mut state = self.state.borrow_mut();
        if state.phase != Phase::Open || !self.keep_or_refuse(&mut state) {
            return;
        }
        if !state.session.is_opaque() {
            self.write_event(&mut state, event, None);
        } else if state.events.push(Arc::clone(event)).is_ok() {
            self.start_events(&mut state);
        } else {
            self.cut_off(&mut state, DropReason::Output);
        }
    }

    fn release(&self, view: View) -> bool {
        let mut state = self.state.borrow_mut();
        if state.phase == Phase::Broken {
            state.events.clear();
            self.wake();
            return false;
        }
        let outlook = state.slots.outlook(view);
        let held = if outlook == Outlook::Ready || state.output.pending() > 0 {
            self.show_or_stand(&mut state, view)
        } else {
            outlook == Outlook::Held
        };
        if state.slots.is_empty() && state.slots.has_memory() {
            self.io.give_slots(state.slots.take_memory());
        }
        self.settle(&mut state);
        if std::mem::take(&mut state.held_up) && state.phase == Phase::Open {
            self.stand_in_line(&mut state);
        } else if state.waits {
            self.wake();
        }
        held
    }

    fn drain(&self) {
        self.update(|state| {
            if state.phase == Phase::Open {
                state.phase = Phase::Ending;
                state.input = None;
            }
        });
    }
}
