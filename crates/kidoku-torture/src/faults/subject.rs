//! A server under load whose disk is about to fail, and those who watch it.

use crate::load::{Lane, Port, Signals, check, drive};
use crate::random::Random;
use crate::server::Server;
use crate::web::Web;
use crate::wire::{Client, Value};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// From the end of the cause until everything works again.
pub(super) const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// How often a recovery that took longer is measured again, because the machine may have been busy
/// with something else; that it comes at all is asked each time.
const MEASUREMENTS: u32 = 3;

/// How long is waited for anything at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest that any reply may take, whatever the disk does, on a machine that does much else.
pub(super) const REPLY_MAX: Duration = Duration::from_secs(10);

/// For so long nothing may have been written for all to count as quiet.
const QUIET: Duration = Duration::from_millis(500);

/// How often something is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Slept by a lane after each round: the disk is to fail, not the processor.
const PACE: Duration = Duration::from_millis(2);

/// Lanes: two of commands, one of event streams.
const LANES: u64 = 3;

/// What happened in all.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) faults: u64,
    pub(super) sure: u64,
    pub(super) refused: u64,
    pub(super) claims: u64,
    pub(super) reads: u64,
    pub(super) pushes: u64,
    pub(super) restarts: u64,
    /// The longest recovery.
    pub(super) slowest: Duration,
}

impl Totals {
    /// Adds another run's.
    pub(super) fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.sure += other.sure;
        self.refused += other.refused;
        self.claims += other.claims;
        self.reads += other.reads;
        self.pushes += other.pushes;
        self.restarts += other.restarts;
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// Lanes for a data directory of its own.
pub(super) fn lanes(random: &mut Random) -> Vec<Lane> {
    (0..LANES)
        .map(|lane| {
            let port = if lane == LANES - 1 {
                Port::Http
            } else {
                Port::Resp
            };
            Lane::new(lane, port, random.any())
        })
        .collect()
}

/// Starts a server with small parts, so that every call on files comes often.
///
/// # Errors
/// It does not start.
pub(super) fn start(
    dir: &Path,
    options: &[&str],
    environment: &[(&str, &str)],
) -> Result<Server, String> {
    let mut words = vec![
        "--dev",
        "--log-segment-bytes",
        "1MiB",
        "--checkpoint-overlay-bytes",
        "1MiB",
        "--checkpoint-interval-ms",
        "30",
    ];
    words.extend(options);
    Server::start(dir, &words, environment)
}

/// Begins with the lanes of a new data directory, or looks whether all they are owed is there.
///
/// # Errors
/// What is not.
pub(super) fn look(server: &Server, lanes: &mut [Lane], totals: &mut Totals) -> Result<(), String> {
    let mut client = server.client();
    for lane in lanes {
        if lane.book.sure == 0 {
            lane.open(&mut client)?;
        }
        totals.claims += check(&mut client, &mut lane.book)?;
        lane.retry(&mut client)?;
        totals.claims += check(&mut client, &mut lane.book)?;
    }
    Ok(())
}

/// Adds the lanes' figures to the totals, at the very end.
pub(super) fn count(lanes: &[Lane], totals: &mut Totals) {
    for lane in lanes {
        totals.sure += lane.book.sure;
        totals.refused += lane.book.open;
    }
}

/// The server while it is under load.
pub(super) struct Subject<'a> {
    admin: Web,
    probe: Client,
    next_id: u64,
    pushes: &'a AtomicU64,
    acknowledged: Vec<Arc<AtomicU64>>,
}

