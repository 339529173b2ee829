//! Requests that differ in a few numbers only: the bytes are made once, the digits for each request.

/// A request with places for numbers of a fixed width, so that its lengths never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// Where digits go: first byte and how many.
    holes: Vec<(usize, usize)>,
}

impl Template {
    /// A RESP command. In a word, `{n}` stands for a number of n digits, with zeros in front.
    pub(crate) fn resp(words: &[&str]) -> Self {
        let mut template = Self {
            bytes: format!("*{}\r\n", words.len()).into_bytes(),
            holes: Vec::new(),
        };
        for word in words {
            let (word, holes) = opened(word);
            template.push(format!("${}\r\n", word.len()).as_bytes());
            let start = template.bytes.len();
            let moved = holes.iter().map(|(at, width)| (start + at, *width));
            template.holes.extend(moved);
            template.push(word.as_bytes());
            template.push(b"\r\n");
        }
        template
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the request with these numbers. A number that is too long loses its upper digits, so
    /// widths are chosen for the largest that can be.
    pub(crate) fn write(&self, numbers: &[u64], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for ((at, width), number) in self.holes.iter().zip(numbers) {
            if let Some(hole) = out.get_mut(start + at..start + at + width) {
                digits(*number, hole);
            }
        }
    }
}

/// A word with zeros in its holes, and where they are.
fn opened(word: &str) -> (String, Vec<(usize, usize)>) {
    let mut text = String::new();
    let mut holes = Vec::new();
    let mut rest = word;
    while let Some((before, (width, after))) = next_hole(rest) {
        text.push_str(before);
        holes.push((text.len(), width));
        text.push_str(&"0".repeat(width));
        rest = after;
    }
    text.push_str(rest);
    (text, holes)
}

/// What stands before the next hole, its width, and what stands behind it.
fn next_hole(word: &str) -> Option<(&str, (usize, &str))> {
    let (before, rest) = word.split_once('{')?;
    let (width, after) = rest.split_once('}')?;
    Some((before, (width.parse().ok()?, after)))
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
        let template = Template::resp(&["HSET", "user:{4}", "{2}x", "{3}"]);
        let mut out = b"before".to_vec();
        template.write(&[42, 7, 999], &mut out);
        let expected = "before*4\r\n$4\r\nHSET\r\n$9\r\nuser:0042\r\n$3\r\n07x\r\n$3\r\n999\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_template_without_places_is_the_command_itself() {
        let words = ["KD.ACK", "ada", "général", "42"];
        let mut out = Vec::new();
        Template::resp(&words).write(&[], &mut out);
        assert_eq!(out, command(&words));
    }
}
