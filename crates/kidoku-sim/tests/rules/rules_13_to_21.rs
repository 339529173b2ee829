//! Receipts, strangers, what is forgotten and comes back, corner cases, lists.

use crate::both::{Both, by, channel, for_users, plain, user};
use kidoku_core::error::Error;
use kidoku_core::fact::{Era, MuteLevel, Receipts};
use kidoku_core::id::{NameKind, Position};
use kidoku_core::reply::{LinePart, ReadState, Reply};
use kidoku_core::request::{JoinAt, MentionList, Page, Post, Request};
use kidoku_sim::workload::{id, name};

#[test]
fn rule_13_receipts_count_public_positions_which_never_go_back() {
    let mut both = Both::new();
    for who in ["a", "u", "v"] {
        both.join("c", who, JoinAt::Start);
    }
    both.say("c", by(5, "a"));
    assert_eq!(both.seen("c", 5), (0, 2), "the author is in neither number");
    both.ack_as("u", "c", 5, None, true);
    assert_eq!(both.seen("c", 5), (0, 2));
    assert_eq!(both.ack("u", "c", 5), 0, "the cursor is there already");
    assert_eq!(both.seen("c", 5), (1, 2), "but what others see is not");
    both.unread_from("u", "c", 1);
    assert_eq!(both.seen("c", 5), (1, 2));
    both.ack_all("v", 6, None);
    assert_eq!(both.seen("c", 5), (2, 2));
    both.leave("c", "v");
    assert_eq!(both.seen("c", 5), (1, 1));
}

#[test]
fn rule_13_a_channel_may_hide_the_list_or_all_of_it() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    let mut set = |receipts| {
        let channel = channel("c");
        let receipts = Some(receipts);
        both.ask(&Request::Channel {
            channel,
            space: None,
            parent: None,
            receipts,
        });
        let listed = Request::Seen {
            channel: self::channel("c"),
            id: id(1),
            list: Some(Page::default()),
        };
        let counted = Request::Seen {
            channel: self::channel("c"),
            id: id(1),
            list: None,
        };
        (
            both.at(1_000_000, &listed).is_ok(),
            both.at(1_000_000, &counted).is_ok(),
        )
    };
    assert_eq!(set(Receipts::Off), (false, false));
    assert_eq!(set(Receipts::Count), (false, true));
    assert_eq!(set(Receipts::List), (true, true));
}

#[test]
fn rule_13_readers_are_listed_in_pages_by_name() {
    let mut both = Both::new();
    for who in ["d", "b", "a", "c"] {
        both.ack(who, "c", 9);
    }
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let list = Some(Page { limit: 2, after });
        let request = Request::Seen {
            channel: channel("c"),
            id: id(9),
            list,
        };
        let Reply::Seen { users, next, .. } = both.ask(&request) else {
            panic!()
        };
        let names: Vec<String> = users
            .unwrap()
            .iter()
            .map(|user| user.name().to_owned())
            .collect();
        pages.push(names.join(""));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["ab", "cd"]);
}

#[test]
fn rule_15_a_message_that_comes_below_the_cursor_is_read() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.posts("c", 9..=9);
    both.ack("u", "c", 9);
    both.posts("c", 5..=5);
    assert_eq!(both.numbers("u", "c"), (0, 0));
}

#[test]
fn rule_17_what_a_backend_says_of_a_stranger_joins_them() {
    let mut both = Both::new();
    both.posts("c", 1..=5);
    both.ack("acker", "c", 3);
    both.mute("muter", "c", MuteLevel::All, 0);
    both.say("c", by(6, "author"));
    both.posts("c", 7..=7);
    let unread = ["acker", "muter", "author"].map(|who| both.numbers(who, "c").0);
    assert_eq!(unread, [4, 2, 1]);
    assert_eq!(both.count("stranger", "c"), ReadState::default());
}

