//! Several servers in turns under one load: A B C A B C, so that whatever the machine does meanwhile
//! befalls all of them.

use super::sample::{Around, Probe, Sample};
use crate::error::BenchError;
use crate::load::{Pace, Plan, Work, run};
use crate::machine::Cpu;
use crate::number::shown;
use crate::peer::Peer;
use crate::report::Raw;
use crate::setup::Setup;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may go on writing what it has answered.
const SETTLE_MAX: Duration = Duration::from_secs(300);
/// How long a server is looked at to see whether it still works.
const SETTLE_GLANCE: Duration = Duration::from_millis(200);
/// A server that uses less than this part of a core in that time is at rest.
const REST_PARTS: u32 = 50;

/// A server and what it is given to do.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) peer: Box<dyn Peer>,
    /// The command, for people.
    pub(crate) what: String,
    /// What it can be given to do, by number. Of each, one for each thread of the generator; they go on
    /// from round to round.
    pub(crate) jobs: Vec<Vec<Box<dyn Work>>>,
}

/// What one server showed under one load.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) what: String,
    /// One for each round.
    pub(crate) samples: Vec<Sample>,
}

/// All servers under one load.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    pub(crate) plan: Plan,
    pub(crate) lines: Vec<Line>,
}

/// One load: what all are given to do, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Which of the jobs.
    pub(crate) job: usize,
    pub(crate) plan: Plan,
}

impl Load {
    /// The first job in a closed loop over so many connections with so many requests at once, as long as
    /// a row is measured.
    pub(crate) fn closed(setup: &Setup, connections: usize, pipeline: usize) -> Self {
        Self {
            job: 0,
            plan: Plan {
                title: "",
                connections,
                pipeline,
                pace: Pace::Closed,
                warm_up: setup.warm_up,
                duration: setup.duration,
            },
        }
    }
}

/// Measures all entries under one load, round by round.
///
/// # Errors
/// A server that fails or answers wrong; then there are no figures at all.
pub(crate) fn hold(
    entries: &mut [Entry],
    load: &Load,
    setup: &Setup,
    raw: &Raw,
    progress: &mut dyn FnMut(&str),
) -> Result<Contest, BenchError> {
    let mut lines: Vec<Line> = entries
        .iter()
        .map(|entry| Line {
            name: entry.name.clone(),
            what: entry.what.clone(),
            samples: Vec::new(),
        })
        .collect();
    for round in 1..=setup.rounds {
        for (entry, line) in entries.iter_mut().zip(&mut lines) {
            let sample =
                measure(entry, load, setup, raw, round).map_err(|error| error.of(&line.name))?;
            progress(&format!(
                "  round {round} of {}, {}: {}: {}/s, {} µs of processor each, p99 {} ms",
                setup.rounds,
                load.plan,
                line.name,
                shown(sample.rate),
                shown(sample.cpu_us),
                shown(sample.percentile_ms(99.0)),
            ));
            line.samples.push(sample);
        }
    }
    Ok(Contest {
        plan: load.plan,
        lines,
    })
}

/// One round of one server: from rest to rest.
fn measure(
    entry: &mut Entry,
    Load { job, plan }: &Load,
    setup: &Setup,
    raw: &Raw,
    round: usize,
) -> Result<Sample, BenchError> {
    let peer = entry.peer.as_ref();
    let pid = peer.pid();
    settle(peer, setup)?;
    let before = Probe::of(pid);
    let probe = || Probe::of(pid);
    let works = entry
        .jobs
        .get_mut(*job)
        .map_or(&mut [][..], Vec::as_mut_slice);
    let (cpus, stop) = (&setup.client, &setup.stop);
    let run = run(peer.address(), plan, works, (cpus, stop), probe).map_err(BenchError::Failed)?;
    settle(peer, setup)?;
    let after = Probe::of(pid);
    raw.latencies(&entry.name, plan, round, &run.outcome.latencies)?;
    Ok(Sample::of(&run, &Around { before, after }))
}

/// Waits until a server rests, and, where that is wanted, has written all that it writes behind its answers.
///
/// # Errors
/// It does not come to rest, or can not be asked.
pub(crate) fn settle(peer: &dyn Peer, setup: &Setup) -> Result<(), BenchError> {
    let begun = Instant::now();
    loop {
        let cpu = || peer.pid().map(Cpu::of).unwrap_or_default();
        let before = cpu();
        sleep(SETTLE_GLANCE);
        let used = cpu().since(before);
        if setup.stop.is_wished() {
            return Err(BenchError::Stopped);
        }
        if used < SETTLE_GLANCE / REST_PARTS && (!setup.settles || peer.is_settled()?) {
            return Ok(());
        }
        if begun.elapsed() > SETTLE_MAX {
            return Err(BenchError::Failed(format!(
                "still at work {} s after its last answer",
                SETTLE_MAX.as_secs()
            )));
        }
    }
}
