//! One opened fjall database, and opening it once more after it has given up writing.
//!
//! After a write or sync that failed, fjall refuses every other write until it is opened again, and
//! rightly so: what the kernel kept of the failed write is unknown, and a sync that succeeds later
//! says nothing about it. So its journal is never written again either. Before the database is
//! reopened, the next journal is begun beside it: fjall then takes the old one as sealed, reads what
//! it can, puts that into tables, and removes it. If the power goes before that, the old journal may
//! end at the failed write, behind which nothing was ever called durable.

use super::{BLOCK_BYTES, JOURNAL_BYTES_MAX, MEMTABLE_BYTES};
use fjall::config::{BlockSizePolicy, CompressionPolicy, PartitioningPolicy};
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode,
};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Threads that write and merge tables. The first of them leaves merging to the others, and as long as
/// all others are at it, it hands each new request for it to itself, round and round: with two of them, which is
/// fjall's default on two cores, that took a fifth of all processor time of a server under load.
const WORKERS: usize = 4;

/// Tables that may wait to be written before a new group is taken. fjall itself would wait at four,
/// and for ever when the threads that write them have given up.
const TABLES_WAITING_MAX: usize = 2;

/// Sorted runs of tables that may wait to be merged before a new one is written. Each is one more that a
/// look-up may have to ask; fjall merges them from four on, and has writers wait from thirty on.
const RUNS_MAX: usize = 16;

/// How often it is looked whether tables were written.
const TABLES_PAUSE: Duration = Duration::from_millis(5);

/// Bytes written to see whether the disk takes them, before a database that can still be read is
/// closed. Enough to begin with; if more is missing, the same happens again.
const PROBE_BYTES: usize = 1 << 20;

/// The file they are written to.
const PROBE: &str = "probe.tmp";

/// An open database with its two keyspaces.
pub(super) struct Engine {
    pub(super) db: Database,
    pub(super) rows: Keyspace,
    pub(super) meta: Keyspace,
}

impl Engine {
    /// Opens the database, or makes an empty one.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> fjall::Result<Self> {
        let db = Database::builder(path)
            .cache_size(cache_bytes)
            .manual_journal_persist(true)
            .worker_threads(WORKERS)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()?;
        let rows = db.keyspace("rows", || {
            KeyspaceCreateOptions::default()
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                // Whole, those of a big table are megabytes, which the cache does not take: each read
                // would fetch them from the file.
                .filter_block_partitioning_policy(PartitioningPolicy::all(true))
                .index_block_partitioning_policy(PartitioningPolicy::all(true))
                .max_memtable_size(MEMTABLE_BYTES)
        })?;
        let meta = db.keyspace("meta", KeyspaceCreateOptions::default)?;
        Ok(Self { db, rows, meta })
    }

    /// Has fjall write what it has in memory to tables, and waits for that.
    pub(super) fn write_tables(&self) -> fjall::Result<()> {
        for keyspace in [&self.rows, &self.meta] {
            keyspace.rotate_memtable()?;
        }
        while self.rows.tree.sealed_memtable_count() + self.meta.tree.sealed_memtable_count() > 0 {
            // Fails when it has given up writing.
            self.db.persist(PersistMode::Buffer)?;
            sleep(TABLES_PAUSE);
        }
        Ok(())
    }

    /// Writes rows to fjall's journal and memory.
    pub(super) fn write_batch<'a>(
        &self,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> fjall::Result<()> {
        self.wait_for_room()?;
        let mut batch = self.db.batch();
        for (key, value) in rows {
            batch.insert(&self.rows, key, value);
        }
        batch.commit()
    }

    /// Writes rows with rising keys to tables, durably, all or none.
    pub(super) fn write_table<'a>(
        &self,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> fjall::Result<()> {
        while self.rows.tree.l0_run_count() >= RUNS_MAX {
            // Fails when it has given up writing.
            self.db.persist(PersistMode::Buffer)?;
            sleep(TABLES_PAUSE);
        }
        // What is in its memory is older. fjall would write that too, but forget to give back the memory
        // it keeps account of.
        self.write_tables()?;
        let mut ingestion = self.rows.start_ingestion()?;
        for (key, value) in rows {
            ingestion.write(key, value)?;
        }
        ingestion.finish()
    }

    /// Waits until fjall can take a group without waiting itself.
    pub(super) fn wait_for_room(&self) -> fjall::Result<()> {
        while self.db.outstanding_flushes() >= TABLES_WAITING_MAX {
            // Fails when it has given up writing.
            self.db.persist(PersistMode::Buffer)?;
            sleep(TABLES_PAUSE);
        }
        Ok(())
    }
}

/// Whether the disk takes a file in this directory.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    let name = path.join(PROBE);
    let written = File::create(&name).and_then(|mut file| {
        file.write_all(&vec![1; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&name);
    written.and(removed)
}

/// Begins a new journal beside the newest one of a closed database, unless that is empty.
pub(super) fn begin_journal(path: &Path) -> io::Result<()> {
    let mut newest = None;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jnl"));
        let number = number.and_then(|number| number.parse::<u64>().ok());
        newest = newest.max(number);
    }
    let Some(newest) = newest else {
        return Ok(());
    };
    if fs::metadata(journal(path, newest))?.len() == 0 {
        return Ok(());
    }
    File::create_new(journal(path, newest + 1))?.sync_all()?;
    File::open(path)?.sync_all()
}

fn journal(path: &Path, number: u64) -> std::path::PathBuf {
    path.join(format!("{number}.jnl"))
}
