//! What is not well formed, too large or too deep: a clear error, everybody else goes on, nothing
//! accepted is lost, memory does not grow.

use flate2::{Compression, write::GzEncoder};
use kidoku_torture::server::{Server, TempDir, kidoku};
use kidoku_torture::web::Web;
use kidoku_torture::wire::{Client, Value, encode};
use serde_json::json;
use std::io::Write;

/// How much the process may grow by, whatever is sent: buffers of a few connections.
const GROWTH_MAX: u64 = 64 << 20;

/// A server with something accepted, and what it weighed then.
struct Sound {
    server: Server,
    resident: u64,
}

impl Sound {
    fn new() -> Self {
        let server = Server::dev();
        let mut client = server.client();
        assert_eq!(client.say("KD.JOIN c ada bob"), Value::Int(2));
        assert_eq!(
            client.say("KD.POST c 10 BY bob MENTIONS 1 ada"),
            Value::Int(1)
        );
        let resident = server.resident_bytes();
        Self { server, resident }
    }

    /// Takes what the process weighs now for what good input of this kind costs: what it holds of
    /// accepted facts, and the heaps of the threads that were at work.
    fn settle(&mut self) {
        self.resident = self.server.resident_bytes();
    }

    /// Others are served, what was accepted is there, and the process is not much larger.
    fn is_well(&self) {
        let mut client = self.server.client();
        let reply = client.say("KD.COUNT ada c");
        let state = &reply.items()[0];
        assert_eq!(
            (state.get("unread").number(), state.get("mentions").number()),
            (1, 1)
        );
        let now = self.server.resident_bytes();
        assert!(
            now < self.resident + GROWTH_MAX,
            "{} bytes grew to {now}",
            self.resident
        );
    }
}

fn error(reply: &Value) -> &str {
    match reply {
        Value::Error(text) => text,
        other => panic!("no error: {other:?}"),
    }
}

/// Ids that are none.
const BAD_IDS: &[&str] = &[
    "0",
    "-1",
    "+1",
    "1e3",
    "1.0",
    " 1",
    "0x10",
    "",
    "id",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999999999999999",
];

/// Names that break a rule, and a word of the error for each.
fn bad_names() -> [(String, &'static str); 5] {
    [
        (String::new(), "empty"),
        ("x".repeat(129), "128"),
        ("é".repeat(65), "128"),
        ("a\u{7}b".to_owned(), "control"),
        ("line\nbreak".to_owned(), "control"),
    ]
}

#[test]
fn a_bad_id_is_refused_over_resp_and_the_connection_goes_on() {
    let sound = Sound::new();
    let mut client = sound.server.client();
    for id in BAD_IDS {
        for command in [
            vec!["KD.ACK", "ada", "c", id],
            vec!["KD.POST", "c", id],
            vec!["KD.DELETE", "c", id],
            vec!["KD.EDIT", "c", id, "VERSION", "1"],
            vec!["KD.UNREAD", "ada", "c", id],
            vec!["KD.ACKALL", "ada", "UPTO", id],
            vec!["KD.MACK", "ada", "c", id],
            vec!["KD.TRIM", "c", id],
            vec!["KD.SEEN", "c", id],
        ] {
            let reply = client.command(&command);
            let text = error(&reply);
            assert!(
                text.starts_with("BADID ") && text.contains("9223372036854775807"),
                "{text}"
            );
        }
    }
    assert_eq!(
        client.say("KD.ACK ada d 9223372036854775807"),
        Value::Int(1)
    );
    sound.is_well();
}

#[test]
fn a_bad_name_is_refused_over_resp_and_names_the_rule() {
    let sound = Sound::new();
    let mut client = sound.server.client();
    for (name, rule) in bad_names() {
        for command in [
            vec!["KD.ACK", &name, "c", "10"],
            vec!["KD.ACK", "ada", &name, "10"],
            vec!["KD.JOIN", "c", &name],
            vec!["KD.JOIN", &name, "ada"],
            vec!["KD.POST", "c", "11", "MENTIONS", "1", &name],
            vec!["KD.POST", "c", "11", "ROLES", "1", &name],
            vec!["KD.BADGE", &name],
        ] {
            let reply = client.command(&command);
            let text = error(&reply);
            assert!(text.starts_with("BADID ") && text.contains(rule), "{text}");
        }
    }
    let invalid = client.command(&[&b"KD.BADGE"[..], b"\xff\xfe"]);
    assert!(error(&invalid).contains("UTF-8"), "{invalid:?}");
    let longest = "é".repeat(64);
    assert_eq!(client.command(&["KD.JOIN", "c", &longest]), Value::Int(1));
    sound.is_well();
}

#[test]
fn a_bad_id_or_name_is_refused_over_http() {
    let sound = Sound::new();
    let web = Web::new(sound.server.http_address());
    for id in BAD_IDS {
        let body = json!({"channel": "c", "id": id});
        let answer = web.post("/v1/users/ada/ack", &body);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "BADID"),
            "{id}"
        );
    }
    for id in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e30),
        json!(true),
        json!([1]),
        json!(null),
    ] {
        let answer = web.post("/v1/users/ada/ack", &json!({"channel": "c", "id": id}));
        assert_eq!(answer.status, 400, "{id}: {}", answer.body);
        assert!(
            ["BADID", "SYNTAX"].contains(&answer.problem().as_str()),
            "{}",
            answer.body
        );
    }
    for (name, rule) in bad_names() {
        let answer = web.post("/v1/users/ada/ack", &json!({"channel": name, "id": "10"}));
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "BADID"),
            "{rule}"
        );
        assert!(answer.body.contains(rule), "{}", answer.body);
    }
    assert_eq!(web.get("/v1/users/%ff/badge").status, 400);
    assert_eq!(web.get("/v1/users/a%07b/badge").problem(), "BADID");
    sound.is_well();
}

