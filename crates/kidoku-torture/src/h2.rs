//! The client's end of an HTTP/2 connection (RFC 9113), frame by frame: what no library would let
//! through can be sent, and a mistake in the server's library can not hide in both ends.

use std::io::{Read, Write};

/// A frame's kind.
pub const DATA: u8 = 0;
/// A frame's kind.
pub const HEADERS: u8 = 1;
/// A frame's kind.
pub const RST_STREAM: u8 = 3;
/// A frame's kind.
pub const SETTINGS: u8 = 4;
/// A frame's kind.
pub const PING: u8 = 6;
/// A frame's kind.
pub const GOAWAY: u8 = 7;
/// A frame's kind.
pub const WINDOW_UPDATE: u8 = 8;
/// A frame's kind.
pub const CONTINUATION: u8 = 9;

/// A flag of [`DATA`] and [`HEADERS`]: nothing more comes on the stream.
pub const END_STREAM: u8 = 1;
/// A flag of [`SETTINGS`] and [`PING`]: it is an answer.
pub const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// How a client begins (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Settings (section 6.5.2) that a client may want to make.
pub const HEADER_TABLE_SIZE: u16 = 1;
/// See [`HEADER_TABLE_SIZE`].
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// Numbers of headers in HPACK's static table (RFC 7541, appendix A).
const STATUS: usize = 8;
const RETRY_AFTER: usize = 53;

/// See the module.
#[derive(Debug)]
pub struct H2<S> {
    /// What it goes over.
    pub stream: S,
    /// What the server set, as it came.
    pub settings: Vec<u8>,
}

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    /// [`DATA`] and so on.
    pub kind: u8,
    /// [`END_STREAM`] and so on.
    pub flags: u8,
    /// Which stream; 0 = all.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

/// The answer to a request.
#[derive(Debug, Default)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Seconds after which to come again, if it says so.
    pub retry_after_s: Option<u32>,
    /// All of the body.
    pub body: Vec<u8>,
}

impl<S: Read + Write> H2<S> {
    /// Comes to an understanding with the server.
    pub fn open(stream: S) -> Self {
        Self::with(stream, &[])
    }

    /// The same with settings.
    pub fn with(stream: S, settings: &[(u16, u32)]) -> Self {
        let mut h2 = Self {
            stream,
            settings: Vec::new(),
        };
        h2.stream.write_all(PREFACE).unwrap();
        // Without a table every block of headers can be read by itself.
        let mut wanted = Vec::new();
        for (setting, value) in [(HEADER_TABLE_SIZE, 0)].iter().chain(settings) {
            wanted.extend(setting.to_be_bytes());
            wanted.extend(value.to_be_bytes());
        }
        h2.send(SETTINGS, 0, 0, &wanted);
        let settings = h2.read();
        assert_eq!((settings.kind, settings.flags), (SETTINGS, 0));
        h2.settings = settings.payload;
        h2.send(SETTINGS, ACK, 0, &[]);
        h2
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.stream
            .write_all(&frame(kind, flags, stream, payload))
            .unwrap();
    }

