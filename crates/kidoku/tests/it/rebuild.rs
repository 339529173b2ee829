//! A store that can not be read everywhere, and a log that has lost a record: what is left is served,
//! what is not is told, and after it was accepted numbers are those of what is left.

use crate::damage::{App, check, metric, say_all, warnings};
use kidoku_torture::server::{Server, TempDir, said};
use kidoku_torture::wire::Value;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOMS: u64 = 8;
const USERS: u64 = 10;
const MESSAGES: u64 = 600;
/// Those are in the log alone.
const LATER: [u64; 3] = [10_001, 10_002, 10_003];

/// Whether the user is a member, and the unread; or an error.
type Answers = BTreeMap<Place, Result<(bool, u64), String>>;

/// User and channel.
type Place = (String, String);

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn fill(chat: &App, server: &Server, ids: &[u64]) {
    let mut client = chat.client(server);
    for room in 0..ROOMS {
        let users: Vec<String> = (0..USERS).map(|user| format!("user-{user}")).collect();
        let join = format!("KD.JOIN room-{room} {} AT START", users.join(" "));
        let mut lines = vec![words(&join)];
        // Names that do not shrink to nothing, so that there are many blocks.
        lines.extend(ids.iter().map(|id| {
            let author = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            words(&format!("KD.POST room-{room} {id} BY by-{author:x} NOACK"))
        }));
        for reply in client.pipeline(&lines) {
            assert!(!matches!(reply, Value::Error(_)), "{reply:?}");
        }
    }
    let upto = ids[ids.len() / 2];
    for user in 0..USERS {
        let room = user % ROOMS;
        say_all(
            &mut client,
            &[&format!("KD.ACK user-{user} room-{room} {upto}")],
        );
    }
}

/// What the server says of each place, or that it can not.
fn answers(chat: &App, server: &Server) -> Answers {
    let mut client = chat.client(server);
    let mut answers = BTreeMap::new();
    for user in (0..USERS).map(|user| format!("user-{user}")) {
        for room in (0..ROOMS).map(|room| format!("room-{room}")) {
            let answer = match client.command(&["KD.COUNT", &user, &room]) {
                Value::Error(text) => Err(text),
                reply => {
                    let state = &reply.items()[0];
                    Ok((state.get("member").is_true(), state.get("unread").number()))
                }
            };
            answers.insert((user.clone(), room), answer);
        }
    }
    answers
}

/// The same from an export of all facts, by the rules as they read.
fn counted(chat: &App, server: &Server) -> BTreeMap<Place, u64> {
    let export = chat.web(server).get("/v1/events");
    assert_eq!(export.status, 200, "{}", export.body);
    let mut messages: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut lines: BTreeMap<Place, u64> = BTreeMap::new();
    let number = |value: &Json| match value {
        Json::String(text) => text.parse().unwrap(),
        other => other.as_u64().unwrap(),
    };
    for line in export.body.lines() {
        let fact: Json = serde_json::from_str(line).unwrap();
        let name = |field: &str| fact[field].as_str().unwrap().to_owned();
        match fact["op"].as_str().unwrap() {
            "message" => {
                messages
                    .entry(name("channel"))
                    .or_default()
                    .insert(number(&fact["id"]));
            }
            "ack" if fact["membership"]["member"] == true => {
                let from = number(&fact["membership"]["from"]);
                let line = number(&fact["id"]).max(from);
                lines.insert((name("user"), name("channel")), line);
            }
            _ => {}
        }
    }
    for room in 0..ROOMS {
        let there = &messages[&format!("room-{room}")];
        assert!(
            LATER.iter().all(|id| there.contains(id)),
            "the log has them"
        );
    }
    let count = |((user, channel), line): (Place, u64)| {
        let unread = messages[&channel].range(line + 1..).count();
        ((user, channel), u64::try_from(unread).unwrap())
    };
    lines.into_iter().map(count).collect()
}

fn flip(path: &Path, at: usize, mask: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= mask;
    fs::write(path, bytes).unwrap();
}

fn largest_table(dir: &Path) -> PathBuf {
    let tables = fs::read_dir(dir.join("store/keyspaces/1/tables")).unwrap();
    let tables = tables.map(|entry| entry.unwrap().path());
    tables
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap()
}

fn forget_guards(dir: &Path) {
    let guards = dir.join("store.guards");
    fs::remove_dir_all(&guards).unwrap();
    fs::create_dir(&guards).unwrap();
}

fn names_with(dir: &Path, part: &str) -> usize {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(part)).count()
}

