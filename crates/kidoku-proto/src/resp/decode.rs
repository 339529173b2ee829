//! Decodes replies, for the client side: the command line and the tests.

use std::fmt;

/// One RESP value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`
    Status(String),
    /// `-CODE text`, or its bulk form
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$`, and `=` without its format
    Bulk(Vec<u8>),
    /// `_`, `$-1`, `*-1`
    Null,
    /// `#t`
    Boolean(bool),
    /// `,1.5`
    Double(f64),
    /// `(` and its digits
    BigNumber(String),
    /// `*`
    Array(Vec<Value>),
    /// `~`
    Set(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `>`: not an answer to anything
    Push(Vec<Value>),
}

impl Value {
    /// The text of a status or of a string that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Status(text) => Some(text),
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Error(_)
            | Self::Integer(_)
            | Self::Null
            | Self::Boolean(_)
            | Self::Double(_)
            | Self::BigNumber(_)
            | Self::Array(_)
            | Self::Set(_)
            | Self::Map(_)
            | Self::Push(_) => None,
        }
    }

    /// The number in an integer, in a boolean as 0 or 1, or in a string of digits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(value) => u64::try_from(*value).ok(),
            Self::Boolean(value) => Some(u64::from(*value)),
            Self::Bulk(bytes) => kidoku_core::id::parse_decimal(bytes),
            Self::Status(_)
            | Self::Error(_)
            | Self::Null
            | Self::Double(_)
            | Self::BigNumber(_)
            | Self::Array(_)
            | Self::Set(_)
            | Self::Map(_)
            | Self::Push(_) => None,
        }
    }

    /// The values of an array, set or push frame.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => Some(values),
            Self::Status(_)
            | Self::Error(_)
            | Self::Integer(_)
            | Self::Bulk(_)
            | Self::Null
            | Self::Boolean(_)
            | Self::Double(_)
            | Self::BigNumber(_)
            | Self::Map(_) => None,
        }
    }

    /// The value of a key of a map, or of the flat array that stands for a map in RESP2.
    pub fn field(&self, key: &str) -> Option<&Self> {
        if let Self::Map(pairs) = self {
            return pairs
                .iter()
                .find(|(name, _)| name.as_str() == Some(key))
                .map(|(_, value)| value);
        }
        let flat = self.as_list()?.chunks_exact(2);
        flat.map(|pair| (&pair[0], &pair[1]))
            .find(|(name, _)| name.as_str() == Some(key))
            .map(|(_, value)| value)
    }
}

/// Bytes that are no reply, or one over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A type byte that RESP does not have.
    Kind(u8),
    /// A length or number that is not one.
    Number,
    /// CR LF is not where it must be.
    NoLineEnd,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Deeper than [`DEPTH_MAX`].
    TooDeep,
    /// A string over [`BULK_BYTES_MAX`], a line over [`LINE_BYTES_MAX`], or more values than
    /// [`VALUES_MAX`].
    TooLong,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(byte) => write!(f, "no reply begins with '{}'", byte.escape_ascii()),
            Self::Number => f.write_str("a number in a reply is not one"),
            Self::NoLineEnd => f.write_str("CR LF is missing in a reply"),
            Self::NotUtf8 => f.write_str("a status or error is not UTF-8"),
            Self::TooDeep => write!(f, "a reply is nested deeper than {DEPTH_MAX}"),
            Self::TooLong => write!(
                f,
                "a reply has over {BULK_BYTES_MAX} bytes in a string, {LINE_BYTES_MAX} in a line, \
                 or {VALUES_MAX} values"
            ),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Levels of arrays and maps inside one another.
pub const DEPTH_MAX: usize = 16;
/// Bytes of a string.
pub const BULK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a status, error or number without its line end.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Values of one reply: a page of 10,000 read states of some 30 values, with room to grow.
pub const VALUES_MAX: usize = 4 * 1024 * 1024;

/// Finds where replies end, and decodes each when it is whole, so that nothing is read twice when a
/// large one arrives in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    /// Bytes known to be whole values.
    at: usize,
    /// Values seen.
    seen: usize,
    /// Values still missing; 0 before the first byte.
    missing: usize,
    /// No line end from `at` up to here.
    scanned: usize,
}

impl Decoder {
    /// The reply at the beginning of a buffer and the bytes it took. `None` = not whole yet: call
    /// again with the same bytes and more behind them.
    ///
    /// # Errors
    /// When the bytes are no reply; the connection is of no more use.
    pub fn decode(&mut self, buffer: &[u8]) -> Result<Option<(Value, usize)>, DecodeError> {
        if self.at == 0 {
            self.missing = 1;
        }
        while self.missing > 0 {
            let Some(head) = self.head(buffer)? else {
                return Ok(None);
            };
            let (more, bytes) = match head.body {
                Body::None => (0, 0),
                Body::Bytes(bytes) => (0, bytes + 2),
                Body::Values(values) => (values, 0),
            };
            if buffer.len() < head.end + bytes {
                return Ok(None);
            }
            self.seen = self.seen.saturating_add(more);
            if self.seen > VALUES_MAX {
                return Err(DecodeError::TooLong);
            }
            self.at = head.end + bytes;
            self.scanned = self.at;
            self.missing = self.missing - 1 + more;
        }
        let mut at = 0;
        let value = value(buffer, &mut at, 0)?;
        *self = Self::default();
        Ok(Some((value, at)))
    }

