//! The request parser: an array of bulk strings, or an inline line. Arguments are borrowed from the
//! caller's buffer. It goes on where it stopped when more bytes arrive, allocates nothing on behalf
//! of a length that was only declared, and never recurses.

use super::inline;
use crate::error::CommandError;

/// What a request may be at most. All of it is refused before memory is spent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of one request, the command's name included.
    pub args_max: usize,
    /// Bytes of one argument.
    pub bulk_bytes_max: usize,
    /// Bytes of an inline line without its end.
    pub inline_bytes_max: usize,
    /// Bytes of a whole request on the wire, so that many arguments of the longest kind do not add
    /// up.
    pub request_bytes_max: usize,
    /// When these limits hold, for the text of errors.
    pub scope: &'static str,
}

impl Limits {
    /// For a connection that has given no key. The longest thing it needs to say is
    /// `HELLO 3 AUTH app key SETNAME name`, of 7 arguments.
    pub const BEFORE_AUTH: Self = Self {
        args_max: 10,
        bulk_bytes_max: 8 * 1024,
        inline_bytes_max: 8 * 1024,
        request_bytes_max: 16 * 1024,
        scope: "before authentication",
    };

    /// For a connection with a key. The longest command is `KD.MACK` with 1,000 channels and opaque
    /// ids of 128 bytes each, some 270 KiB.
    pub const AFTER_AUTH: Self = Self {
        args_max: 16 * 1024,
        bulk_bytes_max: 64 * 1024,
        inline_bytes_max: 64 * 1024,
        request_bytes_max: 1024 * 1024,
        scope: "in one request",
    };
}

/// Places kept in memory between requests; what a larger request needed is given back after it.
const SPANS_KEPT: usize = 256;
/// Bytes of unquoted inline words kept in memory between requests.
const INLINE_BYTES_KEPT: usize = 4 * 1024;
/// Digits of a length: enough for every limit, few enough not to overflow.
const LENGTH_DIGITS_MAX: usize = 10;

/// Where an argument stands: from `start` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The arguments of one request, the command's name first. Never empty. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// How many there are, the name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True when there is none, which the parser never hands out.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at an index; 0 is the command's name.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        self.bytes.get(span.start..span.end)
    }

    /// The command's name.
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// All from an index on.
    pub fn iter_from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        let spans = self.spans.get(index..).unwrap_or_default();
        spans
            .iter()
            .map(move |span| bytes.get(span.start..span.end).unwrap_or_default())
    }
}

/// What is in the buffer.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// Not yet a whole request: call again with the same bytes and more behind them.
    Incomplete,
    /// A request.
    Command {
        /// Its arguments.
        args: Args<'a>,
        /// Bytes of the buffer it took.
        consumed: usize,
    },
    /// An empty line or an empty array: nothing to do, nothing to answer.
    Empty {
        /// Bytes of the buffer it took.
        consumed: usize,
    },
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// More arguments than [`Limits::args_max`].
    TooManyArgs {
        /// The limit.
        max: usize,
    },
    /// An argument over [`Limits::bulk_bytes_max`].
    BulkTooLong {
        /// The limit.
        max: usize,
    },
    /// A line over [`Limits::inline_bytes_max`].
    InlineTooLong {
        /// The limit.
        max: usize,
    },
    /// A request over [`Limits::request_bytes_max`].
    RequestTooLong {
        /// The limit.
        max: usize,
    },
    /// An array inside an array.
    Nested,
    /// An argument that does not begin with `$`.
    NotABulk(u8),
    /// A length below 0.
    NegativeLength,
    /// A length that is not decimal digits.
    BadLength,
    /// CR LF is not where it must be.
    NoLineEnd,
    /// An inline word whose quote does not close, or goes on after it closed.
    UnbalancedQuotes,
    /// An HTTP request. A web page can make a browser send one to any port, with a body of inline
    /// commands, so nothing after its first line may be read.
    Http,
}

/// Bytes that are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// What is wrong.
    pub fault: Fault,
    /// When these limits hold; see [`Limits::scope`].
    scope: &'static str,
    /// `Some` = drop so many bytes and go on; `None` = it is not known where the next request
    /// begins: answer with the error and close.
    pub consumed: Option<usize>,
}

