//! The world: clients, a network, processes with cores, logs on disks that fail, a store that fails,
//! a clock that jumps; one seed decides all of it.
//!
//! The code under test is the server's own: shards, log, committer, recovery, overlay, flush, loads
//! and the gate's judgement. Only threads, sockets and the disk below the log are simulated. What is
//! checked is in `check`; how it is meant is in `docs/internals/simulation.md`.

mod beside;
mod check;
mod devices;
pub mod disk;
mod overlap;
pub mod plan;
mod process;
mod replay;
mod rot;
mod run;
mod schedule;
pub mod store;
mod told;
pub mod totals;

pub use plan::{Act, End, Event, Mode, Plan};
pub use process::Setup;
pub use run::World;
pub use totals::Totals;

/// Where what happened and what must happen part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which event; the number of events stands for the count at the end.
    pub event: usize,
    /// What was due and what came.
    pub text: String,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The first thing that is wrong.
    pub failure: Option<Failure>,
    /// What happened.
    pub totals: Totals,
    /// A hash over everything that happened, in order.
    pub trace: u64,
}

/// Runs the events of a plan.
pub fn run(plan: &Plan, events: &[Event]) -> Outcome {
    let (outcome, _) = run_noted(plan, events, false);
    outcome
}

/// As [`run`], and what happened as text, when `noted`. A panic of what is driven is a failure.
pub fn run_noted(plan: &Plan, events: &[Event], noted: bool) -> (Outcome, String) {
    let mut world = World::new(plan, noted);
    let run = std::panic::AssertUnwindSafe(|| world.run(events));
    let result = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    let failure = result.err().map(|text| Failure {
        event: world.event(),
        text,
    });
    let outcome = Outcome {
        failure,
        totals: world.totals(),
        trace: world.trace(),
    };
    (outcome, world.take_notes())
}
