//! Texts as typed values, strictly: what would be rounded, cut or guessed is a fault.

use arrow::datatypes::i256;

use super::calendar::{days_from_date, is_date};
use crate::model::{UUID_BYTES, parse_uuid};

/// Why a text is no value of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has another form.
    Form,
    /// It is outside of the type's range.
    Range,
    /// It has more fractional digits than the type.
    Fine,
    /// It has a zone, and the type has none.
    Zone,
    /// It is not UTF-8.
    Utf8,
}

impl Fault {
    /// The end of a sentence that begins with the value; `dtype` is the type's name.
    pub fn explain(self, dtype: &str) -> String {
        match self {
            Self::Form => format!("is not a value of type {dtype}"),
            Self::Range => format!("does not fit into {dtype}"),
            Self::Fine => format!("has more fractional digits than {dtype} holds"),
            Self::Zone => format!("has a zone, which {dtype} cannot hold"),
            Self::Utf8 => "is not UTF-8".to_string(),
        }
    }
}

type Parsed<T> = Result<T, Fault>;

/// A number in digits: `sign × digits × 10^exponent`, without zeros at the digits' ends.
struct Digits {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Digits {
    fn parse(text: &[u8]) -> Parsed<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, power) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&rest[..at], integer_text(&rest[at + 1..])?.clamp(-100_000, 100_000)),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if !all_digits || whole.len() + fraction.len() == 0 {
            return Err(Fault::Form);
        }
        let mut digits: Vec<u8> = whole.iter().chain(fraction).copied().skip_while(|b| *b == b'0').collect();
        let mut exponent = power - fraction.len() as i64;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent += 1;
        }
        Ok(Self { negative, digits, exponent })
    }

    /// The digits of the whole number that stands for it at `scale`; empty for zero.
    fn scaled(mut self, scale: i64, most: usize) -> Parsed<Vec<u8>> {
        if self.digits.is_empty() {
            return Ok(self.digits);
        }
        let zeros = usize::try_from(self.exponent + scale).map_err(|_| Fault::Fine)?;
        if self.digits.len() + zeros > most {
            return Err(Fault::Range);
        }
        self.digits.resize(self.digits.len() + zeros, b'0');
        if self.negative {
            self.digits.insert(0, b'-');
        }
        Ok(self.digits)
    }
}

/// Whether two texts are one number, however they are written.
pub fn same_number(one: &[u8], two: &[u8]) -> bool {
    match (Digits::parse(one), Digits::parse(two)) {
        (Ok(one), Ok(two)) if one.digits.is_empty() => two.digits.is_empty(),
        (Ok(one), Ok(two)) => (one.negative, one.digits, one.exponent) == (two.negative, two.digits, two.exponent),
        _ => false,
    }
}

fn integer_text(text: &[u8]) -> Parsed<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Form);
    }
    let value = digits.iter().fold(0i64, |v, b| v.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    Ok(if negative { -value } else { value })
}

fn text(bytes: &[u8]) -> Parsed<&str> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Utf8)
}

/// A whole number: digits with a sign or without, also `1e3` and `1.0`, as they are whole.
pub fn int<T: TryFrom<i128>>(bytes: &[u8]) -> Parsed<T> {
    // Nearly all are short and plain.
    if bytes.len() <= 18 && !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) {
        let value = bytes.iter().fold(0i128, |v, b| v * 10 + i128::from(b - b'0'));
        return T::try_from(value).map_err(|_| Fault::Range);
    }
    T::try_from(decimal128(bytes, 38, 0)?).map_err(|_| Fault::Range)
}

/// A decimal's unscaled value, for a precision of at most 38.
pub fn decimal128(bytes: &[u8], precision: u8, scale: i8) -> Parsed<i128> {
    let digits = Digits::parse(bytes)?.scaled(scale.into(), precision.into())?;
    if digits.is_empty() { Ok(0) } else { text(&digits)?.parse().map_err(|_| Fault::Range) }
}

/// A decimal's unscaled value, for a precision of at most 76.
pub fn decimal256(bytes: &[u8], precision: u8, scale: i8) -> Parsed<i256> {
    let digits = Digits::parse(bytes)?.scaled(scale.into(), precision.into())?;
    if digits.is_empty() { Ok(i256::ZERO) } else { i256::from_string(text(&digits)?).ok_or(Fault::Range) }
}

