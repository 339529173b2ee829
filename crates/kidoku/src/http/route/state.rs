//! Read states and totals of a user. A caller that polls sends the `ETag` of an answer as
//! `If-None-Match` and is answered 304 while nothing has changed. The tag is the user's revision;
//! of a single read state, whose count does not look at the user's other channels and so knows no
//! revision, it is a digest of the answer.

use super::parts::{clock, message_id, name, page, some_name, with_content_etag, with_etag};
use crate::http::caller::Caller;
use crate::http::input::{InPath, InQuery};
use crate::http::refused::Refused;
use axum::Json as Answered;
use axum::http::HeaderMap;
use axum::response::Response;
use kidoku_core::id::NameKind;
use kidoku_core::reply::Reply;
use kidoku_core::request::Request;
use kidoku_proto::ids::IdSource;
use kidoku_proto::json::IdText;
use kidoku_proto::json::answer::{Badge, Explanation, ReadState, State};
use kidoku_proto::json::{body, schema};

/// Read states of a user
///
/// All of them, or with `since` those that changed after that revision.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/state",
    tag = "users",
    operation_id = "getState",
    params(
        ("user" = schema::Name, Path, description = "The user"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag seen before"),
        body::StateQuery
    ),
    responses(
        (status = 200, description = "A page of read states", body = State,
            headers(("ETag" = String, description = "The user's revision"))),
        (status = 304, description = "Nothing has changed")
    )
)]
pub(super) async fn state(
    caller: Caller,
    InPath(user): InPath<String>,
    InQuery(query): InQuery<body::StateQuery>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let user = caller.user(&user)?;
    let since = query
        .since
        .as_deref()
        .map(|since| clock(since, "since"))
        .transpose()?;
    let page = page(
        query.limit,
        some_name(NameKind::Channel, query.after.as_ref())?,
    )?;
    let request = |_: &mut dyn IdSource| {
        Ok(Request::State {
            user: user.clone(),
            since,
            page: page.clone(),
        })
    };
    let answer = caller.call(request).await?;
    match &answer.reply {
        Reply::State {
            rev,
            channels,
            damaged,
            next,
        } => {
            let body = State::new(*rev, channels, damaged, next.as_ref(), &answer.ids());
            Ok(with_etag(&headers, *rev, body))
        }
        _other => Err(Refused::wrong_reply()),
    }
}

/// Totals of a user
///
/// Each channel and followed thread counts once.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/badge",
    tag = "users",
    operation_id = "getBadge",
    params(
        ("user" = schema::Name, Path, description = "The user"),
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
    caller: Caller,
    InPath(user): InPath<String>,
    InQuery(query): InQuery<body::BadgeQuery>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let user = caller.user(&user)?;
    let space = query
        .space
        .as_deref()
        .map(|space| name(NameKind::Space, space))
        .transpose()?;
    let request = |_: &mut dyn IdSource| {
        Ok(Request::Badge {
            user: user.clone(),
            space: space.clone(),
        })
    };
    match caller.call(request).await?.reply {
        Reply::Badge(badge) => Ok(with_etag(&headers, badge.rev, Badge::from(&*badge))),
        _other => Err(Refused::wrong_reply()),
    }
}

/// The read state of a user in a channel
///
/// Of someone who is not a member all numbers are 0 and `member` is false.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/channels/{channel}",
    tag = "users",
    operation_id = "getReadState",
    params(
        ("user" = schema::Name, Path, description = "The user"),
        ("channel" = schema::Name, Path, description = "The channel"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag seen before")
    ),
    responses(
        (status = 200, description = "The read state", body = ReadState,
            headers(("ETag" = String, description = "A digest of the read state"))),
        (status = 304, description = "Nothing has changed")
    )
)]
pub(super) async fn channel(
    caller: Caller,
    InPath((user, channel)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (user, channel) = (caller.user(&user)?, caller.channel(&channel)?);
    let request = |_: &mut dyn IdSource| {
        Ok(Request::Count {
            user: user.clone(),
            channels: vec![channel.clone()],
        })
    };
    let answer = caller.call(request).await?;
    match &answer.reply {
        Reply::ReadStates(states) if states.len() == 1 => {
            let state = states
                .first()
                .map(|state| ReadState::new(&channel, state, &answer.ids()));
            Ok(with_content_etag(&headers, state))
        }
        _other => Err(Refused::wrong_reply()),
    }
}

/// Why a number is what it is
///
/// Which line counts, what set it and when, and the very ids that make the number.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/channels/{channel}/explain",
    tag = "users",
    operation_id = "explain",
    params(
        ("user" = schema::Name, Path, description = "The user"),
        ("channel" = schema::Name, Path, description = "The channel"),
        body::ExplainQuery
    ),
    responses((status = 200, description = "The explanation", body = Explanation))
)]
pub(super) async fn explain(
    caller: Caller,
    InPath((user, channel)): InPath<(String, String)>,
    InQuery(query): InQuery<body::ExplainQuery>,
) -> Result<Answered<Explanation>, Refused> {
    let (user, channel) = (caller.user(&user)?, caller.channel(&channel)?);
    let after = query.after.as_deref().map(IdText::new);
    let request = |ids: &mut dyn IdSource| {
        let after = after.as_ref();
        let after = after.map(|after| message_id(ids, &channel, after, "after"));
        let page = page(query.limit, after.transpose()?)?;
        Ok(Request::Explain {
            user: user.clone(),
            channel: channel.clone(),
            page,
        })
    };
    let answer = caller.call(request).await?;
    match &answer.reply {
        Reply::Explanation(why) => Ok(Answered(Explanation::new(&channel, why, &answer.ids()))),
        _other => Err(Refused::wrong_reply()),
    }
}
