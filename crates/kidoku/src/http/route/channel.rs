//! A channel: its settings, its members, its retention.

use super::parts::{message_id, receipts, users};
use crate::http::caller::Caller;
use crate::http::input::{BulkJson, InPath, Json};
use crate::http::refused::Refused;
use axum::Json as Answered;
use kidoku_core::id::{ChannelKey, Name, NameKind};
use kidoku_core::reply::Reply;
use kidoku_core::request::{JoinAt, Request};
use kidoku_proto::ids::IdSource;
use kidoku_proto::json::IdText;
use kidoku_proto::json::answer::{Changed, Erased, Settings};
use kidoku_proto::json::{body, schema};

/// Change the settings of a channel
///
/// What is absent stays as it is; null clears. An empty object only reads the settings.
#[utoipa::path(
    put,
    path = "/v1/channels/{channel}",
    tag = "channels",
    operation_id = "putChannel",
    params(("channel" = schema::Name, Path, description = "The channel")),
    request_body = body::Channel,
    responses((status = 200, description = "The settings in force", body = Settings))
)]
pub(super) async fn put(
    caller: Caller,
    InPath(channel): InPath<String>,
    Json(body): Json<body::Channel>,
) -> Result<Answered<Settings>, Refused> {
    let channel = caller.channel(&channel)?;
    let named = |kind: NameKind, field: &Option<Option<String>>| match field {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(text)) => Name::new(kind, text).map(|name| Some(Some(name))),
    };
    let space = named(NameKind::Space, &body.space)?;
    let parent = named(NameKind::Channel, &body.parent)?;
    let shown = body.receipts.as_deref().map(receipts).transpose()?;
    let request = |_: &mut dyn IdSource| {
        let (channel, space, parent) = (channel.clone(), space.clone(), parent.clone());
        Ok(Request::Channel {
            channel,
            space,
            parent,
            receipts: shown,
        })
    };
    match caller.call(request).await?.reply {
        Reply::Settings {
            space,
            parent,
            receipts,
        } => Ok(Answered(Settings::new(
            space.as_ref(),
            parent.as_ref(),
            receipts,
        ))),
        _other => Err(Refused::wrong_reply()),
    }
}

/// Drop a channel
///
/// Everything of it is gone, for every user. A channel of the same name starts afresh.
#[utoipa::path(
    delete,
    path = "/v1/channels/{channel}",
    tag = "channels",
    operation_id = "dropChannel",
    params(("channel" = schema::Name, Path, description = "The channel")),
    responses((status = 200, description = "What went", body = Erased))
)]
pub(super) async fn delete(
    caller: Caller,
    InPath(channel): InPath<String>,
) -> Result<Answered<Erased>, Refused> {
    let channel = caller.channel(&channel)?;
    let answer = caller
        .call(|_| {
            Ok(Request::Drop {
                channel: channel.clone(),
            })
        })
        .await?;
    erased(&answer.reply)
}

/// The receipt of an erasure.
pub(super) fn erased(reply: &Reply) -> Result<Answered<Erased>, Refused> {
    match reply {
        Reply::Erased {
            clock,
            channels,
            mentions,
            messages,
        } => Ok(Answered(Erased {
            erased_at: clock.millis().0,
            channels: *channels,
            mentions: *mentions,
            messages: *messages,
        })),
        _other => Err(Refused::wrong_reply()),
    }
}

/// Let users join a channel
///
/// `changed` is the number who were not members before.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/members",
    tag = "channels",
    operation_id = "joinChannel",
    params(("channel" = schema::Name, Path, description = "The channel")),
    request_body = body::Join,
    responses((status = 200, description = "How many joined now", body = Changed))
)]
pub(super) async fn join(
    caller: Caller,
    InPath(channel): InPath<String>,
    BulkJson(body): BulkJson<body::Join>,
) -> Result<Answered<Changed>, Refused> {
    let channel = caller.channel(&channel)?;
    let users = users(&caller.app, &body.users, "users")?;
    if users.is_empty() {
        return Err(Refused::syntax(
            "field `users`: empty, 1 to 1000 users are needed",
        ));
    }
    let request = |ids: &mut dyn IdSource| {
        let at = join_at(ids, &channel, body.at.as_ref())?;
        Ok(Request::Join {
            channel: channel.clone(),
            users: users.clone(),
            at,
        })
    };
    Ok(Answered(Changed {
        changed: caller.call_number(request).await?,
    }))
}

fn join_at(
    ids: &mut dyn IdSource,
    channel: &ChannelKey,
    at: Option<&IdText>,
) -> Result<JoinAt, Refused> {
    let Some(at) = at else {
        return Ok(JoinAt::Tail);
    };
    match at.text() {
        Some(word) if word.eq_ignore_ascii_case("tail") => Ok(JoinAt::Tail),
        Some(word) if word.eq_ignore_ascii_case("start") => Ok(JoinAt::Start),
        Some(_) | None => Ok(JoinAt::After(message_id(ids, channel, at, "at")?)),
    }
}

/// Let a user leave a channel
#[utoipa::path(
    delete,
    path = "/v1/channels/{channel}/members/{user}",
    tag = "channels",
    operation_id = "leaveChannel",
    params(
        ("channel" = schema::Name, Path, description = "The channel"),
        ("user" = schema::Name, Path, description = "The user")
    ),
    responses((status = 200, description = "1 = left now, 0 = was no member", body = Changed))
)]
pub(super) async fn leave(
    caller: Caller,
    InPath((channel, user)): InPath<(String, String)>,
) -> Result<Answered<Changed>, Refused> {
    let (channel, user) = (caller.channel(&channel)?, caller.user(&user)?);
    let request = |_: &mut dyn IdSource| {
        Ok(Request::Leave {
            channel: channel.clone(),
            users: vec![user.clone()],
        })
    };
    Ok(Answered(Changed {
        changed: caller.call_number(request).await?,
    }))
}

/// Trim a channel
///
/// The message and all below leave every count. `changed` is the number of messages that went.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/trim",
    tag = "channels",
    operation_id = "trimChannel",
    params(("channel" = schema::Name, Path, description = "The channel")),
    request_body = body::Trim,
    responses((status = 200, description = "How many messages went", body = Changed))
)]
pub(super) async fn trim(
    caller: Caller,
    InPath(channel): InPath<String>,
    Json(body): Json<body::Trim>,
) -> Result<Answered<Changed>, Refused> {
    let channel = caller.channel(&channel)?;
    let request = |ids: &mut dyn IdSource| {
        let id = message_id(ids, &channel, &body.id, "id")?;
        Ok(Request::Trim {
            channel: channel.clone(),
            id,
        })
    };
    Ok(Answered(Changed {
        changed: caller.call_number(request).await?,
    }))
}
