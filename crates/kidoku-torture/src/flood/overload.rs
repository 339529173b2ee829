//! More work than the server can do: it goes on doing as much as it can, refuses or holds back the
//! rest, and loses nothing that it acknowledged.

use super::load::{self, Mix, Outcome, Pace, Plan};
use super::machine::{self, figure, median, p99};
use super::replies::Speech;
use super::slow_disk::SlowDisk;
use super::world::World;
use crate::server::Server;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The share of the peak that has to be done however much is asked.
const GOODPUT_SHARE_MIN: f64 = 0.9;

/// How much more than the peak is asked.
const OFFERED_SHARE: f64 = 3.0;

/// Memory for users and channels that the server is given.
pub(super) const MEMORY: &str = "64MiB";
const MEMORY_BYTES: u64 = 64 << 20;

/// Users of the server that has all of them in memory.
const WARM_USERS: u32 = 20_000;

/// What the server may use besides `memory`, as `docs/operating/overload.md` adds it up.
const FIXED_BYTES: u64 = 384 << 20;

/// One way to ask too much.
struct Way {
    name: &'static str,
    speech: Speech,
    mix: Mix,
    connections: usize,
    /// Commands out on each connection at the peak.
    window: usize,
}

const WAYS: [Way; 2] = [
    Way {
        name: "RESP acks and states",
        speech: Speech::Resp,
        mix: Mix::AcksAndStates,
        connections: 256,
        window: 32,
    },
    Way {
        name: "HTTP acks and states",
        speech: Speech::Http,
        mix: Mix::AcksAndStates,
        connections: 256,
        window: 8,
    },
];

/// Many connections on a slow disk: what was done waits for the disk in memory, so there some has to
/// be refused.
const SLOW: Way = Way {
    name: "RESP acks, slow disk",
    speech: Speech::Resp,
    mix: Mix::Acks,
    connections: 5_000,
    window: 12,
};

/// How long the slow disk takes longer for each sync.
const SYNC_DELAY: Duration = Duration::from_millis(400);

/// Runs all ways; answers the lines of the table.
///
/// # Errors
/// The first promise that was not kept.
pub(super) fn run(seconds: f64, rounds: usize) -> Result<Vec<String>, String> {
    let args = [
        "--dev",
        "--cores",
        "1",
        "--memory",
        MEMORY,
        "--checkpoint-interval-ms",
        "500",
    ];
    let mut server = start(&args)?;
    let mut world = World::fill(&mut server.client(), WARM_USERS)?;
    let watch = Watch::default();
    let mut lines = Vec::new();
    for way in &WAYS {
        let (line, _) = compare(way, &server, &mut world, &watch, seconds, rounds)?;
        lines.push(line);
    }
    let compared = world.check_after_kill(&mut server, &args)?;
    lines.push(watch.judge("overload")?);
    lines.push(format!(
        "{compared} acknowledged cursors are there after kill -9"
    ));
    Ok(lines)
}

/// The same on a slow disk, where some has to be refused; answers the lines of the table.
///
/// # Errors
/// The first promise that was not kept.
pub(super) fn run_slow(seconds: f64, rounds: usize) -> Result<Vec<String>, String> {
    let args = ["--dev", "--cores", "1", "--memory", MEMORY];
    let mut server = start(&args)?;
    let mut world = World::fill(&mut server.client(), WARM_USERS)?;
    let watch = Watch::default();
    let slow = SlowDisk::begin(server.pid(), SYNC_DELAY)?;
    let (line, busy) = compare(&SLOW, &server, &mut world, &watch, seconds, rounds)?;
    if busy == 0 {
        return Err(format!("{line}\nnothing was refused"));
    }
    drop(slow);
    let compared = world.check_after_kill(&mut server, &args)?;
    Ok(vec![
        line,
        watch.judge("overload of a slow disk")?,
        format!("{compared} acknowledged cursors are there after kill -9"),
    ])
}

fn start(args: &[&str]) -> Result<Server, String> {
    let server = Server::off_the_disk(args);
    machine::pin(server.pid(), machine::SERVER_CORE)?;
    Ok(server)
}

