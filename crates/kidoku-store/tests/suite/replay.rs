//! Answering while the log is replayed: a load does not wait for it, and misses nothing of it.

use crate::checkpoint::{Gate, Mode, batch, load, options, start};
use crate::support::{ack, channel, message, user};
use kidoku_core::effect::{Load, Loaded};
use kidoku_core::fact::Fact;
use kidoku_core::id::App;
use kidoku_store::{CheckpointOptions, Memory, Steps, Store};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel as queue};
use std::time::Duration;

type Answer = Receiver<Result<Loaded, kidoku_core::effect::LoadFailed>>;

fn steps() -> Steps {
    Steps::new(Arc::new(Memory::new()), options(64 * 1024))
}

fn ask(steps: &Steps, load: Load) -> Answer {
    let (sender, answer) = queue();
    steps.load(load, Box::new(move |loaded| drop(sender.send(loaded))));
    answer
}

fn facts_of(steps: &Steps, name: &str) -> Vec<Fact> {
    let answer = ask(steps, Load::User(user(name)));
    assert!(steps.answer(0), "the load of {name} waits");
    match answer.recv().unwrap().unwrap() {
        Loaded::Facts(facts) => facts,
        other => panic!("a user is facts, not {other:?}"),
    }
}

#[test]
fn whoever_is_in_the_log_is_answered_before_it_is_merged() {
    let steps = steps();
    steps.replayed(batch(1, &[ack("ann", "c", 1), ack("bob", "c", 2)]));
    steps.replayed(batch(3, &[ack("ann", "c", 3), ack("ann", "d", 4)]));
    assert_eq!(steps.status().replay_facts, 4);
    let of_ann = [ack("ann", "c", 3), ack("ann", "d", 4)];
    assert_eq!(facts_of(&steps, "ann"), of_ann);
    assert_eq!(facts_of(&steps, "cid"), []);
    assert!(steps.merge());
    assert_eq!(steps.status().replay_facts, 2);
    assert_eq!(facts_of(&steps, "ann"), of_ann, "once pulled, still there");
    assert_eq!(facts_of(&steps, "bob"), [ack("bob", "c", 2)]);
    assert!(steps.merge());
    assert_eq!(steps.status().replay_facts, 0);
    assert_eq!(facts_of(&steps, "ann"), of_ann, "merged twice is once");
    assert_eq!(facts_of(&steps, "bob"), [ack("bob", "c", 2)]);
}

#[test]
fn a_load_sees_what_was_written_since_the_start_also_behind_a_replay() {
    let steps = steps();
    steps.replayed(batch(1, &[ack("ann", "c", 1)]));
    steps.batch(batch(2, &[ack("ann", "c", 2), ack("bob", "c", 2)]));
    assert_eq!(facts_of(&steps, "ann"), [ack("ann", "c", 2)]);
    steps.batch(batch(4, &[ack("ann", "c", 4)]));
    assert_eq!(
        facts_of(&steps, "ann"),
        [ack("ann", "c", 4)],
        "after a pull"
    );
    // The replay is over, so what is behind it counts as any other: it is waited for.
    let answer = ask(&steps, Load::User(user("bob")));
    assert!(steps.merge());
    assert!(!steps.answer(0));
    assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    assert!(steps.merge() && steps.merge());
    assert!(steps.answer(0));
    let loaded = answer.recv().unwrap().unwrap();
    assert_eq!(loaded, Loaded::Facts(vec![ack("bob", "c", 2)]));
}

#[test]
fn a_channel_is_answered_with_all_its_messages_in_the_log() {
    let steps = steps();
    for number in 1..=500 {
        steps.replayed(batch(number, &[message("c", number)]));
    }
    let answer = ask(&steps, Load::Channel(channel("c")));
    assert!(steps.answer(0));
    let Loaded::Channel(data) = answer.recv().unwrap().unwrap() else {
        panic!("a channel is a channel");
    };
    assert_eq!(data.countable.len(), 500);
}

