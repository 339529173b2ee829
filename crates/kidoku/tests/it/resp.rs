//! RESP over real sockets: what is not one command and one reply.

use crate::chat::in_ci;
use kidoku_torture::server::Server;
use kidoku_torture::wire::{Client, Value, encode};
use std::process::{Command, Output};

#[test]
fn inline_commands_are_answered_like_framed_ones() {
    let server = Server::dev();
    let mut client = Client::connect(server.resp_address());
    client.send(b"PING\r\n");
    assert_eq!(client.receive(), Value::Simple("PONG".to_owned()));
    client.send(b"kd.join general alice bob\n");
    assert_eq!(client.receive(), Value::Int(2));
    client.send(b"\r\n  \r\nECHO \"two words\"\r\n");
    assert_eq!(client.receive(), Value::Bulk("two words".to_owned()));
}

#[test]
fn a_pipeline_over_both_cores_has_the_effect_of_one_command_after_another() {
    let server = Server::with(&["--dev", "--cores", "4"]);
    let mut client = server.client();
    let mut commands = Vec::new();
    let mut expected = Vec::new();
    let mut say = |line: String, reply: Option<i64>| {
        commands.push(line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        expected.push(reply);
    };
    for number in 0..100 {
        let (channel, user) = (
            format!("channel{number}"),
            format!("user{}", number * 7 % 13),
        );
        say(format!("KD.JOIN {channel} {user} other"), Some(2));
        say(
            format!("KD.POST {channel} 10 BY other MENTIONS 1 {user}"),
            Some(1),
        );
        say(format!("KD.POST {channel} 20 BY other"), Some(1));
        say(format!("KD.COUNT {user} {channel}"), None);
        say(format!("KD.ACK {user} {channel} 10"), Some(1));
        say(format!("KD.COUNT {user} {channel}"), None);
        say(format!("KD.DELETE {channel} 20"), Some(1));
        say(format!("KD.COUNT {user} {channel}"), None);
    }
    let replies = client.pipeline(&commands);
    for (index, (reply, expected)) in replies.iter().zip(expected).enumerate() {
        if let Some(expected) = expected {
            assert_eq!(
                *reply,
                Value::Int(expected),
                "{index}: {:?}",
                commands[index]
            );
        } else {
            let state = &reply.items()[0];
            let found = (state.get("unread").number(), state.get("mentions").number());
            let wanted = [(2, 1), (1, 0), (0, 0)][index % 8 / 2 - 1];
            assert_eq!(found, wanted, "{index}: {:?}", commands[index]);
        }
    }
}

#[test]
fn a_command_may_come_in_pieces_of_one_byte() {
    let server = Server::dev();
    let mut client = Client::connect(server.resp_address());
    let bytes: Vec<u8> = [
        encode(&["ECHO", "one"]),
        encode(&["PING"]),
        b"PING\r\n".to_vec(),
    ]
    .concat();
    for byte in bytes {
        client.send(&[byte]);
    }
    assert_eq!(client.receive(), Value::Bulk("one".to_owned()));
    assert_eq!(client.receive(), Value::Simple("PONG".to_owned()));
    assert_eq!(client.receive(), Value::Simple("PONG".to_owned()));
}

#[test]
fn quit_is_answered_and_then_the_server_hangs_up() {
    let server = Server::dev();
    let mut client = server.client();
    assert_eq!(client.say("QUIT"), Value::Simple("OK".to_owned()));
    assert_eq!(client.try_receive(), None);
}

#[test]
fn without_a_key_nothing_but_the_greeting_is_answered() {
    let server = Server::with(&[]);
    let key = std::fs::read_to_string(server.dir().join("root.key")).unwrap();
    let key = key.trim();
    let mut client = Client::connect(server.resp_address());
    let refused = |reply: Value| matches!(reply, Value::Error(text) if text.starts_with("NOAUTH"));
    assert!(refused(client.say("KD.BADGE alice")));
    assert!(refused(client.say("KD.JOIN general alice")));
    assert!(refused(client.say("KD.CHECK")));
    let wrong = client.say("AUTH wrong");
    assert!(
        matches!(&wrong, Value::Error(text) if text.starts_with("NOAUTH")),
        "{wrong:?}"
    );
    assert!(refused(client.say("KD.BADGE alice")));
    assert_eq!(
        client.command(&["AUTH", key]),
        Value::Simple("OK".to_owned())
    );
    assert_eq!(client.say("KD.JOIN general alice"), Value::Int(1));
    assert_eq!(client.say("RESET"), Value::Simple("RESET".to_owned()));
    assert!(refused(client.say("KD.BADGE alice")));

    let mut greeted = Client::connect(server.resp_address());
    let hello = greeted.command(&["HELLO", "3", "AUTH", "default", key, "SETNAME", "me"]);
    assert_eq!(hello.get("proto").number(), 3);
    assert_eq!(greeted.say("KD.BADGE alice").get("channels").number(), 0);
}

/// Runs a tool of Debian's `redis-tools` against the server; none = left out, a failure in CI.
fn tool(server: &Server, name: &str, args: &[&str]) -> Option<Output> {
    let port = server.resp_address().port().to_string();
    match Command::new(name)
        .args(["-h", "127.0.0.1", "-p", &port])
        .args(args)
        .output()
    {
        Ok(output) => Some(output),
        Err(why) => {
            assert!(!in_ci(), "{name}: {why}");
            println!("left out: {name}: {why}");
            None
        }
    }
}

fn said(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout.into_owned()
}

#[test]
fn redis_cli_shows_what_is_asked_in_both_versions() {
    let server = Server::dev();
    let Some(joined) = tool(
        &server,
        "redis-cli",
        &["KD.JOIN", "general", "alice", "bob"],
    ) else {
        return;
    };
    assert_eq!(said(&joined), "2\n");
    let ask = |args: &[&str]| said(&tool(&server, "redis-cli", args).unwrap());
    assert_eq!(ask(&["KD.POST", "general", "7", "BY", "alice"]), "1\n");
    assert!(ask(&["KD.BADGE", "bob"]).starts_with("unread\n1\nmentions\n0\n"));
    assert!(ask(&["-3", "KD.BADGE", "bob"]).contains("unread 1\nmentions 0\n"));
    assert!(ask(&["KD.ACK", "bob", "general", "0"]).starts_with("BADID"));
}

#[test]
fn redis_benchmark_runs_pings_and_acks() {
    let server = Server::dev();
    let pings = ["-t", "ping", "-n", "2000", "-c", "20", "-q"];
    let Some(pinged) = tool(&server, "redis-benchmark", &pings) else {
        return;
    };
    let text = said(&pinged);
    assert!(
        text.contains("PING_INLINE") && text.contains("PING_MBULK"),
        "{text}"
    );
    let acks = ["-n", "5000", "-c", "20", "-P", "16", "-r", "1000", "-q"];
    let acks = [
        &acks[..],
        &["KD.ACK", "user:__rand_int__", "general", "1__rand_int__"],
    ]
    .concat();
    let text = said(&tool(&server, "redis-benchmark", &acks).unwrap());
    assert!(text.contains("requests per second"), "{text}");
    assert!(!text.contains("rror"), "{text}");
}
