//! Live streams over real sockets. The test's thread blocks on them; the server has its own.

use super::*;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

impl Server {
    fn connect(&self, head: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.running.addresses().http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// Opens a stream; the status and what comes. HTTP/1.0, so that the body is not in chunks.
    fn open_stream(&self, query: &str, headers: &str, token: &str) -> (u16, Events) {
        let head = format!(
            "GET /v1/me/stream{query} HTTP/1.0\r\nhost: k\r\n{headers}authorization: Bearer {token}\r\n\r\n"
        );
        let mut reader = self.connect(&head);
        let (status, _) = read_head(&mut reader);
        (status, Events(reader))
    }

    fn stream(&self, query: &str, token: &str) -> Events {
        let (status, events) = self.open_stream(query, "", token);
        assert_eq!(status, 200);
        events
    }

    fn socket(&self, query: &str, headers: &str) -> (u16, Socket) {
        let head = format!(
            "GET /v1/me/ws{query} HTTP/1.1\r\nhost: k\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        let mut reader = self.connect(&head);
        let (status, head) = read_head(&mut reader);
        if status == 101 {
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        }
        (status, Socket(reader))
    }

    fn socket_of(&self, token: &str) -> Socket {
        let (status, socket) = self.socket("", &format!("authorization: Bearer {token}\r\n"));
        assert_eq!(status, 101);
        socket
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.done(Method::POST, path, &body.to_string()).await
    }

    async fn join(&self, channel: &str, user: &str) {
        let path = format!("/v1/channels/{channel}/members");
        self.post(&path, json!({"users": [user], "at": "start"}))
            .await;
    }

    async fn message(&self, channel: &str, id: u64) {
        self.post(
            &format!("/v1/channels/{channel}/messages"),
            json!({"id": id}),
        )
        .await;
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> (u16, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
}

/// The events of a stream.
struct Events(BufReader<TcpStream>);

impl Events {
    /// Name, id and data of the next one; `None` = the stream ended.
    fn next(&mut self) -> Option<(String, String, Value)> {
        let (mut name, mut id, mut data) = (String::new(), String::new(), Value::Null);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => name = text.to_owned(),
                Some(("id", text)) => id = text.to_owned(),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                None if line == "\n" && !name.is_empty() => return Some((name, id, data)),
                Some(("retry", _)) | None => {}
                Some(_) => panic!("{line}"),
            }
        }
    }

    fn state(&mut self) -> Value {
        let (name, id, data) = self.next().unwrap();
        assert_eq!((name.as_str(), &data["rev"]), ("state", &json!(id)));
        data
    }

    /// The next state in which a channel has so many unread; events may come merged or not.
    fn state_with(&mut self, channel: &str, unread: u64) -> Value {
        until(channel, unread, || self.state())
    }
}

fn until(channel: &str, unread: u64, mut next: impl FnMut() -> Value) -> Value {
    loop {
        let state = next();
        let all = state["channels"].as_array().unwrap();
        if all
            .iter()
            .any(|one| one["channel"] == channel && one["unread"] == unread)
        {
            return state;
        }
    }
}

fn names(state: &Value) -> Vec<&str> {
    let channels = state["channels"].as_array().unwrap();
    channels
        .iter()
        .map(|channel| channel["channel"].as_str().unwrap())
        .collect()
}

/// A WebSocket as small as a test needs.
struct Socket(BufReader<TcpStream>);

#[derive(Debug, PartialEq)]
enum Frame {
    Text(Value),
    Close(u16, String),
    Gone,
}

impl Socket {
    fn send_text(&mut self, text: &str) {
        // A server that refuses early may have hung up already.
        drop(self.send_frame(0x81, text.as_bytes()));
    }

    fn send(&mut self, value: &Value) {
        self.send_text(&value.to_string());
    }

    fn send_frame(&mut self, first: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        // Masked with zeros, which leaves the payload as it is.
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.get_mut().write_all(&frame)
    }

    fn next(&mut self) -> Frame {
        loop {
            let mut head = [0; 2];
            if self.0.read_exact(&mut head).is_err() {
                return Frame::Gone;
            }
            let mut length = usize::from(head[1]);
            if length == 126 {
                let mut digits = [0; 2];
                self.0.read_exact(&mut digits).unwrap();
                length = usize::from(u16::from_be_bytes(digits));
            }
            assert!(length < 127 || head[1] == 126);
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).unwrap();
            match head[0] {
                0x81 => return Frame::Text(serde_json::from_slice(&payload).unwrap()),
                0x88 => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    return Frame::Close(code, String::from_utf8(payload[2..].to_vec()).unwrap());
                }
                0x89 | 0x8a => {}
                other => panic!("frame {other:x}"),
            }
        }
    }

