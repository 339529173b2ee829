//! What a connection may take before and after it has given a key, at each limit and past it.

use super::limits::{COMMANDS_WITHOUT_KEY_MAX, without_key_max};
use super::tests::{Client, TempDir, config, keyed_config, start, start_with_keys};
use crate::config::{AppConfig, IdMode};
use crate::engine::pressure::BUFFER_BYTES_MAX;
use crate::metrics::DropReason;
use crate::server::Running;
use kidoku_core::id::App;
use kidoku_torture::certificates::Authority;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn dropped(running: &Running, wanted: DropReason) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let status = runtime.block_on(running.engine().status());
    status
        .resp
        .dropped()
        .find(|(reason, _)| *reason == wanted)
        .unwrap()
        .1
}

fn without_key(running: &Running) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let status = runtime.block_on(running.engine().status());
    status.resp.without_key()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn who_has_no_key_may_send_so_many_commands_and_not_one_more() {
    let dir = TempDir::new();
    let (running, key) = start_with_keys(keyed_config(&dir), &dir);
    let most = usize::try_from(COMMANDS_WITHOUT_KEY_MAX).unwrap();
    let mut client = Client::connect(running.addresses().resp);
    client.check(&"PING\r\n".repeat(most - 1), &"+PONG\r\n".repeat(most - 1));
    client.check(&format!("AUTH {key}\r\n"), "+OK\r\n");
    client.check(&"PING\r\n".repeat(most), &"+PONG\r\n".repeat(most));

    let mut client = Client::connect(running.addresses().resp);
    client.check(&"PING\r\n".repeat(most), &"+PONG\r\n".repeat(most));
    client.send(&format!("AUTH {key}\r\n"));
    assert_eq!(
        client.rest(),
        "-LIMIT 100 commands and no key (commands_without_key_max)\r\n"
    );
    assert_eq!(dropped(&running, DropReason::CommandsWithoutKey), 1);
    running.wait().unwrap();
}

#[test]
fn wrong_keys_and_what_is_no_command_count_too() {
    let dir = TempDir::new();
    let (running, _) = start_with_keys(keyed_config(&dir), &dir);
    let mut client = Client::connect(running.addresses().resp);
    client.send(&"AUTH nonsense\r\nNOSUCH\r\n".repeat(60));
    let answers = client.rest();
    assert_eq!(answers.matches("\r\n").count(), 101, "{answers}");
    assert!(answers.ends_with("(commands_without_key_max)\r\n"));
    running.wait().unwrap();
}

#[test]
fn connections_without_a_key_can_not_keep_out_those_that_have_one() {
    let dir = TempDir::new();
    let mut config = keyed_config(&dir);
    config.resp.connections_max = 8;
    assert_eq!(without_key_max(8), 2);
    let (running, key) = start_with_keys(config, &dir);
    let address = running.addresses().resp;
    let open = || {
        let mut client = Client::connect(address);
        client.check("PING\r\n", "+PONG\r\n");
        client
    };
    let (mut first, _second) = (open(), open());
    assert_eq!(without_key(&running), 2);
    assert_eq!(
        Client::connect(address).rest(),
        "-LIMIT 2 connections have given no key (connections_without_key_max)\r\n"
    );
    assert_eq!(dropped(&running, DropReason::WithoutKey), 1);
    first.check(&format!("AUTH {key}\r\n"), "+OK\r\n");
    let third = open();
    assert_eq!(without_key(&running), 2);
    first.check("RESET\r\n", "+RESET\r\n");
    assert_eq!(without_key(&running), 3);
    drop((first, third));
    wait_until("a place", || without_key(&running) == 1);
    drop(open());
    running.wait().unwrap();
}

#[test]
fn of_few_connections_one_may_be_without_a_key() {
    assert_eq!(without_key_max(1), 1);
    assert_eq!(without_key_max(7), 1);
    assert_eq!(without_key_max(100_000), 25_000);
}

#[test]
fn half_requests_over_what_buffers_may_hold_are_refused_and_their_memory_is_given_back() {
    let dir = TempDir::new();
    let running = start(config(dir.path(), 1));
    let address = running.addresses().resp;
    let argument = format!("$60000\r\n{}\r\n", "x".repeat(60_000));
    let half = format!("*16\r\n{}", argument.repeat(15));
    let mut clients = Vec::new();
    for _ in 0..BUFFER_BYTES_MAX / half.len() + 20 {
        let mut client = Client::connect(address);
        client.send_what_goes(&half);
        clients.push(client);
    }
    wait_until("a refusal", || dropped(&running, DropReason::Buffers) > 0);
    let busy = "-BUSY too much work is waiting, retry after 100 ms\r\n";
    assert_eq!(clients.pop().unwrap().rest(), busy);
    let mut good = Client::connect(address);
    good.check("KD.ACK ada room 1\r\n", ":1\r\n");
    drop(clients);
    wait_until("room", || {
        let mut client = Client::connect(address);
        client.send_what_goes(&format!("{half}$2\r\nhi\r\n"));
        let answer = client.line();
        assert!(answer.starts_with("-ERR unknown command") || busy.starts_with(&answer));
        answer.starts_with("-ERR unknown command")
    });
    drop(good);
    running.wait().unwrap();
}

