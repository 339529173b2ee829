//! Looking for what is damaged in the store of a stopped server, and accepting that it is lost.

use super::data_dir::DataDir;
use super::{StartError, StorageFault};
use crate::config::Config;
use kidoku_store::{Embedded, EmbeddedOptions, Repair, StoreError};
use std::io;

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
}

/// Opens the store as a start does, which gives back what guards can, and looks at every row.
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
    let rows = match damage {
        Damage::List => store.survey(),
        Damage::Accept => store.accept_loss(),
    };
    let rows = rows.map_err(fault)?;
    let notes = store.rot().report().notes;
    Ok(Found { notes, rows })
}
