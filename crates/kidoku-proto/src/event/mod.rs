//! Events as JSON Lines: one operation a line, read by `POST /v1/events` and `kidoku import`, written
//! by `GET /v1/events` and `kidoku export`.
//!
//! A line becomes a [`Request`]. A line with `"fact":true` is what an export writes: it is merged as
//! it stands, with its clocks and eras and with no side effect, so that files may be imported in any
//! order, any number of times. Nothing here does I/O or reads a clock.

mod fact;
mod fields;
mod lines;
mod op;
mod write;

pub use lines::{Line, Lines};
pub use write::{fact_to_line, write_fact};

use crate::error::{escape, hide_secrets};
use crate::ids::IdSource;
use fields::Raw;
use kidoku_core::clock::Millis;
use kidoku_core::error::{Code, Error};
use kidoku_core::id::App;
use kidoku_core::request::Request;
use std::fmt;

/// What a line means beside its text.
pub struct Context<'a> {
    /// The app whose data the line is about.
    pub app: &'a App,
    /// How the app's message ids become numbers.
    pub ids: &'a mut dyn IdSource,
    /// The server's clock; eras and clocks far ahead of it are refused.
    pub now: Millis,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("app", self.app)
            .field("now", &self.now)
            .finish()
    }
}

/// A line that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventOp {
    /// Its `op`.
    pub op: Op,
    /// What it asks for; [`Request::Merge`] for a fact.
    pub request: Request,
}

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// The `op` of a line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Op {
            $($(#[$doc])* $variant,)*
        }

        impl Op {
            /// Every op, in the order of the docs.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in the line.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

ops! {
    /// A message was posted.
    Message = "message",
    /// A message was deleted.
    Delete = "delete",
    /// A message's mention list was replaced.
    Edit = "edit",
    /// A user joined a channel.
    Join = "join",
    /// A user left a channel.
    Leave = "leave",
    /// A user read up to a message.
    Ack = "ack",
    /// A user marked unread from a message on.
    Unread = "unread",
    /// A user read everything up to a message, everywhere or in a space.
    AckAll = "ackall",
    /// A user muted a channel.
    Mute = "mute",
    /// A channel's settings.
    Channel = "channel",
    /// A user was given a role, or lost it.
    Role = "role",
    /// A channel was trimmed.
    Trim = "trim",
    /// A user follows a thread, or does not any more.
    Follow = "follow",
    /// Fact only: a message names a user.
    Mention = "mention",
    /// Fact only: a user wrote a message.
    Own = "own",
    /// Fact only: a user was erased.
    Erase = "erase",
    /// Fact only: a channel was dropped.
    Drop = "drop",
    /// Fact only: the place of an opaque id in its channel.
    Opaque = "opaque",
}

/// Why a line was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// What the sender can react to.
    pub code: Code,
    /// What, which field, and the limit.
    pub detail: String,
}

impl LineError {
    /// A line longer than [`EVENT_LINE_BYTES_MAX`](kidoku_core::limits::EVENT_LINE_BYTES_MAX).
    pub fn too_long() -> Self {
        let max = kidoku_core::limits::EVENT_LINE_BYTES_MAX;
        Self::new(Code::Limit, format!("the line is longer than {max} bytes"))
    }

    fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    fn syntax(detail: impl Into<String>) -> Self {
        Self::new(Code::Syntax, detail)
    }

    /// An error of a value, with the field that holds it.
    fn in_field(field: &str, error: &Error) -> Self {
        Self::new(error.code(), format!("field `{field}`: {error}"))
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for LineError {}

/// Reads one line, without its line end.
///
/// # Errors
/// `SYNTAX` for what is not a JSON object of a known op with the fields of that op, `BADID` for ids
/// and names that break a rule, `LIMIT` for too much of something; the detail names the field.
pub fn parse_line(line: &[u8], ctx: &mut Context<'_>) -> Result<EventOp, LineError> {
    if line.len() > kidoku_core::limits::EVENT_LINE_BYTES_MAX {
        return Err(LineError::too_long());
    }
    let mut raw: Raw<'_> = serde_json::from_slice(line).map_err(|error| json_error(&error))?;
    let Some(word) = raw.op.take() else {
        return Err(LineError::syntax("the field `op` is missing"));
    };
    let Some(op) = Op::from_word(&word.0) else {
        return Err(LineError::syntax(format!(
            "unknown op `{}`",
            escape(word.0.as_bytes())
        )));
    };
    raw.time = None;
    let request = if raw.fact.take().unwrap_or(false) {
        Request::Merge {
            fact: fact::build(op, &mut raw, ctx)?,
        }
    } else {
        op::build(op, &mut raw, ctx)?
    };
    if let Some(field) = raw.left_over() {
        let op = op.as_str();
        return Err(LineError::syntax(format!(
            "the field `{field}` is not one of op `{op}`"
        )));
    }
    Ok(EventOp { op, request })
}

/// True for a line that holds nothing and may be skipped.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The error of the JSON reader, without "line 1" (every line is line 1 to it).
fn json_error(error: &serde_json::Error) -> LineError {
    let text = error.to_string();
    LineError::syntax(hide_secrets(&text).replace(" at line 1 column ", " at column "))
}

#[cfg(test)]
mod tests;
