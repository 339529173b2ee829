//! A stream of events: read as it comes, applied in batches, answered at its end.
//!
//! While one batch runs in the engine the next is read and parsed, and no more than that: then
//! nothing is read from the socket until the batch is done, so a fast sender is slowed down by TCP
//! and memory stays bounded. Batches run one after the other, because lines mean what they mean in
//! their order.

use crate::auth::now;
use crate::config::IdMode;
use crate::engine::Engine;
use crate::http::HttpState;
use crate::http::caller::Caller;
use crate::http::decode::Decoder;
use crate::http::ids::AppIds;
use crate::http::input::next_piece;
use crate::http::refused::Refused;
use crate::metrics::HttpMetrics;
use axum::Json as Answered;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use kidoku_core::error::{Code, Error};
use kidoku_core::id::App;
use kidoku_core::limits::EVENT_ERRORS_MAX;
use kidoku_core::reply::Reply;
use kidoku_core::request::Request;
use kidoku_proto::event::{Context, Line, LineError, Lines, is_blank, parse_line};
use kidoku_proto::json::answer::{EventsReport, FailedLine};
use kidoku_proto::json::problem::Problem;
use kidoku_proto::json::schema;
use std::mem;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A batch of this many lines is run as soon as the one before is done.
const BATCH_LINES: usize = 2_048;

/// A batch of this many lines waits for the one before: a longer sync makes larger groups.
const BATCH_LINES_MAX: usize = 8_192;

/// The same for its bytes.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Lines parsed before others on this core get their turn; about half a millisecond.
const SLICE_LINES: usize = 256;

