//! Acks, eras, floors, deletes, edits, own and silent messages, joins, threads, mutes, roles.

use crate::both::{Both, by, channel, for_users, naming, plain, role, user};
use kidoku_core::fact::{Era, MuteLevel};
use kidoku_core::id::Position;
use kidoku_core::reply::{Badge, LinePart, ReadState};
use kidoku_core::request::{JoinAt, MentionList, Page, Post, Request};
use kidoku_sim::workload::id;

#[test]
fn rule_1_an_ack_reads_up_to_and_including_and_a_lower_one_does_nothing() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.posts("c", 1..=5);
    assert_eq!(both.ack("u", "c", 3), 1);
    assert_eq!(both.numbers("u", "c"), (2, 0));
    assert_eq!(both.ack("u", "c", 2), 0);
    assert_eq!(both.count("u", "c").cursor, Position(3));
    assert_eq!(both.ack("u", "c", 40), 1, "an id that does not exist yet");
    both.posts("c", 39..=41);
    assert_eq!(both.count("u", "c").first_unread, Some(id(41)));
}

#[test]
fn rule_2_an_ack_of_an_older_era_does_nothing_and_one_without_counts_now() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.posts("c", 1..=9);
    both.ack("u", "c", 9);
    assert_ne!(both.unread_from("u", "c", 4).era, Era::NEVER);
    assert_eq!(
        both.ack_as("u", "c", 9, Some(Era::NEVER), false),
        0,
        "a late retry"
    );
    assert_eq!(both.numbers("u", "c"), (6, 0));
    assert_eq!(both.ack("u", "c", 6), 1);
    assert_eq!(both.numbers("u", "c"), (3, 0));
}

#[test]
fn rule_3_mark_unread_goes_to_just_below_the_message_and_not_below_the_join() {
    let mut both = Both::new();
    both.posts("c", 1..=9);
    both.join("c", "u", JoinAt::After(id(4)));
    both.ack("u", "c", 9);
    assert_eq!(both.unread_from("u", "c", 7).cursor, Position(6));
    assert_eq!(both.numbers("u", "c"), (3, 0));
    assert_eq!(both.unread_from("u", "c", 1).first_unread, Some(id(5)));
}

#[test]
fn rule_3_mark_unread_of_a_stranger_joins_nobody() {
    let mut both = Both::new();
    both.posts("c", 1..=3);
    let state = both.unread_from("u", "c", 3);
    assert_eq!(
        (state.member, state.unread, state.cursor),
        (false, 0, Position(2))
    );
}

#[test]
fn rules_4_and_20_an_ack_all_reads_every_channel_of_an_older_era_up_to_its_bound() {
    let mut both = Both::new();
    for at in ["a", "b"] {
        both.join(at, "u", JoinAt::Start);
        both.posts(at, 1..=9);
    }
    both.ack("u", "b", 8);
    assert_eq!(both.ack_all("u", 5, None).unread, 4 + 1);
    both.unread_from("u", "a", 3);
    assert_eq!(
        both.numbers("u", "a"),
        (7, 0),
        "a later mark unread takes effect"
    );
    both.ack_all("u", 2, None);
    assert_eq!(
        both.numbers("u", "a"),
        (7, 0),
        "a lower ack-all brings nothing back"
    );
    assert_eq!(both.numbers("u", "b"), (1, 0));
}

#[test]
fn rule_4_an_ack_all_of_a_space_reads_the_channels_that_are_in_it_now() {
    let mut both = Both::new();
    for at in ["a", "b"] {
        both.join(at, "u", JoinAt::Start);
        both.posts(at, 1..=9);
    }
    both.settings("a", Some("s"), None);
    assert_eq!(both.ack_all("u", 9, Some("s")).unread, 9);
    both.settings("b", Some("s"), None);
    both.settings("a", Some("t"), None);
    assert_eq!(
        (both.numbers("u", "a"), both.numbers("u", "b")),
        ((9, 0), (0, 0))
    );
    let part = both.explain("u", "b", Page::default()).part;
    assert_eq!(part, LinePart::SpaceFloor);
}

