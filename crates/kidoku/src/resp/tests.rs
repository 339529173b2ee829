//! A server in this process, and raw sockets on it.

use crate::auth::{AuthMode, KeyRecord, Keys, Lock, Table};
use crate::config::Config;
use crate::server::{self, Running};
use kidoku_core::id::App;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A directory of its own that goes with the test.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kidoku-runtime-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A configuration with free ports.
pub(crate) fn config(dir: &Path, cores: u16) -> Config {
    let mut config = Config::with_data_dir(dir);
    config.cores = cores;
    config.dev = true;
    config.resp.listen.set_port(0);
    config.http.listen.set_port(0);
    config.admin.listen.set_port(0);
    config
}

pub(crate) fn start(config: Config) -> Running {
    let keys = Keys::open_dir(&config.data_dir, AuthMode::Dev).unwrap();
    server::start(config, Arc::new(keys)).unwrap()
}

/// A client that sends bytes and compares bytes.
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).unwrap())
    }

    /// The same, and the system keeps little of what is not read.
    pub(super) fn connect_small(address: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(32 << 10).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::on(socket.into())
    }

    fn on(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).unwrap();
    }

    /// Reads exactly this.
    pub(crate) fn expect(&mut self, expected: &str) {
        let mut got = vec![0; expected.len()];
        let mut filled = 0;
        while filled < got.len() {
            let count = self.0.read(&mut got[filled..]).unwrap();
            assert!(
                count > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&got[..filled])
            );
            filled += count;
            let (got, expected) = (&got[..filled], &expected.as_bytes()[..filled]);
            assert_eq!(
                String::from_utf8_lossy(got),
                String::from_utf8_lossy(expected)
            );
        }
    }

    pub(crate) fn check(&mut self, send: &str, expected: &str) {
        self.send(send);
        self.expect(expected);
    }

    /// One line, without its end.
    pub(super) fn line(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n") {
            let mut byte = [0];
            assert_eq!(self.0.read(&mut byte).unwrap(), 1, "closed");
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).unwrap().trim_end().to_owned()
    }

    /// Sends as far as the server takes it: one that refuses may close while we still send.
    pub(super) fn send_what_goes(&mut self, bytes: &str) {
        let _may_fail = self.0.write_all(bytes.as_bytes()).is_err();
    }

    /// Reads at most so much; false = the connection has ended.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let mut piece = vec![0; bytes];
        self.0.read(&mut piece).is_ok_and(|count| count > 0)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        String::from_utf8(bytes).unwrap()
    }
}

struct Server {
    running: Option<Running>,
    dir: TempDir,
}

impl Server {
    fn new(cores: u16) -> Self {
        let dir = TempDir::new();
        Self {
            running: Some(start(config(dir.path(), cores))),
            dir,
        }
    }

    fn with(cores: u16, change: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::new();
        let mut config = config(dir.path(), cores);
        change(&mut config);
        Self {
            running: Some(start(config)),
            dir,
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.running.as_ref().unwrap().addresses().resp)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.running.take().unwrap().wait().unwrap();
        }
        assert!(self.dir.path().exists());
    }
}

#[test]
fn ping_is_answered_alone_in_a_pipeline_and_inline() {
    let server = Server::new(1);
    let mut client = server.client();
    client.check("*1\r\n$4\r\nPING\r\n", "+PONG\r\n");
    client.check(
        "PING\r\nPING\r\nPING hi\r\n",
        "+PONG\r\n+PONG\r\n$2\r\nhi\r\n",
    );
    client.check("\r\n\r\nPING\r\n", "+PONG\r\n");
}

#[test]
fn a_request_in_single_bytes_is_answered_like_one_in_a_piece() {
    let server = Server::new(1);
    let mut client = server.client();
    for byte in "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n".chars() {
        client.send(&byte.to_string());
    }
    client.expect("$5\r\nhello\r\n");
}

#[test]
fn replies_come_in_the_order_of_requests_whatever_core_answers() {
    for cores in [1, 2, 4] {
        let server = Server::new(cores);
        let mut client = server.client();
        let (mut sent, mut expected) = (String::new(), String::new());
        for number in 1..=200 {
            sent.push_str(&format!("KD.JOIN room u{number}\r\n"));
            expected.push_str(":1\r\n");
        }
        for number in 1..=300 {
            sent.push_str(&format!(
                "KD.ACK u{} room {number}\r\nECHO {number}\r\n",
                number % 100 + 1
            ));
            let text = number.to_string();
            expected.push_str(&format!(":1\r\n${}\r\n{text}\r\n", text.len()));
        }
        client.check(&sent, &expected);
    }
}

