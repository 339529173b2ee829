//! The limits of a connection, at them and past them, over real sockets: HTTP/1.1 as text, HTTP/2 as
//! frames written here, so that a mistake in the library can not hide in both ends.

use super::{Port, serve};
use crate::engine::shared::Phase;
use crate::metrics::Connections;
use crate::net::limits::{
    H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX, HEAD_BYTES_MAX, HEADER_LIST_BYTES_MAX, HEADERS_MAX,
    Times,
};
use crate::net::tls::Acceptor;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{get, post};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Never, as far as a test goes.
const NEVER: Duration = Duration::from_secs(3_600);

/// A limit that a test waits for,
const SHORT: Duration = Duration::from_secs(1);

/// and a wait that stays well below it.
const BELOW: Duration = Duration::from_millis(100);

const UNLIMITED: Times = Times {
    handshake: NEVER,
    first_request: NEVER,
    head: NEVER,
    idle: NEVER,
    idle_without_key: NEVER,
    body_stall: NEVER,
    write_stall: NEVER,
    ping_interval: NEVER,
    ping_timeout: NEVER,
};

/// More than the buffers of both ends of a loopback connection.
const LARGE_BYTES: usize = 32 << 20;

fn routes() -> Router {
    let large = || async { Body::from(vec![b'x'; LARGE_BYTES]) };
    let echo = |body: Body| async move {
        match axum::body::to_bytes(body, usize::MAX).await {
            Ok(bytes) => (StatusCode::OK, bytes),
            Err(error) => (StatusCode::BAD_REQUEST, Bytes::from(error.to_string())),
        }
    };
    let slow = || async {
        tokio::time::sleep(3 * SHORT).await;
        "slow"
    };
    Router::new()
        .route("/", get(async || "here"))
        .route("/locked", get(async || StatusCode::UNAUTHORIZED))
        .route("/large", get(large))
        .route("/slow", get(slow))
        .route("/echo", post(echo))
}

struct Served {
    address: SocketAddr,
    connections: Arc<Connections>,
    phase: watch::Sender<Phase>,
}

/// Serves on a thread of its own, until the test program ends.
fn served(times: Times) -> Served {
    served_up_to(times, 1_000)
}

fn served_up_to(times: Times, connections_max: usize) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::<Connections>::default();
    let (phase, follows) = watch::channel(Phase::Running);
    let port = Port {
        router: routes(),
        connections: Arc::clone(&connections),
        connections_max,
        times,
        acceptor: Acceptor::plain(),
        phase: Some(follows),
    };
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            serve(listener, port).await.unwrap();
            // Connections go on after the listener.
            std::future::pending::<()>().await;
        });
    });
    Served {
        address,
        connections,
        phase,
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits for the other end to hang up; how long that took.
fn until_closed(stream: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("still open after {PATIENCE:?}: {error}"),
    }
    begun.elapsed()
}

/// Sends a request and reads one answer with a body of known length: its status and its body.
fn ask(stream: &mut TcpStream, head: &str) -> (u16, String) {
    stream.write_all(head.as_bytes()).unwrap();
    answer(stream)
}

fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap_or("0").trim().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, String::from_utf8(body).unwrap())
}

const HERE: &str = "GET / HTTP/1.1\r\nhost: k\r\n\r\n";

#[test]
fn a_silent_connection_ends_when_its_first_request_is_due() {
    let server = served(Times {
        first_request: SHORT,
        ..UNLIMITED
    });
    let mut silent = connect(server.address);
    assert!(until_closed(&mut silent) >= BELOW);
    // One that begins a head, or an HTTP/2 connection without a request, gets no longer.
    let mut begun = connect(server.address);
    begun.write_all(b"GET / HT").unwrap();
    assert!(until_closed(&mut begun) >= BELOW);
    let mut h2 = H2::open(server.address);
    assert!(until_closed(&mut h2.stream) >= BELOW);
    // And one that asks in time stays.
    let mut good = connect(server.address);
    std::thread::sleep(BELOW);
    assert_eq!(ask(&mut good, HERE).0, 200);
    std::thread::sleep(2 * SHORT);
    assert_eq!(ask(&mut good, HERE).0, 200);
}

