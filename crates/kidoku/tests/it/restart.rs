//! What stays after a stop, a kill, and what a start refuses.

use kidoku_torture::server::{PATIENCE, Server, TempDir, said, serve_command};
use kidoku_torture::wire::{Client, Value, encode};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// Some of everything that is kept.
const HISTORY: &[&str] = &[
    "KD.CHANNEL general SPACE team RECEIPTS LIST",
    "KD.CHANNEL thread PARENT general",
    "KD.JOIN general ada bob eve",
    "KD.ROLE ops ADD ada",
    "KD.POST general 10 BY bob MENTIONS 1 ada",
    "KD.POST general 20 BY bob ROLES 1 ops",
    "KD.POST general 30 BY bob EVERYONE",
    "KD.POST general 40 BY ada NOACK",
    "KD.POST general 50 BY bob SILENT",
    "KD.POST thread 35 BY bob MENTIONS 1 ada",
    "KD.EDIT general 10 VERSION 2 MENTIONS 1 eve",
    "KD.DELETE general 30",
    "KD.ACK eve general 20",
    "KD.ACK bob general 50 PRIVATE",
    "KD.UNREAD bob general 20",
    "KD.MUTE ada general MENTIONS",
    "KD.ACKALL eve UPTO 15",
    "KD.TRIM general 5",
    "KD.JOIN gone ada bob",
    "KD.POST gone 1 BY bob",
    "KD.DROP gone",
    "KD.JOIN general mallory",
    "KD.ERASE mallory",
    "KD.LEAVE thread bob",
];

const QUESTIONS: &[&str] = &[
    "KD.COUNT ada general thread gone",
    "KD.COUNT bob general thread gone",
    "KD.COUNT eve general thread gone",
    "KD.COUNT mallory general",
    "KD.BADGE ada SPACE team",
    "KD.SEEN general 10 LIST",
    "KD.SEEN general 20 LIST",
    "KD.CHANNEL general",
    "KD.CHANNEL thread",
    "KD.EXPLAIN ada general",
    "KD.EXPLAIN bob general",
];

fn answers(server: &Server) -> Vec<String> {
    let mut client = server.client();
    QUESTIONS
        .iter()
        .map(|line| format!("{line}: {:?}", without_rev(client.say(line))))
        .collect()
}

/// A revision may rise by itself: devices then ask again, and find the same numbers.
fn without_rev(reply: Value) -> Value {
    match reply {
        Value::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .filter(|(key, _)| key.text() != "rev")
                .collect(),
        ),
        other => other,
    }
}

fn rev(server: &Server) -> u64 {
    server.client().say("KD.BADGE ada").get("rev").number()
}

#[test]
fn everything_is_the_same_after_a_stop_and_after_a_kill() {
    let dir = TempDir::new();
    let mut server = Server::on(dir.path(), &["--dev"]);
    let mut client = server.client();
    for line in HISTORY {
        let reply = client.say(line);
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
    }
    drop(client);
    let (before, rev_before) = (answers(&server), rev(&server));
    assert_eq!(server.stop().code(), Some(0), "{}", said(dir.path()));
    let mut server = Server::on(dir.path(), &["--dev"]);
    assert_eq!(answers(&server), before, "after a stop");
    assert!(rev(&server) >= rev_before, "a revision never falls");
    server.kill();
    let mut server = Server::on(dir.path(), &["--dev"]);
    assert_eq!(answers(&server), before, "after a kill");
    server.kill();
    // Another number of cores: another core owns each user and channel.
    let server = Server::on(dir.path(), &["--dev", "--cores", "3"]);
    assert_eq!(answers(&server), before, "with more cores");
}

#[test]
fn what_was_acked_before_a_kill_under_load_is_there_after() {
    let dir = TempDir::new();
    for round in 0..3_u64 {
        let mut server = Server::on(dir.path(), &["--dev"]);
        let address = server.resp_address();
        let writers: Vec<_> = (0..4)
            .map(|writer| thread::spawn(move || write(address, round, writer)))
            .collect();
        thread::sleep(Duration::from_millis(400));
        server.kill();
        let server = Server::on(dir.path(), &["--dev"]);
        let mut client = server.client();
        let mut total = 0;
        for writer in writers {
            for (user, acked) in writer.join().unwrap() {
                let reply = client.command(&["KD.COUNT", &user, "load"]);
                let cursor = reply.items()[0].get("cursor").number();
                assert!(cursor >= acked, "{user} was told {acked} and has {cursor}");
                total += 1;
            }
        }
        assert!(total > 0, "no ack came through before the kill");
    }
}