#[test]
fn a_pipeline_has_the_effect_of_one_command_after_the_other() {
    for cores in [1, 2, 4] {
        let server = Server::new(cores);
        let mut client = server.client();
        let (mut sent, mut expected) = (String::new(), String::new());
        for number in 1..=50 {
            let channel = format!("c{number}");
            sent.push_str(&format!("KD.JOIN {channel} ada\r\nKD.POST {channel} 7\r\n"));
            sent.push_str(&format!(
                "KD.ACK ada {channel} 7\r\nKD.ACK ada {channel} 6\r\n"
            ));
            sent.push_str(&format!("KD.DELETE {channel} 7\r\n"));
            expected.push_str(":1\r\n:1\r\n:1\r\n:0\r\n:1\r\n");
        }
        client.check(&sent, &expected);
    }
}

#[test]
fn what_one_connection_was_told_another_one_sees() {
    let server = Server::new(2);
    let (mut writer, mut reader) = (server.client(), server.client());
    writer.check("KD.JOIN room ada\r\n", ":1\r\n");
    for number in 1..=50 {
        writer.check(&format!("KD.POST room {number}\r\n"), ":1\r\n");
        reader.send("KD.BADGE ada\r\n");
        let count = format!("*14\r\n$6\r\nunread\r\n:{number}\r\n");
        reader.expect(&count);
        reader.expect("$8\r\nmentions\r\n:0\r\n$8\r\nchannels\r\n:1\r\n");
        reader.expect(&format!("$14\r\nunmuted_unread\r\n:{number}\r\n"));
        reader.expect(
            "$16\r\nunmuted_mentions\r\n:0\r\n$16\r\nunmuted_channels\r\n:1\r\n$3\r\nrev\r\n",
        );
        let mut digits = [0; 4];
        reader.0.read_exact(&mut digits).unwrap();
        let length: usize = std::str::from_utf8(&digits[1..3])
            .map_or("", str::trim)
            .parse()
            .unwrap();
        let mut rev = vec![0; length + 3];
        reader.0.read_exact(&mut rev).unwrap();
        assert!(rev.ends_with(b"\r\n"), "{rev:?}");
    }
}

#[test]
fn a_reader_that_takes_nothing_for_a_while_gets_everything_in_the_end() {
    let server = Server::new(2);
    let mut client = server.client();
    let message = "x".repeat(10_000);
    let request = format!("*2\r\n$4\r\nECHO\r\n$10000\r\n{message}\r\n");
    let reply = format!("$10000\r\n{message}\r\n");
    // 40 MB: more than the sockets and the server's pause take.
    let count = 4_000;
    let mut sending = client.0.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for _ in 0..count {
            sending.write_all(request.as_bytes()).unwrap();
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..count {
        client.expect(&reply);
    }
    sender.join().unwrap();
}

#[test]
fn a_client_that_closes_its_sending_side_gets_all_answers_and_then_the_end() {
    let server = Server::new(2);
    let mut client = server.client();
    let mut expected = String::new();
    client.send("KD.JOIN room ada bob\r\n");
    expected.push_str(":2\r\n");
    for number in 1..=500 {
        client.send(&format!(
            "KD.POST room {number}\r\nKD.ACK ada room {number}\r\n"
        ));
        expected.push_str(":1\r\n:1\r\n");
    }
    client.send("*2\r\n$4\r\nECHO\r\n$5\r\nhal");
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), expected);
}

#[test]
fn a_request_over_a_limit_is_refused_with_the_limit_in_the_answer_and_the_connection_closed() {
    let server = Server::new(1);
    for (bytes, limit) in [
        ("*1000000000\r\n".to_owned(), "args_max"),
        ("*1\r\n$100000000\r\n".to_owned(), "bulk_bytes_max"),
        ("x".repeat(1 << 20), "inline_bytes_max"),
        (
            format!("*2\r\n$4\r\nECHO\r\n${}\r\n", "9".repeat(30)),
            "bulk_bytes_max",
        ),
        ("*1\r\n*1\r\n".repeat(50_000), "array inside an array"),
    ] {
        let mut client = server.client();
        client.check("PING\r\n", "+PONG\r\n");
        // The server may close while we still send.
        let _may_fail = client.0.write_all(bytes.as_bytes()).is_err();
        let answer = client.rest();
        assert!(
            answer.starts_with('-') && answer.contains(limit),
            "{answer}"
        );
        assert_eq!(answer.matches("\r\n").count(), 1, "{answer}");
    }
}

