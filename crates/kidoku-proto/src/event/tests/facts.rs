use super::*;
use kidoku_core::fact::*;
use kidoku_core::id::Position;
use proptest::prelude::*;

#[test]
fn a_large_fact_is_written_as_several_lines_whose_union_it_is() {
    let roles: Vec<Name> = (10_000..12_500).map(|n| role(&format!("r{n}"))).collect();
    let posted = Posted {
        silent: false,
        author: None,
        everyone: true,
        roles,
    };
    let edit = Edit {
        version: 3,
        everyone: true,
        roles: Vec::new(),
        mentions: Vec::new(),
    };
    let row = MessageRow {
        posted: Some(posted),
        edit: Some(edit),
        deleted: true,
        ..MessageRow::default()
    };
    let mut bytes = Vec::new();
    write_fact(
        &Fact::Message {
            channel: channel("c"),
            id: id(4),
            row: row.clone(),
        },
        &mut bytes,
    );
    let mut merged = MessageRow::default();
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), 4);
    for line in text.lines() {
        let Request::Merge {
            fact: Fact::Message { row, .. },
        } = request(line)
        else {
            panic!("{line}");
        };
        merged.merge(&row);
    }
    assert_eq!(merged, row);
}

fn clocks() -> impl Strategy<Value = Clock> {
    prop_oneof![Just(Clock(0)), (0..=Clock::at(NOW).0).prop_map(Clock)]
}

fn positions() -> impl Strategy<Value = Position> {
    prop_oneof![Just(0), Just(MESSAGE_ID_MAX), 0..=MESSAGE_ID_MAX].prop_map(Position)
}

fn ids() -> impl Strategy<Value = MessageId> {
    (1..=MESSAGE_ID_MAX).prop_map(id)
}

fn names() -> impl Strategy<Value = Name> {
    proptest::string::string_regex("[a-c\"\\\\/é\u{1F600} ]{1,6}")
        .unwrap()
        .prop_map(|text| Name::new(NameKind::Role, &text).unwrap())
}

fn users() -> impl Strategy<Value = UserKey> {
    names().prop_map(|name| user(name.as_str()))
}

fn channels() -> impl Strategy<Value = ChannelKey> {
    names().prop_map(|name| channel(name.as_str()))
}

fn name_sets() -> impl Strategy<Value = Vec<Name>> {
    prop::collection::btree_set(names(), 0..4).prop_map(|set| set.into_iter().collect())
}

fn floors() -> impl Strategy<Value = Floor> {
    prop::collection::vec((clocks(), positions()), 0..4).prop_map(|entries| {
        let mut floor = Floor::default();
        for (clock, position) in entries {
            floor.insert(FloorEntry { clock, position });
        }
        floor
    })
}

fn levels() -> impl Strategy<Value = MuteLevel> {
    prop_oneof![
        Just(MuteLevel::None),
        Just(MuteLevel::Mentions),
        Just(MuteLevel::All)
    ]
}

fn state_rows() -> impl Strategy<Value = StateRow> {
    let membership =
        (clocks(), any::<bool>(), positions()).prop_map(|(clock, member, from)| Membership {
            clock,
            member,
            from,
        });
    let preference =
        (clocks(), levels(), any::<u64>()).prop_map(|(clock, level, until)| Preference {
            clock,
            level,
            until: Millis(until),
        });
    (
        clocks(),
        (clocks(), positions(), any::<u64>(), positions()),
        prop::option::of(membership),
        prop::option::of(preference),
    )
        .prop_map(
            |(incarnation, (era, position, at, public), membership, preference)| StateRow {
                incarnation,
                cursor: Cursor { era, position },
                cursor_at: Millis(at),
                public,
                membership,
                preference,
                listed: false,
            },
        )
}

