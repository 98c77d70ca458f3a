//! Values as text that PostgreSQL reads back exactly, in COPY and in literals alike.

use std::fmt::{self, Write};

use arrow::datatypes::i256;

use super::DAY_MICROS;

/// The first and the last day of PostgreSQL's `date`, from 1970-01-01: 4714-11-24 BC and 5874897-12-31.
pub(in crate::connector::postgres) const DATE_RANGE: std::ops::RangeInclusive<i64> = -2_440_588..=2_145_042_905;

/// Year, month and day of a day since 1970-01-01, proleptic Gregorian; the year before 1 is 0.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted in eras of 400 years that begin on a 1st of March, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn ymd(out: &mut impl Write, days: i64) -> Result<bool, fmt::Error> {
    let (year, month, day) = civil(days);
    let before_christ = year <= 0;
    let year = if before_christ { 1 - year } else { year };
    write!(out, "{year:04}-{month:02}-{day:02}")?;
    Ok(before_christ)
}

/// A day since 1970-01-01: `2024-02-29`, `0044-03-15 BC`.
pub(in crate::connector::postgres) fn date(out: &mut impl Write, days: i64) -> fmt::Result {
    if ymd(out, days)? { out.write_str(" BC") } else { Ok(()) }
}

/// Microseconds since midnight: `13:37:00`, `13:37:00.000001`.
pub(in crate::connector::postgres) fn time(out: &mut impl Write, micros: i64) -> fmt::Result {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    if fraction == 0 { Ok(()) } else { write!(out, ".{fraction:06}") }
}

/// Microseconds since 1970-01-01: `2024-02-29 13:37:00`, with `+00` behind the time where it is an instant.
pub(in crate::connector::postgres) fn timestamp(out: &mut impl Write, micros: i64, instant: bool) -> fmt::Result {
    let before_christ = ymd(out, micros.div_euclid(DAY_MICROS))?;
    out.write_char(' ')?;
    time(out, micros.rem_euclid(DAY_MICROS))?;
    if instant {
        out.write_str("+00")?;
    }
    if before_christ { out.write_str(" BC") } else { Ok(()) }
}

/// A decimal of 128 bits: `-0.05`.
pub(in crate::connector::postgres) fn decimal128(out: &mut impl Write, value: i128, scale: i8) -> fmt::Result {
    let Some(unit) = u32::try_from(scale).ok().filter(|s| *s > 0).and_then(|s| 10u128.checked_pow(s)) else {
        return pointed(out, &value.to_string(), scale);
    };
    let magnitude = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    let width = usize::from(scale.unsigned_abs());
    write!(out, "{sign}{}.{:0width$}", magnitude / unit, magnitude % unit)
}

/// A decimal of 256 bits.
pub(in crate::connector::postgres) fn decimal256(out: &mut impl Write, value: i256, scale: i8) -> fmt::Result {
    match value.to_i128() {
        Some(small) => decimal128(out, small, scale),
        None => pointed(out, &value.to_string(), scale),
    }
}

/// Sets the point into the digits of a whole number.
fn pointed(out: &mut impl Write, digits: &str, scale: i8) -> fmt::Result {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        let zeros = if digits == "0" { 0 } else { places };
        return write!(out, "{sign}{digits}{:0<zeros$}", "");
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    write!(out, "{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
        let mut text = String::new();
        write(&mut text).unwrap();
        text
    }

    #[test]
    fn days_are_proleptic_gregorian_and_count_no_year_zero() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (19_782, "2024-02-29"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-2_440_588, "4714-11-24 BC"),
            (2_932_897, "10000-01-01"),
            (2_145_042_905, "5874897-12-31"),
        ] {
            assert_eq!(written(|out| date(out, days)), expected);
        }
    }

    #[test]
    fn timestamps_before_1970_keep_their_fraction() {
        assert_eq!(written(|o| timestamp(o, -1, false)), "1969-12-31 23:59:59.999999");
        assert_eq!(written(|o| timestamp(o, 1_500_000, true)), "1970-01-01 00:00:01.500000+00");
        assert_eq!(written(|o| timestamp(o, -719_163 * DAY_MICROS, true)), "0001-12-31 00:00:00+00 BC");
    }

    #[test]
    fn decimals_have_all_their_digits() {
        assert_eq!(written(|o| decimal128(o, -5, 2)), "-0.05");
        assert_eq!(written(|o| decimal128(o, 1200, 2)), "12.00");
        assert_eq!(written(|o| decimal128(o, 7, 0)), "7");
        assert_eq!(written(|o| decimal128(o, -7, -3)), "-7000");
        assert_eq!(written(|o| decimal128(o, 0, -3)), "0");
        let nines = "9".repeat(76);
        let most = i256::from_string(&nines).unwrap();
        assert_eq!(written(|o| decimal256(o, most, 0)), nines);
        assert_eq!(written(|o| decimal256(o, most, 75)), format!("9.{}", "9".repeat(75)));
        assert_eq!(written(|o| decimal256(o, most, 76)), format!("0.{nines}"));
    }
}
