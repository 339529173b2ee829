//! Who takes part in a row: started, filled, and given its work.

use super::place::Place;
use crate::error::BenchError;
use crate::load::Work;
use crate::peer::Contender;
use crate::rounds::Entry;
use crate::setup::Setup;
use std::io;

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
    pub(super) jobs: &'static [fn(&Place) -> Box<dyn Work>],
}

impl Entrant {
    fn name(&self) -> &'static str {
        self.name.unwrap_or_else(|| self.contender.name())
    }
}

/// Starts and fills all that are chosen. Who is not installed is left out, and a note says so.
///
/// # Errors
/// Kidoku does not start, or somebody does not take the data.
pub(super) fn gather(
    entrants: &[Entrant],
    setup: &Setup,
    progress: &mut dyn FnMut(&str),
) -> Result<(Vec<Entry>, Vec<String>), BenchError> {
    let mut entries = Vec::new();
    let mut notes = Vec::new();
    for entrant in entrants.iter().filter(|one| setup.measures(one.contender)) {
        let name = entrant.name();
        progress(&format!("  filling {name}"));
        let peer = match entrant.contender.start(setup) {
            Err(BenchError::Unavailable(why))
                if !matches!(entrant.contender, Contender::Kidoku(_)) =>
            {
                let note = format!("{name} was not measured: {why}");
                progress(&format!("  WARNING: {note}"));
                notes.push(note);
                continue;
            }
            started => started?,
        };
        let place = Place {
            address: peer.address(),
            prefix: String::new(),
            key: None,
        };
        (entrant.fill)(&place)
            .map_err(|error| BenchError::Failed(format!("{name}: filling: {error}")))?;
        entries.push(Entry {
            name: name.to_owned(),
            peer,
            what: entrant.what.to_owned(),
            jobs: entrant.jobs.iter().map(|job| vec![job(&place)]).collect(),
        });
    }
    Ok((entries, notes))
}