#[test]
fn a_wrong_command_is_answered_with_an_error_and_the_connection_goes_on() {
    let server = Server::new(2);
    let mut client = server.client();
    client.send("NOSUCH\r\nKD.ACK u c 0\r\nKD.ACK\r\nKD.ACK u c 1e3\r\nPING\r\n");
    let mut text = String::new();
    while !text.ends_with("+PONG\r\n") {
        let mut bytes = [0; 1024];
        let count = client.0.read(&mut bytes).unwrap();
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("-ERR unknown command"), "{text}");
    assert!(lines[1].starts_with("-BADID "), "{text}");
    assert!(
        lines[2].starts_with("-SYNTAX wrong number of arguments"),
        "{text}"
    );
    assert!(lines[3].starts_with("-BADID "), "{text}");
}

#[test]
fn hello_changes_the_protocol_from_its_own_reply_on() {
    let server = Server::new(2);
    let mut client = server.client();
    client.send("KD.JOIN room ada\r\nKD.CHANNEL room\r\nHELLO 3\r\nKD.CHANNEL room\r\nPING\r\n");
    client.expect(":1\r\n*6\r\n$5\r\nspace\r\n$-1\r\n$6\r\nparent\r\n$-1\r\n$8\r\nreceipts\r\n");
    client.expect("$4\r\nLIST\r\n%");
    let mut text = String::new();
    while !text.ends_with("+PONG\r\n") {
        let mut bytes = [0; 1024];
        let count = client.0.read(&mut bytes).unwrap();
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    let settings =
        "%3\r\n$5\r\nspace\r\n_\r\n$6\r\nparent\r\n_\r\n$8\r\nreceipts\r\n$4\r\nLIST\r\n";
    assert!(text.contains(settings), "{text}");
}

#[test]
fn quit_answers_and_closes_and_reset_starts_afresh() {
    let server = Server::new(1);
    let mut client = server.client();
    client.check(
        "CLIENT SETNAME bot\r\nCLIENT GETNAME\r\n",
        "+OK\r\n$3\r\nbot\r\n",
    );
    client.check("RESET\r\nCLIENT GETNAME\r\n", "+RESET\r\n$-1\r\n");
    client.send("QUIT\r\nPING\r\n");
    assert_eq!(client.rest(), "+OK\r\n");
}

#[test]
fn watching_needs_resp3_and_brings_pushes_with_absolute_numbers() {
    let server = Server::new(2);
    let mut client = server.client();
    client.send("KD.WATCH ada\r\n");
    client.expect("-SYNTAX KD.WATCH sends push frames");
    let mut watcher = server.client();
    watcher.send("HELLO 3\r\nKD.WATCH ada\r\n");
    let mut other = server.client();
    let mut seen = String::new();
    read_until(&mut watcher, &mut seen, "+OK\r\n");
    other.check("KD.JOIN room ada\r\nKD.POST room 5\r\n", ":1\r\n:1\r\n");
    read_until(&mut watcher, &mut seen, "$6\r\nunread\r\n:1\r\n");
    assert!(seen.contains(">3\r\n"), "{seen}");
    watcher.send("KD.UNWATCH\r\n");
    read_until(&mut watcher, &mut seen, "+OK\r\n");
    other.check("KD.POST room 6\r\n", ":1\r\n");
    watcher.send("PING\r\n");
    let mut after = String::new();
    read_until(&mut watcher, &mut after, "+PONG\r\n");
}

fn read_until(client: &mut Client, seen: &mut String, wanted: &str) {
    let from = seen.len();
    while !seen.get(from..).unwrap().contains(wanted) {
        let mut bytes = [0; 4096];
        let count = client.0.read(&mut bytes).unwrap();
        assert!(count > 0, "closed after {seen}");
        seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}

#[test]
fn opaque_ids_are_taken_and_given_back_as_they_are() {
    let server = Server::with(2, |config| {
        let opaque = crate::config::AppConfig {
            ids: crate::config::IdMode::Opaque,
        };
        config.apps.insert(App::default_app(), opaque);
    });
    let mut client = server.client();
    client.check(
        "KD.JOIN room ada\r\nKD.POST room $a:x\r\nKD.POST room $b:x\r\n",
        ":1\r\n:1\r\n:1\r\n",
    );
    client.check(
        "KD.POST room $a:x\r\nKD.ACK ada room $a:x\r\n",
        ":0\r\n:1\r\n",
    );
    client.send("KD.COUNT ada room\r\n");
    let mut seen = String::new();
    read_until(
        &mut client,
        &mut seen,
        "$15\r\nthreads_mentions\r\n:0\r\n".get(5..).unwrap(),
    );
    for part in [
        "unread\r\n:1\r\n",
        "first_unread\r\n$4\r\n$b:x\r\n",
        "cursor\r\n$4\r\n$a:x\r\n",
    ] {
        assert!(seen.contains(part), "{part:?} in {seen}");
    }
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = Server::with(2, |config| config.resp.connections_max = 2);
    let (mut first, mut second) = (server.client(), server.client());
    first.check("PING\r\n", "+PONG\r\n");
    second.check("PING\r\n", "+PONG\r\n");
    let answer = server.client().rest();
    assert!(answer.starts_with("-LIMIT 2 connections"), "{answer}");
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut client = server.client();
        client.send("PING\r\n");
        let mut byte = [0];
        if client.0.read(&mut byte).is_ok_and(|count| count == 1) && byte == *b"+" {
            break;
        }
        assert!(Instant::now() < deadline);
    }
}

/// A server that wants a key, and the key.
fn start_keyed(dir: &TempDir) -> (Running, String) {
    start_with_keys(keyed_config(dir), dir)
}

/// A configuration in which a key is wanted.
pub(super) fn keyed_config(dir: &TempDir) -> Config {
    let mut config = config(dir.path(), 2);
    config.dev = false;
    config
}

/// A server, and a key for it.
pub(super) fn start_with_keys(config: Config, dir: &TempDir) -> (Running, String) {
    let (record, text) =
        KeyRecord::new(App::default_app(), false, crate::auth::now(), None).unwrap();
    let lock = Lock::take(dir.path()).unwrap();
    let mut table = Table::read(dir.path()).unwrap();
    table.add(record);
    table.write(dir.path(), &lock).unwrap();
    drop(lock);
    let keys = Keys::open_dir(dir.path(), AuthMode::Keyed).unwrap();
    (
        server::start(config, Arc::new(keys)).unwrap(),
        text.as_str().to_owned(),
    )
}

#[test]
fn without_a_key_only_what_leads_to_one_is_allowed() {
    let dir = TempDir::new();
    let (running, key) = start_keyed(&dir);
    let mut client = Client::connect(running.addresses().resp);
    client.send("KD.ACK ada room 1\r\n");
    client.expect("-NOAUTH authentication required, send AUTH key or HELLO 3 AUTH app key\r\n");
    client.check(
        "AUTH nonsense\r\n",
        "-NOAUTH the key is not valid for this app\r\n",
    );
    client.check("PING\r\n", "+PONG\r\n");
    client.check(
        &format!("AUTH {key}\r\nKD.ACK ada room 1\r\n"),
        "+OK\r\n:1\r\n",
    );
    client.check(
        &format!("AUTH other {key}\r\n"),
        "-NOAUTH the key is not valid for this app\r\n",
    );
    client.check("RESET\r\n", "+RESET\r\n");
    client.send("KD.ACK ada room 2\r\n");
    client.expect("-NOAUTH");
    drop(client);
    running.wait().unwrap();
}

#[test]
fn check_recounts_and_finds_nothing_wrong() {
    let server = Server::new(2);
    let mut client = server.client();
    client.check(
        "KD.JOIN room ada bob\r\nKD.POST room 1 BY ada\r\n",
        ":2\r\n:1\r\n",
    );
    client.send("KD.CHECK\r\n");
    let mut seen = String::new();
    read_until(&mut client, &mut seen, "$10\r\nmismatches\r\n*0\r\n");
    assert!(seen.contains("mismatch_count\r\n:0\r\n"), "{seen}");
    assert!(seen.contains("read_states\r\n:2\r\n"), "{seen}");
}

fn open_connections(running: &Running) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(running.engine().status()).resp_connections
}

