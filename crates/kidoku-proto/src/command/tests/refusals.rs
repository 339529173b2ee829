use super::*;
use crate::command::table::Access;
use kidoku_core::clock::Clock;
use kidoku_core::limits::{
    CHANNELS_PER_COMMAND_MAX, CLOCK_AHEAD_MAX_MS, IDS_PER_COMMAND_MAX, MENTIONS_PER_MESSAGE_MAX,
    NAME_BYTES_MAX, ROLES_PER_MESSAGE_MAX, USERS_PER_COMMAND_MAX, WATCHED_USERS_MAX,
};

#[test]
fn every_command_refuses_fewer_arguments_than_its_arity_and_says_how_it_is_used() {
    for spec in &COMMANDS {
        let wanted = usize::from(spec.arity.unsigned_abs());
        if wanted > 1 {
            let few = [&[spec.name], vec!["1"; wanted - 2].as_slice()].concat();
            let expected = format!("SYNTAX wrong number of arguments, usage: {}", spec.usage());
            assert_eq!(args(&few), expected);
        }
        if spec.arity > 0 {
            let many = [&[spec.name], vec!["1"; wanted].as_slice()].concat();
            assert!(
                args(&many).starts_with("SYNTAX wrong number of arguments"),
                "{}",
                spec.name
            );
        }
    }
}

#[test]
fn before_authentication_only_public_commands_are_parsed() {
    for spec in &COMMANDS {
        let shown = line_before_auth(spec.example);
        match spec.access {
            Access::App => assert!(shown.starts_with("NOAUTH "), "{} {shown}", spec.name),
            Access::Public => assert!(!shown.starts_with("NOAUTH "), "{} {shown}", spec.name),
        }
    }
    let public: Vec<_> = COMMANDS
        .iter()
        .filter(|spec| spec.access == Access::Public)
        .map(|spec| spec.name)
        .collect();
    assert!(
        public.iter().all(|name| !name.starts_with("KD.")),
        "{public:?}"
    );
}

#[test]
fn bad_message_ids_are_refused_with_argument_and_value() {
    let rule = "BADID a message id is a whole number from 1 to 9223372036854775807";
    let long = "9".repeat(100);
    for bad in [
        "0",
        "-1",
        "1e3",
        "18446744073709551616",
        "9223372036854775808",
        "",
        &long,
    ] {
        let value = crate::error::escape(bad.as_bytes());
        let third = format!("{rule} (argument 3: '{value}')");
        assert_eq!(args(&["KD.ACK", "u", "c", bad]), third);
        assert_eq!(args(&["KD.UNREAD", "u", "c", bad]), third);
        let fourth = format!("{rule} (argument 4: '{value}')");
        let last = format!("{rule} (argument 5: '{value}')");
        assert_eq!(args(&["KD.MACK", "u", "a", "1", "b", bad]), last);
        assert_eq!(args(&["KD.EXPLAIN", "u", "c", "AFTER", bad]), fourth);
        assert!(args(&["KD.POST", "c", bad]).starts_with(rule));
        assert!(args(&["KD.DELETE", "c", "1", bad]).starts_with(rule));
        assert!(args(&["KD.TRIM", "c", bad]).starts_with(rule));
        assert!(args(&["KD.SEEN", "c", bad]).starts_with(rule));
        assert!(args(&["KD.ACKALL", "u", "UPTO", bad]).starts_with(rule));
        assert!(args(&["KD.JOIN", "c", "u", "AT", bad]).starts_with(rule));
        assert!(args(&["KD.EDIT", "c", bad, "VERSION", "1"]).starts_with(rule));
    }
    assert!(args(&["KD.ACK", "u", "c", "9223372036854775807"]).starts_with("Ack "));
}