#[test]
fn rule_17_a_mention_of_a_stranger_is_kept() {
    let mut both = Both::new();
    both.say("c", for_users(5, &["u"]));
    assert_eq!(both.count("u", "c"), ReadState::default());
    both.join("c", "u", JoinAt::After(id(4)));
    assert_eq!(both.numbers("u", "c"), (1, 1));
}

#[test]
fn rule_17_a_retry_brings_nobody_back_who_has_left() {
    let mut both = Both::new();
    assert_eq!(both.say("c", by(5, "u")), 1);
    both.leave("c", "u");
    assert_eq!(both.say("c", by(5, "u")), 0);
    assert!(!both.count("u", "c").member);
    assert_eq!(both.say("c", by(6, "u")), 1);
    assert!(both.count("u", "c").member);
}

#[test]
fn rule_19_what_was_forgotten_below_the_cursor_comes_back() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.say("c", by(1, "u"));
    both.say("c", for_users(2, &["u"]));
    both.say("c", by(3, "u"));
    assert_eq!(both.numbers("u", "c"), (0, 0));
    both.0.cluster().restart();
    let state = both.unread_from("u", "c", 1);
    assert_eq!((state.unread, state.mentions), (1, 1));
}

#[test]
fn rule_19_an_ack_that_joins_below_the_old_join_finds_the_own_message_above() {
    let mut both = Both::new();
    both.say(
        "c",
        Post {
            noack: true,
            ..by(7, "u")
        },
    );
    both.leave("c", "u");
    both.0.cluster().restart();
    both.ack("u", "c", 2);
    assert_eq!(both.numbers("u", "c"), (0, 0));
}

#[test]
fn rule_21_two_different_posts_of_one_id_merge() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    let everyone = MentionList {
        everyone: true,
        ..MentionList::default()
    };
    assert_eq!(both.say("c", by(5, "b")), 1);
    assert_eq!(
        both.say(
            "c",
            Post {
                mentions: everyone,
                ..by(5, "a")
            }
        ),
        0
    );
    assert_eq!(both.numbers("u", "c"), (1, 1));
    assert_eq!((both.numbers("a", "c").0, both.numbers("b", "c").0), (0, 0));
    assert_eq!(both.seen("c", 5), (1, 2), "a is shown as the author");
    assert_eq!(
        both.say(
            "c",
            Post {
                silent: true,
                ..plain(5)
            }
        ),
        0
    );
    assert_eq!(both.numbers("u", "c"), (0, 0));
}

#[test]
fn rule_21_a_message_deleted_before_it_came_still_acks_its_author() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.posts("c", 1..=3);
    both.delete("c", &[5]);
    assert_eq!(both.say("c", by(5, "u")), 0);
    assert_eq!(
        (both.count("u", "c").cursor, both.numbers("u", "c")),
        (Position(5), (0, 0))
    );
}

#[test]
fn rule_21_leaving_a_channel_leaves_its_threads() {
    let mut both = Both::new();
    both.settings("t", None, Some("c"));
    for at in ["c", "t", "other"] {
        both.join(at, "u", JoinAt::Start);
    }
    assert_eq!(both.leave("c", "u"), 1);
    let members = ["c", "t", "other"].map(|at| both.count("u", at).member);
    assert_eq!(members, [false, false, true]);
}

#[test]
fn rule_21_an_erased_user_starts_afresh() {
    let mut both = Both::new();
    both.hold("u", "ops", true);
    both.join("c", "v", JoinAt::Start);
    both.say("c", by(1, "u"));
    both.say("c", for_users(2, &["u"]));
    both.ack_all("u", 2, None);
    both.ask(&Request::Erase { user: user("u") });
    assert_eq!(both.seen("c", 1), (0, 1));
    assert_eq!(both.numbers("v", "c"), (2, 0), "what they wrote stays");
    both.join("c", "u", JoinAt::Start);
    assert_eq!(both.numbers("u", "c"), (2, 0));
    assert_eq!(both.seen("c", 1), (0, 2), "no author any more");
}

