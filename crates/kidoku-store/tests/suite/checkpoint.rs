//! The checkpoint: order, back-pressure, failures, stops.

use crate::support::{Directory, ack, channel, id, message, overlay, user};
use kidoku_core::clock::Clock;
use kidoku_core::effect::{Load, Loaded};
use kidoku_core::fact::Fact;
use kidoku_core::fact::codec::encode;
use kidoku_core::id::App;
use kidoku_store::value::Row;
use kidoku_store::{
    Applied, Batch, Checkpoint, CheckpointOptions, Embedded, EmbeddedOptions, Entry, FlushStep,
    KeyRow, Layers, Memory, Steps, Store, StoreError,
};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel as queue};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A memory store that can be told to fail, or to wait, in its next writes.
#[derive(Default)]
pub(crate) struct Gate {
    memory: Memory,
    mode: Mutex<Mode>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Open,
    Shut,
    Failing,
}

impl Gate {
    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.changed.notify_all();
    }

    fn pass(&self) -> Result<(), StoreError> {
        let mode = self.mode.lock().unwrap();
        let mode = self
            .changed
            .wait_while(mode, |mode| *mode == Mode::Shut)
            .unwrap();
        if *mode == Mode::Failing {
            Err(StoreError::Closed)
        } else {
            Ok(())
        }
    }
}

/// Opens a gate when it goes.
struct Opener<'a>(&'a Gate);

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        self.0.set(Mode::Open);
    }
}

impl Store for Gate {
    fn apply(&self, group: &[Entry<'_>]) -> Result<Applied, StoreError> {
        self.pass()?;
        self.memory.apply(group)
    }

    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        self.memory.remove(keys)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.pass()?;
        self.memory.sync()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        self.memory.get(key)
    }

    fn range(&self, from: &[u8], end: &[u8], limit: usize) -> Result<Vec<KeyRow>, StoreError> {
        self.memory.range(from, end, limit)
    }

    fn meta_get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.meta_get(name)
    }

    fn meta_put(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.memory.meta_put(name, value)
    }
}

const NEVER: Duration = Duration::from_secs(3_600);

/// Flushes only when full or asked, and tries again at once.
pub(crate) fn options(overlay_bytes_max: usize) -> CheckpointOptions {
    CheckpointOptions {
        settle_bytes: 0,
        settle_interval: Duration::ZERO,
        overlay_bytes_max,
        flush_interval: NEVER,
        retry_interval: Duration::from_millis(1),
        ..CheckpointOptions::default()
    }
}

pub(crate) fn start(
    store: Arc<dyn Store>,
    options: CheckpointOptions,
) -> (Checkpoint, Receiver<u64>) {
    let (sender, flushed) = queue();
    let on_flushed = Box::new(move |lsn| _ = sender.send(lsn));
    (
        Checkpoint::start(store, options, on_flushed).unwrap(),
        flushed,
    )
}

pub(crate) fn batch(first_lsn: u64, facts: &[Fact]) -> Batch {
    let mut bytes = Vec::new();
    for fact in facts {
        let mut encoded = Vec::new();
        encode(fact, &mut encoded);
        bytes.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&encoded);
    }
    let count = facts.len() as u64;
    let last_lsn = first_lsn + count - 1;
    Batch {
        first_lsn,
        last_lsn,
        clock: Clock(last_lsn),
        bytes: bytes.into(),
        count,
    }
}

pub(crate) fn load(checkpoint: &Checkpoint, load: Load) -> Loaded {
    let (sender, answer) = queue();
    checkpoint.load(load, Box::new(move |loaded| drop(sender.send(loaded))));
    answer.recv().unwrap().unwrap()
}

pub(crate) fn flush_now(checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let (sender, answer) = queue();
    checkpoint.flush_now(Box::new(move |done| drop(sender.send(done))));
    answer.recv().unwrap()
}

#[test]
fn a_load_sees_every_batch_that_was_handed_over_before_it() {
    let (checkpoint, _flushed) = start(Arc::new(Memory::new()), options(64 * 1024));
    for number in 1..=2_000 {
        checkpoint
            .batch(batch(number, &[ack("ann", "c", number)]))
            .unwrap();
        if number % 50 == 0 {
            let loaded = load(&checkpoint, Load::User(user("ann")));
            assert_eq!(loaded, Loaded::Facts(vec![ack("ann", "c", number)]));
        }
    }
    checkpoint.close().unwrap();
}