#[test]
fn bad_names_are_refused_with_argument_and_value() {
    let (longest, too_long) = ("n".repeat(NAME_BYTES_MAX), "n".repeat(NAME_BYTES_MAX + 1));
    for (bad, rule) in [
        ("", "is empty, it takes 1 to 128 bytes"),
        (too_long.as_str(), "is longer than 128 bytes"),
        ("a\nb", "has a control character, none is allowed"),
    ] {
        let value = crate::error::escape(bad.as_bytes());
        let refused =
            |kind: &str, index: usize| format!("BADID {kind} {rule} (argument {index}: '{value}')");
        assert_eq!(args(&["KD.ACK", bad, "c", "1"]), refused("user", 1));
        assert_eq!(args(&["KD.ACK", "u", bad, "1"]), refused("channel", 2));
        assert_eq!(args(&["KD.JOIN", "c", "a", bad, "b"]), refused("user", 3));
        assert_eq!(args(&["KD.POST", "c", "1", "BY", bad]), refused("user", 4));
        assert_eq!(
            args(&["KD.POST", "c", "1", "ROLES", "1", bad]),
            refused("role", 5)
        );
        assert_eq!(args(&["KD.BADGE", "u", "SPACE", bad]), refused("space", 3));
        assert_eq!(args(&["KD.ROLE", bad, "ADD", "u"]), refused("role", 1));
    }
    assert!(args(&["KD.ACK", &longest, "c", "1"]).starts_with("Ack "));
    let not_utf8 = with_bytes(
        b"*2\r\n$8\r\nKD.BADGE\r\n$1\r\n\xff\r\n",
        Some(&mut NumericIds),
        shown,
    );
    assert_eq!(not_utf8, "BADID user is not UTF-8 (argument 1: '\\xff')");
}

#[test]
fn options_are_given_once_known_and_with_their_values() {
    let usage = |text: &str, what: &str| {
        let spec = lookup(text.split(' ').next().unwrap().as_bytes()).unwrap();
        assert_eq!(
            line(text),
            format!("SYNTAX {what}, usage: {}", spec.usage()),
            "{text}"
        );
    };
    usage("KD.ACK u c 1 PRIVATE PRIVATE", "PRIVATE is given twice");
    usage("KD.ACK u c 1 ERA 1 era 1", "ERA is given twice");
    usage("KD.ACK u c 1 PUBLIC", "argument 4 is not known: 'PUBLIC'");
    usage("KD.ACK u c 1 ERA", "an argument is missing");
    usage("KD.MACK u a 1 b", "a channel without an id");
    usage("KD.ACKALL u SPACE s", "UPTO is missing");
    usage(
        "KD.EDIT c 1 EVERYONE ROLES 0",
        "VERSION is missing or 0, the first edit is 1",
    );
    usage(
        "KD.EDIT c 1 VERSION 0",
        "VERSION is missing or 0, the first edit is 1",
    );
    usage("KD.SEEN c 1 LIMIT 5", "LIMIT and AFTER need LIST");
    usage("KD.STATE u LIMIT 0", "LIMIT is 1 to 10000");
    usage("KD.MUTE u c SOME", "argument 3 is not known: 'SOME'");
    usage("KD.FOLLOW u t MAYBE", "argument 3 is not known: 'MAYBE'");
    usage(
        "KD.POST c 1 MENTIONS 3 a b",
        "3 mentions are announced and 2 arguments are left",
    );
    usage("KD.CHANNEL c RECEIPTS", "an argument is missing");
    assert_eq!(
        line("KD.ACK u c 1 ERA x"),
        "SYNTAX ERA is a whole number from 0 to 18446744073709551615 (argument 5: 'x')"
    );
    assert!(line("KD.STATE u SINCE 18446744073709551616").starts_with("SYNTAX SINCE is a whole"));
    assert!(line("KD.POST c 1 MENTIONS -1 a").starts_with("SYNTAX the number of mentions is"));
}

#[test]
fn an_era_may_be_60_seconds_ahead_of_the_clock_and_not_more() {
    let era = |ahead: u64| Clock::at(Millis(NOW.0 + ahead)).0;
    let ack = |era: u64| line(&format!("KD.ACK u c 1 ERA {era}"));
    assert!(ack(era(CLOCK_AHEAD_MAX_MS)).starts_with("Ack "));
    assert_eq!(
        ack(era(CLOCK_AHEAD_MAX_MS + 1)),
        "BADID era is 60001 ms ahead of the server's clock, at most 60000 ms is allowed"
    );
}

