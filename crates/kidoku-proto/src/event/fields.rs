//! The fields of a line as they stand in the JSON, borrowed from it where it holds no escapes.
//!
//! One flat structure takes the fields of every op. The reader of an op takes out what it knows;
//! what is left over then is an error, so that a mistyped field is never ignored.

use crate::error::escape;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A string, borrowed when possible (serde's own `Cow` always copies inside an `Option`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A whole number, written as a JSON number or as a string; what it must be is checked by its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Number<'a> {
    /// A JSON number from 0 to 2^64-1.
    Int(u64),
    /// A string.
    Text(Text<'a>),
    /// A negative number, one with a fraction or exponent, or one of 2^64 and more.
    Other,
}

impl Number<'_> {
    /// The number as digits, or the string as it stands; empty for [`Self::Other`].
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Text(text) => Cow::Borrowed(&text.0),
            Self::Other => Cow::Borrowed(""),
        }
    }

    /// The number, if it is a whole one of 64 bits.
    pub(super) fn value(&self) -> Option<u64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Text(text) => kidoku_core::id::parse_decimal(text.0.as_bytes()),
            Self::Other => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Number<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl<'de> Visitor<'de> for NumberVisitor {
            type Value = Number<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a string")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Number<'de>, E> {
                Ok(Number::Int(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Number<'de>, E> {
                Ok(u64::try_from(value).map_or(Number::Other, Number::Int))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Number<'de>, E> {
                Ok(Number::Other)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Number<'de>, E> {
                Ok(Number::Text(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Number<'de>, E> {
                Ok(Number::Text(Text(Cow::Owned(text.to_owned()))))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// A string, or null to clear what was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clearable<'a>(pub(super) Option<Text<'a>>);

impl<'de> Deserialize<'de> for Clearable<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self)
    }
}

/// How a field takes its value: null is the same as absent, but for [`Clearable`].
trait Slot<'de>: Sized {
    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error>;
}

macro_rules! null_is_absent {
    ($($type:ty),*) => {$(
        impl<'de> Slot<'de> for $type {
            fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
                map.next_value()
            }
        }
    )*};
}

null_is_absent!(bool, Text<'de>, Number<'de>, Vec<Text<'de>>);
null_is_absent!(
    RawMembership<'de>,
    RawPreference<'de>,
    RawEdit<'de>,
    Vec<RawEntry<'de>>
);

impl<'de> Slot<'de> for Clearable<'de> {
    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
        map.next_value().map(Some)
    }
}

/// A membership inside a fact.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMembership<'a> {
    #[serde(borrow)]
    pub(super) clock: Number<'a>,
    pub(super) member: bool,
    #[serde(borrow)]
    pub(super) from: Number<'a>,
}

/// A preference inside a fact.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPreference<'a> {
    #[serde(borrow)]
    pub(super) clock: Number<'a>,
    #[serde(borrow)]
    pub(super) level: Text<'a>,
    #[serde(borrow)]
    pub(super) until: Option<Number<'a>>,
}

/// An edit inside a fact.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEdit<'a> {
    #[serde(borrow)]
    pub(super) version: Number<'a>,
    #[serde(default)]
    pub(super) everyone: bool,
    #[serde(borrow, default)]
    pub(super) roles: Vec<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) mentions: Vec<Text<'a>>,
}

/// A floor's entry inside a fact.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntry<'a> {
    #[serde(borrow)]
    pub(super) clock: Number<'a>,
    #[serde(borrow)]
    pub(super) id: Number<'a>,
}

macro_rules! fields {
    ($($name:ident: $type:ty,)*) => {
        /// Every field of every op; `None` = absent.
        #[derive(Debug, Default)]
        pub(super) struct Raw<'a> {
            $(pub(super) $name: Option<$type>,)*
        }

        impl Raw<'_> {
            /// The name of a field nobody has taken.
            pub(super) fn left_over(&self) -> Option<&'static str> {
                $(if self.$name.is_some() {
                    return Some(stringify!($name));
                })*
                None
            }
        }

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
                let mut raw = Raw::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match key.0.as_ref() {
                        $(stringify!($name) => {
                            set(&mut raw.$name, stringify!($name), &mut map)?;
                        })*
                        other => {
                            let name = escape(other.as_bytes());
                            return Err(A::Error::custom(format!("unknown field `{name}`")));
                        }
                    }
                }
                Ok(raw)
            }
        }
    };
}

struct RawVisitor;

fields! {
    op: Text<'a>,
    fact: bool,
    time: Number<'a>,
    channel: Text<'a>,
    user: Text<'a>,
    id: Number<'a>,
    author: Text<'a>,
    mentions: Vec<Text<'a>>,
    roles: Vec<Text<'a>>,
    everyone: bool,
    silent: bool,
    noack: bool,
    version: Number<'a>,
    at: Number<'a>,
    era: Number<'a>,
    private: bool,
    space: Clearable<'a>,
    parent: Clearable<'a>,
    receipts: Text<'a>,
    level: Text<'a>,
    until: Number<'a>,
    role: Text<'a>,
    add: bool,
    thread: Text<'a>,
    on: bool,
    incarnation: Number<'a>,
    clock: Number<'a>,
    entries: Vec<RawEntry<'a>>,
    cursor_at: Number<'a>,
    public: Number<'a>,
    membership: RawMembership<'a>,
    preference: RawPreference<'a>,
    posted: bool,
    edit: RawEdit<'a>,
    deleted: bool,
    unauthored: bool,
    space_clock: Number<'a>,
    parent_clock: Number<'a>,
    receipts_clock: Number<'a>,
    text: Text<'a>,
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawVisitor)
    }
}

fn set<'de, T: Slot<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    name: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::custom(format!("the field `{name}` stands twice")));
    }
    *slot = T::read(map).map_err(|error| A::Error::custom(format!("field `{name}`: {error}")))?;
    Ok(())
}
