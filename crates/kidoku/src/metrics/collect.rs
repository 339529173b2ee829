//! From counters to text.

use super::{HttpMetrics, Kind, Metric, RespMetrics};
use crate::engine::Status;
use crate::engine::stall::{StallCounts, Work};
use crate::net::tls::Tls;
use kidoku_core::shard::Stats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// Everything a scrape shows, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the engine says.
    pub status: Status,
    /// What HTTP has counted.
    pub http: Arc<HttpMetrics>,
    /// How TLS is; `None` = there is none, and no line of it.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// The metrics as OpenMetrics text.
pub fn encode(snapshot: Snapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut out = String::new();
    // Writing into a string can not fail, and the metrics report no error of their own.
    match text::encode(&mut out, &registry) {
        Ok(()) => out,
        Err(fmt::Error) => String::new(),
    }
}

/// One line: labels and a value.
struct Sample<'a> {
    labels: Vec<(&'static str, &'a str)>,
    value: Value,
}

#[derive(Clone, Copy)]
enum Value {
    Whole(u64),
    Real(f64),
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cores: Vec<String> = (0..self.status.mailbox_lengths.len())
            .map(|core| core.to_string())
            .collect();
        for &metric in Metric::ALL {
            if metric.kind() == Kind::Info {
                let info = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
                let (name, help) = (metric.name(), metric.help());
                info.encode(encoder.encode_descriptor(name, help, None, MetricType::Info)?)?;
                continue;
            }
            let samples = self.samples(metric, &cores);
            if !samples.is_empty() {
                write(&mut encoder, metric, &samples)?;
            }
        }
        Ok(())
    }
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    metric: Metric,
    samples: &[Sample<'_>],
) -> Result<(), fmt::Error> {
    let counts = metric.kind() == Kind::Counter;
    let kind = if counts {
        MetricType::Counter
    } else {
        MetricType::Gauge
    };
    let mut encoder = encoder.encode_descriptor(metric.name(), metric.help(), None, kind)?;
    for sample in samples {
        if sample.labels.is_empty() {
            write_value(&mut encoder, counts, sample.value)?;
        } else {
            write_value(
                &mut encoder.encode_family(&sample.labels)?,
                counts,
                sample.value,
            )?;
        }
    }
    Ok(())
}

fn write_value(
    encoder: &mut MetricEncoder<'_>,
    counts: bool,
    value: Value,
) -> Result<(), fmt::Error> {
    match (counts, value) {
        (true, Value::Whole(value)) => encoder.encode_counter::<NoLabelSet, u64, u64>(&value, None),
        (true, Value::Real(value)) => encoder.encode_counter::<NoLabelSet, f64, u64>(&value, None),
        (false, Value::Whole(value)) => encoder.encode_gauge(&value),
        (false, Value::Real(value)) => encoder.encode_gauge(&value),
    }
}

