//! Rows that can not be read: each stops its owner and nobody else, is named, and is accepted as lost
//! only when somebody says so.

use kidoku_core::fact::{FactKey, Part};
use kidoku_core::id::MessageId;
use kidoku_store::key::fact_key;
use kidoku_store::{Embedded, EmbeddedOptions};
use kidoku_torture::server::{Server, TempDir, kidoku, run, said};
use kidoku_torture::web::Web;
use kidoku_torture::wire::{Client, Value};
use std::path::Path;
use std::process::Output;

/// Chat rooms of one app. Room 3 has a thread, of which ann is a follower.
const CHAT: &[&str] = &[
    "KD.CHANNEL room:1",
    "KD.CHANNEL room:2 SPACE guild",
    "KD.CHANNEL room:3 SPACE guild RECEIPTS LIST",
    "KD.CHANNEL room:4",
    "KD.CHANNEL thread PARENT room:2",
    "KD.JOIN room:1 ann bob cid dan AT START",
    "KD.JOIN room:2 ann bob cid dan AT START",
    "KD.JOIN room:3 ann bob cid AT START",
    "KD.JOIN thread ann dan AT START",
    "KD.POST room:1 1 BY cid MENTIONS 1 ann",
    "KD.POST room:1 2 BY cid EVERYONE",
    "KD.POST room:2 3 BY ann",
    "KD.POST room:3 4 BY ann",
    "KD.POST room:3 5 BY ann",
    "KD.POST room:4 6",
    "KD.POST thread 7 BY cid MENTIONS 1 dan",
    "KD.ACK bob room:2 3",
    "KD.ACK dan room:1 1",
];

/// Another app with the same names in it.
const SHOP: &[&str] = &[
    "KD.CHANNEL room:1 SPACE mall",
    "KD.CHANNEL till SPACE mall",
    "KD.JOIN room:1 ann bob AT START",
    "KD.JOIN till bob AT START",
    "KD.POST room:1 1",
    "KD.POST till 2",
];

/// Who is hit by nothing, with all they may ask.
const SOUND: &[&str] = &[
    "KD.COUNT ann room:1 room:2 room:4 thread",
    "KD.COUNT cid room:1 room:2",
    "KD.COUNT dan room:1 room:2 thread",
    "KD.STATE dan",
    "KD.BADGE dan",
    "KD.EXPLAIN ann room:2",
    "KD.CHANNEL room:2",
];

pub(crate) struct App {
    name: &'static str,
    key: String,
}

impl App {
    pub(crate) fn new(dir: &Path, name: &'static str) -> Self {
        let dir = dir.to_string_lossy();
        let made = run(&["key", "create", "--app", name, "--data-dir", &dir]);
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        Self { name, key }
    }

    pub(crate) fn client(&self, server: &Server) -> Client {
        let mut client = Client::connect(server.resp_address());
        let hello = client.command(&["HELLO", "3", "AUTH", "default", &self.key]);
        assert!(
            !matches!(hello, Value::Error(_)),
            "{}: {hello:?}",
            self.name
        );
        client
    }

    pub(crate) fn web(&self, server: &Server) -> Web {
        Web::new(server.http_address()).bearer(&self.key)
    }

    fn ask(&self, server: &Server, lines: &[&str]) -> Vec<String> {
        let mut client = self.client(server);
        lines
            .iter()
            .map(|line| format!("{line}: {:?}", without_rev(client.say(line))))
            .collect()
    }
}

/// A revision is another after each start.
fn without_rev(reply: Value) -> Value {
    match reply {
        Value::Map(pairs) => {
            let kept = pairs.into_iter().filter(|(key, _)| key.text() != "rev");
            Value::Map(kept.collect())
        }
        other => other,
    }
}

pub(crate) fn say_all(client: &mut Client, lines: &[&str]) {
    for line in lines {
        let reply = client.say(line);
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
    }
}

#[track_caller]
fn assert_names(reply: &Value, words: &[&str]) {
    let Value::Error(text) = reply else {
        panic!("an error is due, not {reply:?}");
    };
    for word in words.iter().chain(&["INTERNAL", "kidoku check --repair"]) {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

/// The rows that are hit: of a user and of a channel of the chat, and of the shop.
fn damage(dir: &Path) {
    let store = Embedded::open_settled(&dir.join("store"), EmbeddedOptions::default()).unwrap();
    let keys = [
        ("chat", "bob", Part::State("room:2")),
        ("chat", "room:3", Part::Message(MessageId::new(5).unwrap())),
        ("shop", "room:1", Part::Settings),
    ];
    for (app, owner, part) in keys {
        let key = fact_key(&FactKey { app, owner, part });
        assert!(store.damage(&key).unwrap(), "{app} {owner}");
    }
}

pub(crate) fn check(dir: &Path, more: &[&str]) -> (Option<i32>, String) {
    let dir = dir.to_string_lossy();
    let args = [&["check", "--repair"], more, &["--data-dir", &dir]].concat();
    let Output {
        status,
        stdout,
        stderr,
    } = kidoku(&args).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&text).into_owned())
}

