//! The load generator: connections, what is sent over them and when, and how long the answers took.
//!
//! One thread, or a few, each with a part of the connections and one loop over them that never waits for
//! a single answer. In a closed loop a connection sends its next requests when the last ones are
//! answered, so a server that stalls is asked less. In an open loop every request has a time at which it
//! is due, and its latency counts from then, whether or not it could be sent: so a stall costs all that
//! came due in it. Every answer is checked; a wrong one ends the run, as a number made of wrong answers
//! is worth nothing.
//!
//! Must never read a file or allocate for a request between the begin and the end of what is measured.

mod connection;
mod engine;
mod plan;
mod recorder;
mod schedule;
#[cfg(test)]
mod tests;

pub(crate) use plan::{Pace, Plan};
pub(crate) use recorder::{Interval, Latencies, percentile};

use crate::machine::place::{Cpus, Placed};
use crate::stop::Stop;
use crate::wire::{Client, Framing, RESP};
use connection::Connection;
use engine::{Engine, Told};
use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What is sent, and what has to come back.
pub(crate) trait Work: Send {
    /// How answers are framed.
    fn framing(&self) -> Framing {
        RESP
    }

    /// Requests that a new connection makes before anything else, each answered by something that begins
    /// with the text beside it.
    fn greeting(&self) -> Vec<(Vec<u8>, &'static [u8])> {
        Vec::new()
    }

    /// Appends the bytes of the next request; what it returns is given back with the reply.
    fn next(&mut self, out: &mut Vec<u8>) -> u64;

    /// True when this is the right reply to that request.
    fn is_right(&mut self, request: u64, reply: &[u8]) -> bool;
}

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Latencies of all that was due in the measured time.
    pub(crate) latencies: Latencies,
    /// How much later than due the generator itself sent, of an open loop.
    pub(crate) lateness: Histogram<u64>,
    /// All requests that were answered, those of the warm-up included.
    pub(crate) answered: u64,
    /// The busiest thread of the generator: processor time over measured time. Near 1 in a closed loop
    /// means that the generator was the limit.
    pub(crate) client_busy: f64,
}

/// What was probed at an end of the measured time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark<T> {
    pub(crate) at: Instant,
    /// Requests answered so far.
    pub(crate) answered: u64,
    pub(crate) probe: T,
}

/// A run: its outcome, and what was probed when the measured time began and ended.
#[derive(Debug)]
pub(crate) struct Run<T> {
    pub(crate) outcome: Outcome,
    pub(crate) begin: Mark<T>,
    pub(crate) end: Mark<T>,
}

/// How long this thread sleeps before it looks whether the others are well.
const GLANCE: Duration = Duration::from_millis(50);

/// Carries out a plan: one thread for each work, with a share of the connections. `probe` is called when
/// the measured time begins and when it ends.
///
/// # Errors
/// A connection that can not be made or breaks, a wrong answer, or a server that says nothing any more.
pub(crate) fn run<T>(
    address: SocketAddr,
    plan: &Plan,
    works: &mut [Box<dyn Work>],
    (cpus, stop): (&Cpus, &Stop),
    mut probe: impl FnMut() -> T,
) -> Result<Run<T>, String> {
    let lots = connect(address, plan, works)?;
    let threads = works.len();
    let told = Told {
        answered: AtomicU64::new(0),
        failed: AtomicBool::new(false),
    };
    let told = &told;
    thread::scope(|scope| {
        let start = Instant::now();
        let mut running = Vec::new();
        for (index, (work, connections)) in works.iter_mut().zip(lots).enumerate() {
            let engine = Engine::new(plan, (index, threads), connections, work.as_mut(), told)?;
            running.push(scope.spawn(move || {
                let _placed = Placed::on(cpus);
                engine.run(start).inspect_err(|_| {
                    told.failed.store(true, Ordering::Relaxed);
                })
            }));
        }
        let mut mark = |after: Duration| {
            sleep_until(start + after, &told.failed, stop);
            let answered = told.answered.load(Ordering::Relaxed);
            Mark {
                at: Instant::now(),
                answered,
                probe: probe(),
            }
        };
        let begin = mark(plan.warm_up);
        let end = mark(plan.warm_up + plan.duration);
        let mut parts = Vec::new();
        for thread in running {
            let part = thread
                .join()
                .map_err(|_| "a thread of the generator failed")?;
            parts.push(part?);
        }
        let outcome = Outcome::of(parts, told.answered.load(Ordering::Relaxed))?;
        Ok(Run {
            outcome,
            begin,
            end,
        })
    })
}

/// Connections for each thread, greeted.
fn connect(
    address: SocketAddr,
    plan: &Plan,
    works: &[Box<dyn Work>],
) -> Result<Vec<Vec<Connection>>, String> {
    let mut lots: Vec<Vec<Connection>> = works.iter().map(|_| Vec::new()).collect();
    for number in 0..plan.connections {
        let index = number % works.len();
        let (Some(lot), Some(work)) = (lots.get_mut(index), works.get(index)) else {
            return Err("no work to do".to_owned());
        };
        let stream = greeted(address, work.as_ref())
            .map_err(|error| format!("connection {} to {address}: {error}", number + 1))?;
        lot.push(Connection::new(stream, work.framing()));
    }
    Ok(lots)
}

fn greeted(address: SocketAddr, work: &dyn Work) -> std::io::Result<std::net::TcpStream> {
    let mut client = Client::framed(address, work.framing().of_one())?;
    for (request, expected) in work.greeting() {
        let reply = client.ask(&request)?;
        if !reply.starts_with(expected) {
            let text = String::from_utf8_lossy(&reply).into_owned();
            return Err(std::io::Error::other(text));
        }
    }
    client.into_stream()
}

fn sleep_until(time: Instant, failed: &AtomicBool, stop: &Stop) {
    loop {
        if stop.is_wished() {
            failed.store(true, Ordering::Relaxed);
        }
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() || failed.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(left.min(GLANCE));
    }
}

impl Outcome {
    fn of(parts: Vec<engine::Part>, answered: u64) -> Result<Self, String> {
        let mut parts = parts.into_iter();
        let first = parts.next().ok_or("no work to do")?;
        let mut whole = Self {
            latencies: first.latencies,
            lateness: first.lateness,
            answered,
            client_busy: first.busy,
        };
        for part in parts {
            whole.latencies.add(&part.latencies)?;
            whole
                .lateness
                .add(&part.lateness)
                .map_err(|e| e.to_string())?;
            whole.client_busy = whole.client_busy.max(part.busy);
        }
        Ok(whole)
    }
}
