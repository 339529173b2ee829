//! Start, stop, start again.

use super::bind::Bound;
use super::repair::{Damage, repair};
use super::waiting::{Acceptors, Progress, WaitingRoom};
use super::{StartError, StorageFault, start};
use crate::auth::{AuthMode, Keys};
use crate::config::Durability;
use crate::net::tls::Acceptor;
use crate::resp::tests::{Client, TempDir, config};
use kidoku_core::id::{App, ChannelKey, MessageId, UserKey};
use kidoku_core::reply::Reply;
use kidoku_core::request::{JoinAt, MentionList, Post, Request};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

fn keys(dir: &TempDir) -> Arc<Keys> {
    Arc::new(Keys::open_dir(dir.path(), AuthMode::Dev).unwrap())
}

#[test]
fn what_was_acknowledged_is_there_after_a_stop_and_after_a_crash() {
    let dir = TempDir::new();
    for round in 1..=4_u32 {
        let mut settings = config(dir.path(), 1 + u16::try_from(round).unwrap() % 3);
        settings.durability = if round == 3 {
            Durability::Memory
        } else {
            Durability::Sync
        };
        let running = start(settings, keys(&dir)).unwrap();
        let mut client = Client::connect(running.addresses().resp);
        let joined = u8::from(round == 1);
        client.check("KD.JOIN room ada\r\n", &format!(":{joined}\r\n"));
        client.check(&format!("KD.POST room {round}\r\n"), ":1\r\n");
        let count = format!("*1\r\n*20\r\n$6\r\nunread\r\n:{round}\r\n");
        client.check("KD.COUNT ada room\r\n", &count);
        if round % 2 == 0 {
            drop(running);
        } else {
            drop(client);
            running.wait().unwrap();
        }
    }
}

#[test]
fn a_directory_serves_one_server_and_says_so_to_the_second() {
    let dir = TempDir::new();
    let running = start(config(dir.path(), 1), keys(&dir)).unwrap();
    let error = start(config(dir.path(), 1), keys(&dir)).unwrap_err();
    assert!(
        matches!(&error, StartError::Storage(StorageFault::InUse { .. })),
        "{error}"
    );
    running.wait().unwrap();
    start(config(dir.path(), 1), keys(&dir))
        .unwrap()
        .wait()
        .unwrap();
}

