//! What the numbers mean, seen from outside: one test for each rule a user would trip over.

use kidoku_torture::server::Server;
use kidoku_torture::wire::{Client, Value};

/// Says each line and expects its reply to be no error.
fn told(client: &mut Client, lines: &[&str]) {
    for line in lines {
        let reply = client.say(line);
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
    }
}

/// Unread and mentions.
fn count(client: &mut Client, user: &str, channel: &str) -> (u64, u64) {
    let reply = client.command(&["KD.COUNT", user, channel]);
    let state = &reply.items()[0];
    (state.get("unread").number(), state.get("mentions").number())
}

/// Unread and mentions of a badge: all, and without what is muted.
fn badge(client: &mut Client, user: &str) -> [u64; 4] {
    let badge = client.command(&["KD.BADGE", user]);
    ["unread", "mentions", "unmuted_unread", "unmuted_mentions"].map(|key| badge.get(key).number())
}

#[test]
fn an_ack_of_an_older_era_does_not_undo_a_mark_unread() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &[
            "KD.JOIN c ada bob",
            "KD.POST c 10 BY bob",
            "KD.POST c 20 BY bob",
        ],
    );
    let before = client.say("KD.ACK ada c 20 COUNT");
    let era = before.get("era").text();
    let after = client.say("KD.UNREAD ada c 10");
    assert_eq!(after.get("unread").number(), 2);
    assert_ne!(after.get("era").text(), era);
    assert_eq!(
        client.command(&["KD.ACK", "ada", "c", "20", "ERA", &era]),
        Value::Int(0)
    );
    assert_eq!(count(&mut client, "ada", "c"), (2, 0));
    let era = after.get("era").text();
    assert_eq!(
        client.command(&["KD.ACK", "ada", "c", "10", "ERA", &era]),
        Value::Int(1)
    );
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
}

#[test]
fn a_post_sent_again_does_not_undo_the_authors_mark_unread() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &[
            "KD.JOIN c ada bob",
            "KD.POST c 1 BY bob",
            "KD.POST c 2 BY ada",
            "KD.POST c 3 BY bob",
            "KD.UNREAD ada c 1",
        ],
    );
    assert_eq!(count(&mut client, "ada", "c"), (2, 0));
    assert_eq!(client.say("KD.POST c 2 BY ada"), Value::Int(0));
    assert_eq!(count(&mut client, "ada", "c"), (2, 0));
}

#[test]
fn an_ack_that_lost_its_reply_may_be_said_again() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &[
            "KD.JOIN c ada bob",
            "KD.POST c 10 BY bob",
            "KD.POST c 20 BY bob",
        ],
    );
    assert_eq!(client.say("KD.ACK ada c 15"), Value::Int(1));
    assert_eq!(client.say("KD.ACK ada c 15"), Value::Int(0));
    assert_eq!(client.say("KD.ACK ada c 7"), Value::Int(0));
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
}

#[test]
fn mark_unread_brings_back_mentions_and_leaves_own_messages_out_at_any_depth() {
    let server = Server::dev();
    let mut client = server.client();
    told(&mut client, &["KD.JOIN c ada bob"]);
    for id in 1..=500 {
        let author = if id % 5 == 0 { "ada" } else { "bob" };
        let mention = if id % 7 == 0 { " MENTIONS 1 ada" } else { "" };
        told(
            &mut client,
            &[&format!("KD.POST c {id} BY {author}{mention}")],
        );
    }
    told(&mut client, &["KD.ACK ada c 500"]);
    assert_eq!(count(&mut client, "ada", "c"), (0, 0));
    let state = client.say("KD.UNREAD ada c 1");
    // 500 less every fifth; every seventh less every thirty-fifth.
    assert_eq!(
        (state.get("unread").number(), state.get("mentions").number()),
        (400, 57)
    );
    assert_eq!(state.get("first_unread").number(), 1);
}

