//! Which type a CSV column has: one from which every text comes back as it was, else string.
//!
//! In this order: int64 (no leading zero, no `+`); decimal, where all have the same number of fractional digits, as only
//! a decimal gives `12.50` back; float64, where each is the shortest text of its float; bool (`true`, `false`); date;
//! timestamp and timestamp_tz (`Z` or `+00:00`), where all are written in one way. A column of NULLs alone is string.
//! The precision of a decimal is 15, 18 or 38, so that the next file's longer values do not change the type.

use super::super::{parse, text};
use crate::model::DxtType;

/// What the texts of a column may still be.
#[derive(Debug, Clone)]
pub struct Guess {
    seen: bool,
    int: bool,
    decimal: Option<Decimal>,
    float: bool,
    /// Whether a number was among the floats: a column of `NaN` and `inf` alone is text.
    number: bool,
    bool: bool,
    date: bool,
    moment: Option<Moments>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Decimal {
    scale: Option<usize>,
    whole: usize,
}

/// How all timestamps of a column are written.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    /// Separator and suffix of the first.
    form: Option<(u8, usize)>,
    /// Digits of the first's fraction, while all have as many.
    fixed: Option<usize>,
    /// Whether all have as few of 0, 3, 6, 9 digits as hold them.
    shortest: bool,
    most: usize,
    /// Whether all fit into nanoseconds.
    nanos: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self {
            seen: false,
            int: true,
            decimal: Some(Decimal::default()),
            float: true,
            number: false,
            bool: true,
            date: true,
            moment: Some(Moments::default()),
            buffer: Vec::new(),
        }
    }
}

impl Guess {
    /// Takes a value that is not NULL.
    pub fn push(&mut self, text: &[u8]) {
        self.seen = true;
        if self.is_string() {
            return;
        }
        self.bool = self.bool && (text == b"true" || text == b"false");
        self.date = self.date && is_date(text) && parse::date(text).is_ok();
        self.moment = self.moment.and_then(|m| m.with(text));
        let int = canonical_int(text);
        self.int = self.int && int.is_some();
        self.decimal = self.decimal.and_then(|d| d.with(text));
        if self.float {
            // Small whole numbers are their own shortest text; asking saves the formatting.
            let small = int.is_some_and(|i| i.unsigned_abs() < 1 << 53);
            self.number |= small || text.iter().any(u8::is_ascii_digit);
            self.float = small || self.comes_back_as_float(text);
        }
    }

    /// Takes what was seen of other values of the same column.
    pub fn merge(&mut self, other: &Self) {
        self.seen |= other.seen;
        self.int &= other.int;
        self.decimal = self.decimal.zip(other.decimal).and_then(|(a, b)| a.merged(b));
        self.float &= other.float;
        self.number |= other.number;
        self.bool &= other.bool;
        self.date &= other.date;
        self.moment = self.moment.zip(other.moment).and_then(|(a, b)| a.merged(b));
    }

    fn comes_back_as_float(&mut self, text: &[u8]) -> bool {
        let Ok(value) = parse::float64(text) else { return false };
        self.buffer.clear();
        text::float64(value, &mut self.buffer);
        self.buffer == text
    }

    fn is_string(&self) -> bool {
        !(self.int || self.float || self.bool || self.date) && self.decimal.is_none() && self.moment.is_none()
    }

    /// The type of all that was seen.
    pub fn dtype(&self) -> DxtType {
        let moment = self.moment.and_then(|m| m.dtype());
        match (&self.decimal, moment) {
            _ if !self.seen => DxtType::String,
            _ if self.int => DxtType::Int64,
            (Some(Decimal { scale: Some(scale), whole }), _) => {
                let digits = whole + scale;
                let precision = [15, 18].into_iter().find(|p| digits <= usize::from(*p)).unwrap_or(38);
                DxtType::Decimal { precision, scale: *scale as i8 }
            }
            _ if self.float && self.number => DxtType::Float64,
            _ if self.bool => DxtType::Bool,
            _ if self.date => DxtType::Date,
            (_, Some(dtype)) => dtype,
            _ => DxtType::String,
        }
    }
}

fn canonical_int(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    canonical.then(|| parse::int(text).ok()).flatten()
}

fn is_date(text: &[u8]) -> bool {
    text.len() == 10 && text[0].is_ascii_digit()
}

impl Decimal {
    fn merged(self, other: Self) -> Option<Self> {
        let (Some(scale), Some(others)) = (self.scale, other.scale) else {
            return Some(if self.scale.is_some() { self } else { other });
        };
        let whole = self.whole.max(other.whole);
        (scale == others && whole + scale <= 38).then_some(Self { scale: Some(scale), whole })
    }

    fn with(self, text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let point = digits.iter().position(|b| *b == b'.')?;
        let (whole, fraction) = (&digits[..point], &digits[point + 1..]);
        let canonical = match whole {
            [b'0'] => true,
            [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        let all_digits = !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit);
        // A decimal's zero has no sign.
        let zero = digits.iter().all(|b| matches!(b, b'0' | b'.'));
        let same = self.scale.is_none_or(|scale| scale == fraction.len());
        if !canonical || !all_digits || !same || (zero && text.len() > digits.len()) {
            return None;
        }
        let whole = if whole == b"0" { 0 } else { whole.len() };
        let whole = self.whole.max(whole);
        (whole + fraction.len() <= 38).then_some(Self { scale: Some(fraction.len()), whole })
    }
}

impl Moments {
    fn merged(self, other: Self) -> Option<Self> {
        let (Some(form), Some(others)) = (self.form, other.form) else {
            return Some(if self.form.is_some() { self } else { other });
        };
        let merged = Self {
            form: self.form,
            fixed: self.fixed.filter(|digits| other.fixed == Some(*digits)),
            shortest: self.shortest && other.shortest,
            most: self.most.max(other.most),
            nanos: self.nanos && other.nanos,
        };
        (form == others && (merged.shortest || merged.fixed.is_some())).then_some(merged)
    }

