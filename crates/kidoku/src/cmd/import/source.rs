//! Reads a file or standard input, unpacks it, and cuts it into chunks of whole lines.

use super::is_standard_input;
use super::replay::Replay;
use super::resume::State;
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

    /// Reads to the end and hands over all lines that `state` has not settled. Ends early when nobody
    /// takes the chunks any more.
    pub(super) fn read_all(mut self, state: State, to: &SyncSender<Item>) {
        let mut cutter = Cutter::new(state);
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
    gather: Gather,
}

/// What a cutter is filling.
struct Gather {
    /// Lines up to this one are settled.
    after: u64,
    /// In the first chunks of a resumed import, whose lines may come twice; `None` after them.
    replay: Option<Replay>,
    /// How many of these are left.
    replayed_chunks: u32,
    chunk: Chunk,
}

/// Chunks that hold all lines of the one that was on its way when the import was interrupted: it
/// began at the same line, but what [`Replay`] adds may spread it over two.
const REPLAYED_CHUNKS: u32 = 2;

impl Cutter {
    fn new(state: State) -> Self {
        let gather = Gather {
            after: state.line,
            replay: state.resumed.then(Replay::default),
            replayed_chunks: REPLAYED_CHUNKS,
            chunk: Chunk::default(),
        };
        Self {
            lines: Lines::default(),
            gather,
        }
    }

    /// Takes a piece of the input. `None` = nobody takes chunks any more.
    fn push(&mut self, piece: &[u8], to: &SyncSender<Item>) -> Option<()> {
        self.lines.push(piece);
        while let Some(line) = self.lines.next_line() {
            self.gather.take(line, to)?;
        }
        Some(())
    }

    fn finish(mut self, to: &SyncSender<Item>) {
        let last = match self.lines.finish() {
            Some(line) => self.gather.take(line, to),
            None => Some(()),
        };
        if last.is_some() {
            // Whoever has gone does not need the rest.
            let _sent = self.gather.flush(to);
        }
    }

    fn flush(&mut self, to: &SyncSender<Item>) -> Option<()> {
        self.gather.flush(to)
    }
}

impl Gather {
    fn take(&mut self, line: Line<'_>, to: &SyncSender<Item>) -> Option<()> {
        match line {
            Line::TooLong { number } if number <= self.after => {}
            Line::TooLong { number } => {
                self.chunk.last_line = number;
                self.chunk.too_long.push(number);
            }
            Line::Text { number, bytes } if number <= self.after => {
                if let Some(replay) = &mut self.replay {
                    replay.skip(bytes);
                }
            }
            Line::Text { number, bytes } if is_blank(bytes) => self.chunk.last_line = number,
            Line::Text { number, bytes } => self.take_text(number, bytes),
        }
        if self.chunk.is_full() {
            self.flush(to)
        } else {
            Some(())
        }
    }

    fn take_text(&mut self, number: u64, bytes: &[u8]) {
        let instead = self
            .replay
            .as_mut()
            .map(|replay| replay.lines(bytes))
            .unwrap_or_default();
        if instead.is_empty() {
            self.chunk.add(number, bytes);
        }
        for line in &instead {
            self.chunk.add(number, line);
        }
    }

    fn flush(&mut self, to: &SyncSender<Item>) -> Option<()> {
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.marks.is_empty() && chunk.too_long.is_empty() {
            return Some(());
        }
        self.replayed_chunks = self.replayed_chunks.saturating_sub(1);
        if self.replayed_chunks == 0 {
            self.replay = None;
        }
        to.send(Item::Chunk(chunk)).ok()
    }
}

impl Chunk {
    fn add(&mut self, line: u64, bytes: &[u8]) {
        self.last_line = line;
        self.body.extend_from_slice(bytes);
        self.body.push(b'\n');
        self.marks.push(Mark {
            line,
            end: self.body.len(),
        });
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
