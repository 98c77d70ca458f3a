//! The binary form of `numeric`: a header of four 16-bit words, then digits of base 10000, the most significant first.

use arrow::datatypes::ArrowNativeTypeOp;

use super::cells::CellError;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

struct Numeric<'a> {
    /// The power of 10000 of the first digit.
    weight: i32,
    negative: bool,
    /// Digits after the point that are shown.
    shown: usize,
    digits: &'a [u8],
}

impl<'a> Numeric<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, CellError> {
        let malformed = || CellError::Malformed("a numeric of the wrong length");
        let Some((header, digits)) = bytes.split_first_chunk::<8>() else {
            return Err(malformed());
        };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let special = |name: &str| Err(CellError::Value { value: name.into(), why: "a decimal has no such value" });
        let negative = match word(4) {
            0 => false,
            NEGATIVE => true,
            NAN => return special("NaN"),
            INFINITY => return special("infinity"),
            NEGATIVE_INFINITY => return special("-infinity"),
            _ => return Err(CellError::Malformed("a numeric with an unknown sign")),
        };
        if digits.len() != usize::from(word(0)) * 2 {
            return Err(malformed());
        }
        let weight = i32::from(word(2).cast_signed());
        let numeric = Self { weight, negative, shown: usize::from(word(6)), digits };
        if numeric.groups().any(|group| group > 9999) {
            return Err(CellError::Malformed("a numeric with a digit past 9999"));
        }
        Ok(numeric)
    }

    fn groups(&self) -> impl Iterator<Item = u16> + '_ {
        self.digits.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// The value as an integer of units of 10^-scale; `None` where it does not fit or has finer digits.
    fn scaled<T: ArrowNativeTypeOp>(&self, scale: i32) -> Option<T> {
        let small = |n: u16| T::usize_as(usize::from(n));
        let mut sum = T::ZERO;
        // The power of ten, in units, of the last digit that was taken: what is left to multiply by at the end.
        let mut left = 0i32;
        for (index, group) in self.groups().enumerate() {
            let exponent = 4 * (self.weight - i32::try_from(index).ok()?) + scale;
            if exponent >= 0 {
                sum = sum.mul_checked(small(10_000)).ok()?.add_checked(small(group)).ok()?;
                left = exponent;
                continue;
            }
            // This group straddles the finest unit, or is below it: what is below must be nothing.
            let below = 10u16.pow(exponent.unsigned_abs().min(4));
            if group % below != 0 {
                return None;
            }
            if exponent > -4 {
                sum = sum.mul_checked(small(10_000 / below)).ok()?.add_checked(small(group / below)).ok()?;
                left = 0;
            }
        }
        if sum != T::ZERO && left > 0 {
            let power = small(10).pow_checked(left.unsigned_abs()).ok()?;
            sum = sum.mul_checked(power).ok()?;
        }
        Some(if self.negative { sum.neg_wrapping() } else { sum })
    }

    /// The value as people write it, for errors.
    fn text(&self) -> String {
        let mut text = String::from(if self.negative { "-" } else { "" });
        let group = |power: i32| {
            let index = usize::try_from(self.weight - power).ok();
            index.and_then(|i| self.groups().nth(i)).unwrap_or(0)
        };
        let whole: String = (0..=self.weight.min(30)).rev().map(|power| format!("{:04}", group(power))).collect();
        let whole = whole.trim_start_matches('0');
        text += if whole.is_empty() { "0" } else { whole };
        let fraction: String =
            (0..self.shown.min(80).div_ceil(4)).map(|i| format!("{:04}", group(-1 - i as i32))).collect();
        let fraction = &fraction[..self.shown.min(fraction.len())];
        if fraction.is_empty() { text } else { text + "." + fraction }
    }
}

/// The decimal as which a column's numerics are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    precision: u8,
    scale: i8,
    /// What no value reaches, where that is within 64 bits.
    limit: Option<u64>,
}

impl Target {
    pub(super) fn new(precision: u8, scale: i8) -> Self {
        Self { precision, scale, limit: 10u64.checked_pow(u32::from(precision)) }
    }