/// A float; `NaN`, `inf` and `-inf` are values, a number that overflows to one is none.
pub fn float64(bytes: &[u8]) -> Parsed<f64> {
    let value: f64 = text(bytes)?.parse().map_err(|_| Fault::Form)?;
    if value.is_infinite() && bytes.iter().any(u8::is_ascii_digit) { Err(Fault::Range) } else { Ok(value) }
}

/// As [`float64`], for single precision.
pub fn float32(bytes: &[u8]) -> Parsed<f32> {
    let value: f32 = text(bytes)?.parse().map_err(|_| Fault::Form)?;
    if value.is_infinite() && bytes.iter().any(u8::is_ascii_digit) { Err(Fault::Range) } else { Ok(value) }
}

/// `true`, `t`, `1` or `false`, `f`, `0`, in any case.
pub fn boolean(bytes: &[u8]) -> Parsed<bool> {
    let is = |word: &str| bytes.eq_ignore_ascii_case(word.as_bytes());
    match bytes {
        _ if is("true") || is("t") || bytes == b"1" => Ok(true),
        _ if is("false") || is("f") || bytes == b"0" => Ok(false),
        _ => Err(Fault::Form),
    }
}

/// Text as it stands.
pub fn string(bytes: &[u8]) -> Parsed<&str> {
    text(bytes)
}

/// Text that is JSON, as it stands.
pub fn json(bytes: &[u8]) -> Parsed<&str> {
    let text = text(bytes)?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| Fault::Form)?;
    Ok(text)
}

/// Bytes as `\x` and pairs of hexadecimal digits.
pub fn binary(bytes: &[u8]) -> Parsed<Vec<u8>> {
    let digits = bytes.strip_prefix(b"\\x").ok_or(Fault::Form)?;
    if digits.len() % 2 != 0 {
        return Err(Fault::Form);
    }
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8).ok_or(Fault::Form);
    digits.chunks_exact(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// A UUID, in the forms that PostgreSQL takes.
pub fn uuid(bytes: &[u8]) -> Parsed<[u8; UUID_BYTES]> {
    parse_uuid(bytes).ok_or(Fault::Form)
}

/// Reads a text from its begin.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> Parsed<()> {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                Ok(())
            }
            _ => Err(Fault::Form),
        }
    }

    /// Digits, from `least` to `most` of them.
    fn digits(&mut self, least: usize, most: usize) -> Parsed<(i64, usize)> {
        let count = self.0.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if count < least {
            return Err(Fault::Form);
        }
        let value = self.0[..count].iter().fold(0, |v, b| v * 10 + i64::from(b - b'0'));
        self.0 = &self.0[count..];
        Ok((value, count))
    }

    fn date(&mut self) -> Parsed<i64> {
        let negative = self.take(b'-').is_ok();
        let (year, _) = self.digits(4, 7)?;
        self.take(b'-')?;
        let (month, _) = self.digits(2, 2)?;
        self.take(b'-')?;
        let (day, _) = self.digits(2, 2)?;
        let (year, month, day) = (if negative { -year } else { year }, month as u32, day as u32);
        if is_date(year, month, day) { Ok(days_from_date(year, month, day)) } else { Err(Fault::Range) }
    }

    /// Nanoseconds of a day, and how many fractional digits were written; seconds may be missing.
    fn time(&mut self) -> Parsed<(i64, Option<usize>)> {
        let (hour, _) = self.digits(2, 2)?;
        self.take(b':')?;
        let (minute, _) = self.digits(2, 2)?;
        let (mut second, mut nanos, mut written) = (0, 0, None);
        if self.take(b':').is_ok() {
            (second, written) = (self.digits(2, 2)?.0, Some(0));
            if self.take(b'.').is_ok() {
                let (value, count) = self.digits(1, 9)?;
                nanos = value * 10i64.pow(9 - count as u32);
                written = Some(count);
                // Digits behind the ninth may only be zeros.
                while self.take(b'0').is_ok() {}
                if self.0.first().is_some_and(u8::is_ascii_digit) {
                    return Err(Fault::Fine);
                }
            }
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err(Fault::Range);
        }
        Ok((((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos, written))
    }

    /// Seconds east of UTC: `Z`, `+HH`, `+HHMM`, `+HH:MM`, with or without a blank before.
    fn zone(&mut self) -> Parsed<Option<i64>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        if self.take(b'Z').is_ok() || self.take(b'z').is_ok() {
            return Ok(Some(0));
        }
        let negative = match self.take(b'-') {
            Ok(()) => true,
            Err(_) => {
                self.take(b'+')?;
                false
            }
        };
        let (hours, _) = self.digits(2, 2)?;
        let minutes = match self.0.is_empty() {
            true => 0,
            false => {
                let _ = self.take(b':');
                self.digits(2, 2)?.0
            }
        };
        if hours > 23 || minutes > 59 {
            return Err(Fault::Range);
        }
        let seconds = (hours * 60 + minutes) * 60;
        Ok(Some(if negative { -seconds } else { seconds }))
    }

    fn end(&self) -> Parsed<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Fault::Form) }
    }
}

