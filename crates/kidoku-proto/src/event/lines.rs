//! Cuts a stream of bytes into lines, whatever the borders of the pieces it comes in.

use kidoku_core::limits::EVENT_LINE_BYTES_MAX;

/// A cutter; holds at most one unfinished line.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Where the current line begins in the buffer.
    start: usize,
    /// How far the current line has been searched for its end.
    searched: usize,
    /// The rest of a line that is too long is being dropped.
    skipping: bool,
    number: u64,
}

/// A line of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its line end.
    Text {
        /// From 1.
        number: u64,
        /// The line.
        bytes: &'a [u8],
    },
    /// A line over [`EVENT_LINE_BYTES_MAX`]; its bytes are gone.
    TooLong {
        /// From 1.
        number: u64,
    },
}

impl Lines {
    /// Adds a piece of the stream. Take every line out with [`Self::next_line`] before the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole line, if there is one.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
                self.searched = self.buffer.len();
                return self.unfinished();
            };
            let (start, end) = (self.start, self.searched + length);
            self.start = end + 1;
            self.searched = self.start;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            self.number += 1;
            return Some(self.line(start, end));
        }
    }

    /// What stands after the last line end, once the stream is over.
    pub fn finish(&mut self) -> Option<Line<'_>> {
        let (start, end) = (self.start, self.buffer.len());
        self.start = end;
        self.searched = end;
        if std::mem::take(&mut self.skipping) || start == end {
            return None;
        }
        self.number += 1;
        Some(self.line(start, end))
    }

    /// Bytes held until their line is whole.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Lines begun so far.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn unfinished(&mut self) -> Option<Line<'_>> {
        if self.skipping {
            self.start = self.buffer.len();
            return None;
        }
        // One byte more for a carriage return that belongs to the line end.
        if self.buffer.len() - self.start <= EVENT_LINE_BYTES_MAX + 1 {
            return None;
        }
        self.start = self.buffer.len();
        self.skipping = true;
        self.number += 1;
        Some(Line::TooLong {
            number: self.number,
        })
    }

    fn line(&self, start: usize, end: usize) -> Line<'_> {
        let bytes = self.buffer.get(start..end).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.len() > EVENT_LINE_BYTES_MAX {
            return Line::TooLong {
                number: self.number,
            };
        }
        Line::Text {
            number: self.number,
            bytes,
        }
    }
}
