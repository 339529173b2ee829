//! Writes replies into a `Vec<u8>`, in the version of RESP that the connection speaks.

use super::Protocol;
use crate::error::CommandError;

/// Appends RESP values to a buffer. An aggregate is its header and then as many values as it says;
/// the writer does not count them.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// The version being written.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The header of an array of `len` values.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// The header of a map of `len` pairs; in RESP2 of a flat array of twice as many values.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len * 2),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// The header of a set of `len` values; in RESP2 of an array.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'~', len),
        }
    }

    /// The header of a push frame of `len` values; in RESP2, which has none, of an array.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'>', len),
        }
    }

    /// A status of the server's own words, such as `OK`. Must not hold CR or LF.
    pub fn status(&mut self, text: &'static str) {
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.line_end();
    }

    /// A string of any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.line_end();
    }

    /// A string.
    pub fn text(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// A string that was framed when the program was compiled.
    pub fn framed(&mut self, frame: &'static [u8]) {
        self.out.extend_from_slice(frame);
    }

    /// Makes room for about so many bytes more, so that a long reply is not moved while it grows.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// A number, as an integer where it fits a signed 64-bit one, else as a string of digits.
    pub fn number(&mut self, value: u64) {
        if i64::try_from(value).is_ok() {
            self.line(b':', value);
        } else {
            self.decimal(value);
        }
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        if value < 0 {
            self.out.extend_from_slice(b":-");
            push_decimal(self.out, value.unsigned_abs());
            self.line_end();
        } else {
            self.line(b':', value.unsigned_abs());
        }
    }

    /// A number as a string of digits, for what clients must not do arithmetic with.
    pub fn decimal(&mut self, value: u64) {
        let mut text = Digits::new();
        text.before(b"\r\n");
        text.number(value);
        let length = text.len() - 2;
        text.before(b"\r\n");
        text.number(u64::try_from(length).unwrap_or_default());
        text.before(b"$");
        self.out.extend_from_slice(text.as_slice());
    }

    /// True or false; in RESP2 the integers 1 and 0.
    pub fn boolean(&mut self, value: bool) {
        let bytes: &[u8] = match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        };
        self.out.extend_from_slice(bytes);
    }

    /// Nothing; in RESP2 the null bulk string.
    pub fn null(&mut self) {
        let bytes: &[u8] = match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        };
        self.out.extend_from_slice(bytes);
    }

    /// An error: its word, a blank, its text on one line.
    pub fn error(&mut self, error: &CommandError) {
        self.out.push(b'-');
        self.out.extend_from_slice(error.word().as_bytes());
        self.out.push(b' ');
        let one_line = |byte: u8| if byte < b' ' { b' ' } else { byte };
        self.out.extend(error.text.bytes().map(one_line));
        self.line_end();
    }

    fn header(&mut self, kind: u8, len: usize) {
        self.line(kind, u64::try_from(len).unwrap_or(u64::MAX));
    }

    /// A kind, a number and the end of the line. Most numbers have one digit.
    fn line(&mut self, kind: u8, value: u64) {
        if let Some(digit) = u8::try_from(value).ok().filter(|digit| *digit < 10) {
            return self
                .out
                .extend_from_slice(&[kind, b'0' + digit, b'\r', b'\n']);
        }
        let mut text = Digits::new();
        text.before(b"\r\n");
        text.number(value);
        text.before(&[kind]);
        self.out.extend_from_slice(text.as_slice());
    }

    fn line_end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends a number in decimal.
pub fn push_decimal(out: &mut Vec<u8>, value: u64) {
    let mut digits = Digits::new();
    digits.number(value);
    out.extend_from_slice(digits.as_slice());
}

/// A number and what frames it, written from its end.
struct Digits {
    bytes: [u8; Self::MAX],
    start: usize,
}

/// 00 to 99, so that half as many divisions are needed.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number: u8 = 0;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

impl Digits {
    /// The greatest 64-bit number has 20 digits; a kind, their number and two line ends frame them.
    const MAX: usize = 20 + 1 + 2 + 2 * 2;

    fn new() -> Self {
        Self {
            bytes: [0; Self::MAX],
            start: Self::MAX,
        }
    }

