//! Answering while the log is replayed: where in it the facts of each partition are.
//!
//! Merging a log takes seconds. A load does not wait for that: it merges what the rest of the log has
//! of its own partition, and reads then. Whatever is merged twice that way is the same as once.

use super::Batch;
use super::merge::split_fact;
use super::threads::Job;
use kidoku_core::effect::Load;
use kidoku_core::fact::codec::decode_key;
use kidoku_core::id::{ChannelKey, UserKey};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A partition by its hash. Of two with the same one each merges the other's facts too, which is
/// harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PartitionHash(u64);

impl PartitionHash {
    fn new(is_user: bool, app: &str, owner: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (is_user, app, owner).hash(&mut hasher);
        Self(hasher.finish())
    }

    fn of_user(user: &UserKey) -> Self {
        Self::new(true, user.app_str(), user.name())
    }

    fn of_channel(channel: &ChannelKey) -> Self {
        Self::new(false, channel.app_str(), channel.name())
    }

    /// The partition that is all a job reads; `None` = it reads several.
    fn of_job(job: &Job) -> Option<Self> {
        match job {
            Job::Load { load, .. } => match load {
                Load::User(user) | Load::Detail { user, .. } => Some(Self::of_user(user)),
                Load::Channel(channel) | Load::Message { channel, .. } => {
                    Some(Self::of_channel(channel))
                }
                // The roster is made of the rows of its users, and their floors count.
                Load::Receipts { .. } => None,
            },
            Job::Scan { .. } => None,
        }
    }
}

/// The facts of a batch: of whom, and where. What does not decode is of nobody.
#[derive(Debug)]
pub(super) struct Contents(Vec<(PartitionHash, u32)>);

impl Contents {
    pub(super) fn of(batch: &Batch) -> Self {
        let mut facts = Vec::new();
        let mut rest: &[u8] = &batch.bytes;
        while let Some((fact, after)) = split_fact(rest) {
            let offset = u32::try_from(batch.bytes.len() - rest.len());
            rest = after;
            if let (Ok(key), Ok(offset)) = (decode_key(fact), offset) {
                let partition = PartitionHash::new(key.is_of_user(), key.app, key.owner);
                facts.push((partition, offset));
            }
        }
        Self(facts)
    }
}

/// Where a fact is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Batches before its own, of those that were ever added.
    batch: u32,
    /// Where in the batch, in bytes.
    offset: u32,
    /// The number of the place before it of the same partition, from 1 on; 0 = it is the first.
    before: u32,
}

/// The part of the log that is not merged yet.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Replayed batches in the queue; they are its first.
    replayed: u64,
    /// Their bytes.
    bytes: usize,
    /// Their facts.
    facts: u64,
    /// Bytes of all batches in the queue, replayed or not.
    texts: VecDeque<Arc<[u8]>>,
    /// Batches that were in there and are merged.
    merged: u32,
    places: Vec<Place>,
    /// The number of the last place of each partition.
    last: HashMap<PartitionHash, u32>,
}

/// What the rest of the log has of a partition.
#[derive(Debug)]
pub(super) struct Pull {
    partition: PartitionHash,
    /// The number of the last place in it.
    last: u32,
    facts: Vec<(Arc<[u8]>, u32)>,
}

impl Pull {
    /// The facts, each after its length as in a batch.
    pub(super) fn facts(&self) -> impl Iterator<Item = &[u8]> {
        self.facts.iter().filter_map(|(text, offset)| {
            let offset = usize::try_from(*offset).ok()?;
            split_fact(text.get(offset..)?).map(|(fact, _)| fact)
        })
    }
}

impl Replay {
    pub(super) fn is_over(&self) -> bool {
        self.replayed == 0
    }

    /// Bytes of the replayed batches.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Facts of the replayed batches.
    pub(super) fn facts(&self) -> u64 {
        self.facts
    }

    /// A replayed batch is queued.
    pub(super) fn add(&mut self, batch: &Batch, contents: &Contents) {
        self.replayed += 1;
        self.bytes += batch.bytes.len();
        self.facts += batch.count;
        self.note(batch, contents);
    }

    /// A batch is queued behind replayed ones.
    pub(super) fn note(&mut self, batch: &Batch, contents: &Contents) {
        let number = u32::try_from(self.texts.len()).map(|waiting| self.merged + waiting);
        let Ok(batch_number) = number else { return };
        self.texts.push_back(Arc::clone(&batch.bytes));
        for (partition, offset) in &contents.0 {
            let last = self.last.entry(*partition).or_default();
            self.places.push(Place {
                batch: batch_number,
                offset: *offset,
                before: *last,
            });
            *last = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        }
    }

    /// True when a job can be answered before everything is merged.
    pub(super) fn serves(&self, job: &Job) -> bool {
        !self.is_over() && PartitionHash::of_job(job).is_some()
    }

    /// What a job has to merge first; `None` = nothing.
    pub(super) fn pull(&self, job: &Job) -> Option<Pull> {
        let partition = PartitionHash::of_job(job)?;
        let last = *self.last.get(&partition)?;
        let (mut number, mut facts) = (last, Vec::new());
        while let Some(place) = self.place(number) {
            // Those before it are merged too.
            let Some(waiting) = place.batch.checked_sub(self.merged) else {
                break;
            };
            let text = self.texts.get(usize::try_from(waiting).ok()?)?;
            facts.push((Arc::clone(text), place.offset));
            number = place.before;
        }
        Some(Pull {
            partition,
            last,
            facts,
        })
    }

    fn place(&self, number: u32) -> Option<Place> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.places.get(index).copied()
    }

    /// A pull is merged, so the next job of the partition need not do it again.
    pub(super) fn pulled(&mut self, pull: &Pull) {
        if self.last.get(&pull.partition) == Some(&pull.last) {
            self.last.remove(&pull.partition);
        }
    }

    /// A batch was merged; true when it was a replayed one. With the last of them goes what was
    /// noted, which takes a while to free: the caller drops it outside of its lock.
    pub(super) fn merged(&mut self, batch: &Batch) -> (bool, Option<Self>) {
        if self.is_over() {
            return (false, None);
        }
        self.replayed -= 1;
        self.bytes -= batch.bytes.len();
        self.facts -= batch.count;
        self.texts.pop_front();
        self.merged += 1;
        let over = self.is_over().then(|| std::mem::take(self));
        (true, over)
    }
}