impl ProtocolError {
    /// The error to answer with.
    pub fn error(&self) -> CommandError {
        let scope = self.scope;
        let most = |what: &str, max: usize, unit: &str, name: &str| {
            CommandError::limit(format!(
                "protocol error: {what}, at most {max} {unit} are allowed {scope} ({name})"
            ))
        };
        let syntax = |text: &'static str| CommandError::syntax(format!("protocol error: {text}"));
        match self.fault {
            Fault::TooManyArgs { max } => most("too many arguments", max, "arguments", "args_max"),
            Fault::BulkTooLong { max } => {
                most("an argument is too long", max, "bytes", "bulk_bytes_max")
            }
            Fault::InlineTooLong { max } => most(
                "an inline line is too long",
                max,
                "bytes",
                "inline_bytes_max",
            ),
            Fault::RequestTooLong { max } => {
                most("a request is too long", max, "bytes", "request_bytes_max")
            }
            Fault::Nested => syntax("an array inside an array, a request has bulk strings only"),
            Fault::NotABulk(byte) => CommandError::syntax(format!(
                "protocol error: expected '$', got '{}'",
                byte.escape_ascii()
            )),
            Fault::NegativeLength => syntax("a length is negative"),
            Fault::BadLength => syntax("a length is not a decimal number"),
            Fault::NoLineEnd => syntax("CR LF is missing"),
            Fault::UnbalancedQuotes => syntax("unbalanced quotes in an inline line"),
            Fault::Http => syntax("this port speaks RESP, not HTTP"),
        }
    }
}

/// Where the parser stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before the first byte of a request.
    Fresh,
    /// In an array: `left` arguments are missing, the next begins at `at`.
    Array { left: usize, at: usize },
    /// In a line: no line end before `scanned`.
    Inline { scanned: usize },
}

/// Parses the requests of one connection.
#[derive(Debug)]
pub struct Parser {
    stage: Stage,
    spans: Vec<Span>,
    /// The words of an inline line without their quotes.
    unquoted: Vec<u8>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser before the first byte of a connection.
    pub fn new() -> Self {
        Self {
            stage: Stage::Fresh,
            spans: Vec::new(),
            unquoted: Vec::new(),
        }
    }

