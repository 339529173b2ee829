//! The loop of one thread of the generator.

use super::Work;
use super::connection::{Connection, Shared};
use super::plan::{Pace, Plan};
use super::recorder::{Latencies, Recorder};
use super::schedule::Schedule;
use crate::machine::cpu::this_thread_ns;
use crate::number::{count_of, figure, nanos};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A server that answers nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Events taken at a time.
const EVENTS: usize = 1_024;
/// Bytes read at a time, over all connections of the thread.
const PIECE_BYTES: usize = 1 << 18;
/// How often the time is looked at when nothing comes.
const GLANCE: Duration = Duration::from_millis(20);
/// The system sleeps in whole milliseconds, and wakes late: what is due sooner is waited for awake.
const AWAKE_NS: u64 = 2_000_000;

/// What the threads tell the one that waits for them.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicBool,
}

/// What one thread has to tell at the end.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) latencies: Latencies,
    pub(super) lateness: Histogram<u64>,
    /// Processor time over measured time.
    pub(super) busy: f64,
}

/// Where the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measured,
    /// Nothing new is sent; what is under way is waited for.
    Over,
}

/// One thread of the generator.
pub(super) struct Engine<'a> {
    poll: Poll,
    connections: Vec<Connection>,
    shared: Shared<'a>,
    pipeline: usize,
    schedule: Option<Schedule>,
    /// The connection that takes what is due next.
    turn: usize,
    told: &'a Told,
    start: Instant,
    begin_ns: u64,
    end_ns: u64,
    phase: Phase,
    cpu_at_begin_ns: u64,
    busy: f64,
    last_answer_ns: u64,
}

impl<'a> Engine<'a> {
    /// The engine of thread `index` of `threads`.
    ///
    /// # Errors
    /// The system can not wait for so many connections.
    pub(super) fn new(
        plan: &Plan,
        (index, threads): (usize, usize),
        mut connections: Vec<Connection>,
        work: &'a mut dyn Work,
        told: &'a Told,
    ) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| error.to_string())?;
        for (number, connection) in connections.iter_mut().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut connection.stream, Token(number), both)
                .map_err(|error| error.to_string())?;
        }
        let recorder = Recorder::new(plan.warm_up, plan.duration)?;
        let (begin_ns, end_ns) = recorder.window_ns();
        let schedule = match plan.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Schedule::new(
                per_second,
                count_of(index),
                count_of(threads),
            )),
        };
        Ok(Self {
            poll,
            connections,
            shared: Shared {
                work,
                recorder,
                piece: vec![0; PIECE_BYTES],
            },
            pipeline: plan.pipeline.max(1),
            schedule,
            turn: 0,
            told,
            start: Instant::now(),
            begin_ns,
            end_ns,
            phase: Phase::WarmUp,
            cpu_at_begin_ns: 0,
            busy: 0.0,
            last_answer_ns: 0,
        })
    }

    /// Runs until all that was due is answered.
    ///
    /// # Errors
    /// A connection that breaks, a wrong answer, a server that says nothing any more.
    pub(super) fn run(mut self, start: Instant) -> Result<Part, String> {
        self.start = start;
        let mut events = Events::with_capacity(EVENTS);
        if self.schedule.is_none() {
            self.begin_closed()?;
        }
        while !self.is_done() {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return Err(error.to_string());
            }
            self.look_at_the_time()?;
            for event in &events {
                self.serve(
                    event.token().0,
                    event.is_readable() || event.is_read_closed(),
                )?;
            }
            self.send_due()?;
        }
        let (latencies, lateness) = self.shared.recorder.finish()?;
        Ok(Part {
            latencies,
            lateness,
            busy: self.busy,
        })
    }

    /// All is sent, also what came due while this thread did not run, and answered.
    fn is_done(&self) -> bool {
        let is_sent = self
            .schedule
            .is_none_or(|schedule| schedule.due_ns() >= self.end_ns);
        self.phase == Phase::Over && is_sent && self.connections.iter().all(|one| one.open() == 0)
    }

    fn now_ns(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    fn begin_closed(&mut self) -> Result<(), String> {
        for connection in &mut self.connections {
            let now_ns = nanos(self.start.elapsed());
            connection.send(self.pipeline, now_ns, &mut self.shared)?;
        }
        Ok(())
    }

    /// How long nothing has to be done unless something comes.
    fn timeout(&self) -> Duration {
        let Some(schedule) = self.schedule.filter(|_| self.phase != Phase::Over) else {
            return GLANCE;
        };
        let left = schedule.due_ns().saturating_sub(self.now_ns());
        Duration::from_nanos(left.saturating_sub(AWAKE_NS)).min(GLANCE)
    }

    fn look_at_the_time(&mut self) -> Result<(), String> {
        let now_ns = self.now_ns();
        self.shared.recorder.tell(now_ns);
        if self.phase == Phase::WarmUp && now_ns >= self.begin_ns {
            self.phase = Phase::Measured;
            self.cpu_at_begin_ns = this_thread_ns();
        }
        if self.phase == Phase::Measured && now_ns >= self.end_ns {
            self.phase = Phase::Over;
            let used_ns = this_thread_ns().saturating_sub(self.cpu_at_begin_ns);
            let measured_ns = self.end_ns.saturating_sub(self.begin_ns).max(1);
            self.busy = figure(used_ns) / figure(measured_ns);
        }
        if self.told.failed.load(Ordering::Relaxed) {
            return Err("the run was ended".to_owned());
        }
        let silent_ns = now_ns.saturating_sub(self.last_answer_ns);
        let waits = || self.connections.iter().any(|one| one.open() > 0);
        if silent_ns > nanos(SILENCE_MAX) && waits() {
            return Err(format!("no answer for {} s", SILENCE_MAX.as_secs()));
        }
        Ok(())
    }

    /// Something happened on a connection.
    fn serve(&mut self, number: usize, has_come: bool) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(number) else {
            return Ok(());
        };
        connection.flush()?;
        if !has_come {
            return Ok(());
        }
        let start = self.start;
        let now_ns = || nanos(start.elapsed());
        let answers = connection.read(now_ns, &mut self.shared)?;
        if answers == 0 {
            return Ok(());
        }
        self.told.answered.fetch_add(answers, Ordering::Relaxed);
        let now_ns = now_ns();
        self.last_answer_ns = now_ns;
        if self.schedule.is_some() {
            connection.send_waiting(self.pipeline, &mut self.shared)
        } else if connection.open() == 0 && now_ns < self.end_ns {
            connection.send(self.pipeline, now_ns, &mut self.shared)
        } else {
            Ok(())
        }
    }

    /// Sends what is due by now, each to the next connection in turn.
    fn send_due(&mut self) -> Result<(), String> {
        let Some(mut schedule) = self.schedule else {
            return Ok(());
        };
        loop {
            let now_ns = self.now_ns();
            let due_ns = schedule.due_ns();
            if due_ns > now_ns || due_ns >= self.end_ns {
                break;
            }
            let number = self.turn % self.connections.len().max(1);
            if let Some(connection) = self.connections.get_mut(number) {
                connection.send_due(due_ns, now_ns, self.pipeline, &mut self.shared)?;
            }
            self.turn = number + 1;
            schedule.advance();
        }
        self.schedule = Some(schedule);
        Ok(())
    }
}
