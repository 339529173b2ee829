//! Requests that differ in a few numbers only: the bytes are made once, the digits for each request.

/// A request with places for numbers of a fixed width, so that its lengths never change.
///
/// In the words it is made of, `{2:6}` stands for number 2, counted from 0, in six digits with zeros in
/// front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    holes: Vec<Hole>,
}

/// Where digits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    at: usize,
    width: usize,
    number: usize,
}

impl Template {
    /// A RESP command.
    pub(crate) fn resp(words: &[&str]) -> Self {
        let mut template = Self::default();
        template.push(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            let (word, holes) = opened(word);
            template.push(format!("${}\r\n", word.len()).as_bytes());
            template.push_opened(&word, &holes);
            template.push(b"\r\n");
        }
        template
    }

    /// A statement of PostgreSQL that a session has prepared, with its parameters as text, carried out and
    /// committed by itself.
    pub(crate) fn postgres(statement: &str, parameters: &[&str]) -> Self {
        // No name of a portal, the statement, all parameters and results as text.
        let mut bind = Self::default();
        bind.push(&[b"\0", statement.as_bytes(), b"\0\0\0"].concat());
        let count = u16::try_from(parameters.len()).unwrap_or(u16::MAX);
        bind.push(&count.to_be_bytes());
        for parameter in parameters {
            let (text, holes) = opened(parameter);
            bind.push(&length_of(text.len()));
            bind.push_opened(&text, &holes);
        }
        bind.push(b"\0\0");
        let mut template = Self::default();
        template.push(&head_of(b'B', bind.bytes.len()));
        template.append(bind);
        // No name of a portal, all rows.
        template.push(&message(b'E', b"\0\0\0\0\0"));
        template.push(&message(b'S', b""));
        template
    }

    /// Several requests in one.
    pub(crate) fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut whole = Self::default();
        parts.into_iter().for_each(|part| whole.append(part));
        whole
    }

    fn append(&mut self, part: Self) {
        let start = self.bytes.len();
        self.holes.extend(part.holes.into_iter().map(|hole| Hole {
            at: start + hole.at,
            ..hole
        }));
        self.push(&part.bytes);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn push_opened(&mut self, word: &str, holes: &[Hole]) {
        self.append(Self {
            bytes: word.as_bytes().to_vec(),
            holes: holes.to_vec(),
        });
    }

    /// Appends the request with these numbers. A number that is too long loses its upper digits, so
    /// widths are chosen for the largest that can be.
    pub(crate) fn write(&self, numbers: &[u64], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for Hole { at, width, number } in &self.holes {
            let number = numbers.get(*number).copied().unwrap_or(0);
            if let Some(hole) = out.get_mut(start + at..start + at + width) {
                digits(number, hole);
            }
        }
    }

    /// The request with these numbers.
    pub(crate) fn with(&self, numbers: &[u64]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len());
        self.write(numbers, &mut out);
        out
    }
}

/// Bytes in front of what a message of PostgreSQL says.
const HEAD: usize = 5;

/// A message of PostgreSQL.
pub(crate) fn message(kind: u8, text: &[u8]) -> Vec<u8> {
    [&head_of(kind, text.len()), text].concat()
}

fn head_of(kind: u8, length: usize) -> [u8; HEAD] {
    // The length counts itself and not the kind.
    let [a, b, c, d] = length_of(length + HEAD - 1);
    [kind, a, b, c, d]
}

fn length_of(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// A word with zeros in its holes, and where they are.
fn opened(word: &str) -> (String, Vec<Hole>) {
    let mut text = String::new();
    let mut holes = Vec::new();
    let mut rest = word;
    while let Some((before, number, width, after)) = next_hole(rest) {
        text.push_str(before);
        holes.push(Hole {
            at: text.len(),
            width,
            number,
        });
        text.push_str(&"0".repeat(width));
        rest = after;
    }
    text.push_str(rest);
    (text, holes)
}

/// What stands before the next hole, its number and width, and what stands behind it.
fn next_hole(word: &str) -> Option<(&str, usize, usize, &str)> {
    let (before, rest) = word.split_once('{')?;
    let (inside, after) = rest.split_once('}')?;
    let (number, width) = inside.split_once(':')?;
    Some((before, number.parse().ok()?, width.parse().ok()?, after))
}

fn digits(mut number: u64, hole: &mut [u8]) {
    for digit in hole.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

/// One RESP command, for what is not sent often.
pub(crate) fn command(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_into_their_places_with_zeros_in_front() {
        let template = Template::resp(&["HSET", "user:{0:4}", "{2:2}x{0:1}", "{1:3}"]);
        let mut out = b"before".to_vec();
        template.write(&[42, 999, 7], &mut out);
        let expected = "before*4\r\n$4\r\nHSET\r\n$9\r\nuser:0042\r\n$4\r\n07x2\r\n$3\r\n999\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn parameters_of_a_prepared_statement_are_numbers_of_a_fixed_width() {
        let found = Template::postgres("ack", &["{0:3}", "7"]).with(&[42]);
        let bind = b"B\0\0\0\x1b\0ack\0\0\0\0\x02\0\0\0\x03042\0\0\0\x017\0\0";
        let rest = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";
        assert_eq!(found, [&bind[..], rest].concat());
    }

    #[test]
    fn joined_requests_share_their_numbers() {
        let parts = [["A", "{1:2}"], ["B", "x{0:1}"]].map(|words| Template::resp(&words));
        let found = Template::joined(parts).with(&[6, 5]);
        assert_eq!(
            found,
            [command(&["A", "05"]), command(&["B", "x6"])].concat()
        );
    }

    #[test]
    fn a_template_without_places_is_the_command_itself() {
        let words = ["KD.ACK", "ada", "général", "42"];
        assert_eq!(Template::resp(&words).with(&[]), command(&words));
    }
}
