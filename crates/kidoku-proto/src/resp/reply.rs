//! Kidoku's replies and device events as RESP values, with the field names of the command reference.

use super::write::{Writer, framed};
use crate::error::CommandError;
use kidoku_core::clock::Clock;
use kidoku_core::error::Error;
use kidoku_core::fact::Receipts;
use kidoku_core::id::{ChannelKey, MessageId, Name, Position, UserKey};
use kidoku_core::reply::{Badge, Event, Explanation, ReadState, Reply};
use kidoku_core::request::Request;

/// First value of a push frame with a device event.
pub const EVENT_KIND: &str = "kd.event";

/// The caller's own ids, for apps whose message ids are opaque.
pub trait IdNames {
    /// The id that stands at a place of a channel, if one does.
    fn name(&self, channel: &ChannelKey, id: MessageId) -> Option<&str>;
}

/// What a reply does not hold itself.
#[derive(Clone, Copy, Default)]
pub struct ReplyContext<'a> {
    /// The channels that were asked about, in that order; see [`channels_asked`]. May be empty when
    /// there are no `names`.
    pub channels: &'a [ChannelKey],
    /// `None` = ids are numbers.
    pub names: Option<&'a dyn IdNames>,
}

impl std::fmt::Debug for ReplyContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyContext")
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// The channels of the read states in the reply to a request, for requests whose reply does not name
/// them itself.
pub fn channels_asked(request: &Request) -> Vec<ChannelKey> {
    match request {
        Request::Ack { channel, .. }
        | Request::MarkUnread { channel, .. }
        | Request::Explain { channel, .. } => vec![channel.clone()],
        Request::Count { channels, .. } => channels.clone(),
        Request::Join { .. }
        | Request::Leave { .. }
        | Request::Post { .. }
        | Request::Delete { .. }
        | Request::Edit { .. }
        | Request::AckMany { .. }
        | Request::AckAll { .. }
        | Request::Mute { .. }
        | Request::State { .. }
        | Request::Badge { .. }
        | Request::Seen { .. }
        | Request::Channel { .. }
        | Request::Role { .. }
        | Request::Follow { .. }
        | Request::Trim { .. }
        | Request::Erase { .. }
        | Request::Drop { .. }
        | Request::Merge { .. }
        | Request::Watch { .. }
        | Request::Unwatch { .. }
        | Request::Resolve { .. }
        | Request::Names { .. } => Vec::new(),
    }
}

/// Calls `note` for every message id and position above 0 in a reply, so that the names of opaque
/// ids can be fetched before the reply is written.
pub fn each_message_id(
    reply: &Reply,
    channels: &[ChannelKey],
    note: &mut impl FnMut(&ChannelKey, MessageId),
) {
    match reply {
        Reply::ReadState(state) => {
            if let Some(channel) = channels.first() {
                each_of_state(channel, state, note);
            }
        }
        Reply::ReadStates(states) => {
            for (channel, state) in channels.iter().zip(states) {
                each_of_state(channel, state, note);
            }
        }
        Reply::State { channels, .. } => {
            for (channel, state) in channels {
                each_of_state(channel, state, note);
            }
        }
        Reply::Explanation(explanation) => {
            if let Some(channel) = channels.first() {
                each_of_explanation(channel, explanation, note);
            }
        }
        Reply::Ok
        | Reply::Number(_)
        | Reply::Badge(_)
        | Reply::Seen { .. }
        | Reply::Settings { .. }
        | Reply::Erased { .. }
        | Reply::Resolved(_)
        | Reply::Names(_) => {}
    }
}

/// The same for a device event.
pub fn each_message_id_of_event(event: &Event, note: &mut impl FnMut(&ChannelKey, MessageId)) {
    for (channel, state) in &event.channels {
        each_of_state(channel, state, note);
    }
}

fn each_of_state(
    channel: &ChannelKey,
    state: &ReadState,
    note: &mut impl FnMut(&ChannelKey, MessageId),
) {
    let cursor = MessageId::new(state.cursor.0).ok();
    for id in [state.first_unread, cursor, state.last]
        .into_iter()
        .flatten()
    {
        note(channel, id);
    }
}

fn each_of_explanation(
    channel: &ChannelKey,
    explanation: &Explanation,
    note: &mut impl FnMut(&ChannelKey, MessageId),
) {
    each_of_state(channel, &explanation.state, note);
    let Explanation {
        line,
        floor,
        join,
        trim,
        ..
    } = explanation;
    let positions = [line, floor, join, trim].into_iter();
    positions
        .filter_map(|position| MessageId::new(position.0).ok())
        .for_each(|id| note(channel, id));
    let ids = explanation
        .unread_ids
        .iter()
        .chain(&explanation.mention_ids);
    ids.chain(&explanation.next)
        .for_each(|id| note(channel, *id));
}

