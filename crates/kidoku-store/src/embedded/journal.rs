//! fjall's journal between two processes: emptied, never read.
//!
//! fjall refuses to open a store whose journal has a rotten bit, or takes the bit for the journal's
//! end and drops the rest without a word. Nothing in it is needed: the log is cut only after the
//! tables have everything. It may not be missing, though, for then fjall does not look for the
//! highest sequence number of its tables.

use std::fs::{self, File};
use std::io;
use std::path::Path;

const ENDING: &str = ".jnl";

/// Leaves one empty journal, if there is a store.
pub(super) fn empty(store: &Path) -> io::Result<()> {
    if !store.exists() {
        return Ok(());
    }
    let mut newest = 0;
    for entry in fs::read_dir(store)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(number) = name.strip_suffix(ENDING) else {
            continue;
        };
        newest = newest.max(number.parse().unwrap_or(0_u64));
        fs::remove_file(entry.path())?;
    }
    let journal = File::create(store.join(format!("{newest}{ENDING}")))?;
    journal.sync_all()?;
    File::open(store)?.sync_all()
}
