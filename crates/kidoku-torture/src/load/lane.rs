//! One lane: sends operations over its connection without a pause and notes what it is told.

use super::book::{Book, Fate, Op};
use crate::random::Random;
use crate::web::Web;
use crate::wire::{Client, Value, encode};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
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
    random: Random,
}

impl Lane {
    /// The lane of this number.
    pub fn new(lane: u64, port: Port, seed: u64) -> Self {
        Self {
            book: Book::new(lane),
            port,
            refused: BTreeMap::new(),
            slowest: Duration::ZERO,
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

    /// Works until `stop` is set or the server is gone. `pace` is slept after each round.
    pub fn work(&mut self, addresses: (SocketAddr, SocketAddr), stop: &AtomicBool, pace: Duration) {
        match self.port {
            Port::Resp => {
                if let Some(mut client) = Client::try_connect(addresses.0) {
                    self.pipeline(&mut client, stop, pace);
                }
            }
            Port::Http => self.streams(&Web::new(addresses.1), stop, pace),
        }
    }

    fn pipeline(&mut self, client: &mut Client, stop: &AtomicBool, pace: Duration) {
        let mut under_way: VecDeque<(Op, Instant)> = VecDeque::new();
        loop {
            let stopping = stop.load(Ordering::SeqCst);
            if stopping && under_way.is_empty() {
                return;
            }
            let mut bytes = Vec::new();
            while !stopping && under_way.len() < WINDOW {
                let op = self.book.next(&mut self.random);
                bytes.extend(encode(&op.words(&self.book)));
                under_way.push_back((op, Instant::now()));
            }
            client.send(&bytes);
            // Half of them: so the connection is never idle.
            for _ in 0..(under_way.len() / 2).max(1) {
                let Some(reply) = client.try_receive() else {
                    return self.give_up(under_way);
                };
                if let Some((op, sent)) = under_way.pop_front() {
                    self.slowest = self.slowest.max(sent.elapsed());
                    self.note_reply(&op, &reply);
                }
            }
            std::thread::sleep(pace);
        }
    }

    fn note_reply(&mut self, op: &Op, reply: &Value) {
        match reply {
            Value::Error(error) => {
                self.note_refusal(error);
                self.book.note(op, Fate::Open);
            }
            _ => self.book.note(op, Fate::Sure),
        }
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

    fn streams(&mut self, web: &Web, stop: &AtomicBool, pace: Duration) {
        while !stop.load(Ordering::SeqCst) {
            let count = self.random.between(1, EVENTS);
            let ops: Vec<Op> = (0..count)
                .map(|_| self.book.next(&mut self.random))
                .collect();
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
            let fate = if answer.status == 200 && report["failed"] == 0 {
                Fate::Sure
            } else {
                let code = report["code"].as_str().unwrap_or("refused line");
                self.note_refusal(code);
                Fate::Open
            };
            ops.iter().for_each(|op| self.book.note(op, fate));
            std::thread::sleep(pace);
        }
    }
}
