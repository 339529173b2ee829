//! What an ack costs the disk, until all is written that is written behind it.

use super::ack;
use super::entrants::gather;
use crate::error::BenchError;
use crate::machine::file_system;
use crate::number::shown;
use crate::peer::Contender;
use crate::report::{Bars, Raw, Section, Table};
use crate::rounds::{Contest, Line, Load, Spread};
use crate::setup::Setup;

/// Loads: where many acks share a sync, and where few do.
const LOADS: [(usize, usize); 2] = [(50, 16), (10, 1)];

/// File systems that are no disk.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// Measures the row.
///
/// # Errors
/// A server that fails or answers wrong.
pub(super) fn run(
    setup: &Setup,
    raw: &Raw,
    progress: &mut dyn FnMut(&str),
) -> Result<Section, BenchError> {
    let mut section = Section {
        name: "disk",
        title: "Bytes written to the disk for each ack".to_owned(),
        about: "The read states and acks of the row ack. The system counts whole pages, each time one is \
                written again, from before the warm-up until the server has written all that it writes \
                behind its answers."
            .to_owned(),
        contests: Vec::new(),
        aims: Vec::new(),
        tables: Vec::new(),
        bars: Vec::new(),
        notes: Vec::new(),
    };
    let kind = file_system(&setup.data);
    if IN_MEMORY.contains(&kind.as_str()) {
        section.notes.push(format!(
            "not measured: {} is a {kind}, which writes nothing to a disk; give a directory on one with \
             --data DIR",
            setup.data.display()
        ));
        return Ok(section);
    }
    let entrants: Vec<_> = ack::entrants()
        .into_iter()
        .filter(|entrant| keeps_what_it_answers(entrant.contender))
        .collect();
    let loads = LOADS.map(|(connections, pipeline)| Load::closed(setup, connections, pipeline));
    let gathered = gather(&entrants, ack::made, setup, progress)?;
    let (contests, notes) = gathered.measure(&loads, setup, raw, progress)?;
    section.notes = notes;
    section.tables = contests.iter().map(table).collect();
    section.bars = contests.iter().map(bars).collect();
    Ok(section)
}

/// True for those that have something on a disk.
fn keeps_what_it_answers(contender: Contender) -> bool {
    contender != Contender::Redis(crate::peer::AppendOnly::Off)
}

fn bytes(line: &Line) -> Spread {
    Spread::of(line.samples.iter().map(|sample| sample.written_bytes))
}

fn bars(contest: &Contest) -> Bars {
    let bar = |line: &Line| (line.name.clone(), bytes(line).median);
    Bars {
        title: format!("Bytes per ack, {}", contest.plan),
        bars: contest.lines.iter().map(bar).collect(),
    }
}

fn table(contest: &Contest) -> Table {
    let head = [
        "server",
        "command",
        "bytes per ack",
        "min to max",
        "acks a second",
    ];
    let mut table = Table::new(contest.plan.to_string(), 2, &head);
    for line in &contest.lines {
        let bytes = bytes(line);
        let rate = Spread::of(line.samples.iter().map(|sample| sample.rate));
        table.push(vec![
            line.name.clone(),
            line.what.clone(),
            shown(bytes.median),
            format!("{} to {}", shown(bytes.min), shown(bytes.max)),
            shown(rate.median),
        ]);
    }
    table
}
