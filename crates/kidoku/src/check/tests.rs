use super::Numbers;
use super::naive::{Channels, User};
use kidoku_core::clock::Clock;
use kidoku_core::fact::{
    Cursor, Edit, Fact, Floor, FloorEntry, Membership, MessageRow, Posted, Settings, StateRow,
    Written,
};
use kidoku_core::id::{App, ChannelKey, MessageId, Name, NameKind, Position, UserKey};

const ME: &str = "me";
const NEVER: Clock = Clock::NEVER;

fn user_key() -> UserKey {
    UserKey::new(&App::default_app(), ME).unwrap()
}

fn channel_key() -> ChannelKey {
    ChannelKey::new(&App::default_app(), "room").unwrap()
}

fn name(text: &str) -> Name {
    Name::new(NameKind::User, text).unwrap()
}

fn id(value: u64) -> MessageId {
    MessageId::new(value).unwrap()
}

/// One channel of messages 1 to 10 and one member who has read nothing.
struct World {
    channels: Channels,
    user: User,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            channels: Channels::default(),
            user: User::default(),
        };
        for value in 1..=10 {
            world.message(
                value,
                MessageRow {
                    posted: Some(Posted::default()),
                    ..MessageRow::default()
                },
            );
        }
        world.state(StateRow {
            membership: Some(member(1, 0)),
            ..StateRow::default()
        });
        world
    }

    fn without_messages() -> Self {
        let mut world = Self {
            channels: Channels::default(),
            user: User::default(),
        };
        world.state(StateRow {
            membership: Some(member(1, 0)),
            ..StateRow::default()
        });
        world
    }

    fn channel(&mut self, fact: Fact) {
        self.channels.take(channel_key(), fact);
    }

    fn message(&mut self, value: u64, row: MessageRow) {
        self.channel(Fact::Message {
            channel: channel_key(),
            id: id(value),
            row,
        });
    }

    fn posted(&mut self, value: u64, posted: Posted) {
        self.message(
            value,
            MessageRow {
                posted: Some(posted),
                ..MessageRow::default()
            },
        );
    }

    fn edited(&mut self, value: u64, everyone: bool, roles: &[&str], mentions: &[&str]) {
        let names = |texts: &[&str]| texts.iter().map(|text| name(text)).collect();
        let edit = Edit {
            version: 1,
            everyone,
            roles: names(roles),
            mentions: names(mentions),
        };
        let posted = Some(Posted {
            everyone: true,
            ..Posted::default()
        });
        self.message(
            value,
            MessageRow {
                posted,
                edit: Some(edit),
                ..MessageRow::default()
            },
        );
    }

    fn state(&mut self, row: StateRow) {
        self.user.take(Fact::State {
            user: user_key(),
            channel: channel_key(),
            row,
        });
    }

    fn cursor(&mut self, era: u64, position: u64) {
        let cursor = Cursor {
            era: Clock(era),
            position: Position(position),
        };
        self.state(StateRow {
            cursor,
            ..StateRow::default()
        });
    }

    fn mention(&mut self, value: u64) {
        self.mention_made(value, NEVER);
    }

    fn mention_made(&mut self, value: u64, incarnation: Clock) {
        let (user, channel) = (user_key(), channel_key());
        self.user.take(Fact::Mention {
            user,
            channel,
            incarnation,
            id: id(value),
        });
    }

    fn own(&mut self, value: u64) {
        let (user, channel) = (user_key(), channel_key());
        self.user.take(Fact::Own {
            user,
            channel,
            incarnation: NEVER,
            id: id(value),
        });
    }

    fn role(&mut self, role: &str, clock: u64, held: bool) {
        let (user, role, clock) = (user_key(), name(role), Clock(clock));
        self.user.take(Fact::Role {
            user,
            role,
            incarnation: NEVER,
            clock,
            held,
        });
    }

    fn floor(&mut self, space: Option<&str>, clock: u64, position: u64) {
        let floor = Floor::new(FloorEntry {
            clock: Clock(clock),
            position: Position(position),
        });
        let (user, space) = (user_key(), space.map(name));
        self.user.take(Fact::Floor {
            user,
            space,
            incarnation: NEVER,
            floor,
        });
    }

    fn space(&mut self, space: &str) {
        let space = Written {
            clock: Clock(1),
            value: Some(name(space)),
        };
        let settings = Settings {
            space,
            ..Settings::default()
        };
        self.channel(Fact::Settings {
            channel: channel_key(),
            incarnation: NEVER,
            settings,
        });
    }

    fn numbers(&self) -> (u64, u64) {
        let (Numbers { unread, mentions }, _) =
            self.channels.count(&user_key(), &self.user, &channel_key());
        (unread, mentions)
    }
}

fn member(clock: u64, from: u64) -> Membership {
    Membership {
        clock: Clock(clock),
        member: true,
        from: Position(from),
    }
}

#[test]
fn everything_above_the_cursor_counts() {
    let mut world = World::new();
    assert_eq!(world.numbers(), (10, 0));
    world.cursor(0, 7);
    assert_eq!(world.numbers(), (3, 0));
    world.cursor(5, 2);
    assert_eq!(world.numbers(), (8, 0));
}