#[test]
fn a_head_has_its_time_from_its_first_byte() {
    let server = served(Times {
        head: SHORT,
        ..UNLIMITED
    });
    let mut stream = connect(server.address);
    // Before its first byte it has all the time.
    std::thread::sleep(2 * SHORT);
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    std::thread::sleep(BELOW);
    assert_eq!(ask(&mut stream, "host: k\r\n\r\n").0, 200);
    std::thread::sleep(2 * SHORT);
    assert_eq!(ask(&mut stream, HERE).0, 200);
    // Byte by byte does not make it longer.
    let begun = Instant::now();
    let mut drips = HERE.bytes().chain(std::iter::repeat(b'x'));
    while stream.write_all(&[drips.next().unwrap()]).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "a slow head is read for ever");
        std::thread::sleep(BELOW);
    }
    assert!(begun.elapsed() >= SHORT);
}

#[test]
fn an_idle_connection_is_kept_for_a_while_and_a_shorter_one_without_a_key() {
    let server = served(Times {
        idle: 3 * SHORT,
        idle_without_key: SHORT,
        ..UNLIMITED
    });
    let mut stream = connect(server.address);
    assert_eq!(ask(&mut stream, HERE).0, 200);
    std::thread::sleep(SHORT + BELOW);
    assert_eq!(ask(&mut stream, HERE).0, 200);
    assert!(until_closed(&mut stream) >= SHORT + BELOW);
    let mut stranger = connect(server.address);
    let locked = HERE.replace("GET /", "GET /locked");
    assert_eq!(ask(&mut stranger, &locked).0, 401);
    assert!(until_closed(&mut stranger) < 3 * SHORT);
    let mut stranger = H2::open(server.address);
    stranger.ask(1, "/locked", &[]);
    assert_eq!(stranger.answer(1).0, 401);
    let took = until_closed(&mut stranger.stream);
    assert!(took >= BELOW && took < 3 * SHORT, "{took:?}");
    let mut h2 = H2::open(server.address);
    h2.ask(1, "/", &[]);
    assert_eq!(h2.answer(1), (200, b"here".to_vec()));
    assert!(until_closed(&mut h2.stream) >= SHORT);
}

#[test]
fn a_request_takes_as_long_as_its_answer() {
    let server = served(Times {
        first_request: SHORT,
        head: SHORT,
        idle: SHORT,
        idle_without_key: SHORT,
        body_stall: SHORT,
        write_stall: SHORT,
        ..UNLIMITED
    });
    let slow = HERE.replace("GET /", "GET /slow");
    assert_eq!(
        ask(&mut connect(server.address), &slow),
        (200, "slow".to_owned())
    );
    let mut h2 = H2::open(server.address);
    h2.ask(1, "/slow", &[]);
    assert_eq!(h2.answer(1), (200, b"slow".to_vec()));
}