#[test]
fn a_flush_brings_everything_to_the_store_and_says_up_to_where() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let (checkpoint, flushed) = start(Arc::clone(&store), options(1 << 20));
    assert!(
        flush_now(&checkpoint).is_ok(),
        "with nothing to do it is done at once"
    );
    checkpoint
        .batch(batch(1, &[ack("ann", "c", 3), message("c", 3)]))
        .unwrap();
    checkpoint.batch(batch(3, &[ack("ann", "c", 4)])).unwrap();
    flush_now(&checkpoint).unwrap();
    assert_eq!(flushed.recv().unwrap(), 3);
    let layers = Layers::new(Arc::clone(&store));
    let loaded = layers.load(&Load::User(user("ann"))).unwrap();
    assert_eq!(loaded, Loaded::Facts(vec![ack("ann", "c", 4)]));
    let status = checkpoint.status();
    assert_eq!(
        (status.merged_lsn, status.flushed_lsn, status.facts),
        (3, 3, 3)
    );
    assert_eq!(
        (
            status.overlay_rows,
            status.overlay_bytes,
            status.queued_bytes
        ),
        (0, 0, 0)
    );
    assert_eq!(
        status.rows_written, 3,
        "a state row, its roster row and a message"
    );
    assert_eq!(checkpoint.stored_clock().unwrap(), Clock(3));
}

#[test]
fn a_full_overlay_is_flushed_by_itself() {
    let (checkpoint, flushed) = start(Arc::new(Memory::new()), options(10_000));
    for number in 1..=500 {
        checkpoint
            .batch(batch(number, &[message("c", number)]))
            .unwrap();
    }
    assert!(flushed.recv().unwrap() <= 500);
    checkpoint.close().unwrap();
    assert_eq!(flushed.iter().last(), Some(500));
}

#[test]
fn an_old_overlay_is_flushed_by_itself() {
    let options = CheckpointOptions {
        flush_interval: Duration::from_millis(1),
        ..options(1 << 20)
    };
    let (checkpoint, flushed) = start(Arc::new(Memory::new()), options);
    checkpoint.batch(batch(1, &[message("c", 1)])).unwrap();
    assert_eq!(flushed.recv().unwrap(), 1);
}

#[test]
fn what_is_worth_it_is_flushed_and_settled_once_nothing_comes() {
    let options = CheckpointOptions {
        settle_bytes: usize::MAX,
        settle_interval: NEVER,
        ..options(1 << 30)
    };
    let (checkpoint, flushed) = start(Arc::new(Memory::new()), options);
    let facts: Vec<Fact> = (1..=20_000).map(|number| message("c", number)).collect();
    checkpoint.batch(batch(1, &facts)).unwrap();
    assert_eq!(flushed.recv(), Ok(20_000));
    // A little is not.
    let little = [message("c", 30_000)];
    checkpoint.batch(batch(20_001, &little)).unwrap();
    let waited = flushed.recv_timeout(Duration::from_secs(2));
    assert_eq!(waited, Err(RecvTimeoutError::Timeout));
}

#[test]
fn a_flush_that_nobody_waits_for_takes_its_time_until_somebody_does() {
    let options = CheckpointOptions {
        flush_interval: Duration::from_secs(3_600),
        ..options(8 << 20)
    };
    let directory = Directory::new();
    let store = Embedded::open(&directory.path().join("store"), EmbeddedOptions::default());
    let (checkpoint, flushed) = start(Arc::new(store.unwrap()), options);
    // As much as makes the overlay full, and then something now and then.
    let facts: Vec<Fact> = (1..=60_000).map(|number| message("c", number)).collect();
    checkpoint.batch(batch(1, &facts)).unwrap();
    for number in 60_001..60_015 {
        checkpoint
            .batch(batch(number, &[message("c", number)]))
            .unwrap();
        let waited = flushed.recv_timeout(Duration::from_millis(250));
        assert_eq!(waited, Err(RecvTimeoutError::Timeout));
    }
    flush_now(&checkpoint).unwrap();
    assert_eq!(flushed.iter().next(), Some(60_000));
}

#[test]
fn a_batch_waits_while_both_overlays_are_full_and_loads_go_on() {
    let gate = Arc::new(Gate::default());
    gate.set(Mode::Shut);
    let store: Arc<dyn Store> = Arc::clone(&gate) as Arc<dyn Store>;
    let (checkpoint, flushed) = start(store, options(20_000));
    std::thread::scope(|scope| {
        // A failed assertion must not leave the writer waiting.
        let _opener = Opener(&gate);
        let (sender, progress) = queue();
        let checkpoint = &checkpoint;
        scope.spawn(move || {
            for number in 1..=2_000 {
                checkpoint
                    .batch(batch(number, &[message("c", number)]))
                    .unwrap();
                _ = sender.send(number);
            }
        });
        // The store is stuck, so the writer is going to stand still, and the loads do not.
        let stuck = loop {
            let handed_over = progress.try_iter().last();
            let loaded = load(
                checkpoint,
                Load::Message {
                    channel: channel("c"),
                    id: id(1),
                },
            );
            if loaded == Loaded::Facts(vec![message("c", 1)])
                && handed_over.is_none()
                && !checkpoint.has_room()
            {
                break checkpoint.status();
            }
        };
        assert!(stuck.overlay_bytes < 60_000, "{stuck:?}");
        assert_eq!(stuck.flushed_lsn, 0);
    });
    checkpoint.close().unwrap();
    assert_eq!(flushed.iter().last(), Some(2_000));
}

