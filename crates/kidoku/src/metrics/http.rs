//! What the HTTP listeners of all cores count.

use super::Connections;
use kidoku_core::error::Code;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Classes of status: 1xx to 5xx.
const CLASSES: usize = 5;

/// The route of requests that no route takes.
const NO_ROUTE: &str = "none";

#[derive(Debug)]
struct Row {
    method: String,
    route: String,
    by_class: [AtomicU64; CLASSES],
}

impl Row {
    fn new(method: &str, route: &str) -> Self {
        let by_class = std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            method: method.to_owned(),
            route: route.to_owned(),
            by_class,
        }
    }
}

/// Counters of HTTP, shared by all cores: a fixed table of atomics, so that nobody waits.
#[derive(Debug)]
pub struct HttpMetrics {
    /// The last row is [`NO_ROUTE`].
    rows: Vec<Row>,
    /// Route, method, row.
    index: BTreeMap<String, BTreeMap<String, usize>>,
    refusals: Vec<(Code, AtomicU64)>,
    connections: Arc<Connections>,
    lines_applied: AtomicU64,
    lines_failed: AtomicU64,
}

impl HttpMetrics {
    /// Zeros for these (method, route) pairs.
    pub fn new(routes: &[(String, String)]) -> Self {
        let mut index: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        let mut rows = Vec::new();
        for (method, route) in routes {
            index
                .entry(route.clone())
                .or_default()
                .insert(method.clone(), rows.len());
            rows.push(Row::new(method, route));
        }
        rows.push(Row::new("any", NO_ROUTE));
        let refusals = kidoku_proto::error::ERRORS.iter();
        Self {
            rows,
            index,
            refusals: refusals.map(|row| (row.code, AtomicU64::new(0))).collect(),
            connections: Arc::default(),
            lines_applied: AtomicU64::new(0),
            lines_failed: AtomicU64::new(0),
        }
    }

    /// Counts an answered request; `route` is the pattern of the router, if one matched.
    pub fn note_request(&self, method: &str, route: Option<&str>, status: u16) {
        let known = route.and_then(|route| self.index.get(route)?.get(method));
        let row = known
            .and_then(|row| self.rows.get(*row))
            .or_else(|| self.rows.last());
        let class = usize::from((status / 100).saturating_sub(1));
        if let Some(count) = row.and_then(|row| row.by_class.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a refusal by its word.
    pub fn note_refusal(&self, code: Code) {
        if let Some((_, count)) = self.refusals.iter().find(|(known, _)| *known == code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts lines of an event stream.
    pub fn note_lines(&self, applied: u64, failed: u64) {
        self.lines_applied.fetch_add(applied, Ordering::Relaxed);
        self.lines_failed.fetch_add(failed, Ordering::Relaxed);
    }

    /// Connections of the HTTP port.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Lines of event streams: accepted, refused.
    pub fn lines(&self) -> (u64, u64) {
        (
            self.lines_applied.load(Ordering::Relaxed),
            self.lines_failed.load(Ordering::Relaxed),
        )
    }

    /// (method, route, class such as `2xx`, count) of everything counted at least once.
    pub fn requests(&self) -> Vec<(&str, &str, &'static str, u64)> {
        const NAMES: [&str; CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let mut counted = Vec::new();
        for Row {
            method,
            route,
            by_class,
        } in &self.rows
        {
            for (class, count) in NAMES.iter().zip(by_class) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    counted.push((method.as_str(), route.as_str(), *class, count));
                }
            }
        }
        counted
    }

    /// Refusals by their word.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.refusals
            .iter()
            .map(|(code, count)| (code.as_str(), count.load(Ordering::Relaxed)))
    }
}
