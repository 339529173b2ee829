mod facts;

use super::*;
use crate::ids::{NumericIds, OpaqueIds, SnowflakeIds};
use kidoku_core::clock::Clock;
use kidoku_core::fact::{MuteLevel, Receipts};
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind, UserKey};
use kidoku_core::limits::*;
use kidoku_core::request::{JoinAt, MentionList, Post};

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
fn every_operation_about_a_channel_becomes_its_request() {
    let channel = channel("c");
    let delete = Request::Delete {
        channel: channel.clone(),
        ids: vec![id(7)],
    };
    assert_eq!(request(r#"{"op":"delete","channel":"c","id":7}"#), delete);
    let mentions = MentionList {
        everyone: true,
        ..MentionList::default()
    };
    let edit = Request::Edit {
        channel: channel.clone(),
        id: id(7),
        version: 2,
        mentions,
    };
    let line = r#"{"op":"edit","channel":"c","id":7,"version":2,"everyone":true}"#;
    assert_eq!(request(line), edit);
    let settings = Request::Channel {
        channel: channel.clone(),
        space: Some(None),
        parent: Some(Some(Name::new(NameKind::Channel, "p").unwrap())),
        receipts: Some(Receipts::Count),
    };
    let line = r#"{"op":"channel","channel":"c","space":null,"parent":"p","receipts":"COUNT"}"#;
    assert_eq!(request(line), settings);
    let trim = Request::Trim {
        channel: channel.clone(),
        id: id(7),
    };
    assert_eq!(request(r#"{"op":"trim","channel":"c","id":7}"#), trim);
    let leave = Request::Leave {
        channel,
        users: vec![user("u")],
    };
    assert_eq!(request(r#"{"op":"leave","channel":"c","user":"u"}"#), leave);
}

#[test]
fn every_operation_about_a_user_becomes_its_request() {
    let (user, channel) = (user("u"), channel("c"));
    let ack = Request::Ack {
        user: user.clone(),
        channel: channel.clone(),
        id: id(7),
        era: Some(Clock(12)),
        private: true,
        count: false,
    };
    let line = r#"{"op":"ack","user":"u","channel":"c","id":"7","era":"12","private":true}"#;
    assert_eq!(request(line), ack);
    let unread = Request::MarkUnread {
        user: user.clone(),
        channel: channel.clone(),
        id: id(7),
    };
    assert_eq!(
        request(r#"{"op":"unread","user":"u","channel":"c","id":"7"}"#),
        unread
    );
    let space = Some(Name::new(NameKind::Space, "s").unwrap());
    let ack_all = Request::AckAll {
        user: user.clone(),
        upto: id(7),
        space,
    };
    assert_eq!(
        request(r#"{"op":"ackall","user":"u","id":"7","space":"s"}"#),
        ack_all
    );
    let (level, until) = (MuteLevel::Mentions, Millis(5));
    let mute = Request::Mute {
        user: user.clone(),
        channel: channel.clone(),
        level,
        until,
    };
    let line = r#"{"op":"mute","user":"u","channel":"c","level":"mentions","until":5}"#;
    assert_eq!(request(line), mute);
    let (app, users) = (App::default_app(), vec![user.clone()]);
    let lost = Request::Role {
        app,
        role: role("r"),
        users,
        held: false,
    };
    assert_eq!(
        request(r#"{"op":"role","role":"r","user":"u","add":false}"#),
        lost
    );
    let follow = Request::Follow {
        user,
        thread: channel,
        on: true,
    };
    assert_eq!(
        request(r#"{"op":"follow","user":"u","thread":"c","on":true}"#),
        follow
    );
}

#[test]
fn a_join_is_at_the_tail_the_start_or_an_id() {
    for (at, expected) in [
        ("", JoinAt::Tail),
        (r#","at":"tail""#, JoinAt::Tail),
        (r#","at":"START""#, JoinAt::Start),
        (r#","at":"9""#, JoinAt::After(id(9))),
        (r#","at":9"#, JoinAt::After(id(9))),
    ] {
        let line = format!(r#"{{"op":"join","channel":"c","user":"u"{at}}}"#);
        let (channel, users) = (channel("c"), vec![user("u")]);
        assert_eq!(
            request(&line),
            Request::Join {
                channel,
                users,
                at: expected
            },
            "{line}"
        );
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
