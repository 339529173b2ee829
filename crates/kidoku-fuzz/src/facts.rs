//! Facts drawn from bytes: few names and small numbers, so that keys collide and values tie.

use crate::draw::Draw;
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::fact::{
    Cursor, Edit, Fact, Floor, FloorEntry, Membership, MessageRow, MuteLevel, Posted, Preference,
    Receipts, Settings, StateRow, Written,
};
use kidoku_core::id::{App, ChannelKey, MessageId, Name, NameKind, Position, UserKey};
use kidoku_core::limits::MESSAGE_ID_MAX;

/// Names of which one begins another, one that is not ASCII, one with what JSON escapes, and the
/// longest there may be.
fn text(draw: &mut Draw<'_>) -> String {
    match draw.below(8) {
        0..=2 => "a".to_owned(),
        3 => "b".to_owned(),
        4 => "ab".to_owned(),
        5 => "é \u{10ffff}".to_owned(),
        6 => "\"\\/".to_owned(),
        _ => "x".repeat(128),
    }
}

fn name(draw: &mut Draw<'_>) -> Name {
    Name::new(NameKind::Role, &text(draw)).unwrap()
}

fn names(draw: &mut Draw<'_>) -> Vec<Name> {
    let mut names: Vec<Name> = (0..draw.below(4)).map(|_| name(draw)).collect();
    names.sort();
    names.dedup();
    names
}

fn optional_name(draw: &mut Draw<'_>) -> Option<Name> {
    draw.flag().then(|| name(draw))
}

fn app(draw: &mut Draw<'_>) -> App {
    App::new(draw.pick(&["default", "default", "b"])).unwrap()
}

fn clock(draw: &mut Draw<'_>) -> Clock {
    Clock(draw.number())
}

fn incarnation(draw: &mut Draw<'_>) -> Clock {
    if draw.one_in(4) {
        clock(draw)
    } else {
        Clock::NEVER
    }
}

fn message_id(draw: &mut Draw<'_>) -> MessageId {
    MessageId::new(draw.number().clamp(1, MESSAGE_ID_MAX)).unwrap()
}

fn position(draw: &mut Draw<'_>) -> Position {
    Position(draw.number().min(MESSAGE_ID_MAX))
}

fn membership(draw: &mut Draw<'_>) -> Membership {
    Membership {
        clock: clock(draw),
        member: draw.flag(),
        from: position(draw),
    }
}

fn preference(draw: &mut Draw<'_>) -> Preference {
    Preference {
        clock: clock(draw),
        level: draw.pick(&[MuteLevel::None, MuteLevel::Mentions, MuteLevel::All]),
        until: Millis(draw.number()),
    }
}

fn state_row(draw: &mut Draw<'_>) -> StateRow {
    let mut row = StateRow {
        incarnation: incarnation(draw),
        cursor: Cursor {
            era: clock(draw),
            position: position(draw),
        },
        cursor_at: Millis(draw.number()),
        public: position(draw),
        membership: draw.flag().then(|| membership(draw)),
        preference: draw.flag().then(|| preference(draw)),
        listed: false,
    };
    row.listed = row.membership.is_none() && draw.flag();
    row
}

fn floor(draw: &mut Draw<'_>) -> Floor {
    let mut floor = Floor::default();
    for _ in 0..draw.below(5) {
        let entry = FloorEntry {
            clock: clock(draw),
            position: position(draw),
        };
        floor.insert(entry);
    }
    floor
}

fn posted(draw: &mut Draw<'_>) -> Posted {
    Posted {
        silent: draw.flag(),
        author: optional_name(draw),
        everyone: draw.flag(),
        roles: names(draw),
    }
}

fn edit(draw: &mut Draw<'_>) -> Edit {
    Edit {
        version: draw.number(),
        everyone: draw.flag(),
        roles: names(draw),
        mentions: names(draw),
    }
}

fn message_row(draw: &mut Draw<'_>) -> MessageRow {
    let mut row = MessageRow {
        incarnation: incarnation(draw),
        posted: draw.flag().then(|| posted(draw)),
        edit: draw.flag().then(|| edit(draw)),
        deleted: draw.flag(),
        unauthored: draw.one_in(4),
    };
    row.normalize();
    row
}

fn written<T>(draw: &mut Draw<'_>, value: impl FnOnce(&mut Draw<'_>) -> T) -> Written<T> {
    Written {
        clock: clock(draw),
        value: value(draw),
    }
}

fn settings(draw: &mut Draw<'_>) -> Settings {
    Settings {
        space: written(draw, optional_name),
        parent: written(draw, optional_name),
        receipts: written(draw, |draw| {
            draw.pick(&[Receipts::Off, Receipts::Count, Receipts::List])
        }),
    }
}

/// Any fact.
pub(crate) fn fact(draw: &mut Draw<'_>) -> Fact {
    let kind = draw.below(11);
    let app = app(draw);
    let owner = text(draw);
    if kind < 6 {
        user_fact(kind, &app, UserKey::new(&app, &owner).unwrap(), draw)
    } else {
        channel_fact(kind, ChannelKey::new(&app, &owner).unwrap(), draw)
    }
}

fn user_fact(kind: usize, app: &App, user: UserKey, draw: &mut Draw<'_>) -> Fact {
    let channel = |draw: &mut Draw<'_>| ChannelKey::new(app, &text(draw)).unwrap();
    match kind {
        0 => Fact::UserErased {
            user,
            clock: clock(draw),
        },
        1 => Fact::Floor {
            user,
            space: optional_name(draw),
            incarnation: incarnation(draw),
            floor: floor(draw),
        },
        2 => Fact::Role {
            user,
            role: name(draw),
            incarnation: incarnation(draw),
            clock: clock(draw),
            held: draw.flag(),
        },
        3 => Fact::State {
            user,
            channel: channel(draw),
            row: state_row(draw),
        },
        4 => Fact::Mention {
            user,
            channel: channel(draw),
            incarnation: incarnation(draw),
            id: message_id(draw),
        },
        _ => Fact::Own {
            user,
            channel: channel(draw),
            incarnation: incarnation(draw),
            id: message_id(draw),
        },
    }
}

fn channel_fact(kind: usize, channel: ChannelKey, draw: &mut Draw<'_>) -> Fact {
    match kind {
        6 => Fact::ChannelDropped {
            channel,
            clock: clock(draw),
        },
        7 => Fact::Settings {
            channel,
            incarnation: incarnation(draw),
            settings: settings(draw),
        },
        8 => Fact::Trim {
            channel,
            incarnation: incarnation(draw),
            position: position(draw),
            clock: clock(draw),
        },
        9 => Fact::Message {
            channel,
            id: message_id(draw),
            row: message_row(draw),
        },
        _ => Fact::OpaqueId {
            channel,
            incarnation: incarnation(draw),
            text: name(draw),
            id: message_id(draw),
        },
    }
}
