//! What one round showed of one server.

use crate::load::{Latencies, Run, percentile};
use crate::machine::{Cpu, Pressure, load_average, written_bytes};
use crate::number::{figure, nanos};
use hdrhistogram::Histogram;
use std::time::Duration;

/// What is read when the measured time begins and when it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// `None` = it is not on this machine.
    server: Option<Cpu>,
    own: Cpu,
    pressure: Pressure,
    written_bytes: Option<u64>,
}

impl Probe {
    /// Of a server, and of the machine it runs on.
    pub(super) fn of(pid: Option<u32>) -> Self {
        Self {
            // First, as the others take time in which the server goes on.
            server: pid.map(Cpu::of),
            own: Cpu::of_one(std::process::id()),
            pressure: Pressure::now(),
            written_bytes: pid.map(written_bytes),
        }
    }

    /// Processor time of the server since another probe.
    pub(super) fn server_since(&self, before: &Self) -> Option<Duration> {
        Some(self.server?.since(before.server?))
    }

    /// Bytes that the server caused to be written since another probe.
    pub(super) fn written_since(&self, before: &Self) -> Option<u64> {
        Some(self.written_bytes?.saturating_sub(before.written_bytes?))
    }
}

/// Latencies in one piece of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) begin_s: f64,
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// One round of one server.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Answers in a second of the measured time.
    pub(crate) rate: f64,
    /// Microseconds of the server's processor for each answer in the measured time; this and the next
    /// three are no number when the server is not on this machine.
    pub(crate) cpu_us: f64,
    /// The same from before the warm-up until all was written that is written behind the answers, for
    /// each answer of that time.
    pub(crate) cpu_whole_us: f64,
    /// Cores that the server used.
    pub(crate) server_cores: f64,
    /// Bytes that the server caused to be written, for each answer of the whole time.
    pub(crate) written_bytes: f64,
    /// All latencies, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) points: Vec<Point>,
    /// The part of the time that the busiest thread of the generator was at work.
    pub(crate) client_busy: f64,
    /// How late the generator itself was with 99 of 100 requests, of an open loop.
    pub(crate) late_p99_ms: f64,
    /// Cores that neither the server nor the generator used.
    pub(crate) others: f64,
    /// Cores that the host took away.
    pub(crate) steal: f64,
    pub(crate) load: f64,
}

/// A probe before the warm-up, and one after everything.
pub(super) struct Around {
    pub(super) before: Probe,
    pub(super) after: Probe,
}

impl Sample {
    pub(super) fn of(run: &Run<Probe>, around: &Around) -> Self {
        let (begin, end) = (&run.begin, &run.end);
        let time = end.at.saturating_duration_since(begin.at);
        let answered = figure(end.answered.saturating_sub(begin.answered));
        let server = end.probe.server_since(&begin.probe);
        let own = end.probe.own.since(begin.probe.own);
        let outcome = &run.outcome;
        let all = figure(outcome.answered.max(1));
        let whole = around.after.server_since(&around.before);
        let pressure = |since: fn(Pressure, Pressure, Duration, Duration) -> f64| {
            since(
                end.probe.pressure,
                begin.probe.pressure,
                server.unwrap_or_default() + own,
                time,
            )
        };
        Self {
            rate: answered / time.as_secs_f64().max(f64::MIN_POSITIVE),
            cpu_us: known(server.map(micros)) / answered.max(1.0),
            cpu_whole_us: known(whole.map(micros)) / all,
            server_cores: known(server.map(micros)) / micros(time).max(1.0),
            written_bytes: known(around.after.written_since(&around.before).map(figure)) / all,
            latencies: outcome.latencies.total.clone(),
            points: points(&outcome.latencies),
            client_busy: outcome.client_busy,
            late_p99_ms: millis(percentile(&outcome.lateness, 99.0)),
            others: pressure(Pressure::others_since),
            steal: pressure(|end, begin, _, time| end.steal_since(begin, time)),
            load: load_average(),
        }
    }

    /// The latency in milliseconds below which this part of the answers lies.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        millis(percentile(&self.latencies, percent))
    }

    /// True when something else used so much of the machine that the round may be no good.
    pub(crate) fn is_disturbed(&self) -> bool {
        /// A tenth of a core.
        const OTHERS_MAX: f64 = 0.1;
        self.others + self.steal > OTHERS_MAX
    }
}

fn points(latencies: &Latencies) -> Vec<Point> {
    let of = |interval: &crate::load::Interval| {
        let histogram = &interval.histogram;
        Point {
            begin_s: figure(interval.begin_ns) / 1e9,
            count: histogram.len(),
            p50_ms: millis(percentile(histogram, 50.0)),
            p99_ms: millis(percentile(histogram, 99.0)),
            max_ms: millis(histogram.max()),
        }
    };
    latencies.intervals.iter().map(of).collect()
}

/// What can not be known is no number.
fn known(figure: Option<f64>) -> f64 {
    figure.unwrap_or(f64::NAN)
}

fn micros(time: Duration) -> f64 {
    figure(nanos(time)) / 1e3
}

fn millis(nanos: u64) -> f64 {
    figure(nanos) / 1e6
}
