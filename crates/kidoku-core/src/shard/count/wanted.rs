//! Which channels a count is about, in the order of their names.

use crate::id::ChannelKey;
use crate::shard::interner::{ChannelIndex, Parent};
use crate::shard::{Shard, User};
use std::cell::LazyCell;
use std::collections::BTreeSet;

/// Which channels are counted.
pub(in crate::shard) enum Wanted<'a> {
    /// These, and the threads of these.
    Channels(&'a [ChannelKey]),
    /// All the user is in, and these.
    All(&'a [ChannelKey]),
    /// These, of which the user has rows, in the order of their names; and the threads of these.
    Listed(&'a [ChannelIndex]),
}

impl Wanted<'_> {
    fn keys(&self) -> &[ChannelKey] {
        match self {
            Self::Channels(keys) | Self::All(keys) => keys,
            Self::Listed(_) => &[],
        }
    }

    fn listed(&self) -> &[ChannelIndex] {
        match self {
            Self::Listed(listed) => listed,
            Self::Channels(_) | Self::All(_) => &[],
        }
    }
}

impl Shard {
    /// What to count, sorted by channel: what is wanted, and what is or may be a thread of it. Channels
    /// of which nobody here has a row have no number.
    pub(super) fn chosen(
        &self,
        known: &User,
        wanted: &Wanted<'_>,
    ) -> Vec<(ChannelKey, Option<ChannelIndex>)> {
        let mut indexes = wanted.listed().to_vec();
        let mut strangers = Vec::new();
        for key in wanted.keys() {
            match self.interner.find(key) {
                Some(index) => indexes.push(index),
                None => strangers.push((key.clone(), None)),
            }
        }
        self.add_members(known, wanted, &mut indexes);
        let mut chosen = Vec::with_capacity(indexes.len() + strangers.len());
        for index in indexes {
            if let Some(channel) = self.interner.key(index) {
                chosen.push((channel.clone(), Some(index)));
            }
        }
        if !strangers.is_empty() {
            chosen.append(&mut strangers);
            chosen.sort_unstable();
            chosen.dedup();
        }
        chosen
    }

    /// Adds what the user is in to the channels that are wanted and have a number here, as far as it has
    /// to be asked about too, and puts all into the order of their names.
    fn add_members(&self, known: &User, wanted: &Wanted<'_>, indexes: &mut Vec<ChannelIndex>) {
        let (listed, keys) = (wanted.listed(), wanted.keys());
        let names = LazyCell::new(|| self.names_of(listed, keys));
        let is_wanted = |index: &ChannelIndex| match (wanted, self.interner.parent(*index)) {
            (Wanted::All(_), _) | (_, Parent::Unknown) => true,
            (_, Parent::Known(Some(parent))) => names.contains(parent.as_str()),
            (_, Parent::Known(None)) => false,
        };
        let asked = indexes.len();
        indexes.extend(known.members().filter(is_wanted));
        if indexes.len() > asked || listed.is_empty() {
            self.interner.sort(indexes);
            indexes.dedup();
        }
    }

    fn names_of<'a>(
        &'a self,
        listed: &[ChannelIndex],
        keys: &'a [ChannelKey],
    ) -> BTreeSet<&'a str> {
        let listed = listed.iter().filter_map(|index| self.interner.key(*index));
        listed.chain(keys).map(ChannelKey::name).collect()
    }
}
