//! Facts merge: the same twice is the same once, and any order and grouping gives the same.

use crate::draw::Draw;
use crate::facts;
use kidoku_core::fact::{Fact, FactKey, Merge, Part, Value};
use kidoku_store::Overlay;
use kidoku_store::key::put_roster_key;
use kidoku_store::value::{RosterRow, Row};
use std::collections::BTreeMap;

/// Facts of one input at most.
const FACTS_MAX: usize = 12;

/// Draws facts, and merges the values of one key and then all of them in every way.
pub fn run(data: &[u8]) {
    let mut draw = Draw::new(data);
    let mut all = Vec::new();
    while !draw.is_empty() && all.len() < FACTS_MAX {
        all.push(facts::fact(&mut draw));
    }
    for (index, one) in all.iter().enumerate() {
        let same = |other: &&Fact| {
            std::mem::discriminant(&one.value()) == std::mem::discriminant(&other.value())
        };
        let others: Vec<Value> = all[index..].iter().filter(same).map(Fact::value).collect();
        values(&others);
    }
    let rosters: Vec<RosterRow> = all.iter().filter_map(roster).collect();
    laws(&rosters);
    overlays(&all);
}

/// What a fact puts into a roster.
fn roster(fact: &Fact) -> Option<RosterRow> {
    match fact.value() {
        Value::State(row) => Some(RosterRow(row.incarnation)),
        Value::Mark(incarnation) => Some(RosterRow(incarnation)),
        Value::Erased(_)
        | Value::Floor { .. }
        | Value::Role { .. }
        | Value::Settings { .. }
        | Value::Trim { .. }
        | Value::Message(_)
        | Value::OpaqueId { .. } => None,
    }
}

fn values(values: &[Value]) {
    laws(values);
}

fn merged<T: Merge + Clone>(one: &T, two: &T) -> T {
    let mut both = one.clone();
    both.merge(two);
    both
}

/// The three laws for the first three.
fn laws<T: Merge + Clone + PartialEq + std::fmt::Debug>(values: &[T]) {
    let Some(one) = values.first() else { return };
    assert_eq!(&merged(one, one), one);
    let Some(two) = values.get(1) else { return };
    let both = merged(one, two);
    assert_eq!(both, merged(two, one));
    assert_eq!(both, merged(&both, one));
    let Some(three) = values.get(2) else { return };
    assert_eq!(merged(&both, three), merged(one, &merged(two, three)));
}

/// Overlays of the facts forwards, and of the facts backwards and twice, hold the same rows over a
/// store that keeps what listed facts say of it.
fn overlays(all: &[Fact]) {
    let (mut forwards, mut backwards) = (Overlay::default(), Overlay::default());
    for fact in all {
        forwards.merge(fact);
    }
    for fact in all.iter().rev().chain(all) {
        backwards.merge(fact);
    }
    let stored = Rows::of(all.iter().filter_map(listed));
    let with = |overlay: &Overlay| {
        let rows = overlay.range(&[], &[u8::MAX]);
        let mut all = stored.clone();
        rows.for_each(|entry| all.merge(entry.key.into_owned(), &entry.row));
        all
    };
    assert_eq!(with(&forwards), with(&backwards));
}

/// The row that the roster in the store has already when a fact is listed.
fn listed(fact: &Fact) -> Option<(Vec<u8>, Row)> {
    let (FactKey { app, owner, part }, value) = (fact.key(), fact.value());
    let (Part::State(channel), Value::State(row)) = (part, value) else {
        return None;
    };
    let mut key = Vec::new();
    put_roster_key(&mut key, app, channel, owner);
    let roster = Row::Roster(RosterRow(row.incarnation));
    row.listed.then_some((key, roster))
}

/// Merged rows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rows(BTreeMap<Vec<u8>, Row>);

impl Rows {
    fn of(rows: impl Iterator<Item = (Vec<u8>, Row)>) -> Self {
        let mut all = Self::default();
        rows.for_each(|(key, row)| all.merge(key, &row));
        all
    }

    fn merge(&mut self, key: Vec<u8>, row: &Row) {
        self.0.entry(key).or_insert_with(|| row.clone()).merge(row);
    }
}
