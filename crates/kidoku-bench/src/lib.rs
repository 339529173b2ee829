//! Measures Kidoku beside others that do the same work: starts all of them, fills them with the same
//! data, loads them in turns from outside, checks every answer, and reads what the system says they
//! used.
//!
//! Start reading at `work/`, where each row of the report is a file; `load/` makes the load, `rounds/`
//! holds the turns and judges differences, `peer/` starts servers, `machine/` reads `/proc`, `report/`
//! writes. Knows no other crate of this project, only what it offers over its ports; never touches data
//! it did not make.

mod error;
mod load;
mod machine;
mod number;
mod options;
mod peer;
mod report;
mod rounds;
mod setup;
mod stop;
mod wire;
mod work;

pub use error::BenchError;
pub use options::Options;
pub use report::Report;
pub use stop::Stop;

use machine::About;
use report::Raw;
use setup::Setup;
use std::fs;
use work::{ROWS, Row};

/// Files that may be open: connections of the largest load, in server and generator.
const FILES: u64 = 4_096;

/// The rows there are: name, and what it measures.
#[must_use]
pub fn rows() -> Vec<(&'static str, &'static str)> {
    ROWS.iter().map(|row| (row.name, row.about)).collect()
}

/// Measures. `progress` is told what happens, line by line.
///
/// # Errors
/// What was asked for is refused, a program is missing, a server fails or answers wrong, or a file can
/// not be written.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Report, BenchError> {
    let setup = options.setup()?;
    let rows = chosen(&options.rows, &setup)?;
    machine::raise_limit(FILES).map_err(BenchError::Usage)?;
    if let Some(out) = &options.out {
        fs::create_dir_all(out).map_err(|error| BenchError::file(out, &error))?;
    }
    let raw = Raw::within(options.out.as_deref())?;
    let mut report = Report {
        about: About::this(),
        how: how(&setup)?,
        warnings: warnings(),
        sections: Vec::new(),
    };
    for warning in &report.warnings {
        progress(&format!("WARNING: {warning}"));
    }
    for row in rows {
        progress(&format!("{}: {}", row.name, row.about));
        let measured = (row.run)(&setup, &raw.of_row(row.name), progress);
        if setup.stop.is_wished() {
            // Whatever failed did so for that reason.
            return Err(BenchError::Stopped);
        }
        let section = measured?;
        report.sections.push(section);
        if let Some(out) = &options.out {
            // After each row, so that a failure of the next one loses nothing.
            report.write(out)?;
        }
    }
    Ok(report)
}

/// The rows of these names, all that can be measured when there is none.
fn chosen(names: &[String], setup: &Setup) -> Result<Vec<&'static Row>, BenchError> {
    let is_known = |name: &str| ROWS.iter().any(|row| row.name == name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        let text = format!("no row {unknown:?}; there are {}", known.join(", "));
        return Err(BenchError::Usage(text));
    }
    let fits = |row: &Row| setup.against.is_none() || row.is_for_given;
    let wanted = |row: &&Row| match names.is_empty() {
        true => fits(row),
        false => names.iter().any(|name| name == row.name),
    };
    if let Some(row) = ROWS.iter().filter(wanted).find(|row| !fits(row)) {
        return Err(BenchError::Usage(format!(
            "the row {} needs servers of its own, so not --against",
            row.name
        )));
    }
    Ok(ROWS.iter().filter(wanted).collect())
}

/// How it is measured, in lines.
fn how(setup: &Setup) -> Result<Vec<String>, BenchError> {
    let data = &setup.data;
    let kind = machine::file_system(data);
    let sync = machine::sync_time(data).map_err(|error| BenchError::file(data, &error))?;
    Ok(vec![
        format!(
            "Servers on {}, load generator on {}",
            setup.servers, setup.client
        ),
        format!(
            "Data of servers on {kind}, where a sync of a small append takes {} µs",
            number::shown(sync.as_secs_f64() * 1e6)
        ),
        format!(
            "Figures are medians of {} rounds of {} s after {} s of warm-up, the servers in turns (A B \
             A B); every answer was checked",
            setup.rounds,
            setup.duration.as_secs_f64(),
            setup.warm_up.as_secs_f64()
        ),
        format!("Load average when it began: {:.2}", machine::load_average()),
    ])
}

/// Why figures may be no good before anything is measured.
fn warnings() -> Vec<String> {
    /// Part of the cores that may be in use.
    const LOAD_MAX: f64 = 0.25;
    let load = machine::load_average();
    let cores = number::figure_of(About::this().cores.max(1));
    if load > cores * LOAD_MAX {
        return vec![format!(
            "the machine does other work (load average {load:.2} on {cores} cores): look at the spread \
             of each figure, or measure again when it is quiet"
        )];
    }
    Vec::new()
}
