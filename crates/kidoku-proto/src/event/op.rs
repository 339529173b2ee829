//! Lines that are operations: what a producer sends.

use super::fields::{Clearable, Number, Raw, Text};
use super::{Context, LineError, Op};
use crate::error::escape;
use crate::ids::check_ahead;
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::error::{Code, Error};
use kidoku_core::fact::{MuteLevel, Receipts};
use kidoku_core::id::{App, ChannelKey, MessageId, Name, NameKind, UserKey};
use kidoku_core::limits::{MENTIONS_PER_MESSAGE_MAX, ROLES_PER_MESSAGE_MAX};
use kidoku_core::request::{JoinAt, MentionList, Post, Request};

type Fields<'a> = Raw<'a>;

/// The request of an operation. Takes the op's fields out of `raw`.
pub(super) fn build(
    op: Op,
    raw: &mut Fields<'_>,
    ctx: &mut Context<'_>,
) -> Result<Request, LineError> {
    match op {
        Op::Message => message(raw, ctx),
        Op::Delete => {
            let channel = channel(raw, ctx.app)?;
            let ids = vec![id(raw, &channel, ctx)?];
            Ok(Request::Delete { channel, ids })
        }
        Op::Edit => edit(raw, ctx),
        Op::Join => join(raw, ctx),
        Op::Leave => {
            let (channel, user) = (channel(raw, ctx.app)?, user(raw, ctx.app)?);
            Ok(Request::Leave {
                channel,
                users: vec![user],
            })
        }
        Op::Ack => ack(raw, ctx),
        Op::Unread => {
            let (channel, user) = (channel(raw, ctx.app)?, user(raw, ctx.app)?);
            let id = id(raw, &channel, ctx)?;
            Ok(Request::MarkUnread { user, channel, id })
        }
        Op::AckAll => ack_all(raw, ctx),
        Op::Mute => mute(raw, ctx.app),
        Op::Channel => settings(raw, ctx.app),
        Op::Role => role(raw, ctx.app),
        Op::Trim => {
            let channel = channel(raw, ctx.app)?;
            let id = id(raw, &channel, ctx)?;
            Ok(Request::Trim { channel, id })
        }
        Op::Follow => {
            let user = user(raw, ctx.app)?;
            let thread = name(raw.thread.take(), "thread")?;
            let thread = ChannelKey::new(ctx.app, &thread.0)
                .map_err(|error| LineError::in_field("thread", &error))?;
            let on = need(raw.on.take(), "on")?;
            Ok(Request::Follow { user, thread, on })
        }
        Op::Mention | Op::Own | Op::Erase | Op::Drop | Op::Opaque => {
            Err(LineError::syntax(format!(
                "op `{}` is only for facts, lines with \"fact\":true",
                op.as_str()
            )))
        }
    }
}

fn message(raw: &mut Fields<'_>, ctx: &mut Context<'_>) -> Result<Request, LineError> {
    let channel = channel(raw, ctx.app)?;
    let id = id(raw, &channel, ctx)?;
    let author = match raw.author.take() {
        Some(author) => Some(user_key(ctx.app, &author, "author")?),
        None => None,
    };
    let noack = raw.noack.take().unwrap_or(false);
    let silent = raw.silent.take().unwrap_or(false);
    let mentions = mention_list(raw, ctx.app)?;
    Ok(Request::Post {
        channel,
        post: Post {
            id,
            author,
            noack,
            silent,
            mentions,
        },
    })
}

fn edit(raw: &mut Fields<'_>, ctx: &mut Context<'_>) -> Result<Request, LineError> {
    let channel = channel(raw, ctx.app)?;
    let id = id(raw, &channel, ctx)?;
    let version = number(&need(raw.version.take(), "version")?, "version")?;
    if version == 0 {
        return Err(LineError::syntax(
            "field `version`: an edit's version is 1 or more",
        ));
    }
    let mentions = mention_list(raw, ctx.app)?;
    Ok(Request::Edit {
        channel,
        id,
        version,
        mentions,
    })
}

