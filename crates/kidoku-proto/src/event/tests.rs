use super::*;
use crate::ids::{NumericIds, OpaqueIds, SnowflakeIds};
use kidoku_core::clock::Clock;
use kidoku_core::fact::*;
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind, Position, UserKey};
use kidoku_core::limits::*;
use kidoku_core::request::{JoinAt, MentionList, Post};
use proptest::prelude::*;

const NOW: Millis = Millis(1_700_000_000_000);

fn parse_as(line: &str, ids: &mut dyn IdSource) -> Result<EventOp, LineError> {
    parse_line(
        line.as_bytes(),
        &mut Context {
            app: &App::default_app(),
            ids,
            now: NOW,
        },
    )
}

fn parse(line: &str) -> Result<EventOp, LineError> {
    parse_as(line, &mut NumericIds)
}

fn request(line: &str) -> Request {
    parse(line)
        .unwrap_or_else(|error| panic!("{line}: {error}"))
        .request
}

fn refused(line: &str) -> String {
    match parse(line) {
        Ok(op) => panic!("{line} became {op:?}"),
        Err(error) => error.to_string(),
    }
}

fn user(name: &str) -> UserKey {
    UserKey::new(&App::default_app(), name).unwrap()
}

fn channel(name: &str) -> ChannelKey {
    ChannelKey::new(&App::default_app(), name).unwrap()
}

fn id(id: u64) -> MessageId {
    MessageId::new(id).unwrap()
}

fn role(name: &str) -> Name {
    Name::new(NameKind::Role, name).unwrap()
}

