//! What some measurements of one thing say: a middle, how far apart they lie, and whether two things
//! differ by more than that.

/// From the median distance to the median to a standard deviation, if the values were normal.
const SIGMA_PER_MAD: f64 = 1.4826;
/// A difference below so many standard deviations of a single value is noise.
const SIGMAS: f64 = 2.0;

/// Some values of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The median distance to the median.
    pub(crate) mad: f64,
    pub(crate) count: usize,
}

impl Spread {
    /// Of values; zeros when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let median = middle(&values);
        let mut distances: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
        distances.sort_unstable_by(f64::total_cmp);
        Self {
            median,
            min: values.first().copied().unwrap_or_default(),
            max: values.last().copied().unwrap_or_default(),
            mad: middle(&distances),
            count: values.len(),
        }
    }

    /// A difference of medians that is no more than this says nothing. A single value says nothing of
    /// how far others would lie from it: any difference may be noise.
    pub(crate) fn noise(&self) -> f64 {
        if self.count < 2 {
            return f64::INFINITY;
        }
        self.mad * SIGMA_PER_MAD * SIGMAS
    }
}

/// The middle of sorted values; of an even number, the mean of the two.
fn middle(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) && half > 0 {
        f64::midpoint(at(half - 1), at(half))
    } else {
        at(half)
    }
}

/// One thing beside another, measured in the same rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comparison {
    /// The median over the rounds of one divided by the other in the same round.
    pub(crate) ratio: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The medians differ by no more than the noise of either.
    pub(crate) is_below_noise: bool,
}

impl Comparison {
    /// Of the values of each round. `None` when there is nothing to divide by.
    pub(crate) fn of(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let pairs = ours.iter().zip(theirs).filter(|(_, their)| **their > 0.0);
        let ratios = Spread::of(pairs.map(|(our, their)| our / their));
        if ratios.count == 0 {
            return None;
        }
        let (our, their) = (
            Spread::of(ours.iter().copied()),
            Spread::of(theirs.iter().copied()),
        );
        let difference = (our.median - their.median).abs();
        Some(Self {
            ratio: ratios.median,
            min: ratios.min,
            max: ratios.max,
            is_below_noise: difference <= our.noise().max(their.noise()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_not_moved_by_one_bad_round() {
        let spread = Spread::of([5.0, 1.0, 2.0, 900.0, 3.0]);
        assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.0, 900.0));
        assert_eq!(spread.mad, 2.0);
        assert_eq!(Spread::of([4.0, 2.0]).median, 3.0);
        assert_eq!(Spread::of([]).median, 0.0);
    }

    #[test]
    fn a_difference_counts_only_beyond_the_noise_of_both() {
        let quiet = [1.00, 1.01, 0.99, 1.00, 1.02];
        let same = [1.01, 1.00, 1.02, 0.99, 1.01];
        let twice = [2.00, 2.02, 1.98, 2.01, 2.00];
        let loud = [0.5, 2.9, 1.6, 3.8, 2.0];
        let below = |a: &[f64], b: &[f64]| Comparison::of(a, b).unwrap().is_below_noise;
        assert!(below(&quiet, &same));
        assert!(!below(&quiet, &twice));
        assert!(below(&quiet, &loud));
        assert!(below(&quiet[..1], &twice[..1]));
    }

    #[test]
    fn the_ratio_is_that_of_the_same_round() {
        // Both twice as slow in the second round: no matter.
        let found = Comparison::of(&[1.0, 2.0, 1.0], &[2.0, 4.0, 2.0]).unwrap();
        assert_eq!((found.ratio, found.min, found.max), (0.5, 0.5, 0.5));
        assert_eq!(Comparison::of(&[1.0], &[0.0]), None);
    }
}
