//! A message id as a caller writes it.

use kidoku_core::limits::MESSAGE_ID_MAX;
use serde::de::{Deserialize, Deserializer, Visitor};
use std::fmt;

/// A message id as it stands in a body: a string, or a whole number. Whether it is an id of the app
/// is found out when it is used, so that a wrong one is `BADID` and not `SYNTAX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdText(Option<String>);

impl IdText {
    /// An id from the path of a URL.
    pub fn new(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }

    /// The id's text; `None` for a number that is no message id: below 1, 2^63 or more, or with a
    /// fraction or exponent. In an app of opaque ids too, where its digits alone would be one.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de> Deserialize<'de> for IdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = IdText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, as a string or a whole number")
            }

            fn visit_u64<E>(self, value: u64) -> Result<IdText, E> {
                let fits = (1..=MESSAGE_ID_MAX).contains(&value);
                Ok(IdText(fits.then(|| value.to_string())))
            }

            fn visit_i64<E>(self, value: i64) -> Result<IdText, E> {
                Ok(IdText(
                    u64::try_from(value).ok().map(|value| value.to_string()),
                ))
            }

            fn visit_f64<E>(self, _: f64) -> Result<IdText, E> {
                Ok(IdText(None))
            }

            fn visit_str<E>(self, text: &str) -> Result<IdText, E> {
                Ok(IdText::new(text))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}
