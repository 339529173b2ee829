//! How long answers took: in all, and over time.

use crate::number::nanos;
use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest latency that is told apart; longer ones count as this.
const LONGEST_NS: u64 = 100_000_000_000;
/// Decimal digits of a latency that are kept.
const DIGITS: u8 = 3;
/// Intervals that a run is cut into, for a picture over time.
const INTERVALS: u64 = 100;
/// The shortest interval: a shorter one holds too little to have percentiles.
const INTERVAL_NS_MIN: u64 = 50_000_000;

/// A histogram of nanoseconds.
fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).map_err(|error| error.to_string())
}

/// The value below which this part of the recorded ones lies, in nanoseconds.
pub(crate) fn percentile(histogram: &Histogram<u64>, percent: f64) -> u64 {
    histogram.value_at_percentile(percent)
}

/// The answers that came in one piece of the measured time.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// From the begin of the measured time.
    pub(crate) begin_ns: u64,
    pub(crate) histogram: Histogram<u64>,
}

/// Latencies in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    pub(crate) total: Histogram<u64>,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) interval_ns: u64,
}

impl Latencies {
    /// Takes those of another thread of the same run.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), String> {
        let add = |to: &mut Histogram<u64>, from| to.add(from).map_err(|e| e.to_string());
        add(&mut self.total, &other.total)?;
        for (to, from) in self.intervals.iter_mut().zip(&other.intervals) {
            add(&mut to.histogram, &from.histogram)?;
        }
        Ok(())
    }
}

/// Takes latencies while a run goes on.
#[derive(Debug)]
pub(super) struct Recorder {
    begin_ns: u64,
    end_ns: u64,
    latencies: Latencies,
    /// Which interval answers fall into now.
    current: usize,
    pub(super) lateness: Histogram<u64>,
}

impl Recorder {
    /// For what is due from `warm_up` on, for so long.
    ///
    /// # Errors
    /// None that can happen: the bounds of the histograms are constants.
    pub(super) fn new(warm_up: Duration, duration: Duration) -> Result<Self, String> {
        let (begin_ns, length_ns) = (nanos(warm_up), nanos(duration));
        let interval_ns = (length_ns / INTERVALS).max(INTERVAL_NS_MIN);
        let mut intervals = Vec::new();
        for number in 0..length_ns.div_ceil(interval_ns).max(1) {
            intervals.push(Interval {
                begin_ns: number * interval_ns,
                histogram: histogram()?,
            });
        }
        Ok(Self {
            begin_ns,
            end_ns: begin_ns + length_ns,
            latencies: Latencies {
                total: histogram()?,
                intervals,
                interval_ns,
            },
            current: 0,
            lateness: histogram()?,
        })
    }

    /// When the measured time begins and ends.
    pub(super) fn window_ns(&self) -> (u64, u64) {
        (self.begin_ns, self.end_ns)
    }

    /// Tells the time; answers from now on go into its interval. What comes after the end goes into the
    /// last one.
    pub(super) fn tell(&mut self, now_ns: u64) {
        let last = self.latencies.intervals.len().saturating_sub(1);
        let passed = now_ns.saturating_sub(self.begin_ns) / self.latencies.interval_ns;
        self.current = usize::try_from(passed).unwrap_or(last).min(last);
    }

    /// An answer now to what was due then. What was due outside of the measured time does not count.
    pub(super) fn answered(&mut self, due_ns: u64, now_ns: u64) {
        if due_ns < self.begin_ns || due_ns >= self.end_ns {
            return;
        }
        if let Some(interval) = self.latencies.intervals.get_mut(self.current) {
            let latency = now_ns.saturating_sub(due_ns).max(1);
            interval.histogram.saturating_record(latency);
        }
    }

    /// Something due then is sent now, and nothing but the generator was in its way.
    pub(super) fn sent(&mut self, due_ns: u64, now_ns: u64) {
        if due_ns >= self.begin_ns && due_ns < self.end_ns {
            let late = now_ns.saturating_sub(due_ns).max(1);
            self.lateness.saturating_record(late);
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// None that can happen: all histograms have the same bounds.
    pub(super) fn finish(mut self) -> Result<(Latencies, Histogram<u64>), String> {
        for interval in &self.latencies.intervals {
            let total = &mut self.latencies.total;
            total
                .add(&interval.histogram)
                .map_err(|error| error.to_string())?;
        }
        Ok((self.latencies, self.lateness))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn only_what_was_due_in_the_measured_time_counts_from_when_it_was_due() {
        let mut recorder =
            Recorder::new(Duration::from_millis(100), Duration::from_millis(200)).unwrap();
        recorder.tell(120 * MS);
        recorder.answered(99 * MS, 120 * MS);
        recorder.answered(100 * MS, 120 * MS);
        recorder.tell(400 * MS);
        recorder.answered(299 * MS, 400 * MS);
        recorder.answered(300 * MS, 400 * MS);
        let (latencies, _) = recorder.finish().unwrap();
        assert_eq!(latencies.total.len(), 2);
        assert!(latencies.total.equivalent(latencies.total.min(), 20 * MS));
        assert!(latencies.total.equivalent(latencies.total.max(), 101 * MS));
        let counts: Vec<u64> = latencies
            .intervals
            .iter()
            .map(|interval| interval.histogram.len())
            .collect();
        assert_eq!(counts, [1, 0, 0, 1]);
    }

    #[test]
    fn parts_of_several_threads_add_up() {
        let part = |latency| {
            let mut recorder = Recorder::new(Duration::ZERO, Duration::from_millis(100)).unwrap();
            recorder.answered(0, latency);
            recorder.finish().unwrap().0
        };
        let mut whole = part(MS);
        whole.add(&part(3 * MS)).unwrap();
        assert_eq!(whole.total.len(), 2);
        assert_eq!(whole.intervals.first().unwrap().histogram.len(), 2);
        assert!(whole.total.equivalent(percentile(&whole.total, 50.0), MS));
    }
}
