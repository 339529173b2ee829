//! Counts, badges, receipts, explanations: what is derived from the facts when asked.

use super::arguments::Arguments;
use super::reading::CHANNELS;
use super::table::{Group, Parse, ROW, Spec};
use super::{Command, Context};
use crate::error::CommandError;
use kidoku_core::clock::Clock;
use kidoku_core::id::NameKind;
use kidoku_core::request::{Page, Request};

const READ: Spec = Spec {
    group: Group::Numbers,
    ..ROW
};

/// The rows of this family.
pub(super) const ROWS: [Spec; 5] = [
    Spec {
        name: "KD.COUNT",
        arity: -3,
        syntax: "user channel [channel ...]",
        summary: "Answers the read states of a user in some channels.",
        details: "Of a channel the user is not in, all numbers are 0 and `member` is false.",
        complexity: "O(N log M), N = channels named, M = messages",
        reply: "Array of maps in the order asked: `unread`, `mentions`, `first_unread` (id or null), \
                `cursor` (id, 0 = none), `era` (string), `last` (id or null), `muted`, `member`, \
                `threads_unread`, `threads_mentions`.",
        example: "KD.COUNT ada general random",
        parse: Parse::InApp(count),
        ..READ
    },
    Spec {
        name: "KD.STATE",
        arity: -2,
        syntax: "user [SINCE rev] [LIMIT n] [AFTER channel]",
        summary: "Answers the read states of a user in all channels, or those that changed.",
        details: "`SINCE` takes the `rev` of an earlier answer. `LIMIT` is 1 to 10000, 1000 when not \
                  given; the next page is `AFTER` the `next` of this one.",
        complexity: "O(N log M), N = channels of the page",
        reply: "Map: `rev` (string), `channels` (array of maps: `channel` and the read state), `next` \
                (channel or null). With `damaged` (channels left out, as what is stored of them can not be \
                read) when there are such.",
        example: "KD.STATE ada LIMIT 100",
        parse: Parse::InApp(state),
        ..READ
    },
    Spec {
        name: "KD.BADGE",
        arity: -2,
        syntax: "user [SPACE space]",
        summary: "Answers the totals of a user, over all channels or those of one space.",
        details: "Each channel and followed thread counts once. While one of them is damaged there are \
                  no totals, and the error names it.",
        complexity: "O(C log M), C = channels of the user",
        reply: "Map: `unread`, `mentions`, `channels` (with unread), the same three without what is \
                muted as `unmuted_unread`, `unmuted_mentions`, `unmuted_channels`, and `rev` (string).",
        example: "KD.BADGE ada",
        parse: Parse::InApp(badge),
        ..READ
    },
    Spec {
        name: "KD.SEEN",
        arity: -3,
        syntax: "channel id [LIST [LIMIT n] [AFTER user]]",
        summary: "Answers how many members have read a message, and who.",
        details: "The author is not counted, private acks do not show. What a channel lets others \
                  see is set by KD.CHANNEL RECEIPTS.",
        complexity: "O(√U + N), U = members, N = users listed; O(U) when nobody has asked for a while",
        reply: "Map: `count`, `members`, and with LIST `users` and `next` (user or null).",
        example: "KD.SEEN general 42 LIST LIMIT 50",
        parse: Parse::InApp(seen),
        ..READ
    },
    Spec {
        name: "KD.EXPLAIN",
        arity: -3,
        syntax: "user channel [LIMIT n] [AFTER id]",
        summary: "Answers why a number is what it is: the line, what set it, and the ids that count.",
        details: "",
        complexity: "O(log M + N), N = ids of the page",
        reply: "Map: `state` (the read state), `line` (messages above it count), `part` (what set it: \
                nothing, trim, join, space_floor, floor or cursor), `set_at` (ms or null), `floor`, \
                `join`, `trim`, `unread_ids`, `mention_ids`, `own` (own messages above the line), \
                `next` (id or null).",
        example: "KD.EXPLAIN ada general",
        parse: Parse::InApp(explain),
        ..READ
    },
];

fn count<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let len = arguments.left();
    arguments.check_most("channels", len, CHANNELS)?;
    let mut channels = Vec::with_capacity(len);
    for _ in 0..len {
        channels.push(arguments.channel(context)?);
    }
    Ok(Command::Request(Request::Count { user, channels }))
}

#[derive(Clone, Copy)]
enum StateOption {
    Since,
    Limit,
    After,
}

fn state<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let (mut since, mut page) = (None, Page::default());
    let options = [
        ("SINCE", StateOption::Since),
        ("LIMIT", StateOption::Limit),
        ("AFTER", StateOption::After),
    ];
    while let Some(option) = arguments.keyword(&options)? {
        match option {
            StateOption::Since => since = Some(Clock(arguments.number("SINCE")?)),
            StateOption::Limit => page.limit = arguments.page_limit()?,
            StateOption::After => page.after = Some(arguments.name(NameKind::Channel)?),
        }
    }
    Ok(Command::Request(Request::State { user, since, page }))
}

fn badge<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let mut space = None;
    while let Some(()) = arguments.keyword(&[("SPACE", ())])? {
        space = Some(arguments.name(NameKind::Space)?);
    }
    Ok(Command::Request(Request::Badge { user, space }))
}

#[derive(Clone, Copy)]
enum SeenOption {
    List,
    Limit,
    After,
}

fn seen<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let channel = arguments.channel(context)?;
    let id = arguments.id(&channel, context)?;
    let (mut listed, mut paged, mut page) = (false, false, Page::default());
    let options = [
        ("LIST", SeenOption::List),
        ("LIMIT", SeenOption::Limit),
        ("AFTER", SeenOption::After),
    ];
    while let Some(option) = arguments.keyword(&options)? {
        match option {
            SeenOption::List => listed = true,
            SeenOption::Limit => page.limit = arguments.page_limit()?,
            SeenOption::After => page.after = Some(arguments.name(NameKind::User)?),
        }
        paged |= !matches!(option, SeenOption::List);
    }
    if paged && !listed {
        return Err(arguments.usage("LIMIT and AFTER need LIST"));
    }
    Ok(Command::Request(Request::Seen {
        channel,
        id,
        list: listed.then_some(page),
    }))
}

#[derive(Clone, Copy)]
enum ExplainOption {
    Limit,
    After,
}

fn explain<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    let channel = arguments.channel(context)?;
    let mut page = Page::default();
    let options = [
        ("LIMIT", ExplainOption::Limit),
        ("AFTER", ExplainOption::After),
    ];
    while let Some(option) = arguments.keyword(&options)? {
        match option {
            ExplainOption::Limit => page.limit = arguments.page_limit()?,
            ExplainOption::After => page.after = Some(arguments.id(&channel, context)?),
        }
    }
    Ok(Command::Request(Request::Explain {
        user,
        channel,
        page,
    }))
}
