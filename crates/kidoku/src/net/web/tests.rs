//! The limits of a connection, at them and past them, over real sockets: HTTP/1.1 as text, HTTP/2 as
//! frames written here, so that a mistake in the library can not hide in both ends.

use super::{KeyShown, Port, serve};
use crate::engine::line::Line;
use crate::engine::shared::Phase;
use crate::metrics::Connections;
use crate::net::limits::{
    H2_CONNECTION_WINDOW_BYTES, H2_FRAME_BYTES_MAX, H2_SEND_BYTES_MAX, H2_STREAM_WINDOW_BYTES,
    H2_STREAMS_MAX, HEAD_BYTES_MAX, HEADER_LIST_BYTES_MAX, HEADERS_MAX, STRANGER_HEAD_BYTES_MAX,
    STRANGER_REQUESTS_MAX, Times,
};
use crate::net::tls::Acceptor;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use kidoku_torture::h2::{
    self, ACK, DATA, END_STREAM, GOAWAY, INITIAL_WINDOW_SIZE, PING, RST_STREAM,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::spawn_local;

type H2 = h2::H2<TcpStream>;

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
    // A body that is dropped is read by the library.
    let never = |body: Body| async move {
        let _kept = body;
        std::future::pending::<StatusCode>().await
    };
    let key = |Extension(shown): Extension<KeyShown>| async move {
        shown.note();
        "known"
    };
    Router::new()
        .route("/", get(async || "here"))
        .route("/locked", get(async || StatusCode::UNAUTHORIZED))
        .route("/key", get(key))
        .route("/large", get(large))
        .route("/slow", get(slow))
        .route("/echo", post(echo))
        .route("/never", post(never))
        .route("/endless", get(async || Body::new(Endless)))
}

/// Bytes that all [`Endless`] bodies have made.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A body that goes on for ever.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let piece = Bytes::from_static(&[b'x'; 4 << 10]);
        MADE.fetch_add(piece.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
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
    served_on(listener, times, connections_max, false)
}

/// Nobody is known before a request has shown a valid key.
fn served_to_strangers(times: Times) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    served_on(listener, times, 1_000, true)
}

fn served_on(
    listener: TcpListener,
    times: Times,
    connections_max: usize,
    strangers: bool,
) -> Served {
    let address = listener.local_addr().unwrap();
    let connections = Arc::<Connections>::default();
    let (phase, follows) = watch::channel(Phase::Running);
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        let line = Rc::<Line>::default();
        let port = Port {
            router: routes(),
            connections: counted,
            connections_max,
            times,
            acceptor: Acceptor::plain(),
            strangers,
            line: Some(Rc::clone(&line)),
            phase: Some(follows),
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            drop(spawn_local(line.call()));
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

fn open_h2(address: SocketAddr) -> H2 {
    H2::open(connect(address))
}

/// Status and body of the answer to a request over HTTP/2.
fn answer_of(h2: &mut H2, stream: u32) -> (u16, Vec<u8>) {
    let answer = h2.answer(stream);
    (answer.status, answer.body)
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
    let mut h2 = open_h2(server.address);
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
    let mut stranger = open_h2(server.address);
    stranger.ask(1, "/locked", &[]);
    assert_eq!(answer_of(&mut stranger, 1).0, 401);
    let took = until_closed(&mut stranger.stream);
    assert!(took >= BELOW && took < 3 * SHORT, "{took:?}");
    let mut h2 = open_h2(server.address);
    h2.ask(1, "/", &[]);
    assert_eq!(answer_of(&mut h2, 1), (200, b"here".to_vec()));
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
    let mut h2 = open_h2(server.address);
    h2.ask(1, "/slow", &[]);
    assert_eq!(answer_of(&mut h2, 1), (200, b"slow".to_vec()));
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
    let mut h2 = open_h2(server.address);
    h2.begin(1, "POST", "/echo", &[]);
    let (status, why) = answer_of(&mut h2, 1);
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
    let mut h2 = open_h2(server.address);
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
    let mut h2 = open_h2(server.address);
    h2.ask(1, "/", &[("x", &"a".repeat(room))]);
    assert_eq!(answer_of(&mut h2, 1).0, 200);
    h2.ask(3, "/", &[("x", &"a".repeat(room + 1))]);
    assert_eq!(answer_of(&mut h2, 3).0, 431);
    // The connection goes on.
    h2.ask(5, "/", &[]);
    assert_eq!(answer_of(&mut h2, 5).0, 200);
}

#[test]
fn what_is_wrong_with_the_first_of_a_body_is_told_before_the_answer() {
    let server = served(UNLIMITED);
    let mut h2 = open_h2(server.address);
    h2.begin(1, "GET", "/", &[("content-length", "1")]);
    // Long enough for an answer, if it did not wait.
    std::thread::sleep(BELOW);
    h2.send(DATA, END_STREAM, 1, b"too long");
    let reset = h2.hear();
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1));
    assert_eq!(reset.payload, 1_u32.to_be_bytes(), "PROTOCOL_ERROR");
    // One that never ends is answered all the same, and one that is right at once.
    h2.begin(3, "GET", "/", &[]);
    assert_eq!(answer_of(&mut h2, 3), (200, b"here".to_vec()));
    h2.begin(5, "GET", "/", &[]);
    h2.send(DATA, END_STREAM, 5, b"nobody reads this");
    assert_eq!(answer_of(&mut h2, 5), (200, b"here".to_vec()));
}

