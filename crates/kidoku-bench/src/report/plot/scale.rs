//! From values to places in a picture.

/// An axis: which values, and where they lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    is_log: bool,
    min: f64,
    max: f64,
    /// Values with a line, and what is written at it.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// From zero, in even steps.
    pub(crate) fn linear(max: f64) -> Self {
        /// Lines that are wished for; the step is the next round number.
        const LINES: f64 = 5.0;
        let max = if max > 0.0 { max } else { 1.0 };
        let rough = max / LINES;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let mut ticks = Vec::new();
        let mut value = 0.0;
        while value < max + step * 0.999 {
            ticks.push((value, short(value)));
            value += step;
        }
        let max = ticks.last().map_or(max, |(value, _)| *value);
        Self {
            is_log: false,
            min: 0.0,
            max,
            ticks,
        }
    }

    /// By powers of ten, around some values above 0.
    pub(crate) fn log(values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|value| *value > 0.0 && value.is_finite());
        let (min, max) = positive.fold((f64::INFINITY, 0.0_f64), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        let (min, max) = if max > 0.0 { (min, max) } else { (1.0, 10.0) };
        let (first, last) = (min.log10().floor(), max.log10().ceil());
        let last = if last > first { last } else { first + 1.0 };
        let mut ticks = Vec::new();
        let mut power = first;
        while power <= last {
            let value = 10_f64.powf(power);
            ticks.push((value, short(value)));
            power += 1.0;
        }
        Self {
            is_log: true,
            min: 10_f64.powf(first),
            max: 10_f64.powf(last),
            ticks,
        }
    }

    /// Parts of all in percent, each nine as far from the next.
    pub(crate) fn nines() -> Self {
        let percents = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
        let ticks = percents.map(|percent| (nines_of(percent), format!("{percent} %")));
        Self {
            is_log: false,
            min: 0.0,
            max: nines_of(99.999),
            ticks: ticks.to_vec(),
        }
    }

    /// Where a value lies, from 0 to 1.
    pub(crate) fn part(&self, value: f64) -> f64 {
        let part = if self.is_log {
            let value = value.max(f64::MIN_POSITIVE);
            (value / self.min).log10() / (self.max / self.min).log10()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        part.clamp(0.0, 1.0)
    }
}

/// How many nines a percentage is; half of all is 0.3.
pub(crate) fn nines_of(percent: f64) -> f64 {
    -(1.0 - percent / 100.0).max(1e-9).log10()
}

/// A round number without needless digits.
fn short(value: f64) -> String {
    if value >= 1e6 {
        return format!("{}M", short(value / 1e6));
    }
    if value >= 1e4 {
        return format!("{}k", short(value / 1e3));
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn even_steps_are_round_and_hold_the_largest() {
        assert_eq!(marks(&Scale::linear(4.3)), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(
            marks(&Scale::linear(0.1)),
            ["0", "0.02", "0.04", "0.06", "0.08", "0.1"]
        );
        assert_eq!(
            marks(&Scale::linear(70_000.0)),
            ["0", "20k", "40k", "60k", "80k"]
        );
        assert!(Scale::linear(0.0).ticks.len() > 1);
    }

    #[test]
    fn powers_of_ten_hold_all_values() {
        let scale = Scale::log([0.0, 0.03, 7.0].into_iter());
        assert_eq!(marks(&scale), ["0.01", "0.1", "1", "10"]);
        assert!((scale.part(0.01)).abs() < 1e-9 && (scale.part(10.0) - 1.0).abs() < 1e-9);
        assert!((scale.part(0.1) - 1.0 / 3.0).abs() < 1e-9);
        assert!(Scale::log(std::iter::empty()).ticks.len() > 1);
    }

    #[test]
    fn each_nine_is_as_far_from_the_next() {
        let step = nines_of(99.9) - nines_of(99.0);
        assert!((nines_of(99.99) - nines_of(99.9) - step).abs() < 1e-9);
        assert!((Scale::nines().part(nines_of(99.999)) - 1.0).abs() < 1e-9);
    }
}
