use super::*;
use crate::ids::OpaqueIds;
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind};

#[test]
fn every_command_of_the_table_parses_from_its_example_in_any_case() {
    for spec in &COMMANDS {
        let parsed = |text: &str| {
            assert!(text.to_uppercase().starts_with(spec.name), "{text}");
            with_bytes(
                format!("{text}\r\n").as_bytes(),
                Some(&mut NumericIds),
                |result| {
                    if let Err(error) = result {
                        panic!("{text}: {error}");
                    }
                },
            );
        };
        parsed(spec.example);
        parsed(&spec.example.to_lowercase());
    }
}

#[test]
fn reading_commands_become_requests() {
    for (text, expected) in [
        (
            "KD.ACK u c 5",
            "Ack { user: u, channel: c, id: (5), era: None, private: false, count: false }",
        ),
        (
            "kd.ack u c 5 count ERA 7 private",
            "Ack { user: u, channel: c, id: (5), era: Some((7)), private: true, count: true }",
        ),
        (
            "KD.MACK u a 1 b 2",
            "AckMany { user: u, acks: [(a, (1)), (b, (2))] }",
        ),
        (
            "KD.ACKALL u UPTO 9",
            "AckAll { user: u, upto: (9), space: None }",
        ),
        (
            "KD.ACKALL u SPACE s UPTO 9",
            "AckAll { user: u, upto: (9), space: Some(s) }",
        ),
        (
            "KD.UNREAD u c 5",
            "MarkUnread { user: u, channel: c, id: (5) }",
        ),
        (
            "KD.MUTE u c all",
            "Mute { user: u, channel: c, level: All, until: (0) }",
        ),
        (
            "KD.MUTE u c NONE UNTIL 5",
            "Mute { user: u, channel: c, level: None, until: (5) }",
        ),
        ("KD.COUNT u a b", "Count { user: u, channels: [a, b] }"),
        (
            "KD.STATE u",
            "State { user: u, since: None, page: Page { limit: 1000, after: None } }",
        ),
        (
            "KD.STATE u AFTER c LIMIT 10000 SINCE 18446744073709551615",
            "State { user: u, since: Some((18446744073709551615)), \
             page: Page { limit: 10000, after: Some(c) } }",
        ),
        ("KD.BADGE u", "Badge { user: u, space: None }"),
        ("KD.BADGE u SPACE s", "Badge { user: u, space: Some(s) }"),
        ("KD.SEEN c 5", "Seen { channel: c, id: (5), list: None }"),
        (
            "KD.SEEN c 5 AFTER u LIST LIMIT 1",
            "Seen { channel: c, id: (5), list: Some(Page { limit: 1, after: Some(u) }) }",
        ),
        (
            "KD.EXPLAIN u c AFTER 3 LIMIT 2",
            "Explain { user: u, channel: c, page: Page { limit: 2, after: Some((3)) } }",
        ),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn message_commands_become_requests() {
    for (text, expected) in [
        (
            "KD.POST c 5",
            "Post { channel: c, post: Post { id: (5), author: None, noack: false, silent: false, \
             mentions: MentionList { everyone: false, roles: [], users: [] } } }",
        ),
        (
            "KD.POST c 5 MENTIONS 2 by BY ROLES 1 r EVERYONE SILENT NOACK BY a",
            "Post { channel: c, post: Post { id: (5), author: Some(a), noack: true, silent: true, \
             mentions: MentionList { everyone: true, roles: [r], users: [by, BY] } } }",
        ),
        ("KD.DELETE c 1 2", "Delete { channel: c, ids: [(1), (2)] }"),
        (
            "KD.EDIT c 5 MENTIONS 0 VERSION 2",
            "Edit { channel: c, id: (5), version: 2, \
             mentions: MentionList { everyone: false, roles: [], users: [] } }",
        ),
        ("KD.TRIM c 5", "Trim { channel: c, id: (5) }"),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn other_commands_become_requests() {
    for (text, expected) in [
        (
            "KD.JOIN c a b",
            "Join { channel: c, users: [a, b], at: Tail }",
        ),
        (
            "KD.JOIN c a b at start",
            "Join { channel: c, users: [a, b], at: Start }",
        ),
        (
            "KD.JOIN c a AT TAIL",
            "Join { channel: c, users: [a], at: Tail }",
        ),
        (
            "KD.JOIN c a AT 7",
            "Join { channel: c, users: [a], at: After((7)) }",
        ),
        (
            "KD.JOIN c AT a AT TAIL",
            "Join { channel: c, users: [AT, a], at: Tail }",
        ),
        (
            "KD.LEAVE c a AT b",
            "Leave { channel: c, users: [a, AT, b] }",
        ),
        (
            "KD.ROLE r ADD a b",
            "Role { app: default, role: r, users: [a, b], held: true }",
        ),
        (
            "KD.ROLE r remove a",
            "Role { app: default, role: r, users: [a], held: false }",
        ),
        (
            "KD.FOLLOW u t off",
            "Follow { user: u, thread: t, on: false }",
        ),
        (
            "KD.CHANNEL c",
            "Channel { channel: c, space: None, parent: None, receipts: None }",
        ),
        (
            "KD.CHANNEL c RECEIPTS off PARENT \"\" SPACE s",
            "Channel { channel: c, space: Some(Some(s)), parent: Some(None), receipts: Some(Off) }",
        ),
        ("KD.ERASE u", "Erase { user: u }"),
        ("KD.DROP c", "Drop { channel: c }"),
        ("KD.CHECK", "Check"),
        ("KD.WATCH a b", "Watch([a, b])"),
        ("KD.UNWATCH", "Unwatch([])"),
        ("KD.UNWATCH a", "Unwatch([a])"),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn opaque_ids_are_parsed_in_two_passes() {
    let mut ids = OpaqueIds::default();
    let bytes = b"KD.MACK u a $x b $y\r\n";
    assert!(with_bytes(bytes, Some(&mut ids), |result| result.is_ok()));
    let asked = ids.take_requests();
    assert_eq!(asked.len(), 2);
    for (value, request) in (5..).zip(&asked) {
        let Request::Resolve { channel, texts } = request else {
            panic!("{request:?}")
        };
        ids.learn(channel, texts, &[MessageId::new(value).unwrap()]);
    }
    let parsed = with_bytes(bytes, Some(&mut ids), shown);
    assert_eq!(parsed, "AckMany { user: u, acks: [(a, (5)), (b, (6))] }");
    assert!(ids.is_complete());
    assert_eq!(
        asked[0],
        Request::Resolve {
            channel: ChannelKey::new(&App::default_app(), "a").unwrap(),
            texts: vec![Name::new(NameKind::MessageId, "$x").unwrap()],
        }
    );
    let all = with_bytes(b"KD.ACKALL u UPTO $x\r\n", Some(&mut ids), shown);
    assert!(all.starts_with("BADID "), "{all}");
}
