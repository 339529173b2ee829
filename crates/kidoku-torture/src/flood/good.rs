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
}

impl Felt {
    /// How many requests there were.
    pub(super) fn asked(&self) -> usize {
        self.counts.all.len() + self.acks.all.len()
    }

    /// What was felt at another time as well.
    pub(super) fn add(&mut self, other: Self) {
        self.counts.all.extend(other.counts.all);
        self.acks.all.extend(other.acks.all);
        self.busy += other.busy;
    }
}

/// How long each request of a kind took.
#[derive(Clone, Debug, Default)]
pub(super) struct Took {
    all: Vec<Duration>,
}

impl Took {
    #[cfg(test)]
    pub(super) fn of(all: impl Iterator<Item = Duration>) -> Self {
        Self { all: all.collect() }
    }

    /// The p99, the median and the longest.
    pub(super) fn summary(&mut self) -> [Duration; 3] {
        let p99 = p99(&mut self.all);
        let median = self.all.get(self.all.len() / 2).copied();
        let most = self.all.last().copied();
        [p99, median.unwrap_or_default(), most.unwrap_or_default()]
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
            (
                client.command(&["KD.COUNT", "good", "c0"]),
                &mut felt.counts,
            )
        } else {
            let ack = ["KD.ACK", "good", "c0", &id.to_string()];
            (client.command(&ack), &mut felt.acks)
        };
        let elapsed = asked.elapsed();
        took.all
            .push(elapsed.saturating_sub(queue.waited().saturating_sub(waited)));
        match reply {
            Value::Error(text) if text.starts_with("BUSY ") => felt.busy += 1,
            Value::Error(text) => return Err(format!("the good client was told: {text}")),
            _ => {}
        }
        next = (asked + INTERVAL).max(Instant::now());
    }
    Ok(felt)
}