/// Writes the answer to a request.
pub fn write_result(
    writer: &mut Writer<'_>,
    result: &Result<Reply, Error>,
    context: &ReplyContext<'_>,
) {
    match result {
        Ok(reply) => write_reply(writer, reply, context),
        Err(error) => writer.error(&CommandError::from(error.clone())),
    }
}

/// Writes a reply.
pub fn write_reply(writer: &mut Writer<'_>, reply: &Reply, context: &ReplyContext<'_>) {
    let asked = Ids {
        channel: context.channels.first(),
        names: context.names,
    };
    match reply {
        Reply::Ok => writer.status("OK"),
        Reply::Number(number) => writer.number(*number),
        Reply::ReadState(state) => read_state(writer, state, &asked),
        Reply::ReadStates(states) => {
            writer.array(states.len());
            for (index, state) in states.iter().enumerate() {
                let channel = context.channels.get(index);
                read_state(writer, state, &Ids { channel, ..asked });
            }
        }
        Reply::State {
            rev,
            channels,
            damaged,
            next,
        } => {
            writer.map(3 + usize::from(!damaged.is_empty()));
            revision(writer, *rev);
            channel_states(writer, channels, context.names);
            damaged_channels(writer, damaged);
            next_name(writer, next.as_ref());
        }
        Reply::Badge(totals) => badge(writer, totals),
        Reply::Seen {
            count,
            members,
            users,
            next,
        } => {
            let page = users.as_deref().map(|users| (users, next.as_ref()));
            seen(writer, *count, *members, page);
        }
        Reply::Settings {
            space,
            parent,
            receipts,
        } => {
            settings(writer, space.as_ref(), parent.as_ref(), *receipts);
        }
        Reply::Explanation(explanation) => explain(writer, explanation, &asked),
        Reply::Erased {
            clock,
            channels,
            mentions,
            messages,
        } => {
            writer.map(4);
            field(writer, framed!("erased_at"), clock.millis().0);
            field(writer, framed!("channels"), *channels);
            field(writer, framed!("mentions"), *mentions);
            field(writer, framed!("messages"), *messages);
        }
        Reply::Resolved(ids) => Ids::default().write_list(writer, ids),
        Reply::Names(names) => {
            writer.array(names.len());
            names
                .iter()
                .for_each(|name| optional_name(writer, name.as_ref()));
        }
    }
}

/// Writes a device event as a push frame: its kind, the user, and the numbers.
pub fn write_event(writer: &mut Writer<'_>, event: &Event, names: Option<&dyn IdNames>) {
    writer.push(3);
    writer.text(EVENT_KIND);
    writer.text(event.user.name());
    writer.map(3 + usize::from(!event.damaged.is_empty()));
    revision(writer, event.rev);
    channel_states(writer, &event.channels, names);
    damaged_channels(writer, &event.damaged);
    writer.framed(framed!("badge"));
    match &event.badge {
        Some(totals) => badge(writer, totals),
        None => writer.null(),
    }
}

/// How the ids of one channel are written.
#[derive(Clone, Copy, Default)]
struct Ids<'a> {
    channel: Option<&'a ChannelKey>,
    names: Option<&'a dyn IdNames>,
}

impl Ids<'_> {
    fn write(&self, writer: &mut Writer<'_>, id: MessageId) {
        let (Some(names), Some(channel)) = (self.names, self.channel) else {
            return writer.number(id.get());
        };
        match names.name(channel, id) {
            Some(name) => writer.text(name),
            // A place whose id is gone is still a string, so that the field keeps its type.
            None => writer.decimal(id.get()),
        }
    }

    fn write_optional(&self, writer: &mut Writer<'_>, id: Option<MessageId>) {
        match id {
            Some(id) => self.write(writer, id),
            None => writer.null(),
        }
    }

    /// 0 = before the first message, in every kind of ids.
    fn write_position(&self, writer: &mut Writer<'_>, position: Position) {
        match MessageId::new(position.0) {
            Ok(id) => self.write(writer, id),
            Err(_) => writer.number(position.0),
        }
    }

    fn write_list(&self, writer: &mut Writer<'_>, ids: &[MessageId]) {
        writer.array(ids.len());
        ids.iter().for_each(|id| self.write(writer, *id));
    }
}

/// Fields that [`read_state_fields`] writes of a state with nothing damaged beside it.
const READ_STATE_FIELDS: usize = 10;

/// Bytes of a channel's state with ids of eighteen digits, about.
const CHANNEL_STATE_BYTES: usize = 280;

fn fields_of(state: &ReadState) -> usize {
    READ_STATE_FIELDS + usize::from(state.threads_damaged)
}

fn field(writer: &mut Writer<'_>, name: &'static [u8], value: u64) {
    writer.framed(name);
    writer.number(value);
}

fn read_state(writer: &mut Writer<'_>, state: &ReadState, ids: &Ids<'_>) {
    writer.map(fields_of(state));
    read_state_fields(writer, state, ids);
}