#[test]
fn what_concerns_many_waits_for_the_whole_replay() {
    let steps = steps();
    steps.replayed(batch(1, &[ack("ann", "c", 1)]));
    let roster = Load::Receipts {
        channel: channel("c"),
        space: None,
    };
    let answer = ask(&steps, roster);
    assert!(!steps.answer(0), "the roster is not whole yet");
    assert_eq!(facts_of(&steps, "ann"), [ack("ann", "c", 1)], "others pass");
    assert!(steps.merge());
    assert!(steps.answer(0));
    let Loaded::Receipts(receipts) = answer.recv().unwrap().unwrap() else {
        panic!("a roster is receipts");
    };
    assert_eq!(receipts.len(), 1);
}

#[test]
fn a_fact_that_does_not_decode_keeps_nobody_from_being_answered() {
    let steps = steps();
    let mut bad = batch(1, &[ack("ann", "c", 1), ack("bob", "c", 2)]);
    let mut bytes = bad.bytes.to_vec();
    bytes[4] = u8::MAX;
    bad.bytes = bytes.into();
    steps.replayed(bad);
    assert_eq!(facts_of(&steps, "ann"), []);
    assert_eq!(facts_of(&steps, "bob"), [ack("bob", "c", 2)]);
    assert!(steps.merge());
    assert_eq!(steps.status().facts_bad, 1);
}

#[test]
fn a_slow_store_stops_neither_loads_nor_writes_while_a_replay_fills_the_overlays() {
    let gate = Arc::new(Gate::default());
    gate.set(Mode::Shut);
    let store: Arc<dyn Store> = Arc::clone(&gate) as Arc<dyn Store>;
    let overlay_bytes_max = 20_000;
    let (checkpoint, _flushed) = start(store, options(overlay_bytes_max));
    for number in 1..=2_000 {
        let name = format!("u{number}");
        checkpoint
            .replayed(batch(number, &[ack(&name, "c", number)]))
            .unwrap();
    }
    // Until the overlays are full, and the merging thread waits for the store.
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let status = checkpoint.status();
        if status.replay_facts > 0 && status.replay_facts == before {
            break;
        }
        before = status.replay_facts;
    }
    let status = checkpoint.status();
    assert!(
        status.overlay_bytes < 2 * overlay_bytes_max + 2_000,
        "{status:?}"
    );
    checkpoint
        .batch(batch(2_001, &[ack("new", "c", 1)]))
        .unwrap();
    for (name, position) in [("u2000", 2_000), ("new", 1)] {
        let loaded = load(&checkpoint, Load::User(user(name)));
        assert_eq!(loaded, Loaded::Facts(vec![ack(name, "c", position)]));
    }
    gate.set(Mode::Open);
    let (sender, page) = queue();
    checkpoint.scan(
        App::default_app(),
        None,
        10_000,
        Box::new(move |page| drop(sender.send(page))),
    );
    let page = page.recv().unwrap().unwrap();
    assert_eq!(page.facts.len(), 2_001, "an export has everything");
    checkpoint.close().unwrap();
}

#[test]
fn a_long_log_waits_at_its_limit_for_what_is_merged() {
    let facts = [ack("ann", "c", 1)];
    let bytes = batch(1, &facts).bytes.len();
    let gate = Arc::new(Gate::default());
    gate.set(Mode::Shut);
    let store: Arc<dyn Store> = Arc::clone(&gate) as Arc<dyn Store>;
    let options = CheckpointOptions {
        replay_bytes_max: 3 * bytes,
        ..options(1)
    };
    let (checkpoint, _flushed) = start(store, options);
    let (sender, taken) = queue();
    std::thread::scope(|scope| {
        let checkpoint = &checkpoint;
        scope.spawn(move || {
            for number in 1..=10 {
                checkpoint.replayed(batch(number, &facts)).unwrap();
                sender.send(number).unwrap();
            }
        });
        // Of a store that takes nothing: one is frozen, one fills the next overlay, three wait.
        let patience = Duration::from_secs(60);
        for number in 1..=5 {
            assert_eq!(taken.recv_timeout(patience), Ok(number));
        }
        let while_full = taken.recv_timeout(Duration::from_millis(100));
        gate.set(Mode::Open);
        assert!(while_full.is_err(), "{while_full:?}");
        for number in 6..=10 {
            assert_eq!(taken.recv_timeout(patience), Ok(number));
        }
    });
    checkpoint.close().unwrap();
}
