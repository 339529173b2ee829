//! Where a reply ends, found without reading it: replies come in pieces, and nothing is looked at twice.

/// Elements of a reply that is still to be believed; a larger one is a broken stream.
const ELEMENTS_MAX: u64 = 1 << 32;

/// How the answers of a server are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// RESP, of either version; so many replies are one answer, as a request may be several commands.
    Resp { replies: u64 },
    /// PostgreSQL's messages; an answer ends when the server is ready for the next query.
    Postgres,
}

impl Framing {
    /// The same when a request is a single command.
    pub(crate) fn of_one(self) -> Self {
        match self {
            Self::Resp { .. } => RESP,
            Self::Postgres => Self::Postgres,
        }
    }
}

/// One RESP reply to each request.
pub(crate) const RESP: Framing = Framing::Resp { replies: 1 };

/// Finds the end of answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    framing: Framing,
    /// Bytes of the answer that were seen.
    seen: usize,
    /// Elements of RESP still to come; 0 = between answers.
    left: u64,
}

impl Scan {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            framing,
            seen: 0,
            left: 0,
        }
    }

    /// The length of the answer that `bytes` begin with; `None` = more bytes are needed. Until then the
    /// same bytes, and those behind them, have to be given again.
    ///
    /// # Errors
    /// The byte that begins no reply, or a length that is none.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let end = match self.framing {
            Framing::Resp { replies } => self.resp_end(bytes, replies)?,
            Framing::Postgres => self.postgres_end(bytes)?,
        };
        if end.is_some() {
            self.seen = 0;
        }
        Ok(end)
    }

    fn resp_end(&mut self, bytes: &[u8], replies: u64) -> Result<Option<usize>, String> {
        if self.left == 0 {
            self.left = replies;
        }
        while self.left > 0 {
            let rest = bytes.get(self.seen..).unwrap_or_default();
            let Some(element) = element(rest)? else {
                return Ok(None);
            };
            self.seen += element.bytes;
            self.left += element.holds;
            self.left -= 1;
        }
        Ok(Some(self.seen))
    }

    fn postgres_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        /// One byte of kind, four of a length that counts itself.
        const HEAD: usize = 5;
        loop {
            let rest = bytes.get(self.seen..).unwrap_or_default();
            let Some((kind, length)) =
                rest.split_first()
                    .zip(rest.get(1..HEAD))
                    .map(|((kind, _), length)| {
                        (*kind, length.try_into().map_or(0, u32::from_be_bytes))
                    })
            else {
                return Ok(None);
            };
            let length = usize::try_from(length).map_err(|error| error.to_string())?;
            if length < HEAD - 1 {
                return Err(format!("message {kind} has a length of {length}"));
            }
            if rest.len() < length + 1 {
                return Ok(None);
            }
            self.seen += length + 1;
            if kind == b'Z' {
                return Ok(Some(self.seen));
            }
        }
    }
}

/// An element of RESP: its own bytes, and how many elements follow as parts of it.
struct Element {
    bytes: usize,
    holds: u64,
}

fn element(bytes: &[u8]) -> Result<Option<Element>, String> {
    let Some(line_end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let line = bytes.get(..line_end).unwrap_or_default();
    let Some((kind, text)) = line.split_first() else {
        return Err("a reply begins with an empty line".to_owned());
    };
    let mut size = line_end + 1;
    let mut holds = 0;
    match kind {
        b':' | b'+' | b'-' | b',' | b'#' | b'_' | b'(' => {}
        b'$' | b'=' | b'!' => {
            if let Some(length) = length(text)? {
                size += usize::try_from(length).map_err(|error| error.to_string())? + 2;
                if bytes.len() < size {
                    return Ok(None);
                }
            }
        }
        b'*' | b'~' | b'>' => holds = length(text)?.unwrap_or(0),
        b'%' => holds = length(text)?.unwrap_or(0) * 2,
        other => return Err(format!("a reply begins with byte {other}")),
    }
    Ok(Some(Element { bytes: size, holds }))
}

/// A length; `None` = the null of RESP2.
fn length(text: &[u8]) -> Result<Option<u64>, String> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text == b"-1" {
        return Ok(None);
    }
    let mut number = 0_u64;
    for byte in text {
        if !byte.is_ascii_digit() || number > ELEMENTS_MAX {
            return Err(format!("{:?} is no length", String::from_utf8_lossy(text)));
        }
        number = number * 10 + u64::from(byte - b'0');
    }
    Ok(Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [&str; 10] = [
        ":1\r\n",
        "+OK\r\n",
        "-BUSY later\r\n",
        "$0\r\n\r\n",
        "$5\r\na\nb\r\n\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*-1\r\n+y\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n_\r\n",
        "*2\r\n$3\r\nabc\r\n*0\r\n",
    ];

    #[test]
    fn a_reply_ends_where_it_ends_whatever_follows() {
        for reply in REPLIES {
            let followed = format!("{reply}:7\r\n");
            let mut scan = Scan::new(RESP);
            assert_eq!(scan.end(followed.as_bytes()), Ok(Some(reply.len())));
            assert_eq!(
                scan.end(followed.get(reply.len()..).unwrap().as_bytes()),
                Ok(Some(4))
            );
        }
    }

    #[test]
    fn a_reply_cut_at_any_byte_ends_when_the_rest_is_there() {
        for reply in REPLIES {
            for cut in 0..reply.len() {
                let mut scan = Scan::new(RESP);
                let first = reply.as_bytes().get(..cut).unwrap();
                assert_eq!(scan.end(first), Ok(None), "{reply:?} cut at {cut}");
                assert_eq!(scan.end(reply.as_bytes()), Ok(Some(reply.len())));
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [
            "\r\n",
            "HTTP/1.1 400\r\n",
            "$x\r\n",
            "*99999999999999999999\r\n",
        ] {
            assert!(Scan::new(RESP).end(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn an_answer_may_be_several_replies() {
        let mut scan = Scan::new(Framing::Resp { replies: 3 });
        let answer = ":1\r\n*2\r\n:1\r\n:2\r\n+OK\r\n";
        for cut in 0..answer.len() {
            assert_eq!(scan.end(answer.as_bytes().get(..cut).unwrap()), Ok(None));
        }
        let followed = format!("{answer}:9\r\n");
        assert_eq!(scan.end(followed.as_bytes()), Ok(Some(answer.len())));
    }

    #[test]
    fn an_answer_of_postgres_ends_when_it_is_ready() {
        let answer = b"2\0\0\0\x04C\0\0\0\x0fINSERT 0 1\0Z\0\0\0\x05I";
        let mut scan = Scan::new(Framing::Postgres);
        for cut in 0..answer.len() {
            assert_eq!(scan.end(answer.get(..cut).unwrap()), Ok(None));
        }
        let followed = [&answer[..], &answer[..3]].concat();
        assert_eq!(scan.end(&followed), Ok(Some(answer.len())));
        assert!(Scan::new(Framing::Postgres).end(b"Z\0\0\0\x01").is_err());
    }
}
