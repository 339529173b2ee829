//! Every latency, as HDR histogram logs that the tools of that format read.

use crate::error::BenchError;
use crate::load::{Latencies, Plan};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Values are nanoseconds, and tools show milliseconds.
const NANOS_PER_MS: f64 = 1e6;

/// Where logs go, if anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw {
    dir: Option<PathBuf>,
    /// In front of every name.
    row: &'static str,
}

impl Raw {
    /// Into `hdr` of a directory, or nowhere.
    ///
    /// # Errors
    /// It can not be made.
    pub(crate) fn within(out: Option<&Path>) -> Result<Self, BenchError> {
        let dir = out.map(|out| out.join("hdr"));
        if let Some(dir) = &dir {
            fs::create_dir_all(dir).map_err(|error| BenchError::file(dir, &error))?;
        }
        Ok(Self { dir, row: "" })
    }

    /// The same for one row.
    #[must_use]
    pub(crate) fn of_row(&self, row: &'static str) -> Self {
        Self {
            dir: self.dir.clone(),
            row,
        }
    }

    /// Writes one round of one server.
    ///
    /// # Errors
    /// The file can not be written.
    pub(crate) fn latencies(
        &self,
        name: &str,
        plan: &Plan,
        round: usize,
        latencies: &Latencies,
    ) -> Result<(), BenchError> {
        let Some(dir) = &self.dir else {
            return Ok(());
        };
        let title = format!("{} {name} {plan} round {round}", self.row);
        let path = dir.join(format!("{}.hlog", file_name(&title)));
        log(&path, &title, latencies)
            .map_err(|why| BenchError::Io(format!("{}: {why}", path.display())))
    }
}

/// A title as the name of a file.
fn file_name(title: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = title.chars().filter(|c| *c != ',').map(plain).collect();
    name.trim_matches('-').to_owned()
}

fn log(path: &Path, title: &str, latencies: &Latencies) -> Result<(), String> {
    let file = File::create(path).map_err(|error| error.to_string())?;
    let mut file = BufWriter::new(file);
    let mut serializer = V2DeflateSerializer::new();
    let now = SystemTime::now();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment(&format!("kidoku bench, {title}; nanoseconds"))
        .with_start_time(now)
        .with_base_time(now)
        .with_max_value_divisor(NANOS_PER_MS);
    let mut writer = builder
        .begin_log_with(&mut file, &mut serializer)
        .map_err(|error| error.to_string())?;
    let length = Duration::from_nanos(latencies.interval_ns);
    for interval in &latencies.intervals {
        let begin = Duration::from_nanos(interval.begin_ns);
        writer
            .write_histogram(&interval.histogram, begin, length, None)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Interval, Pace};
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn a_title_is_a_name_of_a_file_everywhere() {
        let plan = Plan {
            title: "",
            connections: 200,
            pipeline: 1,
            pace: Pace::Open { per_second: 20_000 },
            warm_up: Duration::ZERO,
            duration: Duration::ZERO,
        };
        assert_eq!(
            file_name(&format!("ack redis always {plan} round 2")),
            "ack-redis-always-200-connections-20000-due-a-second-round-2"
        );
    }

    #[test]
    fn a_log_is_read_by_its_format() {
        let interval = |begin_ns, latency| {
            let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
            histogram.record(latency).unwrap();
            Interval {
                begin_ns,
                histogram,
            }
        };
        let latencies = Latencies {
            total: Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap(),
            intervals: vec![interval(0, 2_000_000), interval(50_000_000, 7_000_000)],
            interval_ns: 50_000_000,
        };
        let path = std::env::temp_dir().join(format!("kidoku-bench-{}.hlog", std::process::id()));
        log(&path, "test", &latencies).unwrap();
        let text = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let found: Vec<(Duration, Duration, f64)> = IntervalLogIterator::new(&text)
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(one) => Some((one.start_timestamp(), one.duration(), one.max())),
                LogEntry::StartTime(_) | LogEntry::BaseTime(_) => None,
            })
            .collect();
        let ms = Duration::from_millis;
        let maxima: Vec<String> = found
            .iter()
            .map(|(_, _, max)| format!("{max:.1}"))
            .collect();
        assert_eq!(maxima, ["2.0", "7.0"]);
        assert_eq!(
            found.last().map(|one| (one.0, one.1)),
            Some((ms(50), ms(50)))
        );
    }
}