pub(crate) fn metric(server: &Server, name: &str) -> u64 {
    let text = Web::new(server.admin_address()).get("/metrics").body;
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

pub(crate) fn warnings(server: &Server) -> String {
    let ready = Web::new(server.admin_address()).get("/readyz").ok();
    assert_eq!(ready["ready"], true, "{ready}");
    ready["warnings"].to_string()
}

/// A directory with both apps in it, settled, and what sound users are answered.
fn filled(dir: &Path) -> ([App; 2], Vec<String>) {
    let apps = [App::new(dir, "chat"), App::new(dir, "shop")];
    let mut server = Server::on(dir, &[]);
    say_all(&mut apps[0].client(&server), CHAT);
    say_all(&mut apps[1].client(&server), SHOP);
    let sound = apps[0].ask(&server, SOUND);
    assert!(server.stop().success(), "{}", said(dir));
    (apps, sound)
}

#[test]
fn a_damaged_row_stops_its_owner_alone_and_is_named() {
    let dir = TempDir::new();
    let ([chat, shop], sound) = filled(dir.path());
    damage(dir.path());
    let server = Server::on(dir.path(), &[]);
    assert_eq!(chat.ask(&server, SOUND), sound);

    let mut client = chat.client(&server);
    let bob = ["user bob", "state in channel room:2"];
    for line in [
        "KD.COUNT bob room:1",
        "KD.EXPLAIN bob room:1",
        "KD.STATE bob",
    ] {
        assert_names(&client.say(line), &bob);
    }
    let room = ["channel room:3", "message 5"];
    for line in [
        "KD.COUNT ann room:3",
        "KD.COUNT ann room:1 room:3",
        "KD.EXPLAIN ann room:3",
        "KD.CHANNEL room:3",
        "KD.POST room:3 9",
        "KD.SEEN room:3 4",
        "KD.BADGE ann",
    ] {
        assert_names(&client.say(line), &room);
    }
    // Her other channels are told, and that one is missing.
    let state = client.say("KD.STATE ann");
    let names: Vec<_> = state
        .get("channels")
        .items()
        .iter()
        .map(|c| c.get("channel").text())
        .collect();
    assert_eq!(names, ["room:1", "room:2", "thread"]);
    assert_eq!(state.get("damaged").items()[0].text(), "room:3");
    // The same over HTTP.
    let web = chat.web(&server);
    let problem = web.get("/v1/users/bob/channels/room:1/explain");
    assert_eq!(problem.status, 500, "{problem:?}");
    assert!(
        problem
            .body
            .contains("user bob is damaged (state in channel room:2)")
    );
    let state = web.get("/v1/users/ann/state").ok();
    assert_eq!(state["damaged"], serde_json::json!(["room:3"]), "{state}");
    assert_eq!(web.get("/v1/users/dan/badge").status, 200);

    // The other app has a fault of its own. Its settings would say whether it is a thread.
    let mut other = shop.client(&server);
    assert_names(
        &other.say("KD.COUNT ann room:1"),
        &["channel room:1", "settings"],
    );
    let till = other.say("KD.COUNT bob till");
    assert_eq!(till.items()[0].get("unread").number(), 1);
    assert!(till.items()[0].get("threads_damaged").is_true(), "{till:?}");

    let told = warnings(&server);
    for word in ["user bob", "channel room:3", "app shop"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(metric(&server, "kidoku_rot_lost_total"), 3);
}

#[test]
fn beside_damaged_rows_everything_is_written_and_pushed() {
    let dir = TempDir::new();
    let ([chat, _], _) = filled(dir.path());
    damage(dir.path());
    let mut server = Server::on(dir.path(), &[]);
    let mut watcher = chat.client(&server);
    say_all(&mut watcher, &["KD.WATCH ann"]);
    let event = watcher.receive();
    let numbers = &event.items()[2];
    assert_eq!(
        numbers.get("damaged").items()[0].text(),
        "room:3",
        "{event:?}"
    );
    assert_eq!(numbers.get("badge"), &Value::Null);
    assert_eq!(numbers.get("channels").items().len(), 3);

    let mut client = chat.client(&server);
    say_all(
        &mut client,
        &[
            "KD.POST room:1 20 BY cid",
            "KD.JOIN room:4 eve ann AT START",
            "KD.ACK ann room:2 3",
            "KD.LEAVE thread ann",
            "KD.LEAVE room:2 ann",
            "KD.MUTE dan room:1 MENTIONS",
            "KD.ROLE ops ADD dan",
        ],
    );
    let event = watcher.receive();
    assert!(
        !event.items()[2].get("channels").items().is_empty(),
        "{event:?}"
    );
    // A post that names him is filed and told to all others; that he was not reached is said.
    let named = client.say("KD.POST room:1 21 MENTIONS 2 bob ann");
    assert_names(&named, &["user bob"]);
    let unread =
        |client: &mut Client, line: &str| client.say(line).items()[0].get("unread").number();
    let check = |client: &mut Client| {
        assert_eq!(unread(client, "KD.COUNT ann room:1"), 4);
        assert_eq!(unread(client, "KD.COUNT dan room:1"), 3);
        assert_eq!(unread(client, "KD.COUNT eve room:4"), 1);
        let state = client.say("KD.COUNT ann room:1 room:2");
        assert_eq!(state.items()[0].get("mentions").number(), 3, "{state:?}");
        assert!(!state.items()[1].get("member").is_true());
    };
    check(&mut client);
    // What was written beside is there after a stop, and the damage too.
    drop(client);
    assert!(server.stop().success(), "{}", said(dir.path()));
    let server = Server::on(dir.path(), &[]);
    let mut client = chat.client(&server);
    check(&mut client);
    assert_names(&client.say("KD.STATE bob"), &["user bob"]);
}

#[test]
fn a_check_names_what_is_damaged_and_goes_on_with_the_rest() {
    let dir = TempDir::new();
    let ([chat, shop], _) = filled(dir.path());
    damage(dir.path());
    let server = Server::on(dir.path(), &[]);
    let report = chat.client(&server).say("KD.CHECK");
    let number = |name: &str| report.get(name).number();
    assert_eq!((number("users"), number("channels")), (3, 4), "{report:?}");
    assert_eq!((number("mismatch_count"), number("damaged_count")), (0, 2));
    // Ann and cid in room 3.
    assert_eq!((number("read_states"), number("damaged_states")), (9, 2));
    let names: Vec<_> = report
        .get("damaged")
        .items()
        .iter()
        .map(|one| {
            ["kind", "name", "row"]
                .map(|field| one.get(field).text())
                .join(" ")
        })
        .collect();
    let due = [
        "user bob state in channel room:2",
        "channel room:3 message 5",
    ];
    assert_eq!(names, due);

    let report = shop
        .web(&server)
        .post("/v1/check", &serde_json::json!({}))
        .ok();
    assert_eq!(report["damaged_count"], 1, "{report}");
    assert_eq!(report["damaged"][0]["name"], "room:1");
    assert_eq!(report["mismatch_count"], 0);
    // An export would not be everything.
    let export = shop.web(&server).get("/v1/events");
    assert_eq!(export.status, 500, "{export:?}");
    assert!(export.body.contains("channel room:1"));
}

#[test]
fn a_loss_is_listed_then_accepted_and_stays_flagged_until_that_is_ended() {
    let dir = TempDir::new();
    let ([chat, shop], sound) = filled(dir.path());
    damage(dir.path());
    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(1), "{text}");
    for line in [
        "app chat: what is stored of user bob is damaged (state in channel room:2)",
        "app chat: what is stored of channel room:3 is damaged (message 5)",
        "app shop: what is stored of channel room:1 is damaged (settings)",
        "3 damaged",
        "nothing was changed",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let mut server = Server::on(dir.path(), &[]);
    assert_names(&chat.client(&server).say("KD.STATE bob"), &["user bob"]);
    assert!(server.stop().success());

    let (code, text) = check(dir.path(), &["--apply"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("accepted as lost"), "{text}");
    let kept = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().path());
    let kept: Vec<_> = kept
        .filter(|path| path.to_string_lossy().contains("damaged-rows"))
        .collect();
    assert_eq!(
        std::fs::read_to_string(&kept[0]).unwrap().lines().count(),
        3
    );

    let mut server = Server::on(dir.path(), &[]);
    assert_eq!(chat.ask(&server, SOUND), sound);
    let mut client = chat.client(&server);
    // The message does not count any more, and he is in the rooms that his other rows say.
    let numbers = client.say("KD.COUNT cid room:3");
    assert_eq!(numbers.items()[0].get("unread").number(), 1);
    let state = client.say("KD.STATE bob");
    let names: Vec<_> = state
        .get("channels")
        .items()
        .iter()
        .map(|c| c.get("channel").text())
        .collect();
    assert_eq!(names, ["room:1", "room:3"]);
    assert_eq!(client.say("KD.CHECK").get("mismatch_count").number(), 0);
    assert_eq!(client.say("KD.CHECK").get("damaged_count").number(), 0);
    assert_eq!(
        shop.client(&server).say("KD.COUNT ann room:1").items()[0]
            .get("unread")
            .number(),
        1
    );
    assert_eq!(metric(&server, "kidoku_rot_lost_total"), 0);
    let told = warnings(&server);
    assert!(
        told.contains("accepted as lost") && told.contains("user bob"),
        "{told}"
    );
    drop(client);
    assert!(server.stop().success());

    let (code, text) = check(dir.path(), &["--apply"]);
    assert_eq!(code, Some(0), "{text}");
    let server = Server::on(dir.path(), &[]);
    assert_eq!(warnings(&server), "null");
}