    /// Looks at a buffer that begins with the first byte of a request. After
    /// [`Parsed::Incomplete`] it must be given the same bytes again, with more behind them; what was
    /// seen is not looked at again.
    ///
    /// # Errors
    /// When the bytes are no request or over a limit; whether the connection can go on is in
    /// [`ProtocolError::consumed`].
    pub fn parse<'a>(
        &'a mut self,
        buffer: &'a [u8],
        limits: &Limits,
    ) -> Result<Parsed<'a>, ProtocolError> {
        if self.stage == Stage::Fresh {
            self.forget();
            match buffer.first() {
                None => return Ok(Parsed::Incomplete),
                Some(b'*') => {}
                Some(_) => self.stage = Stage::Inline { scanned: 0 },
            }
        }
        let result = match self.stage {
            Stage::Inline { scanned } => self.inline(buffer, scanned, limits),
            Stage::Fresh => self.array_start(buffer, limits),
            Stage::Array { left, at } => self.array(buffer, left, at, limits),
        };
        match result {
            Ok(None) => Ok(Parsed::Incomplete),
            Ok(Some((consumed, source))) => {
                self.stage = Stage::Fresh;
                if self.spans.is_empty() {
                    return Ok(Parsed::Empty { consumed });
                }
                let bytes = match source {
                    Source::Buffer => buffer,
                    Source::Unquoted => &self.unquoted,
                };
                Ok(Parsed::Command {
                    args: Args {
                        bytes,
                        spans: &self.spans,
                    },
                    consumed,
                })
            }
            Err((fault, consumed)) => {
                self.stage = Stage::Fresh;
                Err(ProtocolError {
                    fault,
                    scope: limits.scope,
                    consumed,
                })
            }
        }
    }

    /// Drops the last request, and the memory that only an unusual one needs.
    fn forget(&mut self) {
        self.spans.clear();
        self.unquoted.clear();
        if self.spans.capacity() > SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
        if self.unquoted.capacity() > INLINE_BYTES_KEPT {
            self.unquoted.shrink_to(INLINE_BYTES_KEPT);
        }
    }

    fn array_start(&mut self, buffer: &[u8], limits: &Limits) -> Progress {
        let too_many = Fault::TooManyArgs {
            max: limits.args_max,
        };
        match length(buffer, 1, limits.args_max, too_many) {
            Ok(None) => Ok(None),
            Ok(Some((left, at))) => self.array(buffer, left, at, limits),
            Err(fault) => close(fault),
        }
    }

    fn array(&mut self, buffer: &[u8], left: usize, at: usize, limits: &Limits) -> Progress {
        let (mut left, mut at) = (left, at);
        let too_long = Fault::BulkTooLong {
            max: limits.bulk_bytes_max,
        };
        while left > 0 {
            self.stage = Stage::Array { left, at };
            match buffer.get(at) {
                None => return Ok(None),
                Some(b'$') => {}
                Some(b'*') => return close(Fault::Nested),
                Some(byte) => return close(Fault::NotABulk(*byte)),
            }
            let (bytes, start) = match length(buffer, at + 1, limits.bulk_bytes_max, too_long) {
                Ok(None) => return Ok(None),
                Ok(Some(found)) => found,
                Err(fault) => return close(fault),
            };
            let end = start + bytes;
            if end + 2 > limits.request_bytes_max {
                return close(Fault::RequestTooLong {
                    max: limits.request_bytes_max,
                });
            }
            match buffer.get(end..end + 2) {
                None => return Ok(None),
                Some(b"\r\n") => self.spans.push(Span { start, end }),
                Some(_) => return close(Fault::NoLineEnd),
            }
            at = end + 2;
            left -= 1;
        }
        Ok(Some((at, Source::Buffer)))
    }

    fn inline(&mut self, buffer: &[u8], scanned: usize, limits: &Limits) -> Progress {
        let too_long = Fault::InlineTooLong {
            max: limits.inline_bytes_max,
        };
        let unseen = buffer.get(scanned..).unwrap_or_default();
        let Some(found) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.stage = Stage::Inline {
                scanned: buffer.len(),
            };
            // One byte more may be the CR of the line's end.
            let over = buffer.len() > limits.inline_bytes_max + 1;
            return if over { close(too_long) } else { Ok(None) };
        };
        let consumed = scanned + found + 1;
        let line = buffer.get(..consumed - 1).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limits.inline_bytes_max {
            return close(too_long);
        }
        inline::split(line, limits.args_max, &mut self.unquoted, &mut self.spans)
            .map_err(|fault| (fault, Some(consumed)))?;
        if is_http(Args {
            bytes: &self.unquoted,
            spans: &self.spans,
        }) {
            return close(Fault::Http);
        }
        Ok(Some((consumed, Source::Unquoted)))
    }
}

/// Where the arguments' bytes are.
#[derive(Clone, Copy, Debug)]
enum Source {
    Buffer,
    Unquoted,
}

/// `None` = incomplete; else the bytes taken. A fault comes with the bytes to drop if that is known.
type Progress = Result<Option<(usize, Source)>, (Fault, Option<usize>)>;

fn close(fault: Fault) -> Progress {
    Err((fault, None))
}

/// Reads the digits of a length from `at` and their CR LF: the length and where it ends. `None` =
/// not all there yet.
fn length(
    buffer: &[u8],
    at: usize,
    max: usize,
    over: Fault,
) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0_usize;
    let unread = buffer.get(at..).unwrap_or_default();
    for (index, &byte) in unread.iter().enumerate() {
        match byte {
            b'0'..=b'9' if index == LENGTH_DIGITS_MAX => return Err(over),
            b'0'..=b'9' => {
                value = value
                    .saturating_mul(10)
                    .saturating_add(usize::from(byte - b'0'));
            }
            b'\r' if index > 0 => {
                return match unread.get(index + 1) {
                    None => Ok(None),
                    Some(b'\n') if value > max => Err(over),
                    Some(b'\n') => Ok(Some((value, at + index + 2))),
                    Some(_) => Err(Fault::NoLineEnd),
                };
            }
            b'-' if index == 0 => return Err(Fault::NegativeLength),
            _ => return Err(Fault::BadLength),
        }
    }
    Ok(None)
}

/// True for the first line of an HTTP request, and for a header of one.
fn is_http(words: Args<'_>) -> bool {
    let version = words.get(2).unwrap_or_default();
    (words.len() == 3 && version.starts_with(b"HTTP/"))
        || words.name().eq_ignore_ascii_case(b"post")
        || words.name().eq_ignore_ascii_case(b"host:")
}

#[cfg(test)]
mod tests;