#[test]
fn a_delete_counts_back_at_once_also_when_it_comes_first() {
    let server = Server::dev();
    let mut client = server.client();
    told(&mut client, &["KD.JOIN c ada bob", "KD.DELETE c 20"]);
    told(
        &mut client,
        &[
            "KD.POST c 10 BY bob MENTIONS 1 ada",
            "KD.POST c 20 BY bob MENTIONS 1 ada",
        ],
    );
    assert_eq!(count(&mut client, "ada", "c"), (1, 1));
    told(&mut client, &["KD.DELETE c 10"]);
    assert_eq!(count(&mut client, "ada", "c"), (0, 0));
    assert_eq!(badge(&mut client, "ada"), [0, 0, 0, 0]);
}

#[test]
fn an_edit_replaces_the_mentions_and_does_not_badge_a_reader_again() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &[
            "KD.JOIN c ada bob eve",
            "KD.POST c 10 BY bob MENTIONS 1 ada",
        ],
    );
    told(
        &mut client,
        &["KD.ACK eve c 10", "KD.EDIT c 10 VERSION 2 MENTIONS 1 eve"],
    );
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
    assert_eq!(count(&mut client, "eve", "c"), (0, 0));
    told(&mut client, &["KD.EDIT c 10 VERSION 1 MENTIONS 1 ada"]);
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
    told(&mut client, &["KD.EDIT c 10 VERSION 3 EVERYONE"]);
    assert_eq!(count(&mut client, "ada", "c"), (1, 1));
}

#[test]
fn a_thread_shows_apart_in_its_parent_and_once_in_the_badge() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &["KD.JOIN c ada bob eve", "KD.CHANNEL t PARENT c"],
    );
    told(
        &mut client,
        &[
            "KD.POST c 1 BY bob",
            "KD.POST t 2 BY bob",
            "KD.POST t 3 BY bob",
        ],
    );
    assert_eq!(count(&mut client, "ada", "t"), (0, 0));
    // Named in the thread: follows from just below that message.
    told(
        &mut client,
        &["KD.POST t 4 BY bob MENTIONS 1 ada", "KD.POST t 5 BY bob"],
    );
    assert_eq!(count(&mut client, "ada", "t"), (2, 1));
    let reply = client.say("KD.COUNT ada c");
    let parent = &reply.items()[0];
    assert_eq!(parent.get("unread").number(), 1);
    assert_eq!(parent.get("threads_unread").number(), 2);
    assert_eq!(parent.get("threads_mentions").number(), 1);
    assert_eq!(badge(&mut client, "ada")[..2], [3, 1]);
    // Following by hand begins at the tail.
    told(&mut client, &["KD.FOLLOW eve t ON", "KD.POST t 6 BY bob"]);
    assert_eq!(count(&mut client, "eve", "t"), (1, 0));
    // Leaving the channel leaves its threads.
    told(&mut client, &["KD.LEAVE c ada"]);
    assert_eq!(badge(&mut client, "ada"), [0, 0, 0, 0]);
    assert_eq!(count(&mut client, "ada", "t"), (0, 0));
}

#[test]
fn roles_are_those_held_when_asked_and_everyone_is_one_entry() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &["KD.JOIN c ada bob", "KD.POST c 1 BY bob ROLES 1 ops"],
    );
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
    told(&mut client, &["KD.ROLE ops ADD ada"]);
    assert_eq!(count(&mut client, "ada", "c"), (1, 1));
    told(
        &mut client,
        &["KD.POST c 2 BY bob EVERYONE ROLES 1 ops MENTIONS 1 ada"],
    );
    assert_eq!(count(&mut client, "ada", "c"), (2, 2));
    told(&mut client, &["KD.ROLE ops REMOVE ada"]);
    assert_eq!(count(&mut client, "ada", "c"), (2, 1));
}

