//! Facts for property tests: few names, ids and clocks, so that keys collide and values tie.
//!
//! Every strategy is boxed: unboxed ones overflow the stack of a test thread in debug builds.

use super::user::FloorEntry;
use super::{
    Cursor, Edit, Fact, Floor, Membership, MessageRow, MuteLevel, Posted, Preference, Receipts,
    Settings, StateRow, Written,
};
use crate::clock::{Clock, Millis};
use crate::id::{App, ChannelKey, MessageId, Name, NameKind, Position, UserKey};
use proptest::prelude::*;

/// One of two apps; one in eight is the second.
pub fn app() -> BoxedStrategy<App> {
    prop_oneof![7 => Just("default"), 1 => Just("b")]
        .prop_map(|name| App::new(name).unwrap())
        .boxed()
}

fn text(prefix: &'static str) -> impl Strategy<Value = String> {
    // Names of which one is the start of another try the order and the borders of keys.
    prop_oneof![
        3 => Just(prefix.to_owned()),
        2 => Just(format!("{prefix}{prefix}")),
        1 => Just(format!("{prefix} é")),
    ]
}

/// One of a few users of the default app.
pub fn user() -> BoxedStrategy<UserKey> {
    (app(), text("u"))
        .prop_map(|(app, name)| UserKey::new(&app, &name).unwrap())
        .boxed()
}

/// One of a few channels of the default app.
pub fn channel() -> BoxedStrategy<ChannelKey> {
    (app(), text("c"))
        .prop_map(|(app, name)| ChannelKey::new(&app, &name).unwrap())
        .boxed()
}

fn user_and_channel() -> BoxedStrategy<(UserKey, ChannelKey)> {
    (app(), text("u"), text("c"))
        .prop_map(|(app, user, channel)| {
            (
                UserKey::new(&app, &user).unwrap(),
                ChannelKey::new(&app, &channel).unwrap(),
            )
        })
        .boxed()
}

/// One of a few names, the same for spaces, roles, users and channels.
pub fn name() -> BoxedStrategy<Name> {
    prop_oneof![text("u"), text("c"), text("r")]
        .prop_map(|text| Name::new(NameKind::Role, &text).unwrap())
        .boxed()
}

/// Sorted, distinct names.
pub fn names() -> BoxedStrategy<Vec<Name>> {
    proptest::collection::btree_set(name(), 0..3)
        .prop_map(|set| set.into_iter().collect())
        .boxed()
}

fn number(max: u64) -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..6_u64, 1 => Just(max), 1 => 0..=max]
}

/// Mostly one of a few clocks, 0 among them.
pub fn clock() -> BoxedStrategy<Clock> {
    number(u64::MAX).prop_map(Clock).boxed()
}

/// Nearly always 0, as nearly nothing is ever erased.
pub fn incarnation() -> BoxedStrategy<Clock> {
    prop_oneof![6 => Just(Clock::NEVER), 1 => (0..4_u64).prop_map(Clock)].boxed()
}

/// Mostly one of a few message ids.
pub fn message_id() -> BoxedStrategy<MessageId> {
    number(crate::limits::MESSAGE_ID_MAX)
        .prop_map(|id| MessageId::new(id.max(1)).unwrap())
        .boxed()
}

/// Mostly one of a few positions, the start among them.
pub fn position() -> BoxedStrategy<Position> {
    number(crate::limits::MESSAGE_ID_MAX)
        .prop_map(Position)
        .boxed()
}

/// A cursor.
pub fn cursor() -> BoxedStrategy<Cursor> {
    (clock(), position())
        .prop_map(|(era, position)| Cursor { era, position })
        .boxed()
}

/// A membership.
pub fn membership() -> BoxedStrategy<Membership> {
    (clock(), any::<bool>(), position())
        .prop_map(|(clock, member, from)| Membership {
            clock,
            member,
            from,
        })
        .boxed()
}

/// A preference.
pub fn preference() -> BoxedStrategy<Preference> {
    let level = prop_oneof![
        Just(MuteLevel::None),
        Just(MuteLevel::Mentions),
        Just(MuteLevel::All)
    ];
    (clock(), level, number(u64::MAX))
        .prop_map(|(clock, level, until)| Preference {
            clock,
            level,
            until: Millis(until),
        })
        .boxed()
}

/// A state row.
pub fn state_row() -> BoxedStrategy<StateRow> {
    let options = (
        proptest::option::of(membership()),
        proptest::option::of(preference()),
        any::<bool>(),
    );
    (
        incarnation(),
        cursor(),
        number(u64::MAX),
        position(),
        options,
    )
        .prop_map(
            |(incarnation, cursor, cursor_at, public, (membership, preference, listed))| StateRow {
                incarnation,
                cursor,
                cursor_at: Millis(cursor_at),
                public,
                membership,
                preference,
                listed: listed && membership.is_none(),
            },
        )
        .boxed()
}

