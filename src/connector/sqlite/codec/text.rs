//! The text forms of dates, times, timestamps and decimals.

use arrow::datatypes::i256;
use chrono::{Datelike, NaiveDate};

const EPOCH_FROM_CE: i32 = 719_163;
const DAY_SECONDS: i64 = 86_400;

/// A timestamp's text taken apart.
pub struct Moment {
    /// Days from 1970-01-01.
    pub days: i32,
    /// Nanoseconds of the day.
    pub nanos: i64,
    /// Seconds east of UTC, where the text says them.
    pub offset: Option<i32>,
}

/// Digits of a second's fraction that a type of `precision` counts: 0, 3, 6 or 9.
pub fn digits(precision: u8) -> u32 {
    match precision {
        0 => 0,
        1..=3 => 3,
        4..=6 => 6,
        _ => 9,
    }
}

/// Units per second.
pub fn units(precision: u8) -> i64 {
    10_i64.pow(digits(precision))
}

fn number(bytes: &[u8]) -> Option<u32> {
    (!bytes.is_empty() && bytes.len() <= 9 && bytes.iter().all(u8::is_ascii_digit))
        .then(|| bytes.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
}

/// `YYYY-MM-DD` of the years 0001 to 9999, as days from 1970-01-01.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = number(&text[..4]).filter(|y| *y > 0)?;
    let date = NaiveDate::from_ymd_opt(year as i32, number(&text[5..7])?, number(&text[8..])?)?;
    Some(date.num_days_from_ce() - EPOCH_FROM_CE)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f` with 1 to 9 digits, as nanoseconds of the day.
pub fn parse_time(text: &[u8]) -> Option<i64> {
    if text.len() < 5 || text[2] != b':' {
        return None;
    }
    let (hour, minute) = (number(&text[..2])?, number(&text[3..5])?);
    let (second, fraction) = match &text[5..] {
        [] => (0, 0),
        [b':', a, b] => (number(&[*a, *b])?, 0),
        [b':', a, b, b'.', fraction @ ..] if fraction.len() <= 9 => {
            (number(&[*a, *b])?, number(fraction)? * 10_u32.pow(9 - fraction.len() as u32))
        }
        _ => return None,
    };
    (hour < 24 && minute < 60 && second < 60)
        .then(|| i64::from(hour * 3600 + minute * 60 + second) * 1_000_000_000 + i64::from(fraction))
}

/// A date, and a time after `T` or a blank, and `Z` or an offset `±hh:mm`; each part needs those before it.
pub fn parse_moment(text: &[u8]) -> Option<Moment> {
    let days = parse_date(text.get(..10)?)?;
    let (nanos, offset) = match &text[10..] {
        [] => (0, None),
        [b' ' | b'T' | b't', rest @ ..] => {
            let zone = rest.iter().position(|b| matches!(b, b'Z' | b'z' | b'+' | b'-')).unwrap_or(rest.len());
            (parse_time(&rest[..zone])?, parse_offset(&rest[zone..])?)
        }
        _ => return None,
    };
    Some(Moment { days, nanos, offset })
}

fn parse_offset(text: &[u8]) -> Option<Option<i32>> {
    let (sign, hours, minutes) = match text {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(0)),
        [sign, a, b] => (sign, [*a, *b], [b'0', b'0']),
        [sign, a, b, b':', c, d] | [sign, a, b, c, d] => (sign, [*a, *b], [*c, *d]),
        _ => return None,
    };
    let (hours, minutes) = (number(&hours)?, number(&minutes)?);
    if hours >= 24 || minutes >= 60 {
        return None;
    }
    let seconds = (hours * 3600 + minutes * 60) as i32;
    Some(Some(if *sign == b'-' { -seconds } else { seconds }))
}

impl Moment {
    /// Units from the epoch in UTC. `Err` says why there is none.
    pub fn count(&self, precision: u8) -> Result<i64, String> {
        let seconds =
            i64::from(self.days) * DAY_SECONDS + self.nanos / 1_000_000_000 - i64::from(self.offset.unwrap_or(0));
        let fraction = fraction_units(self.nanos % 1_000_000_000, precision)?;
        (i128::from(seconds) * i128::from(units(precision)) + i128::from(fraction))
            .try_into()
            .map_err(|_| "is outside of the years that nanoseconds can count (1677 to 2262)".to_string())
    }
}

/// Nanoseconds in units of `precision`, where nothing but zeros is lost.
pub fn fraction_units(nanos: i64, precision: u8) -> Result<i64, String> {
    let unit = 1_000_000_000 / units(precision);
    if nanos % unit != 0 {
        return Err(format!("has more than {} digits in its fraction of a second", digits(precision)));
    }
    Ok(nanos / unit)
}

fn fraction(out: &mut String, units_of_second: i64, precision: u8) {
    let width = digits(precision) as usize;
    if width > 0 {
        *out += &format!(".{units_of_second:0width$}");
    }
}

/// `YYYY-MM-DD`; `None` outside of the years 0001 to 9999, whose texts would not sort as the dates do.
pub fn format_date(days: i32) -> Option<String> {
    let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_FROM_CE)?)?;
    let year = date.year();
    (1..=9999).contains(&year).then(|| format!("{year:04}-{:02}-{:02}", date.month(), date.day()))
}

/// `HH:MM:SS` and the fraction at full width; `None` outside of one day.
pub fn format_time(count: i64, precision: u8) -> Option<String> {
    let second = count.div_euclid(units(precision));
    if !(0..DAY_SECONDS).contains(&second) {
        return None;
    }
    let mut text = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    fraction(&mut text, count.rem_euclid(units(precision)), precision);
    Some(text)
}

/// `YYYY-MM-DD HH:MM:SS` and the fraction at full width; `None` outside of the years 0001 to 9999.
pub fn format_timestamp(count: i64, precision: u8) -> Option<String> {
    let day = DAY_SECONDS * units(precision);
    let days = i32::try_from(count.div_euclid(day)).ok()?;
    Some(format!("{} {}", format_date(days)?, format_time(count.rem_euclid(day), precision)?))
}

/// A decimal's digits at `scale`, from a text such as `-12.50` or `1e3`. `Err` says why it is none.
pub fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<i256, String> {
    let bad = || "is not a decimal".to_string();
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| bad())?),
        None => (unsigned, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut all = format!("{whole}{part}");
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let mut zeros = i64::from(exponent) - part.len() as i64 + i64::from(scale);
    while zeros < 0 && all.ends_with('0') && all.len() > 1 {
        all.pop();
        zeros += 1;
    }
    let all = all.trim_start_matches('0');
    if all.is_empty() {
        return Ok(i256::ZERO);
    }
    if zeros < 0 {
        return Err(format!("has more than {scale} digits after the point"));
    }
    if all.len() as i64 + zeros > i64::from(precision) {
        return Err(format!("has more than {} digits before the point", i64::from(precision) - i64::from(scale)));
    }
    let sign = if negative { "-" } else { "" };
    i256::from_string(&format!("{sign}{all}{}", "0".repeat(zeros as usize))).ok_or_else(bad)
}

/// A decimal with exactly `scale` digits after the point.
pub fn format_decimal(unscaled: &str, scale: i8) -> String {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, part) = padded.split_at(padded.len() - scale);
            format!("{sign}{whole}.{part}")
        }
        Err(_) if digits == "0" => "0".into(),
        Err(_) => format!("{sign}{digits}{}", "0".repeat(scale.unsigned_abs().into())),
    }
}