/// Frames after which the protocol can not go on: an error, and the server hangs up.
#[test]
fn broken_frames_end_their_connection_only() {
    let sound = Sound::new();
    for bytes in [
        &b"*1000000000\r\n"[..],
        b"*2147483648\r\n",
        b"*99999999999999999999\r\n",
        b"*1\r\n$1000000000\r\n",
        b"*1\r\n$99999999999999999999\r\n",
        b"*1\r\n$-5\r\n",
        b"*1\r\n:5\r\n",
        b"*x\r\n",
        b"*1\r\n$3\r\nabcXY",
    ] {
        let mut client = Client::connect(sound.server.resp_address());
        client.send(bytes);
        let text = String::from_utf8_lossy(&client.drain()).into_owned();
        let shown = String::from_utf8_lossy(bytes);
        assert!(text.starts_with('-'), "{shown:?}: {text:?}");
    }
    sound.is_well();
}

#[test]
fn a_hundred_thousand_nested_arrays_are_one_error() {
    let sound = Sound::new();
    let mut client = Client::connect(sound.server.resp_address());
    client.send("*1\r\n".repeat(100_000).as_bytes());
    let text = String::from_utf8_lossy(&client.drain()).into_owned();
    assert!(text.starts_with('-') && text.len() < 1_000, "{text}");
    sound.is_well();
}

#[test]
fn an_inline_line_of_a_mebibyte_is_one_error() {
    let sound = Sound::new();
    for line in [vec![b'x'; 1 << 20], b"KD.ACK ".repeat(150_000)] {
        let mut client = Client::connect(sound.server.resp_address());
        client.send(&line);
        let text = String::from_utf8_lossy(&client.drain()).into_owned();
        assert!(text.starts_with('-') && text.len() < 1_000, "{text}");
    }
    sound.is_well();
}

#[test]
fn too_many_of_anything_names_the_limit() {
    let sound = Sound::new();
    let mut client = sound.server.client();
    let many = |count: usize, word: &str| vec![word.to_owned(); count];
    let begin = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    for (head, tail, limit) in [
        (begin(&["KD.JOIN", "c"]), many(1_001, "ada"), "1000"),
        (begin(&["KD.COUNT", "ada"]), many(1_001, "c"), "1000"),
        (begin(&["KD.DELETE", "c"]), many(1_001, "99"), "1000"),
        (begin(&["KD.ROLE", "r", "ADD"]), many(1_001, "ada"), "1000"),
        (
            begin(&["KD.POST", "c", "99", "MENTIONS", "1001"]),
            many(1_001, "ada"),
            "1000",
        ),
        (
            begin(&["KD.POST", "c", "99", "ROLES", "101"]),
            many(101, "r"),
            "100",
        ),
        (begin(&["KD.WATCH"]), many(1_001, "ada"), "1000"),
    ] {
        let reply = client.command(&[head.clone(), tail].concat());
        let text = error(&reply);
        assert!(
            text.starts_with("LIMIT ") && text.contains(limit),
            "{head:?}: {text}"
        );
    }
    let at_limit = [begin(&["KD.COUNT", "ada"]), many(1_000, "c")].concat();
    assert_eq!(client.command(&at_limit).items().len(), 1_000);
    sound.is_well();
}

