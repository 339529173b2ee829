//! Names and numbers that identify things. A value of one of these types is valid by construction.

use crate::error::Error;
use crate::limits::{APP_BYTES_MAX, MESSAGE_ID_MAX, NAME_BYTES_MAX};
use std::fmt;
use std::sync::Arc;

/// An app (tenant): 1 to 32 bytes of `a-z`, `0-9` and `-`. Apps never see each other's data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct App(Arc<str>);

impl App {
    /// The app that is used when a caller names none.
    pub fn default_app() -> Self {
        Self(Arc::from("default"))
    }

    /// Checks and wraps an app name.
    ///
    /// # Errors
    /// [`Error::BadApp`] when the name is empty, too long or has another character.
    pub fn new(text: &str) -> Result<Self, Error> {
        check_app(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rule of [`App::new`], for callers that need no value of their own.
pub(crate) fn check_app(text: &str) -> Result<(), Error> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > APP_BYTES_MAX || !text.bytes().all(valid) {
        return Err(Error::BadApp);
    }
    Ok(())
}

/// What kind of thing a name is given to; only for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A user.
    User,
    /// A channel or thread.
    Channel,
    /// A space.
    Space,
    /// A role.
    Role,
    /// A message id of an app whose ids are opaque.
    MessageId,
}

impl NameKind {
    /// The word used in errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Channel => "channel",
            Self::Space => "space",
            Self::Role => "role",
            Self::MessageId => "message id",
        }
    }
}

/// The rule of every name, for callers that need no value of their own.
pub(crate) fn check_name(kind: NameKind, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::NameEmpty(kind));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::NameTooLong(kind));
    }
    // Nearly every name is plain ASCII, where a byte tells all.
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !plain && text.chars().any(char::is_control) {
        return Err(Error::NameControl(kind));
    }
    Ok(())
}

/// `app NUL name` in one allocation; both parts are within their limits.
fn join(app: &App, name: &str) -> Arc<str> {
    let mut joined = [0_u8; APP_BYTES_MAX + 1 + NAME_BYTES_MAX];
    let app = app.as_str().as_bytes();
    let length = app.len() + 1 + name.len();
    joined[..app.len()].copy_from_slice(app);
    joined[app.len() + 1..length].copy_from_slice(name.as_bytes());
    // Two texts with a NUL between them are a text.
    Arc::from(std::str::from_utf8(&joined[..length]).unwrap_or_default())
}

/// The name of a space or role inside an app: 1 to 128 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// Says which rule the name breaks, with `kind` as the word for it.
    pub fn new(kind: NameKind, text: &str) -> Result<Self, Error> {
        check_name(kind, text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits `app\0name`. Both halves are free of control characters, so the first NUL is the border.
fn split(joined: &str) -> (&str, &str) {
    joined.split_once('\0').unwrap_or(("", joined))
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the name and joins it with its app.
            ///
            /// # Errors
            /// Says which rule the name breaks.
            pub fn new(app: &App, name: &str) -> Result<Self, Error> {
                check_name($kind, name)?;
                Ok(Self(join(app, name)))
            }

            /// Rebuilds a key from [`Self::joined`].
            ///
            /// # Errors
            /// When either half breaks a rule.
            pub fn from_joined(joined: &str) -> Result<Self, Error> {
                let (app, name) = split(joined);
                Self::new(&App::new(app)?, name)
            }

            /// The app's name.
            pub fn app_str(&self) -> &str {
                split(&self.0).0
            }

            /// The app.
            pub fn app(&self) -> App {
                App(Arc::from(self.app_str()))
            }

            /// The name inside the app.
            pub fn name(&self) -> &str {
                split(&self.0).1
            }

            /// App and name with a NUL between them: unique, and in app order when sorted.
            pub fn joined(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.app_str(), self.name())
            }
        }
    };
}

key!(
    /// A user of an app. The name is 1 to 128 bytes of UTF-8 without control characters.
    UserKey,
    NameKind::User
);
key!(
    /// A channel (room, topic, feed, thread) of an app. The name is 1 to 128 bytes of UTF-8 without
    /// control characters.
    ChannelKey,
    NameKind::Channel
);

/// A message's id: 1 to 2^63-1, rising in the order in which a channel's messages are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageId(u64);

impl MessageId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// [`Error::BadMessageId`] for 0 and for anything above 2^63-1.
    pub fn new(value: u64) -> Result<Self, Error> {
        if value == 0 || value > MESSAGE_ID_MAX {
            return Err(Error::BadMessageId);
        }
        Ok(Self(value))
    }

    /// Reads an id written in decimal digits only.
    ///
    /// # Errors
    /// [`Error::BadMessageId`] for anything else: signs, exponents, fractions, blanks, overflow.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        Self::new(parse_decimal(text).ok_or(Error::BadMessageId)?)
    }

    /// The id as a number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The position "up to and including this message".
    pub fn position(self) -> Position {
        Position(self.0)
    }

    /// The position just below this message. No look-up is needed, so it commutes with everything.
    pub fn just_below(self) -> Position {
        Position(self.0 - 1)
    }
}

/// Reads decimal digits, all of them, into a number; `None` for anything else or for overflow.
pub fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A place in a channel: everything up to and including this id. 0 = before the first message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

impl Position {
    /// Before the first message.
    pub const START: Self = Self(0);

    /// True when `id` is beyond this position.
    pub fn is_before(self, id: MessageId) -> bool {
        self.0 < id.get()
    }
}

/// Which shard (core) of the process owns something: 0 to the number of shards - 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_1_to_128_bytes_without_control_characters() {
        let app = App::default_app();
        let name = |text: &str| UserKey::new(&app, text).map(|key| key.name().to_owned());
        assert_eq!(name(&"x".repeat(128)), Ok("x".repeat(128)));
        assert_eq!(
            name(&"x".repeat(129)),
            Err(Error::NameTooLong(NameKind::User))
        );
        assert_eq!(name(&"é".repeat(64)), Ok("é".repeat(64)));
        assert_eq!(name(""), Err(Error::NameEmpty(NameKind::User)));
        for bad in ["a\0b", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(
                name(bad),
                Err(Error::NameControl(NameKind::User)),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn apps_are_1_to_32_bytes_of_lower_case_digits_and_dashes() {
        assert!(App::new(&"a".repeat(32)).is_ok());
        for bad in ["", &"a".repeat(33), "A", "a_b", "ä", "a b"] {
            assert_eq!(App::new(bad), Err(Error::BadApp), "{bad:?}");
        }
    }

    #[test]
    fn message_ids_are_decimal_from_1_to_2_63_minus_1() {
        assert_eq!(
            MessageId::parse(b"9223372036854775807").map(MessageId::get),
            Ok((1 << 63) - 1)
        );
        let bad = [
            "0",
            "-1",
            "+1",
            "1e3",
            "1.0",
            " 1",
            "",
            "9223372036854775808",
        ];
        for bad in bad
            .iter()
            .chain(&["18446744073709551616", "99999999999999999999"])
        {
            assert_eq!(
                MessageId::parse(bad.as_bytes()),
                Err(Error::BadMessageId),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_key_splits_into_what_it_was_joined_from() {
        let key = ChannelKey::new(&App::new("shop-1").unwrap(), "général").unwrap();
        assert_eq!((key.app_str(), key.name()), ("shop-1", "général"));
        assert_eq!(ChannelKey::from_joined(key.joined()), Ok(key));
    }
}
