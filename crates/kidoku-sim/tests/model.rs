//! Random histories: the shards and the brute-force model answer the same, whatever is evicted,
//! delayed, restarted, or merged in another order.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use kidoku_sim::cluster::ClusterConfig;
use kidoku_sim::history::{Failure, Run};
use kidoku_sim::random::Random;
use kidoku_sim::shrink::shrink;
use kidoku_sim::workload::{Step, history};
use std::panic::{AssertUnwindSafe, catch_unwind};

const SEEDS: u64 = 2_000;
const OPS: usize = 60;
const SHRINK_TRIES_MAX: u32 = 1_500;

/// `KIDOKU_SIM_SEEDS=5000..9000` runs those seeds in place of the usual ones.
fn seeds() -> std::ops::Range<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is asked for seeds from outside"
    )]
    let text = std::env::var("KIDOKU_SIM_SEEDS").unwrap_or_default();
    match text.split_once("..") {
        Some((first, end)) => first.parse().unwrap()..end.parse().unwrap(),
        None => 0..SEEDS,
    }
}

/// Each seed has its own number of shards and its own memory, from next to nothing to plenty.
fn config(seed: u64) -> ClusterConfig {
    let mut random = Random::new(!seed);
    let shards = u16::try_from(1 + random.below(4)).unwrap();
    let memory_bytes_max = *random.pick(&[1, 2_000, 20_000, 1 << 30]).unwrap();
    ClusterConfig {
        shards,
        memory_bytes_max,
        seed,
        traced: false,
    }
}

type Check = fn(ClusterConfig, &[Step]) -> Result<(), Failure>;

fn equals_model(config: ClusterConfig, steps: &[Step]) -> Result<(), Failure> {
    Run::new(config).history(steps)
}

fn any_order(config: ClusterConfig, steps: &[Step]) -> Result<(), Failure> {
    let mut run = Run::new(config);
    run.history(steps)?;
    run.check_any_order(config).map_err(|text| Failure {
        step: steps.len(),
        text,
    })
}

/// A panic is a failure like any other.
fn outcome(check: Check, config: ClusterConfig, steps: &[Step]) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| check(config, steps))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Failure {
            step: steps.len(),
            text: format!("panicked: {text:?}"),
        })
    })
}

fn check(check: Check, seeds: std::ops::Range<u64>) {
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let (config, steps) = (config(seed), history(seed, OPS));
        if outcome(check, config, &steps).is_err() {
            failed.push(seed);
        }
    }
    let Some(seed) = failed.first().copied() else {
        return;
    };
    let config = config(seed);
    let steps = shrink(&history(seed, OPS), SHRINK_TRIES_MAX, |steps| {
        outcome(check, config, steps).is_err()
    });
    let failure = outcome(check, config, &steps).unwrap_err();
    let list: String = steps.iter().map(|step| format!("  {step:?}\n")).collect();
    panic!(
        "{} of {} seeds fail, the first are {:?}\nseed {seed} {config:?}\n{list}at step {}: {}",
        failed.len(),
        seeds.end - seeds.start,
        failed.iter().take(10).collect::<Vec<_>>(),
        failure.step,
        failure.text,
    );
}

#[test]
fn every_reply_of_a_random_history_is_the_models() {
    check(equals_model, seeds());
}

#[test]
fn seeds_that_have_failed_once_do_not_fail_again() {
    // A drop that a mention survived, a thread that left its parent unnoticed by a sync, a drop
    // older than an erasure.
    for seed in [958, 2329, 8058, 8671, 9401, 10_220, 11_173, 40_815] {
        check(any_order, seed..seed + 1);
    }
}

#[test]
fn the_facts_of_a_history_give_the_same_numbers_in_any_order_and_twice() {
    let seeds = seeds();
    check(
        any_order,
        seeds.start..seeds.start + (seeds.end - seeds.start) / 4,
    );
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..20 {
        let traced = || {
            let mut run = Run::new(ClusterConfig {
                traced: true,
                ..config(seed)
            });
            // What comes of it is for the other tests, here it only has to be the same.
            let outcome = run.history(&history(seed, OPS));
            (outcome, run.cluster().trace().to_owned())
        };
        let (one, two) = (traced(), traced());
        assert!(!one.1.is_empty());
        assert!(one == two, "seed {seed}: two runs differ");
    }
}
