//! A RESP client written for the tests alone, so that a mistake in the server's codec can not hide
//! in the other end.

use crate::server::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+`
    Simple(String),
    /// `-` or `!`
    Error(String),
    /// `:`
    Int(i64),
    /// `$`
    Bulk(String),
    /// `_`, `$-1` or `*-1`
    Null,
    /// `#`
    Bool(bool),
    /// `,`, as it was written
    Double(String),
    /// `*`
    Array(Vec<Value>),
    /// `~`
    Set(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `>`
    Push(Vec<Value>),
}

impl Value {
    /// The value of a key of a map, or of a flat array of pairs.
    pub fn get(&self, key: &str) -> &Value {
        let found = match self {
            Self::Map(pairs) => pairs.iter().find(|(k, _)| k.text() == key).map(|(_, v)| v),
            Self::Array(items) => items
                .chunks(2)
                .find(|pair| pair[0].text() == key)
                .map(|pair| &pair[1]),
            _ => None,
        };
        found.unwrap_or_else(|| panic!("no {key:?} in {self:?}"))
    }

    /// The text of a string or number.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) | Self::Bulk(text) | Self::Double(text) => {
                text.clone()
            }
            Self::Int(number) => number.to_string(),
            Self::Bool(is) => u8::from(*is).to_string(),
            Self::Null => String::new(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The number of an integer or of digits.
    pub fn number(&self) -> u64 {
        self.text()
            .parse()
            .unwrap_or_else(|_| panic!("no number: {self:?}"))
    }

    /// The items of an array or push frame.
    pub fn items(&self) -> &[Value] {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items,
            other => panic!("no items: {other:?}"),
        }
    }

    /// True for yes, however it is said.
    pub fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true) | Self::Int(1)) || matches!(self, Self::Bulk(t) if t == "1")
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// The bytes of a command as every client sends it.
pub fn encode<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

impl Client {
    /// Connects, and waits for replies no longer than anything may take.
    pub fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).unwrap())
    }

    /// The same, `None` when nobody listens.
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        TcpStream::connect(address).ok().map(Self::on)
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: BufReader::with_capacity(1 << 16, stream),
        }
    }

    /// Sends bytes as they are; a server that hung up is found when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        drop(self.reader.get_mut().write_all(bytes));
    }

    /// Sends one command and reads its reply.
    pub fn command<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Value {
        self.send(&encode(words));
        self.receive()
    }

    /// The same, from words with a space between.
    pub fn say(&mut self, line: &str) -> Value {
        self.command(&line.split(' ').collect::<Vec<_>>())
    }

    /// Sends all commands while reading the replies.
    pub fn pipeline(&mut self, commands: &[Vec<String>]) -> Vec<Value> {
        let mut writer = self.reader.get_ref().try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                for chunk in commands.chunks(256) {
                    let bytes: Vec<u8> = chunk.iter().flat_map(|words| encode(words)).collect();
                    // The reader fails the test when the connection is gone.
                    if writer.write_all(&bytes).is_err() {
                        return;
                    }
                }
            });
            commands.iter().map(|_| self.receive()).collect()
        })
    }

    /// One reply; panics when the connection ends.
    pub fn receive(&mut self) -> Value {
        self.try_receive().expect("the server hung up")
    }

    /// One reply, or `None` at the end of the connection.
    pub fn try_receive(&mut self) -> Option<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1)?;
        let value = match kind {
            "+" => Value::Simple(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Int(rest.parse().unwrap()),
            "_" => Value::Null,
            "#" => Value::Bool(rest == "t"),
            "," => Value::Double(rest.to_owned()),
            "$" | "=" if rest == "-1" => Value::Null,
            "*" if rest == "-1" => Value::Null,
            "$" | "=" => Value::Bulk(self.bulk(rest.parse().unwrap())?),
            "*" => Value::Array(self.many(rest.parse().unwrap())?),
            "~" => Value::Set(self.many(rest.parse().unwrap())?),
            ">" => Value::Push(self.many(rest.parse().unwrap())?),
            "%" => {
                let mut flat = self.many(rest.parse::<usize>().unwrap() * 2)?.into_iter();
                let mut pairs = Vec::new();
                while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((key, value));
                }
                Value::Map(pairs)
            }
            _ => panic!("not RESP: {line:?}"),
        };
        Some(value)
    }

    /// One reply or push that comes within this time.
    pub fn try_receive_for(&mut self, time: Duration) -> Option<Value> {
        if self.reader.buffer().is_empty() {
            let stream = self.reader.get_ref();
            stream.set_read_timeout(Some(time)).unwrap();
            let came = stream.peek(&mut [0]);
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            came.ok().filter(|count| *count > 0)?;
        }
        self.try_receive()
    }

    /// Everything until the server hangs up.
    pub fn drain(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset is an end too.
        drop(self.reader.read_to_end(&mut bytes));
        bytes
    }

    /// The bytes of one reply, as they came. Push frames come at their own time and are left out.
    pub fn raw<W: AsRef<[u8]>>(&mut self, words: &[W]) -> String {
        self.send(&encode(words));
        loop {
            let mut out = String::new();
            self.raw_reply(&mut out);
            if !out.starts_with('>') {
                return out;
            }
        }
    }

    fn raw_reply(&mut self, out: &mut String) {
        let line = self.line().expect("the server hung up");
        out.push_str(&line);
        out.push_str("\r\n");
        let (kind, rest) = line.split_at(1);
        let count = rest.parse::<i64>().unwrap_or(-1);
        match kind {
            "$" if count >= 0 => {
                out.push_str(&self.bulk(usize::try_from(count).unwrap()).unwrap());
                out.push_str("\r\n");
            }
            "*" | "~" | ">" => (0..count).for_each(|_| self.raw_reply(out)),
            "%" => (0..count * 2).for_each(|_| self.raw_reply(out)),
            _ => {}
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            // The server died in the middle of a reply.
            Ok(_) if !line.ends_with('\n') => None,
            Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
            Err(why) if why.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(why) => panic!("no reply: {why}"),
        }
    }

    fn bulk(&mut self, length: usize) -> Option<String> {
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes).ok()?;
        assert_eq!(bytes.split_off(length), b"\r\n");
        Some(String::from_utf8(bytes).unwrap())
    }

    fn many(&mut self, count: usize) -> Option<Vec<Value>> {
        (0..count).map(|_| self.try_receive()).collect()
    }
}
