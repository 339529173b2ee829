//! RESP from a client, and replies as a client reads them: the same bytes give the same, however
//! the network cuts them.

use kidoku_proto::resp::decode::{Decoder, encode_command};
use kidoku_proto::resp::parse::{Limits, Parsed, Parser};

/// Limits that short inputs reach.
const SMALL: Limits = Limits {
    args_max: 4,
    bulk_bytes_max: 8,
    inline_bytes_max: 20,
    request_bytes_max: 48,
    scope: "in tests",
};

/// Inputs up to this long are cut at every byte; longer ones at one that the input chooses.
const CUT_EVERYWHERE_MAX: usize = 48;

/// What a connection saw: each request, each error, and how many bytes they took.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    entries: Vec<Entry>,
    consumed: usize,
    is_closed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Command(Vec<Vec<u8>>),
    Empty,
    Refused(String),
}

/// Parses what comes in pieces.
fn transcript<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Transcript {
    let mut parser = Parser::new();
    let mut buffer = Vec::new();
    let mut seen = Transcript::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !seen.is_closed {
            let consumed = match parser.parse(&buffer, limits) {
                Ok(Parsed::Incomplete) => break,
                Ok(Parsed::Empty { consumed }) => {
                    seen.entries.push(Entry::Empty);
                    consumed
                }
                Ok(Parsed::Command { args, consumed }) => {
                    let words: Vec<Vec<u8>> = args.iter_from(0).map(<[u8]>::to_vec).collect();
                    assert_eq!(words.len(), args.len());
                    assert!((1..=limits.args_max).contains(&words.len()));
                    let long = limits.bulk_bytes_max.max(limits.inline_bytes_max);
                    assert!(words.iter().all(|word| word.len() <= long));
                    seen.entries.push(Entry::Command(words));
                    consumed
                }
                Err(error) => {
                    let text = error.error().to_string();
                    assert!(!text.contains(['\r', '\n']), "{text:?}");
                    seen.entries.push(Entry::Refused(text));
                    seen.is_closed = error.consumed.is_none();
                    error.consumed.unwrap_or_default()
                }
            };
            assert!(consumed <= buffer.len(), "more bytes taken than there are");
            assert!(consumed > 0 || seen.is_closed, "no bytes taken");
            seen.consumed += consumed;
            buffer.drain(..consumed);
        }
    }
    seen
}

/// What a client read: each reply as text, then how it ended.
fn replies<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, usize) {
    let mut decoder = Decoder::default();
    let mut buffer = Vec::new();
    let (mut seen, mut taken) = (Vec::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&buffer) {
                Ok(None) => break,
                Ok(Some((value, consumed))) => {
                    assert!((1..=buffer.len()).contains(&consumed));
                    seen.push(format!("{value:?}"));
                    taken += consumed;
                    buffer.drain(..consumed);
                }
                Err(error) => {
                    seen.push(error.to_string());
                    return (seen, taken);
                }
            }
        }
    }
    (seen, taken)
}

fn cuts(data: &[u8]) -> Vec<usize> {
    if data.len() <= CUT_EVERYWHERE_MAX {
        return (1..data.len()).collect();
    }
    let sum: usize = data.iter().map(|byte| usize::from(*byte)).sum();
    vec![sum % data.len()]
}

/// Parses the input as requests and as replies: whole, byte by byte, and cut in two.
pub fn run(data: &[u8]) {
    for limits in [SMALL, Limits::BEFORE_AUTH, Limits::AFTER_AUTH] {
        let whole = transcript([data], &limits);
        let single = transcript(data.chunks(1), &limits);
        assert_eq!(whole, single, "byte by byte");
        for at in cuts(data) {
            let (one, two) = data.split_at(at);
            assert_eq!(whole, transcript([one, two], &limits), "cut at {at}");
        }
        check_round_trip(&whole);
    }
    let whole = replies([data]);
    assert_eq!(whole, replies(data.chunks(1)), "byte by byte");
    for at in cuts(data) {
        let (one, two) = data.split_at(at);
        assert_eq!(whole, replies([one, two]), "cut at {at}");
    }
}

/// Commands written again as clients write them are the same commands.
fn check_round_trip(seen: &Transcript) {
    for entry in &seen.entries {
        let Entry::Command(words) = entry else {
            continue;
        };
        let mut bytes = Vec::new();
        encode_command(&mut bytes, words);
        let again = transcript([bytes.as_slice()], &Limits::AFTER_AUTH);
        assert_eq!(again.entries, [Entry::Command(words.clone())]);
        assert_eq!(again.consumed, bytes.len());
    }
}