#[test]
fn rule_21_a_dropped_channel_starts_afresh() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.say("c", for_users(3, &["u", "stranger"]));
    both.trim("c", 1);
    both.ask(&Request::Drop {
        channel: channel("c"),
    });
    assert_eq!(both.count("u", "c"), ReadState::default());
    assert_eq!(both.say("c", plain(3)), 1);
    for who in ["u", "stranger"] {
        both.join("c", who, JoinAt::Start);
        assert_eq!(both.numbers(who, "c"), (1, 0));
    }
}

#[test]
fn rule_21_an_ack_with_an_era_from_before_an_ack_all_still_counts() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.posts("c", 1..=9);
    both.unread_from("u", "c", 1);
    both.ack_all("u", 3, None);
    let Reply::Number(moved) = both.ask(&Request::Ack {
        user: user("u"),
        channel: channel("c"),
        id: id(5),
        era: Some(both_era(1)),
        private: false,
        count: false,
    }) else {
        panic!()
    };
    assert_eq!((moved, both.numbers("u", "c")), (1, (4, 0)));
}

/// The nth era or ack-all; requests to both name eras so.
fn both_era(n: u64) -> Era {
    kidoku_core::clock::Clock(n)
}

#[test]
fn a_channel_is_not_its_own_parent() {
    let mut both = Both::new();
    let request = Request::Channel {
        channel: channel("c"),
        space: None,
        parent: Some(Some(name(NameKind::Channel, "c"))),
        receipts: None,
    };
    assert_eq!(both.at(1_000_000, &request), Err(Error::OwnParent));
}

#[test]
fn an_explanation_names_the_line_and_lists_the_ids_in_pages() {
    let mut both = Both::new();
    both.posts("c", 1..=3);
    both.join("c", "u", JoinAt::After(id(2)));
    both.say("c", for_users(5, &["u"]));
    both.posts("c", 6..=6);
    let first = both.explain(
        "u",
        "c",
        Page {
            limit: 2,
            after: None,
        },
    );
    assert_eq!((first.line, first.part), (Position(2), LinePart::Join));
    assert_eq!(
        (first.unread_ids, first.mention_ids),
        (vec![id(3), id(5)], vec![id(5)])
    );
    assert_eq!(first.next, Some(id(5)));
    let second = both.explain(
        "u",
        "c",
        Page {
            limit: 2,
            after: first.next,
        },
    );
    assert_eq!((second.unread_ids, second.next), (vec![id(6)], None));
    both.trim("c", 5);
    assert_eq!(both.explain("u", "c", Page::default()).part, LinePart::Trim);
    both.ack("u", "c", 5);
    assert_eq!(
        both.explain("u", "c", Page::default()).part,
        LinePart::Cursor
    );
}

#[test]
fn a_state_lists_the_channels_in_pages_by_name() {
    let mut both = Both::new();
    for at in ["d", "b", "a", "c"] {
        both.join(at, "u", JoinAt::Start);
    }
    both.leave("d", "u");
    let page = |limit, after: Option<&str>| Request::State {
        user: user("u"),
        since: None,
        page: Page {
            limit,
            after: after.map(|after| name(NameKind::Channel, after)),
        },
    };
    let mut names = |request: &Request| match both.ask(request) {
        Reply::State { channels, next, .. } => {
            let names: Vec<String> = channels
                .iter()
                .map(|(channel, _)| channel.name().to_owned())
                .collect();
            (names.join(""), next.map(|next| next.as_str().to_owned()))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        names(&page(2, None)),
        ("ab".to_owned(), Some("b".to_owned()))
    );
    assert_eq!(names(&page(2, Some("b"))), ("c".to_owned(), None));
}

#[test]
fn a_bulk_ack_counts_the_cursors_that_moved() {
    let mut both = Both::new();
    both.ack("u", "a", 5);
    let acks = vec![
        (channel("a"), id(4)),
        (channel("b"), id(4)),
        (channel("b"), id(5)),
    ];
    assert_eq!(
        both.number(&Request::AckMany {
            user: user("u"),
            acks
        }),
        2
    );
}