/// The peak and three times as much, in turn; answers the line of the table and how much was refused.
fn compare(
    way: &Way,
    server: &Server,
    world: &mut World,
    watch: &Watch,
    seconds: f64,
    rounds: usize,
) -> Result<(String, u64), String> {
    let address = match way.speech {
        Speech::Resp => server.resp_address(),
        Speech::Http => server.http_address(),
    };
    let plan = |pace| Plan {
        pid: server.pid(),
        address,
        speech: way.speech,
        mix: way.mix,
        connections: way.connections,
        pace,
        time: Duration::from_secs_f64(seconds),
    };
    let (mut shares, mut last, mut busy) = (Vec::new(), None, 0);
    // A round that something else on the machine fell into is outvoted by the others: a server that
    // gives way under load does so in every round, however many there are.
    for round in 1..=rounds * 4 {
        let peak = load::run(&plan(Pace::Closed(way.window)), world);
        let open = Pace::Open {
            rate: peak.goodput() * OFFERED_SHARE,
            at_once: load::at_once(way.window),
        };
        let flood = watch.during(server, || load::run(&plan(open), world));
        kept(&format!("{} at its peak, round {round}", way.name), &peak)?;
        kept(&format!("{} flooded, round {round}", way.name), &flood)?;
        shares.push(flood.goodput_to_use() / peak.goodput_to_use());
        busy += flood.busy;
        last = Some((peak, flood));
        if round >= rounds && median(&mut shares) >= GOODPUT_SHARE_MIN {
            break;
        }
    }
    let share = median(&mut shares);
    let (peak, flood) = last.ok_or("no round was run")?;
    let line = line(way.name, peak, flood, share);
    if share < GOODPUT_SHARE_MIN {
        return Err(format!(
            "{line}\ngoodput falls below the peak: {shares:.2?}"
        ));
    }
    Ok((line, busy))
}

/// Looks at the memory of a server now and then.
#[derive(Debug, Default)]
pub(super) struct Watch {
    most: AtomicU64,
}

impl Watch {
    /// The line of the table; an error when it was more than allowed.
    pub(super) fn judge(&self, what: &str) -> Result<String, String> {
        let most = self.most.load(Ordering::Relaxed);
        let may = MEMORY_BYTES + FIXED_BYTES;
        let line = format!(
            "memory under {what}: at most {} MiB of {} MiB",
            most >> 20,
            may >> 20
        );
        if most > may { Err(line) } else { Ok(line) }
    }

    pub(super) fn during<T>(&self, server: &Server, work: impl FnOnce() -> T) -> T {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    self.most
                        .fetch_max(server.resident_bytes(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let result = work();
            ended.store(true, Ordering::Relaxed);
            result
        })
    }
}

/// Nothing but done and properly refused, and no connection ended.
fn kept(name: &str, outcome: &Outcome) -> Result<(), String> {
    if outcome.refused + outcome.busy_without_time + outcome.hung_up > 0 || outcome.done == 0 {
        return Err(format!(
            "{name}: {} of {} done, {} held back, {} refused, {} BUSY without a time, {} connections ended; the first: {:?}",
            outcome.done,
            outcome.offered,
            outcome.held_back,
            outcome.refused,
            outcome.busy_without_time,
            outcome.hung_up,
            outcome.oddity
        ));
    }
    Ok(())
}

fn line(name: &str, mut peak: Outcome, mut flood: Outcome, share: f64) -> String {
    let rate = |count| figure(count) / flood.seconds / 1e3;
    format!(
        "{name:22} peak {:7.1} k/s  offered {:7.1} k/s  goodput {:7.1} k/s  ratio {share:.2}  \
         processor {:.1} -> {:.1} us  BUSY {:6.1} k/s  held back {:7.1} k/s  p99 {:?} -> {:?}",
        peak.goodput() / 1e3,
        flood.offered_rate() / 1e3,
        flood.goodput() / 1e3,
        peak.server_us_each(),
        flood.server_us_each(),
        rate(flood.busy),
        rate(flood.held_back),
        p99(&mut peak.latencies),
        p99(&mut flood.latencies),
    )
}