fn message_rows() -> impl Strategy<Value = MessageRow> {
    let posted = (
        any::<bool>(),
        prop::option::of(names()),
        any::<bool>(),
        name_sets(),
    )
        .prop_map(|(silent, author, everyone, roles)| Posted {
            silent,
            author,
            everyone,
            roles,
        });
    let edit = (any::<u64>(), any::<bool>(), name_sets(), name_sets()).prop_map(
        |(version, everyone, roles, mentions)| Edit {
            version,
            everyone,
            roles,
            mentions,
        },
    );
    (
        clocks(),
        prop::option::of(posted),
        prop::option::of(edit),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(incarnation, posted, edit, deleted, unauthored)| MessageRow {
                incarnation,
                posted,
                edit,
                deleted,
                unauthored,
            },
        )
}

fn settings() -> impl Strategy<Value = Settings> {
    let receipts = prop_oneof![
        Just(Receipts::Off),
        Just(Receipts::Count),
        Just(Receipts::List)
    ];
    let optional = || (clocks(), prop::option::of(names()));
    (optional(), optional(), (clocks(), receipts)).prop_map(|(space, parent, receipts)| Settings {
        space: Written {
            clock: space.0,
            value: space.1,
        },
        parent: Written {
            clock: parent.0,
            value: parent.1,
        },
        receipts: Written {
            clock: receipts.0,
            value: receipts.1,
        },
    })
}

fn user_facts() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (users(), clocks()).prop_map(|(user, clock)| Fact::UserErased { user, clock }),
        (users(), prop::option::of(names()), clocks(), floors()).prop_map(
            |(user, space, incarnation, floor)| Fact::Floor {
                user,
                space,
                incarnation,
                floor
            }
        ),
        (users(), names(), clocks(), clocks(), any::<bool>()).prop_map(
            |(user, role, incarnation, clock, held)| Fact::Role {
                user,
                role,
                incarnation,
                clock,
                held
            }
        ),
        (users(), channels(), state_rows()).prop_map(|(user, channel, row)| Fact::State {
            user,
            channel,
            row
        }),
        (users(), channels(), clocks(), ids()).prop_map(|(user, channel, incarnation, id)| {
            Fact::Mention {
                user,
                channel,
                incarnation,
                id,
            }
        }),
        (users(), channels(), clocks(), ids()).prop_map(|(user, channel, incarnation, id)| {
            Fact::Own {
                user,
                channel,
                incarnation,
                id,
            }
        }),
    ]
}

fn channel_facts() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (channels(), clocks()).prop_map(|(channel, clock)| Fact::ChannelDropped { channel, clock }),
        (channels(), clocks(), settings()).prop_map(|(channel, incarnation, settings)| {
            Fact::Settings {
                channel,
                incarnation,
                settings,
            }
        }),
        (channels(), clocks(), positions(), clocks()).prop_map(
            |(channel, incarnation, position, clock)| Fact::Trim {
                channel,
                incarnation,
                position,
                clock
            }
        ),
        (channels(), ids(), message_rows()).prop_map(|(channel, id, row)| Fact::Message {
            channel,
            id,
            row
        }),
        (channels(), clocks(), names(), ids()).prop_map(|(channel, incarnation, text, id)| {
            Fact::OpaqueId {
                channel,
                incarnation,
                text,
                id,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn every_fact_comes_back_from_its_line(
        fact in prop_oneof![user_facts(), channel_facts()]
    ) {
        let line = fact_to_line(&fact);
        prop_assert!(!line.contains('\n'));
        let back = parse(&line).map_err(|error| TestCaseError::fail(format!("{line}: {error}")))?;
        prop_assert_eq!(back.request, Request::Merge { fact: fact.clone() });
        let mut bytes = Vec::new();
        write_fact(&fact, &mut bytes);
        prop_assert_eq!(bytes, format!("{line}\n").into_bytes());
    }

    #[test]
    fn no_truncated_line_is_taken_for_a_whole_one(fact in user_facts(), cut in 0_usize..400) {
        let line = fact_to_line(&fact);
        let cut = cut % line.len();
        if let Some(part) = line.get(..cut) {
            prop_assert!(parse(part).is_err());
        }
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let app = App::default_app();
        let mut ctx = Context { app: &app, ids: &mut NumericIds, now: NOW };
        if let Err(error) = parse_line(&bytes, &mut ctx) {
            prop_assert!(!error.detail.is_empty());
        }
    }
}
