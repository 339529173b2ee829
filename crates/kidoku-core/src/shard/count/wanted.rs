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
}

impl Shard {
    /// What to count, sorted by channel: what is wanted, and what is or may be a thread of it. Channels
    /// of which nobody here has a row have no number.
    pub(super) fn chosen(
        &self,
        known: &User,
        wanted: &Wanted<'_>,
    ) -> Vec<(ChannelKey, Option<ChannelIndex>)> {
        let indexes = self.indexes(known, wanted);
        let mut chosen = Vec::with_capacity(indexes.len());
        for index in indexes {
            if let Some(channel) = self.interner.key(index) {
                chosen.push((channel.clone(), Some(index)));
            }
        }
        let strangers = wanted.keys().iter();
        let strangers = strangers.filter(|channel| self.interner.find(channel).is_none());
        let numbered = chosen.len();
        chosen.extend(strangers.map(|channel| (channel.clone(), None)));
        if chosen.len() > numbered {
            chosen.sort_unstable();
            chosen.dedup();
        }
        chosen
    }

    /// The channels to ask about that have a number here, in the order of their names.
    fn indexes(&self, known: &User, wanted: &Wanted<'_>) -> Vec<ChannelIndex> {
        let (listed, keys): (&[_], _) = match wanted {
            Wanted::Listed(listed) => (listed, &[][..]),
            Wanted::Channels(keys) | Wanted::All(keys) => (&[], *keys),
        };
        let names = LazyCell::new(|| self.names_of(listed, keys));
        let is_wanted = |index: &ChannelIndex| match (wanted, self.interner.parent(*index)) {
            (Wanted::All(_), _) | (_, Parent::Unknown) => true,
            (_, Parent::Known(Some(parent))) => names.contains(parent.as_str()),
            (_, Parent::Known(None)) => false,
        };
        let mut indexes = listed.to_vec();
        indexes.extend(keys.iter().filter_map(|key| self.interner.find(key)));
        let asked = indexes.len();
        indexes.extend(known.members().filter(is_wanted));
        if indexes.len() > asked || listed.is_empty() {
            self.interner.sort(&mut indexes);
            indexes.dedup();
        }
        indexes
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
