//! Reading the facts of a batch.

use super::Batch;
use crate::Layers;
use kidoku_core::fact::codec::{DecodeError, decode_parts};
use kidoku_core::fact::{FactKey, Value};

/// Facts merged under one lock: loads wait no longer than that takes.
const CHUNK_FACTS: usize = 256;

/// What became of the facts of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// Facts that are in the overlay.
    pub(super) good: u64,
    /// Facts that could not be read.
    pub(super) bad: u64,
    /// What is wrong with the first of those, and where.
    pub(super) first_error: Option<String>,
    /// Bytes of the active overlay.
    pub(super) active_bytes: usize,
}

/// Merges a batch into the active overlay. What does not decode is counted and left out.
pub(super) fn merge_batch(layers: &Layers, batch: &Batch) -> Merged {
    let mut merged = Merged::default();
    let mut chunk: Vec<(FactKey<'_>, Value)> = Vec::with_capacity(CHUNK_FACTS);
    let mut rest: &[u8] = &batch.bytes;
    while !rest.is_empty() {
        let fact = match split_fact(rest) {
            Some((fact, after)) => {
                rest = after;
                decode_parts(fact)
            }
            None => {
                rest = &[];
                Err(DecodeError::Truncated)
            }
        };
        match fact {
            Ok(parts) => {
                merged.good += 1;
                chunk.push(parts);
            }
            Err(error) => {
                let lsn = batch.first_lsn + merged.good + merged.bad;
                merged.bad += 1;
                merged.first_error.get_or_insert_with(|| {
                    format!("the fact {lsn} of the log does not decode: {error}")
                });
            }
        }
        if chunk.len() >= CHUNK_FACTS {
            layers.merge_all(&mut chunk);
        }
    }
    merged.active_bytes = layers.merge_all(&mut chunk);
    // Facts that a damaged length has hidden.
    let missing = batch.count.saturating_sub(merged.good + merged.bad);
    if missing > 0 {
        merged.bad += missing;
        merged.first_error.get_or_insert_with(|| {
            format!(
                "{missing} facts up to {} of the log are missing",
                batch.last_lsn
            )
        });
    }
    merged
}

/// Merges facts into the active overlay, without account; those that do not decode are left out.
/// Bytes of the overlay then.
pub(super) fn merge_facts<'a>(layers: &Layers, facts: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut chunk: Vec<(FactKey<'_>, Value)> = Vec::with_capacity(CHUNK_FACTS);
    for parts in facts.filter_map(|fact| decode_parts(fact).ok()) {
        chunk.push(parts);
        if chunk.len() >= CHUNK_FACTS {
            layers.merge_all(&mut chunk);
        }
    }
    layers.merge_all(&mut chunk)
}

/// The first fact, without its length, and what follows.
pub(super) fn split_fact(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}
