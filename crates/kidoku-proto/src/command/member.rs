//! Who is in a channel, holds a role, follows a thread.

use super::arguments::Arguments;
use super::table::{Class, Group, Keys, Parse, ROW, Spec};
use super::{Command, Context};
use crate::error::CommandError;
use kidoku_core::id::NameKind;
use kidoku_core::request::{JoinAt, Request};

const WRITE: Spec = Spec {
    group: Group::Membership,
    class: Class::Write,
    ..ROW
};

/// The rows of this family.
pub(super) const ROWS: [Spec; 4] = [
    Spec {
        name: "KD.JOIN",
        arity: -3,
        syntax: "channel user [user ...] [AT TAIL|START|id]",
        summary: "Adds users to a channel.",
        details: "Their unread starts after the newest message (`TAIL`, when not said), at the first \
                  one (`START`), or after an id. `AT` as the last word but one is always the option, \
                  so after a user of the name `AT` say it in full.",
        complexity: "O(N), N = users named",
        reply: "Integer: how many joined now.",
        example: "KD.JOIN general ada bob AT START",
        parse: Parse::InApp(join),
        ..WRITE
    },
    Spec {
        name: "KD.LEAVE",
        arity: -3,
        syntax: "channel user [user ...]",
        summary: "Takes users out of a channel, and its threads.",
        details: "What they have read is kept for a later join.",
        complexity: "O(N), N = users named",
        reply: "Integer: how many left now.",
        example: "KD.LEAVE general bob",
        parse: Parse::InApp(leave),
        ..WRITE
    },
    Spec {
        name: "KD.ROLE",
        arity: -4,
        syntax: "role ADD|REMOVE user [user ...]",
        summary: "Gives users a role, or takes it away.",
        details: "A message that names a role counts as a mention for those who hold it when asked.",
        complexity: "O(N), N = users named",
        keys: Keys {
            first: 3,
            last: -1,
            step: 1,
        },
        reply: "Integer: for how many users that changed.",
        example: "KD.ROLE admins ADD ada",
        parse: Parse::InApp(role),
        ..WRITE
    },
    Spec {
        name: "KD.FOLLOW",
        arity: 4,
        syntax: "user thread ON|OFF",
        summary: "Follows a thread, or no longer.",
        details: "",
        complexity: "O(log C), C = channels of the user",
        reply: "Integer: 1 = that changed, 0 = it was so.",
        example: "KD.FOLLOW ada thread:42 ON",
        parse: Parse::InApp(follow),
        ..WRITE
    },
];

fn join<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    let option = arguments
        .at_end(2)
        .filter(|word| word.eq_ignore_ascii_case(b"AT"));
    // The first argument after the channel is a user in any case.
    let keep = if option.is_some() && arguments.left() > 2 {
        2
    } else {
        0
    };
    let users = arguments.users(keep, context)?;
    let mut at = JoinAt::Tail;
    while let Some(()) = arguments.keyword(&[("AT", ())])? {
        let word = arguments.at_end(1).unwrap_or_default();
        at = if word.eq_ignore_ascii_case(b"TAIL") {
            arguments.required().map(|_| JoinAt::Tail)?
        } else if word.eq_ignore_ascii_case(b"START") {
            arguments.required().map(|_| JoinAt::Start)?
        } else {
            JoinAt::After(arguments.id(&channel, context)?)
        };
    }
    Ok(Command::Request(Request::Join { channel, users, at }))
}

fn leave<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    let users = arguments.users(0, context)?;
    Ok(Command::Request(Request::Leave { channel, users }))
}

fn role<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let role = arguments.name(NameKind::Role)?;
    let held = arguments.one_of(&[("ADD", true), ("REMOVE", false)])?;
    let users = arguments.users(0, context)?;
    Ok(Command::Request(Request::Role {
        app: context.app.clone(),
        role,
        users,
        held,
    }))
}

fn follow<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let thread = arguments.channel(context)?;
    let on = arguments.one_of(&[("ON", true), ("OFF", false)])?;
    Ok(Command::Request(Request::Follow { user, thread, on }))
}