#[test]
fn ack_all_takes_a_space_or_everything_and_never_brings_back() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &[
            "KD.CHANNEL a SPACE s",
            "KD.JOIN a ada bob",
            "KD.JOIN b ada bob",
        ],
    );
    for id in 1..=10 {
        told(
            &mut client,
            &[
                &format!("KD.POST a {id} BY bob"),
                &format!("KD.POST b {id} BY bob"),
            ],
        );
    }
    let left = client.say("KD.ACKALL ada UPTO 8 SPACE s");
    assert_eq!(left.get("unread").number(), 12);
    assert_eq!(count(&mut client, "ada", "a"), (2, 0));
    assert_eq!(count(&mut client, "ada", "b"), (10, 0));
    told(
        &mut client,
        &["KD.ACKALL ada UPTO 9", "KD.ACKALL ada UPTO 3"],
    );
    assert_eq!(
        (
            count(&mut client, "ada", "a"),
            count(&mut client, "ada", "b")
        ),
        ((1, 0), (1, 0))
    );
    // A mark-unread after it takes effect, and stays until acked.
    told(&mut client, &["KD.UNREAD ada b 5"]);
    assert_eq!(count(&mut client, "ada", "b"), (6, 0));
    // A channel's space is what it is when asked.
    told(&mut client, &["KD.JOIN late ada", "KD.POST late 5 BY bob"]);
    assert_eq!(count(&mut client, "ada", "late"), (0, 0));
}

#[test]
fn a_trim_takes_messages_out_and_bounds_the_mark_unread() {
    let server = Server::dev();
    let mut client = server.client();
    told(&mut client, &["KD.JOIN c ada bob"]);
    for id in 1..=10 {
        told(
            &mut client,
            &[&format!("KD.POST c {id} BY bob MENTIONS 1 ada")],
        );
    }
    assert_eq!(client.say("KD.TRIM c 4"), Value::Int(4));
    assert_eq!(count(&mut client, "ada", "c"), (6, 6));
    let told_why = client.say("KD.EXPLAIN ada c");
    assert_eq!(told_why.get("part").text(), "trim");
    let state = client.say("KD.UNREAD ada c 1");
    assert_eq!(state.get("unread").number(), 6);
    told(&mut client, &["KD.POST c 3 BY bob"]);
    assert_eq!(count(&mut client, "ada", "c"), (6, 6));
}

#[test]
fn a_mute_changes_totals_and_never_counts_and_ends_by_itself() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &["KD.JOIN c ada bob", "KD.POST c 1 BY bob MENTIONS 1 ada"],
    );
    told(&mut client, &["KD.POST c 2 BY bob EVERYONE"]);
    assert_eq!(badge(&mut client, "ada"), [2, 2, 2, 2]);
    told(&mut client, &["KD.MUTE ada c MENTIONS"]);
    assert_eq!(count(&mut client, "ada", "c"), (2, 2));
    let muted = badge(&mut client, "ada");
    assert_eq!((muted[0], muted[1], muted[3]), (2, 2, 1));
    told(&mut client, &["KD.MUTE ada c ALL"]);
    assert_eq!(badge(&mut client, "ada"), [2, 2, 0, 0]);
    // One second after 1970: over long ago.
    told(&mut client, &["KD.MUTE ada c ALL UNTIL 1000"]);
    assert_eq!(badge(&mut client, "ada"), [2, 2, 2, 2]);
    let reply = client.say("KD.COUNT ada c");
    assert_eq!(reply.items()[0].get("muted").text(), "NONE");
}

#[test]
fn receipts_leave_out_the_author_and_private_acks() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &["KD.JOIN c ada bob eve dan", "KD.CHANNEL c RECEIPTS LIST"],
    );
    told(
        &mut client,
        &[
            "KD.POST c 10 BY bob",
            "KD.ACK ada c 10",
            "KD.ACK eve c 10 PRIVATE",
        ],
    );
    assert_eq!(count(&mut client, "eve", "c"), (0, 0));
    let seen = client.say("KD.SEEN c 10 LIST");
    assert_eq!(seen.get("count").number(), 1);
    assert_eq!(
        seen.get("users"),
        &Value::Array(vec![Value::Bulk("ada".to_owned())])
    );
    // Mark unread does not take a receipt back.
    told(&mut client, &["KD.UNREAD ada c 10"]);
    assert_eq!(client.say("KD.SEEN c 10").get("count").number(), 1);
    told(&mut client, &["KD.LEAVE c ada"]);
    assert_eq!(client.say("KD.SEEN c 10").get("count").number(), 0);
}