    fn with(mut self, text: &[u8]) -> Option<Self> {
        if !text.first()?.is_ascii_digit() || text.get(4) != Some(&b'-') {
            return None;
        }
        let suffix = match text {
            [.., b'Z'] => 1,
            _ if text.ends_with(b"+00:00") && text.get(text.len() - 7) != Some(&b' ') => 6,
            _ => 0,
        };
        let moment = parse::moment(text).ok()?;
        let digits = moment.digits?;
        let written = 19 + if digits == 0 { 0 } else { digits + 1 } + suffix;
        let form = (moment.separator, suffix);
        let known = self.form.is_none_or(|f| f == form);
        if !known || text.len() != written || moment.separator == b't' || (moment.offset.is_some() && suffix == 0) {
            return None;
        }
        let fraction = &text[19..text.len() - suffix];
        let shortest = digits == 0 || (digits % 3 == 0 && !fraction.ends_with(b"000"));
        self.shortest = shortest && (self.shortest || self.form.is_none());
        self.fixed = if self.form.is_none() { Some(digits) } else { self.fixed.filter(|f| *f == digits) };
        self.nanos = i64::try_from(moment.nanos).is_ok() && (self.nanos || self.form.is_none());
        self.most = self.most.max(digits);
        self.form = Some(form);
        (self.shortest || self.fixed.is_some()).then_some(self)
    }

    fn dtype(self) -> Option<DxtType> {
        let (_, suffix) = self.form?;
        let precision = match self.most {
            0..=6 => 6,
            _ if self.nanos => 9,
            _ => return None,
        };
        Some(if suffix > 0 { DxtType::TimestampTz { precision } } else { DxtType::Timestamp { precision } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(texts: &[&str]) -> String {
        let of = |texts: &[&str]| {
            let mut guess = Guess::default();
            texts.iter().for_each(|t| guess.push(t.as_bytes()));
            guess
        };
        let whole = of(texts).dtype().to_string();
        // However the texts are parted, and in whichever order the parts are merged.
        for cut in 0..=texts.len() {
            let (a, b) = (of(&texts[..cut]), of(&texts[cut..]));
            for (first, second) in [(&a, &b), (&b, &a)] {
                let mut merged = first.clone();
                merged.merge(second);
                assert_eq!(merged.dtype().to_string(), whole, "{texts:?} cut at {cut}");
            }
        }
        whole
    }

    #[test]
    fn numbers_are_inferred_only_where_their_texts_come_back() {
        assert_eq!(guess(&["1", "-20", "0", "9223372036854775807"]), "int64");
        assert_eq!(guess(&["007"]), "string");
        assert_eq!(guess(&["+1"]), "string");
        assert_eq!(guess(&["-0"]), "float64");
        assert_eq!(guess(&["9223372036854775808"]), "string");
        assert_eq!(guess(&["12.50", "3.00", "-0.05"]), "decimal(15,2)");
        assert_eq!(guess(&["1234567890123456.5"]), "decimal(18,1)");
        assert_eq!(guess(&["-0.00", "1.50"]), "string");
        assert_eq!(guess(&["1.5", "2.25", "3", "1e300"]), "float64");
        assert_eq!(guess(&["1.50", "2.5"]), "string");
        assert_eq!(guess(&["1.5", "NaN"]), "float64");
        assert_eq!(guess(&["NaN", "inf"]), "string");
        assert_eq!(guess(&["1", ""]), "string");
        assert_eq!(guess(&["1", "x"]), "string");
        assert_eq!(guess(&["0.1000000000000000055511151231257827"]), "decimal(38,34)");
        assert_eq!(guess(&["9007199254740993", "1.5"]), "string");
    }

    #[test]
    fn booleans_dates_and_timestamps() {
        assert_eq!(guess(&["true", "false"]), "bool");
        assert_eq!(guess(&["True"]), "string");
        assert_eq!(guess(&["2024-02-29", "1969-12-31"]), "date");
        assert_eq!(guess(&["2023-02-29"]), "string");
        assert_eq!(guess(&["2024-01-01 10:00:00", "2024-01-01 10:00:00.250"]), "timestamp");
        assert_eq!(guess(&["2024-01-01 10:00:00.5", "2024-01-01 10:00:00.2"]), "timestamp");
        assert_eq!(guess(&["2024-01-01 10:00:00.5", "2024-01-01 10:00:00.25"]), "string");
        assert_eq!(guess(&["2024-01-01T10:00:00Z", "2024-01-01T10:00:01Z"]), "timestamp_tz");
        assert_eq!(guess(&["2024-01-01 10:00:00+00:00", "2024-01-01 10:00:01.123456+00:00"]), "timestamp_tz");
        assert_eq!(guess(&["2024-01-01T10:00:00Z", "2024-01-01 10:00:01Z"]), "string");
        assert_eq!(guess(&["2024-01-01 10:00:00+02:00"]), "string");
        assert_eq!(guess(&["2024-01-01 10:00"]), "string");
        assert_eq!(guess(&["2024-01-01 10:00:00.123456789"]), "timestamp(9)");
        assert_eq!(guess(&["9999-01-01 10:00:00.123456789"]), "string");
        assert_eq!(guess(&["2024-01-01", "2024-01-01 10:00:00"]), "string");
    }

    #[test]
    fn nothing_seen_is_text() {
        assert_eq!(guess(&[]), "string");
        assert_eq!(guess(&[""]), "string");
    }
}
