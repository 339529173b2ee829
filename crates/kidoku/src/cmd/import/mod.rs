//! `kidoku import FILE|-`: sends JSON Lines to a server, in order, and takes up where it stopped.
//!
//! One thread reads and unpacks ([`source`]), this one sends ([`sender`]): one request after the
//! other, since the order of operations matters. After each answer the place is noted ([`resume`]).

mod progress;
mod replay;
mod resume;
mod sender;
mod source;

#[cfg(test)]
mod tests;

use super::args::Server;
use super::error::{CmdError, DATA};
use super::out;
use progress::Progress;
use resume::Place;
use sender::{Sender, Tally};
use source::{Item, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

/// Send events from a file of JSON Lines to a running server
///
/// Gzip and zstd files are unpacked on the way. An interrupted import of a file goes on where it
/// stopped when the same command runs again.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file, or - for standard input
    file: PathBuf,
    /// Begin again although an earlier import of the file was interrupted
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    server: Server,
}

/// Chunks read ahead while one is on its way: enough to keep both threads busy.
const CHUNKS_AHEAD: usize = 2;

impl Import {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        let client = self.server.client()?;
        let place = self.place(&client.target_name())?;
        let state = place
            .as_ref()
            .map(|place| place.begin(self.restart))
            .unwrap_or_default();
        if state.line > 0 {
            out::complain(&format!(
                "going on after line {} (--restart begins again)",
                out::grouped(state.line)
            ));
        }
        let read_bytes = Arc::new(AtomicU64::new(0));
        let source = Source::open(&self.file, Arc::clone(&read_bytes))?;
        let progress = Progress::new(source.file_bytes(), read_bytes);
        let mut sender = Sender::new(client, place, state, progress);
        let started = Instant::now();
        let ended = transfer(source, &mut sender);
        if ended.is_ok() {
            sender.forget();
        }
        let tally = sender.finish();
        finish(&tally, started, ended)
    }

    /// Where the state of this import is kept; none for standard input, which can not be resumed.
    fn place(&self, target: &str) -> Result<Option<Place>, CmdError> {
        if is_standard_input(&self.file) {
            return Ok(None);
        }
        let place = Place::of(&self.server.data_dir()?, &self.file, target);
        place
            .map(Some)
            .map_err(|error| CmdError::file(&self.file, &error))
    }
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Reads on one thread and sends on this one until the source ends. An error is of the source or of
/// the server; what was read whole before an error of the source has been sent.
fn transfer(source: Source, sender: &mut Sender) -> Result<(), CmdError> {
    let (to_sender, chunks) = sync_channel(CHUNKS_AHEAD);
    let state = sender.state();
    sender.begin();
    thread::scope(|scope| {
        scope.spawn(move || source.read_all(state, &to_sender));
        // Dropping `chunks` on the way out ends the reader.
        for item in chunks {
            match item {
                Item::Chunk(chunk) => sender.send(&chunk)?,
                Item::Broken(error) => return Err(error),
            }
        }
        Ok(())
    })
}

fn finish(tally: &Tally, started: Instant, ended: Result<(), CmdError>) -> Result<(), CmdError> {
    let seconds = started.elapsed().as_secs_f64();
    let lines = out::grouped(tally.lines);
    let rate = out::grouped(progress::per_second(tally.lines, started.elapsed()));
    out::print(&format!(
        "imported {lines} lines in {seconds:.1} s ({rate}/s): {} accepted, {} changed something, {} \
         failed\n",
        out::grouped(tally.applied),
        out::grouped(tally.changed),
        out::grouped(tally.failed),
    ))?;
    ended?;
    if tally.failed > 0 {
        let text = format!(
            "{} lines failed, all others were imported",
            out::grouped(tally.failed)
        );
        return Err(CmdError::new(DATA, text));
    }
    Ok(())
}
