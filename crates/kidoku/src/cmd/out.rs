//! Writing to the terminal, and numbers and times as people read them.

use super::error::{CmdError, IO};
use kidoku_core::clock::Millis;
use kidoku_proto::error::hide_secrets;
use std::io::{self, ErrorKind, Write};

/// Writes to standard output. A reader that has gone (`| head`) ends the command quietly.
pub(super) fn print(text: &str) -> Result<(), CmdError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| output_error(&error))
}

/// The failure of a write to standard output.
pub(super) fn output_error(error: &io::Error) -> CmdError {
    if error.kind() == ErrorKind::BrokenPipe {
        return CmdError::silent(0);
    }
    CmdError::new(IO, format!("standard output: {error}"))
}

/// Writes a line to standard error; when that fails there is nobody to tell. What was typed may
/// stand in it, and a key may have been typed at the wrong place: keys and tokens are hidden.
pub(super) fn complain(line: &str) {
    let _written = writeln!(io::stderr().lock(), "{}", hide_secrets(line));
}

/// `130281` as `130,281`.
pub(super) fn grouped(value: u64) -> String {
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

/// A time as `2026-11-24 03:09:46 UTC`.
pub(super) fn date(time: Millis) -> String {
    let seconds = time.0 / 1_000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a number of days since 1970-01-01, by years that begin in March, so that
/// the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_1970: u64 = 719_468;
    /// 400 years.
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// A word as a shell takes it back.
pub(super) fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
