//! A client that behaves: two hundred requests a second, one at a time, and how long each took, without
//! the time in which something else on the machine had the processor.

use super::machine::p99;
use super::queue::Queue;
use crate::wire::{Client, Value};
use std::time::{Duration, Instant};

/// Between one request and the next.
const INTERVAL: Duration = Duration::from_millis(5);

/// How long the client's requests took.
#[derive(Debug, Default)]
pub(super) struct Felt {
    /// Numbers, which the core alone answers.
    pub(super) counts: Took,
    /// Acks, which wait for the log as well.
    pub(super) acks: Took,
    /// Requests answered with `BUSY`.
    pub(super) busy: usize,
    pub(super) asked: usize,
}

/// How long requests of a kind took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    pub(super) p99: Duration,
    pub(super) median: Duration,
    pub(super) most: Duration,
}

impl Took {
    fn of(mut took: Vec<Duration>) -> Self {
        let p99 = p99(&mut took);
        Self {
            p99,
            median: took.get(took.len() / 2).copied().unwrap_or_default(),
            most: took.last().copied().unwrap_or_default(),
        }
    }
}

/// Asks for `time`, counts and acks in turn.
///
/// # Errors
/// An answer that is neither what was asked for nor `BUSY`.
pub(super) fn ask(
    client: &mut Client,
    queue: &Queue,
    first_id: u32,
    time: Duration,
) -> Result<Felt, String> {
    let begun = Instant::now();
    let (mut counts, mut acks) = (Vec::new(), Vec::new());
    let mut felt = Felt::default();
    let mut next = begun;
    for number in 0_u32.. {
        let now = Instant::now();
        if now.duration_since(begun) >= time {
            break;
        }
        std::thread::sleep(next.saturating_duration_since(now));
        let id = first_id + number;
        let waited = queue.waited();
        let asked = Instant::now();
        let (reply, took) = if number % 2 == 0 {
            (client.command(&["KD.COUNT", "good", "c0"]), &mut counts)
        } else {
            let ack = ["KD.ACK", "good", "c0", &id.to_string()];
            (client.command(&ack), &mut acks)
        };
        let elapsed = asked.elapsed();
        took.push(elapsed.saturating_sub(queue.waited().saturating_sub(waited)));
        match reply {
            Value::Error(text) if text.starts_with("BUSY ") => felt.busy += 1,
            Value::Error(text) => return Err(format!("the good client was told: {text}")),
            _ => {}
        }
        next = (asked + INTERVAL).max(Instant::now());
    }
    felt.asked = counts.len() + acks.len();
    felt.counts = Took::of(counts);
    felt.acks = Took::of(acks);
    Ok(felt)
}
