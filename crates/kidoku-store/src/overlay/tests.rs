//! The order of rows, while they come and are read in turn.

use super::*;
use crate::random::Random;
use kidoku_core::clock::Clock;
use kidoku_core::fact::StateRow;
use kidoku_core::id::{App, ChannelKey, MessageId, Position, UserKey};
use std::collections::BTreeMap;

const USERS: u64 = 3;
const CHANNELS: u64 = 3_000;

/// Mostly a state of one of a few users, or a mark in the same channels.
fn fact(random: &mut Random) -> Fact {
    let app = App::default_app();
    let user = UserKey::new(&app, &format!("u{}", random.below(USERS))).unwrap();
    let channel = format!("c{:05}", random.below(CHANNELS));
    let channel = ChannelKey::new(&app, &channel).unwrap();
    let incarnation = Clock(random.below(3));
    if random.below(4) == 0 {
        let id = MessageId::new(random.below(3) + 1).unwrap();
        return Fact::Mention {
            user,
            channel,
            id,
            incarnation,
        };
    }
    let public = Position(random.below(100_000));
    let row = StateRow {
        incarnation,
        public,
        listed: random.below(2) == 0,
        ..StateRow::default()
    };
    Fact::State { user, channel, row }
}

/// What should be there.
#[derive(Default)]
struct Expected {
    rows: BTreeMap<Vec<u8>, Row>,
    /// What rosters would have of everybody, also of those whom they have in the store.
    rosters: BTreeMap<Vec<u8>, RosterRow>,
}

impl Expected {
    fn merge(&mut self, fact: &Fact) {
        let (key, value) = (fact.key(), fact.value());
        if let Some((channel, row)) = roster_of(&key, &value) {
            let mut at = Vec::new();
            put_roster_key(&mut at, key.app, channel, key.owner);
            let roster = self.rosters.entry(at.clone()).or_default();
            roster.merge(&row);
            let state = key::fact_key(&state_key(key.app, key.owner, channel));
            let enters = match &value {
                Value::State(row) => !row.listed,
                _ => row.0 > Clock::NEVER || !self.rows.contains_key(&state),
            };
            if enters || self.rows.contains_key(&at) {
                self.rows.insert(at, Row::Roster(*roster));
            }
        }
        let row = Row::Fact(value);
        match self.rows.get_mut(&key::fact_key(&key)) {
            Some(known) => known.merge(&row),
            None => drop(self.rows.insert(key::fact_key(&key), row)),
        }
    }
}

#[test]
fn rows_are_read_in_order_however_many_came_since_the_last_time() {
    let mut random = Random(1);
    let (mut overlay, mut all) = (Overlay::default(), Expected::default());
    for round in 0..200 {
        let count = [0, 1, 3, 30, 40, 300][usize::try_from(random.below(6)).unwrap()];
        for _ in 0..count {
            let fact = fact(&mut random);
            overlay.merge(&fact);
            all.merge(&fact);
        }
        let expected = &all.rows;
        let keys: Vec<_> = expected.keys().cloned().collect();
        let mut bound = || {
            let nth = usize::try_from(random.below(1 << 20)).unwrap();
            let key = nth.checked_rem(keys.len()).and_then(|nth| keys.get(nth));
            key.cloned().unwrap_or_default()
        };
        let (from, end) = if round % 10 == 0 {
            (Vec::new(), vec![u8::MAX])
        } else {
            (bound(), bound())
        };
        let limit = usize::try_from(random.below(500)).unwrap();
        let limit = if round % 3 == 0 { usize::MAX } else { limit };
        let within = expected
            .iter()
            .filter(|(key, _)| from <= **key && **key < end);
        let within: Vec<KeyRow> = within
            .map(|(key, row)| (key.clone(), row.clone()))
            .take(limit)
            .collect();
        assert_eq!(overlay.page(&from, &end, limit), within, "round {round}");
        assert_eq!(overlay.len(), expected.len());
    }
    for (key, row) in &all.rows {
        assert_eq!(overlay.get(key).as_deref(), Some(row));
    }
}