#[test]
fn an_http2_connection_has_100_requests_under_way_and_not_101() {
    let server = served(UNLIMITED);
    let mut h2 = open_h2(server.address);
    let ids = (0..H2_STREAMS_MAX).map(|n| 2 * n + 1);
    for id in ids.clone() {
        h2.begin(id, "POST", "/echo", &[]);
    }
    let over = 2 * H2_STREAMS_MAX + 1;
    h2.begin(over, "POST", "/echo", &[]);
    let refused = h2.hear();
    assert_eq!((refused.kind, refused.stream), (RST_STREAM, over));
    assert_eq!(refused.payload, 7_u32.to_be_bytes(), "REFUSED_STREAM");
    for id in ids {
        h2.send(DATA, END_STREAM, id, b"done");
    }
    assert_eq!(answer_of(&mut h2, 1), (200, b"done".to_vec()));
}

#[test]
fn a_stranger_has_4_requests_under_way_and_the_fifth_waits_for_the_end_of_one() {
    let server = served_to_strangers(UNLIMITED);
    let most = u32::try_from(STRANGER_REQUESTS_MAX).unwrap();
    for (before, waits) in [(most, true), (most - 1, false)] {
        let mut h2 = open_h2(server.address);
        for n in 0..before {
            h2.ask(2 * n + 1, "/slow", &[]);
        }
        let last = 2 * before + 1;
        h2.ask(last, "/key", &[]);
        let first = h2.hear();
        assert_eq!(first.stream != last, waits, "{first:?}");
        if waits {
            assert_eq!(answer_of(&mut h2, last), (200, b"known".to_vec()));
        }
    }
}

#[test]
fn a_strangers_requests_are_all_answered_when_their_answers_are_taken() {
    let server = served_to_strangers(UNLIMITED);
    let mut h2 = open_h2(server.address);
    for n in 0..50 {
        h2.ask(2 * n + 1, "/locked", &[]);
    }
    for n in 0..50 {
        assert_eq!(answer_of(&mut h2, 2 * n + 1).0, 401);
    }
    // With a key there is no more waiting, however many are under way.
    h2.ask(101, "/key", &[]);
    assert_eq!(answer_of(&mut h2, 101), (200, b"known".to_vec()));
    for n in 51..71 {
        h2.begin(2 * n + 1, "POST", "/echo", &[]);
    }
    h2.ask(143, "/", &[]);
    assert_eq!(answer_of(&mut h2, 143), (200, b"here".to_vec()));
}

#[test]
fn a_strangers_headers_have_at_most_8_kib() {
    let server = served_to_strangers(UNLIMITED);
    let with = |bytes: usize| {
        let empty = h2::request(END_STREAM, 1, "GET", "/key", &[("x", &"a".repeat(1_000))]);
        let filler = "a".repeat(1_000 + bytes - (empty.len() - 9));
        h2::request(END_STREAM, 1, "GET", "/key", &[("x", &filler)])
    };
    let full = with(STRANGER_HEAD_BYTES_MAX);
    assert_eq!(full.len(), STRANGER_HEAD_BYTES_MAX + 9);
    let mut h2 = open_h2(server.address);
    h2.stream.write_all(&full).unwrap();
    assert_eq!(answer_of(&mut h2, 1).0, 200);
    // Whoever is known may send more.
    h2.ask(3, "/", &[("x", &"a".repeat(STRANGER_HEAD_BYTES_MAX))]);
    assert_eq!(answer_of(&mut h2, 3).0, 200);
    let mut over = open_h2(server.address);
    over.stream
        .write_all(&with(STRANGER_HEAD_BYTES_MAX + 1))
        .unwrap();
    until_closed(&mut over.stream);
}

#[test]
fn what_needs_no_key_makes_nobody_known() {
    let server = served_to_strangers(Times {
        idle_without_key: SHORT,
        ..UNLIMITED
    });
    let mut stranger = connect(server.address);
    assert_eq!(ask(&mut stranger, HERE).0, 200);
    assert!(until_closed(&mut stranger) >= SHORT - BELOW);
    let mut known = connect(server.address);
    let key = HERE.replace("GET /", "GET /key");
    assert_eq!(ask(&mut known, &key).0, 200);
    assert_eq!(ask(&mut known, HERE).0, 200);
    std::thread::sleep(2 * SHORT);
    assert_eq!(ask(&mut known, HERE).0, 200);
}

