//! What is behind the shards: the real store with its overlays, beside the plain list of facts that
//! [`loader`](mod@crate::loader) folds. Every load is answered by both, and they must agree.

use crate::loader;
use crate::random::Random;
use kidoku_core::clock::Clock;
use kidoku_core::effect::{Load, Loaded};
use kidoku_core::fact::Fact;
use kidoku_core::id::MessageId;
use kidoku_store::{Layers, Memory, Overlay, Pace, Store, flush};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A log, an overlay that follows it, and a store that follows the overlay.
#[derive(Debug)]
pub struct Backing {
    facts: Vec<Fact>,
    store: Arc<Memory>,
    layers: Layers,
    /// How many facts are in an overlay or the store.
    merged: usize,
    /// How many facts are in the store.
    flushed: usize,
    frozen: Option<(Arc<Overlay>, usize)>,
    random: Random,
}

impl Backing {
    /// Nothing stored yet; `seed` decides when overlays are frozen and flushed.
    pub fn new(seed: u64) -> Self {
        let store = Arc::new(Memory::new());
        Self {
            facts: Vec::new(),
            layers: Layers::new(store.clone()),
            store,
            merged: 0,
            flushed: 0,
            frozen: None,
            random: Random::new(!seed),
        }
    }

    /// The log.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// Appends to the log, emptying `facts`.
    pub fn append(&mut self, facts: &mut Vec<Fact>) {
        self.facts.append(facts);
    }

    /// The overlays are lost, and the log is replayed from the last flush, or from further back.
    pub fn restart(&mut self) {
        self.frozen = None;
        self.layers = Layers::new(self.store.clone());
        self.merged = self.random.place(self.flushed + 1);
        self.merge_up_to(self.facts.len());
    }

    fn merge_up_to(&mut self, end: usize) {
        for fact in self.facts.iter().take(end).skip(self.merged) {
            self.layers.merge(fact);
        }
        self.merged = self.merged.max(end);
    }

    /// Now and then a step towards the store, at any moment between two loads.
    fn checkpoint(&mut self) -> Result<(), String> {
        if !self.random.chance(15) {
            return Ok(());
        }
        if self.frozen.is_none() {
            let merged = self.merged;
            self.frozen = self.layers.freeze().map(|overlay| (overlay, merged));
        }
        let Some((overlay, upto)) = self.frozen.take() else {
            return Ok(());
        };
        // A flush may be done, or be done and not yet known to be.
        if self.random.chance(70) {
            let store: &dyn Store = &*self.store;
            flush(store, &overlay, Clock::NEVER, &Pace::unhindered())
                .map_err(|error| error.to_string())?;
        }
        if self.random.chance(50) {
            let store: &dyn Store = &*self.store;
            flush(store, &overlay, Clock::NEVER, &Pace::unhindered())
                .map_err(|error| error.to_string())?;
            self.layers.drop_frozen();
            self.flushed = upto;
        } else {
            self.frozen = Some((overlay, upto));
        }
        Ok(())
    }

    /// Answers a load from at least `least` facts; later ones may or may not be seen.
    ///
    /// # Errors
    /// When the store fails, or says another thing than a fold of the log.
    pub fn load(&mut self, load: &Load, least: usize) -> Result<Loaded, String> {
        let least = least.max(self.merged);
        let end = least + self.random.place(self.facts.len() - least + 1);
        self.merge_up_to(end);
        self.checkpoint()?;
        let stored = self.layers.load(load).map_err(|error| error.to_string())?;
        let (seen, _) = self.facts.split_at(self.merged);
        same_load(load, &stored, seen)?;
        Ok(stored)
    }
}

/// Whether a store's answer to a load is what a fold of the facts in it gives.
///
/// # Errors
/// The difference.
pub fn same_load(load: &Load, stored: &Loaded, facts: &[Fact]) -> Result<(), String> {
    let folded = loader::answer(facts, load);
    let purged = unauthored(stored);
    let (one, two) = (in_order(stored, &purged), in_order(&folded, &purged));
    if one != two {
        return Err(format!(
            "{load:?}\n  the store says {one:?}\n  the log says   {two:?}"
        ));
    }
    Ok(())
}

/// The messages whose author was erased. A store drops the name when it purges the user, which may
/// be before the owner of the channel has said so.
fn unauthored(loaded: &Loaded) -> BTreeSet<MessageId> {
    let facts = match loaded {
        Loaded::Facts(facts) => facts.as_slice(),
        Loaded::Channel(data) => data.facts.as_slice(),
        Loaded::Receipts(_) => &[],
    };
    let ids = facts.iter().filter_map(|fact| match fact {
        Fact::Message { id, row, .. } if row.unauthored => Some(*id),
        _ => None,
    });
    ids.collect()
}

/// Facts come in no particular order.
fn in_order(loaded: &Loaded, purged: &BTreeSet<MessageId>) -> Loaded {
    let mut loaded = loaded.clone();
    let facts = match &mut loaded {
        Loaded::Facts(facts) => facts,
        Loaded::Channel(data) => &mut data.facts,
        Loaded::Receipts(_) => return loaded,
    };
    for fact in facts.iter_mut() {
        if let Fact::Message { id, row, .. } = fact
            && purged.contains(id)
        {
            row.unauthored = true;
            if let Some(posted) = row.posted.as_mut() {
                posted.author = None;
            }
        }
    }
    facts.sort_by_cached_key(|fact| format!("{fact:?}"));
    loaded
}