#[test]
fn a_message_takes_every_field_of_the_table() {
    let line = r#"{"op":"message","channel":"c","id":"7","author":"a","mentions":["u","v"],
        "roles":["r"],"everyone":true,"silent":true,"noack":true,"time":1103966040000}"#;
    let mentions = MentionList {
        everyone: true,
        roles: vec![role("r")],
        users: vec![user("u"), user("v")],
    };
    let post = Post {
        id: id(7),
        author: Some(user("a")),
        noack: true,
        silent: true,
        mentions,
    };
    assert_eq!(
        request(line),
        Request::Post {
            channel: channel("c"),
            post
        }
    );
    let bare = Post {
        id: id(7),
        author: None,
        noack: false,
        silent: false,
        mentions: MentionList::default(),
    };
    let bare = Request::Post {
        channel: channel("c"),
        post: bare,
    };
    assert_eq!(request(r#"{"op":"message","channel":"c","id":7}"#), bare);
    assert_eq!(
        request(r#"{"op":"message","channel":"c","id":7,"author":null}"#),
        bare
    );
}

#[test]
fn every_other_operation_becomes_its_request() {
    let (c, u) = (channel("c"), user("u"));
    let checks = [
        (
            r#"{"op":"delete","channel":"c","id":7}"#,
            Request::Delete {
                channel: c.clone(),
                ids: vec![id(7)],
            },
        ),
        (
            r#"{"op":"edit","channel":"c","id":7,"version":2,"everyone":true}"#,
            Request::Edit {
                channel: c.clone(),
                id: id(7),
                version: 2,
                mentions: MentionList {
                    everyone: true,
                    ..MentionList::default()
                },
            },
        ),
        (
            r#"{"op":"leave","channel":"c","user":"u"}"#,
            Request::Leave {
                channel: c.clone(),
                users: vec![u.clone()],
            },
        ),
        (
            r#"{"op":"ack","user":"u","channel":"c","id":"7","era":"12","private":true}"#,
            Request::Ack {
                user: u.clone(),
                channel: c.clone(),
                id: id(7),
                era: Some(Clock(12)),
                private: true,
                count: false,
            },
        ),
        (
            r#"{"op":"unread","user":"u","channel":"c","id":"7"}"#,
            Request::MarkUnread {
                user: u.clone(),
                channel: c.clone(),
                id: id(7),
            },
        ),
        (
            r#"{"op":"ackall","user":"u","id":"7","space":"s"}"#,
            Request::AckAll {
                user: u.clone(),
                upto: id(7),
                space: Some(Name::new(NameKind::Space, "s").unwrap()),
            },
        ),
        (
            r#"{"op":"mute","user":"u","channel":"c","level":"mentions","until":5}"#,
            Request::Mute {
                user: u.clone(),
                channel: c.clone(),
                level: MuteLevel::Mentions,
                until: Millis(5),
            },
        ),
        (
            r#"{"op":"channel","channel":"c","space":null,"parent":"p","receipts":"COUNT"}"#,
            Request::Channel {
                channel: c.clone(),
                space: Some(None),
                parent: Some(Some(Name::new(NameKind::Channel, "p").unwrap())),
                receipts: Some(Receipts::Count),
            },
        ),
        (
            r#"{"op":"role","role":"r","user":"u","add":false}"#,
            Request::Role {
                app: App::default_app(),
                role: role("r"),
                users: vec![u.clone()],
                held: false,
            },
        ),
        (
            r#"{"op":"trim","channel":"c","id":7}"#,
            Request::Trim {
                channel: c.clone(),
                id: id(7),
            },
        ),
        (
            r#"{"op":"follow","user":"u","thread":"c","on":true}"#,
            Request::Follow {
                user: u.clone(),
                thread: c.clone(),
                on: true,
            },
        ),
    ];
    for (line, expected) in checks {
        assert_eq!(request(line), expected, "{line}");
    }
    for (at, expected) in [
        ("", JoinAt::Tail),
        (r#","at":"tail""#, JoinAt::Tail),
        (r#","at":"START""#, JoinAt::Start),
        (r#","at":"9""#, JoinAt::After(id(9))),
        (r#","at":9"#, JoinAt::After(id(9))),
    ] {
        let line = format!(r#"{{"op":"join","channel":"c","user":"u"{at}}}"#);
        let expected = Request::Join {
            channel: c.clone(),
            users: vec![u.clone()],
            at: expected,
        };
        assert_eq!(request(&line), expected, "{line}");
    }
}

#[test]
fn an_id_is_a_whole_number_from_1_to_2_to_the_63_minus_1_as_number_or_string() {
    let line = |id: &str| format!(r#"{{"op":"ack","user":"u","channel":"c","id":{id}}}"#);
    for good in [
        "1",
        "9223372036854775807",
        r#""1""#,
        r#""9223372036854775807""#,
    ] {
        assert!(parse(&line(good)).is_ok(), "{good}");
    }
    let bad = [
        "0",
        "-1",
        "1.0",
        "1e3",
        "9223372036854775808",
        "18446744073709551616",
    ];
    for bad in bad
        .into_iter()
        .chain([r#""0""#, r#""-1""#, r#""1e3""#, r#""""#, r#"" 1""#])
    {
        let error = refused(&line(bad));
        assert!(
            error.starts_with("BADID field `id`: a message id is"),
            "{bad}: {error}"
        );
    }
    for wrong in ["true", "[1]", r#"{"a":1}"#] {
        assert!(
            refused(&line(wrong)).starts_with("SYNTAX field `id`: invalid type"),
            "{wrong}"
        );
    }
    assert_eq!(refused(&line("null")), "SYNTAX the field `id` is missing");
}

#[test]
fn what_is_unknown_missing_doubled_or_of_another_op_is_named() {
    let checks = [
        (r#"{"op":"dance"}"#, "SYNTAX unknown op `dance`"),
        (r#"{"channel":"c"}"#, "SYNTAX the field `op` is missing"),
        (
            r#"{"op":"trim","channel":"c","id":1,"x":2}"#,
            "SYNTAX unknown field `x` at column 37",
        ),
        (
            r#"{"op":"trim","channel":"c","id":1,"user":"u"}"#,
            "SYNTAX the field `user` is not one of op `trim`",
        ),
        (
            r#"{"op":"trim","channel":"c","id":1,"id":2}"#,
            "SYNTAX the field `id` stands twice at column 38",
        ),
        (
            r#"{"op":"trim","id":1}"#,
            "SYNTAX the field `channel` is missing",
        ),
        (
            r#"{"op":"trim","channel":5,"id":1}"#,
            "SYNTAX field `channel`: invalid type: integer `5`, expected a string at column 24",
        ),
        (
            r#"{"op":"mention","user":"u","channel":"c","id":1}"#,
            "SYNTAX op `mention` is only for facts, lines with \"fact\":true",
        ),
        (
            r#"{"op":"mute","user":"u","channel":"c","level":"loud"}"#,
            "SYNTAX field `level`: `loud` is not one of ALL, MENTIONS or NONE",
        ),
        (
            r#"{"op":"edit","channel":"c","id":1,"version":0}"#,
            "SYNTAX field `version`: an edit's version is 1 or more",
        ),
    ];
    for (line, expected) in checks {
        assert_eq!(refused(line), expected);
    }
    for line in [
        "",
        "[]",
        "5",
        "{",
        r#"{"op":"trim""#,
        r#"{"op":"trim"} {}"#,
        "\u{feff}{}",
    ] {
        assert!(refused(line).starts_with("SYNTAX "), "{line}");
    }
}

#[test]
fn names_and_lists_are_taken_at_their_limit_and_refused_one_past_it() {
    let with_user = |user: &str| format!(r#"{{"op":"leave","channel":"c","user":"{user}"}}"#);
    assert!(parse(&with_user(&"x".repeat(NAME_BYTES_MAX))).is_ok());
    let error = refused(&with_user(&"x".repeat(NAME_BYTES_MAX + 1)));
    assert_eq!(error, "BADID field `user`: user is longer than 128 bytes");
    assert!(refused(&with_user("")).starts_with("BADID field `user`: user is empty"));
    assert!(refused(&with_user("a\\u0007")).starts_with("BADID field `user`: user has a control"));
    assert!(refused(&with_user("a\\ud800")).starts_with("SYNTAX "));
    let list = |count: usize| vec!["\"x\""; count].join(",");
    for (field, max) in [
        ("mentions", MENTIONS_PER_MESSAGE_MAX),
        ("roles", ROLES_PER_MESSAGE_MAX),
    ] {
        let line = |count| {
            format!(
                r#"{{"op":"message","channel":"c","id":1,"{field}":[{}]}}"#,
                list(count)
            )
        };
        assert!(parse(&line(max)).is_ok(), "{field}");
        let expected = format!(
            "LIMIT field `{field}`: {} entries, at most {max} are allowed",
            max + 1
        );
        assert_eq!(refused(&line(max + 1)), expected);
    }
}

#[test]
fn bad_bytes_and_deep_nesting_and_huge_lines_are_errors_of_the_line() {
    let mut ctx = Context {
        app: &App::default_app(),
        ids: &mut NumericIds,
        now: NOW,
    };
    let bad = b"{\"op\":\"leave\",\"channel\":\"\xff\",\"user\":\"u\"}";
    assert_eq!(parse_line(bad, &mut ctx).unwrap_err().code, Code::Syntax);
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for field in ["mentions", "id", "edit", "x"] {
            let line = format!(r#"{{"op":"message","channel":"c","{field}":{nested}}}"#);
            assert_eq!(parse(&line).unwrap_err().code, Code::Syntax);
        }
        assert_eq!(parse(&nested).unwrap_err().code, Code::Syntax);
    }
    let padded = |length: usize| {
        let line = r#"{"op":"trim","channel":"c","id":1}"#;
        format!("{line}{}", " ".repeat(length - line.len()))
    };
    assert!(parse(&padded(EVENT_LINE_BYTES_MAX)).is_ok());
    let error = refused(&padded(EVENT_LINE_BYTES_MAX + 1));
    assert_eq!(error, "LIMIT the line is longer than 1048576 bytes");
}

#[test]
fn an_era_or_clock_may_be_60_seconds_ahead_and_not_more() {
    let at = |ms: u64| Clock::at(Millis(NOW.0 + ms)).0;
    let ack = |era: u64| format!(r#"{{"op":"ack","user":"u","channel":"c","id":1,"era":"{era}"}}"#);
    assert!(parse(&ack(at(CLOCK_AHEAD_MAX_MS))).is_ok());
    assert!(
        refused(&ack(at(CLOCK_AHEAD_MAX_MS + 1))).starts_with("BADID field `era`: era is 60001")
    );
    let erase =
        |clock: u64| format!(r#"{{"op":"erase","fact":true,"user":"u","clock":"{clock}"}}"#);
    assert!(parse(&erase(at(CLOCK_AHEAD_MAX_MS))).is_ok());
    assert!(refused(&erase(at(CLOCK_AHEAD_MAX_MS + 1))).starts_with("BADID field `clock`: clock"));
}

#[test]
fn the_ids_of_a_line_follow_the_setting_of_the_app() {
    let mut snowflakes = SnowflakeIds {
        epoch_ms: 0,
        now: NOW,
    };
    let line = |id: u64| format!(r#"{{"op":"trim","channel":"c","id":"{id}"}}"#);
    assert!(parse_as(&line(NOW.0 << 22), &mut snowflakes).is_ok());
    let ahead = parse_as(&line((NOW.0 + 60_001) << 22), &mut snowflakes).unwrap_err();
    assert_eq!(ahead.code, Code::BadId);

    let mut opaque = OpaqueIds::default();
    let line = r#"{"op":"trim","channel":"c","id":"$event:example.org"}"#;
    assert!(parse_as(line, &mut opaque).is_ok());
    let text = vec![Name::new(NameKind::MessageId, "$event:example.org").unwrap()];
    let asked = Request::Resolve {
        channel: channel("c"),
        texts: text.clone(),
    };
    assert_eq!(opaque.take_requests(), vec![asked]);
    opaque.learn(&channel("c"), &text, &[id(3)]);
    let known = parse_as(line, &mut opaque).unwrap().request;
    assert_eq!(
        known,
        Request::Trim {
            channel: channel("c"),
            id: id(3)
        }
    );
    let fraction = r#"{"op":"trim","channel":"c","id":1.5}"#;
    assert_eq!(
        parse_as(fraction, &mut opaque).unwrap_err().code,
        Code::BadId
    );
}

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

#[test]
fn lines_are_cut_the_same_whatever_the_pieces() {
    let long = "x".repeat(EVENT_LINE_BYTES_MAX);
    let stream = format!("a\n\r\n{long}\r\n{long}y\nb\r\n{long}zz\n\nlast");
    let expected = [
        (1, Some(1)),
        (2, Some(0)),
        (3, Some(EVENT_LINE_BYTES_MAX)),
        (4, None),
        (5, Some(1)),
        (6, None),
        (7, Some(0)),
        (8, Some(4)),
    ];
    for piece in [7_919, 65_536, stream.len()] {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut note = |line: Line<'_>| match line {
            Line::Text { number, bytes } => seen.push((number, Some(bytes.len()))),
            Line::TooLong { number } => seen.push((number, None)),
        };
        for piece in stream.as_bytes().chunks(piece) {
            lines.push(piece);
            assert!(lines.held_bytes() <= EVENT_LINE_BYTES_MAX + 2 + piece.len());
            while let Some(line) = lines.next_line() {
                note(line);
            }
        }
        if let Some(line) = lines.finish() {
            note(line);
        }
        assert_eq!(seen, expected, "pieces of {piece}");
    }
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
        let _: Result<EventOp, LineError> = parse_line(&bytes, &mut ctx);
    }
}
