//! Merge laws and the codec, over generated facts.

use super::codec::{DecodeError, decode, decode_parts, decode_value, encode, encode_value};
use super::user::FloorEntry;
use super::{Cursor, Fact, Floor, Merge, MessageRow, Posted, Settings, StateRow, Value, strategy};
use crate::clock::{Clock, Millis};
use crate::id::{App, ChannelKey, MessageId, Name, NameKind, Position, UserKey};
use proptest::prelude::*;
use std::fmt::Debug;

fn merged<T: Merge + Clone>(one: &T, two: &T) -> T {
    let mut result = one.clone();
    result.merge(two);
    result
}

fn check_laws<T: Merge + Clone + PartialEq + Debug>(one: &T, two: &T, three: &T) {
    assert_eq!(merged(one, one), *one, "the same twice is the same once");
    assert_eq!(
        merged(one, two),
        merged(two, one),
        "the order of two does not matter"
    );
    let both = merged(one, two);
    assert_eq!(
        merged(&both, two),
        both,
        "what is merged already changes nothing"
    );
    assert_eq!(
        merged(&both, three),
        merged(one, &merged(two, three)),
        "the grouping of three does not matter"
    );
}

macro_rules! laws {
    ($($name:ident: $strategy:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(2_000))]
            $(#[test] fn $name(one in $strategy, two in $strategy, three in $strategy) {
                check_laws(&one, &two, &three);
            })*
        }
    };
}

laws! {
    cursors_merge: strategy::cursor();
    memberships_merge: strategy::membership();
    preferences_merge: strategy::preference();
    state_rows_merge: strategy::state_row();
    floors_merge: strategy::floor();
    posts_merge: strategy::posted();
    message_rows_merge: strategy::message_row();
    settings_merge: strategy::settings();
    written_spaces_merge: strategy::settings().prop_map(|settings| settings.space);
    erasures_merge: strategy::clock().prop_map(Value::Erased);
    floor_values_merge: value(strategy::user_fact(), |value| matches!(value, Value::Floor { .. }));
    roles_merge: value(strategy::user_fact(), |value| matches!(value, Value::Role { .. }));
    state_values_merge: value(strategy::user_fact(), |value| matches!(value, Value::State(_)));
    marks_merge: strategy::incarnation().prop_map(Value::Mark);
    settings_values_merge:
        value(strategy::channel_fact(), |value| matches!(value, Value::Settings { .. }));
    trims_merge: value(strategy::channel_fact(), |value| matches!(value, Value::Trim { .. }));
    message_values_merge:
        value(strategy::channel_fact(), |value| matches!(value, Value::Message(_)));
    opaque_ids_merge:
        value(strategy::channel_fact(), |value| matches!(value, Value::OpaqueId { .. }));
}

