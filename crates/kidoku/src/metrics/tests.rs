use super::*;
use crate::cmd::scratch::Scratch;
use crate::config::TlsConfig;
use crate::engine::Status;
use crate::engine::stall::{StallCounts, Stalls, Work};
use crate::net::tls::Tls;
use kidoku_core::error::Code;
use kidoku_core::shard::Stats;
use kidoku_torture::certificates::Authority;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn http() -> Arc<HttpMetrics> {
    Arc::new(HttpMetrics::new(&[(
        "GET".to_owned(),
        "/v1/users/{user}/badge".to_owned(),
    )]))
}

/// With a certificate that `openssl` has made.
fn tls() -> Tls {
    let scratch = Scratch::new();
    let pair = Authority::new(scratch.path(), "ca").issue("own");
    let settings = TlsConfig {
        cert: Some(pair.cert),
        key: Some(pair.key),
        client_ca: None,
    };
    Tls::load(&settings).unwrap().unwrap()
}

fn stalled() -> StallCounts {
    let stalls = Stalls::default();
    stalls.note(Work::Mail, Duration::from_millis(2));
    stalls.note(Work::Answers, Duration::from_millis(15));
    stalls.counts()
}

fn scrape(http: &Arc<HttpMetrics>) -> String {
    let shard = Stats {
        users: 3,
        requests: 5,
        ..Stats::default()
    };
    let status = Status {
        shards: vec![shard, Stats { users: 4, ..shard }],
        mailbox_lengths: vec![7, 0],
        stalls: vec![stalled(), StallCounts::default()],
        log_sync_seconds: 1.5,
        ..Status::default()
    };
    encode(Snapshot {
        status,
        http: Arc::clone(http),
        tls: Some(Arc::new(tls())),
    })
}

#[test]
fn names_are_distinct_and_prefixed_and_each_has_a_help_text() {
    let names: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    assert_eq!(names.len(), Metric::ALL.len());
    for metric in Metric::ALL {
        assert!(metric.name().starts_with("kidoku_"), "{metric:?}");
        assert!(
            !metric.help().is_empty() && !metric.help().ends_with('.'),
            "{metric:?}"
        );
        assert!(!metric.name().ends_with("_total") && !metric.name().ends_with("_info"));
    }
}

#[test]
fn a_scrape_sums_the_cores_and_keeps_mailboxes_apart() {
    let http = http();
    http.note_request("GET", Some("/v1/users/{user}/badge"), 200);
    http.note_request("GET", Some("/v1/users/{user}/badge"), 304);
    http.note_request("PURGE", Some("/v1/users/{user}/badge"), 405);
    http.note_request("GET", None, 404);
    http.note_refusal(Code::BadId);
    http.note_lines(10, 2);
    let text = scrape(&http);
    for line in [
        "# TYPE kidoku_users gauge",
        "kidoku_users 7",
        "kidoku_requests_total 10",
        "kidoku_mailbox_length{core=\"0\"} 7",
        "kidoku_mailbox_length{core=\"1\"} 0",
        "kidoku_core_stalls_total{core=\"0\",work=\"mail\"} 1",
        "kidoku_core_stalls_total{core=\"0\",work=\"answers\"} 1",
        "kidoku_core_stalls_total{core=\"1\",work=\"answers\"} 0",
        "kidoku_core_long_stalls_total{core=\"0\",work=\"mail\"} 0",
        "kidoku_core_long_stalls_total{core=\"0\",work=\"answers\"} 1",
        "kidoku_core_longest_stall_seconds{core=\"0\"} 0.015",
        "kidoku_log_sync_seconds_total 1.5",
        "kidoku_ready 1",
        "kidoku_http_requests_total{method=\"GET\",route=\"/v1/users/{user}/badge\",status=\"2xx\"} 1",
        "kidoku_http_requests_total{method=\"GET\",route=\"/v1/users/{user}/badge\",status=\"3xx\"} 1",
        "kidoku_http_requests_total{method=\"any\",route=\"none\",status=\"4xx\"} 2",
        "kidoku_http_refusals_total{code=\"BADID\"} 1",
        "kidoku_event_lines_total{outcome=\"failed\"} 2",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "{line} is missing in\n{text}"
        );
    }
    let build = format!(
        "kidoku_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    assert!(text.contains(&build));
    for metric in Metric::ALL {
        assert!(text.contains(metric.name()), "{metric:?}");
    }
}

#[test]
fn connections_are_counted_up_to_the_limit_and_not_one_past_it() {
    let http = http();
    let first = http.connections().admit(2).unwrap();
    let _second = http.connections().admit(2).unwrap();
    assert!(http.connections().admit(2).is_none());
    assert_eq!(
        (http.connections().open(), http.connections().refused()),
        (2, 1)
    );
    drop(first);
    assert_eq!(http.connections().open(), 1);
    assert!(http.connections().admit(2).is_some());
}
