//! Keys and values: round trips, order, damage.

use crate::key::{self, Key, fact_key, parse, put_roster_key};
use crate::value::{RosterRow, Row, decode_row, encode_row, merge_value, roster_of};
use crate::{Entry, Memory, Overlay, Store, StoreError};
use kidoku_core::effect::{Load, LoadFailed};
use kidoku_core::fact::codec::DecodeError;
use kidoku_core::fact::{Fact, FactKey, Merge, Partition, strategy};
use kidoku_core::id::{App, ChannelKey, UserKey};
use proptest::prelude::*;

fn roster() -> impl Strategy<Value = RosterRow> {
    strategy::incarnation().prop_map(RosterRow)
}

fn key_row() -> impl Strategy<Value = (Vec<u8>, Row)> {
    prop_oneof![
        4 => strategy::fact().prop_map(|fact| (fact_key(&fact.key()), Row::Fact(fact.value()))),
        1 => roster().prop_map(|row| {
            let mut key = Vec::new();
            put_roster_key(&mut key, "default", "c", "u");
            (key, Row::Roster(row))
        }),
    ]
}

fn merged(one: &RosterRow, two: &RosterRow) -> RosterRow {
    let mut row = *one;
    row.merge(two);
    row
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn roster_rows_merge_in_any_order_and_grouping(
        one in roster(), two in roster(), three in roster(),
    ) {
        prop_assert_eq!(&merged(&one, &one), &one);
        prop_assert_eq!(merged(&one, &two), merged(&two, &one));
        prop_assert_eq!(
            merged(&merged(&one, &two), &three),
            merged(&one, &merged(&two, &three))
        );
    }

    #[test]
    fn a_roster_follows_its_facts_in_any_order(
        facts in proptest::collection::vec(strategy::user_fact(), 0..8),
    ) {
        let rosters = |facts: &mut dyn Iterator<Item = &Fact>| {
            let mut all = RosterRow::default();
            for fact in facts {
                if let Some((_, row)) = roster_of(&fact.key(), &fact.value()) {
                    all.merge(&row);
                }
            }
            all
        };
        prop_assert_eq!(rosters(&mut facts.iter()), rosters(&mut facts.iter().rev()));
    }

    #[test]
    fn every_key_comes_back_from_its_bytes_and_lies_in_its_partition(fact in strategy::fact()) {
        let bytes = fact_key(&fact.key());
        prop_assert_eq!(parse(&bytes), Ok(Key::Fact(fact.key())));
        let (from, end) = key::partition_range(&fact.partition());
        prop_assert!(from <= bytes && bytes < end);
        prop_assert_eq!(key::owner_bytes(&bytes), &from[..]);
        for length in 0..bytes.len() {
            if let Ok(Key::Fact(key)) = parse(&bytes[..length]) {
                // A name that is cut short is another name, but it says so in full.
                prop_assert_eq!(fact_key(&key), &bytes[..length]);
            }
        }
    }

    #[test]
    fn keys_are_in_the_order_of_owner_kind_name_and_id(one in strategy::fact(), two in strategy::fact()) {
        let order = |fact: &Fact| {
            let (user, owner) = match fact.partition() {
                Partition::User(user) => (1, user.joined().to_owned()),
                Partition::Channel(channel) => (0, channel.joined().to_owned()),
            };
            (user, owner)
        };
        let (first, second) = (fact_key(&one.key()), fact_key(&two.key()));
        if order(&one) != order(&two) {
            prop_assert_eq!(order(&one).cmp(&order(&two)), first.cmp(&second));
        } else if let (
            Fact::Mention { channel, id, .. },
            Fact::Mention { channel: other, id: their_id, .. },
        ) = (&one, &two) {
            prop_assert_eq!((channel, id).cmp(&(other, their_id)), first.cmp(&second));
        }
    }

    #[test]
    fn random_bytes_are_no_key_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(Key::Fact(key)) = parse(&bytes) {
            prop_assert_eq!(fact_key(&key), bytes);
        }
    }

    #[test]
    fn every_row_comes_back_from_its_bytes((key, row) in key_row()) {
        let bytes = encode_row(&key, &row);
        prop_assert_eq!(decode_row(&key, &bytes), Ok(row.clone()));
        prop_assert_eq!(merge_value(&key, &bytes, &row), Ok(None), "the same again changes nothing");
        for length in 0..bytes.len() {
            prop_assert!(decode_row(&key, &bytes[..length]).is_err());
        }
    }

    #[test]
    fn a_row_under_another_key_or_damaged_is_refused(
        (key, row) in key_row(),
        (other, _) in key_row(),
        at in any::<proptest::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut bytes = encode_row(&key, &row);
        if other != key {
            prop_assert!(decode_row(&other, &bytes).is_err());
        }
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode_row(&key, &bytes).is_err());
    }

    #[test]
    fn stored_bytes_merge_as_the_rows_do(one in strategy::message_row(), two in strategy::message_row()) {
        let app = App::default_app();
        let channel = ChannelKey::new(&app, "c").unwrap();
        let id = kidoku_core::id::MessageId::new(1).unwrap();
        let fact = |row| Fact::Message { channel: channel.clone(), id, row };
        let key = fact_key(&fact(one.clone()).key());
        let stored = encode_row(&key, &Row::Fact(fact(one.clone()).value()));
        let result = merge_value(&key, &stored, &Row::Fact(fact(two.clone()).value())).unwrap();
        let mut expected = one;
        expected.merge(&two);
        let expected = encode_row(&key, &Row::Fact(fact(expected).value()));
        prop_assert_eq!(result.unwrap_or(stored), expected);
    }
}

