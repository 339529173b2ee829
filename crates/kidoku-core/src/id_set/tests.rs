use super::*;
use crate::limits::MESSAGE_ID_MAX;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn id(value: u64) -> MessageId {
    MessageId::new(value).unwrap()
}

/// A small generator, so that a test of many ids does not depend on proptest's sizes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn check_position(set: &IdSet, model: &BTreeSet<u64>, position: u64) {
    let at = Position(position);
    let above = model.range(position.saturating_add(1)..).count();
    let above = if position == u64::MAX { 0 } else { wide(above) };
    assert_eq!(set.count_above(at), above, "count above {position}");
    let first = model.range(position.saturating_add(1)..).next().copied();
    let first = first.filter(|_| position != u64::MAX);
    assert_eq!(
        set.first_above(at).map(MessageId::get),
        first,
        "first above {position}"
    );
    let below = model.range(..=position).next_back().copied();
    assert_eq!(
        set.last_at_or_below(at).map(MessageId::get),
        below,
        "last up to {position}"
    );
    if let Ok(id) = MessageId::new(position) {
        assert_eq!(
            set.contains(id),
            model.contains(&position),
            "contains {position}"
        );
    }
}

fn check_all(set: &IdSet, model: &BTreeSet<u64>) {
    assert_eq!(set.len(), wide(model.len()));
    assert_eq!(set.is_empty(), model.is_empty());
    assert_eq!(set.first().map(MessageId::get), model.first().copied());
    assert_eq!(set.last().map(MessageId::get), model.last().copied());
    let ids: Vec<u64> = set
        .iter_above(Position::START)
        .map(MessageId::get)
        .collect();
    assert!(
        ids.iter().eq(model.iter()),
        "the ids of the set are those of the model"
    );
    for position in [
        0,
        1,
        MESSAGE_ID_MAX - 1,
        MESSAGE_ID_MAX,
        MESSAGE_ID_MAX + 1,
        u64::MAX,
    ] {
        check_position(set, model, position);
    }
    let heap_words: usize = set
        .frozen
        .iter()
        .flat_map(|frozen| frozen.chunks())
        .map(Chunk::heap_words)
        .sum();
    assert!(set.memory_bytes() >= size_of::<IdSet>() + heap_words * 8);
}

#[derive(Clone, Debug)]
enum Step {
    Append { count: u16, gap: u64 },
    Late { at: u64, count: u16 },
    Prepend { count: u16 },
    Duplicate { at: u64 },
    Remove { at: u64, count: u16 },
    RemoveLast,
    Trim { at: u64 },
    Edge,
}

fn step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![
        Just(1_u64),
        Just(2),
        Just(4_097),
        1_u64..100_000,
        Just(30_000 << 22)
    ];
    prop_oneof![
        6 => (1_u16..700, gap).prop_map(|(count, gap)| Step::Append { count, gap }),
        3 => (any::<u64>(), 1_u16..300).prop_map(|(at, count)| Step::Late { at, count }),
        1 => (1_u16..600).prop_map(|count| Step::Prepend { count }),
        2 => any::<u64>().prop_map(|at| Step::Duplicate { at }),
        3 => (any::<u64>(), 1_u16..400).prop_map(|(at, count)| Step::Remove { at, count }),
        1 => Just(Step::RemoveLast),
        1 => any::<u64>().prop_map(|at| Step::Trim { at }),
        1 => Just(Step::Edge),
    ]
}

struct Pair {
    set: IdSet,
    model: BTreeSet<u64>,
    random: Random,
}

impl Pair {
    fn insert(&mut self, value: u64) {
        if let Ok(id) = MessageId::new(value) {
            assert_eq!(
                self.set.insert(id),
                self.model.insert(value),
                "insert {value}"
            );
        }
    }

    fn remove(&mut self, value: u64) {
        if let Ok(id) = MessageId::new(value) {
            assert_eq!(
                self.set.remove(id),
                self.model.remove(&value),
                "remove {value}"
            );
        }
    }