/// Puts a server under load, with readers and a watcher beside, and lets `then` do what it likes to
/// its disk.
///
/// # Errors
/// What `then` says, a read that failed or took too long, a reply that took too long.
pub(super) fn under_load(
    server: &Server,
    lanes: &mut [Lane],
    totals: &mut Totals,
    then: impl FnOnce(&mut Subject<'_>, &mut Totals, &Signals) -> Result<(), String>,
) -> Result<(), String> {
    let (stop, pushes, reads) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut probe = server.client();
    expect(&mut probe, "KD.JOIN probes probe")?;
    let mut watcher = server.client();
    expect(&mut watcher, "KD.WATCH probe")?;
    let next_id = 1 + expect(&mut probe, "KD.COUNT probe probes")?.items()[0]
        .get("cursor")
        .number();
    let addresses = (server.resp_address(), server.http_address());
    let acknowledged = lanes
        .iter()
        .map(|lane| Arc::clone(&lane.acknowledged))
        .collect();
    let outcome = thread::scope(|scope| {
        let (stop, pushes, reads) = (&stop, &pushes, &reads);
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                if watcher.try_receive_for(STEP).is_some() {
                    pushes.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let reader = scope.spawn(move || read(server, stop, reads));
        let mut subject = Subject {
            admin: Web::new(server.admin_address()),
            probe,
            next_id,
            pushes,
            acknowledged,
        };
        let driven = drive(lanes, addresses, PACE, |signals| {
            then(&mut subject, totals, signals)
        });
        stop.store(true, Ordering::SeqCst);
        let read = reader
            .join()
            .unwrap_or_else(|_| Err("a reader died".to_owned()));
        driven.and(read)
    });
    totals.reads += reads.load(Ordering::SeqCst);
    totals.pushes += pushes.load(Ordering::SeqCst);
    for lane in lanes {
        if lane.slowest > REPLY_MAX {
            return Err(format!("a write got its reply after {:?}", lane.slowest));
        }
        // A write that rests on what has to be loaded fails like a read of it, with INTERNAL.
        let word = |word: &&String| !matches!(word.as_str(), "DISKFULL" | "BUSY" | "INTERNAL");
        if let Some(word) = lane.refused.keys().find(word) {
            return Err(format!("a write was refused with {word}"));
        }
    }
    outcome
}

/// Says a line that must not be refused.
fn expect(client: &mut Client, line: &str) -> Result<Value, String> {
    match client.say(line) {
        Value::Error(error) => Err(format!("{line}: {error}")),
        reply => Ok(reply),
    }
}

/// Reads without a pause. Who is in memory is always answered; somebody never seen before has to be
/// loaded, which may fail, but not hang.
fn read(server: &Server, stop: &AtomicBool, reads: &AtomicU64) -> Result<(), String> {
    let mut client = server.client();
    let mut number = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let cold = format!("KD.COUNT cold{}-{number} plaza", server.pid());
        for line in [
            "KD.COUNT user0-2 plaza",
            "KD.STATE user1-3",
            "KD.BADGE user0-4",
            &cold,
        ] {
            let begun = Instant::now();
            let reply = client.say(line);
            if let Value::Error(error) = &reply
                && line != cold
            {
                return Err(format!("{line}: {error}"));
            }
            if begun.elapsed() > REPLY_MAX {
                return Err(format!("{line}: took {:?}", begun.elapsed()));
            }
            reads.fetch_add(1, Ordering::SeqCst);
        }
        thread::sleep(STEP);
    }
    Ok(())
}

impl Subject<'_> {
    /// Writes something. `None` = it was refused.
    pub(super) fn write(&mut self) -> Result<Option<()>, String> {
        let line = format!("KD.ACK probe probes {}", self.next_id);
        self.next_id += 1;
        let begun = Instant::now();
        let reply = self.probe.say(&line);
        if begun.elapsed() > REPLY_MAX {
            return Err(format!("a write got its reply after {:?}", begun.elapsed()));
        }
        match reply {
            Value::Error(_) => Ok(None),
            _ => Ok(Some(())),
        }
    }

    /// The reasons in `/readyz`; empty = ready.
    pub(super) fn reasons(&self) -> Result<String, String> {
        let answer = self
            .admin
            .try_send("GET", "/readyz", b"")
            .ok_or("no /readyz")?;
        let body: serde_json::Value =
            serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        let reasons = body["reasons"].as_array().ok_or("no reasons in /readyz")?;
        if (answer.status == 200) != reasons.is_empty() {
            return Err(format!("/readyz: {} {}", answer.status, answer.body));
        }
        let reasons = reasons.iter().filter_map(serde_json::Value::as_str);
        Ok(reasons.collect::<Vec<_>>().join("; "))
    }

    /// A metric.
    pub(super) fn metric(&self, name: &str) -> Result<u64, String> {
        let answer = self
            .admin
            .try_send("GET", "/metrics", b"")
            .ok_or("no /metrics")?;
        let mut lines = answer.body.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.ok_or_else(|| format!("no metric {name}"))?;
        value.parse().map_err(|_| format!("{name} {value}"))
    }

    /// Operations acknowledged to the lanes so far.
    fn acknowledged(&self) -> u64 {
        let counts = self.acknowledged.iter();
        counts.map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Waits for something.
    pub(super) fn until(
        &mut self,
        what: &str,
        most: Duration,
        mut is: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if is(self)? {
                return Ok(());
            }
            if begun.elapsed() > most {
                let reasons = self.reasons()?;
                return Err(format!("{what}: not within {most:?}; /readyz: {reasons:?}"));
            }
            thread::sleep(STEP);
        }
    }

    /// Makes a fault and takes it away again with `fault`, and waits until all works. Again if that
    /// took too long.
    pub(super) fn recovers_from(
        &mut self,
        totals: &mut Totals,
        mut fault: impl FnMut(&mut Self, &mut Totals) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut shortest = Duration::MAX;
        for _ in 0..MEASUREMENTS {
            fault(self, totals)?;
            let took = self.recovers()?;
            if took <= RECOVERY_MAX {
                totals.slowest = totals.slowest.max(took);
                return Ok(());
            }
            shortest = shortest.min(took);
        }
        Err(format!(
            "recovered only after {shortest:?} or more, {MEASUREMENTS} times"
        ))
    }

    /// After the end of a cause: writes are taken, pushed to who watches, and moved into the store.
    fn recovers(&mut self) -> Result<Duration, String> {
        let gone = Instant::now();
        let pushes = self.pushes.load(Ordering::SeqCst);
        let flushes = "kidoku_store_flushes_total";
        self.until("a write is taken again", PATIENCE, |subject| {
            Ok(subject.write()?.is_some())
        })?;
        let before = self.metric(flushes)?;
        self.until("the checkpoint works again", PATIENCE, |subject| {
            Ok(subject.metric(flushes)? > before + 1 && subject.reasons()?.is_empty())
        })?;
        let took = gone.elapsed();
        self.until("a push comes", PATIENCE, |subject| {
            Ok(subject.pushes.load(Ordering::SeqCst) > pushes)
        })?;
        Ok(took)
    }

    /// Waits until nothing is written any more, neither to the log nor to the store.
    pub(super) fn is_quiet(&mut self) -> Result<(), String> {
        let figures = |subject: &Self| {
            let names = ["kidoku_store_flushes_total", "kidoku_log_groups_total"];
            names.map(|name| subject.metric(name))
        };
        let mut last = figures(self);
        let mut since = Instant::now();
        self.until("all is quiet", PATIENCE, |subject| {
            let now = figures(subject);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            Ok(since.elapsed() > QUIET)
        })
    }

    /// For so long nothing is acknowledged and nothing more is called durable.
    pub(super) fn takes_nothing(&mut self, hold: Duration) -> Result<(), String> {
        let durable = "kidoku_log_durable_lsn";
        // Replies given before the fault may still be on their way to a lane that gets no processor.
        let mut last = self.acknowledged();
        let mut quiet = Instant::now();
        self.until("acknowledgements end", PATIENCE, |subject| {
            let now = subject.acknowledged();
            if now != last {
                (last, quiet) = (now, Instant::now());
            }
            Ok(quiet.elapsed() > hold / 2)
        })?;
        let before = (self.acknowledged(), self.metric(durable)?);
        let begun = Instant::now();
        while begun.elapsed() < hold {
            if self.write()?.is_some() {
                return Err("a write was acknowledged while the log can not be written".to_owned());
            }
            thread::sleep(STEP);
        }
        let after = (self.acknowledged(), self.metric(durable)?);
        if before != after {
            return Err(format!(
                "while the log could not be written, acknowledged and durable went from {before:?} \
                 to {after:?}"
            ));
        }
        Ok(())
    }
}
