//! Facts merge: the same twice is the same once, and any order and grouping gives the same.

use crate::draw::Draw;
use crate::facts;
use kidoku_core::fact::{Fact, Merge, Value};
use kidoku_store::Overlay;
use kidoku_store::value::RosterRow;

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

/// Overlays of the facts forwards, and of the facts backwards and twice, hold the same rows.
fn overlays(all: &[Fact]) {
    let (mut forwards, mut backwards) = (Overlay::default(), Overlay::default());
    for fact in all {
        forwards.merge(fact);
    }
    for fact in all.iter().rev().chain(all) {
        backwards.merge(fact);
    }
    let rows = |overlay: &Overlay| -> Vec<_> {
        let rows = overlay.range(&[], &[u8::MAX]);
        rows.map(|entry| (entry.key.to_vec(), entry.row.into_owned()))
            .collect()
    };
    assert_eq!(rows(&forwards), rows(&backwards));
}
