//! What a seed decides: sizes, fault rates, and what happens when.

use super::disk::DiskFaults;
use super::process::Setup;
use super::store::StoreFaults;
use crate::random::Random;
use crate::workload::{Op, history};
use kidoku_core::clock::Millis;
use std::fmt;

/// Who does what at the same time, which decides what can be checked of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Requests wait for one another inside the server, so that every reply has one right answer.
    OneAtATime,
    /// Requests overlap. Every number is checked when all is quiet.
    Overlapping,
    /// Two processes with a log each over one store take requests for the same users and channels.
    TwoOwners,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The power goes: what is not synced may be lost.
    Power,
    /// The process is killed: what was written stays with the system.
    Kill,
    /// It stops in order.
    Stop,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A client asks.
    Op(Op),
    /// A process ends, after so many steps more.
    End(End, u32),
    /// The disk is full, or has room again.
    Full(bool),
    /// The wall clock jumps: true = forward, by so many milliseconds.
    Jump(bool, u64),
    /// All faults end, everything under way comes to its end, and every number is counted.
    Rest,
}

/// What happens, and what decides what happens beside it.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Wall time, before jumps.
    pub now: Millis,
    /// Seeds the scheduler and the faults until the next event, so that an event that is left out
    /// changes as little as possible.
    pub dice: u64,
    /// Which process, of two.
    pub owner: usize,
    /// What happens.
    pub act: Act,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} owner {} ", self.now.0, self.owner)?;
        match &self.act {
            Act::Op(op) => write!(f, "{op:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// How a world is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// See [`Mode`].
    pub mode: Mode,
    /// Of every process.
    pub setup: Setup,
    /// Of every disk, while faults are on.
    pub disk: DiskFaults,
    /// Of the store, while faults are on.
    pub store: StoreFaults,
    /// Packets lost, in a hundred.
    pub net_drop: u64,
    /// Packets that arrive twice, in a hundred.
    pub net_twice: u64,
    /// Starts at which a bit of the log has rotted, in a hundred.
    pub rot: u64,
    /// Every load is compared with a fold of all facts.
    pub loads_checked: bool,
    /// Steps, in a hundred, that come with something in the background: ticks, flushes, cuts.
    pub background: u64,
    /// Steps of the scheduler between two events, at most.
    pub steps_max: u64,
    /// Devices that watch.
    pub devices: usize,
    /// Ends of a process with which a row of the store rots, in a hundred.
    pub row_rot: u64,
}

/// Seeds in which rows of the store rot, in a hundred: every eighth.
const ROW_ROT_SEEDS: u64 = 13;

/// Most rates are zero, so that faults come alone as often as together.
fn rate(random: &mut Random, most: u64) -> u64 {
    if random.chance(60) {
        0
    } else {
        1 + random.below(most)
    }
}

fn one_of<T: Copy>(random: &mut Random, choices: &[T], otherwise: T) -> T {
    random.pick(choices).copied().unwrap_or(otherwise)
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(1));
        let random = &mut random;
        // Drawn apart, so that the seeds that were kept before still mean what they meant.
        let later = &mut Random::new(seed ^ 0x6465_7669_6365);
        let rots = Random::new(seed ^ 0x726f_7772_6f74).chance(ROW_ROT_SEEDS);
        let mode = match random.below(10) {
            0..=5 => Mode::OneAtATime,
            6..=7 => Mode::Overlapping,
            _ => Mode::TwoOwners,
        };
        let setup = Setup {
            cores: one_of(random, &[1, 2, 3], 1),
            memory_bytes_max: one_of(random, &[1, 3_000, 20_000, 1 << 30], 1),
            segment_bytes_max: one_of(random, &[200, 1_000, 4_000, 1 << 20], 1),
            overlay_bytes_max: one_of(random, &[4_000, 1 << 20], 1 << 20),
            queue_bytes_max: one_of(random, &[300, 1 << 20, 1 << 20], 1 << 20),
            hash_seed: random.next_u64(),
            owner: 0,
        };
        let faulty = random.chance(75);
        let disk = DiskFaults {
            write: rate(random, 150),
            sync: rate(random, 400),
            create: rate(random, 400),
            sync_dir: rate(random, 400),
            remove: rate(random, 300),
            spoil: rate(random, 600),
        };
        let store = StoreFaults {
            write: rate(random, 500),
            sync: rate(random, 400),
            read: if random.chance(20) { 5 } else { 0 },
        };
        let rot = if random.chance(20) { 40 } else { 0 };
        let mut store = if faulty {
            store
        } else {
            StoreFaults::default()
        };
        if rot > 0 {
            // A flush that is broken off leaves a row without its roster entry, which the log brings
            // back. Where the very record of that row rots, nothing is there to bring it back.
            store.write = 0;
        }
        Self {
            seed,
            mode,
            setup,
            disk: if faulty { disk } else { DiskFaults::default() },
            store,
            net_drop: rate(random, 20),
            net_twice: rate(random, 15),
            rot,
            loads_checked: random.chance(15),
            background: one_of(random, &[5, 15, 40], 15),
            steps_max: one_of(random, &[4, 12, 40], 12),
            devices: if later.chance(50) {
                1 + later.place(3)
            } else {
                0
            },
            row_rot: if rots { 60 } else { 0 },
        }
    }

    /// What happens in the world of a seed.
    pub fn events(&self) -> Vec<Event> {
        let mut random = Random::new(!self.seed);
        let random = &mut random;
        let length = one_of(random, &[16, 32, 56], 32);
        let mut ends = one_of(random, &[0, 6, 15, 35], 6);
        if self.row_rot > 0 {
            // Rows rot where processes end.
            ends = ends.max(15);
        }
        let fills = rate(random, 15);
        let jumps = rate(random, 8);
        let mut events = Vec::new();
        for step in history(self.seed, length) {
            let mut acts = Vec::new();
            if random.chance(ends) {
                let end = match random.below(5) {
                    0..=1 => End::Power,
                    2..=3 => End::Kill,
                    _ => End::Stop,
                };
                let after = u32::try_from(random.below(30)).unwrap_or_default();
                acts.push(Act::End(end, after));
            }
            if random.chance(fills) {
                acts.push(Act::Full(true));
            } else if fills > 0 && random.chance(20) {
                acts.push(Act::Full(false));
            }
            if random.chance(jumps) {
                acts.push(Act::Jump(random.chance(50), random.below(400_000)));
            }
            acts.push(match step.op {
                Op::Restart => Act::End(End::Power, 0),
                Op::Settle => Act::Rest,
                op @ (Op::Ask(_) | Op::AckIn { .. } | Op::Sync { .. }) => Act::Op(op),
            });
            for act in acts {
                events.push(Event {
                    now: step.now,
                    dice: random.next_u64(),
                    owner: random.place(2),
                    act,
                });
            }
        }
        events
    }
}
