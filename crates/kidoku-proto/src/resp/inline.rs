//! Inline commands: a line of words, as typed into telnet, with the quoting rules of Redis.

use super::parse::{Fault, Span};

/// Splits a line into words; appends their bytes, unquoted, to `bytes` and their places to `spans`.
///
/// Between double quotes a backslash escapes: `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH`, and any other
/// character stands for itself. Between single quotes only `\'` does. A closing quote ends the word.
pub(super) fn split(
    line: &[u8],
    args_max: usize,
    bytes: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), Fault> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(());
        }
        if spans.len() == args_max {
            return Err(Fault::TooManyArgs { max: args_max });
        }
        let start = bytes.len();
        rest = word(rest, bytes)?;
        spans.push(Span {
            start,
            end: bytes.len(),
        });
    }
}

/// Appends one word and answers what follows it.
fn word<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Fault> {
    while let [first, tail @ ..] = rest {
        match first {
            b'"' => return closed(double_quoted(tail, bytes)?),
            b'\'' => return closed(single_quoted(tail, bytes)?),
            byte if byte.is_ascii_whitespace() => return Ok(rest),
            byte => bytes.push(*byte),
        }
        rest = tail;
    }
    Ok(rest)
}

/// After a closing quote only a blank or the end may follow.
fn closed(rest: &[u8]) -> Result<&[u8], Fault> {
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(Fault::UnbalancedQuotes),
        Some(_) | None => Ok(rest),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Fault> {
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                bytes.push(hex_digit(*high) << 4 | hex_digit(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
            [] => return Err(Fault::UnbalancedQuotes),
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Fault> {
    loop {
        rest = match rest {
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => {
                bytes.push(b'\'');
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
            [] => return Err(Fault::UnbalancedQuotes),
        };
    }
}

/// The value of a hexadecimal digit; the caller has checked that it is one.
fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte.saturating_sub(b'A') + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<String>, Fault> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        split(line.as_bytes(), 8, &mut bytes, &mut spans)?;
        let word = |span: &Span| bytes[span.start..span.end].escape_ascii().to_string();
        Ok(spans.iter().map(word).collect())
    }

    #[test]
    fn words_are_split_at_blanks_and_joined_by_quotes() {
        assert_eq!(words("").unwrap(), Vec::<String>::new());
        assert_eq!(words("  \t ").unwrap(), Vec::<String>::new());
        assert_eq!(
            words(" kd.ack  u\tc 1 ").unwrap(),
            ["kd.ack", "u", "c", "1"]
        );
        assert_eq!(words(r#"echo "a b""#).unwrap(), ["echo", "a b"]);
        assert_eq!(words(r#"echo """#).unwrap(), ["echo", ""]);
        assert_eq!(words("echo 'a b' ''").unwrap(), ["echo", "a b", ""]);
        assert_eq!(words(r#"echo ab"c d""#).unwrap(), ["echo", "abc d"]);
    }

    #[test]
    fn escapes_stand_for_their_bytes_inside_double_quotes_only() {
        assert_eq!(
            words(r#""\n\r\t\b\a\x41\xfF\q\\\"""#).unwrap(),
            [r#"\n\r\t\x08\x07A\xffq\\\""#]
        );
        assert_eq!(words(r#""\xg1""#).unwrap(), ["xg1"]);
        assert_eq!(words(r"'\n\'x'").unwrap(), [r"\\n\'x"]);
        assert_eq!(words(r"\n").unwrap(), [r"\\n"]);
    }

    #[test]
    fn quotes_that_do_not_close_or_run_into_a_word_are_refused() {
        for bad in [
            r#"""#, r#""a"#, r#""a\"#, r#""a"b"#, "'", "'a", "'a'b", r#"a"b"c"#,
        ] {
            assert_eq!(words(bad), Err(Fault::UnbalancedQuotes), "{bad}");
        }
    }

    #[test]
    fn words_are_counted_against_the_limit() {
        assert_eq!(words("1 2 3 4 5 6 7 8 ").unwrap().len(), 8);
        assert_eq!(
            words("1 2 3 4 5 6 7 8 9"),
            Err(Fault::TooManyArgs { max: 8 })
        );
    }
}
