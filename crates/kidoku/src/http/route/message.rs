//! Messages: posted, edited, deleted, and who has read them.

use super::parts::{mention_list, message_id, name, page};
use crate::http::caller::Caller;
use crate::http::input::{BulkJson, InPath, InQuery};
use crate::http::refused::Refused;
use axum::Json as Answered;
use kidoku_core::id::NameKind;
use kidoku_core::reply::Reply;
use kidoku_core::request::{Post, Request};
use kidoku_proto::ids::IdSource;
use kidoku_proto::json::IdText;
use kidoku_proto::json::answer::{Changed, Seen};
use kidoku_proto::json::{body, schema};

/// Post a message
///
/// One message; for many at once use `POST /v1/events`. The same message twice is the same once.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/messages",
    tag = "messages",
    operation_id = "postMessage",
    params(("channel" = schema::Name, Path, description = "The channel")),
    request_body = body::Message,
    responses((status = 200, description = "1 = new, 0 = already known", body = Changed))
)]
pub(super) async fn post(
    caller: Caller,
    InPath(channel): InPath<String>,
    BulkJson(body): BulkJson<body::Message>,
) -> Result<Answered<Changed>, Refused> {
    let channel = caller.channel(&channel)?;
    let author = body
        .author
        .as_deref()
        .map(|author| caller.user(author))
        .transpose()?;
    let mentions = mention_list(&caller.app, body.everyone, &body.roles, &body.mentions)?;
    let request = |ids: &mut dyn IdSource| {
        let post = Post {
            id: message_id(ids, &channel, &body.id, "id")?,
            author: author.clone(),
            noack: body.noack,
            silent: body.silent,
            mentions: mentions.clone(),
        };
        Ok(Request::Post {
            channel: channel.clone(),
            post,
        })
    };
    Ok(Answered(Changed {
        changed: caller.call_number(request).await?,
    }))
}

/// Replace whom a message names
#[utoipa::path(
    patch,
    path = "/v1/channels/{channel}/messages/{id}",
    tag = "messages",
    operation_id = "editMessage",
    params(
        ("channel" = schema::Name, Path, description = "The channel"),
        ("id" = schema::MessageId, Path, description = "The message")
    ),
    request_body = body::Edit,
    responses((status = 200, description = "1 = applied, 0 = a newer one is known", body = Changed))
)]
pub(super) async fn edit(
    caller: Caller,
    InPath((channel, id)): InPath<(String, String)>,
    BulkJson(body): BulkJson<body::Edit>,
) -> Result<Answered<Changed>, Refused> {
    let channel = caller.channel(&channel)?;
    if body.version == 0 {
        return Err(Refused::syntax(
            "field `version`: an edit's version is 1 or more",
        ));
    }
    let mentions = mention_list(&caller.app, body.everyone, &body.roles, &body.mentions)?;
    let id = IdText::new(&id);
    let request = |ids: &mut dyn IdSource| {
        let id = message_id(ids, &channel, &id, "id")?;
        let (channel, mentions) = (channel.clone(), mentions.clone());
        Ok(Request::Edit {
            channel,
            id,
            version: body.version,
            mentions,
        })
    };
    Ok(Answered(Changed {
        changed: caller.call_number(request).await?,
    }))
}

/// Delete a message
///
/// It leaves unread, mentions and receipts at once, also when the delete comes before the message.
#[utoipa::path(
    delete,
    path = "/v1/channels/{channel}/messages/{id}",
    tag = "messages",
    operation_id = "deleteMessage",
    params(
        ("channel" = schema::Name, Path, description = "The channel"),
        ("id" = schema::MessageId, Path, description = "The message")
    ),
    responses((status = 200, description = "1 = deleted now, 0 = already was", body = Changed))
)]
pub(super) async fn delete(
    caller: Caller,
    InPath((channel, id)): InPath<(String, String)>,
) -> Result<Answered<Changed>, Refused> {
    let channel = caller.channel(&channel)?;
    let id = IdText::new(&id);
    let request = |ids: &mut dyn IdSource| {
        let ids = vec![message_id(ids, &channel, &id, "id")?];
        Ok(Request::Delete {
            channel: channel.clone(),
            ids,
        })
    };
    Ok(Answered(Changed {
        changed: caller.call_number(request).await?,
    }))
}

/// See who has read a message
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/messages/{id}/receipts",
    tag = "messages",
    operation_id = "getReceipts",
    params(
        ("channel" = schema::Name, Path, description = "The channel"),
        ("id" = schema::MessageId, Path, description = "The message"),
        body::ReceiptsQuery
    ),
    responses((status = 200, description = "How many, and with `list` who", body = Seen))
)]
pub(super) async fn receipts(
    caller: Caller,
    InPath((channel, id)): InPath<(String, String)>,
    InQuery(query): InQuery<body::ReceiptsQuery>,
) -> Result<Answered<Seen>, Refused> {
    let channel = caller.channel(&channel)?;
    let after = query
        .after
        .as_deref()
        .map(|after| name(NameKind::User, after))
        .transpose()?;
    let page = page(query.limit, after)?;
    let id = IdText::new(&id);
    let request = |ids: &mut dyn IdSource| {
        let id = message_id(ids, &channel, &id, "id")?;
        let list = query.list.then(|| page.clone());
        Ok(Request::Seen {
            channel: channel.clone(),
            id,
            list,
        })
    };
    match caller.call(request).await?.reply {
        Reply::Seen {
            count,
            members,
            users,
            next,
        } => Ok(Answered(Seen::new(
            count,
            members,
            users.as_deref(),
            next.as_ref(),
        ))),
        _other => Err(Refused::wrong_reply()),
    }
}
