//! Calls that fail: the first, the second, up to the 200th, each kind of call with each error, one at
//! a time and for a while, and at the start as well.

use super::Settings;
use super::subject::{Subject, Totals, count, lanes, look, start, under_load};
use crate::load::Lane;
use crate::random::Random;
use crate::server::{Server, TempDir, table_rows};
use crate::shim::{EIO, ENOSPC, EROFS, Fault, Shim, calls, places};
use std::thread;
use std::time::{Duration, Instant};

/// Faults of one life of a server, after which it is killed and everything looked at.
const FAULTS_OF_A_LIFE: usize = 50;

/// How many servers are under test at the same time.
const WORKERS: usize = 2;

/// How long a call may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a lasting fault lasts.
const HOLD: Duration = Duration::from_millis(500);

/// Calls of a start that fail.
const START_CALLS: u64 = 12;

/// What to do to a server.
#[derive(Clone, Copy, Debug)]
enum Case {
    /// One call fails.
    Once(Fault),
    /// Calls of the log fail until the fault is taken away.
    LogDown(Fault),
    /// Calls of the store fail until the fault is taken away.
    StoreDown(Fault),
}

/// Runs it on several servers at a time.
///
/// # Errors
/// What did not hold.
pub(super) fn run(settings: &Settings) -> Result<String, String> {
    let mut cases: Vec<Case> = Vec::new();
    for call in 1..=settings.calls {
        cases.extend(once(call));
    }
    let lasting = lasting(settings.rounds);
    // Spread evenly, so that lasting faults meet every state.
    let step = (cases.len() / lasting.len().max(1)).max(1);
    for (number, case) in lasting.into_iter().enumerate() {
        let at = (number * (step + 1)).min(cases.len());
        cases.insert(at, case);
    }
    let (begun, mut totals) = (Instant::now(), Totals::default());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let own: Vec<Case> = cases
                    .iter()
                    .skip(worker)
                    .step_by(WORKERS)
                    .copied()
                    .collect();
                let seed = settings.seed ^ (u64::try_from(worker).unwrap_or(0) << 48);
                scope.spawn(move || live(&own, seed, table_rows(worker == 0)))
            })
            .collect();
        for worker in workers {
            totals.add(
                &worker
                    .join()
                    .unwrap_or_else(|_| Err("a worker died".to_owned()))?,
            );
        }
        Ok::<(), String>(())
    })?;
    totals.add(&starts(settings)?);
    Ok(format!(
        "{} calls failed, {} acknowledged, {} refused or open, {} claims compared, {} reads answered, \
         {} pushes, {} kills, 0 lost, slowest recovery {:.1} s, in {:.0} s",
        totals.faults,
        totals.sure,
        totals.refused,
        totals.claims,
        totals.reads,
        totals.pushes,
        totals.restarts,
        totals.slowest.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
    ))
}

/// The call of this number fails, each kind with each error.
fn once(call: u64) -> [Case; 4] {
    let fault = |calls, error| {
        Case::Once(Fault {
            calls,
            places: places::ALL,
            error,
            skip: call - 1,
            fail: 1,
            half: call.is_multiple_of(2),
        })
    };
    [
        fault(calls::WRITE, EIO),
        fault(calls::WRITE, ENOSPC),
        fault(calls::SYNC, EIO),
        fault(calls::SYNC, ENOSPC),
    ]
}

/// Faults that last. A file system that was made read-only refuses all.
fn lasting(rounds: u64) -> Vec<Case> {
    let fault = |calls, places, error| Fault {
        calls,
        places,
        error,
        skip: 0,
        fail: u64::MAX,
        half: true,
    };
    let mut cases = Vec::new();
    for _ in 0..rounds {
        for (calls, error) in [
            (calls::WRITE, EIO),
            (calls::WRITE, ENOSPC),
            (calls::SYNC, EIO),
            (calls::SYNC, ENOSPC),
            (calls::ALL, EROFS),
        ] {
            cases.push(Case::LogDown(fault(calls, places::LOG, error)));
            cases.push(Case::StoreDown(fault(calls, places::STORE, error)));
            cases.push(Case::LogDown(fault(calls, places::ALL, error)));
        }
    }
    cases
}