#[test]
fn a_body_must_go_on_coming() {
    let server = served(Times {
        body_stall: SHORT,
        ..UNLIMITED
    });
    let head = "POST /echo HTTP/1.1\r\nhost: k\r\ncontent-length: 5\r\n\r\n";
    let mut stream = connect(server.address);
    stream.write_all(head.as_bytes()).unwrap();
    for byte in b"abcde" {
        std::thread::sleep(BELOW);
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(answer(&mut stream), (200, "abcde".to_owned()));
    let mut stalled = connect(server.address);
    let (status, why) = ask(&mut stalled, head);
    assert_eq!(status, 400);
    assert!(why.contains("nothing came for 1 seconds"), "{why}");
    let mut h2 = H2::open(server.address);
    h2.begin(1, "POST", "/echo", &[]);
    let (status, why) = h2.answer(1);
    assert_eq!(status, 400);
    assert!(String::from_utf8(why).unwrap().contains("nothing came"));
}

#[test]
fn an_answer_must_go_on_being_taken() {
    let server = served(Times {
        write_stall: SHORT,
        ..UNLIMITED
    });
    let large = HERE.replace("GET /", "GET /large");
    let mut stream = connect(server.address);
    stream.write_all(large.as_bytes()).unwrap();
    // A slow reader gets all of it: something is taken in every while.
    let mut read = 0;
    let mut piece = vec![0; 1 << 20];
    while read < LARGE_BYTES {
        std::thread::sleep(Duration::from_millis(5));
        read += stream.read(&mut piece).unwrap();
    }
    let mut never = connect(server.address);
    never.write_all(large.as_bytes()).unwrap();
    // One that takes nothing over HTTP/2 fills no socket; the protocol's own window stops it.
    let mut h2 = H2::open(server.address);
    h2.ask(1, "/large", &[]);
    drop(stream);
    let begun = Instant::now();
    while server.connections.open() > 0 {
        assert!(begun.elapsed() < PATIENCE, "they are served for ever");
        std::thread::sleep(BELOW);
    }
    assert!(begun.elapsed() >= BELOW);
}

#[test]
fn a_head_has_at_most_16_kib_and_100_headers() {
    let server = served(UNLIMITED);
    let head_of = |bytes: usize| {
        let begin = "GET / HTTP/1.1\r\nhost: k\r\nx: ";
        let filler = "a".repeat(bytes - begin.len() - 4);
        format!("{begin}{filler}\r\n\r\n")
    };
    let full = head_of(HEAD_BYTES_MAX);
    assert_eq!(full.len(), HEAD_BYTES_MAX);
    assert_eq!(ask(&mut connect(server.address), &full).0, 200);
    let over = head_of(HEAD_BYTES_MAX + 1);
    assert_eq!(ask(&mut connect(server.address), &over).0, 431);
    let headers = |count: usize| {
        let more: String = (1..count).map(|n| format!("x{n}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nhost: k\r\n{more}\r\n")
    };
    assert_eq!(
        ask(&mut connect(server.address), &headers(HEADERS_MAX)).0,
        200
    );
    assert_eq!(
        ask(&mut connect(server.address), &headers(HEADERS_MAX + 1)).0,
        431
    );
}

#[test]
fn a_head_may_come_in_any_pieces_and_with_what_follows_it() {
    let server = served(UNLIMITED);
    let post = "POST /echo HTTP/1.1\r\nhost: k\r\ncontent-length: 3\r\n\r\nabc";
    for end in 1..post.len() {
        let mut stream = connect(server.address);
        stream.set_nodelay(true).unwrap();
        let (first, rest) = post.split_at(end);
        stream.write_all(first.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(ask(&mut stream, rest), (200, "abc".to_owned()), "{end}");
    }
    // Two requests at once, and one whose lines end as they should not.
    let mut stream = connect(server.address);
    assert_eq!(ask(&mut stream, &format!("{post}{HERE}")).0, 200);
    assert_eq!(answer(&mut stream), (200, "here".to_owned()));
    let bare = HERE.replace('\r', "");
    assert_eq!(ask(&mut connect(server.address), &bare).0, 200);
}

#[test]
fn an_http2_request_has_at_most_16_kib_of_headers() {
    let server = served(UNLIMITED);
    // What the headers that every request here has count for, and 32 for the one that fills up.
    let own = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "k"),
    ];
    let own: usize = own
        .iter()
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum();
    let room = usize::try_from(HEADER_LIST_BYTES_MAX).unwrap() - own - 32 - "x".len();
    let mut h2 = H2::open(server.address);
    h2.ask(1, "/", &[("x", &"a".repeat(room))]);
    assert_eq!(h2.answer(1).0, 200);
    h2.ask(3, "/", &[("x", &"a".repeat(room + 1))]);
    assert_eq!(h2.answer(3).0, 431);
    // The connection goes on.
    h2.ask(5, "/", &[]);
    assert_eq!(h2.answer(5).0, 200);
}

#[test]
fn what_is_wrong_with_the_first_of_a_body_is_told_before_the_answer() {
    let server = served(UNLIMITED);
    let mut h2 = H2::open(server.address);
    h2.begin(1, "GET", "/", &[("content-length", "1")]);
    // Long enough for an answer, if it did not wait.
    std::thread::sleep(BELOW);
    h2.send(DATA, END_STREAM, 1, b"too long");
    let reset = h2.next();
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1));
    assert_eq!(reset.payload, 1_u32.to_be_bytes(), "PROTOCOL_ERROR");
    // One that never ends is answered all the same, and one that is right at once.
    h2.begin(3, "GET", "/", &[]);
    assert_eq!(h2.answer(3), (200, b"here".to_vec()));
    h2.begin(5, "GET", "/", &[]);
    h2.send(DATA, END_STREAM, 5, b"nobody reads this");
    assert_eq!(h2.answer(5), (200, b"here".to_vec()));
}