#[test]
fn an_http2_connection_is_told_its_windows() {
    let server = served(UNLIMITED);
    let h2 = open_h2(server.address);
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

/// Sends the head of a request that nobody answers, and so much of its body.
fn pour(h2: &mut H2, stream: u32, bytes: u32) {
    h2.begin(stream, "POST", "/never", &[]);
    let mut rest = usize::try_from(bytes).unwrap();
    // The first piece is looked at before the request is, and makes room for as much.
    let mut piece = 1;
    while rest > 0 {
        h2.send(DATA, 0, stream, &vec![b'x'; piece.min(rest)]);
        rest -= piece.min(rest);
        piece = usize::try_from(H2_FRAME_BYTES_MAX).unwrap();
    }
}

/// Whether the connection goes on.
fn is_served(h2: &mut H2) -> bool {
    h2.send(PING, 0, 0, b"12345678");
    let frame = h2.hear();
    assert!([PING, GOAWAY].contains(&frame.kind), "{frame:?}");
    frame.kind == PING
}

#[test]
fn one_body_may_come_64_kib_ahead_and_not_a_byte_more() {
    let server = served(UNLIMITED);
    let mut h2 = open_h2(server.address);
    pour(&mut h2, 1, H2_STREAM_WINDOW_BYTES);
    assert!(is_served(&mut h2));
    // One for the byte that was looked at, and one more.
    h2.send(DATA, 0, 1, b"xx");
    let refused = h2.hear();
    assert_eq!((refused.kind, refused.stream), (RST_STREAM, 1));
    assert_eq!(refused.payload, 3_u32.to_be_bytes(), "FLOW_CONTROL_ERROR");
}

#[test]
fn all_bodies_of_an_http2_connection_may_come_256_kib_ahead_and_not_a_byte_more() {
    let server = served(UNLIMITED);
    let mut h2 = open_h2(server.address);
    let full = H2_CONNECTION_WINDOW_BYTES / H2_STREAM_WINDOW_BYTES;
    for n in 0..full {
        pour(&mut h2, 2 * n + 1, H2_STREAM_WINDOW_BYTES);
    }
    assert!(is_served(&mut h2));
    // One for each byte that was looked at, and one more.
    h2.begin(2 * full + 1, "POST", "/never", &[]);
    let more = usize::try_from(full + 1).unwrap();
    h2.send(DATA, 0, 2 * full + 1, &vec![b'x'; more]);
    let refused = h2.hear();
    assert_eq!(refused.kind, GOAWAY);
    assert_eq!(
        refused.payload[4..8],
        3_u32.to_be_bytes(),
        "FLOW_CONTROL_ERROR"
    );
}

#[test]
fn of_an_answer_that_nobody_takes_64_kib_are_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // What the system holds is to be little beside what the server does; its sockets inherit this.
    socket2::SockRef::from(&listener)
        .set_send_buffer_size(4 << 10)
        .unwrap();
    let server = served_on(listener, UNLIMITED, 1_000, false);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The client lets everything come, so that nothing but the server's own bound holds.
    let mut h2 = H2::with(stream, &[(INITIAL_WINDOW_SIZE, 1 << 30)]);
    h2.widen(0, 1 << 30);
    h2.ask(1, "/endless", &[]);
    let settled = || {
        let mut before = 0;
        loop {
            std::thread::sleep(5 * BELOW);
            let made = MADE.load(Ordering::Relaxed);
            if made == before && made > 0 {
                return made;
            }
            before = made;
        }
    };
    let made = settled();
    // The system's buffers, and what the library has made into frames already.
    let on_the_way = 48 << 10;
    assert!(made >= H2_SEND_BYTES_MAX, "{made}");
    assert!(made <= H2_SEND_BYTES_MAX + on_the_way, "{made}");
    // Whoever goes on taking gets more.
    let mut taken = 0;
    while taken < 4 * H2_SEND_BYTES_MAX {
        taken += h2.hear().payload.len();
    }
    assert!(settled() > made + 2 * H2_SEND_BYTES_MAX);
}

#[test]
fn a_silent_http2_connection_is_pinged_and_ends_when_it_does_not_answer() {
    let server = served(Times {
        ping_interval: SHORT,
        ping_timeout: SHORT,
        ..UNLIMITED
    });
    let mut h2 = open_h2(server.address);
    h2.ask(1, "/", &[]);
    answer_of(&mut h2, 1);
    for _ in 0..3 {
        let ping = h2.hear();
        assert_eq!((ping.kind, ping.flags), (PING, 0));
        h2.send(PING, ACK, 0, &ping.payload);
    }
    assert_eq!(h2.hear().kind, PING);
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
    let mut h2_idle = open_h2(server.address);
    let mut h2 = open_h2(server.address);
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
    assert_eq!(answer_of(&mut h2, 1), (200, b"slow".to_vec()));
    until_closed(&mut h2.stream);
    let begun = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it still listens");
    }
}