fn join(raw: &mut Fields<'_>, ctx: &mut Context<'_>) -> Result<Request, LineError> {
    let (channel, user) = (channel(raw, ctx.app)?, user(raw, ctx.app)?);
    let at = match raw.at.take() {
        None => JoinAt::Tail,
        Some(Number::Text(text)) if text.0.eq_ignore_ascii_case("tail") => JoinAt::Tail,
        Some(Number::Text(text)) if text.0.eq_ignore_ascii_case("start") => JoinAt::Start,
        Some(after) => JoinAt::After(message_id(&after, "at", &channel, ctx)?),
    };
    Ok(Request::Join {
        channel,
        users: vec![user],
        at,
    })
}

fn ack(raw: &mut Fields<'_>, ctx: &mut Context<'_>) -> Result<Request, LineError> {
    let (channel, user) = (channel(raw, ctx.app)?, user(raw, ctx.app)?);
    let id = id(raw, &channel, ctx)?;
    let era = match raw.era.take() {
        None => None,
        Some(era) => Some(clock(&era, "era", ctx.now)?),
    };
    let private = raw.private.take().unwrap_or(false);
    Ok(Request::Ack {
        user,
        channel,
        id,
        era,
        private,
        count: false,
    })
}

fn ack_all(raw: &mut Fields<'_>, ctx: &mut Context<'_>) -> Result<Request, LineError> {
    let user = user(raw, ctx.app)?;
    let upto = need(raw.id.take(), "id")?;
    let upto = ctx
        .ids
        .global(upto.text().as_bytes())
        .map_err(|error| LineError::in_field("id", &error))?;
    let space = optional_name(raw.space.take(), NameKind::Space, "space")?;
    Ok(Request::AckAll {
        user,
        upto,
        space: space.flatten(),
    })
}

fn mute(raw: &mut Fields<'_>, app: &App) -> Result<Request, LineError> {
    let (channel, user) = (channel(raw, app)?, user(raw, app)?);
    let level = mute_level(&need(raw.level.take(), "level")?)?;
    let until = match raw.until.take() {
        None => Millis(0),
        Some(until) => Millis(number(&until, "until")?),
    };
    Ok(Request::Mute {
        user,
        channel,
        level,
        until,
    })
}

fn settings(raw: &mut Fields<'_>, app: &App) -> Result<Request, LineError> {
    let channel = channel(raw, app)?;
    let space = optional_name(raw.space.take(), NameKind::Space, "space")?;
    let parent = optional_name(raw.parent.take(), NameKind::Channel, "parent")?;
    let receipts = match raw.receipts.take() {
        None => None,
        Some(word) => Some(receipts(&word)?),
    };
    Ok(Request::Channel {
        channel,
        space,
        parent,
        receipts,
    })
}

fn role(raw: &mut Fields<'_>, app: &App) -> Result<Request, LineError> {
    let role = name(raw.role.take(), "role")?;
    let role =
        Name::new(NameKind::Role, &role.0).map_err(|error| LineError::in_field("role", &error))?;
    let users = vec![user(raw, app)?];
    let held = need(raw.add.take(), "add")?;
    Ok(Request::Role {
        app: app.clone(),
        role,
        users,
        held,
    })
}

fn mention_list(raw: &mut Fields<'_>, app: &App) -> Result<MentionList, LineError> {
    let everyone = raw.everyone.take().unwrap_or(false);
    let roles = raw.roles.take().unwrap_or_default();
    at_most(roles.len(), ROLES_PER_MESSAGE_MAX, "roles")?;
    let users = raw.mentions.take().unwrap_or_default();
    at_most(users.len(), MENTIONS_PER_MESSAGE_MAX, "mentions")?;
    let roles = roles
        .iter()
        .map(|role| Name::new(NameKind::Role, &role.0))
        .collect::<Result<_, _>>();
    let users = users
        .iter()
        .map(|user| user_key(app, user, "mentions"))
        .collect::<Result<_, _>>();
    Ok(MentionList {
        everyone,
        roles: roles.map_err(|error| LineError::in_field("roles", &error))?,
        users: users?,
    })
}

