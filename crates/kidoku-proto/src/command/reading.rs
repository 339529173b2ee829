//! Acks, mark unread, mute: what a user says about how far they have read.

use super::arguments::{Arguments, Most};
use super::table::{Class, Group, Parse, ROW, Spec};
use super::{Command, Context};
use crate::error::CommandError;
use crate::ids::check_ahead;
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::fact::MuteLevel;
use kidoku_core::id::NameKind;
use kidoku_core::limits::CHANNELS_PER_COMMAND_MAX;
use kidoku_core::request::Request;

const WRITE: Spec = Spec {
    group: Group::Reading,
    class: Class::Write,
    ..ROW
};

/// The rows of this family.
pub(super) const ROWS: [Spec; 5] = [
    Spec {
        name: "KD.ACK",
        arity: -4,
        syntax: "user channel id [ERA e] [PRIVATE] [COUNT]",
        summary: "Says that a user has read a channel up to and including a message.",
        details: "The message need not exist yet. An id at or below the cursor changes nothing and \
                  is no error. With `ERA`, the `era` of the read state that the device last saw, an \
                  ack that is older than a mark-unread changes nothing. `PRIVATE` does not show in \
                  receipts.",
        complexity: "O(log C), C = channels of the user; with COUNT also O(log M), M = messages",
        reply: "Integer: 1 = the cursor moved, 0 = it did not. With COUNT the read state.",
        example: "KD.ACK ada general 42",
        parse: Parse::InApp(ack),
        ..WRITE
    },
    Spec {
        name: "KD.MACK",
        arity: -4,
        syntax: "user channel id [channel id ...]",
        summary: "Acks several channels of one user.",
        details: "",
        complexity: "O(N log C), N = channels named",
        reply: "Integer: how many cursors moved.",
        example: "KD.MACK ada general 42 random 7",
        parse: Parse::InApp(ack_many),
        ..WRITE
    },
    Spec {
        name: "KD.ACKALL",
        arity: -4,
        syntax: "user UPTO id [SPACE space]",
        summary: "Marks everything up to an id as read, in all channels or those of one space.",
        details: "One write, whatever the number of channels. Not for apps with opaque ids, which \
                  have no order between channels.",
        complexity: "O(C), C = channels of the user",
        reply: "Map: the badge, see KD.BADGE.",
        example: "KD.ACKALL ada UPTO 1000 SPACE guild",
        parse: Parse::InApp(ack_all),
        ..WRITE
    },
    Spec {
        name: "KD.UNREAD",
        arity: 4,
        syntax: "user channel id",
        summary: "Marks a channel unread from a message on, at any depth.",
        details: "Opens a new era: acks that carry an older one change nothing from now on.",
        complexity: "O(log C + log M)",
        reply: "Map: the read state, see KD.COUNT.",
        example: "KD.UNREAD ada general 40",
        parse: Parse::InApp(mark_unread),
        ..WRITE
    },
    Spec {
        name: "KD.MUTE",
        arity: -4,
        syntax: "user channel ALL|MENTIONS|NONE [UNTIL ms]",
        summary: "Takes a channel out of the unmuted totals of a user.",
        details: "`ALL` takes everything out, `MENTIONS` all but direct mentions, `NONE` unmutes. \
                  `UNTIL` is in milliseconds since 1970, 0 = no end. Counts never change.",
        complexity: "O(log C)",
        reply: "Status: OK.",
        example: "KD.MUTE ada general MENTIONS UNTIL 1767225600000",
        parse: Parse::InApp(mute),
        ..WRITE
    },
];

#[derive(Clone, Copy)]
enum AckOption {
    Era,
    Private,
    Count,
}

const ACK_OPTIONS: [(&str, AckOption); 3] = [
    ("ERA", AckOption::Era),
    ("PRIVATE", AckOption::Private),
    ("COUNT", AckOption::Count),
];

fn ack<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let channel = arguments.channel(context)?;
    let id = arguments.id(&channel, context)?;
    let (mut era, mut private, mut count) = (None, false, false);
    while let Some(option) = arguments.keyword(&ACK_OPTIONS)? {
        match option {
            AckOption::Era => {
                let value = Clock(arguments.number("ERA")?);
                check_ahead("era", value.millis(), context.now)?;
                era = Some(value);
            }
            AckOption::Private => private = true,
            AckOption::Count => count = true,
        }
    }
    Ok(Command::Request(Request::Ack {
        user,
        channel,
        id,
        era,
        private,
        count,
    }))
}

fn ack_many<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    if !arguments.left().is_multiple_of(2) {
        return Err(arguments.usage("a channel without an id"));
    }
    let len = arguments.left() / 2;
    arguments.check_most("channels", len, CHANNELS)?;
    let mut acks = Vec::with_capacity(len);
    for _ in 0..len {
        let channel = arguments.channel(context)?;
        let id = arguments.id(&channel, context)?;
        acks.push((channel, id));
    }
    Ok(Command::Request(Request::AckMany { user, acks }))
}

/// Channels of one command.
pub(super) const CHANNELS: Most = Most {
    max: CHANNELS_PER_COMMAND_MAX,
    name: "channels_per_command_max",
};

#[derive(Clone, Copy)]
enum AckAllOption {
    Upto,
    Space,
}

fn ack_all<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let (mut upto, mut space) = (None, None);
    let options = [("UPTO", AckAllOption::Upto), ("SPACE", AckAllOption::Space)];
    while let Some(option) = arguments.keyword(&options)? {
        match option {
            AckAllOption::Upto => upto = Some(arguments.global_id(context)?),
            AckAllOption::Space => space = Some(arguments.name(NameKind::Space)?),
        }
    }
    let upto = upto.ok_or_else(|| arguments.usage("UPTO is missing"))?;
    Ok(Command::Request(Request::AckAll { user, upto, space }))
}

fn mark_unread<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let channel = arguments.channel(context)?;
    let id = arguments.id(&channel, context)?;
    Ok(Command::Request(Request::MarkUnread { user, channel, id }))
}

fn mute<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let channel = arguments.channel(context)?;
    let levels = [MuteLevel::All, MuteLevel::Mentions, MuteLevel::None];
    let level = arguments.one_of(&levels.map(|level| (level.as_str(), level)))?;
    let mut until = Millis(0);
    while let Some(()) = arguments.keyword(&[("UNTIL", ())])? {
        until = Millis(arguments.number("UNTIL")?);
    }
    Ok(Command::Request(Request::Mute {
        user,
        channel,
        level,
        until,
    }))
}
