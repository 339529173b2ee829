//! The one table that says what each error code is in RESP, in HTTP and in the docs, and the error
//! that a refused command carries.

use kidoku_core::error::{Code, Error};
use std::borrow::Cow;
use std::fmt;

/// How one [`Code`] looks to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorRow {
    /// The code.
    pub code: Code,
    /// HTTP status.
    pub http_status: u16,
    /// Seconds after which a retry makes sense; `None` = a retry without a change is in vain.
    pub retry_after_s: Option<u32>,
    /// One line for people; the same for every error of the code.
    pub title: &'static str,
    /// Anchor in the error reference of the docs.
    pub docs_anchor: &'static str,
}

/// One row per code, in the order of [`Code`].
pub static ERRORS: [ErrorRow; 10] = [
    fault(Code::BadId, 400, "An id or name breaks a rule", "badid"),
    fault(Code::NoAuth, 401, "No valid key was given", "noauth"),
    fault(
        Code::NoPerm,
        403,
        "The key or the channel's settings do not allow this",
        "noperm",
    ),
    fault(Code::Limit, 422, "Something is more than a limit", "limit"),
    passing(Code::Busy, 429, 1, "A queue is full, try again", "busy"),
    passing(
        Code::DiskFull,
        507,
        30,
        "Writes are refused, reads go on",
        "diskfull",
    ),
    passing(Code::Moved, 421, 1, "Another node owns this", "moved"),
    passing(
        Code::TryAgain,
        503,
        1,
        "The data is not there yet, try again",
        "tryagain",
    ),
    fault(
        Code::Syntax,
        400,
        "The command or body is not well formed",
        "syntax",
    ),
    fault(Code::Internal, 500, "A fault of the server", "internal"),
];

const fn fault(
    code: Code,
    http_status: u16,
    title: &'static str,
    docs_anchor: &'static str,
) -> ErrorRow {
    ErrorRow {
        code,
        http_status,
        retry_after_s: None,
        title,
        docs_anchor,
    }
}

const fn passing(
    code: Code,
    http_status: u16,
    retry_after_s: u32,
    title: &'static str,
    docs_anchor: &'static str,
) -> ErrorRow {
    ErrorRow {
        code,
        http_status,
        retry_after_s: Some(retry_after_s),
        title,
        docs_anchor,
    }
}

/// The row of a code.
pub fn row(code: Code) -> &'static ErrorRow {
    let index = match code {
        Code::BadId => 0,
        Code::NoAuth => 1,
        Code::NoPerm => 2,
        Code::Limit => 3,
        Code::Busy => 4,
        Code::DiskFull => 5,
        Code::Moved => 6,
        Code::TryAgain => 7,
        Code::Syntax => 8,
        Code::Internal => 9,
    };
    &ERRORS[index]
}

/// The row of a code word such as `BADID`.
pub fn row_of_word(word: &str) -> Option<&'static ErrorRow> {
    ERRORS.iter().find(|row| row.code.as_str() == word)
}

/// Why a command was refused. The text is one line and holds at most 64 escaped characters of what
/// the caller sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// What the caller can react to.
    pub code: Code,
    /// What, which, and the limit.
    pub text: Cow<'static, str>,
    /// First word on the wire where Redis clients look for another one than the code's.
    redis_word: Option<&'static str>,
}

impl CommandError {
    /// An error of a code.
    pub fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
            redis_word: None,
        }
    }

    /// Not well formed.
    pub fn syntax(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Syntax, text)
    }

    /// More than a limit.
    pub fn limit(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Limit, text)
    }

    /// Not well formed, with the word `ERR`: Redis clients match on `ERR unknown command` and the
    /// like to find out what a server can do.
    pub(crate) fn redis(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: Code::Syntax,
            text: text.into(),
            redis_word: Some("ERR"),
        }
    }

    /// `HELLO` with a version that is neither 2 nor 3; Redis clients fall back to RESP2 on the word.
    pub(crate) fn no_protocol() -> Self {
        Self {
            code: Code::Syntax,
            text: Cow::Borrowed("unsupported protocol version, 2 and 3 are"),
            redis_word: Some("NOPROTO"),
        }
    }

    /// The connection has given no key.
    pub fn no_auth() -> Self {
        Self::new(
            Code::NoAuth,
            "authentication required, send AUTH key or HELLO 3 AUTH app key",
        )
    }

    /// The key is not known, was revoked, or is of another app.
    pub fn wrong_key() -> Self {
        Self::new(Code::NoAuth, "the key is not valid for this app")
    }

    /// The key by which the connection was let in is not valid any more; the connection ends.
    pub fn key_ended() -> Self {
        Self::new(
            Code::NoAuth,
            "the key of this connection was revoked or has expired",
        )
    }

    /// `KD.WATCH` on a connection that can not carry push frames.
    pub fn push_needs_resp3() -> Self {
        Self::syntax("KD.WATCH sends push frames, which need RESP3: say HELLO 3 first")
    }

    /// Adds which argument it was (from 1, the command not counted) and what stood there.
    pub(crate) fn at_argument(mut self, index: usize, value: &[u8]) -> Self {
        self.text = format!("{} (argument {index}: '{}')", self.text, escape(value)).into();
        self
    }

    /// The first word on the wire: the code's, or the one Redis clients look for.
    pub fn word(&self) -> &'static str {
        self.redis_word.unwrap_or(self.code.as_str())
    }
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word(), self.text)
    }
}