#[test]
fn receipts_come_in_pages_that_are_whole() {
    let server = Server::dev();
    let mut client = server.client();
    let users: Vec<String> = (0..25).map(|n| format!("user{n:02}")).collect();
    told(
        &mut client,
        &[
            "KD.CHANNEL c RECEIPTS LIST",
            &format!("KD.JOIN c {}", users.join(" ")),
        ],
    );
    told(&mut client, &["KD.POST c 10"]);
    for user in &users {
        told(&mut client, &[&format!("KD.ACK {user} c 10")]);
    }
    let mut found = Vec::new();
    let mut page = client.say("KD.SEEN c 10 LIST LIMIT 10");
    loop {
        assert_eq!(page.get("count").number(), 25);
        assert!(page.get("users").items().len() <= 10);
        found.extend(page.get("users").items().iter().map(Value::text));
        let next = page.get("next").clone();
        if next == Value::Null {
            break;
        }
        page = client.command(&[
            "KD.SEEN",
            "c",
            "10",
            "LIST",
            "LIMIT",
            "10",
            "AFTER",
            &next.text(),
        ]);
    }
    found.sort();
    assert_eq!(found, users);
}

#[test]
fn a_state_comes_in_pages_and_since_a_revision() {
    let server = Server::dev();
    let mut client = server.client();
    for number in 0..30 {
        told(&mut client, &[&format!("KD.JOIN c{number:02} ada bob")]);
        told(&mut client, &[&format!("KD.POST c{number:02} 1 BY bob")]);
    }
    let mut found = Vec::new();
    let mut page = client.say("KD.STATE ada LIMIT 7");
    let rev = page.get("rev").text();
    loop {
        found.extend(
            page.get("channels")
                .items()
                .iter()
                .map(|c| c.get("channel").text()),
        );
        let next = page.get("next").clone();
        if next == Value::Null {
            break;
        }
        page = client.command(&["KD.STATE", "ada", "LIMIT", "7", "AFTER", &next.text()]);
    }
    found.sort();
    assert_eq!(
        found,
        (0..30).map(|n| format!("c{n:02}")).collect::<Vec<_>>()
    );
    let quiet = client.command(&["KD.STATE", "ada", "SINCE", &rev]);
    assert_eq!(quiet.get("channels").items().len(), 0, "{quiet:?}");
    told(&mut client, &["KD.ACK ada c03 1"]);
    let changed = client.command(&["KD.STATE", "ada", "SINCE", &rev]);
    assert_eq!(changed.get("channels").items().len(), 1, "{changed:?}");
    assert_eq!(
        changed.get("channels").items()[0].get("channel").text(),
        "c03"
    );
}

#[test]
fn an_erased_user_and_a_dropped_channel_start_afresh() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &["KD.JOIN c ada bob", "KD.POST c 10 BY bob MENTIONS 1 ada"],
    );
    told(&mut client, &["KD.ACK ada c 5", "KD.ERASE ada"]);
    let reply = client.say("KD.COUNT ada c");
    assert!(!reply.items()[0].get("member").is_true());
    told(&mut client, &["KD.JOIN c ada AT START"]);
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
    told(&mut client, &["KD.DROP c"]);
    assert_eq!(count(&mut client, "ada", "c"), (0, 0));
    assert_eq!(badge(&mut client, "bob"), [0, 0, 0, 0]);
    told(&mut client, &["KD.JOIN c ada", "KD.POST c 3 BY bob"]);
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
}

#[test]
fn a_watcher_is_told_absolute_numbers_with_a_rising_revision() {
    let server = Server::dev();
    let mut watcher = server.client();
    told(&mut watcher, &["KD.WATCH ada"]);
    let mut client = server.client();
    told(&mut client, &["KD.JOIN c ada bob"]);
    let mut rev = 0;
    let mut last = |watcher: &mut Client, unread: u64, mentions: u64| loop {
        let event = watcher.receive();
        let Value::Push(items) = &event else {
            panic!("not a push frame: {event:?}")
        };
        assert_eq!(items[0].text(), "kd.event");
        assert_eq!(items[1].text(), "ada");
        let next = items[2].get("rev").number();
        assert!(next > rev, "{next} after {rev}");
        rev = next;
        let badge = items[2].get("badge");
        if (badge.get("unread").number(), badge.get("mentions").number()) == (unread, mentions) {
            break;
        }
    };
    told(&mut client, &["KD.POST c 1 BY bob MENTIONS 1 ada"]);
    last(&mut watcher, 1, 1);
    told(&mut client, &["KD.POST c 2 BY bob"]);
    last(&mut watcher, 2, 1);
    told(&mut client, &["KD.ACK ada c 1"]);
    last(&mut watcher, 1, 0);
    told(&mut client, &["KD.DELETE c 2"]);
    last(&mut watcher, 0, 0);
}

