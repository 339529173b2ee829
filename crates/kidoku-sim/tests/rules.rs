//! Every rule of the semantics by hand, on the model and on the shards at once: each number written
//! here is what both must answer.

use kidoku_core::clock::Millis;
use kidoku_core::error::Error;
use kidoku_core::fact::{Era, MuteLevel, Receipts};
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind, Position, UserKey};
use kidoku_core::reply::{Badge, Explanation, LinePart, ReadState, Reply};
use kidoku_core::request::{JoinAt, MentionList, Page, Post, Request};
use kidoku_sim::cluster::ClusterConfig;
use kidoku_sim::history::Run;
use kidoku_sim::workload::{app, id, name};

/// Asks model and shards; panics where they differ.
struct Both(Run);

fn user(text: &str) -> UserKey {
    UserKey::new(&app(), text).unwrap()
}

fn channel(text: &str) -> ChannelKey {
    ChannelKey::new(&app(), text).unwrap()
}

fn role(text: &str) -> Name {
    name(NameKind::Role, text)
}

fn naming(users: &[&str]) -> MentionList {
    let users = users.iter().map(|text| user(text)).collect();
    MentionList {
        users,
        ..MentionList::default()
    }
}

impl Both {
    fn new() -> Self {
        let memory_bytes_max = 1 << 20;
        Self(Run::new(ClusterConfig {
            shards: 3,
            memory_bytes_max,
            seed: 1,
            traced: false,
        }))
    }

    fn at(&mut self, now: u64, request: &Request) -> Result<Reply, Error> {
        self.0.check(Millis(now), request).unwrap()
    }

    fn ask(&mut self, request: &Request) -> Reply {
        self.at(1_000_000, request).unwrap()
    }

    fn number(&mut self, request: &Request) -> u64 {
        match self.ask(request) {
            Reply::Number(number) => number,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    fn join(&mut self, at: &str, who: &str, from: JoinAt) -> u64 {
        self.number(&Request::Join {
            channel: channel(at),
            users: vec![user(who)],
            at: from,
        })
    }

    fn leave(&mut self, at: &str, who: &str) -> u64 {
        self.number(&Request::Leave {
            channel: channel(at),
            users: vec![user(who)],
        })
    }

    fn say(&mut self, at: &str, post: Post) -> u64 {
        self.number(&Request::Post {
            channel: channel(at),
            post,
        })
    }

    /// Plain messages of nobody.
    fn posts(&mut self, at: &str, ids: std::ops::RangeInclusive<u64>) {
        for n in ids {
            assert_eq!(self.say(at, plain(n)), 1);
        }
    }

    fn delete(&mut self, at: &str, ids: &[u64]) -> u64 {
        let ids = ids.iter().map(|n| id(*n)).collect();
        self.number(&Request::Delete {
            channel: channel(at),
            ids,
        })
    }

    fn edit(&mut self, at: &str, n: u64, version: u64, mentions: MentionList) -> u64 {
        self.number(&Request::Edit {
            channel: channel(at),
            id: id(n),
            version,
            mentions,
        })
    }

    fn ack(&mut self, who: &str, at: &str, n: u64) -> u64 {
        self.ack_as(who, at, n, None, false)
    }

    fn ack_as(&mut self, who: &str, at: &str, n: u64, era: Option<Era>, private: bool) -> u64 {
        let (user, channel) = (user(who), channel(at));
        self.number(&Request::Ack {
            user,
            channel,
            id: id(n),
            era,
            private,
            count: false,
        })
    }

    fn unread_from(&mut self, who: &str, at: &str, n: u64) -> ReadState {
        let request = Request::MarkUnread {
            user: user(who),
            channel: channel(at),
            id: id(n),
        };
        match self.ask(&request) {
            Reply::ReadState(state) => *state,
            other => panic!("{other:?}"),
        }
    }

    fn ack_all(&mut self, who: &str, n: u64, space: Option<&str>) -> Badge {
        let space = space.map(|space| name(NameKind::Space, space));
        match self.ask(&Request::AckAll {
            user: user(who),
            upto: id(n),
            space,
        }) {
            Reply::Badge(badge) => *badge,
            other => panic!("{other:?}"),
        }
    }

    fn count(&mut self, who: &str, at: &str) -> ReadState {
        let request = Request::Count {
            user: user(who),
            channels: vec![channel(at)],
        };
        match self.ask(&request) {
            Reply::ReadStates(mut states) => states.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Unread and mentions.
    fn numbers(&mut self, who: &str, at: &str) -> (u64, u64) {
        let state = self.count(who, at);
        (state.unread, state.mentions)
    }

    fn badge_at(&mut self, now: u64, who: &str) -> Badge {
        match self
            .at(
                now,
                &Request::Badge {
                    user: user(who),
                    space: None,
                },
            )
            .unwrap()
        {
            Reply::Badge(badge) => *badge,
            other => panic!("{other:?}"),
        }
    }

    /// How many of how many members have read it.
    fn seen(&mut self, at: &str, n: u64) -> (u64, u64) {
        match self.ask(&Request::Seen {
            channel: channel(at),
            id: id(n),
            list: None,
        }) {
            Reply::Seen { count, members, .. } => (count, members),
            other => panic!("{other:?}"),
        }
    }

    fn settings(&mut self, at: &str, space: Option<&str>, parent: Option<&str>) {
        let space = space.map(|space| Some(name(NameKind::Space, space)));
        let parent = parent.map(|parent| Some(name(NameKind::Channel, parent)));
        self.ask(&Request::Channel {
            channel: channel(at),
            space,
            parent,
            receipts: None,
        });
    }

    fn mute(&mut self, who: &str, at: &str, level: MuteLevel, until: u64) {
        let (user, channel) = (user(who), channel(at));
        self.ask(&Request::Mute {
            user,
            channel,
            level,
            until: Millis(until),
        });
    }

    fn trim(&mut self, at: &str, n: u64) -> u64 {
        self.number(&Request::Trim {
            channel: channel(at),
            id: id(n),
        })
    }

    fn hold(&mut self, who: &str, text: &str, held: bool) -> u64 {
        let users = vec![user(who)];
        self.number(&Request::Role {
            app: app(),
            role: role(text),
            users,
            held,
        })
    }

    fn explain(&mut self, who: &str, at: &str, page: Page<MessageId>) -> Explanation {
        match self.ask(&Request::Explain {
            user: user(who),
            channel: channel(at),
            page,
        }) {
            Reply::Explanation(explanation) => *explanation,
            other => panic!("{other:?}"),
        }
    }
}

fn plain(n: u64) -> Post {
    let mentions = MentionList::default();
    Post {
        id: id(n),
        author: None,
        noack: false,
        silent: false,
        mentions,
    }
}

fn by(n: u64, author: &str) -> Post {
    Post {
        author: Some(user(author)),
        ..plain(n)
    }
}

fn for_users(n: u64, users: &[&str]) -> Post {
    Post {
        mentions: naming(users),
        ..plain(n)
    }
}

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
    assert_eq!(both.count("u", "c").member, true);
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
    assert_eq!(both.count("u", "c").member, false);
    assert_eq!(both.say("c", by(6, "u")), 1);
    assert_eq!(both.count("u", "c").member, true);
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