/// A command whose list has `len` items.
fn list(head: &str, item: &str, len: usize) -> String {
    let items = item.split(' ').cycle().take(len * item.split(' ').count());
    args(&head.split(' ').chain(items).collect::<Vec<_>>())
}

#[test]
fn every_list_is_allowed_at_its_limit_and_refused_one_past_it() {
    for (head, item, what, max, name) in [
        (
            "KD.JOIN c",
            "u",
            "users",
            USERS_PER_COMMAND_MAX,
            "users_per_command_max",
        ),
        (
            "KD.LEAVE c",
            "u",
            "users",
            USERS_PER_COMMAND_MAX,
            "users_per_command_max",
        ),
        (
            "KD.ROLE r ADD",
            "u",
            "users",
            USERS_PER_COMMAND_MAX,
            "users_per_command_max",
        ),
        (
            "KD.DELETE c",
            "7",
            "ids",
            IDS_PER_COMMAND_MAX,
            "ids_per_command_max",
        ),
        (
            "KD.MACK u",
            "c 7",
            "channels",
            CHANNELS_PER_COMMAND_MAX,
            "channels_per_command_max",
        ),
        (
            "KD.COUNT u",
            "c",
            "channels",
            CHANNELS_PER_COMMAND_MAX,
            "channels_per_command_max",
        ),
        (
            "KD.WATCH",
            "u",
            "users",
            WATCHED_USERS_MAX,
            "watched_users_max",
        ),
        (
            "KD.UNWATCH",
            "u",
            "users",
            WATCHED_USERS_MAX,
            "watched_users_max",
        ),
    ] {
        let allowed = list(head, item, max);
        assert!(
            !allowed.starts_with("LIMIT") && !allowed.starts_with("SYNTAX"),
            "{head}"
        );
        let over = max + 1;
        let refused =
            format!("LIMIT {over} {what}, at most {max} are allowed in one command ({name})");
        assert_eq!(list(head, item, over), refused, "{head}");
    }
}

#[test]
fn every_counted_list_is_allowed_at_its_limit_and_refused_one_past_it() {
    for (word, what, max, name) in [
        (
            "MENTIONS",
            "mentions",
            MENTIONS_PER_MESSAGE_MAX,
            "mentions_per_message_max",
        ),
        (
            "ROLES",
            "roles",
            ROLES_PER_MESSAGE_MAX,
            "roles_per_message_max",
        ),
    ] {
        for head in ["KD.POST c 1", "KD.EDIT c 1 VERSION 1"] {
            assert!(!list(&format!("{head} {word} {max}"), "x", max).contains("LIMIT"));
            for over in [max + 1, usize::MAX] {
                let refused = format!(
                    "LIMIT {over} {what}, at most {max} are allowed in one command ({name})"
                );
                assert_eq!(line(&format!("{head} {word} {over} x")), refused);
            }
        }
    }
}

#[test]
fn a_page_is_allowed_at_its_limit_and_refused_one_past_it() {
    for head in ["KD.STATE u", "KD.SEEN c 1 LIST", "KD.EXPLAIN u c"] {
        assert!(line(&format!("{head} LIMIT 10000")).contains("limit: 10000"));
        assert_eq!(
            line(&format!("{head} LIMIT 10001")),
            "LIMIT LIMIT is 10001, at most 10000 entries are allowed in one page (page_entries_max)"
        );
    }
}

proptest::proptest! {
    /// Whatever words follow a command's name, the answer is a command or one line of error.
    #[test]
    fn random_arguments_never_panic_and_errors_are_one_line(
        row in 0..COMMANDS.len(),
        words in proptest::collection::vec("[a-zA-Z0-9\\PC]{0,8}|ERA|AT|MENTIONS|ROLES|[0-9]{1,3}", 0..8),
    ) {
        let all: Vec<_> =
            std::iter::once(COMMANDS[row].name).chain(words.iter().map(String::as_str)).collect();
        let mut bytes = Vec::new();
        encode_command(&mut bytes, &all);
        with_bytes(&bytes, Some(&mut NumericIds), |result| {
            if let Err(error) = result {
                assert!(!error.text.chars().any(char::is_control), "{error}");
                assert!(error.text.len() < 400, "{error}");
            }
        });
    }
}
