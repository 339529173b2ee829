//! What a certificate says of itself (RFC 5280, section 4.1), as far as somebody has to be told. Who
//! may be trusted is not decided here.

use crate::der::{CONTEXT_0, Der, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME};

/// From when to when it is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before_s: i64,
    pub(super) not_after_s: i64,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) validity: Validity,
    /// Its holder has signed it, so it is trusted for its own sake or not at all.
    pub(super) is_self_signed: bool,
}

/// Reads a certificate; `None` = damaged.
pub(super) fn read(der: &[u8]) -> Option<Facts> {
    let mut outer = Der::new(der);
    let mut signed = Der::new(outer.take(SEQUENCE)?);
    let mut fields = Der::new(signed.take(SEQUENCE)?);
    // The version may be left out.
    let _version = fields.take(CONTEXT_0);
    let _serial = fields.take(INTEGER)?;
    let _algorithm = fields.take(SEQUENCE)?;
    let issuer = fields.take(SEQUENCE)?;
    let mut validity = Der::new(fields.take(SEQUENCE)?);
    let subject = fields.take(SEQUENCE)?;
    Some(Facts {
        validity: Validity {
            not_before_s: time(&mut validity)?,
            not_after_s: time(&mut validity)?,
        },
        is_self_signed: issuer == subject,
    })
}

/// Both ways of writing a time end in `MMDDhhmmssZ`; the older has two digits of the year, and means
/// 1950 to 2049.
fn time(fields: &mut Der<'_>) -> Option<i64> {
    let (year, rest) = match fields.take(UTC_TIME) {
        Some(text) => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        None => {
            let (year, rest) = fields.take(GENERALIZED_TIME)?.split_at_checked(4)?;
            (number(year)?, rest)
        }
    };
    let digits = rest
        .strip_suffix(b"Z")
        .filter(|digits| digits.len() == 10)?;
    let mut pairs = digits.chunks(2).map(number);
    let mut next = || pairs.next().flatten();
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    let days = days_from_1970(year, month, day)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that
/// the day that only some have is the last of its year.
fn days_from_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Months from March on have 31, 30, 31, 30, 31 days, and again: 153 in five of them.
    let days = year * 365 + leap_days + (153 * month + 2) / 5 + day - 1;
    // The same sum for 1970-01-01.
    Some(days - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<i64> {
        let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
        der.extend(text.bytes());
        time(&mut Der::new(&der))
    }

    #[test]
    fn times_are_read_in_both_ways_of_writing_them() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(UTC_TIME, "500101000000Z"), Some(-631_152_000));
        assert_eq!(seconds(UTC_TIME, "000229120000Z"), Some(951_825_600));
        assert_eq!(
            seconds(GENERALIZED_TIME, "20500101000000Z"),
            Some(2_524_608_000)
        );
        assert_eq!(
            seconds(GENERALIZED_TIME, "99991231235959Z"),
            Some(253_402_300_799)
        );
        for wrong in [
            "",
            "7001010000Z",
            "701301000000Z",
            "70010100000xZ",
            "700101000000",
        ] {
            assert_eq!(seconds(UTC_TIME, wrong), None, "{wrong}");
        }
    }
}