/// A floor entry.
pub fn floor_entry() -> BoxedStrategy<FloorEntry> {
    (clock(), position())
        .prop_map(|(clock, position)| FloorEntry { clock, position })
        .boxed()
}

/// A floor of up to four entries.
pub fn floor() -> BoxedStrategy<Floor> {
    proptest::collection::vec(floor_entry(), 0..4)
        .prop_map(|entries| {
            let mut floor = Floor::default();
            for entry in entries {
                floor.insert(entry);
            }
            floor
        })
        .boxed()
}

/// What the author said of a message.
pub fn posted() -> BoxedStrategy<Posted> {
    (
        any::<bool>(),
        proptest::option::of(name()),
        any::<bool>(),
        names(),
    )
        .prop_map(|(silent, author, everyone, roles)| Posted {
            silent,
            author,
            everyone,
            roles,
        })
        .boxed()
}

/// An edit of one of a few versions.
pub fn edit() -> BoxedStrategy<Edit> {
    (number(u64::MAX), any::<bool>(), names(), names())
        .prop_map(|(version, everyone, roles, mentions)| Edit {
            version,
            everyone,
            roles,
            mentions,
        })
        .boxed()
}

/// A message row in its one form: an unauthored row has no author.
pub fn message_row() -> BoxedStrategy<MessageRow> {
    let options = (proptest::option::of(posted()), proptest::option::of(edit()));
    (
        incarnation(),
        options,
        any::<bool>(),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(incarnation, (posted, edit), deleted, unauthored)| {
            let mut row = MessageRow {
                incarnation,
                posted,
                edit,
                deleted,
                unauthored,
            };
            row.normalize();
            row
        })
        .boxed()
}

fn written<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Written<T>> {
    (clock(), value).prop_map(|(clock, value)| Written { clock, value })
}

/// Settings.
pub fn settings() -> BoxedStrategy<Settings> {
    let receipts = prop_oneof![
        Just(Receipts::Off),
        Just(Receipts::Count),
        Just(Receipts::List)
    ];
    let space = written(proptest::option::of(name()));
    let parent = written(proptest::option::of(name()));
    (space, parent, written(receipts))
        .prop_map(|(space, parent, receipts)| Settings {
            space,
            parent,
            receipts,
        })
        .boxed()
}

/// A fact of a user.
pub fn user_fact() -> BoxedStrategy<Fact> {
    let pair = user_and_channel;
    prop_oneof![
        1 => (user(), incarnation()).prop_map(|(user, clock)| Fact::UserErased { user, clock }),
        2 => (user(), proptest::option::of(name()), incarnation(), floor()).prop_map(
            |(user, space, incarnation, floor)| Fact::Floor { user, space, incarnation, floor }
        ),
        2 => (user(), name(), incarnation(), clock(), any::<bool>()).prop_map(
            |(user, role, incarnation, clock, held)| {
                Fact::Role { user, role, incarnation, clock, held }
            }
        ),
        6 => (pair(), state_row())
            // Nothing was said before of whom a fact alone is about.
            .prop_map(|((user, channel), row)| Fact::State {
                user,
                channel,
                row: StateRow {
                    listed: false,
                    ..row
                },
            }),
        4 => (pair(), incarnation(), message_id()).prop_map(
            |((user, channel), incarnation, id)| Fact::Mention { user, channel, incarnation, id }
        ),
        4 => (pair(), incarnation(), message_id()).prop_map(
            |((user, channel), incarnation, id)| Fact::Own { user, channel, incarnation, id }
        ),
    ]
    .boxed()
}

/// A fact of a channel.
pub fn channel_fact() -> BoxedStrategy<Fact> {
    prop_oneof![
        1 => (channel(), incarnation())
            .prop_map(|(channel, clock)| Fact::ChannelDropped { channel, clock }),
        2 => (channel(), incarnation(), settings()).prop_map(
            |(channel, incarnation, settings)| Fact::Settings { channel, incarnation, settings }
        ),
        2 => (channel(), incarnation(), position(), clock()).prop_map(
            |(channel, incarnation, position, clock)| {
                Fact::Trim { channel, incarnation, position, clock }
            }
        ),
        6 => (channel(), message_id(), message_row())
            .prop_map(|(channel, id, row)| Fact::Message { channel, id, row }),
        2 => (channel(), incarnation(), name(), message_id()).prop_map(
            |(channel, incarnation, text, id)| Fact::OpaqueId { channel, incarnation, text, id }
        ),
    ]
    .boxed()
}

/// Any fact.
pub fn fact() -> BoxedStrategy<Fact> {
    prop_oneof![user_fact(), channel_fact()].boxed()
}