impl std::error::Error for CommandError {}

/// Characters of caller input that an error text may hold.
pub const ESCAPED_CHARS_MAX: usize = 64;

/// What stands in a text in place of a key or token.
const HIDDEN: &str = "(hidden)";

/// Where a key of ours (`kd_`, eight characters, `_`) or a token (base64 of `{"`) begins. A slip of
/// the keyboard puts one where something else belongs, and errors end up in logs.
fn secret_at(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|at| {
        let rest = bytes.get(*at..).unwrap_or_default();
        (rest.starts_with(b"kd_") && rest.get(11) == Some(&b'_')) || rest.starts_with(b"eyJ")
    })
}

/// A text in which whatever looks like a key or token is hidden.
pub fn hide_secrets(text: &str) -> Cow<'_, str> {
    let Some(at) = secret_at(text.as_bytes()) else {
        return Cow::Borrowed(text);
    };
    let (before, secret) = text.split_at(at);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let after = secret.trim_start_matches(is_part);
    Cow::Owned(format!("{before}{HIDDEN}{}", hide_secrets(after)))
}

/// The beginning of what a caller sent, printable and without line ends: at most
/// [`ESCAPED_CHARS_MAX`] characters, then `...` if there was more. Ends where a key or token begins.
pub fn escape(bytes: &[u8]) -> String {
    escape_max(bytes, ESCAPED_CHARS_MAX)
}

/// The same with room for `max` characters.
pub(crate) fn escape_max(bytes: &[u8], max: usize) -> String {
    let mut text = String::new();
    let secret = secret_at(bytes);
    let shown = bytes.get(..secret.unwrap_or(bytes.len()));
    for &byte in shown.unwrap_or_default() {
        let escaped = byte.escape_ascii();
        if text.len() + escaped.len() > max {
            text.push_str("...");
            return text;
        }
        text.extend(escaped.map(char::from));
    }
    if secret.is_some() {
        text.push_str(HIDDEN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_finds_its_own_row_by_code_and_by_word() {
        for row_expected in &ERRORS {
            assert_eq!(row(row_expected.code), row_expected);
            assert_eq!(row_of_word(row_expected.code.as_str()), Some(row_expected));
            assert_eq!(
                row_expected.docs_anchor,
                row_expected.code.as_str().to_lowercase()
            );
        }
        assert_eq!(row_of_word("ERR"), None);
    }

    #[test]
    fn escaped_input_is_printable_and_bounded() {
        assert_eq!(escape(b"a b"), "a b");
        assert_eq!(escape(b"\r\n'\\\x00\xff"), "\\r\\n\\'\\\\\\x00\\xff");
        assert_eq!(escape(&[b'a'; 64]), "a".repeat(64));
        assert_eq!(escape(&[b'a'; 65]), format!("{}...", "a".repeat(64)));
        assert!(escape(&[0xff; 1000]).len() <= ESCAPED_CHARS_MAX + 3);
    }

    #[test]
    fn keys_and_tokens_are_never_shown() {
        let key = "kd_0123abcd_0123456789abcdefghjkmnpqrstvwxyz";
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        assert_eq!(escape(format!("a {key} b").as_bytes()), "a (hidden)");
        assert_eq!(escape(token.as_bytes()), "(hidden)");
        let text = format!("no `{key}` and no {token}, but kd_admins");
        assert_eq!(
            hide_secrets(&text),
            "no `(hidden)` and no (hidden), but kd_admins"
        );
        assert!(matches!(hide_secrets("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn an_error_says_which_argument_and_what_stood_there() {
        let error = CommandError::from(Error::BadMessageId).at_argument(3, b"1e3\r\n");
        assert_eq!(
            error.to_string(),
            "BADID a message id is a whole number from 1 to 9223372036854775807 \
             (argument 3: '1e3\\r\\n')"
        );
    }
}