impl Snapshot {
    fn sum(&self, of: impl Fn(&Stats) -> u64) -> Vec<Sample<'static>> {
        one(self.status.shards.iter().map(of).sum())
    }

    fn of_tls(&self, of: impl Fn(&Tls) -> u64) -> Vec<Sample<'static>> {
        self.tls
            .as_deref()
            .map_or_else(Vec::new, |tls| one(of(tls)))
    }

    fn samples<'a>(&'a self, metric: Metric, cores: &'a [String]) -> Vec<Sample<'a>> {
        let Self { status, http, .. } = self;
        match metric {
            Metric::Build => Vec::new(),
            Metric::Ready => one(u64::from(status.not_ready.is_empty())),
            Metric::Cores => one(u64::try_from(status.shards.len()).unwrap_or(u64::MAX)),
            Metric::Users => self.sum(|stats| stats.users),
            Metric::Channels => self.sum(|stats| stats.channels),
            Metric::ReadStates => self.sum(|stats| stats.read_states),
            Metric::Messages => self.sum(|stats| stats.messages),
            Metric::UserBytes => self.sum(|stats| stats.user_bytes),
            Metric::ChannelBytes => self.sum(|stats| stats.channel_bytes),
            Metric::Waiting => self.sum(|stats| stats.waiting),
            Metric::MailboxLength => {
                let lengths = status.mailbox_lengths.iter().zip(cores);
                lengths
                    .map(|(length, core)| labelled(vec![("core", core)], *length))
                    .collect()
            }
            Metric::Stalls => stalls(&status.stalls, cores, |counts| counts.stalls),
            Metric::LongStalls => stalls(&status.stalls, cores, |counts| counts.long),
            Metric::LongestStall => longest_stalls(&status.stalls, cores),
            Metric::Requests => self.sum(|stats| stats.requests),
            Metric::Facts => self.sum(|stats| stats.facts),
            Metric::Loads => self.sum(|stats| stats.loads),
            Metric::Evictions => self.sum(|stats| stats.evictions),
            Metric::LateMessages => self.sum(|stats| stats.late_messages),
            Metric::PeerMessages => self.sum(|stats| stats.peer_messages),
            Metric::LogAppendedLsn => one(status.appended_lsn),
            Metric::LogDurableLsn => one(status.durable_lsn),
            Metric::StoreFlushedLsn => one(status.flushed_lsn),
            Metric::LogGroups => one(status.log_groups),
            Metric::LogBytes => one(status.log_bytes),
            Metric::LogSyncSeconds => {
                vec![Sample {
                    labels: Vec::new(),
                    value: Value::Real(status.log_sync_seconds),
                }]
            }
            Metric::LogFailures => one(status.log_failures),
            Metric::Flushes => one(status.flushes),
            Metric::FlushFailures => one(status.flush_failures),
            Metric::StoreReopened => one(status.store_reopened),
            Metric::DiskFree => one(status.disk_free_bytes),
            Metric::DiskFreeMin => one(status.disk_free_bytes_min),
            Metric::ReplayFacts => one(status.replay_facts),
            Metric::OverlayBytes => one(status.overlay_bytes),
            Metric::RotRepaired => one(status.rot.repaired),
            Metric::RotLost => one(status.rot.lost),
            Metric::RespConnections => one(status.resp_connections),
            Metric::RespWithoutKey => one(status.resp.without_key()),
            Metric::RespDropped => resp_dropped(&status.resp),
            Metric::RespBusy => one(status.resp.busy()),
            Metric::HttpConnections => one(http.connections().open()),
            Metric::HttpConnectionsRefused => one(http.connections().refused()),
            Metric::TlsCertificateExpiry => self.of_tls(|tls| {
                // One before 1970 has expired all the same.
                u64::try_from(tls.expires_s()).unwrap_or_default()
            }),
            Metric::TlsReloads => self.of_tls(|tls| tls.reloads().0),
            Metric::TlsReloadFailures => self.of_tls(|tls| tls.reloads().1),
            Metric::TlsHandshakeFailures => self.of_tls(Tls::handshakes_failed),
            Metric::HttpRequests => http_requests(http),
            Metric::HttpRefusals => {
                let by_code = http.refusals();
                by_code
                    .map(|(code, count)| labelled(vec![("code", code)], count))
                    .collect()
            }
            Metric::EventLines => event_lines(http),
        }
    }
}

fn resp_dropped(resp: &RespMetrics) -> Vec<Sample<'_>> {
    let counted = resp.dropped();
    counted
        .map(|(reason, count)| labelled(vec![("reason", reason.word())], count))
        .collect()
}

fn event_lines(http: &HttpMetrics) -> Vec<Sample<'_>> {
    let (applied, failed) = http.lines();
    vec![
        labelled(vec![("outcome", "applied")], applied),
        labelled(vec![("outcome", "failed")], failed),
    ]
}

fn stalls<'a>(
    counts: &[StallCounts],
    cores: &'a [String],
    of: impl Fn(&StallCounts) -> [u64; Work::ALL.len()],
) -> Vec<Sample<'a>> {
    let by_core = counts.iter().zip(cores);
    by_core
        .flat_map(|(counts, core)| {
            let by_work = Work::ALL.into_iter().zip(of(counts));
            by_work.map(move |((_, work), count)| {
                labelled(vec![("core", core.as_str()), ("work", work)], count)
            })
        })
        .collect()
}

fn longest_stalls<'a>(counts: &[StallCounts], cores: &'a [String]) -> Vec<Sample<'a>> {
    let by_core = counts.iter().zip(cores);
    by_core
        .map(|(counts, core)| Sample {
            labels: vec![("core", core)],
            value: Value::Real(counts.longest.as_secs_f64()),
        })
        .collect()
}

fn http_requests(http: &HttpMetrics) -> Vec<Sample<'_>> {
    let counted = http.requests().into_iter();
    counted
        .map(|(method, route, class, count)| {
            labelled(
                vec![("method", method), ("route", route), ("status", class)],
                count,
            )
        })
        .collect()
}

fn one(value: u64) -> Vec<Sample<'static>> {
    vec![labelled(Vec::new(), value)]
}

fn labelled<'a>(labels: Vec<(&'static str, &'a str)>, value: u64) -> Sample<'a> {
    Sample {
        labels,
        value: Value::Whole(value),
    }
}
