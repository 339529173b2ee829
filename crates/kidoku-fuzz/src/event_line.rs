//! Streams of events: lines are cut out the same however the stream comes in, a line becomes a
//! request or an error of one line, and a fact that was read can be written and read again.

use kidoku_core::clock::Millis;
use kidoku_core::fact::{Fact, codec};
use kidoku_core::id::App;
use kidoku_core::limits::EVENT_LINE_BYTES_MAX;
use kidoku_core::request::Request;
use kidoku_proto::event::{Context, Line, Lines, fact_to_line, is_blank, parse_line};
use kidoku_proto::ids::{IdSource, NumericIds, OpaqueIds, SnowflakeIds};

const NOW: Millis = Millis(1_700_000_000_000);

/// What an error may say, the names of all fields included.
const DETAIL_BYTES_MAX: usize = 2_000;

/// Cuts the input into lines, whole and in pieces, and reads each line as an event.
pub fn run(data: &[u8]) {
    let whole = lines([data]);
    assert_eq!(whole, lines(data.chunks(1)), "byte by byte");
    let sum: usize = data.iter().map(|byte| usize::from(*byte)).sum();
    let (one, two) = data.split_at(sum % (data.len() + 1));
    assert_eq!(whole, lines([one, two]), "cut in two");
    for (_, line) in whole {
        let Some(line) = line.filter(|line| !is_blank(line)) else {
            continue;
        };
        read(&line, &mut NumericIds);
        let epoch_ms = 1_420_070_400_000;
        read(&line, &mut SnowflakeIds { epoch_ms, now: NOW });
        read(&line, &mut OpaqueIds::default());
    }
}

/// Number and bytes of each line; no bytes when it is too long.
fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(u64, Option<Vec<u8>>)> {
    let mut lines = Lines::default();
    let mut seen = Vec::new();
    let mut note = |line: Line<'_>| match line {
        Line::Text { number, bytes } => {
            assert!(bytes.len() <= EVENT_LINE_BYTES_MAX);
            seen.push((number, Some(bytes.to_vec())));
        }
        Line::TooLong { number } => seen.push((number, None)),
    };
    for piece in pieces {
        lines.push(piece);
        while let Some(line) = lines.next_line() {
            note(line);
        }
        assert!(lines.held_bytes() <= EVENT_LINE_BYTES_MAX + 1 + piece.len());
    }
    if let Some(line) = lines.finish() {
        note(line);
    }
    assert!(lines.finish().is_none(), "a stream ends once");
    seen
}

fn read(line: &[u8], ids: &mut dyn IdSource) {
    let app = App::default_app();
    let mut context = Context {
        app: &app,
        ids,
        now: NOW,
    };
    match parse_line(line, &mut context) {
        Ok(event) => {
            if let Request::Merge { fact } = event.request {
                check_fact(&fact);
            }
        }
        Err(error) => {
            assert!(!error.detail.contains(char::is_control), "{error}");
            assert!(error.detail.len() <= DETAIL_BYTES_MAX, "{error}");
        }
    }
}

/// A fact that was read is the same after a journey through the log and through an export.
fn check_fact(fact: &Fact) {
    let mut bytes = Vec::new();
    codec::encode(fact, &mut bytes);
    assert_eq!(codec::decode(&bytes).as_ref(), Ok(fact));
    let line = fact_to_line(fact);
    let app = App::default_app();
    let mut context = Context {
        app: &app,
        ids: &mut NumericIds,
        // As read by a server whose clock is far ahead, since facts may be from its future.
        now: Millis(u64::MAX >> 20),
    };
    let again = parse_line(line.as_bytes(), &mut context).expect("an exported line is read");
    assert_eq!(
        again.request,
        Request::Merge { fact: fact.clone() },
        "{line}"
    );
}
