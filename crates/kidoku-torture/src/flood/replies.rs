//! Tells apart the answers in a stream of bytes, and no more than that: the load has to cost its
//! core less than the answers cost the server.

/// What an answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The command was done.
    Done,
    /// Refused because of too much work, with a time to come again.
    Busy,
    /// Refused because of too much work, without a time: a broken promise.
    BusyWithoutTime,
    /// Any other refusal.
    Refused,
}

/// What the stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// The Redis protocol.
    Resp,
    /// HTTP/1.1 with a content length in every answer.
    Http,
}

/// Takes bytes as they come and hands out whole answers.
#[derive(Debug)]
pub(super) struct Replies {
    speech: Speech,
    bytes: Vec<u8>,
    at: usize,
    /// Values that belong to the answer at hand and have not come yet.
    owed: u64,
    kind: Kind,
    /// The first line that was a refusal of no expected kind.
    pub(super) oddity: Option<String>,
}

impl Replies {
    pub(super) fn new(speech: Speech) -> Self {
        Self {
            speech,
            bytes: Vec::new(),
            at: 0,
            owed: 0,
            kind: Kind::Done,
            oddity: None,
        }
    }

    /// Adds what was read.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        } else if self.at > 1 << 20 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole answer, if it is there.
    pub(super) fn next(&mut self) -> Option<Kind> {
        match self.speech {
            Speech::Resp => self.next_resp(),
            Speech::Http => self.next_http(),
        }
    }

    fn next_resp(&mut self) -> Option<Kind> {
        if self.owed == 0 {
            self.owed = 1;
            self.kind = Kind::Done;
        }
        while self.owed > 0 {
            let rest = &self.bytes[self.at..];
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = rest[..end].strip_suffix(b"\r").unwrap();
            let (mark, value) = (line[0], &line[1..]);
            let count = || number(value).unwrap_or(0);
            let (mut length, mut more) = (end + 1, 0);
            match mark {
                b'$' | b'=' if value != b"-1" => {
                    length += usize::try_from(count()).unwrap() + 2;
                    if rest.len() < length {
                        return None;
                    }
                }
                b'*' | b'~' | b'>' => more = count(),
                b'%' => more = 2 * count(),
                b'-' => {
                    self.kind = judge(value);
                    let odd = String::from_utf8_lossy(value).into_owned();
                    self.note(odd);
                }
                _ => {}
            }
            self.owed = self.owed - 1 + more;
            self.at += length;
        }
        Some(self.kind)
    }

    fn next_http(&mut self) -> Option<Kind> {
        let rest = &self.bytes[self.at..];
        let head_end = rest.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&rest[..head_end]).unwrap();
        let length = header(head, "content-length").map_or(0, |text| text.parse().unwrap());
        if rest.len() < head_end + length {
            return None;
        }
        let status = head.get(9..12).unwrap_or_default();
        let has_time = header(head, "retry-after").is_some();
        let body = &rest[head_end..head_end + length];
        let says_busy = body.windows(6).any(|six| six == b"\"BUSY\"");
        let kind = match (status, says_busy && has_time) {
            ("200" | "201" | "204", _) => Kind::Done,
            ("429" | "503", true) => Kind::Busy,
            ("429" | "503", false) => Kind::BusyWithoutTime,
            _ => Kind::Refused,
        };
        let odd = String::from_utf8_lossy(&rest[..head_end + length]).into_owned();
        self.at += head_end + length;
        self.kind = kind;
        if kind != Kind::Done {
            self.note(odd);
        }
        Some(kind)
    }

    fn note(&mut self, text: String) {
        if self.kind != Kind::Busy && self.oddity.is_none() {
            self.oddity = Some(text);
        }
    }
}

fn judge(text: &[u8]) -> Kind {
    if !text.starts_with(b"BUSY ") {
        Kind::Refused
    } else if text.windows(12).any(|part| part == b"retry after ") {
        Kind::Busy
    } else {
        Kind::BusyWithoutTime
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(speech: Speech, bytes: &[u8], step: usize) -> Vec<Kind> {
        let mut replies = Replies::new(speech);
        let mut kinds = Vec::new();
        for piece in bytes.chunks(step) {
            replies.feed(piece);
            while let Some(kind) = replies.next() {
                kinds.push(kind);
            }
        }
        kinds
    }

    #[test]
    fn answers_are_told_apart_wherever_the_stream_is_cut() {
        let resp = b":1\r\n*2\r\n$3\r\na\r\n\r\n*1\r\n:2\r\n-BUSY full, retry after 100 ms\r\n\
                     -BUSY full\r\n$-1\r\n-NOAUTH no\r\n%1\r\n+a\r\n$0\r\n\r\n";
        let expected = [
            Kind::Done,
            Kind::Done,
            Kind::Busy,
            Kind::BusyWithoutTime,
            Kind::Done,
            Kind::Refused,
            Kind::Done,
        ];
        let http = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 429 No\r\nRetry-After: 1\r\n\
                     Content-Length: 15\r\n\r\n{\"code\":\"BUSY\"}HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
        let expected_http = [Kind::Done, Kind::Busy, Kind::BusyWithoutTime];
        for step in 1..60 {
            assert_eq!(kinds(Speech::Resp, resp, step), expected);
            assert_eq!(kinds(Speech::Http, http, step), expected_http);
        }
    }
}
