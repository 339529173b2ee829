//! Who takes part in a row: started, filled, and given its work.

use super::place::Place;
use crate::error::BenchError;
use crate::load::Work;
use crate::peer::Contender;
use crate::report::Raw;
use crate::rounds::{Contest, Entry, Load, hold};
use crate::setup::Setup;
use crate::stop::Stop;
use crate::wire::command;
use std::io;

/// Makes what a server has to do.
pub(super) type Job = fn(&Place) -> Box<dyn Work>;

/// One who is wanted in a row.
pub(super) struct Entrant {
    pub(super) contender: Contender,
    /// What it is called when that is not the contender's name.
    pub(super) name: Option<&'static str>,
    /// The command, for people.
    pub(super) what: &'static str,
    /// Puts the data of the row there.
    pub(super) fill: fn(&Place) -> io::Result<()>,
    /// What it has to do, by the number of the job.
    pub(super) jobs: &'static [Job],
}

impl Entrant {
    fn name(&self) -> &'static str {
        self.name.unwrap_or_else(|| self.contender.name())
    }
}

/// The names of all channels that filling makes.
pub(super) type Channels = fn(&Place) -> Vec<String>;

/// What was made on a server that is not ours; dropped with its value, whatever has happened.
struct Own(Place, Channels);

impl Drop for Own {
    fn drop(&mut self) {
        let Self(place, channels) = self;
        // Also when the bench was stopped.
        place.stop = Stop::default();
        let drops = channels(place)
            .into_iter()
            .map(|name| command(&["KD.DROP", &name]));
        // What could not be dropped has a name that says whose it was.
        drop(place.told_all(drops));
    }
}

/// Who takes part.
#[derive(Default)]
pub(super) struct Gathered {
    entries: Vec<Entry>,
    /// Who does not, and why.
    notes: Vec<String>,
    /// Kept until the row is over.
    own: Vec<Own>,
}

impl Gathered {
    /// Measures all of them under some loads; the contests, and the notes.
    ///
    /// # Errors
    /// A server that fails or answers wrong.
    pub(super) fn measure(
        mut self,
        loads: &[Load],
        setup: &Setup,
        raw: &Raw,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Vec<Contest>, Vec<String>), BenchError> {
        let contests: Result<Vec<Contest>, BenchError> = loads
            .iter()
            .map(|load| hold(&mut self.entries, load, setup, raw, progress))
            .collect();
        if !self.own.is_empty() {
            progress("  dropping the channels that were made");
        }
        self.own.clear();
        Ok((contests?, self.notes))
    }
}

/// Starts and fills all that are chosen. Who is not installed is left out, and a note says so.
///
/// # Errors
/// Kidoku does not start, or somebody does not take the data.
pub(super) fn gather(
    entrants: &[Entrant],
    channels: Channels,
    setup: &Setup,
    progress: &mut dyn FnMut(&str),
) -> Result<Gathered, BenchError> {
    let mut gathered = Gathered::default();
    for entrant in entrants.iter().filter(|one| setup.measures(one.contender)) {
        let name = entrant.name();
        progress(&format!("  filling {name}"));
        let peer = match entrant.contender.start(setup) {
            Err(BenchError::Unavailable(why)) if !entrant.contender.is_ours() => {
                let note = format!("{name} was not measured: {why}");
                progress(&format!("  WARNING: {note}"));
                gathered.notes.push(note);
                continue;
            }
            started => started?,
        };
        let place = Place::of(peer.as_ref(), setup, entrant.contender);
        if entrant.contender == Contender::Given {
            // All others are gone with their servers.
            gathered.own.push(Own(place.clone(), channels));
        }
        (entrant.fill)(&place)
            .map_err(|error| BenchError::Failed(format!("{name}: filling: {error}")))?;
        gathered.entries.push(Entry {
            name: name.to_owned(),
            peer,
            what: entrant.what.to_owned(),
            jobs: entrant.jobs.iter().map(|job| vec![job(&place)]).collect(),
        });
    }
    Ok(gathered)
}