/// Acks without pause until the server is gone; what was answered, by user.
fn write(address: std::net::SocketAddr, round: u64, writer: u64) -> BTreeMap<String, u64> {
    const WINDOW: u64 = 32;
    let mut acked = BTreeMap::new();
    let mut client = Client::connect(address);
    for turn in 1.. {
        let batch: Vec<(String, u64)> = (0..WINDOW)
            .map(|n| {
                (
                    format!("user{writer}:{}", n % 10),
                    round * 1_000_000 + turn * WINDOW + n,
                )
            })
            .collect();
        let bytes: Vec<u8> = batch
            .iter()
            .flat_map(|(user, id)| encode(&["KD.ACK", user, "load", &id.to_string()]))
            .collect();
        client.send(&bytes);
        for (user, id) in batch {
            match client.try_receive() {
                Some(Value::Int(_)) => acked.insert(user, id),
                Some(other) => panic!("{other:?}"),
                None => return acked,
            };
        }
    }
    acked
}

/// The exit code of a start that must be refused, and what it said.
fn refused(dir: &TempDir, args: &[&str]) -> (Option<i32>, String) {
    let mut child = serve_command(dir.path(), args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > kidoku_torture::server::PATIENCE {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let dir = TempDir::new();
    let server = Server::on(dir.path(), &["--dev"]);
    let (code, text) = refused(&dir, &["--dev"]);
    assert_eq!(code, Some(74), "{text}");
    assert_eq!(
        server.client().say("PING"),
        Value::Simple("PONG".to_owned())
    );
}

#[test]
fn a_port_in_use_is_exit_code_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for listen in ["--resp-listen", "--http-listen", "--admin-listen"] {
        let (code, text) = refused(&TempDir::new(), &["--dev", listen, &address]);
        assert_eq!(code, Some(69), "{listen}: {text}");
        assert!(text.contains(&address), "{text}");
    }
}

#[test]
fn wrong_use_is_exit_code_64_and_says_what_is_wrong() {
    let dir = TempDir::new();
    let (code, text) = refused(&dir, &["--dev", "--resp-listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(64), "{text}");
    let (code, text) = refused(&dir, &["--durability", "perhaps"]);
    assert_eq!(code, Some(64), "{text}");
    let (code, text) = refused(&dir, &["--nosuch"]);
    assert_eq!(code, Some(64), "{text}");
    let file = dir.file("kidoku.toml");
    std::fs::write(&file, "[http]\nlissten = \"127.0.0.1:0\"\n").unwrap();
    let (code, text) = refused(&dir, &["--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains("lissten") && text.contains("listen"),
        "{text}"
    );
}

#[test]
fn a_public_address_without_a_key_is_refused_under_dev_only() {
    let dir = TempDir::new();
    let (code, _) = refused(&dir, &["--dev", "--http-listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(64));
}

#[test]
fn a_data_directory_that_can_not_be_used_is_exit_code_74() {
    let dir = TempDir::new();
    let file = dir.file("taken");
    std::fs::write(&file, "a file where the directory should be").unwrap();
    let mut command = kidoku_torture::server::kidoku(&["serve", "--dev", "--data-dir"]);
    command.arg(&file).args([
        "--resp-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
    ]);
    command.args([
        "--admin-listen",
        "127.0.0.1:0",
        "--cluster-listen",
        "127.0.0.1:0",
    ]);
    let output = command.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(74),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_first_start_makes_a_root_key_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let mut server = Server::on(dir.path(), &[]);
    let key = std::fs::read_to_string(dir.file("root.key")).unwrap();
    let mode = std::fs::metadata(dir.file("root.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let printed = said(dir.path());
    assert!(
        printed.contains("redis-cli") && printed.contains("curl"),
        "{printed}"
    );
    assert_eq!(server.stop().code(), Some(0));
    let _again = Server::on(dir.path(), &[]);
    assert_eq!(std::fs::read_to_string(dir.file("root.key")).unwrap(), key);
}

#[test]
fn a_data_directory_that_the_server_makes_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = TempDir::new();
    for (name, flags) in [("plain", &[][..]), ("dev", &["--dev"][..])] {
        let dir = parent.file(name);
        let said = File::create(parent.file("said")).unwrap();
        let mut child = serve_command(&dir, flags).stdout(said).spawn().unwrap();
        let begun = Instant::now();
        while !dir.join("addresses.json").exists() && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mode = std::fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
}
