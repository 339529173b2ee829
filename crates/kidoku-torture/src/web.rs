//! HTTP/1.1 in as many lines as the tests need: one request a connection.

use crate::server::PATIENCE;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {:?}", self.status, self.body))
    }

    /// The body as JSON, of an answer that must be a success.
    pub fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.body
        );
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The code of a problem document, whose form is checked on the way.
    pub fn problem(&self) -> String {
        assert!(self.status >= 400, "{} {}", self.status, self.body);
        let kind = self.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/problem+json"),
            "{kind}: {}",
            self.body
        );
        let json = self.json();
        assert_eq!(json["status"], self.status, "{json}");
        assert!(
            json["type"].is_string() && json["title"].is_string(),
            "{json}"
        );
        json["code"].as_str().unwrap().to_owned()
    }
}

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Web {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

impl Web {
    /// For the server at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            headers: Vec::new(),
        }
    }

    /// The same with one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.push((name.to_owned(), value.to_owned()));
        Self {
            address: self.address,
            headers,
        }
    }

    /// The same with a key.
    pub fn bearer(&self, key: &str) -> Self {
        self.with("authorization", &format!("Bearer {key}"))
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, b"")
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, b"")
    }

    /// Sends JSON.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.with("content-type", "application/json").send(
            method,
            path,
            body.to_string().as_bytes(),
        )
    }

    /// `POST` of a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, body)
    }

    /// Sends JSON Lines.
    pub fn events(&self, lines: &[u8]) -> Answer {
        self.with("content-type", "application/x-ndjson")
            .send("POST", "/v1/events", lines)
    }

    /// Sends anything; the answer is read also when the server does not take the whole body.
    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.try_send(method, path, body).expect("an HTTP answer")
    }

    /// The same, `None` when nobody listens or the head of the answer does not come.
    pub fn try_send(&self, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        let stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: kidoku\r\nconnection: close\r\n");
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(head, "content-length: {}\r\n\r\n", body.len()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A server that refuses early hangs up on the rest of the body.
                drop(
                    writer
                        .write_all(head.as_bytes())
                        .and_then(|()| writer.write_all(body)),
                );
            });
            read_answer(stream)
        })
    }
}

fn read_answer(mut stream: TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A reset after the answer is an end too.
    drop(stream.read_to_end(&mut bytes));
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let chunked = headers
        .iter()
        .any(|(k, v)| k == "transfer-encoding" && v.contains("chunked"));
    let body = if chunked {
        unchunk(rest)
    } else {
        rest.to_vec()
    };
    Some(Answer {
        status,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        let Some(rest) = bytes.get(end + 2 + size + 2..) else {
            // The server died in the middle of its answer.
            break;
        };
        body.extend(&bytes[end + 2..end + 2 + size]);
        bytes = rest;
    }
    body
}

/// A name as a part of a path.
pub fn escape(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
    }
    out
}