#[test]
fn a_failed_flush_is_reported_and_tried_again() {
    let gate = Arc::new(Gate::default());
    gate.set(Mode::Failing);
    let (checkpoint, flushed) = start(Arc::clone(&gate) as Arc<dyn Store>, options(1 << 20));
    checkpoint.batch(batch(1, &[ack("ann", "c", 3)])).unwrap();
    assert!(flush_now(&checkpoint).is_err());
    let status = checkpoint.status();
    assert!(status.flush_failures >= 1);
    assert!(status.flush_error.is_some());
    let loaded = load(&checkpoint, Load::User(user("ann")));
    assert_eq!(
        loaded,
        Loaded::Facts(vec![ack("ann", "c", 3)]),
        "it is still there to be read"
    );
    gate.set(Mode::Open);
    assert_eq!(flushed.recv().unwrap(), 1);
    assert_eq!(checkpoint.status().flush_error, None);
}

#[test]
fn while_flushes_fail_nobody_waits_for_room_and_loads_are_answered() {
    let gate = Arc::new(Gate::default());
    gate.set(Mode::Failing);
    let (checkpoint, flushed) = start(Arc::clone(&gate) as Arc<dyn Store>, options(20_000));
    let stuck = checkpoint.stuck();
    let mut number = 0;
    // The first flush may fail while there is still room beside it.
    while !stuck.load(Ordering::Relaxed) || checkpoint.has_room() {
        number += 1;
        checkpoint
            .batch(batch(number, &[message("c", number)]))
            .unwrap();
    }
    let last = number + 50;
    for number in number + 1..=last {
        // Let in before anybody knew; must not wait, or the log's thread could answer no load.
        checkpoint
            .batch(batch(number, &[message("c", number)]))
            .unwrap();
    }
    load(&checkpoint, Load::User(user("ann")));
    gate.set(Mode::Open);
    while flushed.recv().unwrap() < last {}
    assert!(!stuck.load(Ordering::Relaxed));
    checkpoint.close().unwrap();
}

#[test]
fn closing_on_a_failing_store_gives_up_and_says_why() {
    let gate = Arc::new(Gate::default());
    gate.set(Mode::Failing);
    let (checkpoint, flushed) = start(Arc::clone(&gate) as Arc<dyn Store>, options(1 << 20));
    checkpoint.batch(batch(1, &[ack("ann", "c", 3)])).unwrap();
    assert!(checkpoint.close().is_err());
    assert_eq!(flushed.iter().next(), None);
}

#[test]
fn a_dropped_checkpoint_writes_nothing_more_and_a_replay_brings_it_all_back() {
    let directory = Directory::new();
    let store = directory.open();
    let (checkpoint, _flushed) = start(Arc::clone(&store), options(1 << 20));
    let facts: Vec<Fact> = (1..=400).map(|number| message("c", number)).collect();
    checkpoint.batch(batch(1, &facts[..200])).unwrap();
    flush_now(&checkpoint).unwrap();
    checkpoint.batch(batch(201, &facts[200..])).unwrap();
    drop(checkpoint);
    drop(store);
    let (checkpoint, _flushed) = start(directory.open(), options(1 << 20));
    // The log still has a part of what is in the store already.
    checkpoint.batch(batch(101, &facts[100..])).unwrap();
    let Loaded::Channel(data) = load(&checkpoint, Load::Channel(channel("c"))) else {
        panic!("a channel was asked for");
    };
    assert_eq!(data.countable, (1..=400).map(id).collect::<Vec<_>>());
    assert_eq!(checkpoint.stored_clock().unwrap(), Clock(200));
}

#[test]
fn facts_that_do_not_decode_are_counted_and_the_others_are_kept() {
    let (checkpoint, flushed) = start(Arc::new(Memory::new()), options(1 << 20));
    let good = [ack("ann", "c", 3), message("c", 3)];
    let mut damaged = batch(1, &good);
    let mut bytes = damaged.bytes.to_vec();
    // A fact of an unknown kind between the two, and a length that goes beyond the end.
    let first = 4 + usize::from(bytes[0]);
    bytes.splice(first..first, [1, 0, 0, 0, 99]);
    bytes.extend([200, 0, 0, 0, 1]);
    damaged.bytes = bytes.into();
    damaged.count = 6;
    damaged.last_lsn = 6;
    checkpoint.batch(damaged).unwrap();
    assert_eq!(
        load(&checkpoint, Load::User(user("ann"))),
        Loaded::Facts(vec![good[0].clone()])
    );
    let status = checkpoint.status();
    assert_eq!((status.facts, status.facts_bad), (2, 4));
    let error = status.last_error.unwrap();
    assert_eq!(
        error,
        "the fact 2 of the log does not decode: the kind is unknown or not the \
        expected one"
    );
    flush_now(&checkpoint).unwrap();
    assert_eq!(flushed.recv().unwrap(), 6);
}

