//! Stores to test, and short ways to make facts.

use kidoku_core::clock::Clock;
use kidoku_core::fact::{Cursor, Fact, Membership, MessageRow, Posted, StateRow};
use kidoku_core::id::{App, ChannelKey, MessageId, Name, NameKind, Position, UserKey};
use kidoku_store::{Embedded, EmbeddedOptions, Entry, Layers, Memory, Overlay, Pace, Store, flush};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory that goes away with the value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kidoku-store-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn open(&self) -> Arc<dyn Store> {
        self.open_with(EmbeddedOptions::default().table_rows_min)
    }

    /// A store whose flushes write tables from so many rows on.
    pub(crate) fn open_with(&self, table_rows_min: usize) -> Arc<dyn Store> {
        let options = EmbeddedOptions {
            cache_bytes: 1024 * 1024,
            table_rows_min,
        };
        Arc::new(Embedded::open(self.path(), options).unwrap())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What can't be removed is left to the system's cleaning of temporary files.
        let mut guards = self.0.as_os_str().to_owned();
        guards.push(".guards");
        drop(std::fs::remove_dir_all(&self.0));
        drop(std::fs::remove_dir_all(guards));
    }
}

/// A store under test, with its directory if it has one.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn Store>,
    _directory: Option<Directory>,
}

pub(crate) fn memory() -> Fixture {
    Fixture {
        store: Arc::new(Memory::new()),
        _directory: None,
    }
}

/// The embedded store, with a table for each flush.
pub(crate) fn tables() -> Fixture {
    let directory = Directory::new();
    Fixture {
        store: directory.open_with(1),
        _directory: Some(directory),
    }
}

pub(crate) fn embedded() -> Fixture {
    let directory = Directory::new();
    Fixture {
        store: directory.open(),
        _directory: Some(directory),
    }
}

impl Fixture {
    /// The store alone.
    pub(crate) fn layers(&self) -> Layers {
        Layers::new(Arc::clone(&self.store))
    }

    /// Merges facts into the store as they are, without looking for stale ones.
    pub(crate) fn apply(&self, facts: &[Fact]) {
        let overlay = overlay(facts);
        let group: Vec<Entry<'_>> = overlay.range(&[], &[u8::MAX]).collect();
        self.store.apply(&group).unwrap();
    }

    /// Merges facts into the store as the checkpoint does.
    pub(crate) fn flush(&self, facts: &[Fact]) {
        flush(
            &*self.store,
            &overlay(facts),
            Clock::NEVER,
            &Pace::unhindered(),
        )
        .unwrap();
    }

    /// Every row, as text.
    pub(crate) fn dump(&self) -> Vec<String> {
        let rows = self.store.range(&[], &[u8::MAX], usize::MAX).unwrap();
        rows.iter()
            .map(|(key, row)| format!("{} {row:?}", key.escape_ascii()))
            .collect()
    }
}

pub(crate) fn overlay(facts: &[Fact]) -> Overlay {
    let mut overlay = Overlay::default();
    facts.iter().for_each(|fact| overlay.merge(fact));
    overlay
}

pub(crate) fn user(name: &str) -> UserKey {
    UserKey::new(&App::default_app(), name).unwrap()
}

pub(crate) fn channel(name: &str) -> ChannelKey {
    ChannelKey::new(&App::default_app(), name).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(NameKind::User, text).unwrap()
}

pub(crate) fn id(id: u64) -> MessageId {
    MessageId::new(id).unwrap()
}

pub(crate) fn message(in_channel: &str, number: u64) -> Fact {
    let posted = Some(Posted::default());
    let row = MessageRow {
        posted,
        ..MessageRow::default()
    };
    Fact::Message {
        channel: channel(in_channel),
        id: id(number),
        row,
    }
}

pub(crate) fn ack(who: &str, in_channel: &str, up_to: u64) -> Fact {
    let position = Position(up_to);
    let cursor = Cursor {
        era: Clock::NEVER,
        position,
    };
    let row = StateRow {
        cursor,
        public: position,
        ..StateRow::default()
    };
    Fact::State {
        user: user(who),
        channel: channel(in_channel),
        row,
    }
}

pub(crate) fn join(who: &str, in_channel: &str, from: u64) -> Fact {
    let membership = Some(Membership {
        clock: Clock(1),
        member: true,
        from: Position(from),
    });
    let row = StateRow {
        membership,
        ..StateRow::default()
    };
    Fact::State {
        user: user(who),
        channel: channel(in_channel),
        row,
    }
}

pub(crate) fn mention(who: &str, in_channel: &str, number: u64) -> Fact {
    let (user, channel) = (user(who), channel(in_channel));
    Fact::Mention {
        user,
        channel,
        incarnation: Clock::NEVER,
        id: id(number),
    }
}

pub(crate) fn own(who: &str, in_channel: &str, number: u64) -> Fact {
    let (user, channel) = (user(who), channel(in_channel));
    Fact::Own {
        user,
        channel,
        incarnation: Clock::NEVER,
        id: id(number),
    }
}
