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

    /// A number, as an integer where it fits a signed 64-bit one, else as a string of digits.
    pub fn number(&mut self, value: u64) {
        if i64::try_from(value).is_ok() {
            self.out.push(b':');
            push_decimal(self.out, value);
            self.line_end();
        } else {
            self.decimal(value);
        }
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.out.push(b':');
        if value < 0 {
            self.out.push(b'-');
        }
        push_decimal(self.out, value.unsigned_abs());
        self.line_end();
    }

    /// A number as a string of digits, for what clients must not do arithmetic with.
    pub fn decimal(&mut self, value: u64) {
        let mut digits = [0; DIGITS_MAX];
        self.bulk(decimal_digits(value, &mut digits));
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
        self.out.push(kind);
        push_decimal(self.out, u64::try_from(len).unwrap_or(u64::MAX));
        self.line_end();
    }

    fn line_end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Digits of the greatest 64-bit number.
const DIGITS_MAX: usize = 20;
const DIGITS: &[u8; 10] = b"0123456789";

/// Appends a number in decimal.
pub fn push_decimal(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; DIGITS_MAX];
    out.extend_from_slice(decimal_digits(value, &mut digits));
}

fn decimal_digits(mut value: u64, digits: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        let digit = usize::try_from(value % 10).unwrap_or_default();
        digits[start] = DIGITS[digit];
        value /= 10;
        if value == 0 {
            return &digits[start..];
        }
    }
}

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
    fn an_error_is_one_line_whatever_its_text() {
        let error = CommandError::new(Code::Busy, "a\r\n+OK\r\nb".to_owned());
        check(
            |w| w.error(&error),
            "-BUSY a  +OK  b\r\n",
            "-BUSY a  +OK  b\r\n",
        );
    }
}
