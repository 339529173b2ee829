//! Reading: acks and mark unread.

use super::parts::{clock, message_id, some_name};
use crate::auth::now;
use crate::http::caller::{Answer, Caller};
use crate::http::input::{BulkJson, InPath, Json};
use crate::http::refused::Refused;
use axum::Json as Answered;
use kidoku_core::error::Error;
use kidoku_core::id::{ChannelKey, NameKind};
use kidoku_core::limits::CHANNELS_PER_COMMAND_MAX;
use kidoku_core::reply::Reply;
use kidoku_core::request::Request;
use kidoku_proto::ids::{IdSource, check_ahead};
use kidoku_proto::json::answer::{Acked, Badge, Changed, ReadState};
use kidoku_proto::json::{body, schema};

/// Ack a message
///
/// "Read up to and including". Lower than the cursor, or of an older era: changes nothing and is no
/// error.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/ack",
    tag = "users",
    operation_id = "ack",
    params(("user" = schema::Name, Path, description = "The user")),
    request_body = body::Ack,
    responses((status = 200, description = "1 = moved, 0 = not; or the read state", body = Acked))
)]
pub(super) async fn ack(
    caller: Caller,
    InPath(user): InPath<String>,
    Json(body): Json<body::Ack>,
) -> Result<Answered<Acked>, Refused> {
    let (user, channel) = (caller.user(&user)?, caller.channel(&body.channel)?);
    let era = body
        .era
        .as_deref()
        .map(|era| clock(era, "era"))
        .transpose()?;
    if let Some(era) = era {
        check_ahead("era", era.millis(), now())?;
    }
    let request = |ids: &mut dyn IdSource| {
        let id = message_id(ids, &channel, &body.id, "id")?;
        let (user, channel) = (user.clone(), channel.clone());
        Ok(Request::Ack {
            user,
            channel,
            id,
            era,
            private: body.private,
            count: body.count,
        })
    };
    let answer = caller.call(request).await?;
    if let Reply::Number(changed) = answer.reply {
        return Ok(Answered(Acked::Changed(Changed { changed })));
    }
    read_state(&answer, &channel).map(|state| Answered(Acked::ReadState(state)))
}

/// The read state in a reply.
fn read_state(answer: &Answer, channel: &ChannelKey) -> Result<ReadState, Refused> {
    match &answer.reply {
        Reply::ReadState(state) => Ok(ReadState::new(channel, state, &answer.ids())),
        _other => Err(Refused::wrong_reply()),
    }
}

/// Ack messages of many channels
///
/// `changed` is the number of cursors that moved.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/ack/bulk",
    tag = "users",
    operation_id = "ackBulk",
    params(("user" = schema::Name, Path, description = "The user")),
    request_body = body::BulkAck,
    responses((status = 200, description = "How many cursors moved", body = Changed))
)]
pub(super) async fn ack_bulk(
    caller: Caller,
    InPath(user): InPath<String>,
    BulkJson(body): BulkJson<body::BulkAck>,
) -> Result<Answered<Changed>, Refused> {
    let user = caller.user(&user)?;
    if body.acks.is_empty() {
        return Err(Refused::syntax(
            "field `acks`: empty, 1 to 1000 acks are needed",
        ));
    }
    if body.acks.len() > CHANNELS_PER_COMMAND_MAX {
        return Err(Refused::too_many(
            "acks",
            body.acks.len(),
            CHANNELS_PER_COMMAND_MAX,
        ));
    }
    let request = |ids: &mut dyn IdSource| {
        let ack = |entry: &body::BulkAckEntry| {
            let channel = caller.channel(&entry.channel)?;
            let id = message_id(ids, &channel, &entry.id, "id")?;
            Ok((channel, id))
        };
        let acks = body.acks.iter().map(ack).collect::<Result<_, Refused>>()?;
        Ok(Request::AckMany {
            user: user.clone(),
            acks,
        })
    };
    Ok(Answered(Changed {
        changed: caller.call_number(request).await?,
    }))
}

/// Ack everything up to a message
///
/// Everywhere or in one space, in one write. Not for apps of opaque ids, whose ids have an order
/// only inside their channel.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/ack/all",
    tag = "users",
    operation_id = "ackAll",
    params(("user" = schema::Name, Path, description = "The user")),
    request_body = body::AckAll,
    responses((status = 200, description = "The totals after it", body = Badge))
)]
pub(super) async fn ack_all(
    caller: Caller,
    InPath(user): InPath<String>,
    Json(body): Json<body::AckAll>,
) -> Result<Answered<Badge>, Refused> {
    let user = caller.user(&user)?;
    let space = some_name(NameKind::Space, body.space.as_ref())?;
    let request = |ids: &mut dyn IdSource| {
        let text = body.id.text().ok_or(Error::BadMessageId);
        let upto = text
            .and_then(|text| ids.global(text.as_bytes()))
            .map_err(|error| Refused::in_field("id", &error))?;
        Ok(Request::AckAll {
            user: user.clone(),
            upto,
            space: space.clone(),
        })
    };
    match caller.call(request).await?.reply {
        Reply::Badge(badge) => Ok(Answered(Badge::from(&*badge))),
        _other => Err(Refused::wrong_reply()),
    }
}

/// Mark unread from a message on
///
/// Begins a new era: acks that a device sends with the era before change nothing any more.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/unread",
    tag = "users",
    operation_id = "markUnread",
    params(("user" = schema::Name, Path, description = "The user")),
    request_body = body::Unread,
    responses((status = 200, description = "The read state after it", body = ReadState))
)]
pub(super) async fn unread(
    caller: Caller,
    InPath(user): InPath<String>,
    Json(body): Json<body::Unread>,
) -> Result<Answered<ReadState>, Refused> {
    let (user, channel) = (caller.user(&user)?, caller.channel(&body.channel)?);
    let request = |ids: &mut dyn IdSource| {
        let id = message_id(ids, &channel, &body.id, "id")?;
        Ok(Request::MarkUnread {
            user: user.clone(),
            channel: channel.clone(),
            id,
        })
    };
    let answer = caller.call(request).await?;
    read_state(&answer, &channel).map(Answered)
}
