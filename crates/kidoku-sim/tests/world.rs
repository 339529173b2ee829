//! The simulated world, in short: its seeds hold, and one seed is one trace.

use kidoku_sim::kept::Kept;
use kidoku_sim::world::{Failure, Plan, Totals, run, run_noted};

/// The gate runs twenty thousand.
const SEEDS: u64 = 400;

#[test]
fn what_is_acknowledged_is_there_and_every_number_is_right_in_a_world_of_faults() {
    let mut totals = Totals::default();
    for seed in 0..SEEDS {
        let plan = Plan::new(seed);
        let outcome = run(&plan, &plan.events());
        assert_eq!(outcome.failure, None, "seed {seed}");
        totals += outcome.totals;
    }
    // Faults that do not happen prove nothing.
    let happened = [
        totals.acks,
        totals.replies_checked,
        totals.counts_at_rest,
        totals.loads_checked,
        totals.replies_explained,
        totals.cursors_checked,
        totals.events,
        totals.events_compared,
        totals.power_cuts,
        totals.kills,
        totals.stops,
        totals.evictions,
        totals.flushes,
        totals.cuts,
        totals.disk.failed_writes,
        totals.disk.refused_full,
        totals.disk.failed_syncs,
        totals.disk.failed_directory,
        totals.disk.torn,
        totals.disk.undone,
        totals.disk.flipped,
        totals.store.failed_writes,
        totals.store.failed_syncs,
        totals.store.lost_rows,
        totals.store.rotten_rows,
        totals.refused_for_rot,
        totals.answers_beside_rot,
        totals.answers_in_part,
        totals.packets_lost,
        totals.packets_twice,
    ];
    assert!(happened.iter().all(|count| *count > 0), "{totals}");
}

#[test]
fn one_seed_is_one_trace() {
    for seed in 0..50 {
        let plan = Plan::new(seed);
        let (one, notes) = run_noted(&plan, &plan.events(), true);
        let (two, again) = run_noted(&plan, &plan.events(), true);
        assert_eq!(one, two, "seed {seed}");
        assert!(!notes.is_empty() && notes == again, "seed {seed}");
    }
}

#[test]
fn histories_that_have_failed_once_do_not_fail_again() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/failures");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kept = Kept::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let (plan, events) = kept.world();
        assert_eq!(events.len(), kept.events.len(), "{}", path.display());
        let outcome = run(&plan, &events);
        assert_eq!(outcome.failure, None, "{}", path.display());
        count += 1;
    }
    assert!(count > 0, "{dir} is empty");
}

#[test]
fn a_kept_history_reads_back_as_it_was_written() {
    let plan = Plan::new(7);
    let mut events = plan.events();
    let mut keeps = [true, false, true].into_iter().cycle();
    events.retain(|_| keeps.next().unwrap());
    let kept = Kept::new(&plan, &events);
    let failure = Failure {
        event: 0,
        text: "two\nlines".to_owned(),
    };
    assert_eq!(Kept::parse(&kept.text(&failure)), Ok(kept.clone()));
    assert_eq!(kept.world(), (plan, events));
    Kept::parse("seed 7\nevents 1").unwrap_err();
}
