//! Which bits flip.

use crate::random::Random;
use std::fmt;
use std::fs;
use std::path::Path;

/// One bit of one file.
#[derive(Clone, Debug)]
pub(super) struct Flip {
    /// Its path in the data directory.
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) bit: u32,
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte {} bit {}", self.file, self.offset, self.bit)
    }
}

/// All files with something in them, by their paths, with the number of bytes that were written.
pub(super) fn files(dir: &Path) -> Result<Vec<(String, u64)>, String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(next) = dirs.pop() {
        let entries = fs::read_dir(&next).map_err(|error| error.to_string())?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let bytes = fs::read(&path).map_err(|error| error.to_string())?;
            // The engine's journal is made longer than what is in it.
            let written = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            let name = path
                .strip_prefix(dir)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            if written > 0 && name != "serve.out" {
                found.push((name, u64::try_from(written).unwrap_or(u64::MAX)));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// At least one flip in each file, in turn in the beginning, the end and anywhere; the others in
/// files drawn at random.
pub(super) fn choose(
    dir: &Path,
    files: &[(String, u64)],
    count: usize,
    seed: u64,
) -> Result<Vec<Flip>, String> {
    if files.is_empty() {
        return Err(format!("{}: nothing to flip", dir.display()));
    }
    let mut random = Random::new(seed);
    let mut flips = Vec::new();
    let length = u64::try_from(files.len()).unwrap_or(u64::MAX);
    while flips.len() < count.max(files.len()) {
        let at = match files.get(flips.len()) {
            Some(_) => flips.len(),
            None => usize::try_from(random.below(length)).unwrap_or(0),
        };
        let (file, written) = &files[at];
        let near = random.below(64.min(*written));
        let offset = match random.below(4) {
            0 => near,
            1 => written - 1 - near,
            _ => random.below(*written),
        };
        flips.push(Flip {
            file: file.clone(),
            offset,
            bit: u32::try_from(random.below(8)).unwrap_or(0),
        });
    }
    Ok(flips)
}