#[test]
fn who_gives_no_key_is_cut_off_after_a_while_and_who_does_is_not() {
    let dir = TempDir::new();
    let (running, key) = start_keyed(&dir);
    let mut keyed = Client::connect(running.addresses().resp);
    keyed.check(&format!("AUTH {key}\r\n"), "+OK\r\n");
    let mut silent = Client::connect(running.addresses().resp);
    assert_eq!(
        silent.rest(),
        "-LIMIT no key was given within 1 s (login_time_max)\r\n"
    );
    keyed.check("KD.ACK ada room 1\r\n", ":1\r\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    while open_connections(&running) > 1 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(keyed);
    running.wait().unwrap();
}

#[test]
fn who_takes_no_answers_is_cut_off_after_a_while() {
    let server = Server::new(1);
    let running = server.running.as_ref().unwrap();
    let mut client = server.client();
    client
        .0
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let request = format!("*2\r\n$4\r\nECHO\r\n$10000\r\n{}\r\n", "x".repeat(10_000));
    while client.0.write_all(request.as_bytes()).is_ok() {}
    let deadline = Instant::now() + Duration::from_secs(20);
    while open_connections(running) > 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_idle_connection_takes_less_than_a_kilobyte() {
    let seat = size_of::<crate::engine::line::Seat>();
    let size = size_of::<super::connection::Connection>() + seat;
    assert!(size <= 768, "{size}");
}
