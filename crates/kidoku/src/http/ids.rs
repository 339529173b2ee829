//! Message ids of an app: from what callers write to numbers.

use crate::config::IdMode;
use crate::engine::{Engine, opaque};
use kidoku_core::clock::Millis;
use kidoku_core::error::Error;
use kidoku_core::id::{ChannelKey, MessageId};
use kidoku_proto::ids::{IdSource, NumericIds, OpaqueIds, SnowflakeIds};

/// The ids of an app by its setting.
#[derive(Debug)]
pub(super) enum AppIds {
    Numeric(NumericIds),
    Snowflake(SnowflakeIds),
    Opaque(OpaqueIds),
}

impl AppIds {
    pub(super) fn new(mode: IdMode, now: Millis) -> Self {
        match mode {
            IdMode::Numeric => Self::Numeric(NumericIds),
            IdMode::Snowflake { epoch_ms } => Self::Snowflake(SnowflakeIds { epoch_ms, now }),
            IdMode::Opaque => Self::Opaque(OpaqueIds::default()),
        }
    }

    /// Asks the engine for the ids that were met and are not known yet. True = there were some, so
    /// that what was built with them has to be built again.
    pub(super) async fn resolve(&mut self, engine: &Engine) -> Result<bool, Error> {
        let Self::Opaque(ids) = self else {
            return Ok(false);
        };
        if ids.is_complete() {
            return Ok(false);
        }
        opaque::resolve(engine, ids).await?;
        Ok(true)
    }
}

impl IdSource for AppIds {
    fn id(&mut self, channel: &ChannelKey, text: &[u8]) -> Result<MessageId, Error> {
        match self {
            Self::Numeric(ids) => ids.id(channel, text),
            Self::Snowflake(ids) => ids.id(channel, text),
            Self::Opaque(ids) => ids.id(channel, text),
        }
    }

    fn global(&mut self, text: &[u8]) -> Result<MessageId, Error> {
        match self {
            Self::Numeric(ids) => ids.global(text),
            Self::Snowflake(ids) => ids.global(text),
            Self::Opaque(ids) => ids.global(text),
        }
    }
}
