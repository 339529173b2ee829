//! Sends chunks one after the other, tries again while the server is busy, and keeps the tally.

use super::progress::Progress;
use super::resume::{Place, State};
use super::source::{Chunk, Mark, too_long_reason};
use crate::cmd::client::{Client, FailedLine, Failure, Refused, Report};
use crate::cmd::error::{CmdError, INTERNAL, IO};
use std::thread;
use std::time::Duration;

/// Failed lines that are shown; all are counted.
const FAILURES_SHOWN_MAX: u64 = 20;
/// Tries of one chunk while the server is busy and takes nothing of it.
const TRIES_MAX: u32 = 60;
const TRY_INTERVAL: Duration = Duration::from_millis(500);
const GO_ON: &str = "run the same command again to go on from there";

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Lines dealt with, blank ones not counted.
    pub(super) lines: u64,
    /// Lines the server accepted.
    pub(super) applied: u64,
    /// Lines that changed something.
    pub(super) changed: u64,
    /// Lines that were refused.
    pub(super) failed: u64,
}

/// The sending half of an import.
pub(super) struct Sender {
    client: Client,
    place: Option<Place>,
    state: State,
    progress: Progress,
    tally: Tally,
}

/// The part of a chunk that is still to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    /// Lines of the chunk that are settled.
    lines: usize,
}

impl Sender {
    pub(super) fn new(
        client: Client,
        place: Option<Place>,
        state: State,
        progress: Progress,
    ) -> Self {
        let tally = Tally {
            failed: state.failed,
            ..Tally::default()
        };
        Self {
            client,
            place,
            state,
            progress,
            tally,
        }
    }

    /// How far the import got.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Notes that an import has begun, so that the next run knows that lines may have been applied.
    pub(super) fn begin(&self) {
        if let Some(place) = &self.place {
            place.save(&self.state);
        }
    }

    /// Sends a chunk and waits until all of it is settled.
    pub(super) fn send(&mut self, chunk: &Chunk) -> Result<(), CmdError> {
        for line in &chunk.too_long {
            self.tally.lines += 1;
            self.fail(*line, "LIMIT", &too_long_reason());
        }
        let mut rest = Rest { lines: 0 };
        let mut tries = 0;
        while rest.lines < chunk.marks.len() {
            match self.post(chunk, rest) {
                Ok(report) => {
                    refuse_fault(&report)?;
                    rest.lines += self.settle(chunk, rest, &report);
                    if rest.lines < chunk.marks.len() {
                        let text = "the server accepted the lines but does not say so of each";
                        return Err(CmdError::new(INTERNAL, text));
                    }
                }
                Err(failure) => {
                    let settled = self.settle_refused(chunk, rest, &failure);
                    rest.lines += settled;
                    tries = if settled > 0 { 0 } else { tries + 1 };
                    if !is_passing(&failure) || tries >= TRIES_MAX {
                        return Err(self.explained(failure));
                    }
                    thread::sleep(TRY_INTERVAL);
                }
            }
        }
        self.note(chunk.last_line);
        self.progress.show(&self.tally);
        Ok(())
    }

    fn post(&self, chunk: &Chunk, rest: Rest) -> Result<Report, Failure> {
        let start = rest
            .lines
            .checked_sub(1)
            .and_then(|index| chunk.marks.get(index));
        let body = chunk
            .body
            .get(start.map_or(0, |mark| mark.end)..)
            .unwrap_or_default();
        self.client
            .post_json("/v1/events", "application/x-ndjson", body)
    }

    /// Takes a report in; says how many lines it settles.
    fn settle(&mut self, chunk: &Chunk, rest: Rest, report: &Report) -> usize {
        let numbered = |line: u64| {
            let index = usize::try_from(line)
                .ok()?
                .checked_sub(1)?
                .checked_add(rest.lines)?;
            chunk.marks.get(index).map(|mark| mark.line)
        };
        for failed in &report.errors {
            self.fail_shown(
                numbered(failed.line).unwrap_or_default(),
                &failed.code,
                &failed.detail,
            );
        }
        self.tally.failed += report.failed;
        let settled = report.applied + report.failed;
        self.tally.lines += settled;
        self.tally.applied += report.applied;
        self.tally.changed += report.changed;
        let settled = usize::try_from(settled).unwrap_or(usize::MAX);
        settled.min(chunk.marks.len() - rest.lines)
    }

    /// A stream that broke off: what was settled of it is not sent again.
    fn settle_refused(&mut self, chunk: &Chunk, rest: Rest, failure: &Failure) -> usize {
        let Failure::Refused(refused) = failure else {
            return 0;
        };
        let Some(report) = refused.refusal.report.as_ref() else {
            return 0;
        };
        let settled = self.settle(chunk, rest, report);
        let next = rest.lines + settled;
        let last = next.checked_sub(1).and_then(|index| chunk.marks.get(index));
        let split = chunk.marks.get(next).map(|mark| mark.line);
        if let Some(Mark { line, .. }) = last.filter(|_| settled > 0) {
            // A line that is sent as two is settled with its second half.
            self.note(if split == Some(*line) {
                line - 1
            } else {
                *line
            });
        }
        settled
    }

    fn fail(&mut self, line: u64, code: &str, detail: &str) {
        self.fail_shown(line, code, detail);
        self.tally.failed += 1;
    }

    fn fail_shown(&mut self, line: u64, code: &str, detail: &str) {
        self.state.shown += 1;
        if self.state.shown <= FAILURES_SHOWN_MAX {
            self.progress.say(&format!("line {line}: {code}: {detail}"));
        } else if self.state.shown == FAILURES_SHOWN_MAX + 1 {
            self.progress
                .say("more lines failed; only the first 20 are shown");
        }
    }

    /// Remembers that everything up to a line is settled.
    fn note(&mut self, line: u64) {
        self.state.line = line;
        self.state.failed = self.tally.failed;
        if let Some(place) = &self.place {
            place.save(&self.state);
        }
    }

    fn explained(&self, failure: Failure) -> CmdError {
        let mut error = CmdError::from(failure);
        if self.place.is_some() {
            error.text.push_str("; ");
            error.text.push_str(GO_ON);
        }
        error
    }

    /// Ends the display.
    pub(super) fn finish(self) -> Tally {
        self.progress.finish();
        self.tally
    }

    /// Forgets the state: the import is complete.
    pub(super) fn forget(&self) {
        if let Some(place) = &self.place {
            place.forget();
        }
    }
}

/// A line that failed because the server can not store or answer now is not a bad line: the import
/// stops, and the chunk is sent again by the next run.
fn refuse_fault(report: &Report) -> Result<(), CmdError> {
    let is_fault = |code: &str| ["DISKFULL", "BUSY", "TRYAGAIN", "INTERNAL"].contains(&code);
    match report.errors.iter().find(|failed| is_fault(&failed.code)) {
        None => Ok(()),
        Some(failed) => {
            let FailedLine { code, detail, .. } = failed;
            let text = format!("the server stopped taking lines: {code}: {detail}; {GO_ON}");
            Err(CmdError::new(IO, text))
        }
    }
}

/// True for a refusal that goes away by itself.
fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(refused) => {
            let Refused { status, .. } = **refused;
            status == 429 || status == 503
        }
        Failure::Lost(_) => false,
    }
}
