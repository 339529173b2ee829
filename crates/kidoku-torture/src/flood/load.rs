//! Load on many connections from one thread: closed-loop, where every connection has a number of
//! commands out and sends the next when answers come, or open-loop, where commands fall due at a
//! rate whatever the server does.

use super::machine::{Usage, figure};
use super::replies::{Kind, Replies, Speech};
use super::world::{self, World};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Bytes that a connection keeps for a socket that takes no more; what falls due beyond them is
/// counted as held back. A client whose own queue is full does not make more work either.
const OWN_QUEUE_BYTES: usize = 16 << 10;

/// Time at the beginning of a run that does not count.
const WARM_UP: Duration = Duration::from_millis(700);

/// How the commands come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many out on each connection.
    Closed(usize),
    /// So many a second over all connections.
    Open {
        /// Commands a second.
        rate: f64,
        /// Commands that a connection writes at once. As many as in the closed loop that it is
        /// compared with: the kernel's work is by segment, and would be compared instead.
        at_once: usize,
    },
}

/// Commands that a connection writes at once with so many out: it sends more when half are answered.
pub(super) const fn at_once(window: usize) -> usize {
    window / 2
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mix {
    /// Four acks for each read of a user's state.
    AcksAndStates,
    /// Acks alone.
    Acks,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// The server's process.
    pub(super) pid: u32,
    pub(super) address: SocketAddr,
    pub(super) speech: Speech,
    pub(super) mix: Mix,
    pub(super) connections: usize,
    pub(super) pace: Pace,
    pub(super) time: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Commands done while it counted.
    pub(super) done: u64,
    pub(super) busy: u64,
    pub(super) busy_without_time: u64,
    pub(super) refused: u64,
    /// Commands that fell due, sent or not.
    pub(super) offered: u64,
    /// Of them those that no socket took.
    pub(super) held_back: u64,
    /// Connections that the server ended.
    pub(super) hung_up: u64,
    pub(super) seconds: f64,
    /// Seconds of processor that the server used meanwhile.
    pub(super) server_s: f64,
    /// Seconds that the server had its core to use.
    pub(super) to_use_s: f64,
    pub(super) oddity: Option<String>,
    /// How long commands took from when they were put into the queue of their connection.
    pub(super) latencies: Vec<Duration>,
}

impl Outcome {
    /// Commands done a second.
    pub(super) fn goodput(&self) -> f64 {
        figure(self.done) / self.seconds
    }

    /// Commands done in each second that the server had its core to use.
    pub(super) fn goodput_to_use(&self) -> f64 {
        figure(self.done) / self.to_use_s
    }

    /// Microseconds of processor that the server used for each command done.
    pub(super) fn server_us_each(&self) -> f64 {
        self.server_s * 1e6 / figure(self.done)
    }

    /// Commands that fell due a second.
    pub(super) fn offered_rate(&self) -> f64 {
        figure(self.offered) / self.seconds
    }
}

/// A command out.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// Whose ack; `None` = a read.
    ack: Option<(u32, u32)>,
    at: Instant,
}

struct Connection {
    stream: TcpStream,
    queue: Vec<u8>,
    written: usize,
    sent: VecDeque<Sent>,
    replies: Replies,
    /// Its users are this one and every so many after it.
    user: u32,
    count: u32,
    gone: bool,
}

/// Loads the server as planned; what it acknowledges goes into `world`.
pub(super) fn run(plan: &Plan, world: &mut World) -> Outcome {
    let mut connections: Vec<Connection> = (0..plan.connections)
        .map(|number| Connection::open(plan, number))
        .collect();
    let begun = Instant::now();
    let counts_from = begun + WARM_UP;
    let end = counts_from + plan.time;
    let mut outcome = Outcome::default();
    let mut due = Due::default();
    let mut before = None;
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        if before.is_none() && now >= counts_from {
            before = Some(Usage::now(plan.pid));
            outcome = Outcome::default();
        }
        let share = due.share(plan, now.duration_since(begun), connections.len());
        let mut quiet = true;
        for connection in &mut connections {
            quiet &= !connection.turn(plan, share, now, world, &mut outcome);
        }
        if quiet {
            sleep(Duration::from_micros(50));
        }
    }
    let (before, after) = (before.unwrap_or_default(), Usage::now(plan.pid));
    outcome.server_s = after.server_since(before);
    outcome.to_use_s = after.to_use_since(before);
    outcome.seconds = plan.time.as_secs_f64();
    outcome.hung_up = connections.iter().map(|one| u64::from(one.gone)).sum();
    for connection in connections {
        outcome.oddity = outcome.oddity.or(connection.replies.oddity);
    }
    outcome
}

