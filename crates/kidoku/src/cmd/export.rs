//! `kidoku export [FILE|-]`: writes all facts of an app as JSON Lines.

use super::args::Server;
use super::error::{CmdError, UNAVAILABLE};
use super::out;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Write all facts of an app as JSON Lines, to be imported anywhere in any order
///
/// A file that ends in .gz or .zst is packed. The file appears under its name only when it is whole.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The file, or - for standard output
    #[arg(default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    server: Server,
}

const PIECE_BYTES: usize = 256 << 10;

impl Export {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        let client = self.server.client()?;
        let mut facts = client.get("/v1/events")?;
        if self.file.as_os_str() == "-" {
            let mut stdout = io::stdout().lock();
            copy(&mut facts, &mut stdout, &|error| out::output_error(&error))?;
            return Ok(());
        }
        let lines = to_file(&mut facts, &self.file)?;
        out::print(&format!(
            "exported {} facts to {}\n",
            out::grouped(lines),
            self.file.display()
        ))
    }
}

/// Copies everything; says how many lines it was.
fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    failed: &dyn Fn(io::Error) -> CmdError,
) -> Result<u64, CmdError> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut lines = 0_u64;
    loop {
        let read = from.read(&mut piece).map_err(|error| {
            CmdError::new(
                UNAVAILABLE,
                format!("the server broke off after {lines} facts: {error}"),
            )
        })?;
        if read == 0 {
            break;
        }
        let bytes = piece.get(..read).unwrap_or_default();
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
        lines += u64::try_from(ends).unwrap_or_default();
        to.write_all(bytes).map_err(failed)?;
    }
    to.flush().map_err(failed)?;
    Ok(lines)
}

/// Writes under another name first, so that a file of the right name is never half of one.
pub(super) fn to_file(facts: &mut impl Read, path: &Path) -> Result<u64, CmdError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = to_part(facts, path, &part);
    match written {
        Ok(lines) => {
            fs::rename(&part, path).map_err(|error| CmdError::file(path, &error))?;
            Ok(lines)
        }
        Err(error) => {
            // It may not even have been made.
            let _removed = fs::remove_file(&part);
            Err(error)
        }
    }
}

fn to_part(facts: &mut impl Read, path: &Path, part: &Path) -> Result<u64, CmdError> {
    let failed = |error: io::Error| CmdError::file(part, &error);
    let file = File::create(part).map_err(failed)?;
    let buffered = BufWriter::with_capacity(PIECE_BYTES, file);
    let (lines, buffered) = match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => {
            let mut packer = GzEncoder::new(buffered, flate2::Compression::default());
            let lines = copy(facts, &mut packer, &failed)?;
            (lines, packer.finish().map_err(failed)?)
        }
        Some("zst") => {
            let mut packer = zstd::stream::write::Encoder::new(buffered, 0).map_err(failed)?;
            let lines = copy(facts, &mut packer, &failed)?;
            (lines, packer.finish().map_err(failed)?)
        }
        _ => {
            let mut buffered = buffered;
            (copy(facts, &mut buffered, &failed)?, buffered)
        }
    };
    let file = buffered
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(lines)
}
