//! Errors of the HTTP API: RFC 9457 problem details, filled from the one table of error codes.

use super::answer::EventsReport;
use crate::error::{CommandError, row};
use crate::event::LineError;
use kidoku_core::error::{Code, Error};
use serde::Serialize;
use std::borrow::Cow;

/// Where the error reference is; the anchor of the code follows.
const TYPE_BASE: &str = "/docs#error-";

/// What the body of every error holds, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Where the error is described.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line that is the same for every error of the code.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What, which, and the limit.
    pub detail: Cow<'static, str>,
    /// The same word as in RESP: `BADID`, `NOAUTH`, `NOPERM`, `LIMIT`, `BUSY`, `DISKFULL`, `MOVED`,
    /// `TRYAGAIN`, `SYNTAX` or `INTERNAL`.
    pub code: &'static str,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Cow<'static, str>>,
    /// The limit that was passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What was applied of a stream of events that broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<EventsReport>>,
}

impl Problem {
    /// A problem of a code, with the status of the table.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let row = row(code);
        Self {
            kind: format!("{TYPE_BASE}{}", row.docs_anchor),
            title: row.title,
            status: row.http_status,
            detail: detail.into(),
            code: code.as_str(),
            hint: None,
            limit: None,
            report: None,
        }
    }

    /// With a more telling status than the table's.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With what to do about it.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// With the limit that was passed.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self {
            limit: u64::try_from(limit).ok(),
            ..self
        }
    }

    /// With what was applied before.
    #[must_use]
    pub fn with_report(self, report: EventsReport) -> Self {
        Self {
            report: Some(Box::new(report)),
            ..self
        }
    }

    /// Seconds after which a retry makes sense; `None` = a retry without a change is in vain.
    pub fn retry_after_s(&self) -> Option<u32> {
        crate::error::row_of_word(self.code).and_then(|row| row.retry_after_s)
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        Self::new(error.code, error.text)
    }
}

impl From<LineError> for Problem {
    fn from(error: LineError) -> Self {
        Self::new(error.code, error.detail)
    }
}