/// Commands that have fallen due, of an open loop.
#[derive(Default)]
struct Due {
    given: u64,
}

impl Due {
    /// How many each connection gets now.
    fn share(&mut self, plan: &Plan, since: Duration, connections: usize) -> usize {
        let Pace::Open { rate, at_once } = plan.pace else {
            return 0;
        };
        let mut share = 0;
        let each = u64::try_from(connections * at_once).unwrap();
        while figure(self.given + each) <= rate * since.as_secs_f64() {
            self.given += each;
            share += at_once;
        }
        share
    }
}

impl Connection {
    fn open(plan: &Plan, number: usize) -> Self {
        let stream = TcpStream::connect(plan.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self {
            stream,
            queue: Vec::new(),
            written: 0,
            sent: VecDeque::new(),
            replies: Replies::new(plan.speech),
            user: u32::try_from(number).unwrap(),
            count: 0,
            gone: false,
        }
    }

    /// Makes, sends and takes what there is. True = something happened.
    fn turn(
        &mut self,
        plan: &Plan,
        share: usize,
        now: Instant,
        world: &mut World,
        outcome: &mut Outcome,
    ) -> bool {
        let wanted = match plan.pace {
            Pace::Open { .. } => share,
            Pace::Closed(window) if self.sent.len() <= at_once(window) => window - self.sent.len(),
            Pace::Closed(_) => 0,
        };
        outcome.offered += u64::try_from(wanted).unwrap();
        for made in 0..wanted {
            if self.gone || self.queue.len() - self.written > OWN_QUEUE_BYTES {
                outcome.held_back += u64::try_from(wanted - made).unwrap();
                break;
            }
            self.make(plan, now, world);
        }
        !self.gone && (self.write() | self.read(world, outcome))
    }

    fn make(&mut self, plan: &Plan, now: Instant, world: &mut World) {
        self.count += 1;
        self.user = (self.user + u32::try_from(plan.connections).unwrap()) % world.users;
        let acks = plan.mix == Mix::Acks || !self.count.is_multiple_of(5);
        let ack = acks.then(|| (self.user, world.next_id()));
        match ack {
            Some((user, id)) => world::write_ack(&mut self.queue, plan.speech, user, id),
            None => world::write_state(&mut self.queue, plan.speech, self.user),
        }
        self.sent.push_back(Sent { ack, at: now });
    }

    fn write(&mut self) -> bool {
        let mut wrote = false;
        while self.written < self.queue.len() {
            match self.stream.write(&self.queue[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    wrote = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.gone = true;
                    return true;
                }
            }
        }
        if self.written == self.queue.len() {
            self.queue.clear();
            self.written = 0;
        } else if self.written > OWN_QUEUE_BYTES {
            self.queue.drain(..self.written);
            self.written = 0;
        }
        wrote
    }

    fn read(&mut self, world: &mut World, outcome: &mut Outcome) -> bool {
        let mut bytes = [0; 32 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.gone = true,
            Ok(count) => self.replies.feed(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => self.gone = true,
        }
        let now = Instant::now();
        while let Some(kind) = self.replies.next() {
            // An answer to nothing is the last word before the end of a connection.
            let Some(sent) = self.sent.pop_front() else {
                break;
            };
            match kind {
                Kind::Done => {
                    outcome.done += 1;
                    if outcome.done.is_multiple_of(64) {
                        outcome.latencies.push(now.duration_since(sent.at));
                    }
                    if let Some((user, id)) = sent.ack {
                        world.note_acked(user, id);
                    }
                }
                Kind::Busy => outcome.busy += 1,
                Kind::BusyWithoutTime => outcome.busy_without_time += 1,
                Kind::Refused => outcome.refused += 1,
            }
        }
        true
    }
}
