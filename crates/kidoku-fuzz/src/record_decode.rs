//! Bytes of facts, keys and rows: what decodes has one encoding, what is encoded comes back, and
//! nothing else happens.

use crate::draw::Draw;
use crate::facts;
use kidoku_core::fact::Fact;
use kidoku_core::fact::codec::{decode, decode_parts, decode_value, encode, encode_value};
use kidoku_core::id::App;
use kidoku_core::request::Request;
use kidoku_proto::event::{Context, parse_line, write_fact};
use kidoku_proto::ids::NumericIds;
use kidoku_store::key::{self, Key, fact_key, put_roster_key};
use kidoku_store::value::{Row, decode_row, encode_row, merge_value};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Takes the input for bytes of everything, and then for a fact to encode.
pub fn run(data: &[u8]) {
    fact_bytes(data);
    value_bytes(data);
    key_bytes(data);
    row_bytes(data);
    fact(&mut Draw::new(data));
}

fn fact_bytes(data: &[u8]) {
    let whole = decode(data);
    let parts = decode_parts(data);
    assert_eq!(whole.is_ok(), parts.is_ok(), "{whole:?}, {parts:?}");
    if let (Ok(fact), Ok((key, value))) = (whole, parts) {
        assert_eq!(fact.key(), key);
        assert_eq!(fact.value(), value);
        let mut again = Vec::new();
        encode(&fact, &mut again);
        assert_eq!(again, data, "{fact:?} has two encodings");
    }
}

fn value_bytes(data: &[u8]) {
    if let Ok(value) = decode_value(data) {
        let mut again = Vec::new();
        encode_value(&value, &mut again);
        assert_eq!(again, data, "{value:?} has two encodings");
    }
}

fn key_bytes(data: &[u8]) {
    match key::parse(data) {
        Ok(Key::Fact(key)) => assert_eq!(fact_key(&key), data),
        Ok(Key::Roster { app, channel, user }) => {
            let mut again = Vec::new();
            put_roster_key(&mut again, app, channel, user);
            assert_eq!(again, data);
        }
        Err(_) => {}
    }
}

/// The first byte says how long the key is. Rows end in a hash that no mutation would ever hit, so
/// it is added here.
fn row_bytes(data: &[u8]) {
    let mut draw = Draw::new(data);
    let key_len = usize::from(draw.byte());
    let key = draw.bytes(key_len);
    let mut bytes = draw.rest().to_vec();
    // As it stands: nothing to expect but that it returns.
    drop(decode_row(key, &bytes));
    let [a, b, c, d, ..] = xxh3_64_with_seed(&bytes, xxh3_64(key)).to_be_bytes();
    bytes.extend_from_slice(&[a, b, c, d]);
    if let Ok(row) = decode_row(key, &bytes) {
        assert_eq!(encode_row(key, &row), bytes, "{row:?} has two encodings");
        let merged = merge_value(key, &bytes, &row);
        assert_eq!(merged, Ok(None), "the same again changes nothing");
    }
}

fn fact(draw: &mut Draw<'_>) {
    let fact = facts::fact(draw);
    let mut bytes = Vec::new();
    encode(&fact, &mut bytes);
    assert_eq!(decode(&bytes).as_ref(), Ok(&fact));
    let mut value = Vec::new();
    encode_value(&fact.value(), &mut value);
    assert_eq!(decode_value(&value), Ok(fact.value()));
    let key = fact_key(&fact.key());
    assert_eq!(key::parse(&key), Ok(Key::Fact(fact.key())));
    let row = Row::Fact(fact.value());
    let mut stored = encode_row(&key, &row);
    assert_eq!(decode_row(&key, &stored), Ok(row));
    // A flipped bit is seen, wherever it is.
    let at = (usize::from(draw.byte()) << 8 | usize::from(draw.byte())) % stored.len();
    stored[at] ^= 1 << (draw.byte() % 8);
    assert!(decode_row(&key, &stored).is_err());
    let app = App::new(fact.key().app).unwrap();
    let mut lines = Vec::new();
    write_fact(&fact, &mut lines);
    let line = lines.strip_suffix(b"\n").expect("a line ends");
    let mut context = Context {
        app: &app,
        ids: &mut NumericIds,
        now: kidoku_core::clock::Millis(u64::MAX >> 20),
    };
    let again = parse_line(line, &mut context);
    let text = String::from_utf8_lossy(line);
    let fact = read_elsewhere(fact);
    assert_eq!(again.unwrap().request, Request::Merge { fact }, "{text}");
}

/// What a fact is to the reader of its line: of what is listed in whose store a line says nothing, as
/// the store that reads it may have no such list.
fn read_elsewhere(mut fact: Fact) -> Fact {
    if let Fact::State { row, .. } = &mut fact {
        row.listed = false;
    }
    fact
}