#[test]
fn a_roster_key_comes_back_and_lies_in_its_channel() {
    let app = App::default_app();
    let channel = ChannelKey::new(&app, "c").unwrap();
    let mut bytes = Vec::new();
    put_roster_key(&mut bytes, "default", "c", "ann");
    assert_eq!(
        parse(&bytes),
        Ok(Key::Roster {
            app: "default",
            channel: "c",
            user: "ann"
        })
    );
    let (from, end) = key::roster_range(&channel);
    assert!(from <= bytes && bytes < end);
}

#[test]
fn a_damaged_row_is_an_error_to_read_and_stays_one_when_written() {
    let store = Memory::new();
    let user = UserKey::new(&App::default_app(), "ann").unwrap();
    let mut overlay = Overlay::default();
    overlay.merge(&Fact::UserErased {
        user,
        clock: kidoku_core::clock::Clock(5),
    });
    let group: Vec<Entry<'_>> = overlay.range(&[], &[u8::MAX]).collect();
    assert_eq!(store.apply(&group).unwrap().corrupt, 0);
    store.damage();
    let error = store.get(&group[0].key).unwrap_err();
    assert!(
        matches!(
            &error,
            StoreError::Corrupt {
                reason: DecodeError::Hash,
                ..
            }
        ),
        "{error}"
    );
    let text = "app default: what is stored of user ann is damaged (mark of the last erasure): the hash is \
                not that of the bytes";
    assert_eq!(error.to_string(), text);
    assert!(store.range(&[], &[u8::MAX], 10).is_err());
    // Somebody is there, only not to be read: a server that took it for empty would never load.
    assert!(!store.is_empty().unwrap());
    // What it said before is not known, so the new row alone would be a wrong answer.
    assert_eq!(store.apply(&group).unwrap().corrupt, 1);
    assert!(store.get(&group[0].key).is_err());
    let again = store.apply(&group).unwrap();
    assert_eq!((again.corrupt, again.written), (0, 0));
}

/// A store that can not be read at the moment.
struct Unreadable;

impl Store for Unreadable {
    fn apply(&self, _: &[Entry<'_>]) -> Result<crate::Applied, StoreError> {
        Err(StoreError::Closed)
    }

    fn remove(&self, _: &[Vec<u8>]) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    fn get(&self, _: &[u8]) -> Result<Option<Row>, StoreError> {
        Err(StoreError::Closed)
    }

    fn range(&self, _: &[u8], _: &[u8], _: usize) -> Result<Vec<crate::KeyRow>, StoreError> {
        Err(StoreError::Closed)
    }

    fn meta_get(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::Closed)
    }

    fn meta_put(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}

#[test]
fn damage_of_which_it_can_not_be_told_for_now_whose_thread_it_hits_is_loaded_again() {
    let channel = ChannelKey::new(&App::default_app(), "room").unwrap();
    let key = key::fact_key(&FactKey {
        app: "default",
        owner: "room",
        part: kidoku_core::fact::Part::Trim,
    });
    let found = StoreError::corrupt(&key, DecodeError::Hash);
    let load = Load::Channel(channel);
    let sound = crate::Layers::new(std::sync::Arc::new(Memory::new()));
    let failed = sound.load_failed(&load, &found);
    assert!(
        matches!(&failed, LoadFailed::Damaged(damaged) if damaged.parent == Some(None)),
        "{failed:?}"
    );
    let failing = crate::Layers::new(std::sync::Arc::new(Unreadable));
    assert_eq!(failing.load_failed(&load, &found), LoadFailed::Unreadable);
}