fn read_state_fields(writer: &mut Writer<'_>, state: &ReadState, ids: &Ids<'_>) {
    field(writer, framed!("unread"), state.unread);
    field(writer, framed!("mentions"), state.mentions);
    writer.framed(framed!("first_unread"));
    ids.write_optional(writer, state.first_unread);
    writer.framed(framed!("cursor"));
    ids.write_position(writer, state.cursor);
    writer.framed(framed!("era"));
    writer.decimal(state.era.0);
    writer.framed(framed!("last"));
    ids.write_optional(writer, state.last);
    writer.framed(framed!("muted"));
    writer.text(state.muted.as_str());
    writer.framed(framed!("member"));
    writer.boolean(state.member);
    field(writer, framed!("threads_unread"), state.threads_unread);
    field(writer, framed!("threads_mentions"), state.threads_mentions);
    if state.threads_damaged {
        writer.framed(framed!("threads_damaged"));
        writer.boolean(true);
    }
}

/// Channels of which nothing can be told; the field is there only when there are some.
fn damaged_channels(writer: &mut Writer<'_>, damaged: &[ChannelKey]) {
    if damaged.is_empty() {
        return;
    }
    writer.framed(framed!("damaged"));
    writer.array(damaged.len());
    damaged
        .iter()
        .for_each(|channel| writer.text(channel.name()));
}

fn channel_states(
    writer: &mut Writer<'_>,
    channels: &[(ChannelKey, ReadState)],
    names: Option<&dyn IdNames>,
) {
    writer.framed(framed!("channels"));
    writer.array(channels.len());
    writer.reserve(channels.len() * CHANNEL_STATE_BYTES);
    for (channel, state) in channels {
        writer.map(1 + fields_of(state));
        writer.framed(framed!("channel"));
        writer.text(channel.name());
        read_state_fields(
            writer,
            state,
            &Ids {
                channel: Some(channel),
                names,
            },
        );
    }
}

fn revision(writer: &mut Writer<'_>, rev: Clock) {
    writer.framed(framed!("rev"));
    writer.decimal(rev.0);
}

fn optional_name(writer: &mut Writer<'_>, name: Option<&Name>) {
    match name {
        Some(name) => writer.text(name.as_str()),
        None => writer.null(),
    }
}

fn next_name(writer: &mut Writer<'_>, next: Option<&Name>) {
    writer.framed(framed!("next"));
    optional_name(writer, next);
}

fn badge(writer: &mut Writer<'_>, badge: &Badge) {
    writer.map(7);
    field(writer, framed!("unread"), badge.unread);
    field(writer, framed!("mentions"), badge.mentions);
    field(writer, framed!("channels"), badge.channels);
    field(writer, framed!("unmuted_unread"), badge.unmuted_unread);
    field(writer, framed!("unmuted_mentions"), badge.unmuted_mentions);
    field(writer, framed!("unmuted_channels"), badge.unmuted_channels);
    revision(writer, badge.rev);
}

fn seen(
    writer: &mut Writer<'_>,
    count: u64,
    members: u64,
    page: Option<(&[UserKey], Option<&Name>)>,
) {
    writer.map(if page.is_some() { 4 } else { 2 });
    field(writer, framed!("count"), count);
    field(writer, framed!("members"), members);
    if let Some((users, next)) = page {
        writer.framed(framed!("users"));
        writer.array(users.len());
        users.iter().for_each(|user| writer.text(user.name()));
        next_name(writer, next);
    }
}

fn settings(
    writer: &mut Writer<'_>,
    space: Option<&Name>,
    parent: Option<&Name>,
    receipts: Receipts,
) {
    writer.map(3);
    writer.framed(framed!("space"));
    optional_name(writer, space);
    writer.framed(framed!("parent"));
    optional_name(writer, parent);
    writer.framed(framed!("receipts"));
    writer.text(receipts.as_str());
}

fn explain(writer: &mut Writer<'_>, explanation: &Explanation, ids: &Ids<'_>) {
    writer.map(11);
    writer.framed(framed!("state"));
    read_state(writer, &explanation.state, ids);
    writer.framed(framed!("line"));
    ids.write_position(writer, explanation.line);
    writer.framed(framed!("part"));
    writer.text(explanation.part.as_str());
    writer.framed(framed!("set_at"));
    match explanation.set_at {
        Some(time) => writer.number(time.0),
        None => writer.null(),
    }
    writer.framed(framed!("floor"));
    ids.write_position(writer, explanation.floor);
    writer.framed(framed!("join"));
    ids.write_position(writer, explanation.join);
    writer.framed(framed!("trim"));
    ids.write_position(writer, explanation.trim);
    writer.framed(framed!("unread_ids"));
    ids.write_list(writer, &explanation.unread_ids);
    writer.framed(framed!("mention_ids"));
    ids.write_list(writer, &explanation.mention_ids);
    field(writer, framed!("own"), explanation.own);
    writer.framed(framed!("next"));
    ids.write_optional(writer, explanation.next);
}

#[cfg(test)]
mod tests;