/// One data directory, its flushes written to tables of so many rows and more, with a kill and a look
/// after every so many faults.
fn live(cases: &[Case], seed: u64, table_rows: &str) -> Result<Totals, String> {
    let options = ["--checkpoint-table-rows", table_rows];
    let (dir, tools) = (TempDir::new(), TempDir::new());
    let shim = Shim::build(&tools)?;
    let mut random = Random::new(seed);
    let (mut lanes, mut totals) = (lanes(&mut random), Totals::default());
    for life in cases.chunks(FAULTS_OF_A_LIFE) {
        let mut server = start(dir.path(), &options, &shim.environment())?;
        look(&server, &mut lanes, &mut totals)?;
        under_load(&server, &mut lanes, &mut totals, |subject, totals, _| {
            for case in life {
                one(subject, &shim, case, totals).map_err(|why| format!("{case:?}: {why}"))?;
            }
            Ok(())
        })?;
        server.kill();
        totals.restarts += 1;
        if shim.reused() > 0 {
            return Err("the log wrote to a handle whose sync had failed".to_owned());
        }
    }
    let server = start(dir.path(), &options, &shim.environment())?;
    look(&server, &mut lanes, &mut totals)?;
    count(&lanes, &mut totals);
    Ok(totals)
}

fn one(
    subject: &mut Subject<'_>,
    shim: &Shim,
    case: &Case,
    totals: &mut Totals,
) -> Result<(), String> {
    subject.recovers_from(totals, |subject, totals| {
        let held = fail(subject, shim, case);
        totals.faults += shim.failed();
        shim.disarm();
        held
    })
}

fn fail(subject: &mut Subject<'_>, shim: &Shim, case: &Case) -> Result<(), String> {
    let (Case::Once(fault) | Case::LogDown(fault) | Case::StoreDown(fault)) = case;
    shim.arm(fault);
    subject.until("the call comes", PATIENCE, |_| Ok(shim.failed() > 0))?;
    let tells = |subject: &mut Subject<'_>, reason: &str| {
        subject.until("/readyz tells", PATIENCE, |subject| {
            Ok(subject.reasons()?.contains(reason))
        })
    };
    match case {
        Case::Once(_) => Ok(()),
        Case::LogDown(_) => {
            tells(subject, "the log can not be written: ")?;
            subject.takes_nothing(HOLD)
        }
        Case::StoreDown(_) => {
            tells(subject, "the store: ")?;
            // The log takes more until the overlays are full; then there is an end to that too.
            tells(subject, "no more may wait for the store")?;
            subject.until("writes are refused", PATIENCE, |subject| {
                Ok(subject.write()?.is_none())
            })
        }
    }
}

/// Calls that fail while the server starts: it says so and ends, or starts all the same. The next
/// start finds everything.
fn starts(settings: &Settings) -> Result<Totals, String> {
    let (dir, tools) = (TempDir::new(), TempDir::new());
    let shim = Shim::build(&tools)?;
    let mut random = Random::new(settings.seed);
    let (mut lanes, mut totals) = (lanes(&mut random), Totals::default());
    for call in 0..START_CALLS {
        for (calls, error) in [
            (calls::WRITE, ENOSPC),
            (calls::SYNC, EIO),
            (calls::OPEN, ENOSPC),
        ] {
            let mut server = start(dir.path(), &[], &shim.environment())?;
            work(&mut server, &mut lanes, &mut totals)?;
            shim.arm(&Fault {
                calls,
                places: places::ALL,
                error,
                skip: call,
                fail: 1,
                half: false,
            });
            match start(dir.path(), &[], &shim.environment()) {
                Ok(mut server) => server.kill(),
                Err(why) if why.contains("exit status: 74") => {}
                Err(why) => return Err(format!("call {call} of a start fails: {why}")),
            }
            totals.faults += shim.failed();
            totals.restarts += 2;
            shim.disarm();
        }
    }
    let server = start(dir.path(), &[], &shim.environment())?;
    look(&server, &mut lanes, &mut totals)?;
    count(&lanes, &mut totals);
    Ok(totals)
}

/// A little work, so that there is something to recover, and a kill.
fn work(server: &mut Server, lanes: &mut [Lane], totals: &mut Totals) -> Result<(), String> {
    look(server, lanes, totals)?;
    let addresses = (server.resp_address(), server.http_address());
    crate::load::drive(lanes, addresses, Duration::ZERO, |_| {
        thread::sleep(Duration::from_millis(30));
        server.kill();
        Ok(())
    })
}
