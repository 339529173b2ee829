//! Posts, edits, deletes, retention.

use super::arguments::{Arguments, Most};
use super::table::{Class, Group, Parse, ROW, Spec};
use super::{Command, Context};
use crate::error::CommandError;
use kidoku_core::id::NameKind;
use kidoku_core::limits::{IDS_PER_COMMAND_MAX, MENTIONS_PER_MESSAGE_MAX, ROLES_PER_MESSAGE_MAX};
use kidoku_core::request::{MentionList, Post, Request};

const WRITE: Spec = Spec {
    group: Group::Messages,
    class: Class::Write,
    ..ROW
};

/// The rows of this family.
pub(super) const ROWS: [Spec; 4] = [
    Spec {
        name: "KD.POST",
        arity: -3,
        syntax: "channel id [BY user] [NOACK] [SILENT] [EVERYONE] [ROLES n role ...] \
                 [MENTIONS n user ...]",
        summary: "Says that a message was posted.",
        details: "`BY` names the author: the message never counts for them and acks up to itself, \
                  unless `NOACK`. `SILENT` messages (join notices and the like) count for nobody. \
                  The same message again changes nothing.",
        complexity: "O(1 + mentions), whatever the number of members",
        reply: "Integer: 1 = new, 0 = already known.",
        example: "KD.POST general 42 BY bob MENTIONS 2 ada eve",
        parse: Parse::InApp(post),
        ..WRITE
    },
    Spec {
        name: "KD.DELETE",
        arity: -3,
        syntax: "channel id [id ...]",
        summary: "Deletes messages: they leave every number at once.",
        details: "Also when the delete arrives before the message.",
        complexity: "O(N log M), N = ids named",
        reply: "Integer: how many are newly deleted.",
        example: "KD.DELETE general 41 42",
        parse: Parse::InApp(delete),
        ..WRITE
    },
    Spec {
        name: "KD.EDIT",
        arity: -5,
        syntax: "channel id VERSION v [EVERYONE] [ROLES n role ...] [MENTIONS n user ...]",
        summary: "Replaces whom a message names.",
        details: "`VERSION` counts the edits of a message from 1; an older one than what is known \
                  changes nothing. Whoever is not named any more loses the mention.",
        complexity: "O(log M + mentions)",
        reply: "Integer: 1 = applied, 0 = an edit at least as new is known.",
        example: "KD.EDIT general 42 VERSION 1 MENTIONS 1 ada",
        parse: Parse::InApp(edit),
        ..WRITE
    },
    Spec {
        name: "KD.TRIM",
        arity: 3,
        syntax: "channel id",
        summary: "Takes a message and all below it out of every count (retention).",
        details: "",
        complexity: "O(log M + R), R = messages that go",
        reply: "Integer: how many messages went.",
        example: "KD.TRIM general 30",
        parse: Parse::InApp(trim),
        ..WRITE
    },
];

#[derive(Clone, Copy)]
enum PostOption {
    By,
    NoAck,
    Silent,
    Names(NamesOption),
}

#[derive(Clone, Copy)]
enum NamesOption {
    Everyone,
    Roles,
    Mentions,
}

const POST_OPTIONS: [(&str, PostOption); 6] = [
    ("BY", PostOption::By),
    ("NOACK", PostOption::NoAck),
    ("SILENT", PostOption::Silent),
    ("EVERYONE", PostOption::Names(NamesOption::Everyone)),
    ("ROLES", PostOption::Names(NamesOption::Roles)),
    ("MENTIONS", PostOption::Names(NamesOption::Mentions)),
];

fn post<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    let id = arguments.id(&channel, context)?;
    let mentions = MentionList::default();
    let mut post = Post {
        id,
        author: None,
        noack: false,
        silent: false,
        mentions,
    };
    while let Some(option) = arguments.keyword(&POST_OPTIONS)? {
        match option {
            PostOption::By => post.author = Some(arguments.user(context)?),
            PostOption::NoAck => post.noack = true,
            PostOption::Silent => post.silent = true,
            PostOption::Names(option) => {
                names(option, &mut post.mentions, &mut arguments, context)?;
            }
        }
    }
    Ok(Command::Request(Request::Post { channel, post }))
}

/// Reads what one of the options says about whom a message names.
fn names(
    option: NamesOption,
    mentions: &mut MentionList,
    arguments: &mut Arguments<'_>,
    context: &Context<'_>,
) -> Result<(), CommandError> {
    match option {
        NamesOption::Everyone => mentions.everyone = true,
        NamesOption::Roles => {
            let most = Most {
                max: ROLES_PER_MESSAGE_MAX,
                name: "roles_per_message_max",
            };
            mentions.roles = arguments.counted("roles", most, |rest| rest.name(NameKind::Role))?;
        }
        NamesOption::Mentions => {
            let most = Most {
                max: MENTIONS_PER_MESSAGE_MAX,
                name: "mentions_per_message_max",
            };
            mentions.users = arguments.counted("mentions", most, |rest| rest.user(context))?;
        }
    }
    Ok(())
}

fn delete<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    let len = arguments.left();
    let most = Most {
        max: IDS_PER_COMMAND_MAX,
        name: "ids_per_command_max",
    };
    arguments.check_most("ids", len, most)?;
    let mut ids = Vec::with_capacity(len);
    for _ in 0..len {
        ids.push(arguments.id(&channel, context)?);
    }
    Ok(Command::Request(Request::Delete { channel, ids }))
}

#[derive(Clone, Copy)]
enum EditOption {
    Version,
    Names(NamesOption),
}

const EDIT_OPTIONS: [(&str, EditOption); 4] = [
    ("VERSION", EditOption::Version),
    ("EVERYONE", EditOption::Names(NamesOption::Everyone)),
    ("ROLES", EditOption::Names(NamesOption::Roles)),
    ("MENTIONS", EditOption::Names(NamesOption::Mentions)),
];

fn edit<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    let id = arguments.id(&channel, context)?;
    let (mut version, mut mentions) = (0, MentionList::default());
    while let Some(option) = arguments.keyword(&EDIT_OPTIONS)? {
        match option {
            EditOption::Version => version = arguments.number("VERSION")?,
            EditOption::Names(option) => names(option, &mut mentions, &mut arguments, context)?,
        }
    }
    if version == 0 {
        return Err(arguments.usage("VERSION is missing or 0, the first edit is 1"));
    }
    Ok(Command::Request(Request::Edit {
        channel,
        id,
        version,
        mentions,
    }))
}

fn trim<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    let id = arguments.id(&channel, context)?;
    Ok(Command::Request(Request::Trim { channel, id }))
}