#[test]
fn rule_5_a_deleted_message_counts_nowhere_even_when_the_delete_comes_first() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.say("c", for_users(1, &["u"]));
    assert_eq!(both.delete("c", &[1, 2, 2]), 2);
    assert_eq!(both.say("c", for_users(2, &["u"])), 0);
    assert_eq!(both.numbers("u", "c"), (0, 0));
    assert_eq!((both.seen("c", 1), both.delete("c", &[1])), ((0, 1), 0));
}

#[test]
fn rule_6_an_edit_replaces_the_whole_list_and_the_higher_version_wins() {
    let mut both = Both::new();
    for who in ["u", "v"] {
        both.join("c", who, JoinAt::Start);
    }
    both.say("c", for_users(1, &["u"]));
    assert_eq!(both.edit("c", 1, 2, naming(&["v"])), 1);
    assert_eq!(
        (both.numbers("u", "c"), both.numbers("v", "c")),
        ((1, 0), (1, 1))
    );
    assert_eq!(both.edit("c", 1, 1, naming(&["u"])), 0);
    assert_eq!(both.numbers("u", "c"), (1, 0));
    assert_eq!(
        both.edit("c", 1, 2, naming(&["u", "v"])),
        0,
        "u, v is less than v"
    );
    both.ack("v", "c", 1);
    assert_eq!(both.edit("c", 1, 3, naming(&["v"])), 1);
    assert_eq!(both.numbers("v", "c"), (0, 0), "nobody is badged again");
}

#[test]
fn rule_6_an_edit_may_come_before_its_message() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    assert_eq!(both.edit("c", 1, 1, naming(&["u"])), 1);
    assert_eq!(both.numbers("u", "c"), (0, 0));
    both.say("c", plain(1));
    assert_eq!(both.numbers("u", "c"), (1, 1));
}

#[test]
fn rule_7_own_messages_never_count_and_ack_up_to_themselves_unless_told_not_to() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.posts("c", 1..=3);
    both.say(
        "c",
        Post {
            noack: true,
            ..by(4, "u")
        },
    );
    assert_eq!(both.numbers("u", "c"), (3, 0));
    both.say(
        "c",
        Post {
            mentions: naming(&["u"]),
            ..by(5, "u")
        },
    );
    assert_eq!(both.numbers("u", "c"), (0, 0));
    assert_eq!(both.unread_from("u", "c", 1).unread, 3);
    assert_eq!(both.explain("u", "c", Page::default()).own, 2);
}

#[test]
fn rules_8_and_21_silent_messages_count_nothing_but_are_last_and_tail() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.say(
        "c",
        Post {
            silent: true,
            ..for_users(7, &["u"])
        },
    );
    let state = both.count("u", "c");
    assert_eq!(
        (state.unread, state.mentions, state.last),
        (0, 0, Some(id(7)))
    );
    both.join("c", "v", JoinAt::Tail);
    both.posts("c", 6..=6);
    both.posts("c", 8..=8);
    assert_eq!(both.numbers("v", "c"), (1, 0));
}

#[test]
fn rule_9_a_join_starts_at_the_tail_and_a_rejoin_at_its_own_place() {
    let mut both = Both::new();
    both.posts("c", 1..=5);
    both.delete("c", &[5]);
    assert_eq!(both.join("c", "u", JoinAt::Tail), 1);
    assert_eq!(both.join("c", "u", JoinAt::Start), 0, "a member already");
    assert!(both.count("u", "c").member);
    both.posts("c", 6..=7);
    assert_eq!(both.numbers("u", "c"), (2, 0));
    assert_eq!((both.leave("c", "u"), both.leave("c", "u")), (1, 0));
    assert_eq!(both.count("u", "c"), ReadState::default());
    both.join("c", "u", JoinAt::Start);
    assert_eq!(both.numbers("u", "c"), (6, 0));
}

#[test]
fn rule_9_a_trim_takes_everything_up_to_its_id_out_and_never_goes_back() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.posts("c", 1..=6);
    both.delete("c", &[2]);
    assert_eq!((both.trim("c", 4), both.trim("c", 3)), (3, 0));
    assert_eq!(both.numbers("u", "c"), (2, 0));
    assert_eq!(both.say("c", plain(3)), 0, "below the trim nothing is new");
    assert_eq!(both.trim("c", 9), 2);
    assert_eq!(both.count("u", "c").last, None);
}

