//! One connection of the generator: what waits to be written, what is under way, what has come.

use super::Work;
use super::recorder::Recorder;
use crate::wire::{Framing, Scan};
use mio::net::TcpStream;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

/// Bytes of a wrong answer that are shown.
const SHOWN_BYTES: usize = 200;

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    due_ns: u64,
    request: u64,
}

/// A connection that never waits.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    scan: Scan,
    under_way: VecDeque<UnderWay>,
    /// What is due and can not be sent yet.
    waiting_ns: VecDeque<u64>,
}

/// What the connections of a thread share.
pub(super) struct Shared<'a> {
    pub(super) work: &'a mut dyn Work,
    pub(super) recorder: Recorder,
    /// Where all of them read to.
    pub(super) piece: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: std::net::TcpStream, framing: Framing) -> Self {
        Self {
            stream: TcpStream::from_std(stream),
            out: Vec::new(),
            written: 0,
            input: Vec::new(),
            scan: Scan::new(framing),
            under_way: VecDeque::new(),
            waiting_ns: VecDeque::new(),
        }
    }

    /// Requests without an answer, sent or not.
    pub(super) fn open(&self) -> usize {
        self.under_way.len() + self.waiting_ns.len()
    }

    /// Sends so many requests at once.
    pub(super) fn send(
        &mut self,
        count: usize,
        now_ns: u64,
        shared: &mut Shared<'_>,
    ) -> Result<(), String> {
        for _ in 0..count {
            self.encode(now_ns, shared);
        }
        self.flush()
    }

    /// Sends what is due, when fewer than `most` are under way; later if not.
    pub(super) fn send_due(
        &mut self,
        due_ns: u64,
        now_ns: u64,
        most: usize,
        shared: &mut Shared<'_>,
    ) -> Result<(), String> {
        if self.under_way.len() >= most {
            self.waiting_ns.push_back(due_ns);
            return Ok(());
        }
        shared.recorder.sent(due_ns, now_ns);
        self.encode(due_ns, shared);
        self.flush()
    }

    /// Sends what has waited, as far as answers have made room.
    pub(super) fn send_waiting(
        &mut self,
        most: usize,
        shared: &mut Shared<'_>,
    ) -> Result<(), String> {
        while self.under_way.len() < most
            && let Some(due_ns) = self.waiting_ns.pop_front()
        {
            self.encode(due_ns, shared);
        }
        self.flush()
    }

    fn encode(&mut self, due_ns: u64, shared: &mut Shared<'_>) {
        let request = shared.work.next(&mut self.out);
        self.under_way.push_back(UnderWay { due_ns, request });
    }

    /// Writes what it can; the rest when the system says that there is room.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        while self.written < self.out.len() {
            let rest = self.out.get(self.written..).unwrap_or_default();
            match self.stream.write(rest) {
                Ok(0) => return Err("the server takes nothing more".to_owned()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("a connection broke: {error}")),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what has come and takes the answers in it; says how many.
    pub(super) fn read(
        &mut self,
        now_ns: impl Fn() -> u64,
        shared: &mut Shared<'_>,
    ) -> Result<u64, String> {
        let mut piece = std::mem::take(&mut shared.piece);
        let mut answers = 0;
        loop {
            let count = match self.stream.read(&mut piece) {
                Ok(0) => return Err("the server closed a connection".to_owned()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("a connection broke: {error}")),
            };
            let came = piece.get(..count).unwrap_or_default();
            answers += self.take(came, now_ns(), shared)?;
            // Less than was asked for: there is no more, and the system tells when there is.
            if count < piece.len() {
                break;
            }
        }
        shared.piece = piece;
        Ok(answers)
    }

    /// Takes the answers of a piece, and keeps the begin of one that is not all there.
    fn take(&mut self, came: &[u8], now_ns: u64, shared: &mut Shared<'_>) -> Result<u64, String> {
        if self.input.is_empty() {
            let (taken, answers) = self.answers(came, now_ns, shared)?;
            let rest = came.get(taken..).unwrap_or_default();
            self.input.extend_from_slice(rest);
            return Ok(answers);
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(came);
        let (taken, answers) = self.answers(&input, now_ns, shared)?;
        input.drain(..taken);
        self.input = input;
        Ok(answers)
    }

    /// The answers that some bytes begin with: how many bytes, how many answers.
    fn answers(
        &mut self,
        bytes: &[u8],
        now_ns: u64,
        shared: &mut Shared<'_>,
    ) -> Result<(usize, u64), String> {
        let (mut taken, mut answers) = (0, 0);
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let Some(end) = self.scan.end(rest)? else {
                return Ok((taken, answers));
            };
            let reply = rest.get(..end).unwrap_or_default();
            let Some(UnderWay { due_ns, request }) = self.under_way.pop_front() else {
                return Err(format!("an answer to nothing: {}", excerpt(reply)));
            };
            if !shared.work.is_right(request, reply) {
                return Err(format!("a wrong answer: {}", excerpt(reply)));
            }
            shared.recorder.answered(due_ns, now_ns);
            taken += end;
            answers += 1;
        }
    }
}

fn excerpt(reply: &[u8]) -> String {
    let shown = reply.get(..SHOWN_BYTES).unwrap_or(reply);
    shown.escape_ascii().to_string()
}
