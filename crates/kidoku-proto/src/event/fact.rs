//! Lines that are facts: what an export writes. Ids in them are the numbers Kidoku keeps, also in
//! apps of opaque ids.

use super::fields::{Number, Raw, RawEdit, RawMembership, RawPreference, Text};
use super::op::{channel, clock, mute_level, name, need, number, optional_name, receipts, user};
use super::{Context, LineError, Op};
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::error::Error;
use kidoku_core::fact::{
    Cursor, Edit, Fact, Floor, FloorEntry, Incarnation, Membership, MessageRow, Posted, Preference,
    Settings, StateRow, Written,
};
use kidoku_core::id::{MessageId, Name, NameKind, Position};
use kidoku_core::limits::MESSAGE_ID_MAX;

/// The fact of a line. Takes its fields out of `raw`.
pub(super) fn build(op: Op, raw: &mut Raw<'_>, ctx: &Context<'_>) -> Result<Fact, LineError> {
    let (app, now) = (ctx.app, ctx.now);
    match op {
        Op::Message => message(raw, ctx),
        Op::Ack => state(raw, ctx),
        Op::AckAll => floor(raw, ctx),
        Op::Channel => settings(raw, ctx),
        Op::Role => {
            let role = name(raw.role.take(), "role")?;
            Ok(Fact::Role {
                user: user(raw, app)?,
                role: checked(&role, NameKind::Role, "role")?,
                incarnation: incarnation(raw, now)?,
                clock: own_clock(raw, now)?,
                held: need(raw.add.take(), "add")?,
            })
        }
        Op::Trim => Ok(Fact::Trim {
            channel: channel(raw, app)?,
            incarnation: incarnation(raw, now)?,
            position: position(&need(raw.id.take(), "id")?, "id")?,
            clock: own_clock(raw, now)?,
        }),
        Op::Mention => Ok(Fact::Mention {
            user: user(raw, app)?,
            channel: channel(raw, app)?,
            incarnation: incarnation(raw, now)?,
            id: id(raw)?,
        }),
        Op::Own => Ok(Fact::Own {
            user: user(raw, app)?,
            channel: channel(raw, app)?,
            incarnation: incarnation(raw, now)?,
            id: id(raw)?,
        }),
        Op::Erase => Ok(Fact::UserErased {
            user: user(raw, app)?,
            clock: own_clock(raw, now)?,
        }),
        Op::Drop => Ok(Fact::ChannelDropped {
            channel: channel(raw, app)?,
            clock: own_clock(raw, now)?,
        }),
        Op::Opaque => {
            let text = name(raw.text.take(), "text")?;
            Ok(Fact::OpaqueId {
                channel: channel(raw, app)?,
                incarnation: incarnation(raw, now)?,
                text: checked(&text, NameKind::MessageId, "text")?,
                id: id(raw)?,
            })
        }
        Op::Delete | Op::Edit | Op::Join | Op::Leave | Op::Unread | Op::Mute | Op::Follow => Err(
            LineError::syntax(format!("there is no fact of op `{}`", op.as_str())),
        ),
    }
}

fn message(raw: &mut Raw<'_>, ctx: &Context<'_>) -> Result<Fact, LineError> {
    let posted = if raw.posted.take().unwrap_or(true) {
        let author = match raw.author.take() {
            Some(author) => Some(checked(&author, NameKind::User, "author")?),
            None => None,
        };
        Some(Posted {
            silent: raw.silent.take().unwrap_or(false),
            author,
            everyone: raw.everyone.take().unwrap_or(false),
            roles: name_set(
                &raw.roles.take().unwrap_or_default(),
                NameKind::Role,
                "roles",
            )?,
        })
    } else {
        None
    };
    let edit = match raw.edit.take() {
        Some(edit) => Some(message_edit(&edit)?),
        None => None,
    };
    let row = MessageRow {
        incarnation: incarnation(raw, ctx.now)?,
        posted,
        edit,
        deleted: raw.deleted.take().unwrap_or(false),
        unauthored: raw.unauthored.take().unwrap_or(false),
    };
    Ok(Fact::Message {
        channel: channel(raw, ctx.app)?,
        id: id(raw)?,
        row,
    })
}

fn message_edit(edit: &RawEdit<'_>) -> Result<Edit, LineError> {
    Ok(Edit {
        version: number(&edit.version, "edit")?,
        everyone: edit.everyone,
        roles: name_set(&edit.roles, NameKind::Role, "edit")?,
        mentions: name_set(&edit.mentions, NameKind::User, "edit")?,
    })
}