/// Starts the server on a rotten directory: what it answers is what it was, or an error.
fn check_served(chat: &App, dir: &Path, before: &Answers, opens: bool) {
    let mut server = Server::on(dir, &["--checkpoint-interval-ms", "3600000"]);
    let now = answers(chat, &server);
    let mut errors = 0;
    for (place, answer) in &now {
        match answer {
            Ok(_) => assert_eq!(answer, &before[place], "{place:?}"),
            Err(text) => {
                errors += 1;
                assert!(
                    text.contains("damaged") && text.contains("check --repair"),
                    "{text}"
                );
            }
        }
    }
    assert!(
        errors > 0 && errors < now.len(),
        "{errors} of {}",
        now.len()
    );
    let report = chat
        .web(&server)
        .post("/v1/check", &serde_json::json!({}))
        .ok();
    assert_eq!(report["mismatch_count"], 0, "{report}");
    assert!(report["damaged_count"].as_u64().unwrap() > 0, "{report}");
    let told = warnings(&server);
    assert_eq!(told.contains("built again"), !opens, "{told}");
    assert!(metric(&server, "kidoku_rot_lost_total") > 0);
    server.kill();
}

/// Breaks blocks of the largest table of a filled directory; with `opens`, so that the store still
/// opens. Then looks at what is served before and after the loss is accepted.
fn check_rotten_store(opens: bool) {
    let dir = TempDir::new();
    let chat = App::new(dir.path(), "chat");
    let mut server = Server::on(dir.path(), &[]);
    let ids: Vec<u64> = (1..=MESSAGES).collect();
    fill(&chat, &server, &ids);
    assert!(server.stop().success(), "{}", said(dir.path()));
    let mut server = Server::on(dir.path(), &["--checkpoint-interval-ms", "3600000"]);
    fill(&chat, &server, &LATER);
    let before = answers(&chat, &server);
    server.kill();
    let table = largest_table(dir.path());
    let length = usize::try_from(fs::metadata(&table).unwrap().len()).unwrap();
    assert!(length > 40_000, "{length}");
    // Where the messages of the first channels are.
    flip(&table, length / 20, 4);
    flip(&table, length / 8, 4);
    forget_guards(dir.path());
    if !opens {
        fs::write(dir.path().join("store/keyspaces/1/current"), b"nonsense").unwrap();
    }

    check_served(&chat, dir.path(), &before, opens);

    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("rows from") && text.contains("nothing was changed"),
        "{text}"
    );
    let (code, text) = check(dir.path(), &["--apply"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(
        names_with(dir.path(), "store.damaged-"),
        2,
        "store and guards are aside"
    );

    let server = Server::on(dir.path(), &[]);
    let counted = counted(&chat, &server);
    for (place, answer) in answers(&chat, &server) {
        let due = counted.get(&place).copied();
        assert_eq!(answer, Ok((due.is_some(), due.unwrap_or(0))), "{place:?}");
    }
    let report = chat.client(&server).say("KD.CHECK");
    assert_eq!(report.get("damaged_count").number(), 0);
    assert_eq!(report.get("mismatch_count").number(), 0);
    assert!(warnings(&server).contains("accepted as lost"));
}

#[test]
fn a_store_that_does_not_open_is_served_from_what_is_left_and_the_log() {
    check_rotten_store(false);
}

#[test]
fn a_block_that_can_not_be_read_is_accepted_by_building_the_store_again() {
    check_rotten_store(true);
}

#[test]
fn a_fact_that_the_log_has_lost_is_told_until_it_is_accepted() {
    let dir = TempDir::new();
    let chat = App::new(dir.path(), "chat");
    let mut server = Server::on(dir.path(), &["--checkpoint-interval-ms", "3600000"]);
    let lines = [
        "KD.JOIN room ann zed AT START",
        "KD.POST room 1 BY ann",
        "KD.ACK zed room 1",
        "KD.POST room 2 BY ann",
        "KD.JOIN other ann AT START",
    ];
    say_all(&mut chat.client(&server), &lines);
    server.kill();
    // Two bits of the check of the ack: more than can be taken back, and the names are whole.
    let log = fs::read_dir(dir.path().join("log"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let bytes = fs::read(&log).unwrap();
    let head = b"\x04\x04chat\x03zed";
    let found = bytes.windows(head.len()).rposition(|window| window == head);
    let check_at = found.unwrap() - 4;
    flip(&log, check_at, 1);
    flip(&log, check_at + 2, 1);

    let owner = "user zed of app chat (state in channel room)";
    for _ in 0..2 {
        let mut server = Server::on(dir.path(), &[]);
        let told = warnings(&server);
        assert!(
            told.contains("1 fact is lost") && told.contains(owner),
            "{told}"
        );
        assert_eq!(metric(&server, "kidoku_rot_lost_total"), 1);
        let ann = chat.client(&server).say("KD.BADGE ann");
        assert_eq!(ann.get("unread").number(), 0, "hers are her own");
        assert!(server.stop().success());
    }
    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("1 facts of the log lost") && text.contains(owner),
        "{text}"
    );
    assert_eq!(check(dir.path(), &["--apply"]).0, Some(0));
    let server = Server::on(dir.path(), &[]);
    assert_eq!(metric(&server, "kidoku_rot_lost_total"), 0);
    assert!(warnings(&server).contains("accepted as lost"));
    // What was lost may be said again.
    let mut client = chat.client(&server);
    say_all(&mut client, &["KD.ACK zed room 1"]);
    assert_eq!(
        client.say("KD.COUNT zed room").items()[0]
            .get("unread")
            .number(),
        1
    );
}
