//! Changes as they happen, over every way there is to the real server: HTTP/1.1 and HTTP/2, with and
//! without TLS.

use crate::tls::Secure;
use kidoku_torture::h2::{DATA, H2, HEADERS};
use kidoku_torture::server::{PATIENCE, Server, run};
use kidoku_torture::wire::Client;
use std::io::{Read, Write};
use std::net::TcpStream;

/// What a device does with a stream that goes on for ever.
trait Both: Read + Write {}

impl<T: Read + Write> Both for T {}

/// A token of user `ada`.
fn token(server: &Server) -> String {
    let dir = server.dir().to_str().unwrap();
    let made = run(&["token", "issue", "--user", "ada", "--data-dir", dir]);
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn plain(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.http_address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads on until this is among what was read.
fn read_until(stream: &mut dyn Both, seen: &mut Vec<u8>, wanted: &str) {
    while !String::from_utf8_lossy(seen).contains(wanted) {
        let mut piece = [0; 4_096];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(seen));
        seen.extend(&piece[..count]);
    }
}

/// A stream of events over HTTP/1.1 shows what there is and then what changes.
fn events_over_http1(stream: &mut dyn Both, server: &Server, change: &dyn Fn(u64)) {
    let head = format!(
        "GET /v1/me/stream HTTP/1.1\r\nhost: k\r\nauthorization: Bearer {}\r\n\r\n",
        token(server)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = Vec::new();
    for unread in 1..=3 {
        change(unread);
        read_until(stream, &mut seen, &format!("\"unread\":{unread},"));
    }
}

/// The same over HTTP/2, and beside it other requests on the same connection are answered.
fn events_over_http2<S: Read + Write>(stream: S, server: &Server, change: &dyn Fn(u64)) {
    let bearer = format!("Bearer {}", token(server));
    let auth = [("authorization", bearer.as_str())];
    let mut h2 = H2::open(stream);
    h2.ask(1, "/v1/me/stream", &auth);
    let mut seen = Vec::new();
    for unread in 1..=3 {
        change(unread);
        let wanted = format!("\"unread\":{unread},");
        while !String::from_utf8_lossy(&seen).contains(&wanted) {
            let frame = h2.hear();
            assert!([HEADERS, DATA].contains(&frame.kind), "{frame:?}");
            if frame.kind == DATA {
                seen.extend(&frame.payload);
            }
        }
        let stream = u32::try_from(unread).unwrap() * 2 + 1;
        h2.ask(stream, "/v1/me/badge", &auth);
        let answer = h2.answer(stream);
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{body}");
        assert!(body.contains(&format!("\"unread\":{unread},")), "{body}");
    }
}

/// A WebSocket whose device says first who it is, gets what changes, and acks it.
fn socket(stream: &mut dyn Both, server: &Server, change: &dyn Fn(u64)) {
    stream
        .write_all(
            b"GET /v1/me/ws HTTP/1.1\r\nhost: k\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let mut seen = Vec::new();
    read_until(stream, &mut seen, "\r\n\r\n");
    let head = String::from_utf8_lossy(&seen).into_owned();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // RFC 6455, section 1.3.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    say(stream, &format!("{{\"token\":\"{}\"}}", token(server)));
    for unread in 1..=3 {
        change(unread);
        read_until(stream, &mut seen, &format!("\"unread\":{unread},"));
    }
    say(stream, r#"{"op":"ack","n":7,"channel":"room","id":"3"}"#);
    read_until(stream, &mut seen, r#""n":7,"ok":true"#);
    read_until(stream, &mut seen, "\"unread\":0,");
}

/// Sends a text whose mask is zeros (RFC 6455, section 5.2).
fn say(stream: &mut dyn Both, text: &str) {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.bytes());
    stream.write_all(&frame).unwrap();
}

#[test]
fn events_come_over_http2_without_tls() {
    let server = Server::dev();
    let mut client = server.client();
    client.say("KD.JOIN room ada AT START");
    let client = std::cell::RefCell::new(client);
    let change = |id: u64| post(&client, id);
    events_over_http2(plain(&server), &server, &change);
}

fn post(client: &std::cell::RefCell<Client>, id: u64) {
    let reply = client.borrow_mut().say(&format!("KD.POST room {id}"));
    assert_eq!(reply.number(), 1, "{reply:?}");
}

/// A server with TLS, a user in a channel, and what posts there.
fn secure() -> Secure {
    let secure = Secure::new(&["--dev"]);
    assert_eq!(secure.say("KD.JOIN room ada AT START"), "1");
    secure
}

#[test]
fn events_come_inside_of_tls_over_http1() {
    let secure = secure();
    let change = |id: u64| assert_eq!(secure.say(&format!("KD.POST room {id}")), "1");
    let mut stream = secure.open(secure.server.http_address(), &["http/1.1"]);
    events_over_http1(&mut stream, &secure.server, &change);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn events_come_inside_of_tls_over_http2() {
    let secure = secure();
    let change = |id: u64| assert_eq!(secure.say(&format!("KD.POST room {id}")), "1");
    let mut stream = secure.open(secure.server.http_address(), &["h2", "http/1.1"]);
    events_over_http2(&mut stream, &secure.server, &change);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn a_websocket_works_inside_of_tls() {
    let secure = secure();
    let change = |id: u64| assert_eq!(secure.say(&format!("KD.POST room {id}")), "1");
    let mut stream = secure.open(secure.server.http_address(), &["http/1.1"]);
    socket(&mut stream, &secure.server, &change);
}

#[test]
fn a_websocket_over_http2_is_not_offered_and_asking_for_one_is_told_so() {
    let server = Server::dev();
    let bearer = format!("Bearer {}", token(&server));
    let auth = [("authorization", bearer.as_str())];
    let mut h2 = H2::open(plain(&server));
    // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441, section 3), without which browsers use HTTP/1.1.
    let offers = h2.settings.chunks(6).any(|one| one[..2] == [0, 8]);
    assert!(!offers, "{:?}", h2.settings);
    h2.ask(1, "/v1/me/ws", &auth);
    let answer = h2.answer(1);
    let body = String::from_utf8(answer.body).unwrap();
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert!(body.contains("not a WebSocket"), "{body}");
    h2.ask(3, "/v1/me/badge", &auth);
    assert_eq!(h2.answer(3).status, 200);
}
