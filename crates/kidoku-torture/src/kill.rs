//! `kill -9` under load: what was acknowledged before is there after, again and again.

use crate::load::{Lane, Port, check, drive};
use crate::options::Options;
use crate::random::Random;
use crate::server::{Server, TempDir, kidoku, table_rows};
use std::thread;
use std::time::{Duration, Instant};

/// Cycles on one data directory, after which a new one is begun: a long run does not grow.
const CYCLES_OF_A_WORLD: u64 = 50;

/// `kidoku check` counts everything again after every so many cycles.
const CYCLES_OF_A_CHECK: u64 = 10;

/// A start after a crash may take so many times what a start on an empty directory takes at the same
/// time on the same machine, or [`RESTART_FLOOR`], whichever is more: it has the log to replay, and the
/// store has its own journal. On a machine that does nothing else it is 2 to 3 times, on one that is
/// ten times overloaded it was 9.
const RESTART_RATIO_MAX: u32 = 20;

/// What nobody has to be quicker than, on a machine that does much else.
const RESTART_FLOOR: Duration = Duration::from_secs(1);

/// What happened in all.
#[derive(Default)]
struct Totals {
    sure: u64,
    open: u64,
    claims: u64,
    checks: u64,
    /// How long starts after a crash took.
    restarts: Vec<Duration>,
    /// How long starts on an empty directory took.
    fresh_starts: Vec<Duration>,
}

/// Runs it. Options: `--cycles`, `--seed`, `--lanes`.
///
/// # Errors
/// What was lost, came back or was counted wrong.
pub fn run(options: &mut Options) -> Result<String, String> {
    let cycles: u64 = options.take("cycles", 50)?;
    let seed: u64 = options.take("seed", 1)?;
    let lanes: u64 = options.take("lanes", 4)?;
    let mut random = Random::new(seed);
    let mut totals = Totals::default();
    let mut left = cycles;
    while left > 0 {
        let of_world = left.min(CYCLES_OF_A_WORLD);
        world(of_world, lanes, &mut random, &mut totals)
            .map_err(|why| format!("seed {seed}: {why}"))?;
        left -= of_world;
    }
    let slowest = totals.restarts.iter().max().copied().unwrap_or_default();
    let median = median(&mut totals.restarts);
    let fresh = self::median(&mut totals.fresh_starts);
    let most = (fresh * RESTART_RATIO_MAX).max(RESTART_FLOOR);
    if median > most {
        return Err(format!(
            "half of the restarts took {median:?} or more; a start on an empty directory takes \
             {fresh:?}, so {most:?} is the most"
        ));
    }
    Ok(format!(
        "seed {seed}: {cycles} kills, {} acknowledged, {} without a reply, {} claims compared, \
         0 lost; {} recounts without a difference; restart {:.0} ms median, {:.0} ms slowest, \
         {:.0} ms on an empty directory",
        totals.sure,
        totals.open,
        totals.claims,
        totals.checks,
        median.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3,
        fresh.as_secs_f64() * 1e3,
    ))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Kills on one data directory, and a clean stop at the end.
fn world(cycles: u64, lanes: u64, random: &mut Random, totals: &mut Totals) -> Result<(), String> {
    let dir = TempDir::new();
    let mut lanes: Vec<Lane> = (0..lanes.max(1))
        .map(|lane| {
            let port = if lane % 4 == 3 {
                Port::Http
            } else {
                Port::Resp
            };
            Lane::new(lane, port, random.any())
        })
        .collect();
    for cycle in 0..cycles {
        let begun = Instant::now();
        let mut server = start(&dir, random);
        if cycle == 0 {
            let mut client = server.client();
            for lane in &mut lanes {
                lane.open(&mut client)?;
            }
        } else {
            totals.restarts.push(begun.elapsed());
        }
        look(&server, &mut lanes, totals).map_err(|why| format!("cycle {cycle}: {why}"))?;
        if cycle % CYCLES_OF_A_CHECK == CYCLES_OF_A_CHECK - 1 {
            let (begun, empty) = (Instant::now(), TempDir::new());
            drop(start(&empty, random));
            totals.fresh_starts.push(begun.elapsed());
            recount(&server, totals).map_err(|why| format!("cycle {cycle}: {why}"))?;
        }
        let load = Duration::from_millis(random.between(50, 450));
        work_and_kill(&mut server, &mut lanes, load)?;
    }
    let begun = Instant::now();
    let mut server = start(&dir, random);
    totals.restarts.push(begun.elapsed());
    look(&server, &mut lanes, totals).map_err(|why| format!("at the end: {why}"))?;
    let status = server.stop();
    if status.code() != Some(0) {
        return Err(format!("the clean stop ended with {status}"));
    }
    let server = start(&dir, random);
    look(&server, &mut lanes, totals).map_err(|why| format!("after a clean stop: {why}"))?;
    recount(&server, totals)?;
    for lane in &lanes {
        totals.sure += lane.book.sure;
        totals.open += lane.book.open;
    }
    Ok(())
}

/// With small parts, so that kills meet flushes, cuts and new segments; and with another number of
/// cores each time, so that other cores own the users and channels.
fn start(dir: &TempDir, random: &mut Random) -> Server {
    let interval = random.between(20, 600).to_string();
    let cores = random.between(1, 4).to_string();
    let table_rows = table_rows(random.percent(50));
    Server::on(
        dir.path(),
        &[
            "--dev",
            "--log-segment-bytes",
            "1MiB",
            "--checkpoint-overlay-bytes",
            "1MiB",
            "--checkpoint-interval-ms",
            &interval,
            "--checkpoint-table-rows",
            table_rows,
            "--cores",
            &cores,
        ],
    )
}

/// Compares every book, sends again what got no reply, and compares once more: now all is certain.
fn look(server: &Server, lanes: &mut [Lane], totals: &mut Totals) -> Result<(), String> {
    let mut client = server.client();
    for lane in lanes {
        totals.claims += check(&mut client, &mut lane.book)?;
        lane.retry(&mut client)?;
        totals.claims += check(&mut client, &mut lane.book)
            .map_err(|why| format!("after sending again: {why}"))?;
        if !lane.book.is_settled() {
            return Err("something is still open after everything was sent again".to_owned());
        }
    }
    Ok(())
}

fn recount(server: &Server, totals: &mut Totals) -> Result<(), String> {
    let dir = server.dir().to_string_lossy().into_owned();
    let output = kidoku(&["check", "--data-dir", &dir])
        .output()
        .map_err(|error| error.to_string())?;
    totals.checks += 1;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!(
            "kidoku check: {}",
            String::from_utf8_lossy(&output.stdout)
        ))
    }
}

fn work_and_kill(server: &mut Server, lanes: &mut [Lane], load: Duration) -> Result<(), String> {
    let addresses = (server.resp_address(), server.http_address());
    drive(lanes, addresses, Duration::ZERO, |_| {
        thread::sleep(load);
        server.kill();
        Ok(())
    })?;
    for lane in lanes {
        if let Some((word, count)) = lane.refused.first_key_value() {
            return Err(format!("{count} operations were refused with {word}"));
        }
    }
    Ok(())
}