    fn len(&self) -> usize {
        Self::MAX - self.start
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn before(&mut self, text: &[u8]) {
        let end = self.start;
        self.start -= text.len();
        self.bytes[self.start..end].copy_from_slice(text);
    }

    fn number(&mut self, mut value: u64) {
        while value >= 100 {
            self.before(&PAIRS[usize::try_from(value % 100).unwrap_or_default()]);
            value /= 100;
        }
        let pair = &PAIRS[usize::try_from(value).unwrap_or_default()];
        self.before(if value < 10 { &pair[1..] } else { pair });
    }
}

/// Bytes of a text of up to 99 bytes with its frame.
pub(crate) const fn frame_len(text: &str) -> usize {
    let length = text.len();
    assert!(length < 100, "the length has two digits at most");
    length + if length < 10 { 6 } else { 7 }
}

/// A text of `LEN` bytes with its frame, which is the same in both versions of RESP.
pub(crate) const fn frame<const LEN: usize>(text: &str) -> [u8; LEN] {
    let text = text.as_bytes();
    let mut frame = [0; LEN];
    frame[0] = b'$';
    let [tens, ones] = PAIRS[text.len()];
    let mut at = 1;
    if tens != b'0' {
        frame[at] = tens;
        at += 1;
    }
    frame[at] = ones;
    frame[at + 1] = b'\r';
    frame[at + 2] = b'\n';
    at += 3;
    let mut next = 0;
    while next < text.len() {
        frame[at] = text[next];
        at += 1;
        next += 1;
    }
    frame[at] = b'\r';
    frame[at + 1] = b'\n';
    frame
}

/// A literal as a bulk string, framed when the program is compiled: the names of fields are most of
/// what a reply is made of.
macro_rules! framed {
    ($text:literal) => {
        const { &$crate::resp::write::frame::<{ $crate::resp::write::frame_len($text) }>($text) }
    };
}
pub(crate) use framed;

#[cfg(test)]
mod tests {
    use super::*;
    use kidoku_core::error::Code;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
    }

    fn check(write: impl Fn(&mut Writer<'_>), resp2: &str, resp3: &str) {
        assert_eq!(written(Protocol::Resp2, &write), resp2);
        assert_eq!(written(Protocol::Resp3, &write), resp3);
    }

    #[test]
    fn each_value_has_its_form_in_both_versions() {
        check(|w| w.status("OK"), "+OK\r\n", "+OK\r\n");
        check(|w| w.text("é"), "$2\r\né\r\n", "$2\r\né\r\n");
        check(|w| w.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(|w| w.framed(framed!("é")), "$2\r\né\r\n", "$2\r\né\r\n");
        let long = "$16\r\nthreads_mentions\r\n";
        check(|w| w.framed(framed!("threads_mentions")), long, long);
        check(|w| w.array(0), "*0\r\n", "*0\r\n");
        check(|w| w.map(2), "*4\r\n", "%2\r\n");
        check(|w| w.set(2), "*2\r\n", "~2\r\n");
        check(|w| w.push(3), "*3\r\n", ">3\r\n");
        check(|w| w.null(), "$-1\r\n", "_\r\n");
        check(|w| w.boolean(true), ":1\r\n", "#t\r\n");
        check(|w| w.boolean(false), ":0\r\n", "#f\r\n");
        check(|w| w.integer(-1), ":-1\r\n", ":-1\r\n");
        check(|w| w.decimal(0), "$1\r\n0\r\n", "$1\r\n0\r\n");
    }

    #[test]
    fn numbers_are_integers_up_to_2_to_the_63_minus_1_and_strings_above() {
        let lowest = ":-9223372036854775808\r\n";
        check(|w| w.integer(i64::MIN), lowest, lowest);
        check(|w| w.number(0), ":0\r\n", ":0\r\n");
        let highest = ":9223372036854775807\r\n";
        check(|w| w.number(9_223_372_036_854_775_807), highest, highest);
        let above = "$19\r\n9223372036854775808\r\n";
        check(|w| w.number(9_223_372_036_854_775_808), above, above);
        let most = "$20\r\n18446744073709551615\r\n";
        check(|w| w.number(u64::MAX), most, most);
    }

    #[test]
    fn every_number_of_digits_is_written_as_the_language_does() {
        let ends = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1]);
        let tens = (0..20).flat_map(|n| [10_u64.pow(n), 10_u64.pow(n) - 1, 10_u64.pow(n) + 1]);
        for value in (0..1_000).chain(ends).chain(tens).chain([u64::MAX]) {
            let digits = value.to_string();
            let text = format!("${}\r\n{digits}\r\n", digits.len());
            check(|w| w.decimal(value), &text, &text);
            let mut plain = Vec::new();
            push_decimal(&mut plain, value);
            assert_eq!(plain, digits.as_bytes());
            if i64::try_from(value).is_ok() {
                let line = format!(":{digits}\r\n");
                check(|w| w.number(value), &line, &line);
            }
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_its_text() {
        let error = CommandError::new(Code::Busy, "a\r\n+OK\r\nb".to_owned());
        check(
            |w| w.error(&error),
            "-BUSY a  +OK  b\r\n",
            "-BUSY a  +OK  b\r\n",
        );
    }
}
