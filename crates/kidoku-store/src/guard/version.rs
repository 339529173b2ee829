//! The engine's files that are written more than once under the same name: in each keyspace `current`,
//! which names the version that counts, and the version that a write which failed has left behind, as
//! the next one gets its number.
//!
//! So their guards may be those of earlier contents, up to the moment at which they are renewed, and are
//! believed only where `current` and the version it names, of which it has a hash, do not fit together;
//! and then only what makes them fit. Nobody reads these files but whoever opens the store, so they are
//! looked at then and not in between.

use super::dir::Guards;
use super::{Guard, wide};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use xxhash_rust::xxh3::xxh3_128;

/// The engine's file that says which version counts.
const CURRENT: &str = "current";

/// Its bytes: the version's number, the hash of its file, and which hash that is.
const NUMBER_BYTES: usize = 8;
const SUM_BYTES: usize = 16;
const XXH3: [u8; 1] = [0];

/// Whether a file, by its path in the store, says which version counts.
pub(super) fn is_current(file: &str) -> bool {
    name(file) == CURRENT
}

/// Whether a file is a version.
pub(super) fn is_version(file: &str) -> bool {
    let number = name(file).strip_prefix('v');
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a file never changes under its name.
pub(super) fn is_written_once(file: &str) -> bool {
    !is_current(file) && !is_version(file)
}

fn name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// What the file `current` of a keyspace names: a version file, and the hash of it.
fn named(current: &str, bytes: &[u8]) -> Option<(String, [u8; SUM_BYTES])> {
    let (number, rest) = bytes.split_first_chunk::<NUMBER_BYTES>()?;
    let (sum, kind) = rest.split_first_chunk::<SUM_BYTES>()?;
    let dir = current.strip_suffix(CURRENT)?;
    let version = format!("{dir}v{}", u64::from_le_bytes(*number));
    (*kind == XXH3).then_some((version, *sum))
}

fn write(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)?;
    file.set_len(wide(bytes.len()))?;
    file.sync_all()
}

impl Guards {
    /// Looks whether `current` names a sound version, and gives back what is rotten of both. False =
    /// nothing that can be had of them fits together; then they are as they were.
    pub(super) fn look_at_current(&self, file: &str) -> io::Result<bool> {
        let (guard, Some(opened)) = (self.guard(file)?, self.open(file)?) else {
            return Ok(false);
        };
        let bytes = fs::read(self.store.join(file))?;
        if self.names_sound(file, &bytes)? {
            self.look_at_guard(file, guard, &opened)?;
            return Ok(true);
        }
        if let Some(earlier) = guard.and_then(|guard| guard.mend_bytes(&bytes))
            && self.names_sound(file, &earlier)?
        {
            write(&opened, &earlier)?;
            self.note_mended(file);
            return Ok(true);
        }
        self.rot.note(
            |report| report.blocks_lost += 1,
            format!("store/{file} does not name a sound version of the store"),
        );
        Ok(false)
    }

    /// Whether `current` with these bytes names a version that is as it was written, or can be made so.
    fn names_sound(&self, current: &str, bytes: &[u8]) -> io::Result<bool> {
        let Some((version, sum)) = named(current, bytes) else {
            return Ok(false);
        };
        let Some(opened) = self.open(&version)? else {
            return Ok(false);
        };
        let guard = self.guard(&version)?;
        let content = fs::read(self.store.join(&version))?;
        let is_named = |content: &[u8]| xxh3_128(content).to_le_bytes() == sum;
        if is_named(&content) {
            self.look_at_guard(&version, guard, &opened)?;
            return Ok(true);
        }
        let mended = guard.and_then(|guard| guard.mend_bytes(&content));
        let Some(mended) = mended.filter(|mended| is_named(mended)) else {
            return Ok(false);
        };
        write(&opened, &mended)?;
        self.note_mended(&version);
        Ok(true)
    }

    fn note_mended(&self, file: &str) {
        self.rot.note(
            |report| report.blocks_mended += 1,
            format!("store/{file} had a rotten block, which was given back; nothing is lost"),
        );
    }

    /// Whether the guard of a sound file is as it should be, rotten, or that of an earlier content.
    fn look_at_guard(&self, file: &str, guard: Option<Guard>, opened: &File) -> io::Result<()> {
        let now = Guard::of(opened)?;
        match guard {
            Some(guard) if guard == now => self.note_known(file, opened),
            Some(guard) if guard.is_of_same(&now) => self.drop_bad_guard(file),
            // It will be renewed.
            Some(_) | None => Ok(()),
        }
    }
}
