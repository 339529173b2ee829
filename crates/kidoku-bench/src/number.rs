//! Numbers as figures, and figures as people read them.

use std::time::Duration;

/// A count as a figure to reckon with: exact up to 2^53, the nearest above.
pub(crate) fn figure(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// The same of a count of things in memory.
pub(crate) fn figure_of(count: usize) -> f64 {
    figure(count_of(count))
}

/// A count of things in memory as one of the wire.
pub(crate) fn count_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Nanoseconds of a time; more than five hundred years are as long as that.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// `130281` as `130,281`.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure with three digits that say something, or all before the point; `-` when it is none.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => "-".to_owned(),
        size if size >= 1_000.0 => whole(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A figure as a whole number, in groups.
fn whole(value: f64) -> String {
    let text = format!("{value:.0}");
    let digits = text.trim_start_matches('-');
    let sign = if text.starts_with('-') { "-" } else { "" };
    let grouped = digits.parse().map_or_else(|_| digits.to_owned(), grouped);
    format!("{sign}{grouped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_figures_without_loss() {
        for count in [0, 1, u64::from(u32::MAX), 1 << 32, (1 << 53) - 1] {
            assert_eq!(format!("{:.0}", figure(count)), count.to_string());
        }
    }

    #[test]
    fn figures_have_as_many_digits_as_say_something() {
        let cases = [
            (0.0, "0.00"),
            (f64::NAN, "-"),
            (0.1234, "0.123"),
            (1.234, "1.23"),
            (-12.34, "-12.3"),
            (123.4, "123"),
            (1_234.4, "1,234"),
            (-1_234_567.8, "-1,234,568"),
        ];
        for (value, text) in cases {
            assert_eq!(shown(value), text);
        }
    }
}
