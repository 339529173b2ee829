//! Looking for what is damaged in the store of a stopped server, and accepting that it is lost.

use super::data_dir::DataDir;
use super::{StartError, StorageFault};
use crate::config::Config;
use kidoku_store::{Embedded, EmbeddedOptions, Repair, StoreError};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// What becomes of what is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is listed and left.
    List,
    /// It is accepted as lost: from then on numbers are made of what is left.
    Accept,
}

/// What was found in the store.
#[derive(Clone, Debug)]
pub struct Found {
    /// What was found rotten, and given back or not.
    pub notes: Vec<String>,
    /// The rows.
    pub rows: Repair,
    /// Where the damaged rows are kept as they were; `None` = nothing was changed.
    pub kept: Option<PathBuf>,
}

/// Opens the store as a start does, which gives back what guards can, and looks at every row. What is
/// accepted as lost is kept aside: rows in a file, a store that has to be built again as a whole.
///
/// # Errors
/// When the directory is missing or in use, or the store can not be read or written.
pub fn repair(config: &Config, damage: Damage) -> Result<Found, StartError> {
    let path = config.data_dir.join("store");
    if !path.exists() {
        let error = io::Error::from(io::ErrorKind::NotFound);
        return Err(StartError::Storage(StorageFault::Directory { path, error }));
    }
    let _taken = DataDir::take(&config.data_dir).map_err(StartError::Storage)?;
    let fault = |error: StoreError| StartError::Storage(StorageFault::Engine(error.into()));
    let store = Embedded::open_settled(&path, EmbeddedOptions::default()).map_err(fault)?;
    let rows = store.survey().map_err(fault)?;
    let notes = store.rot().report().notes;
    if damage == Damage::List {
        let kept = None;
        return Ok(Found { notes, rows, kept });
    }
    let store = if rows.unreadable > 0 {
        drop(store);
        Embedded::open_rebuilt(&path, EmbeddedOptions::default()).map_err(fault)?
    } else {
        store
    };
    let mut aside = Aside::of(config);
    let rows = store.accept_loss(&mut |key, value| aside.keep(key, value));
    let rows = rows.map_err(fault)?;
    let mut notes = store.rot().report().notes;
    notes.truncate(NOTES_MAX);
    let kept = aside.file.map(|_| aside.path);
    Ok(Found { notes, rows, kept })
}

/// Sentences that are told.
const NOTES_MAX: usize = 100;

/// A file for rows that can not be read, made when there is one: key and value of each, escaped, on
/// a line.
struct Aside {
    path: PathBuf,
    file: Option<File>,
}

impl Aside {
    fn of(config: &Config) -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = seconds.map_or(0, |since| since.as_secs());
        let name = format!("damaged-rows-{seconds}.txt");
        Self {
            path: config.data_dir.join(name),
            file: None,
        }
    }

    fn keep(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let file = options.create(true).append(true).open(&self.path)?;
                self.file.insert(file)
            }
        };
        writeln!(file, "{}\t{}", key.escape_ascii(), value.escape_ascii())?;
        // Before the row goes.
        file.sync_all()
    }
}