fn value(
    facts: impl Strategy<Value = Fact>,
    kind: impl Fn(&Value) -> bool,
) -> impl Strategy<Value = Value> {
    facts
        .prop_map(|fact| fact.value())
        .prop_filter("of the kind", kind)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    // Any order and any number of repeats of a history of one kind fold to one value.
    #[test]
    fn any_order_with_repeats_gives_the_same_message(
        rows in proptest::collection::vec(strategy::message_row(), 1..6),
        order in proptest::collection::vec(any::<proptest::sample::Index>(), 12),
    ) {
        let mut forward = MessageRow::default();
        rows.iter().for_each(|row| forward.merge(row));
        let mut shuffled = MessageRow::default();
        order.iter().for_each(|index| shuffled.merge(index.get(&rows)));
        rows.iter().rev().for_each(|row| shuffled.merge(row));
        prop_assert_eq!(forward, shuffled);
    }

    #[test]
    fn a_floor_keeps_exactly_the_entries_that_no_later_one_covers(
        entries in proptest::collection::vec(strategy::floor_entry(), 0..8),
    ) {
        let mut floor = Floor::default();
        entries.iter().for_each(|entry| { floor.insert(*entry); });
        let covered = |entry: &FloorEntry| entries.iter().any(|other| {
            other != entry && other.clock >= entry.clock && other.position >= entry.position
        });
        let mut expected: Vec<FloorEntry> =
            entries.iter().filter(|entry| !covered(entry)).copied().collect();
        expected.sort_unstable();
        expected.dedup();
        prop_assert_eq!(floor.entries(), &expected[..]);
        prop_assert_eq!(Floor::from_entries(expected), Some(floor));
    }

    #[test]
    fn a_floor_line_is_the_highest_position_said_after_the_era(
        entries in proptest::collection::vec(strategy::floor_entry(), 0..8),
        era in strategy::clock(),
    ) {
        let mut floor = Floor::default();
        entries.iter().for_each(|entry| { floor.insert(*entry); });
        let newer = entries.iter().filter(|entry| entry.clock > era);
        let expected = newer.map(|entry| entry.position).max();
        prop_assert_eq!(floor.line(era).map(|entry| entry.position), expected);
        let highest = entries.iter().map(|entry| entry.position).max();
        prop_assert_eq!(floor.highest(), highest.unwrap_or_default());
    }

    #[test]
    fn every_fact_comes_back_from_its_bytes(fact in strategy::fact()) {
        let bytes = encoded(&fact);
        prop_assert_eq!(decode(&bytes), Ok(fact.clone()));
        let (key, value) = decode_parts(&bytes).unwrap();
        prop_assert_eq!(key, fact.key());
        prop_assert_eq!(&value, &fact.value());
        prop_assert!(value.fits(key.part));
        prop_assert_eq!(value.incarnation(), fact.incarnation());
        let mut alone = Vec::new();
        encode_value(&value, &mut alone);
        prop_assert_eq!(decode_value(&alone), Ok(value.clone()));
        prop_assert_eq!(Fact::join(key, value), Ok(fact));
    }

    #[test]
    fn a_fact_cut_off_anywhere_or_followed_by_anything_is_an_error(fact in strategy::fact()) {
        let mut bytes = encoded(&fact);
        for length in 0..bytes.len() {
            prop_assert!(decode(&bytes[..length]).is_err(), "{} bytes", length);
            prop_assert!(decode_parts(&bytes[..length]).is_err(), "{} bytes", length);
        }
        bytes.push(0);
        prop_assert_eq!(decode(&bytes), Err(DecodeError::Trailing));
    }

    // What decodes has one encoding, so damage is either an error or another valid fact.
    #[test]
    fn a_damaged_fact_never_panics_and_has_one_encoding(
        fact in strategy::fact(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encoded(&fact);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(fact) = decode(&bytes) {
            prop_assert_eq!(encoded(&fact), bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(
        kind in 0..14_u8,
        mut bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        if let Ok(fact) = decode(&bytes) {
            prop_assert_eq!(encoded(&fact), bytes.clone());
        }
        if let Ok(value) = decode_value(&bytes) {
            let mut again = Vec::new();
            encode_value(&value, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}

fn encoded(fact: &Fact) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(fact, &mut bytes);
    bytes
}

fn pair() -> (UserKey, ChannelKey) {
    let app = App::default_app();
    (
        UserKey::new(&app, "ann").unwrap(),
        ChannelKey::new(&app, "general").unwrap(),
    )
}

#[test]
fn a_plain_ack_takes_20_bytes_and_its_names() {
    let (user, channel) = pair();
    // A snowflake of 2026 and a time of today, the largest numbers there are in practice.
    let position = Position(1_460_000_000_000_000_000);
    let row = StateRow {
        cursor: Cursor {
            era: Clock::NEVER,
            position,
        },
        cursor_at: Millis(1_780_000_000_000),
        public: position,
        listed: true,
        ..StateRow::default()
    };
    let fact = Fact::State { user, channel, row };
    let bytes = encoded(&fact);
    assert_eq!(
        bytes.len(),
        20 + "default".len() + "ann".len() + "general".len()
    );
    assert_eq!(decode(&bytes), Ok(fact));
}

#[test]
fn a_length_beyond_the_bytes_allocates_nothing() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let mut text = vec![1];
    text.extend_from_slice(&huge);
    assert_eq!(decode(&text), Err(DecodeError::Truncated));
    // A floor with 2^64-1 entries.
    let mut floor = vec![2, 0];
    floor.extend_from_slice(&huge);
    assert_eq!(decode_value(&floor), Err(DecodeError::Truncated));
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let check = |bytes: &[u8], error: DecodeError| assert_eq!(decode(bytes), Err(error));
    use crate::error::Error;
    check(&[0], DecodeError::Kind);
    check(&[12, 1, b'a', 1, b'u', 0], DecodeError::Kind);
    check(&[1, 1, b'A', 1, b'u', 0], DecodeError::Name(Error::BadApp));
    check(
        &[1, 1, b'a', 0, 0],
        DecodeError::Name(Error::NameEmpty(NameKind::User)),
    );
    check(
        &[1, 1, b'a', 1, 7, 0],
        DecodeError::Name(Error::NameControl(NameKind::User)),
    );
    check(&[1, 1, b'a', 1, 0xff, 0], DecodeError::Text);
    // An own message with the id 0, and a number that is not in its shortest form.
    check(
        &[6, 1, b'a', 1, b'u', 1, b'c', 0, 0],
        DecodeError::Name(Error::BadMessageId),
    );
    check(&[1, 1, b'a', 1, b'u', 0x80, 0], DecodeError::Number);
    // Two mentions of an edit in the wrong order.
    let edit = [
        10, 1, b'a', 1, b'c', 1, 0x20, 0, 1, 0, 0, 2, 1, b'b', 1, b'a',
    ];
    check(&edit, DecodeError::Order);
    // Silent, without a post.
    check(&[10, 1, b'a', 1, b'c', 1, 0x02, 0], DecodeError::Flags);
    // A floor whose position does not fall.
    check(
        &[2, 1, b'a', 1, b'u', 0, 0, 2, 1, 5, 2, 5],
        DecodeError::Order,
    );
}

#[test]
fn names_are_read_up_to_their_limit_and_not_one_byte_more() {
    let fact = |length: usize| {
        let mut bytes = vec![1, 1, b'a'];
        super::bytes::put_text(&mut bytes, &"x".repeat(length));
        bytes.push(0);
        decode(&bytes)
    };
    assert!(fact(crate::limits::NAME_BYTES_MAX).is_ok());
    assert!(fact(crate::limits::NAME_BYTES_MAX + 1).is_err());
}

#[test]
fn an_erased_author_stays_unnamed_when_the_post_comes_late() {
    let author = Some(Name::new(NameKind::User, "ann").unwrap());
    let posted = Some(Posted {
        author,
        ..Posted::default()
    });
    let mut row = MessageRow {
        unauthored: true,
        ..MessageRow::default()
    };
    row.merge(&MessageRow {
        posted,
        ..MessageRow::default()
    });
    assert_eq!(row.posted, Some(Posted::default()));
}

#[test]
fn a_value_of_a_later_incarnation_replaces_the_earlier_one_whole() {
    let mut earlier = Value::OpaqueId {
        incarnation: Clock(1),
        id: MessageId::new(1).unwrap(),
    };
    let later = Value::OpaqueId {
        incarnation: Clock(2),
        id: MessageId::new(9).unwrap(),
    };
    earlier.merge(&later);
    assert_eq!(earlier, later);
    let (_, channel) = pair();
    let settings = Settings::default();
    let fact = Fact::Settings {
        channel,
        incarnation: Clock(3),
        settings,
    };
    assert_eq!(fact.value().incarnation(), fact.incarnation());
}