fn at_most(count: usize, max: usize, field: &str) -> Result<(), LineError> {
    if count > max {
        let detail = format!("field `{field}`: {count} entries, at most {max} are allowed");
        return Err(LineError::new(Code::Limit, detail));
    }
    Ok(())
}

pub(super) fn need<T>(value: Option<T>, field: &str) -> Result<T, LineError> {
    value.ok_or_else(|| LineError::syntax(format!("the field `{field}` is missing")))
}

pub(super) fn name<'a>(value: Option<Text<'a>>, field: &str) -> Result<Text<'a>, LineError> {
    need(value, field)
}

fn user_key(app: &App, name: &Text<'_>, field: &str) -> Result<UserKey, LineError> {
    UserKey::new(app, &name.0).map_err(|error| LineError::in_field(field, &error))
}

pub(super) fn user(raw: &mut Fields<'_>, app: &App) -> Result<UserKey, LineError> {
    user_key(app, &name(raw.user.take(), "user")?, "user")
}

pub(super) fn channel(raw: &mut Fields<'_>, app: &App) -> Result<ChannelKey, LineError> {
    let name = name(raw.channel.take(), "channel")?;
    ChannelKey::new(app, &name.0).map_err(|error| LineError::in_field("channel", &error))
}

fn id(
    raw: &mut Fields<'_>,
    channel: &ChannelKey,
    ctx: &mut Context<'_>,
) -> Result<MessageId, LineError> {
    message_id(&need(raw.id.take(), "id")?, "id", channel, ctx)
}

fn message_id(
    id: &Number<'_>,
    field: &str,
    channel: &ChannelKey,
    ctx: &mut Context<'_>,
) -> Result<MessageId, LineError> {
    let id = match id {
        // "" is not an id anywhere, but an app of opaque ids would call it an empty string.
        Number::Other => Err(Error::BadMessageId),
        Number::Int(_) | Number::Text(_) => ctx.ids.id(channel, id.text().as_bytes()),
    };
    id.map_err(|error| LineError::in_field(field, &error))
}

/// A space or parent: `None` = absent, `Some(None)` = null.
pub(super) fn optional_name(
    value: Option<Clearable<'_>>,
    kind: NameKind,
    field: &str,
) -> Result<Option<Option<Name>>, LineError> {
    match value {
        None => Ok(None),
        Some(Clearable(None)) => Ok(Some(None)),
        Some(Clearable(Some(text))) => Name::new(kind, &text.0)
            .map(|name| Some(Some(name)))
            .map_err(|error| LineError::in_field(field, &error)),
    }
}

pub(super) fn number(value: &Number<'_>, field: &str) -> Result<u64, LineError> {
    value.value().ok_or_else(|| {
        LineError::syntax(format!(
            "field `{field}`: not a whole number from 0 to {}",
            u64::MAX
        ))
    })
}

/// An era or a clock that is not far ahead of the server's.
pub(super) fn clock(
    value: &Number<'_>,
    field: &'static str,
    now: Millis,
) -> Result<Clock, LineError> {
    let clock = Clock(number(value, field)?);
    let what = if field == "era" { "era" } else { "clock" };
    check_ahead(what, clock.millis(), now).map_err(|error| LineError::in_field(field, &error))?;
    Ok(clock)
}

pub(super) fn mute_level(word: &Text<'_>) -> Result<MuteLevel, LineError> {
    [MuteLevel::None, MuteLevel::Mentions, MuteLevel::All]
        .into_iter()
        .find(|level| level.as_str().eq_ignore_ascii_case(&word.0))
        .ok_or_else(|| not_one_of("level", word, "ALL, MENTIONS or NONE"))
}

pub(super) fn receipts(word: &Text<'_>) -> Result<Receipts, LineError> {
    [Receipts::Off, Receipts::Count, Receipts::List]
        .into_iter()
        .find(|receipts| receipts.as_str().eq_ignore_ascii_case(&word.0))
        .ok_or_else(|| not_one_of("receipts", word, "OFF, COUNT or LIST"))
}

fn not_one_of(field: &str, word: &Text<'_>, words: &str) -> LineError {
    let word = escape(word.0.as_bytes());
    LineError::syntax(format!("field `{field}`: `{word}` is not one of {words}"))
}