#[test]
fn opaque_ids_are_ordered_by_arrival_and_given_back_as_they_came() {
    let dir = kidoku_torture::server::TempDir::new();
    let file = dir.file("kidoku.toml");
    std::fs::write(&file, "[apps.default]\nids = \"opaque\"\n").unwrap();
    let server = Server::with(&["--dev", "--config", file.to_str().unwrap()]);
    let mut client = server.client();
    told(
        &mut client,
        &["KD.JOIN c ada bob", "KD.POST c $zulu BY bob MENTIONS 1 ada"],
    );
    told(
        &mut client,
        &["KD.POST c $alpha BY bob", "KD.POST c $mike BY bob"],
    );
    assert_eq!(client.say("KD.POST c $zulu BY bob"), Value::Int(0));
    let reply = client.say("KD.COUNT ada c");
    let state = &reply.items()[0];
    assert_eq!(state.get("unread").number(), 3);
    assert_eq!(state.get("first_unread").text(), "$zulu");
    assert_eq!(state.get("last").text(), "$mike");
    told(&mut client, &["KD.ACK ada c $alpha"]);
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
    let why = client.say("KD.EXPLAIN ada c");
    assert_eq!(
        why.get("unread_ids"),
        &Value::Array(vec![Value::Bulk("$mike".to_owned())])
    );
    told(&mut client, &["KD.DELETE c $mike"]);
    assert_eq!(count(&mut client, "ada", "c"), (0, 0));
    let long = "x".repeat(129);
    let refused = client.say(&format!("KD.POST c {long}"));
    assert!(
        matches!(&refused, Value::Error(text) if text.starts_with("BADID")),
        "{refused:?}"
    );
}

#[test]
fn a_snowflake_far_ahead_of_the_clock_is_refused() {
    let dir = kidoku_torture::server::TempDir::new();
    let file = dir.file("kidoku.toml");
    let text = "[apps.default]\nids = \"snowflake\"\nsnowflake_epoch_ms = 1420070400000\n";
    std::fs::write(&file, text).unwrap();
    let server = Server::with(&["--dev", "--config", file.to_str().unwrap()]);
    let mut client = server.client();
    let since = |now: u64| (now - 1_420_070_400_000) << 22;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = u64::try_from(now.as_millis()).unwrap();
    told(
        &mut client,
        &["KD.JOIN c ada", &format!("KD.POST c {}", since(now))],
    );
    told(
        &mut client,
        &[&format!("KD.ACK ada c {}", since(now + 30_000))],
    );
    for line in [
        format!("KD.ACK ada c {}", since(now + 120_000)),
        format!("KD.POST c {}", since(now + 120_000)),
        format!("KD.ACKALL ada UPTO {}", since(now + 120_000)),
    ] {
        let refused = client.say(&line);
        assert!(
            matches!(&refused, Value::Error(text) if text.contains("60000")),
            "{refused:?}"
        );
    }
}

#[test]
fn an_own_message_is_never_unread_and_acks_unless_told_not_to() {
    let server = Server::dev();
    let mut client = server.client();
    told(
        &mut client,
        &[
            "KD.JOIN c ada bob",
            "KD.POST c 1 BY bob",
            "KD.POST c 2 BY ada NOACK",
        ],
    );
    assert_eq!(count(&mut client, "ada", "c"), (1, 0));
    told(&mut client, &["KD.POST c 3 BY ada"]);
    assert_eq!(count(&mut client, "ada", "c"), (0, 0));
    // An own message of someone who is not a member joins them.
    told(&mut client, &["KD.POST c 4 BY eve", "KD.POST c 5 BY bob"]);
    assert_eq!(count(&mut client, "eve", "c"), (1, 0));
}
