//! One lane: sends operations over its connection without a pause and notes what it is told.

use super::book::{Book, Fate, Op};
use crate::random::Random;
use crate::server::PATIENCE;
use crate::web::Web;
use crate::wire::{Client, Value, encode};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Operations of a RESP connection under way.
const WINDOW: usize = 64;

/// Operations of one event stream.
const EVENTS: u64 = 60;

/// How a lane talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Pipelined commands over one connection.
    Resp,
    /// Event streams, each a request.
    Http,
}

/// Slept after a round in which something was refused, as a client does.
const REFUSED_PAUSE: Duration = Duration::from_millis(25);

/// What the driver says to its lanes, and they to it.
#[derive(Debug, Default)]
pub struct Signals {
    stop: AtomicBool,
    cut: AtomicBool,
    cut_lanes: AtomicUsize,
    pause: AtomicBool,
    paused_lanes: AtomicUsize,
}

impl Signals {
    /// Ends the work.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Has every lane wait, with nothing under way, and waits until all do.
    ///
    /// # Errors
    /// A lane gets no replies.
    pub fn pause(&self, lanes: usize) -> Result<(), String> {
        self.pause.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        while self.paused_lanes.load(Ordering::SeqCst) < lanes {
            if begun.elapsed() > PATIENCE {
                return Err("a lane does not come to rest".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Has every lane go on.
    pub fn resume(&self) {
        self.pause.store(false, Ordering::SeqCst);
    }

    /// Waits while a pause is asked for. For lanes without anything under way.
    fn rest(&self) {
        if self.pause.load(Ordering::SeqCst) {
            self.paused_lanes.fetch_add(1, Ordering::SeqCst);
            while self.pause.load(Ordering::SeqCst) && !self.is_stopped() {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.paused_lanes.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn is_pausing(&self) -> bool {
        self.pause.load(Ordering::SeqCst)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Has every lane set its book aside as it is, and waits until all have. What they do from then
    /// on is noted there as open: when the disk is copied next, it may be on the copy or not.
    ///
    /// # Errors
    /// A lane hears nothing any more.
    pub fn cut(&self, lanes: usize) -> Result<(), String> {
        self.cut.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        while self.cut_lanes.load(Ordering::SeqCst) < lanes {
            if begun.elapsed() > PATIENCE {
                return Err("a lane does not set its book aside".to_owned());
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }
}

/// A lane with its book.
#[derive(Debug)]
pub struct Lane {
    /// What it is owed.
    pub book: Book,
    /// How it talks.
    pub port: Port,
    /// Error replies by their first word.
    pub refused: BTreeMap<String, u64>,
    /// The longest that an operation waited for its reply.
    pub slowest: Duration,
    /// Operations acknowledged, for others to watch.
    pub acknowledged: Arc<AtomicU64>,
    random: Random,
    aside: Option<Aside>,
}

/// A book set aside, and in order what was not acknowledged by then.
#[derive(Debug)]
struct Aside {
    book: Book,
    rest: Vec<Op>,
}

impl Lane {
    /// The lane of this number.
    pub fn new(lane: u64, port: Port, seed: u64) -> Self {
        Self {
            book: Book::new(lane),
            port,
            refused: BTreeMap::new(),
            slowest: Duration::ZERO,
            acknowledged: Arc::default(),
            aside: None,
            random: Random::new(seed ^ (lane << 32)),
        }
    }

    /// The first operations, all of which must be acknowledged.
    ///
    /// # Errors
    /// One was not.
    pub fn open(&mut self, client: &mut Client) -> Result<(), String> {
        let ops = self.book.opening();
        self.all(client, &ops)
    }

    /// Sends posts without a reply again, as a client does.
    ///
    /// # Errors
    /// One was not acknowledged.
    pub fn retry(&mut self, client: &mut Client) -> Result<(), String> {
        let ops = self.book.open_posts();
        self.all(client, &ops)
    }

    fn all(&mut self, client: &mut Client, ops: &[Op]) -> Result<(), String> {
        let commands: Vec<Vec<String>> = ops.iter().map(|op| op.words(&self.book)).collect();
        for (op, reply) in ops.iter().zip(client.pipeline(&commands)) {
            if let Value::Error(error) = reply {
                return Err(format!("{op:?}: {error}"));
            }
            self.book.note(op, Fate::Sure);
        }
        Ok(())
    }

    /// Goes back to the book that was set aside, with everything after that open.
    pub fn go_back(&mut self) {
        if let Some(aside) = self.aside.take() {
            self.book = aside.book;
            for op in &aside.rest {
                self.book.note(op, Fate::Open);
            }
        }
    }

    /// Works until told to stop or the server is gone. `pace` is slept after each round.
    pub fn work(&mut self, addresses: (SocketAddr, SocketAddr), signals: &Signals, pace: Duration) {
        match self.port {
            Port::Resp => {
                if let Some(mut client) = Client::try_connect(addresses.0) {
                    self.pipeline(&mut client, signals, pace);
                }
            }
            Port::Http => self.streams(&Web::new(addresses.1), signals, pace),
        }
        // Whoever cuts waits for all lanes, also for one that has nothing more to say.
        while !signals.is_stopped() {
            self.look_aside(signals, std::iter::empty());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sets the book aside when asked; `under_way` has not been answered.
    fn look_aside<'a>(&mut self, signals: &Signals, under_way: impl Iterator<Item = &'a Op>) {
        if self.aside.is_none() && signals.cut.load(Ordering::SeqCst) {
            self.aside = Some(Aside {
                book: self.book.clone(),
                rest: under_way.cloned().collect(),
            });
            signals.cut_lanes.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn next(&mut self) -> Op {
        let op = self.book.next(&mut self.random);
        if let Some(aside) = &mut self.aside {
            aside.rest.push(op.clone());
        }
        op
    }

    fn pipeline(&mut self, client: &mut Client, signals: &Signals, pace: Duration) {
        let mut under_way: VecDeque<(Op, Instant)> = VecDeque::new();
        loop {
            self.look_aside(signals, under_way.iter().map(|(op, _)| op));
            let stopping = signals.is_stopped();
            if stopping && under_way.is_empty() {
                return;
            }
            if under_way.is_empty() {
                signals.rest();
            }
            let ending = stopping || signals.is_pausing();
            let mut bytes = Vec::new();
            while !ending && under_way.len() < WINDOW {
                let op = self.next();
                bytes.extend(encode(&op.words(&self.book)));
                under_way.push_back((op, Instant::now()));
            }
            client.send(&bytes);
            let mut refused = false;
            // Half of them: so the connection is never idle.
            for _ in 0..under_way.len().div_ceil(2) {
                let Some(reply) = client.try_receive() else {
                    return self.give_up(under_way);
                };
                if let Some((op, sent)) = under_way.pop_front() {
                    self.slowest = self.slowest.max(sent.elapsed());
                    refused |= self.note_reply(&op, &reply);
                }
            }
            std::thread::sleep(if refused { REFUSED_PAUSE } else { pace });
        }
    }

    /// True when it was refused.
    fn note_reply(&mut self, op: &Op, reply: &Value) -> bool {
        if let Value::Error(error) = reply {
            self.note_refusal(error);
            self.book.note(op, Fate::Open);
            return true;
        }
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        self.book.note(op, Fate::Sure);
        false
    }

    fn note_refusal(&mut self, error: &str) {
        let word = error.split(' ').next().unwrap_or_default().to_owned();
        *self.refused.entry(word).or_default() += 1;
    }

    fn give_up(&mut self, under_way: VecDeque<(Op, Instant)>) {
        for (op, _) in under_way {
            self.book.note(&op, Fate::Open);
        }
    }

    fn streams(&mut self, web: &Web, signals: &Signals, pace: Duration) {
        while !signals.is_stopped() {
            self.look_aside(signals, std::iter::empty());
            signals.rest();
            let count = self.random.between(1, EVENTS);
            let ops: Vec<Op> = (0..count).map(|_| self.next()).collect();
            let body: String = ops.iter().map(|op| op.line(&self.book)).collect();
            let sent = Instant::now();
            let answer = web.with("content-type", "application/x-ndjson").try_send(
                "POST",
                "/v1/events",
                body.as_bytes(),
            );
            let Some(answer) = answer else {
                ops.iter().for_each(|op| self.book.note(op, Fate::Open));
                return;
            };
            self.slowest = self.slowest.max(sent.elapsed());
            let report: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let sure = answer.status == 200 && report["failed"] == 0;
            if sure {
                self.acknowledged.fetch_add(count, Ordering::SeqCst);
            } else {
                let code = report["errors"][0]["code"].as_str();
                let code = code.or(report["code"].as_str()).unwrap_or("cut off");
                self.note_refusal(code);
            }
            let fate = if sure { Fate::Sure } else { Fate::Open };
            ops.iter().for_each(|op| self.book.note(op, fate));
            std::thread::sleep(if sure { pace } else { REFUSED_PAUSE });
        }
    }
}

/// Runs lanes against a server while `meanwhile` does something to it, and stops them then.
///
/// # Errors
/// What `meanwhile` says.
pub fn drive<T>(
    lanes: &mut [Lane],
    addresses: (SocketAddr, SocketAddr),
    pace: Duration,
    meanwhile: impl FnOnce(&Signals) -> Result<T, String>,
) -> Result<T, String> {
    let signals = Signals::default();
    std::thread::scope(|scope| {
        for lane in lanes.iter_mut() {
            let signals = &signals;
            scope.spawn(move || lane.work(addresses, signals, pace));
        }
        let result = meanwhile(&signals);
        signals.stop();
        result
    })
}