/// Apply a stream of events
///
/// JSON Lines, one operation a line, of any length; `Content-Encoding` may be `gzip` or `zstd`. A
/// line that is refused does not stop the stream: the answer is 200, `failed` counts such lines and
/// `errors` describes the first 100. When it arrives, everything that was applied is durable.
/// Messages, deletes, edits and acks may be sent twice. A leave followed by a join at the tail may
/// not: the second time, the tail is a later one. A stream that breaks off is answered with a problem that
/// holds the same counts as `report`.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "events",
    operation_id = "postEvents",
    params(("Content-Encoding" = Option<schema::Encoding>, Header, description = "`gzip` or `zstd`")),
    request_body(content = schema::EventLines, content_type = "application/x-ndjson",
        description = "One operation a line"),
    responses((status = 200, description = "What became of the lines", body = EventsReport))
)]
pub(super) async fn post(
    caller: Caller,
    State(state): State<HttpState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answered<EventsReport>, Refused> {
    let encoding = headers
        .get(CONTENT_ENCODING)
        .map(|encoding| encoding.to_str());
    let encoding = encoding
        .transpose()
        .map_err(|_| Refused::syntax("Content-Encoding"))?;
    let decoder = Decoder::new(encoding.unwrap_or_default())?;
    let mut intake = Intake::new(caller, Arc::clone(&state.metrics));
    let broken = intake.read(body, decoder).await.err();
    let report = intake.finish().await;
    match broken {
        None => Ok(Answered(report)),
        Some(detail) => Err(Problem::new(Code::Syntax, detail)
            .with_hint("what `report` counts as applied stays; send the whole stream again")
            .with_report(report)
            .into()),
    }
}

/// What a batch does not share with others.
struct Setting {
    engine: Engine,
    app: App,
    id_mode: IdMode,
    metrics: Arc<HttpMetrics>,
}

struct Intake {
    setting: Arc<Setting>,
    lines: Lines,
    ids: AppIds,
    batch: Batch,
    running: Option<JoinHandle<EventsReport>>,
    report: EventsReport,
}

/// Lines on their way to the engine.
#[derive(Default)]
struct Batch {
    numbers: Vec<u64>,
    requests: Vec<Request>,
    /// The lines themselves, in apps of opaque ids: they are parsed again when the ids are known.
    texts: Vec<Vec<u8>>,
    bytes: usize,
    /// What is known already: lines that were refused.
    report: EventsReport,
}

impl Intake {
    fn new(caller: Caller, metrics: Arc<HttpMetrics>) -> Self {
        let Caller {
            app,
            id_mode,
            engine,
        } = caller;
        Self {
            setting: Arc::new(Setting {
                engine,
                app,
                id_mode,
                metrics,
            }),
            lines: Lines::default(),
            ids: AppIds::new(id_mode, now()),
            batch: Batch::default(),
            running: None,
            report: EventsReport::default(),
        }
    }

    /// Reads the body to its end. The error says why the stream broke off.
    async fn read(&mut self, mut body: Body, mut decoder: Decoder) -> Result<(), String> {
        while let Some(piece) = next_piece(&mut body).await {
            let piece = piece.map_err(|error| format!("the body broke off: {error}"))?;
            let mut rest: &[u8] = &piece;
            let mut more = false;
            while more || !rest.is_empty() {
                let lines = &mut self.lines;
                more = decoder
                    .step(&mut rest, &mut |bytes| lines.push(bytes))
                    .map_err(|error| format!("the body can not be unpacked: {error}"))?;
                self.take_lines().await;
            }
        }
        let lines = &mut self.lines;
        decoder
            .finish(&mut |bytes| lines.push(bytes))
            .map_err(|error| format!("the body can not be unpacked: {error}"))?;
        self.take_lines().await;
        if let Some(line) = self.lines.finish() {
            self.batch.add(line, &self.setting, &mut self.ids);
        }
        Ok(())
    }

    /// Takes every whole line.
    async fn take_lines(&mut self) {
        let mut taken = 0;
        while let Some(line) = self.lines.next_line() {
            self.batch.add(line, &self.setting, &mut self.ids);
            taken += 1;
            if taken % SLICE_LINES == 0 {
                tokio::task::yield_now().await;
            }
            let is_idle = self.running.as_ref().is_none_or(JoinHandle::is_finished);
            if self.batch.is_full() || (is_idle && self.batch.is_worth_it()) {
                self.send().await;
            }
        }
    }

    /// Waits for the batch that runs, then starts the one at hand.
    async fn send(&mut self) {
        self.wait().await;
        let batch = mem::take(&mut self.batch);
        // A new source for each batch: opaque ids would add up, and the clock goes on.
        let ids = mem::replace(&mut self.ids, AppIds::new(self.setting.id_mode, now()));
        self.running = Some(tokio::spawn(batch.run(ids, Arc::clone(&self.setting))));
    }

    async fn wait(&mut self) {
        if let Some(running) = self.running.take() {
            // The task is never cancelled, and a panic ends the process.
            let done = running.await.unwrap_or_default();
            self.report.add(done);
        }
    }

    async fn finish(mut self) -> EventsReport {
        self.send().await;
        self.wait().await;
        self.report
    }
}

impl Batch {
    fn is_worth_it(&self) -> bool {
        self.numbers.len() >= BATCH_LINES
    }

    fn is_full(&self) -> bool {
        self.numbers.len() >= BATCH_LINES_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn add(&mut self, line: Line<'_>, setting: &Setting, ids: &mut AppIds) {
        let (number, bytes) = match line {
            Line::Text { bytes, .. } if is_blank(bytes) => return,
            Line::Text { number, bytes } => (number, bytes),
            Line::TooLong { number } => return self.refuse(number, LineError::too_long()),
        };
        match parse(bytes, setting, ids) {
            Ok(request) => {
                self.numbers.push(number);
                self.requests.push(request);
                self.bytes += bytes.len();
                if setting.id_mode == IdMode::Opaque {
                    self.texts.push(bytes.to_vec());
                }
            }
            Err(error) => self.refuse(number, error),
        }
    }

    fn refuse(&mut self, number: u64, error: LineError) {
        self.report.lines += 1;
        self.report.refuse(number, error.code, error.detail);
    }

    async fn run(mut self, mut ids: AppIds, setting: Arc<Setting>) -> EventsReport {
        let results = match ids.resolve(&setting.engine).await {
            Ok(resolved) => {
                if resolved {
                    self.parse_again(&setting, &mut ids);
                }
                setting
                    .engine
                    .call_many(mem::take(&mut self.requests))
                    .await
            }
            Err(error) => vec![Err(error); self.numbers.len()],
        };
        let mut report = mem::take(&mut self.report);
        for (number, result) in self.numbers.iter().zip(results) {
            report.lines += 1;
            report.note(*number, result);
        }
        report.in_order();
        setting.metrics.note_lines(report.applied, report.failed);
        report
    }

    /// Makes the requests anew, now that the ids in them are known.
    fn parse_again(&mut self, setting: &Setting, ids: &mut AppIds) {
        let parsed = self.texts.iter().map(|text| parse(text, setting, ids));
        // Each was parsed before, so that nothing is left out here.
        self.requests = parsed.filter_map(Result::ok).collect();
    }
}

fn parse(line: &[u8], setting: &Setting, ids: &mut AppIds) -> Result<Request, LineError> {
    let mut context = Context {
        app: &setting.app,
        ids,
        now: now(),
    };
    parse_line(line, &mut context).map(|event| event.request)
}

/// How a report comes together.
trait Collect {
    fn refuse(&mut self, line: u64, code: Code, detail: String);
    fn note(&mut self, line: u64, result: Result<Reply, Error>);
    fn in_order(&mut self);
    fn add(&mut self, other: Self);
}

impl Collect for EventsReport {
    fn refuse(&mut self, line: u64, code: Code, detail: String) {
        self.failed += 1;
        // Of one batch more are kept than are shown, because those of the engine come after those
        // of the parser and may be of earlier lines.
        if self.errors.len() < 2 * EVENT_ERRORS_MAX {
            self.errors.push(FailedLine {
                line,
                code: code.as_str(),
                detail,
            });
        }
    }

    fn note(&mut self, line: u64, result: Result<Reply, Error>) {
        match result {
            Ok(reply) => {
                self.applied += 1;
                self.changed += u64::from(reply != Reply::Number(0));
            }
            Err(error) => self.refuse(line, error.code(), error.to_string()),
        }
    }

    fn in_order(&mut self) {
        self.errors.sort_by_key(|error| error.line);
        self.errors.truncate(EVENT_ERRORS_MAX);
    }

    fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.applied += other.applied;
        self.changed += other.changed;
        self.failed += other.failed;
        let room = EVENT_ERRORS_MAX.saturating_sub(self.errors.len());
        self.errors.extend(other.errors.into_iter().take(room));
    }
}