fn state(raw: &mut Raw<'_>, ctx: &Context<'_>) -> Result<Fact, LineError> {
    let now = ctx.now;
    let era = optional_clock(raw.era.take(), "era", now)?;
    let cursor = Cursor {
        era,
        position: position(&need(raw.id.take(), "id")?, "id")?,
    };
    let public = match raw.public.take() {
        Some(public) => position(&public, "public")?,
        None => Position::START,
    };
    let membership = match raw.membership.take() {
        Some(membership) => Some(state_membership(&membership, now)?),
        None => None,
    };
    let preference = match raw.preference.take() {
        Some(preference) => Some(state_preference(&preference, now)?),
        None => None,
    };
    let row = StateRow {
        incarnation: incarnation(raw, now)?,
        cursor,
        cursor_at: millis(raw.cursor_at.take().as_ref(), "cursor_at")?,
        public,
        membership,
        preference,
        listed: false,
    };
    Ok(Fact::State {
        user: user(raw, ctx.app)?,
        channel: channel(raw, ctx.app)?,
        row,
    })
}

fn state_membership(raw: &RawMembership<'_>, now: Millis) -> Result<Membership, LineError> {
    Ok(Membership {
        clock: clock(&raw.clock, "membership", now)?,
        member: raw.member,
        from: position(&raw.from, "membership")?,
    })
}

fn state_preference(raw: &RawPreference<'_>, now: Millis) -> Result<Preference, LineError> {
    Ok(Preference {
        clock: clock(&raw.clock, "preference", now)?,
        level: mute_level(&raw.level)?,
        until: millis(raw.until.as_ref(), "preference")?,
    })
}

fn floor(raw: &mut Raw<'_>, ctx: &Context<'_>) -> Result<Fact, LineError> {
    let mut floor = Floor::default();
    for entry in need(raw.entries.take(), "entries")? {
        floor.insert(FloorEntry {
            clock: clock(&entry.clock, "entries", ctx.now)?,
            position: position(&entry.id, "entries")?,
        });
    }
    Ok(Fact::Floor {
        user: user(raw, ctx.app)?,
        space: optional_name(raw.space.take(), NameKind::Space, "space")?.flatten(),
        incarnation: incarnation(raw, ctx.now)?,
        floor,
    })
}

fn settings(raw: &mut Raw<'_>, ctx: &Context<'_>) -> Result<Fact, LineError> {
    let now = ctx.now;
    let space = optional_name(raw.space.take(), NameKind::Space, "space")?.flatten();
    let parent = optional_name(raw.parent.take(), NameKind::Channel, "parent")?.flatten();
    let shown = match raw.receipts.take() {
        Some(word) => receipts(&word)?,
        None => kidoku_core::fact::Receipts::default(),
    };
    let settings = Settings {
        space: Written {
            clock: optional_clock(raw.space_clock.take(), "space_clock", now)?,
            value: space,
        },
        parent: Written {
            clock: optional_clock(raw.parent_clock.take(), "parent_clock", now)?,
            value: parent,
        },
        receipts: Written {
            clock: optional_clock(raw.receipts_clock.take(), "receipts_clock", now)?,
            value: shown,
        },
    };
    let incarnation = incarnation(raw, now)?;
    Ok(Fact::Settings {
        channel: channel(raw, ctx.app)?,
        incarnation,
        settings,
    })
}

fn checked(text: &Text<'_>, kind: NameKind, field: &str) -> Result<Name, LineError> {
    Name::new(kind, &text.0).map_err(|error| LineError::in_field(field, &error))
}

/// Sorted and distinct, as the facts want them.
fn name_set(texts: &[Text<'_>], kind: NameKind, field: &str) -> Result<Vec<Name>, LineError> {
    let names = texts
        .iter()
        .map(|text| checked(text, kind, field))
        .collect::<Result<Vec<_>, _>>();
    let mut names = names?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn incarnation(raw: &mut Raw<'_>, now: Millis) -> Result<Incarnation, LineError> {
    optional_clock(raw.incarnation.take(), "incarnation", now)
}

fn own_clock(raw: &mut Raw<'_>, now: Millis) -> Result<Clock, LineError> {
    clock(&need(raw.clock.take(), "clock")?, "clock", now)
}

fn optional_clock(
    value: Option<Number<'_>>,
    field: &'static str,
    now: Millis,
) -> Result<Clock, LineError> {
    value.map_or(Ok(Clock::NEVER), |value| clock(&value, field, now))
}

fn millis(value: Option<&Number<'_>>, field: &str) -> Result<Millis, LineError> {
    value.map_or(Ok(Millis(0)), |value| number(value, field).map(Millis))
}

fn id(raw: &mut Raw<'_>) -> Result<MessageId, LineError> {
    let id = need(raw.id.take(), "id")?;
    id.value()
        .ok_or(Error::BadMessageId)
        .and_then(MessageId::new)
        .map_err(|error| LineError::in_field("id", &error))
}

/// Like an id, but 0 is allowed: before the first message.
fn position(value: &Number<'_>, field: &str) -> Result<Position, LineError> {
    match value.value() {
        Some(position) if position <= MESSAGE_ID_MAX => Ok(Position(position)),
        Some(_) | None => Err(LineError::in_field(field, &Error::BadMessageId)),
    }
}