#[test]
fn a_batch_of_nothing_readable_is_still_cut_from_the_log() {
    let (checkpoint, flushed) = start(Arc::new(Memory::new()), options(1 << 20));
    let bytes = Arc::from([1, 0, 0, 0, 99].as_slice());
    checkpoint
        .batch(Batch {
            first_lsn: 1,
            last_lsn: 1,
            clock: Clock(1),
            bytes,
            count: 1,
        })
        .unwrap();
    flush_now(&checkpoint).unwrap();
    assert_eq!(flushed.recv().unwrap(), 1);
}

#[test]
fn a_scan_sees_what_is_not_flushed_yet() {
    let (checkpoint, _flushed) = start(Arc::new(Memory::new()), options(1 << 20));
    checkpoint
        .batch(batch(1, &[message("c", 1), ack("ann", "c", 1)]))
        .unwrap();
    let (sender, answer) = queue();
    let reply = Box::new(move |page| drop(sender.send(page)));
    checkpoint.scan(App::default_app(), None, 100, reply);
    let page = answer.recv().unwrap().unwrap();
    assert_eq!(page.facts, [ack("ann", "c", 1), message("c", 1)]);
    assert_eq!(page.next, None);
}

#[test]
fn an_overlay_knows_about_how_big_it_is() {
    let facts: Vec<Fact> = (1..=1_000).map(|number| message("c", number)).collect();
    let bytes = overlay(&facts).bytes();
    assert!((100_000..400_000).contains(&bytes), "{bytes}");
    let again: Vec<Fact> = facts.iter().chain(&facts).cloned().collect();
    assert_eq!(
        overlay(&again).bytes(),
        bytes,
        "the same twice takes no more"
    );
}

#[test]
fn step_by_step_a_load_waits_for_its_batches_and_a_flush_for_what_is_frozen() {
    let gate = Arc::new(Gate::default());
    let steps = Steps::new(gate.clone(), options(64 * 1024));
    let (sender, answer) = queue();
    steps.batch(batch(1, &[ack("ann", "c", 7)]));
    let wanted = Load::User(user("ann"));
    steps.load(wanted, Box::new(move |loaded| drop(sender.send(loaded))));
    assert!(!steps.answer(0), "the batch before it is not merged");
    assert!(!steps.freeze(), "nothing is merged");
    assert!(steps.merge());
    assert!(!steps.merge());
    assert!(steps.answer(5), "any place picks one that is ready");
    let Loaded::Facts(facts) = answer.recv().unwrap().unwrap() else {
        panic!("a user is facts");
    };
    assert_eq!(facts, [ack("ann", "c", 7)]);

    assert_eq!(steps.flush(), FlushStep::Idle);
    assert!(steps.freeze());
    assert!(!steps.freeze(), "the one before is not written yet");
    gate.set(Mode::Failing);
    assert_eq!(steps.flush(), FlushStep::Failed);
    assert_eq!(steps.status().flush_failures, 1);
    gate.set(Mode::Open);
    assert_eq!(steps.flush(), FlushStep::Done(1));
    assert_eq!(steps.flush(), FlushStep::Idle);
    assert_eq!(steps.stored_clock().unwrap(), Clock(1));
}

#[test]
fn what_the_log_does_not_have_stays_out_of_the_store_also_when_closing() {
    let store = Arc::new(Memory::new());
    let (checkpoint, flushed) = start(store.clone(), options(1));
    checkpoint.hold();
    checkpoint.batch(batch(1, &[ack("ann", "c", 7)])).unwrap();
    let Loaded::Facts(facts) = load(&checkpoint, Load::User(user("ann"))) else {
        panic!("a user is facts");
    };
    assert_eq!(facts, [ack("ann", "c", 7)]);
    checkpoint.close().unwrap();
    assert!(store.is_empty().unwrap());

    let (checkpoint, _flushed) = start(store.clone(), options(1));
    checkpoint.hold();
    checkpoint.batch(batch(1, &[ack("ann", "c", 7)])).unwrap();
    checkpoint.release();
    flush_now(&checkpoint).unwrap();
    assert!(!store.is_empty().unwrap());
    drop(flushed);
}