#[test]
fn deep_json_is_refused_over_http_as_a_body_and_as_an_event() {
    let sound = Sound::new();
    let web = Web::new(sound.server.http_address());
    let deep = "[".repeat(100_000);
    let send = |body: &str| {
        let web = web.with("content-type", "application/json");
        web.send("POST", "/v1/users/ada/ack", body.as_bytes())
    };
    assert_eq!(send(&deep).problem(), "LIMIT");
    let answer = send(&"[".repeat(60_000));
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "SYNTAX"),
        "{}",
        answer.body
    );
    let lines = format!("{deep}\n{{\"op\":\"join\",\"channel\":\"d\",\"user\":\"ada\"}}\n");
    let report = web.events(lines.as_bytes()).json();
    assert_eq!(
        (&report["applied"], &report["failed"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    sound.is_well();
}

#[test]
fn a_bad_line_among_events_is_told_by_number_and_the_others_count() {
    let sound = Sound::new();
    let web = Web::new(sound.server.http_address());
    let long = "x".repeat(2 << 20);
    let lines = [
        r#"{"op":"message","channel":"c","id":"11","author":"bob"}"#.to_owned(),
        "not json".to_owned(),
        r#"{"op":"message","channel":"c","id":"0"}"#.to_owned(),
        r#"{"op":"sing","channel":"c"}"#.to_owned(),
        r#"{"op":"message","channel":"c"}"#.to_owned(),
        r#"{"op":"message","channel":"c","id":"13","surprise":1}"#.to_owned(),
        format!(r#"{{"op":"join","channel":"c","user":"{long}"}}"#),
        r#"{"op":"delete","channel":"c","id":"11"}"#.to_owned(),
    ]
    .join("\n");
    let report = web.events(lines.as_bytes()).json();
    assert_eq!(
        (&report["applied"], &report["failed"]),
        (&json!(2), &json!(6)),
        "{report}"
    );
    let numbers: Vec<u64> = report["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7], "{report}");
    sound.is_well();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn joins(channel: &str, count: usize) -> String {
    (0..count)
        .map(|n| format!("{{\"op\":\"join\",\"channel\":\"{channel}\",\"user\":\"user{n}\"}}\n"))
        .collect()
}

#[test]
fn a_truncated_gzip_stream_keeps_what_came_before_the_cut() {
    let mut sound = Sound::new();
    let web = Web::new(sound.server.http_address()).with("content-encoding", "gzip");
    let answer = web.events(&gzip(&joins("whole", 20_000)));
    assert_eq!(answer.json()["applied"], 20_000);
    sound.settle();

    let whole = gzip(&joins("many", 20_000));
    let cut = &whole[..whole.len() / 2];
    for _ in 0..5 {
        let answer = web.events(cut);
        assert_eq!(answer.problem(), "SYNTAX");
        assert!(
            answer.json()["report"]["applied"].as_u64().unwrap() > 0,
            "{}",
            answer.body
        );
        sound.is_well();
    }

    let files = TempDir::new();
    let file = files.file("cut.jsonl.gz");
    std::fs::write(&file, cut).unwrap();
    let dir = sound.server.dir().to_str().unwrap();
    let output = kidoku(&["import", file.to_str().unwrap(), "--data-dir", dir])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked") && !said.is_empty(), "{said}");
    let mut client = sound.server.client();
    assert!(
        client.say("KD.COUNT user0 many").items()[0]
            .get("member")
            .is_true()
    );
    sound.is_well();
}

#[test]
fn a_bomb_of_zeros_in_a_gzip_does_not_fill_memory() {
    let sound = Sound::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..128 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let web = Web::new(sound.server.http_address()).with("content-encoding", "gzip");
    let answer = web.events(&bomb);
    assert!(
        answer.body.contains("line"),
        "{} {}",
        answer.status,
        answer.body
    );
    sound.is_well();
}

#[test]
fn import_tells_bad_lines_and_takes_the_others() {
    let sound = Sound::new();
    let files = TempDir::new();
    let file = files.file("mixed.jsonl");
    let deep = "[".repeat(100_000);
    let text = format!(
        "{}{deep}\n{{\"op\":\"join\"}}\n{}",
        joins("many", 3),
        joins("many", 5)
    );
    std::fs::write(&file, text).unwrap();
    let dir = sound.server.dir().to_str().unwrap();
    let output = kidoku(&["import", file.to_str().unwrap(), "--data-dir", dir])
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("line 4") && said.contains("line 5"), "{said}");
    let mut client = sound.server.client();
    assert!(
        client.say("KD.COUNT user4 many").items()[0]
            .get("member")
            .is_true()
    );
    sound.is_well();
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let sound = Sound::new();
    let web = Web::new(sound.server.http_address()).with("content-type", "application/json");
    let body = format!("{{\"channel\":\"{}\",\"id\":\"1\"}}", "x".repeat(64 << 20));
    let answer = web.send("POST", "/v1/users/ada/ack", body.as_bytes());
    assert_eq!(answer.problem(), "LIMIT");
    sound.is_well();
}

#[test]
fn connections_that_say_nothing_or_half_a_command_hold_little() {
    let sound = Sound::new();
    let held: Vec<Client> = (0..200)
        .map(|number| {
            let mut client = Client::connect(sound.server.resp_address());
            let half = encode(&["KD.ACK", "ada", "c", "11"]);
            if number % 2 == 0 {
                client.send(&half[..half.len() - 3]);
            }
            client
        })
        .collect();
    sound.is_well();
    drop(held);
    sound.is_well();
}