#[test]
fn an_http2_connection_has_100_requests_under_way_and_not_101() {
    let server = served(UNLIMITED);
    let mut h2 = H2::open(server.address);
    let ids = (0..H2_STREAMS_MAX).map(|n| 2 * n + 1);
    for id in ids.clone() {
        h2.begin(id, "POST", "/echo", &[]);
    }
    let over = 2 * H2_STREAMS_MAX + 1;
    h2.begin(over, "POST", "/echo", &[]);
    let refused = h2.next();
    assert_eq!((refused.kind, refused.stream), (RST_STREAM, over));
    assert_eq!(refused.payload, 7_u32.to_be_bytes(), "REFUSED_STREAM");
    for id in ids {
        h2.send(DATA, END_STREAM, id, b"done");
    }
    assert_eq!(h2.answer(1), (200, b"done".to_vec()));
}

#[test]
fn an_http2_connection_is_told_its_windows() {
    let server = served(UNLIMITED);
    let h2 = H2::open(server.address);
    let setting = |id: u16| {
        let found = h2
            .settings
            .chunks(6)
            .find(|one| one[..2] == id.to_be_bytes());
        found.map(|one| u32::from_be_bytes(one[2..].try_into().unwrap()))
    };
    assert_eq!(setting(3), Some(H2_STREAMS_MAX));
    assert_eq!(setting(4), Some(H2_STREAM_WINDOW_BYTES));
    assert_eq!(setting(6), Some(HEADER_LIST_BYTES_MAX + 1));
}

#[test]
fn a_silent_http2_connection_is_pinged_and_ends_when_it_does_not_answer() {
    let server = served(Times {
        ping_interval: SHORT,
        ping_timeout: SHORT,
        ..UNLIMITED
    });
    let mut h2 = H2::open(server.address);
    h2.ask(1, "/", &[]);
    h2.answer(1);
    for _ in 0..3 {
        let ping = h2.next();
        assert_eq!((ping.kind, ping.flags), (PING, 0));
        h2.send(PING, ACK, 0, &ping.payload);
    }
    assert_eq!(h2.next().kind, PING);
    assert!(until_closed(&mut h2.stream) >= BELOW);
}

#[test]
fn connections_over_the_limit_are_closed_at_once() {
    let server = served_up_to(UNLIMITED, 2);
    let mut first = connect(server.address);
    let mut second = connect(server.address);
    assert_eq!(ask(&mut first, HERE).0, 200);
    assert_eq!(ask(&mut second, HERE).0, 200);
    until_closed(&mut connect(server.address));
    assert_eq!(server.connections.refused(), 1);
    drop(first);
    while server.connections.open() > 1 {
        std::thread::yield_now();
    }
    assert_eq!(ask(&mut connect(server.address), HERE).0, 200);
}

