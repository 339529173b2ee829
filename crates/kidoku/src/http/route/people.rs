//! What else is said of users: mutes, followed threads, roles, erasure.

use super::channel::erased;
use super::parts::{mute_level, name, users};
use crate::http::caller::Caller;
use crate::http::input::{BulkJson, InPath, Json};
use crate::http::refused::Refused;
use axum::Json as Answered;
use axum::http::StatusCode;
use kidoku_core::clock::Millis;
use kidoku_core::id::NameKind;
use kidoku_core::reply::Reply;
use kidoku_core::request::Request;
use kidoku_proto::ids::IdSource;
use kidoku_proto::json::answer::{Changed, Erased};
use kidoku_proto::json::{body, schema};

/// Mute a channel for a user
///
/// Changes the `unmuted_*` totals, never a count.
#[utoipa::path(
    put,
    path = "/v1/users/{user}/channels/{channel}/mute",
    tag = "users",
    operation_id = "mute",
    params(
        ("user" = schema::Name, Path, description = "The user"),
        ("channel" = schema::Name, Path, description = "The channel")
    ),
    request_body = body::Mute,
    responses((status = 204, description = "Done"))
)]
pub(super) async fn mute(
    caller: Caller,
    InPath((user, channel)): InPath<(String, String)>,
    Json(body): Json<body::Mute>,
) -> Result<StatusCode, Refused> {
    let (user, channel) = (caller.user(&user)?, caller.channel(&channel)?);
    let (level, until) = (mute_level(&body.level)?, Millis(body.until));
    let request = |_: &mut dyn IdSource| {
        Ok(Request::Mute {
            user: user.clone(),
            channel: channel.clone(),
            level,
            until,
        })
    };
    match caller.call(request).await?.reply {
        Reply::Ok => Ok(StatusCode::NO_CONTENT),
        _other => Err(Refused::wrong_reply()),
    }
}

/// Follow a thread, or not any more
#[utoipa::path(
    put,
    path = "/v1/users/{user}/follow/{thread}",
    tag = "users",
    operation_id = "follow",
    params(
        ("user" = schema::Name, Path, description = "The user"),
        ("thread" = schema::Name, Path, description = "The thread")
    ),
    request_body = body::Follow,
    responses((status = 200, description = "1 = changed, 0 = was so already", body = Changed))
)]
pub(super) async fn follow(
    caller: Caller,
    InPath((user, thread)): InPath<(String, String)>,
    Json(body): Json<body::Follow>,
) -> Result<Answered<Changed>, Refused> {
    let (user, thread) = (caller.user(&user)?, caller.channel(&thread)?);
    let request = |_: &mut dyn IdSource| {
        Ok(Request::Follow {
            user: user.clone(),
            thread: thread.clone(),
            on: body.on,
        })
    };
    Ok(Answered(Changed {
        changed: caller.call_number(request).await?,
    }))
}

/// Erase a user
///
/// Everything of them is gone. A user of the same name starts afresh.
#[utoipa::path(
    delete,
    path = "/v1/users/{user}",
    tag = "users",
    operation_id = "eraseUser",
    params(("user" = schema::Name, Path, description = "The user")),
    responses((status = 200, description = "What went", body = Erased))
)]
pub(super) async fn erase(
    caller: Caller,
    InPath(user): InPath<String>,
) -> Result<Answered<Erased>, Refused> {
    let user = caller.user(&user)?;
    let answer = caller
        .call(|_| Ok(Request::Erase { user: user.clone() }))
        .await?;
    erased(&answer.reply)
}

/// Give a role, or take it away
///
/// `changed` is the number of users for whom something changed. First all of `add`, then all of
/// `remove`.
#[utoipa::path(
    put,
    path = "/v1/roles/{role}/users",
    tag = "roles",
    operation_id = "putRoleUsers",
    params(("role" = schema::Name, Path, description = "The role")),
    request_body = body::RoleUsers,
    responses((status = 200, description = "How many changed", body = Changed))
)]
pub(super) async fn roles(
    caller: Caller,
    InPath(role): InPath<String>,
    BulkJson(body): BulkJson<body::RoleUsers>,
) -> Result<Answered<Changed>, Refused> {
    let role = name(NameKind::Role, &role)?;
    let add = users(&caller.app, &body.add, "add")?;
    let remove = users(&caller.app, &body.remove, "remove")?;
    if add.is_empty() && remove.is_empty() {
        return Err(Refused::syntax("fields `add` and `remove`: both are empty"));
    }
    let mut changed = 0;
    for (users, held) in [(add, true), (remove, false)] {
        if !users.is_empty() {
            let request = |_: &mut dyn IdSource| {
                let (app, role, users) = (caller.app.clone(), role.clone(), users.clone());
                Ok(Request::Role {
                    app,
                    role,
                    users,
                    held,
                })
            };
            changed += caller.call_number(request).await?;
        }
    }
    Ok(Answered(Changed { changed }))
}
