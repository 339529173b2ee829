//! A whole conversation goes in by every door; every member's numbers come out exact, and stay so
//! through restarts, a kill, an export, and when everything is said twice.

use crate::chat::{CHAT, command};
use flate2::{Compression, write::GzEncoder};
use kidoku_torture::server::{Server, TempDir, run};
use kidoku_torture::web::{Web, escape};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Members whose state is also asked by HTTP: one in this many.
const HTTP_SAMPLE: usize = 100;

/// Checks every member by `KD.COUNT`, and some over HTTP.
fn every_state_is_exact(server: &Server, when: &str) {
    let members: Vec<_> = CHAT.expected.iter().collect();
    let commands: Vec<Vec<String>> = members
        .iter()
        .map(|((channel, user), _)| vec!["KD.COUNT".to_owned(), user.clone(), channel.clone()])
        .collect();
    let replies = server.client().pipeline(&commands);
    let mut wrong = Vec::new();
    for (((_, user), expected), reply) in members.iter().zip(&replies) {
        let state = &reply.items()[0];
        let found = (state.get("unread").number(), state.get("mentions").number());
        if found != **expected || !state.get("member").is_true() {
            wrong.push(format!("{user}: {found:?} and not {expected:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{when}: {} wrong, {:?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );

    let web = Web::new(server.http_address());
    for ((channel, user), (unread, mentions)) in members.iter().step_by(HTTP_SAMPLE) {
        let path = format!("/v1/users/{}/channels/{}", escape(user), escape(channel));
        let state = web.get(&path).ok();
        assert_eq!(
            (state["unread"].as_u64(), state["mentions"].as_u64()),
            (Some(*unread), Some(*mentions)),
            "{when}: {user}: {state}"
        );
    }
}

/// The conversation in a file, as `import` takes it.
fn zipped(path: &Path) {
    let mut encoder = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    for line in &CHAT.lines {
        writeln!(encoder, "{line}").unwrap();
    }
    encoder.finish().unwrap();
}

/// The expected numbers in the form `check --expected` reads.
fn table(path: &Path) {
    let mut text = "channel\tuser\tunread\tmentions\n".to_owned();
    for ((channel, user), (unread, mentions)) in &CHAT.expected {
        text.push_str(&format!("{channel}\t{user}\t{unread}\t{mentions}\n"));
    }
    fs::write(path, text).unwrap();
}

fn dir_of(server: &Server) -> String {
    server.dir().to_str().unwrap().to_owned()
}

#[test]
fn imported_it_is_exact_after_restart_kill_and_export() {
    let files = TempDir::new();
    let (events, expected) = (files.file("events.jsonl.gz"), files.file("expected.tsv"));
    zipped(&events);
    table(&expected);
    let dir = TempDir::new();
    let mut server = Server::on(dir.path(), &["--dev"]);
    run(&[
        "import",
        events.to_str().unwrap(),
        "--data-dir",
        &dir_of(&server),
    ]);
    every_state_is_exact(&server, "after the import");
    run(&["check", "--data-dir", &dir_of(&server)]);
    run(&[
        "check",
        "--data-dir",
        &dir_of(&server),
        "--expected",
        expected.to_str().unwrap(),
    ]);
    explanations_add_up(&server);

    assert!(server.stop().success());
    let mut server = Server::on(dir.path(), &["--dev"]);
    every_state_is_exact(&server, "after a restart");

    server.kill();
    let server = Server::on(dir.path(), &["--dev"]);
    every_state_is_exact(&server, "after a kill");

    let export = files.file("export.jsonl");
    run(&[
        "export",
        export.to_str().unwrap(),
        "--data-dir",
        &dir_of(&server),
    ]);
    let copy = Server::dev();
    run(&[
        "import",
        export.to_str().unwrap(),
        "--data-dir",
        &dir_of(&copy),
    ]);
    every_state_is_exact(&copy, "exported into an empty server");
    run(&["check", "--data-dir", &dir_of(&copy)]);
    run(&[
        "import",
        export.to_str().unwrap(),
        "--data-dir",
        &dir_of(&copy),
        "--restart",
    ]);
    every_state_is_exact(&copy, "imported a second time");
}

/// Of some members: as many ids as the number says, all of them above the line.
fn explanations_add_up(server: &Server) {
    let mut client = server.client();
    for ((channel, user), (unread, mentions)) in CHAT
        .expected
        .iter()
        .filter(|(_, (unread, _))| *unread < 900)
        .step_by(50)
    {
        let told = client.command(&["KD.EXPLAIN", user, channel]);
        let line = told.get("line").number();
        let ids = told.get("unread_ids").items();
        assert_eq!(
            u64::try_from(ids.len()).unwrap(),
            *unread,
            "{user}: {told:?}"
        );
        assert!(ids.iter().all(|id| id.number() > line), "{user}: {told:?}");
        let mention_ids = told.get("mention_ids").items();
        assert_eq!(
            u64::try_from(mention_ids.len()).unwrap(),
            *mentions,
            "{user}: {told:?}"
        );
        assert!(
            mention_ids.iter().all(|id| ids.contains(id)),
            "{user}: {told:?}"
        );
    }
}

#[test]
fn streamed_over_http_it_is_exact_and_stays_so_when_every_line_is_sent_twice() {
    let server = Server::dev();
    let web = Web::new(server.http_address());
    let report = web.events((CHAT.lines.join("\n") + "\n").as_bytes()).ok();
    assert_eq!(report["failed"], 0, "{report}");
    every_state_is_exact(&server, "after the stream");

    let twice = Server::dev();
    let mut lines = String::new();
    for line in &CHAT.lines {
        for _ in 0..2 {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    let report = Web::new(twice.http_address())
        .with("content-encoding", "gzip")
        .events(&encoder.finish().unwrap())
        .ok();
    assert_eq!(report["failed"], 0, "{report}");
    every_state_is_exact(&twice, "with every line twice");
}

#[test]
fn said_as_commands_it_is_exact_also_when_the_server_is_killed_right_after() {
    let dir = TempDir::new();
    let mut server = Server::on(dir.path(), &["--dev"]);
    let commands: Vec<Vec<String>> = CHAT.lines.iter().map(|line| command(line)).collect();
    let replies = server.client().pipeline(&commands);
    let errors: Vec<_> = replies
        .iter()
        .filter(|reply| !matches!(reply, kidoku_torture::wire::Value::Int(_)))
        .collect();
    assert!(errors.is_empty(), "{:?}", &errors[..errors.len().min(5)]);
    server.kill();
    let server = Server::on(dir.path(), &["--dev"]);
    every_state_is_exact(&server, "said as commands, then killed");
}