/// Users of one channel whose events a connection gets: as many as it may watch.
const WATCHED: usize = 1_000;

/// A connection that watches all members of channel `room`.
fn watcher(address: SocketAddr) -> Client {
    let users: Vec<String> = (0..WATCHED).map(|number| format!("u{number}")).collect();
    let users = users.join(" ");
    let mut client = Client::connect_small(address);
    client.check(
        &format!("KD.JOIN room {users}\r\n"),
        &format!(":{WATCHED}\r\n"),
    );
    client.send(&format!("HELLO 3\r\nKD.WATCH {users}\r\n"));
    while client.line() != "+OK" {}
    client
}

/// Posts to `room` until the watcher has been cut off for `reason`. Events of many users come behind
/// the answer, and several posts that are close together make one event of a user.
fn post_until_dropped(running: &Running, prefix: &str, reason: DropReason) {
    let mut poster = Client::connect(running.addresses().resp);
    let begun = Instant::now();
    for id in 1.. {
        poster.check(&format!("KD.POST room {prefix}{id}\r\n"), ":1\r\n");
        if dropped(running, reason) > 0 {
            return;
        }
        let stalled = dropped(running, DropReason::Stall);
        assert_eq!(stalled, 0, "it is cut off for reading nothing");
        assert!(begun.elapsed() < Duration::from_secs(60), "{id} posts");
    }
}

#[test]
fn a_watcher_that_takes_too_little_of_its_events_is_cut_off() {
    let dir = TempDir::new();
    let running = start(config(dir.path(), 1));
    let mut slow = watcher(running.addresses().resp);
    // It reads, so that it is not for reading nothing that it is cut off.
    let reader = std::thread::spawn(move || {
        while slow.take(64 << 10) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    post_until_dropped(&running, "", DropReason::Output);
    reader.join().unwrap();
    running.wait().unwrap();
}

#[test]
fn a_watcher_with_too_many_events_whose_ids_are_not_looked_up_is_cut_off() {
    let dir = TempDir::new();
    let mut config = config(dir.path(), 1);
    let opaque = AppConfig {
        ids: IdMode::Opaque,
    };
    config.apps.insert(App::default_app(), opaque);
    let running = start(config);
    let mut watching = watcher(running.addresses().resp);
    let reader = std::thread::spawn(move || while watching.take(1 << 20) {});
    post_until_dropped(&running, "$m:", DropReason::Output);
    reader.join().unwrap();
    running.wait().unwrap();
}

/// A server with TLS.
fn start_secure(dir: &TempDir, mut config: crate::config::Config) -> Running {
    let own = Authority::new(dir.path(), "ca").issue("own");
    config.tls.cert = Some(own.cert);
    config.tls.key = Some(own.key);
    if config.dev {
        return start(config);
    }
    start_with_keys(config, dir).0
}

#[test]
fn connections_in_their_handshake_count_as_ones_without_a_key() {
    let dir = TempDir::new();
    let mut config = keyed_config(&dir);
    config.resp.connections_max = 8;
    let running = start_secure(&dir, config);
    let address = running.addresses().resp;
    let silent = [Client::connect(address), Client::connect(address)];
    wait_until("two handshakes", || without_key(&running) == 2);
    assert_eq!(Client::connect(address).rest(), "");
    assert_eq!(dropped(&running, DropReason::WithoutKey), 1);
    drop(silent);
    wait_until("their places", || without_key(&running) == 0);
    running.wait().unwrap();
}

#[test]
fn with_tls_a_connection_too_many_is_closed_without_a_word_and_counted() {
    let dir = TempDir::new();
    let mut config = config(dir.path(), 1);
    config.resp.connections_max = 2;
    let running = start_secure(&dir, config);
    let address = running.addresses().resp;
    let silent = [Client::connect(address), Client::connect(address)];
    // Neither a line that is no TLS nor a handshake, which is what somebody else has to wait for.
    assert_eq!(Client::connect(address).rest(), "");
    assert_eq!(dropped(&running, DropReason::Connections), 1);
    drop(silent);
    running.wait().unwrap();
}