    /// The integer of a numeric of few digits; `None` for all others and for what is wrong.
    pub(super) fn small(self, bytes: &[u8]) -> Option<i64> {
        let (header, digits) = bytes.split_first_chunk::<8>()?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (count, weight, sign) = (usize::from(word(0)), i32::from(word(2).cast_signed()), word(4));
        // Four groups are below 10^16.
        if count > 4 || digits.len() != 2 * count || sign & !NEGATIVE != 0 {
            return None;
        }
        let mut sum = 0u64;
        for pair in digits.chunks_exact(2) {
            let group = u16::from_be_bytes([pair[0], pair[1]]);
            if group > 9999 {
                return None;
            }
            sum = sum * 10_000 + u64::from(group);
        }
        // The power of ten, in units, of the last group.
        let exponent = 4 * (weight - count as i32 + 1) + i32::from(self.scale);
        let units = match exponent {
            _ if count == 0 => 0,
            0 => sum,
            // The last group straddles the finest unit: what is below must be nothing.
            -1 if sum.is_multiple_of(10) => sum / 10,
            -2 if sum.is_multiple_of(100) => sum / 100,
            -3 if sum.is_multiple_of(1000) => sum / 1000,
            1..=19 => sum.checked_mul(10u64.pow(exponent.unsigned_abs()))?,
            _ => return None,
        };
        if self.limit.is_some_and(|limit| units >= limit) {
            return None;
        }
        let units = i64::try_from(units).ok()?;
        Some(if sign == NEGATIVE { -units } else { units })
    }

    /// The integer of any numeric.
    ///
    /// # Errors
    /// Names a value that the decimal does not hold exactly.
    pub(super) fn decode<T: ArrowNativeTypeOp>(self, bytes: &[u8]) -> Result<T, CellError> {
        let numeric = Numeric::parse(bytes)?;
        let limit = T::usize_as(10).pow_checked(u32::from(self.precision)).ok();
        let fits = |value: &T| match limit {
            Some(limit) => value.is_lt(limit) && value.is_gt(limit.neg_wrapping()),
            None => true,
        };
        numeric.scaled(i32::from(self.scale)).filter(fits).ok_or_else(|| CellError::Value {
            value: numeric.text(),
            why: "the column's decimal does not hold it exactly",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::i256;

    fn wire(weight: i16, sign: u16, shown: u16, groups: &[u16]) -> Vec<u8> {
        let mut words = vec![groups.len() as u16, weight as u16, sign, shown];
        words.extend(groups);
        words.into_iter().flat_map(u16::to_be_bytes).collect()
    }

    fn value(bytes: &[u8], precision: u8, scale: i8) -> Option<i128> {
        let target = Target::new(precision, scale);
        let value = target.decode::<i128>(bytes).ok();
        // The way for few digits gives the same or leaves it to the other.
        assert!(target.small(bytes).is_none_or(|small| value == Some(i128::from(small))), "{bytes:?}");
        value
    }

    #[test]
    fn groups_are_scaled_exactly() {
        assert_eq!(value(&wire(0, 0, 2, &[12, 3400]), 12, 2), Some(1234));
        assert_eq!(value(&wire(0, NEGATIVE, 4, &[12, 3456]), 12, 4), Some(-123_456));
        assert_eq!(value(&wire(1, 0, 0, &[1]), 12, 2), Some(1_000_000));
        assert_eq!(value(&wire(-1, 0, 3, &[50]), 12, 3), Some(5));
        assert_eq!(value(&wire(-3, 0, 10, &[100]), 12, 10), Some(1));
        assert_eq!(value(&wire(0, 0, 0, &[]), 12, 2), Some(0));
    }

    #[test]
    fn digits_that_do_not_fit_are_an_error_and_never_rounded() {
        assert_eq!(value(&wire(0, 0, 3, &[12, 3450]), 12, 2), None);
        assert_eq!(value(&wire(0, 0, 2, &[12, 3400]), 3, 2), None);
        assert_eq!(value(&wire(i16::MAX, 0, 0, &[1]), 38, 0), None);
        assert_eq!(value(&wire(i16::MIN, 0, 0, &[1]), 38, 0), None);
    }

    #[test]
    fn the_longest_decimals_fit_their_integers() {
        let nines = [99, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999];
        assert_eq!(value(&wire(9, 0, 0, &nines), 38, 0), Some(10i128.pow(38) - 1));
        let groups = [9999u16; 19];
        let expected = i256::from_string(&"9".repeat(76)).unwrap();
        assert_eq!(Target::new(76, 0).decode::<i256>(&wire(18, 0, 0, &groups)).ok(), Some(expected));
        assert!(Target::new(76, 0).decode::<i256>(&wire(19, 0, 0, &[1; 20])).is_err());
    }

    #[test]
    fn errors_show_the_value() {
        let shown = |bytes: &[u8]| match Target::new(3, 0).decode::<i128>(bytes) {
            Err(CellError::Value { value, .. }) => value,
            _ => String::new(),
        };
        assert_eq!(shown(&wire(0, NEGATIVE, 3, &[12, 3450])), "-12.345");
        assert_eq!(shown(&wire(0, NAN, 0, &[])), "NaN");
        assert_eq!(shown(&wire(1, 0, 0, &[12, 34])), "120034");
    }
}