/// Everything a server says to these bytes until it hangs up.
fn said_to(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn while_the_log_is_read_every_port_says_how_far_it_is() {
    let dir = TempDir::new();
    let settings = config(dir.path(), 2);
    let bound = Bound::new(&settings).unwrap();
    let addresses = bound.addresses(&settings);
    let listeners = bound.listen().unwrap();
    let progress = Arc::new(Progress::default());
    progress.begin(1_000);
    progress.set(7, 250);
    let acceptors = Acceptors {
        resp: Acceptor::plain(),
        http: Acceptor::plain(),
        admin: Acceptor::plain(),
    };
    let room = WaitingRoom::open(&listeners, acceptors, progress).unwrap();
    let text = "reading the log: 250 of 1000 bytes, 7 facts";
    for request in ["PING\r\n", "*2\r\n$8\r\nKD.COUNT\r\n$3\r\nada\r\n"] {
        let said = said_to(addresses.resp, request.as_bytes());
        assert_eq!(said, format!("-TRYAGAIN {text}\r\n"));
    }
    let get = |address, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        said_to(address, request.as_bytes())
    };
    let refused = get(addresses.http, "/v1/users/ada/badge");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(
        refused.contains(text) && refused.contains("TRYAGAIN"),
        "{refused}"
    );
    let live = get(addresses.admin, "/livez");
    assert!(
        live.starts_with("HTTP/1.1 200 ") && live.ends_with("ok\n"),
        "{live}"
    );
    let ready = get(addresses.admin, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(
        ready.contains(&format!("\"reasons\":[\"{text}\"]")),
        "{ready}"
    );
    assert!(get(addresses.admin, "/metrics").starts_with("HTTP/1.1 503 "));
    // Who comes after it has closed waits for whoever takes the listeners over.
    drop(room);
    let waiting = TcpStream::connect(addresses.resp).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let nothing = (&waiting).read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    drop(listeners);
}

#[test]
fn the_addresses_are_in_the_directory_while_the_server_runs() {
    let dir = TempDir::new();
    let path = dir.path().join("addresses.json");
    let running = start(config(dir.path(), 2), keys(&dir)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["resp"], running.addresses().resp.to_string());
    assert_eq!(json["http"], running.addresses().http.to_string());
    assert_eq!(json["admin"], running.addresses().admin.to_string());
    running.wait().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_port_in_use_is_a_bind_error_that_names_the_setting() {
    let (dir, other) = (TempDir::new(), TempDir::new());
    let running = start(config(dir.path(), 1), keys(&dir)).unwrap();
    let mut settings = config(other.path(), 1);
    settings.http.listen = running.addresses().http;
    let error = start(settings, keys(&other)).unwrap_err();
    assert!(
        matches!(
            error,
            StartError::Bind {
                setting: "http.listen",
                ..
            }
        ),
        "{error}"
    );
    running.wait().unwrap();
}

#[test]
fn calls_of_one_batch_have_the_effect_of_one_after_the_other() {
    let dir = TempDir::new();
    let running = start(config(dir.path(), 3), keys(&dir)).unwrap();
    let app = App::default_app();
    let user = |number: u64| UserKey::new(&app, &format!("u{number}")).unwrap();
    let channel = |number: u64| ChannelKey::new(&app, &format!("c{number}")).unwrap();
    let id = |number: u64| MessageId::new(number).unwrap();
    let mut requests = Vec::new();
    for number in 1..=6_000 {
        let channel = channel(number % 7);
        let user = user(number % 500);
        let post = Post {
            id: id(number),
            author: None,
            noack: false,
            silent: false,
            mentions: MentionList::default(),
        };
        let users = vec![user.clone()];
        requests.push(Request::Join {
            channel: channel.clone(),
            users,
            at: JoinAt::Start,
        });
        requests.push(Request::Post {
            channel: channel.clone(),
            post,
        });
        if number % 10 == 0 {
            let (era, private, count) = (None, false, false);
            requests.push(Request::Ack {
                user,
                channel,
                id: id(number),
                era,
                private,
                count,
            });
        }
    }
    let acks = requests
        .iter()
        .enumerate()
        .filter(|(_, request)| matches!(request, Request::Ack { .. }));
    let acks: Vec<_> = acks.map(|(index, _)| index).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let replies = runtime.block_on(running.engine().call_many(requests));
    assert!(replies.iter().all(Result::is_ok));
    for index in acks {
        assert_eq!(replies[index], Ok(Reply::Number(1)));
        assert_eq!(replies[index - 1], Ok(Reply::Number(1)));
    }
    let status = runtime.block_on(running.engine().status());
    assert!(status.not_ready.is_empty());
    assert_eq!(status.shards.len(), 3);
    assert_eq!(status.durable_lsn, status.appended_lsn);
    let page = runtime
        .block_on(running.engine().scan(app.clone(), None))
        .unwrap();
    assert!(!page.facts.is_empty());
    assert!(page.skipped.is_empty());
    running.wait().unwrap();
}

#[test]
fn while_the_log_fails_writes_are_refused_and_reads_answered_and_then_all_goes_on() {
    let dir = TempDir::new();
    let running = start(config(dir.path(), 2), keys(&dir)).unwrap();
    let mut client = Client::connect(running.addresses().resp);
    client.check("KD.JOIN room ada\r\nKD.POST room 1\r\n", ":1\r\n:1\r\n");
    running.shared.publish_failing(Some("disk full".to_owned()));
    let refused = "-DISKFULL the disk takes no writes, see the server's /readyz\r\n";
    client.check("KD.ACK ada room 1\r\n", refused);
    client.check(
        "KD.COUNT ada room\r\n",
        "*1\r\n*20\r\n$6\r\nunread\r\n:1\r\n",
    );
    running.shared.publish_failing(None);
    let mut client = Client::connect(running.addresses().resp);
    client.check("KD.ACK ada room 1\r\n", ":1\r\n");
    drop(client);
    running.wait().unwrap();
}

#[test]
fn a_stop_answers_what_was_asked_before() {
    let dir = TempDir::new();
    let running = start(config(dir.path(), 2), keys(&dir)).unwrap();
    let mut client = Client::connect(running.addresses().resp);
    client.check("KD.JOIN room ada\r\nKD.POST room 1\r\n", ":1\r\n:1\r\n");
    let mut expected = String::new();
    for number in 2..=200 {
        client.send(&format!("KD.POST room {number}\r\n"));
        expected.push_str(":1\r\n");
    }
    client.expect(":1\r\n");
    running.shutdown();
    running.wait().unwrap();
    let rest = client.rest();
    assert!(expected.starts_with(&rest), "{rest}");
    let again = start(config(dir.path(), 2), keys(&dir)).unwrap();
    let acknowledged = 2 + rest.len() / 4;
    let mut client = Client::connect(again.addresses().resp);
    for number in 1..=acknowledged {
        client.check(&format!("KD.POST room {number}\r\n"), ":0\r\n");
    }
    drop(client);
    again.wait().unwrap();
}

#[test]
fn a_repair_wants_a_stopped_server_and_finds_nothing_in_a_sound_store() {
    let dir = TempDir::new();
    let settings = config(dir.path(), 1);
    let missing = repair(&settings, Damage::List).unwrap_err();
    assert!(missing.to_string().contains("store"), "{missing}");
    let running = start(settings.clone(), keys(&dir)).unwrap();
    let mut client = Client::connect(running.addresses().resp);
    client.check("KD.JOIN room ada\r\n", ":1\r\n");
    drop(client);
    let error = repair(&settings, Damage::List).unwrap_err();
    assert!(
        matches!(&error, StartError::Storage(StorageFault::InUse { .. })),
        "{error}"
    );
    running.wait().unwrap();
    for damage in [Damage::List, Damage::Accept] {
        let found = repair(&settings, damage).unwrap();
        assert_eq!((found.rows.rows, found.rows.damaged), (2, 0), "{found:?}");
        assert!(found.notes.is_empty(), "{found:?}");
    }
}
