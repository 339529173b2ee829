//! Reads a file or standard input, unpacks it, and cuts it into chunks of whole lines.

use super::is_standard_input;
use crate::cmd::error::{CmdError, DATA};
use flate2::bufread::MultiGzDecoder;
use kidoku_core::limits::EVENT_LINE_BYTES_MAX;
use kidoku_proto::event::{Line, Lines, is_blank};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

/// Lines of one request: a few milliseconds of work for the server, so that little is sent twice
/// after an interruption.
const CHUNK_LINES_MAX: usize = 4_096;
/// Bytes of one request; one line more may be on top.
const CHUNK_BYTES_MAX: usize = 4 << 20;
/// Bytes taken at a time, before and after unpacking.
const PIECE_BYTES: usize = 256 << 10;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whole lines, for one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The lines, each with its line end, blank ones left out.
    pub(super) body: Vec<u8>,
    /// Of each line in the body: its number in the file and where it ends in the body.
    pub(super) marks: Vec<Mark>,
    /// Lines that are longer than any line may be: their numbers. They are not in the body.
    pub(super) too_long: Vec<u64>,
    /// The number of the last line the chunk has dealt with, blank ones included.
    pub(super) last_line: u64,
}

/// One line of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its number in the file, from 1.
    pub(super) line: u64,
    /// Where it ends in the body, its line end included.
    pub(super) end: usize,
}

/// What the reader hands over.
#[derive(Debug)]
pub(super) enum Item {
    /// Lines.
    Chunk(Chunk),
    /// The input ends before its end. Nothing comes after this.
    Broken(CmdError),
}

/// An opened input.
pub(super) struct Source {
    name: PathBuf,
    file_bytes: Option<u64>,
    reader: Box<dyn Read + Send>,
}

/// Counts what passes.
struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count
            .fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
        Ok(read)
    }
}

impl Source {
    /// Opens a file, or standard input for `-`. `read_bytes` counts what is read of it, as it lies on
    /// disk.
    pub(super) fn open(path: &Path, read_bytes: Arc<AtomicU64>) -> Result<Self, CmdError> {
        let failed = |error: &io::Error| CmdError::file(path, error);
        let (file_bytes, reader): (_, Box<dyn Read + Send>) = if is_standard_input(path) {
            (None, Box::new(io::stdin()))
        } else {
            let file = File::open(path).map_err(|error| failed(&error))?;
            let metadata = file.metadata().map_err(|error| failed(&error))?;
            if metadata.is_dir() {
                return Err(CmdError::new(
                    DATA,
                    format!("{}: is a directory", path.display()),
                ));
            }
            (metadata.is_file().then_some(metadata.len()), Box::new(file))
        };
        let counting = Counting {
            inner: reader,
            count: read_bytes,
        };
        let reader = unpacked(counting).map_err(|error| failed(&error))?;
        Ok(Self {
            name: path.to_path_buf(),
            file_bytes,
            reader,
        })
    }

    /// Bytes of the file; `None` when that can not be known.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.file_bytes
    }

    /// Reads to the end and hands over all lines after number `after`. Ends early when nobody takes
    /// the chunks any more.
    pub(super) fn read_all(mut self, after: u64, to: &SyncSender<Item>) {
        let mut cutter = Cutter {
            lines: Lines::default(),
            after,
            chunk: Chunk::default(),
        };
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.reader.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => {
                    if cutter
                        .push(piece.get(..read).unwrap_or_default(), to)
                        .is_none()
                    {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // The beginning of a line whose end is missing is not a line.
                    let broken = self.broken(&error, cutter.lines.number());
                    if cutter.flush(to).is_some() {
                        // Whoever has gone does not need to know.
                        let _sent = to.send(Item::Broken(broken));
                    }
                    return;
                }
            }
        }
        cutter.finish(to);
    }

    fn broken(&self, error: &io::Error, line: u64) -> CmdError {
        let reason = match error.kind() {
            ErrorKind::UnexpectedEof => "the compressed file is cut off".to_owned(),
            _ => error.to_string(),
        };
        let name = self.name.display();
        let text = format!("{name}: {reason}; nothing after line {line} could be read");
        CmdError::new(DATA, text)
    }
}

/// Finds out by the first bytes how the input is packed, whatever its name.
fn unpacked(reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut first = Vec::with_capacity(ZSTD_MAGIC.len());
    let mut reader = reader;
    // A pipe may give one byte at a time.
    reader.by_ref().take(4).read_to_end(&mut first)?;
    let (gzip, zstd) = (
        first.starts_with(&GZIP_MAGIC),
        first.starts_with(&ZSTD_MAGIC),
    );
    let whole = BufReader::with_capacity(PIECE_BYTES, io::Cursor::new(first).chain(reader));
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else if zstd {
        Box::new(zstd::stream::read::Decoder::with_buffer(whole)?)
    } else {
        Box::new(whole)
    })
}

/// Gathers lines into chunks.
struct Cutter {
    lines: Lines,
    after: u64,
    chunk: Chunk,
}

impl Cutter {
    /// Takes a piece of the input. `None` = nobody takes chunks any more.
    fn push(&mut self, piece: &[u8], to: &SyncSender<Item>) -> Option<()> {
        self.lines.push(piece);
        while let Some(line) = self.lines.next_line() {
            self.chunk.take(line, self.after);
            if self.chunk.is_full() {
                to.send(Item::Chunk(std::mem::take(&mut self.chunk))).ok()?;
            }
        }
        Some(())
    }

    fn finish(mut self, to: &SyncSender<Item>) {
        if let Some(line) = self.lines.finish() {
            self.chunk.take(line, self.after);
        }
        // Whoever has gone does not need the rest.
        let _sent = self.flush(to);
    }

    fn flush(&mut self, to: &SyncSender<Item>) -> Option<()> {
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.marks.is_empty() && chunk.too_long.is_empty() {
            return Some(());
        }
        to.send(Item::Chunk(chunk)).ok()
    }
}

impl Chunk {
    fn take(&mut self, line: Line<'_>, after: u64) {
        match line {
            Line::Text { number, .. } | Line::TooLong { number } if number <= after => {}
            Line::Text { number, bytes } => {
                self.last_line = number;
                if is_blank(bytes) {
                    return;
                }
                self.body.extend_from_slice(bytes);
                self.body.push(b'\n');
                self.marks.push(Mark {
                    line: number,
                    end: self.body.len(),
                });
            }
            Line::TooLong { number } => {
                self.last_line = number;
                self.too_long.push(number);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.marks.len() + self.too_long.len() >= CHUNK_LINES_MAX
            || self.body.len() >= CHUNK_BYTES_MAX
    }
}

/// Why a line of [`Chunk::too_long`] is refused.
pub(super) fn too_long_reason() -> String {
    format!("the line is longer than {EVENT_LINE_BYTES_MAX} bytes")
}