/// `YYYY-MM-DD` as days from 1970-01-01.
pub fn date(bytes: &[u8]) -> Parsed<i32> {
    let mut reader = Reader(bytes);
    let days = reader.date()?;
    reader.end()?;
    i32::try_from(days).map_err(|_| Fault::Range)
}

fn in_units(nanos: i128, precision: u8) -> Parsed<i64> {
    let unit = 10i128.pow(9 - u32::from(precision.min(9)));
    if nanos % unit != 0 {
        return Err(Fault::Fine);
    }
    i64::try_from(nanos / unit).map_err(|_| Fault::Range)
}

/// `HH:MM[:SS[.f]]` in units of `10^-precision` seconds.
pub fn time(bytes: &[u8], precision: u8) -> Parsed<i64> {
    let mut reader = Reader(bytes);
    let (nanos, _) = reader.time()?;
    reader.end()?;
    in_units(nanos.into(), precision)
}

/// What a timestamp's text was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds from 1970-01-01 of the wall clock that the text shows.
    pub nanos: i128,
    /// `T` or a blank.
    pub separator: u8,
    /// Fractional digits that were written; `None` where the seconds are missing.
    pub digits: Option<usize>,
    /// Seconds east of UTC, where the text says so.
    pub offset: Option<i64>,
}

/// `YYYY-MM-DD HH:MM[:SS[.f]][zone]`, with `T` or a blank between.
pub fn moment(bytes: &[u8]) -> Parsed<Moment> {
    let mut reader = Reader(bytes);
    let days = reader.date()?;
    let separator = match reader.0.first() {
        Some(byte @ (b'T' | b't' | b' ')) => *byte,
        _ => return Err(Fault::Form),
    };
    reader.take(separator)?;
    let (nanos, digits) = reader.time()?;
    let _ = reader.take(b' ');
    let offset = reader.zone()?;
    reader.end()?;
    Ok(Moment { nanos: i128::from(days) * 86_400_000_000_000 + i128::from(nanos), separator, digits, offset })
}

/// A wall clock's time in units of `10^-precision` seconds. A zone would be lost, and is a fault.
pub fn timestamp(bytes: &[u8], precision: u8) -> Parsed<i64> {
    let moment = moment(bytes)?;
    if moment.offset.is_some() {
        return Err(Fault::Zone);
    }
    in_units(moment.nanos, precision)
}