    /// Begins a request whose body follows.
    pub fn begin(&mut self, stream: u32, method: &str, path: &str, headers: &[(&str, &str)]) {
        let bytes = request(0, stream, method, path, headers);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Sends a request without a body.
    pub fn ask(&mut self, stream: u32, path: &str, headers: &[(&str, &str)]) {
        let bytes = request(END_STREAM, stream, "GET", path, headers);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Lets the server send so many more bytes on a stream; on 0 = on all together.
    pub fn widen(&mut self, stream: u32, bytes: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    }

    /// The next frame, whatever it is.
    pub fn read(&mut self) -> Frame {
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

    /// The next frame that says something about a request or the connection's end.
    pub fn hear(&mut self) -> Frame {
        loop {
            let frame = self.read();
            if frame.kind != SETTINGS && frame.kind != WINDOW_UPDATE {
                return frame;
            }
        }
    }

    /// The server says that it goes, and asks whether that has arrived.
    pub fn take_leave(&mut self) {
        assert_eq!(self.hear().kind, GOAWAY);
        let ping = self.hear();
        assert_eq!(ping.kind, PING);
        self.send(PING, ACK, 0, &ping.payload);
    }

    /// The answer to one request; those of others are passed over.
    pub fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        loop {
            let frame = self.hear();
            if frame.stream == stream && answer.take(&frame) {
                return answer;
            }
        }
    }
}

impl Answer {
    /// Takes a frame of the request's stream; true = it was the last.
    ///
    /// # Panics
    /// When the request is not answered but reset.
    pub fn take(&mut self, frame: &Frame) -> bool {
        match frame.kind {
            HEADERS => {
                self.status = number_in(&frame.payload, STATUS).unwrap();
                self.retry_after_s = number_in(&frame.payload, RETRY_AFTER).map(u32::from);
            }
            DATA => self.body.extend(&frame.payload),
            kind => panic!("frame {kind}: {:?}", frame.payload),
        }
        frame.flags & END_STREAM != 0
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The frames of a request's head.
pub fn request(
    flags: u8,
    stream: u32,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Vec<u8> {
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
    let mut bytes = frame(HEADERS, flags | whole, stream, first);
    for (n, piece) in rest.iter().enumerate() {
        let last = if n + 1 == rest.len() { END_HEADERS } else { 0 };
        bytes.extend(frame(CONTINUATION, last, stream, piece));
    }
    bytes
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

/// The number in a header of HPACK's static table.
fn number_in(block: &[u8], wanted: usize) -> Option<u16> {
    let mut rest = block;
    while let Some(&first) = rest.first() {
        match first {
            128.. => {
                let index = take_integer(&mut rest, 7);
                if wanted == STATUS && (STATUS..STATUS + 7).contains(&index) {
                    return Some([200, 204, 206, 304, 400, 404, 500][index - STATUS]);
                }
            }
            // The size of the table.
            32..=63 => _ = take_integer(&mut rest, 5),
            _ => {
                let name = take_integer(&mut rest, if first >= 64 { 6 } else { 4 });
                if name == 0 {
                    take_text(&mut rest);
                }
                let (huffman, text) = take_text(&mut rest);
                if name == wanted {
                    return Some(digits(huffman, text));
                }
            }
        }
    }
    None
}

/// An integer whose first byte has so many bits of it.
fn take_integer(rest: &mut &[u8], bits: u32) -> usize {
    let most = (1_usize << bits) - 1;
    let (first, after) = rest.split_first().unwrap();
    *rest = after;
    let mut value = usize::from(*first) & most;
    if value < most {
        return value;
    }
    for shift in (0..).step_by(7) {
        let (byte, after) = rest.split_first().unwrap();
        *rest = after;
        value += usize::from(byte & 127) << shift;
        if *byte < 128 {
            break;
        }
    }
    value
}

/// A text, and whether it is in Huffman's code.
fn take_text<'a>(rest: &mut &'a [u8]) -> (bool, &'a [u8]) {
    let huffman = rest[0] >= 128;
    let length = take_integer(rest, 7);
    let (text, after) = rest.split_at(length);
    *rest = after;
    (huffman, text)
}

/// The number that a text of digits is.
fn digits(huffman: bool, text: &[u8]) -> u16 {
    if !huffman {
        return std::str::from_utf8(text).unwrap().parse().unwrap();
    }
    // Of 0 to 2 the code is the digit in five bits, of 3 to 9 it is the digit and 22 in six; ones
    // fill up the last byte (RFC 7541, appendix B).
    let bits: Vec<u16> = text
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)))
        .collect();
    let code = |bits: &[u16]| bits.iter().fold(0, |code, bit| code * 2 + bit);
    let (mut number, mut at) = (0, 0);
    while let Some(five) = bits.get(at..at + 5) {
        let (digit, length) = match (code(five), bits.get(at..at + 6).map(code)) {
            (short @ 0..=2, _) => (short, 5),
            (_, Some(long @ 25..=31)) => (long - 22, 6),
            _ => break,
        };
        number = number * 10 + digit;
        at += length;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_plain_and_in_huffmans_code() {
        assert_eq!(digits(false, b"429"), 429);
        // What another implementation makes of these.
        for (text, number) in [
            (&[0x68, 0x4f, 0xff][..], 429),
            (&[0x69, 0x90, 0xff], 431),
            (&[0x68, 0x01], 401),
            (&[0x0f], 1),
        ] {
            assert_eq!(digits(true, text), number);
        }
    }

    #[test]
    fn a_header_is_found_behind_others() {
        // The table's size, a status by its number, a name that is spelled out, a time to come again.
        let block = [
            0x20, 0x88, 0x00, 0x01, b'x', 0x01, b'y', 0x0f, 0x26, 0x02, b'1', b'2',
        ];
        assert_eq!(number_in(&block, STATUS), Some(200));
        assert_eq!(number_in(&block, RETRY_AFTER), Some(12));
        assert_eq!(number_in(&block[..2], RETRY_AFTER), None);
    }
}