#[test]
fn rule_10_posting_or_being_named_in_a_thread_follows_it_and_the_parent_sums_it_up() {
    let mut both = Both::new();
    both.settings("t", None, Some("c"));
    for who in ["u", "v"] {
        both.join("c", who, JoinAt::Start);
    }
    both.posts("c", 1..=2);
    both.posts("t", 1..=4);
    both.say(
        "t",
        Post {
            mentions: naming(&["v"]),
            ..by(5, "u")
        },
    );
    both.posts("t", 6..=6);
    assert_eq!(
        (both.numbers("u", "t"), both.numbers("v", "t")),
        ((1, 0), (2, 1))
    );
    let parent = both.count("v", "c");
    assert_eq!(
        (
            parent.unread,
            parent.threads_unread,
            parent.threads_mentions
        ),
        (2, 2, 1)
    );
    let badge = both.badge_at(1_000_000, "v");
    assert_eq!((badge.unread, badge.mentions, badge.channels), (4, 1, 2));
    let (user, thread) = (user("v"), channel("t"));
    let follow = |on| Request::Follow {
        user: user.clone(),
        thread: thread.clone(),
        on,
    };
    assert_eq!(
        (both.number(&follow(false)), both.number(&follow(false))),
        (1, 0)
    );
    assert_eq!(both.number(&follow(true)), 1);
    assert_eq!(both.numbers("v", "t"), (0, 0), "at the tail");
}

#[test]
fn rule_10_an_edit_brings_in_whom_it_newly_names_and_nobody_who_has_left() {
    let mut both = Both::new();
    both.settings("t", None, Some("c"));
    both.say("t", for_users(3, &["u"]));
    both.leave("t", "u");
    assert_eq!(both.edit("t", 3, 1, naming(&["u", "v"])), 1);
    assert_eq!(
        (both.count("u", "t").member, both.numbers("v", "t")),
        (false, (1, 1))
    );
}

#[test]
fn rule_11_a_mute_changes_totals_until_its_end_and_counts_never() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    both.say("c", for_users(1, &["u"]));
    let everyone = MentionList {
        everyone: true,
        ..MentionList::default()
    };
    both.say(
        "c",
        Post {
            mentions: everyone,
            ..plain(2)
        },
    );
    both.mute("u", "c", MuteLevel::Mentions, 0);
    let badge = both.badge_at(1_000_000, "u");
    assert_eq!((badge.unread, badge.mentions, badge.channels), (2, 2, 1));
    let unmuted = |badge: Badge| {
        (
            badge.unmuted_unread,
            badge.unmuted_mentions,
            badge.unmuted_channels,
        )
    };
    assert_eq!(unmuted(badge), (0, 1, 1));
    both.mute("u", "c", MuteLevel::All, 1_000_500);
    assert_eq!(unmuted(both.badge_at(1_000_499, "u")), (0, 0, 0));
    assert_eq!(unmuted(both.badge_at(1_000_500, "u")), (2, 2, 1));
}

#[test]
fn rule_12_everyone_and_roles_count_once_for_those_who_hold_them_when_asked() {
    let mut both = Both::new();
    both.join("c", "u", JoinAt::Start);
    let roles = vec![role("ops"), role("dev"), role("ops")];
    let all = MentionList {
        everyone: true,
        roles: roles.clone(),
        users: vec![user("u")],
    };
    both.say(
        "c",
        Post {
            mentions: all,
            ..plain(1)
        },
    );
    both.say(
        "c",
        Post {
            mentions: MentionList {
                roles,
                ..MentionList::default()
            },
            ..plain(2)
        },
    );
    assert_eq!(both.numbers("u", "c"), (2, 1));
    assert_eq!(
        (both.hold("u", "dev", true), both.hold("u", "dev", true)),
        (1, 0)
    );
    assert_eq!(both.numbers("u", "c"), (2, 2));
    assert_eq!(both.hold("u", "dev", false), 1);
    assert_eq!(both.numbers("u", "c"), (2, 1));
}