    fn text(&mut self) -> Value {
        match self.next() {
            Frame::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self) -> Value {
        let state = self.text();
        assert_eq!(state["op"], "state", "{state}");
        state
    }

    /// The answer to a request; states may come before it.
    fn answer(&mut self) -> Value {
        loop {
            let text = self.text();
            if text["op"] != "state" {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_begins_with_everything_and_goes_on_with_what_changed() {
    let server = Server::open();
    for channel in ["a", "b", "c"] {
        server.join(channel, "ada").await;
        server.message(channel, 1).await;
    }
    let token = server.token("default", "ada", 60);
    let mut events = server.stream("", &token);
    let first = events.state();
    assert_eq!(
        (names(&first), &first["all"]),
        (vec!["a", "b", "c"], &json!(true))
    );
    assert_eq!(first["badge"]["unread"], 3);
    server.message("b", 2).await;
    let second = events.state_with("b", 2);
    assert_eq!((names(&second), &second["all"]), (vec!["b"], &json!(false)));
    assert_eq!(second["badge"]["unread"], 4);
    assert!(second["rev"].as_str().unwrap() > first["rev"].as_str().unwrap());
    server
        .post("/v1/users/ada/ack", json!({"channel": "c", "id": 1}))
        .await;
    let third = events.state_with("c", 0);
    assert_eq!(third["badge"]["unread"], 3);
    server.message("elsewhere", 1).await;
    server
        .done(Method::DELETE, "/v1/channels/a/members/ada", "")
        .await;
    let left = events.state_with("a", 0);
    assert_eq!(left["channels"][0]["member"], false);
}

#[tokio::test]
async fn a_stream_goes_on_from_the_last_event_a_device_has() {
    let server = Server::open();
    for channel in ["a", "b", "c"] {
        server.join(channel, "ada").await;
        server.message(channel, 1).await;
    }
    let token = server.token("default", "ada", 60);
    let rev = server.stream("", &token).state()["rev"]
        .as_str()
        .unwrap()
        .to_owned();
    server.message("b", 2).await;
    for (query, header) in [
        (format!("?since={rev}"), String::new()),
        (String::new(), format!("last-event-id: {rev}\r\n")),
        ("?since=1".to_owned(), format!("last-event-id: {rev}\r\n")),
    ] {
        let (status, mut events) = server.open_stream(&query, &header, &token);
        assert_eq!(status, 200);
        let missed = events.state();
        assert_eq!(
            (names(&missed), &missed["all"]),
            (vec!["b"], &json!(false)),
            "{query}{header}"
        );
        assert_eq!(missed["badge"]["unread"], 4);
    }
    let (_, mut events) = server.open_stream(&format!("?since={rev}"), "", &token);
    events.state();
    server.message("c", 2).await;
    assert_eq!(names(&events.state_with("c", 2)), ["c"]);
    for (query, header) in [
        ("?since=x", ""),
        ("?limit=1", ""),
        ("", "last-event-id: x\r\n"),
    ] {
        assert_eq!(
            server.open_stream(query, header, &token).0,
            400,
            "{query}{header}"
        );
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = Server::open();
    let mut events = server.stream("", &server.token("default", "ada", 2));
    assert_eq!(names(&events.state()), Vec::<&str>::new());
    let (name, _, data) = events.next().unwrap();
    assert_eq!((name.as_str(), data), ("end", json!({"reason": "expired"})));
    assert!(events.next().is_none());
    let mut socket = server.socket_of(&server.token("default", "ada", 2));
    socket.state();
    assert_eq!(
        socket.next(),
        Frame::Close(1008, "the token has expired".to_owned())
    );
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let server = Server::open();
    let token = server.token("default", "ada", 60);
    let (mut events, mut socket) = (server.stream("", &token), server.socket_of(&token));
    events.state();
    socket.state();
    server.running.shutdown();
    let ended = std::iter::from_fn(|| events.next())
        .find(|(name, ..)| name == "end")
        .unwrap();
    assert_eq!(ended.2, json!({"reason": "stopping"}));
    let closed =
        std::iter::repeat_with(|| socket.next()).find(|frame| !matches!(frame, Frame::Text(_)));
    assert_eq!(
        closed,
        Some(Frame::Close(1001, "the server stops".to_owned()))
    );
}

#[tokio::test]
async fn a_user_has_16_streams_and_not_17() {
    let server = Server::open();
    let token = server.token("default", "ada", 60);
    let mut open: Vec<Events> = (0..15).map(|_| server.stream("", &token)).collect();
    let socket = server.socket_of(&token);
    assert_eq!(server.open_stream("", "", &token).0, 429);
    assert_eq!(
        server
            .socket("", &format!("authorization: Bearer {token}\r\n"))
            .0,
        429
    );
    let mut late = server.socket("", "").1;
    late.send(&json!({"token": token}));
    let refused = Frame::Close(1013, "a user has at most 16 live streams open".to_owned());
    assert_eq!(late.next(), refused);
    assert_eq!(
        server
            .open_stream("", "", &server.token("default", "bob", 60))
            .0,
        200
    );
    drop((socket, open.pop()));
    // The server notices by and by that the other side has gone.
    while server.open_stream("", "", &token).0 != 200 {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_socket_brings_changes_and_takes_requests() {
    let server = Server::open();
    server.join("c", "ada").await;
    server.message("c", 1).await;
    server.message("c", 2).await;
    let mut socket = server.socket_of(&server.token("default", "ada", 60));
    let first = socket.state();
    assert_eq!((names(&first), &first["all"]), (vec!["c"], &json!(true)));
    assert_eq!(first["badge"]["unread"], 2);
    socket.send(&json!({"op": "ack", "n": 7, "channel": "c", "id": "1"}));
    assert_eq!(socket.answer(), json!({"n": 7, "ok": true, "changed": 1}));
    let mut other = server.socket_of(&server.token("default", "ada", 60));
    until("c", 1, || other.state());
    socket.send(&json!({"op": "unread", "n": 8, "channel": "c", "id": 1}));
    let marked = socket.answer();
    assert_eq!(
        (&marked["n"], &marked["ok"], &marked["state"]["unread"]),
        (&json!(8), &json!(true), &json!(2))
    );
    until("c", 2, || other.state());
    socket.send(&json!({"op": "ack", "n": 9, "channel": "c", "id": 2, "count": true, "era": marked["state"]["era"]}));
    assert_eq!(socket.answer()["state"]["unread"], 0);
    socket.send(&json!({"op": "mute", "n": 10, "channel": "c", "level": "ALL"}));
    assert_eq!(socket.answer(), json!({"n": 10, "ok": true}));
    server.message("c", 3).await;
    let muted = until("c", 1, || other.state());
    assert_eq!(
        (&muted["badge"]["unread"], &muted["badge"]["unmuted_unread"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_wrong_request_is_answered_and_the_socket_goes_on() {
    let server = Server::open();
    server.join("c", "bob").await;
    let mut socket = server.socket_of(&server.token("default", "ada", 60));
    for (request, n, code) in [
        (
            r#"{"op":"ack","n":1,"channel":"c","id":"1"}"#,
            json!(1),
            "NOPERM",
        ),
        (
            r#"{"op":"mute","n":2,"channel":"c","level":"ALL"}"#,
            json!(2),
            "NOPERM",
        ),
        (
            r#"{"op":"unread","n":3,"channel":"c","id":"1"}"#,
            json!(3),
            "NOPERM",
        ),
        (
            r#"{"op":"ack","n":4,"channel":"","id":"1"}"#,
            json!(4),
            "BADID",
        ),
        (r#"{"op":"ack","n":5,"channel":"c"}"#, json!(5), "SYNTAX"),
        (
            r#"{"op":"ack","n":6,"channel":"c","id":"1","user":"bob"}"#,
            json!(6),
            "SYNTAX",
        ),
        (r#"{"op":"erase","n":7}"#, json!(7), "SYNTAX"),
        (r#"{"n":8}"#, json!(8), "SYNTAX"),
        ("[]", Value::Null, "SYNTAX"),
        ("", Value::Null, "SYNTAX"),
    ] {
        socket.send_text(request);
        let answer = socket.answer();
        assert_eq!(
            (&answer["n"], &answer["ok"]),
            (&n, &json!(false)),
            "{request}"
        );
        assert_eq!(answer["problem"]["code"], code, "{request}: {answer}");
    }
    let deep = format!("{}1{}", "[".repeat(8_000), "]".repeat(8_000));
    socket.send_text(&deep);
    assert_eq!(socket.answer()["problem"]["code"], "SYNTAX");
    let state = server
        .done(Method::GET, "/v1/users/ada/channels/c", "")
        .await;
    assert_eq!(state["member"], false);
}

#[tokio::test]
async fn a_socket_may_say_first_who_it_is_and_is_closed_if_it_says_something_else() {
    let server = Server::open();
    let token = server.token("default", "ada", 60);
    let (status, mut socket) = server.socket("", "");
    assert_eq!(status, 101);
    socket.send(&json!({"token": token}));
    assert_eq!(socket.state()["all"], true);
    let introductions = [
        json!({"token": "x"}),
        json!({"token": token, "user": "bob"}),
        json!({"op": "ack", "n": 1, "channel": "c", "id": "1"}),
        json!([]),
    ];
    for introduction in introductions {
        let mut socket = server.socket("", "").1;
        socket.send(&introduction);
        let closed = socket.next();
        assert!(
            matches!(closed, Frame::Close(1008, _)),
            "{introduction}: {closed:?}"
        );
    }
    let mut silent = server.socket("", "").1;
    assert_eq!(
        silent.next(),
        Frame::Close(1008, "no token came in time".to_owned())
    );
    assert_eq!(server.socket("", "authorization: Bearer x\r\n").0, 401);
    assert_eq!(server.socket(&format!("?access_token={token}"), "").0, 400);
}

#[tokio::test]
async fn a_message_has_at_most_16_kib_and_is_a_text() {
    use kidoku_core::limits::SOCKET_MESSAGE_BYTES_MAX;
    let server = Server::open();
    let token = server.token("default", "ada", 60);
    let mut socket = server.socket_of(&token);
    socket.send_text(&" ".repeat(SOCKET_MESSAGE_BYTES_MAX));
    assert_eq!(socket.answer()["problem"]["code"], "SYNTAX");
    socket.send_text(&" ".repeat(SOCKET_MESSAGE_BYTES_MAX + 1));
    let end =
        std::iter::repeat_with(|| socket.next()).find(|frame| !matches!(frame, Frame::Text(_)));
    assert!(
        matches!(end, Some(Frame::Gone | Frame::Close(..))),
        "{end:?}"
    );
    let mut socket = server.socket_of(&token);
    socket.send_frame(0x82, b"{}").unwrap();
    let end =
        std::iter::repeat_with(|| socket.next()).find(|frame| !matches!(frame, Frame::Text(_)));
    assert_eq!(end, Some(Frame::Close(1003, "text only".to_owned())));
}

#[tokio::test]
async fn what_is_no_websocket_is_a_problem() {
    let server = Server::open();
    let token = server.token("default", "ada", 60);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let answer = server.ask(Method::GET, "/v1/me/ws", &headers, "").await;
    let (status, code, detail) = answer.problem();
    assert_eq!((status, code.as_str()), (400, "SYNTAX"));
    assert!(detail.starts_with("not a WebSocket: "), "{detail}");
}

#[tokio::test]
async fn streams_of_an_app_with_opaque_ids_show_the_apps_ids() {
    let server = Server::keyed();
    let (root, _) = server.keys.clone().unwrap();
    let bearer = format!("Bearer {root}");
    let headers = [("authorization", bearer.as_str()), ("kidoku-app", "mail")];
    let post = async |path: &str, body: &str| {
        let answer = server
            .ask(Method::POST, path, &headers, body.to_owned())
            .await;
        assert!(answer.status.is_success(), "{}", answer.text);
    };
    post(
        "/v1/channels/c/members",
        r#"{"users":["ada"],"at":"start"}"#,
    )
    .await;
    post("/v1/channels/c/messages", r#"{"id":"$one"}"#).await;
    let token = server.token("mail", "ada", 60);
    let (mut events, mut socket) = (server.stream("", &token), server.socket_of(&token));
    assert_eq!(events.state()["channels"][0]["first_unread"], "$one");
    socket.state();
    post("/v1/channels/c/messages", r#"{"id":"$two"}"#).await;
    for state in [events.state_with("c", 2), until("c", 2, || socket.state())] {
        assert_eq!(state["channels"][0]["last"], "$two");
    }
}