/// An instant in units of `10^-precision` seconds; a text without a zone is in UTC, as sessions of dxt are.
pub fn timestamp_tz(bytes: &[u8], precision: u8) -> Parsed<i64> {
    let moment = moment(bytes)?;
    in_units(moment.nanos - i128::from(moment.offset.unwrap_or(0)) * 1_000_000_000, precision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        assert_eq!(int::<i64>(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(int::<u64>(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(int::<i32>(b"+007"), Ok(7));
        assert_eq!(int::<i32>(b"1e3"), Ok(1000));
        assert_eq!(int::<i32>(b"1.0"), Ok(1));
        assert_eq!(int::<i8>(b"128"), Err(Fault::Range));
        assert_eq!(int::<u8>(b"-1"), Err(Fault::Range));
        assert_eq!(int::<i64>(b"1.5"), Err(Fault::Fine));
        assert_eq!(int::<i64>(b"1e99999999999999999999"), Err(Fault::Range));
        for text in ["", "-", ".", "1 ", " 1", "1,5", "0x1", "1e", "--1", "1.2.3"] {
            assert_eq!(int::<i64>(text.as_bytes()), Err(Fault::Form), "{text}");
        }
    }

    #[test]
    fn decimals_are_never_rounded() {
        assert_eq!(decimal128(b"12.50", 4, 2), Ok(1250));
        assert_eq!(decimal128(b"-0.5", 4, 2), Ok(-50));
        assert_eq!(decimal128(b"12.500", 4, 2), Ok(1250));
        assert_eq!(decimal128(b"12.505", 5, 2), Err(Fault::Fine));
        assert_eq!(decimal128(b"100", 4, 2), Err(Fault::Range));
        assert_eq!(decimal128(b"1200", 2, -2), Ok(12));
        assert_eq!(decimal128(b"1250", 2, -2), Err(Fault::Fine));
        let nines = "9".repeat(76);
        assert_eq!(decimal256(nines.as_bytes(), 76, 0).map(|v| v.to_string()), Ok(nines));
        assert_eq!(decimal256(b"-1.5", 40, 1).map(|v| v.to_string()), Ok("-15".into()));
    }

    #[test]
    fn numbers_are_compared_by_value() {
        assert!(same_number(b"1.50", b"15e-1") && same_number(b"-0", b"0.00") && same_number(b"100", b"1E2"));
        assert!(!same_number(b"9007199254740993", b"9007199254740992") && !same_number(b"1", b"-1"));
    }

    #[test]
    fn floats_do_not_overflow_in_silence() {
        assert_eq!(float64(b"1e308"), Ok(1e308));
        assert_eq!(float64(b"1e309"), Err(Fault::Range));
        assert_eq!(float32(b"1e39"), Err(Fault::Range));
        assert_eq!(float64(b"-inf"), Ok(f64::NEG_INFINITY));
        assert!(float64(b"NaN").unwrap().is_nan());
        assert_eq!(float64(b"1,5"), Err(Fault::Form));
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(date(b"1969-12-31"), Ok(-1));
        assert_eq!(date(b"2023-02-29"), Err(Fault::Range));
        assert_eq!(date(b"2023-2-9"), Err(Fault::Form));
        assert_eq!(time(b"23:59:59.999999", 6), Ok(86_399_999_999));
        assert_eq!(time(b"12:30", 0), Ok(45_000));
        assert_eq!(time(b"24:00:00", 0), Err(Fault::Range));
        assert_eq!(time(b"00:00:00.0001", 3), Err(Fault::Fine));
        assert_eq!(timestamp(b"1970-01-02T00:00:00.5", 3), Ok(86_400_500));
        assert_eq!(timestamp(b"1969-12-31 23:59:59", 0), Ok(-1));
        assert_eq!(timestamp(b"1970-01-01 00:00:00Z", 6), Err(Fault::Zone));
        assert_eq!(timestamp_tz(b"1970-01-01 02:00:00+02:00", 0), Ok(0));
        assert_eq!(timestamp_tz(b"1970-01-01T00:00:00 -0130", 0), Ok(5400));
        assert_eq!(timestamp_tz(b"1970-01-01 00:00:01", 0), Ok(1));
        assert_eq!(timestamp(b"9999-12-31 00:00:00", 9), Err(Fault::Range));
        assert_eq!(timestamp(b"2024-01-01", 6), Err(Fault::Form));
    }

    #[test]
    fn bytes_json_and_booleans() {
        assert_eq!(binary(b"\\x00fF"), Ok(vec![0, 255]));
        assert_eq!(binary(b"\\x0"), Err(Fault::Form));
        assert_eq!(binary(b"00"), Err(Fault::Form));
        assert_eq!(json(b"{\"a\": [1]}"), Ok("{\"a\": [1]}"));
        assert_eq!(json(b"{a: 1}"), Err(Fault::Form));
        assert_eq!((boolean(b"TRUE"), boolean(b"0"), boolean(b"yes")), (Ok(true), Ok(false), Err(Fault::Form)));
        assert_eq!(string(b"\xff"), Err(Fault::Utf8));
    }
}