#[test]
fn the_highest_of_cursor_join_trim_and_floor_is_the_line() {
    let mut world = World::new();
    world.state(StateRow {
        membership: Some(member(2, 3)),
        ..StateRow::default()
    });
    assert_eq!(world.numbers(), (7, 0));
    let position = Position(5);
    let channel = channel_key();
    world.channel(Fact::Trim {
        channel,
        incarnation: NEVER,
        position,
        clock: Clock(1),
    });
    assert_eq!(world.numbers(), (5, 0));
    world.floor(None, 9, 8);
    assert_eq!(world.numbers(), (2, 0));
}

#[test]
fn a_floor_counts_only_for_eras_before_it_and_in_its_space() {
    let mut world = World::new();
    world.floor(Some("guild"), 9, 8);
    assert_eq!(world.numbers(), (10, 0));
    world.space("guild");
    assert_eq!(world.numbers(), (2, 0));
    world.cursor(9, 1);
    assert_eq!(world.numbers(), (9, 0));
    world.floor(None, 10, 4);
    assert_eq!(world.numbers(), (6, 0));
}

#[test]
fn deleted_silent_and_unposted_messages_count_nothing_their_mentions_included() {
    let mut world = World::without_messages();
    let posted = Some(Posted::default());
    world.message(
        1,
        MessageRow {
            posted: posted.clone(),
            deleted: true,
            ..MessageRow::default()
        },
    );
    world.message(
        2,
        MessageRow {
            deleted: true,
            ..MessageRow::default()
        },
    );
    world.posted(
        3,
        Posted {
            silent: true,
            everyone: true,
            ..Posted::default()
        },
    );
    world.message(
        4,
        MessageRow {
            posted,
            ..MessageRow::default()
        },
    );
    for value in 1..=5 {
        world.mention(value);
    }
    assert_eq!(world.numbers(), (1, 1));
    assert_eq!(world.channels.messages(), 2);
}

#[test]
fn own_messages_count_neither_as_unread_nor_as_mentions() {
    let mut world = World::new();
    world.own(4);
    world.own(11);
    world.mention(4);
    world.mention(5);
    assert_eq!(world.numbers(), (9, 1));
    world.cursor(0, 4);
    assert_eq!(world.numbers(), (6, 1));
}

#[test]
fn a_message_that_names_the_user_twice_counts_once() {
    let mut world = World::without_messages();
    world.posted(
        1,
        Posted {
            everyone: true,
            roles: vec![name("ops")],
            ..Posted::default()
        },
    );
    world.role("ops", 1, true);
    world.mention(1);
    world.mention(1);
    assert_eq!(world.numbers(), (1, 1));
}

#[test]
fn role_mentions_count_for_those_who_hold_the_role_now() {
    let mut world = World::without_messages();
    world.posted(
        1,
        Posted {
            roles: vec![name("ops")],
            ..Posted::default()
        },
    );
    assert_eq!(world.numbers(), (1, 0));
    world.role("ops", 2, true);
    assert_eq!(world.numbers(), (1, 1));
    world.role("ops", 1, false);
    assert_eq!(world.numbers(), (1, 1));
    world.role("ops", 3, false);
    assert_eq!(world.numbers(), (1, 0));
}

#[test]
fn an_edit_replaces_whom_the_message_names() {
    let mut world = World::without_messages();
    world.mention(1);
    world.edited(1, false, &[], &["someone"]);
    assert_eq!(world.numbers(), (1, 0));
    world.edited(2, false, &[], &[ME]);
    assert_eq!(world.numbers(), (2, 1));
    world.edited(3, true, &[], &[]);
    assert_eq!(world.numbers(), (3, 2));
}

#[test]
fn facts_from_before_an_erasure_or_a_drop_count_nothing() {
    let mut world = World::new();
    world.mention(3);
    world.channel(Fact::ChannelDropped {
        channel: channel_key(),
        clock: Clock(7),
    });
    assert_eq!(world.numbers(), (0, 0));
    let incarnation = Clock(7);
    let posted = Some(Posted::default());
    world.message(
        3,
        MessageRow {
            posted,
            incarnation,
            ..MessageRow::default()
        },
    );
    world.state(StateRow {
        incarnation,
        membership: Some(member(8, 0)),
        ..StateRow::default()
    });
    assert_eq!(
        world.numbers(),
        (1, 0),
        "the mention is of the time before the drop"
    );
    world.mention_made(3, incarnation);
    assert_eq!(world.numbers(), (1, 1));
    world.user.take(Fact::UserErased {
        user: user_key(),
        clock: Clock(9),
    });
    assert_eq!(world.user.member_of().count(), 0);
}

#[test]
fn messages_may_come_in_any_order_and_twice() {
    let mut world = World::without_messages();
    for value in [5, 3, 9, 3, 1, 9] {
        world.posted(value, Posted::default());
    }
    world.cursor(0, 3);
    assert_eq!(world.numbers(), (2, 0));
}

#[test]
fn someone_who_has_left_is_not_compared() {
    let mut world = World::new();
    assert_eq!(world.user.member_of().count(), 1);
    let left = Membership {
        clock: Clock(3),
        member: false,
        from: Position::START,
    };
    world.state(StateRow {
        membership: Some(left),
        ..StateRow::default()
    });
    assert_eq!(world.user.member_of().count(), 0);
}
