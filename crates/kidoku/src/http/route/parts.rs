//! Parts that several bodies and queries share.

use crate::http::refused::Refused;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kidoku_core::clock::Clock;
use kidoku_core::error::{Code, Error};
use kidoku_core::fact::{MuteLevel, Receipts};
use kidoku_core::id::{App, ChannelKey, MessageId, Name, NameKind, UserKey, parse_decimal};
use kidoku_core::limits::{
    MENTIONS_PER_MESSAGE_MAX, PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX, ROLES_PER_MESSAGE_MAX,
    USERS_PER_COMMAND_MAX,
};
use kidoku_core::request::{MentionList, Page};
use kidoku_proto::ids::IdSource;
use kidoku_proto::json::IdText;
use kidoku_proto::json::problem::Problem;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The message id that a body or path gives.
pub(super) fn message_id(
    ids: &mut dyn IdSource,
    channel: &ChannelKey,
    id: &IdText,
    field: &str,
) -> Result<MessageId, Refused> {
    let text = id.text().ok_or(Error::BadMessageId);
    text.and_then(|text| ids.id(channel, text.as_bytes()))
        .map_err(|error| Refused::in_field(field, &error))
}

/// A name of a space, role and the like.
pub(super) fn name(kind: NameKind, text: &str) -> Result<Name, Refused> {
    Ok(Name::new(kind, text)?)
}

/// An optional name.
pub(super) fn some_name(kind: NameKind, text: Option<&String>) -> Result<Option<Name>, Refused> {
    text.map(|text| name(kind, text)).transpose()
}

/// The users of a join, leave or role change.
pub(super) fn users(app: &App, names: &[String], field: &str) -> Result<Vec<UserKey>, Refused> {
    if names.len() > USERS_PER_COMMAND_MAX {
        return Err(Refused::too_many(field, names.len(), USERS_PER_COMMAND_MAX));
    }
    let keys = names.iter().map(|name| UserKey::new(app, name));
    keys.collect::<Result<_, _>>()
        .map_err(|error| Refused::in_field(field, &error))
}

/// Whom a message or edit names.
pub(super) fn mention_list(
    app: &App,
    everyone: bool,
    roles: &[String],
    mentions: &[String],
) -> Result<MentionList, Refused> {
    if roles.len() > ROLES_PER_MESSAGE_MAX {
        return Err(Refused::too_many(
            "roles",
            roles.len(),
            ROLES_PER_MESSAGE_MAX,
        ));
    }
    if mentions.len() > MENTIONS_PER_MESSAGE_MAX {
        return Err(Refused::too_many(
            "mentions",
            mentions.len(),
            MENTIONS_PER_MESSAGE_MAX,
        ));
    }
    let roles = roles
        .iter()
        .map(|role| Name::new(NameKind::Role, role))
        .collect::<Result<_, _>>();
    let users = mentions
        .iter()
        .map(|user| UserKey::new(app, user))
        .collect::<Result<_, _>>();
    Ok(MentionList {
        everyone,
        roles: roles.map_err(|error| Refused::in_field("roles", &error))?,
        users: users.map_err(|error| Refused::in_field("mentions", &error))?,
    })
}

/// A mute level by its word, in any case.
pub(super) fn mute_level(word: &str) -> Result<MuteLevel, Refused> {
    [MuteLevel::None, MuteLevel::Mentions, MuteLevel::All]
        .into_iter()
        .find(|level| level.as_str().eq_ignore_ascii_case(word))
        .ok_or_else(|| Refused::syntax("field `level`: not one of ALL, MENTIONS or NONE"))
}

/// A receipts setting by its word, in any case.
pub(super) fn receipts(word: &str) -> Result<Receipts, Refused> {
    [Receipts::Off, Receipts::Count, Receipts::List]
        .into_iter()
        .find(|receipts| receipts.as_str().eq_ignore_ascii_case(word))
        .ok_or_else(|| Refused::syntax("field `receipts`: not one of OFF, COUNT or LIST"))
}

/// An era or revision: a clock value in digits.
pub(super) fn clock(text: &str, field: &str) -> Result<Clock, Refused> {
    let value = parse_decimal(text.as_bytes());
    value.map(Clock).ok_or_else(|| {
        Refused::syntax(format!(
            "field `{field}`: not one that this server has given"
        ))
    })
}

/// A page of a list.
pub(super) fn page<T>(limit: Option<usize>, after: Option<T>) -> Result<Page<T>, Refused> {
    let limit = limit.unwrap_or(PAGE_ENTRIES_DEFAULT);
    if !(1..=PAGE_ENTRIES_MAX).contains(&limit) {
        let detail = format!("`limit` is {limit}, 1 to {PAGE_ENTRIES_MAX} is allowed");
        return Err(Problem::new(Code::Limit, detail)
            .with_limit(PAGE_ENTRIES_MAX)
            .into());
    }
    Ok(Page { limit, after })
}

/// An answer whose `ETag` is the user's revision; 304 without a body if the caller has it.
pub(super) fn with_etag(asked: &HeaderMap, rev: Clock, body: impl Serialize) -> Response {
    tagged(asked, &format!("\"{}\"", rev.0), || {
        axum::Json(body).into_response()
    })
}

/// An answer whose `ETag` is a digest of it; 304 without a body if the caller has it.
pub(super) fn with_content_etag(asked: &HeaderMap, body: impl Serialize) -> Response {
    // Strings and numbers only: there is nothing in an answer that can not be written.
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    let digest = Sha256::digest(&bytes);
    let start = digest.iter().take(16);
    let tag = start.fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    tagged(asked, &tag, || (kind, bytes).into_response())
}

fn tagged(asked: &HeaderMap, tag: &str, body: impl FnOnce() -> Response) -> Response {
    let known = has_tag(asked, tag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        body()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    // The numbers are one user's and may change any moment: a cache has to ask each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// `If-None-Match` compares weakly (RFC 9110, 13.1.2), so `W/` in front does not matter.
fn has_tag(asked: &HeaderMap, tag: &str) -> bool {
    let lines = asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(','));
    tags.any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}
