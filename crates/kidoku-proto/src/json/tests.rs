use super::answer::{Acked, Changed, Ids, ReadState, State};
use super::body;
use super::problem::Problem;
use crate::resp::reply::IdNames;
use kidoku_core::clock::Clock;
use kidoku_core::error::{Code, Error};
use kidoku_core::fact::MuteLevel;
use kidoku_core::id::{App, ChannelKey, MessageId, Name, NameKind, Position};
use kidoku_core::reply;
use serde_json::json;

fn channel() -> ChannelKey {
    ChannelKey::new(&App::default_app(), "c").unwrap()
}

fn state() -> reply::ReadState {
    reply::ReadState {
        unread: 3,
        mentions: 1,
        first_unread: Some(MessageId::new(9_007_199_254_740_993).unwrap()),
        cursor: Position(9_007_199_254_740_992),
        era: Clock(u64::MAX),
        last: None,
        muted: MuteLevel::Mentions,
        member: true,
        threads_unread: 4,
        threads_mentions: 2,
        threads_damaged: false,
    }
}

#[test]
fn ids_eras_and_revisions_are_strings_and_numbers_are_numbers() {
    let numeric = Ids { names: None };
    let next = Name::new(NameKind::Channel, "d").unwrap();
    let page = State::new(
        Clock(7),
        &[(channel(), state())],
        &[],
        Some(&next),
        &numeric,
    );
    let expected = json!({
        "rev": "7",
        "channels": [{
            "channel": "c",
            "unread": 3,
            "mentions": 1,
            "first_unread": "9007199254740993",
            "cursor": "9007199254740992",
            "era": "18446744073709551615",
            "last": null,
            "muted": "MENTIONS",
            "member": true,
            "threads_unread": 4,
            "threads_mentions": 2,
        }],
        "next": "d",
    });
    assert_eq!(serde_json::to_value(page).unwrap(), expected);
    let none = ReadState::new(&channel(), &reply::ReadState::default(), &numeric);
    let none = serde_json::to_value(none).unwrap();
    assert_eq!(
        (&none["cursor"], &none["first_unread"]),
        (&json!("0"), &json!(null))
    );
    let acked = Acked::Changed(Changed { changed: 1 });
    assert_eq!(serde_json::to_value(acked).unwrap(), json!({"changed": 1}));
}

#[test]
fn an_app_of_opaque_ids_gets_its_own_ids_back() {
    struct Names;
    impl IdNames for Names {
        fn name(&self, _: &ChannelKey, id: MessageId) -> Option<&str> {
            (id.get() == 9_007_199_254_740_993).then_some("$first")
        }
    }
    let ids = Ids {
        names: Some(&Names),
    };
    let state = ReadState::new(&channel(), &state(), &ids);
    assert_eq!(state.first_unread.as_deref(), Some("$first"));
    assert_eq!(state.cursor, "9007199254740992");
    let none = ReadState::new(&channel(), &reply::ReadState::default(), &ids);
    assert_eq!(none.cursor, "0");
}

#[test]
fn a_body_takes_an_id_as_string_or_number_and_keeps_what_is_neither_apart() {
    let trim = |text: &str| serde_json::from_str::<body::Trim>(text);
    for (text, expected) in [
        (r#"{"id":"7"}"#, Some("7")),
        (r#"{"id":7}"#, Some("7")),
        (r#"{"id":9223372036854775807}"#, Some("9223372036854775807")),
        (r#"{"id":9223372036854775808}"#, None),
        (r#"{"id":0}"#, None),
        (r#"{"id":"0"}"#, Some("0")),
        (r#"{"id":18446744073709551616}"#, None),
        (r#"{"id":-1}"#, None),
        (r#"{"id":1e3}"#, None),
        (r#"{"id":1.0}"#, None),
        (r#"{"id":"1e3"}"#, Some("1e3")),
    ] {
        assert_eq!(trim(text).unwrap().id.text(), expected, "{text}");
    }
    for text in ["{}", r#"{"id":null}"#, r#"{"id":true}"#, r#"{"id":[1]}"#] {
        assert!(trim(text).is_err(), "{text}");
    }
}

#[test]
fn an_unknown_field_is_named_and_null_is_told_from_absent() {
    let error = serde_json::from_str::<body::Ack>(r#"{"channel":"c","id":1,"erra":"2"}"#);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("unknown field `erra`, expected one of"),
        "{error}"
    );
    let body: body::Channel = serde_json::from_str(r#"{"space":null,"receipts":"OFF"}"#).unwrap();
    assert_eq!((body.space, body.parent), (Some(None), None));
    assert_eq!(body.receipts.as_deref(), Some("OFF"));
}

#[test]
fn a_problem_has_the_word_status_and_title_of_the_table() {
    let problem = Problem::from(Error::Busy).with_limit(5).with_hint("wait");
    let expected = json!({
        "type": "/docs#error-busy",
        "title": "A queue is full, try again",
        "status": 429,
        "detail": "too much work is waiting, retry after 100 ms",
        "code": "BUSY",
        "hint": "wait",
        "limit": 5,
    });
    assert_eq!(problem.retry_after_s(), Some(1));
    assert_eq!(serde_json::to_value(problem).unwrap(), expected);
    let plain = serde_json::to_value(Problem::new(Code::Syntax, "no")).unwrap();
    assert_eq!(plain.as_object().unwrap().len(), 5);
}