#[test]
fn when_the_server_drains_answers_are_given_and_silent_connections_end() {
    let server = served(UNLIMITED);
    let (mut silent, mut idle) = (connect(server.address), connect(server.address));
    assert_eq!(ask(&mut idle, HERE).0, 200);
    let mut h2_idle = H2::open(server.address);
    let mut h2 = H2::open(server.address);
    h2.ask(1, "/slow", &[]);
    let mut busy = connect(server.address);
    busy.write_all(HERE.replace("GET /", "GET /slow").as_bytes())
        .unwrap();
    while server.connections.open() < 5 {
        std::thread::yield_now();
    }
    std::thread::sleep(BELOW);
    server.phase.send_replace(Phase::Draining);
    until_closed(&mut silent);
    until_closed(&mut idle);
    h2_idle.take_leave();
    until_closed(&mut h2_idle.stream);
    assert_eq!(answer(&mut busy), (200, "slow".to_owned()));
    until_closed(&mut busy);
    h2.take_leave();
    assert_eq!(h2.answer(1), (200, b"slow".to_vec()));
    until_closed(&mut h2.stream);
    let begun = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it still listens");
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The client's end of an HTTP/2 connection (RFC 9113).
struct H2 {
    stream: TcpStream,
    /// What the server set, as it came.
    settings: Vec<u8>,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl H2 {
    fn open(address: SocketAddr) -> Self {
        let mut h2 = Self {
            stream: connect(address),
            settings: Vec::new(),
        };
        h2.stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        h2.send(SETTINGS, 0, 0, &[]);
        let settings = h2.read();
        assert_eq!((settings.kind, settings.flags), (SETTINGS, 0));
        h2.settings = settings.payload;
        h2.send(SETTINGS, ACK, 0, &[]);
        h2
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).unwrap();
    }

    /// Begins a request whose body follows.
    fn begin(&mut self, stream: u32, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.headers(0, stream, method, path, headers);
    }

    /// Sends a request without a body.
    fn ask(&mut self, stream: u32, path: &str, headers: &[(&str, &str)]) {
        self.headers(END_STREAM, stream, "GET", path, headers);
    }

    fn headers(
        &mut self,
        flags: u8,
        stream: u32,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) {
        let own = [
            (":method", method),
            (":scheme", "http"),
            (":path", path),
            (":authority", "k"),
        ];
        let mut block = Vec::new();
        for (name, value) in own.iter().chain(headers) {
            // A literal that is not put into the table (RFC 7541, section 6.2.2).
            block.push(0);
            for text in [name, value] {
                write_length(&mut block, text.len());
                block.extend(text.bytes());
            }
        }
        let mut pieces = block.chunks(16_384);
        let first = pieces.next().unwrap();
        let rest: Vec<&[u8]> = pieces.collect();
        let whole = if rest.is_empty() { END_HEADERS } else { 0 };
        self.send(HEADERS, flags | whole, stream, first);
        for (n, piece) in rest.iter().enumerate() {
            let last = if n + 1 == rest.len() { END_HEADERS } else { 0 };
            self.send(CONTINUATION, last, stream, piece);
        }
    }

    fn read(&mut self) -> Frame {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
            payload,
        }
    }

    /// The next frame that says something here.
    fn next(&mut self) -> Frame {
        loop {
            let frame = self.read();
            if frame.kind != SETTINGS && frame.kind != WINDOW_UPDATE {
                return frame;
            }
        }
    }

    /// The server says that it goes, and asks whether that has arrived.
    fn take_leave(&mut self) {
        assert_eq!(self.next().kind, GOAWAY);
        let ping = self.next();
        assert_eq!(ping.kind, PING);
        self.send(PING, ACK, 0, &ping.payload);
    }

    /// Status and body of the answer to one request; those of others are passed over.
    fn answer(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let frame = self.next();
            if frame.stream != stream || frame.kind == GOAWAY {
                continue;
            }
            match frame.kind {
                HEADERS => status = status_of(&frame.payload),
                DATA => body.extend(&frame.payload),
                kind => panic!("frame {kind}: {:?}", frame.payload),
            }
            if frame.flags & END_STREAM != 0 {
                return (status, body);
            }
        }
    }
}

/// An HPACK integer after a byte of its own that has 7 bits of it (RFC 7541, section 5.1).
fn write_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(u8::try_from(length).unwrap());
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The first header of an answer is its status: out of the static table, or a literal with a name
/// out of it.
fn status_of(block: &[u8]) -> u16 {
    match block[0] {
        0x88 => 200,
        0x8c => 400,
        // 401 in Huffman's code (RFC 7541, appendix B).
        0x48 if block[1..4] == [0x82, 0x68, 0x01] => 401,
        0x48 if block[1] == 3 => String::from_utf8(block[2..5].to_vec())
            .unwrap()
            .parse()
            .unwrap(),
        // 431 in Huffman's code (RFC 7541, appendix B).
        0x48 if block[1..5] == [0x83, 0x69, 0x90, 0xff] => 431,
        other => panic!("status {other:x}"),
    }
}
