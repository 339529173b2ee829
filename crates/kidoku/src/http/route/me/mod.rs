//! What a device may do: see, ack, mark unread and mute for its own user, and be told of changes as
//! they come. The user stands in the token and nowhere else, so there is no way to name another.

mod device;
mod event_stream;
mod feed;
mod socket;

use super::parts::clock;
use super::{people, read, state as states};
use crate::http::HttpState;
use crate::http::input::{InPath, InQuery, Json};
use crate::http::refused::Refused;
use axum::Json as Answered;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use device::{Device, FirstFrame};
use feed::{Feed, LiveState};
use kidoku_core::clock::Clock;
use kidoku_proto::json::answer::{Acked, Badge, ReadState, State as StateAnswer};
use kidoku_proto::json::{body, schema};
use serde::Deserialize;
use socket::Upgrade;

/// From where a stream goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// The last `rev` the device has: the first event holds what changed after it. Absent = the
    /// first event holds everything.
    #[param(value_type = Option<schema::Revision>)]
    since: Option<String>,
}

/// Read states of the own user
///
/// All of them, or with `since` those that changed after that revision.
#[utoipa::path(
    get,
    path = "/v1/me/state",
    tag = "devices",
    operation_id = "getOwnState",
    params(
        ("If-None-Match" = Option<String>, Header, description = "An ETag seen before"),
        body::StateQuery
    ),
    responses(
        (status = 200, description = "A page of read states", body = StateAnswer,
            headers(("ETag" = String, description = "The user's revision"))),
        (status = 304, description = "Nothing has changed")
    )
)]
pub(super) async fn state(
    device: Device,
    InQuery(query): InQuery<body::StateQuery>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let user = InPath(device.user.name().to_owned());
    states::state(device.caller, user, InQuery(query), headers).await
}

/// Totals of the own user
///
/// Each channel and followed thread counts once.
#[utoipa::path(
    get,
    path = "/v1/me/badge",
    tag = "devices",
    operation_id = "getOwnBadge",
    params(
        ("If-None-Match" = Option<String>, Header, description = "An ETag seen before"),
        body::BadgeQuery
    ),
    responses(
        (status = 200, description = "The totals", body = Badge,
            headers(("ETag" = String, description = "The user's revision"))),
        (status = 304, description = "Nothing has changed")
    )
)]
pub(super) async fn badge(
    device: Device,
    InQuery(query): InQuery<body::BadgeQuery>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let user = InPath(device.user.name().to_owned());
    states::badge(device.caller, user, InQuery(query), headers).await
}

/// Ack a message
///
/// "Read up to and including", in a channel the user is in. Lower than the cursor, or of an older
/// era: changes nothing and is no error.
#[utoipa::path(
    post,
    path = "/v1/me/ack",
    tag = "devices",
    operation_id = "ackOwn",
    request_body = body::Ack,
    responses((status = 200, description = "1 = moved, 0 = not; or the read state", body = Acked))
)]
pub(super) async fn ack(
    device: Device,
    Json(body): Json<body::Ack>,
) -> Result<Answered<Acked>, Refused> {
    device.ack(body).await
}

/// Mark unread from a message on
///
/// Begins a new era: acks that another device sends with the era before change nothing any more.
#[utoipa::path(
    post,
    path = "/v1/me/unread",
    tag = "devices",
    operation_id = "markOwnUnread",
    request_body = body::Unread,
    responses((status = 200, description = "The read state after it", body = ReadState))
)]
pub(super) async fn unread(
    device: Device,
    Json(body): Json<body::Unread>,
) -> Result<Answered<ReadState>, Refused> {
    device.unread(body).await
}

/// Mute a channel
///
/// Changes the `unmuted_*` totals, never a count.
#[utoipa::path(
    put,
    path = "/v1/me/channels/{channel}/mute",
    tag = "devices",
    operation_id = "muteOwn",
    params(("channel" = schema::Name, Path, description = "The channel")),
    request_body = body::Mute,
    responses((status = 204, description = "Done"))
)]
pub(super) async fn mute(
    device: Device,
    InPath(channel): InPath<String>,
    Json(body): Json<body::Mute>,
) -> Result<StatusCode, Refused> {
    device.mute(channel, body).await
}

/// Changes as server-sent events
///
/// The first `state` event holds everything, or with `since` or `Last-Event-ID` what changed after
/// that revision; each one after it holds what has changed since the one before, in absolute
/// numbers. The id of an event is its `rev`. A reader that is slow gets fewer events, not old ones.
/// An `end` event with a `reason` (`expired`, `stopping`) says why no more comes: get a new token,
/// or connect again.
#[utoipa::path(
    get,
    path = "/v1/me/stream",
    tag = "devices",
    operation_id = "streamOwn",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "As `since`; the header wins"),
        StreamQuery
    ),
    responses((status = 200, description = "Events; the data of `state` is this", body = LiveState,
        content_type = "text/event-stream"))
)]
pub(super) async fn stream(
    State(state): State<HttpState>,
    device: Device,
    InQuery(query): InQuery<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let since = match headers.get("last-event-id") {
        Some(id) => Some(clock(id.to_str().unwrap_or_default(), "Last-Event-ID")?),
        None => query.since()?,
    };
    let guard = state.streams.enter(&device.user)?;
    Ok(event_stream::response(Feed::open(device, since, guard)?))
}

/// Changes and requests over a WebSocket
///
/// The token comes in the header `Authorization`, or within 5 seconds in a first message
/// `{"token":"…"}`. The server sends `{"op":"state","rev":…,"all":…,"channels":[…],"badge":{…}}`,
/// first and then as in `/v1/me/stream`. The device may send `{"op":"ack","n":1,"channel":…,"id":…}`,
/// `{"op":"unread",…}` and `{"op":"mute",…}` with the fields of the routes of that name; each is
/// answered, in order, with its own number `n` and `"ok":true` or `"ok":false` and a `problem`. A
/// message has at most 16 KiB. Close codes: 1008 the token is not valid any more or never was, 1001
/// the server stops, 1013 try again later; 1002, 1003, 1007 and 1009 what was sent breaks the protocol,
/// is binary, is not UTF-8 or is too long.
#[utoipa::path(
    get,
    path = "/v1/me/ws",
    tag = "devices",
    operation_id = "socketOwn",
    params(StreamQuery),
    responses((status = 101, description = "It is a WebSocket from here on"))
)]
pub(super) async fn ws(
    State(state): State<HttpState>,
    FirstFrame(device): FirstFrame,
    InQuery(query): InQuery<StreamQuery>,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Refused> {
    let since = query.since()?;
    let guard = match &device {
        Some(device) => Some(state.streams.enter(&device.user)?),
        None => None,
    };
    Ok(socket::response(upgrade, state, device.zip(guard), since))
}

impl StreamQuery {
    fn since(&self) -> Result<Option<Clock>, Refused> {
        let since = self.since.as_deref();
        since.map(|since| clock(since, "since")).transpose()
    }
}
