//! Where a reply ends, found without reading it: replies come in pieces, and nothing is looked at twice.

/// Elements of a reply that is still to be believed; a larger one is a broken stream.
const ELEMENTS_MAX: u64 = 1 << 32;

/// Finds the end of RESP replies, also of those in a map, set or push of RESP3.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// Bytes of the reply that were seen.
    seen: usize,
    /// Elements still to come, this one included; 0 = between replies.
    left: u64,
}

impl Scan {
    /// The length of the reply that `bytes` begin with; `None` = more bytes are needed. Until then the
    /// same bytes, and those behind them, have to be given again.
    ///
    /// # Errors
    /// The byte that begins no reply, or a length that is none.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        if self.left == 0 {
            *self = Self { seen: 0, left: 1 };
        }
        while self.left > 0 {
            let rest = bytes.get(self.seen..).unwrap_or_default();
            let Some(line_end) = rest.iter().position(|byte| *byte == b'\n') else {
                return Ok(None);
            };
            let line = rest.get(..line_end).unwrap_or_default();
            let Some((kind, text)) = line.split_first() else {
                return Err("a reply begins with an empty line".to_owned());
            };
            let mut size = line_end + 1;
            match kind {
                b':' | b'+' | b'-' | b',' | b'#' | b'_' | b'(' => {}
                b'$' | b'=' | b'!' => {
                    if let Some(length) = length(text)? {
                        size += usize::try_from(length).map_err(|e| e.to_string())? + 2;
                        if rest.len() < size {
                            return Ok(None);
                        }
                    }
                }
                b'*' | b'~' | b'>' => self.left += length(text)?.unwrap_or(0),
                b'%' => self.left += length(text)?.unwrap_or(0) * 2,
                other => return Err(format!("a reply begins with byte {other}")),
            }
            self.seen += size;
            self.left -= 1;
        }
        Ok(Some(self.seen))
    }
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
            let mut scan = Scan::default();
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
                let mut scan = Scan::default();
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
            assert!(Scan::default().end(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