    /// The head at `at`, looking for its line end only where nobody has looked.
    fn head<'a>(&mut self, buffer: &'a [u8]) -> Result<Option<Head<'a>>, DecodeError> {
        let unseen = buffer.get(self.scanned..).unwrap_or_default();
        if !unseen.contains(&b'\n') {
            self.scanned = buffer.len().max(self.at);
            let over = self.scanned - self.at > LINE_BYTES_MAX;
            return if over {
                Err(DecodeError::TooLong)
            } else {
                Ok(None)
            };
        }
        head(buffer, self.at)
    }
}

/// What follows a value's first line.
enum Body {
    None,
    Bytes(usize),
    Values(usize),
}

/// A value's first line.
struct Head<'a> {
    kind: u8,
    line: &'a [u8],
    body: Body,
    /// Where the line ends.
    end: usize,
}

fn head(buffer: &[u8], at: usize) -> Result<Option<Head<'_>>, DecodeError> {
    let rest = buffer.get(at..).unwrap_or_default();
    let Some(found) = rest
        .iter()
        .take(LINE_BYTES_MAX + 3)
        .position(|byte| *byte == b'\n')
    else {
        return if rest.len() > LINE_BYTES_MAX + 2 {
            Err(DecodeError::TooLong)
        } else {
            Ok(None)
        };
    };
    let end = at + found + 1;
    let [kind, line @ .., b'\r'] = &rest[..found] else {
        return Err(DecodeError::NoLineEnd);
    };
    let kind = *kind;
    let body = match kind {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Body::None,
        b'$' | b'*' if line == b"-1" => Body::None,
        b'$' | b'=' | b'!' => Body::Bytes(count(line, BULK_BYTES_MAX)?),
        b'*' | b'~' | b'>' => Body::Values(count(line, VALUES_MAX)?),
        b'%' => Body::Values(count(line, VALUES_MAX)? * 2),
        // Attributes: pairs, and then the value they belong to.
        b'|' => Body::Values(count(line, VALUES_MAX)? * 2 + 1),
        other => return Err(DecodeError::Kind(other)),
    };
    Ok(Some(Head {
        kind,
        line,
        body,
        end,
    }))
}

fn count(line: &[u8], max: usize) -> Result<usize, DecodeError> {
    let value = kidoku_core::id::parse_decimal(line).ok_or(DecodeError::Number)?;
    usize::try_from(value)
        .ok()
        .filter(|value| *value <= max)
        .ok_or(DecodeError::TooLong)
}

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| DecodeError::NotUtf8)
}

/// Decodes the value at `at`, which is known to be whole, and moves `at` behind it.
fn value(buffer: &[u8], at: &mut usize, depth: usize) -> Result<Value, DecodeError> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::TooDeep);
    }
    let head = head(buffer, *at)?.ok_or(DecodeError::NoLineEnd)?;
    *at = head.end;
    match head.body {
        Body::None => scalar(head.kind, head.line),
        Body::Bytes(bytes) => {
            let body = buffer.get(head.end..head.end + bytes).unwrap_or_default();
            *at += bytes + 2;
            if buffer.get(*at - 2..*at) != Some(b"\r\n") {
                return Err(DecodeError::NoLineEnd);
            }
            match head.kind {
                b'!' => Ok(Value::Error(text(body)?)),
                b'=' => Ok(Value::Bulk(body.get(4..).unwrap_or_default().to_vec())),
                _ => Ok(Value::Bulk(body.to_vec())),
            }
        }
        Body::Values(len) => {
            // Each value takes 3 bytes or more and is there, so the length is no mere claim.
            let mut values = Vec::with_capacity(len);
            for _ in 0..len {
                values.push(value(buffer, at, depth + 1)?);
            }
            Ok(match head.kind {
                b'~' => Value::Set(values),
                b'>' => Value::Push(values),
                b'%' => Value::Map(pairs(values)),
                b'|' => values.pop().unwrap_or(Value::Null),
                _ => Value::Array(values),
            })
        }
    }
}

fn pairs(values: Vec<Value>) -> Vec<(Value, Value)> {
    let mut values = values.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let (Some(key), Some(value)) = (values.next(), values.next()) {
        pairs.push((key, value));
    }
    pairs
}

fn scalar(kind: u8, line: &[u8]) -> Result<Value, DecodeError> {
    let line = text(line)?;
    Ok(match kind {
        b'+' => Value::Status(line),
        b'-' => Value::Error(line),
        b':' => Value::Integer(line.parse().map_err(|_| DecodeError::Number)?),
        b'#' if line == "t" => Value::Boolean(true),
        b'#' if line == "f" => Value::Boolean(false),
        b'#' => return Err(DecodeError::Number),
        b',' => Value::Double(line.parse().map_err(|_| DecodeError::Number)?),
        b'(' => Value::BigNumber(line),
        _ => Value::Null,
    })
}

/// Appends a command in the form that a client sends: an array of bulk strings.
pub fn encode_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    let mut writer = super::write::Writer::new(out, super::Protocol::Resp2);
    writer.array(args.len());
    for arg in args {
        writer.bulk(arg.as_ref());
    }
}

#[cfg(test)]
mod tests;
