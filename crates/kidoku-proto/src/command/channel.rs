//! Settings of a channel, and its end.

use super::arguments::Arguments;
use super::table::{Class, Group, Parse, ROW, Spec};
use super::{Command, Context};
use crate::error::CommandError;
use kidoku_core::fact::Receipts;
use kidoku_core::id::NameKind;
use kidoku_core::request::Request;

/// The rows of this family.
pub(super) const ROWS: [Spec; 2] = [
    Spec {
        name: "KD.CHANNEL",
        arity: -2,
        syntax: "channel [SPACE space] [PARENT channel] [RECEIPTS OFF|COUNT|LIST]",
        summary: "Changes the settings of a channel, or reads them when none is given.",
        details: "`SPACE \"\"` and `PARENT \"\"` clear. A channel with a parent is a thread of it.",
        group: Group::Channels,
        class: Class::Write,
        reply: "Map: `space` (or null), `parent` (or null), `receipts`.",
        example: "KD.CHANNEL general SPACE guild RECEIPTS COUNT",
        parse: Parse::InApp(channel),
        ..ROW
    },
    Spec {
        name: "KD.DROP",
        arity: 2,
        syntax: "channel",
        summary: "Drops a channel with its messages and everyone's read state in it.",
        details: "A channel that comes back under the name starts afresh.",
        complexity: "O(U), U = users of the channel",
        group: Group::Admin,
        class: Class::Admin,
        reply: "Map: `erased_at` (ms), and how many `channels`, `mentions` and `messages` went.",
        example: "KD.DROP general",
        parse: Parse::InApp(drop_channel),
        ..ROW
    },
];

#[derive(Clone, Copy)]
enum ChannelOption {
    Space,
    Parent,
    Receipts,
}

const OPTIONS: [(&str, ChannelOption); 3] = [
    ("SPACE", ChannelOption::Space),
    ("PARENT", ChannelOption::Parent),
    ("RECEIPTS", ChannelOption::Receipts),
];

fn channel<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    let (mut space, mut parent, mut receipts) = (None, None, None);
    while let Some(option) = arguments.keyword(&OPTIONS)? {
        match option {
            ChannelOption::Space => space = Some(arguments.name_or_none(NameKind::Space)?),
            ChannelOption::Parent => parent = Some(arguments.name_or_none(NameKind::Channel)?),
            ChannelOption::Receipts => {
                let levels = [Receipts::Off, Receipts::Count, Receipts::List];
                receipts = Some(arguments.one_of(&levels.map(|level| (level.as_str(), level)))?);
            }
        }
    }
    Ok(Command::Request(Request::Channel {
        channel,
        space,
        parent,
        receipts,
    }))
}

fn drop_channel<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    Ok(Command::Request(Request::Drop { channel }))
}
