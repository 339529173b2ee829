//! Bodies and queries that come in.

use super::IdText;
#[cfg(feature = "openapi")]
use super::schema;
use serde::Deserialize;
use serde::de::Deserializer;

/// Tells null (`Some(None)`) from absent (`None`).
fn nullable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Users who join a channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// 1 to 1,000 users.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schema::Name>, min_items = 1, max_items = 1000))]
    pub users: Vec<String>,
    /// Where their unread starts: `tail` (the default), `start`, or after this message id.
    pub at: Option<IdText>,
}

/// A new message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its id, above those of the messages before it.
    pub id: IdText,
    /// Who wrote it. The message never counts for them.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Name>))]
    pub author: Option<String>,
    /// Users it names, at most 1,000.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schema::Name>, max_items = 1000))]
    pub mentions: Vec<String>,
    /// Roles it names, at most 100.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schema::Name>, max_items = 100))]
    pub roles: Vec<String>,
    /// True = it names everyone in the channel.
    #[serde(default)]
    pub everyone: bool,
    /// True = it counts nothing (join and leave notices).
    #[serde(default)]
    pub silent: bool,
    /// True = posting does not ack the message for its author (bots).
    #[serde(default)]
    pub noack: bool,
}

/// The whole new mention list of a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The edit's number, from 1; of two edits the higher one counts, in whatever order they come.
    #[cfg_attr(
        feature = "openapi",
        schema(minimum = 1, maximum = 18446744073709551615u64, format = "uint64")
    )]
    pub version: u64,
    /// Users it names now, at most 1,000.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schema::Name>, max_items = 1000))]
    pub mentions: Vec<String>,
    /// Roles it names now, at most 100.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schema::Name>, max_items = 100))]
    pub roles: Vec<String>,
    /// True = it names everyone in the channel.
    #[serde(default)]
    pub everyone: bool,
}

/// Settings of a channel; what is absent stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The space the channel belongs to; null = none.
    #[serde(default, deserialize_with = "nullable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Name>))]
    pub space: Option<Option<String>>,
    /// The channel of which this one is a thread; null = none.
    #[serde(default, deserialize_with = "nullable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Name>))]
    pub parent: Option<Option<String>>,
    /// What members see of who has read what: `OFF`, `COUNT` or `LIST`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::ReceiptsLevel>))]
    pub receipts: Option<String>,
}

/// "Read up to and including this message."
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// Where.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::Name))]
    pub channel: String,
    /// Up to and including; need not exist yet.
    pub id: IdText,
    /// The era the device last saw: an ack of an older era changes nothing.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Revision>))]
    pub era: Option<String>,
    /// True = receipts do not show it.
    #[serde(default)]
    pub private: bool,
    /// True = answer the read state.
    #[serde(default)]
    pub count: bool,
}

/// One of many acks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkAckEntry {
    /// Where.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::Name))]
    pub channel: String,
    /// Up to and including.
    pub id: IdText,
}

/// Acks of many channels at once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkAck {
    /// 1 to 1,000 acks.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 1000))]
    pub acks: Vec<BulkAckEntry>,
}

/// "Read everything up to and including this message", everywhere or in a space.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AckAll {
    /// Up to and including. Refused in an app of opaque ids, which have an order only inside their
    /// channel.
    pub id: IdText,
    /// Only channels of this space.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Name>))]
    pub space: Option<String>,
}

/// "Unread from this message on."
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// Where.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::Name))]
    pub channel: String,
    /// The first message that is unread again.
    pub id: IdText,
}

/// How much of a channel stays out of the unmuted totals.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Mute {
    /// `ALL`, `MENTIONS` (direct ones stay in) or `NONE` (not muted).
    #[cfg_attr(feature = "openapi", schema(value_type = schema::MuteLevel))]
    pub level: String,
    /// Not muted any more from this time on, in milliseconds since 1970; absent or 0 = no end.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schema(maximum = 18446744073709551615u64, format = "uint64")
    )]
    pub until: u64,
}

/// Who gets a role and who loses it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RoleUsers {
    /// Users who hold the role from now on, at most 1,000.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schema::Name>, max_items = 1000))]
    pub add: Vec<String>,
    /// Users who do not hold it any more, at most 1,000.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schema::Name>, max_items = 1000))]
    pub remove: Vec<String>,
}

/// Retention.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Trim {
    /// This message and all below leave every count.
    pub id: IdText,
}

/// Whether a user follows a thread.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// True = follows from now on, false = not any more.
    pub on: bool,
}

/// Which read states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct StateQuery {
    /// Only channels that changed after this `rev`.
    #[cfg_attr(feature = "openapi", param(value_type = Option<schema::Revision>))]
    pub since: Option<String>,
    /// Entries of a page, 1 to 10,000; 1,000 if absent.
    #[cfg_attr(feature = "openapi", param(value_type = Option<schema::PageLimit>))]
    pub limit: Option<usize>,
    /// The `next` of the page before.
    #[cfg_attr(feature = "openapi", param(value_type = Option<schema::Name>))]
    pub after: Option<String>,
}

/// Which totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct BadgeQuery {
    /// Only channels of this space.
    #[cfg_attr(feature = "openapi", param(value_type = Option<schema::Name>))]
    pub space: Option<String>,
}

/// Which receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ReceiptsQuery {
    /// True = who, not only how many.
    #[serde(default)]
    pub list: bool,
    /// Entries of a page, 1 to 10,000; 1,000 if absent.
    #[cfg_attr(feature = "openapi", param(value_type = Option<schema::PageLimit>))]
    pub limit: Option<usize>,
    /// The `next` of the page before.
    #[cfg_attr(feature = "openapi", param(value_type = Option<schema::Name>))]
    pub after: Option<String>,
}

/// Which page of an explanation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// Ids of a page, 1 to 10,000; 1,000 if absent.
    #[cfg_attr(feature = "openapi", param(value_type = Option<schema::PageLimit>))]
    pub limit: Option<usize>,
    /// The `next` of the page before.
    #[cfg_attr(feature = "openapi", param(value_type = Option<schema::MessageId>))]
    pub after: Option<String>,
}
