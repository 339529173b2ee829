//! What is compared with what, and what comes out.

use crate::load::Pace;
use crate::number::shown;
use crate::rounds::{Comparison, Contest, Sample};

/// A figure of a sample that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Processor time of the server for each answer, all that it does afterwards included.
    CpuWhole,
    /// The latency that one of a hundred answers is above.
    P99,
    /// The latency that one of a thousand answers is above.
    P999,
    /// The longest latency.
    Longest,
}

impl Figure {
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::CpuWhole => sample.cpu_whole_us,
            Self::P99 => sample.percentile_ms(99.0),
            Self::P999 => sample.percentile_ms(99.9),
            Self::Longest => sample.percentile_ms(100.0),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::CpuWhole => "processor time",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Longest => "longest",
        }
    }
}

/// One server beside another, and what is wanted of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aim {
    pub(crate) figure: Figure,
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
    /// At most this part of theirs.
    pub(crate) ratio_max: Option<f64>,
}

impl Aim {
    /// At most so much of another's processor time.
    pub(crate) fn cpu(ours: &'static str, theirs: &'static str, ratio_max: f64) -> Self {
        Self {
            figure: Figure::CpuWhole,
            ours,
            theirs,
            ratio_max: Some(ratio_max),
        }
    }

    /// Processor time beside another's, without an aim.
    pub(crate) fn beside(ours: &'static str, theirs: &'static str) -> Self {
        Self {
            figure: Figure::CpuWhole,
            ours,
            theirs,
            ratio_max: None,
        }
    }

    /// Times of answers beside another's, where both are asked the same number of times.
    pub(crate) fn p99(ours: &'static str, theirs: &'static str) -> Self {
        Self {
            figure: Figure::P99,
            ours,
            theirs,
            ratio_max: None,
        }
    }

    /// At most so much of another's time for the slowest of a thousand answers.
    pub(crate) fn p999(ours: &'static str, theirs: &'static str, ratio_max: f64) -> Self {
        Self {
            figure: Figure::P999,
            ratio_max: Some(ratio_max),
            ..Self::p99(ours, theirs)
        }
    }

    /// At most so much of another's time for the slowest answer of all.
    pub(crate) fn longest(ours: &'static str, theirs: &'static str, ratio_max: f64) -> Self {
        Self {
            figure: Figure::Longest,
            ratio_max: Some(ratio_max),
            ..Self::p99(ours, theirs)
        }
    }

    /// Times say something only where nobody is asked more for being faster.
    fn fits(&self, contest: &Contest) -> bool {
        match (self.figure, contest.plan.pace) {
            (Figure::CpuWhole, Pace::Closed | Pace::Open { .. }) => true,
            (Figure::P99 | Figure::P999 | Figure::Longest, pace) => pace != Pace::Closed,
        }
    }

    /// The comparison in a contest; `None` when one of the two is not in it, or it would say nothing.
    pub(crate) fn compare(&self, contest: &Contest) -> Option<Comparison> {
        if !self.fits(contest) {
            return None;
        }
        let values = |name: &str| -> Option<Vec<f64>> {
            let line = contest.lines.iter().find(|line| line.name == name)?;
            Some(line.samples.iter().map(|s| self.figure.of(s)).collect())
        };
        Comparison::of(&values(self.ours)?, &values(self.theirs)?)
    }

    /// The comparison in a sentence.
    pub(crate) fn sentence(&self, contest: &Contest) -> Option<String> {
        let found = self.compare(contest)?;
        let (ours, theirs, figure) = (self.ours, self.theirs, self.figure.words());
        let (ratio, min, max) = (shown(found.ratio), shown(found.min), shown(found.max));
        let mut text = format!("{figure} of {ours} / {theirs}: {ratio} ({min} to {max})");
        if found.is_below_noise {
            text.push_str(", the difference is below the noise");
        }
        if let Some(aim) = self.ratio_max {
            let outcome = if found.ratio <= aim { "met" } else { "MISSED" };
            text.push_str(&format!("; aim: at most {}, {outcome}", shown(aim)));
        }
        Some(text)
    }
}