    /// A number inside the span of the model, picked by `at`.
    fn inside(&self, at: u64) -> u64 {
        let first = self.model.first().copied().unwrap_or(1);
        let last = self.model.last().copied().unwrap_or(1);
        first + at % (last - first + 1)
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Append { count, gap } => {
                let mut next = self.model.last().copied().unwrap_or(1 << 40);
                for _ in 0..count {
                    next = next.saturating_add(1 + self.random.below(gap));
                    self.insert(next);
                }
            }
            Step::Late { at, count } => {
                let start = self.inside(at);
                for _ in 0..count {
                    let value = start.saturating_add(self.random.below(5_000));
                    self.insert(value);
                }
            }
            Step::Prepend { count } => {
                for _ in 0..count {
                    let first = self.model.first().copied().unwrap_or(1 << 40);
                    let back = 1 + self.random.below(50);
                    self.insert(first.saturating_sub(back));
                }
            }
            Step::Duplicate { at } => {
                let position = self.inside(at);
                if let Some(value) = self.model.range(..=position).next_back().copied() {
                    self.insert(value);
                }
            }
            Step::Remove { at, count } => {
                let position = self.inside(at);
                let some: Vec<u64> = self
                    .model
                    .range(position..)
                    .take(usize::from(count))
                    .copied()
                    .collect();
                for value in some {
                    self.remove(value);
                    self.remove(value + 1);
                }
            }
            Step::RemoveLast => {
                if let Some(value) = self.model.last().copied() {
                    self.remove(value);
                }
            }
            Step::Trim { at } => {
                let position = self.inside(at);
                let kept = self.model.split_off(&(position + 1));
                let gone = std::mem::replace(&mut self.model, kept).len();
                assert_eq!(self.set.remove_up_to(Position(position)), wide(gone));
            }
            Step::Edge => {
                self.insert(1);
                self.insert(MESSAGE_ID_MAX);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any history of appends, late and doubled inserts, removes and trims leaves the set equal to
    /// a plain sorted set, in every query.
    #[test]
    fn behaves_like_a_sorted_set(
        steps in prop::collection::vec(step(), 1..24),
        probes in prop::collection::vec(any::<u64>(), 16),
        seed in 1_u64..,
    ) {
        let mut pair = Pair { set: IdSet::new(), model: BTreeSet::new(), random: Random(seed) };
        for step in &steps {
            pair.apply(step);
            let some = probes.iter().map(|probe| pair.inside(*probe)).collect::<Vec<_>>();
            for position in some {
                check_position(&pair.set, &pair.model, position);
            }
        }
        check_all(&pair.set, &pair.model);
        let around: Vec<u64> = pair.model.iter().copied().collect();
        for value in around.iter().step_by(7) {
            check_position(&pair.set, &pair.model, value - 1);
            check_position(&pair.set, &pair.model, *value);
            check_position(&pair.set, &pair.model, value + 1);
        }
        let sorted = IdSet::from_sorted(around.iter().map(|value| id(*value)));
        check_all(&sorted, &pair.model);
        check_all(&pair.set.clone(), &pair.model);
    }

    /// A chunk gives back its ids and ranks whatever bits they have.
    #[test]
    fn a_chunk_keeps_any_ids(
        values in prop::collection::btree_set(1..=MESSAGE_ID_MAX, 1..=CHUNK_IDS_MAX),
        mask in any::<u64>(),
        probes in prop::collection::vec(any::<u64>(), 8),
    ) {
        let model: BTreeSet<u64> = values.iter().map(|value| (value & mask).max(1)).collect();
        let ids: Vec<u64> = model.iter().copied().collect();
        let chunk = Chunk::encode(&ids);
        prop_assert!(chunk.ids_from(0).eq(ids.iter().copied()));
        prop_assert_eq!(chunk.last(), ids[ids.len() - 1]);
        for probe in probes.iter().copied().chain(ids.iter().flat_map(|id| [id - 1, *id, id + 1])) {
            prop_assert_eq!(chunk.count_up_to(probe), model.range(..=probe).count());
            prop_assert_eq!(chunk.contains(probe), model.contains(&probe));
        }
    }
}

#[test]
fn the_lowest_and_highest_ids_fit_together() {
    let mut set = IdSet::new();
    assert!(set.insert(id(MESSAGE_ID_MAX)));
    assert!(set.insert(id(1)));
    assert!(!set.insert(id(1)));
    assert_eq!(set.count_above(Position::START), 2);
    assert_eq!(set.count_above(Position(1)), 1);
    assert_eq!(set.count_above(Position(MESSAGE_ID_MAX)), 0);
    assert_eq!(set.remove_up_to(Position(u64::MAX)), 2);
    assert!(set.is_empty());
}

#[test]
fn an_iterator_can_be_cloned_and_started_again() {
    let set = IdSet::from_sorted((1..=1_000).map(id));
    let mut ids = set.iter_above(Position(990));
    ids.next();
    let again = ids.clone();
    assert_eq!(
        ids.map(MessageId::get).collect::<Vec<_>>(),
        (992..=1_000).collect::<Vec<_>>()
    );
    assert_eq!(again.count(), 9);
}

#[test]
fn unsorted_input_of_from_sorted_is_not_lost() {
    let set = IdSet::from_sorted([5, 9, 9, 3, 400, 7].map(id));
    let ids: Vec<u64> = set
        .iter_above(Position::START)
        .map(MessageId::get)
        .collect();
    assert_eq!(ids, [3, 5, 7, 9, 400]);
}

/// Snowflakes of a channel with a message every 30 s on average, from some workers.
fn snowflakes(count: u64, workers: u64) -> impl Iterator<Item = MessageId> {
    let mut random = Random(42);
    let mut millis = 250_000_000_000_u64;
    (0..count).map(move |_| {
        millis += 1 + random.below(60_000);
        id(millis << 22 | random.below(workers) << 12 | random.below(4))
    })
}

fn bytes_per_id(set: &IdSet) -> f64 {
    let bytes = u32::try_from(set.memory_bytes()).unwrap();
    f64::from(bytes) / f64::from(u32::try_from(set.len()).unwrap())
}

fn check_bytes_per_id(name: &str, set: &IdSet, bytes_max: f64) {
    let bytes = bytes_per_id(set);
    println!("{name}: {bytes:.2} bytes per id");
    assert!(
        bytes <= bytes_max,
        "{name}: {bytes:.2} bytes per id, at most {bytes_max}"
    );
}

#[test]
fn an_id_takes_few_bytes() {
    check_bytes_per_id(
        "snowflakes, 1 worker",
        &IdSet::from_sorted(snowflakes(100_000, 1)),
        3.0,
    );
    check_bytes_per_id(
        "snowflakes, 1024 workers",
        &IdSet::from_sorted(snowflakes(100_000, 1_024)),
        6.0,
    );
    check_bytes_per_id("sequence", &IdSet::from_sorted((1..=100_000).map(id)), 1.0);
    let mut grown = IdSet::new();
    for next in snowflakes(100_000, 1_024) {
        grown.insert(next);
    }
    check_bytes_per_id("snowflakes, one by one", &grown, 6.0);
    check_bytes_per_id(
        "300 snowflakes",
        &IdSet::from_sorted(snowflakes(300, 1_024)),
        6.0,
    );
    let mut backwards = IdSet::new();
    for next in (1..=100_000).rev() {
        backwards.insert(id(next));
    }
    check_bytes_per_id("sequence, backwards", &backwards, 1.0);
}

#[test]
fn a_small_set_is_small() {
    assert_eq!(IdSet::new().memory_bytes(), size_of::<IdSet>());
    assert!(size_of::<IdSet>() <= 64);
    let mut three = IdSet::new();
    for value in 1..=3 {
        three.insert(id(value));
    }
    assert!(three.memory_bytes() <= 64, "{}", three.memory_bytes());
}

#[test]
fn removing_everything_gives_back_the_memory() {
    let mut set = IdSet::from_sorted((1..=10_000).map(id));
    let mut random = Random(7);
    while set.len() > 100 {
        set.remove(id(1 + random.below(10_000)));
    }
    assert!(
        set.memory_bytes() < 2_048,
        "{} bytes for 100 ids",
        set.memory_bytes()
    );
    for value in 1..=10_000 {
        set.remove(id(value));
    }
    assert_eq!(set.memory_bytes(), size_of::<IdSet>());
}
