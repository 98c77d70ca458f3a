//! The binary form of `numeric`, written: groups of four digits around the point, without the zero groups at either end.

use bytes::{BufMut, BytesMut};

use super::binary::Put;
use super::cell::{Wrong, outside};
use super::text;

/// Places up to which a fraction that is filled up to whole groups of four digits stays within 128 bits.
const PLACES: u32 = 36;
/// Groups that the server takes.
const GROUPS: usize = 3000;
/// Digits behind the point that it takes.
const SHOWN: usize = 16_383;

/// Appends a decimal with its length before it.
pub(super) fn put(value: i128, scale: u8, out: &mut BytesMut) {
    let places = u32::from(scale);
    // Filled up to whole groups behind the point, the groups of the number are those of the numeric.
    let fill = 10u64.pow((4 - places % 4) % 4);
    if places > PLACES {
        let mut digits = String::new();
        let _ = text::decimal128(&mut digits, value, scale.cast_signed());
        // Digits with a point have a form, whatever they are.
        let _ = encode(&digits, out);
        return;
    }
    match u64::try_from(value.unsigned_abs()).ok().and_then(|value| value.checked_mul(fill)) {
        Some(units) => small(units, value < 0, scale, out),
        None => large(value, scale, out),
    }
}

/// The numeric of `units`, whose last group of four digits is the last behind the point.
fn small(mut units: u64, negative: bool, scale: u8, out: &mut BytesMut) {
    // Length and header, and at most 5 groups before them in the order of their coming.
    let mut tail = [0u8; 10];
    let (mut at, mut count) = (tail.len(), 0u8);
    // The weight of the group that comes next.
    let mut weight = -i16::from(scale.div_ceil(4));
    while units > 0 {
        let group = (units % 10_000) as u16;
        units /= 10_000;
        if group != 0 || count > 0 {
            at -= 2;
            tail[at..at + 2].copy_from_slice(&group.to_be_bytes());
            count += 1;
        }
        weight += 1;
    }
    let [w0, w1] = if count == 0 { [0, 0] } else { (weight - 1).to_be_bytes() };
    let sign = if negative { 0x40 } else { 0 };
    out.put_slice(&[0, 0, 0, 8 + 2 * count, 0, count, w0, w1, sign, 0, 0, scale]);
    out.put_slice(&tail[at..]);
}

fn large(value: i128, scale: u8, out: &mut BytesMut) {
    let places = u32::from(scale);
    let (unit, fill) = (10u128.pow(places), 10u128.pow((4 - places % 4) % 4));
    let value_abs = value.unsigned_abs();
    let (whole, fraction) = (value_abs / unit, value_abs % unit);
    // From the least group: 9 of a fraction of 36 digits, 10 of a whole part of 38.
    let mut groups = [0u16; 19];
    let fraction_groups = places.div_ceil(4) as usize;
    spread(fraction * fill, &mut groups);
    let used = fraction_groups + spread(whole, &mut groups[fraction_groups..]);
    let last = groups[..used].iter().position(|g| *g != 0).unwrap_or(used);
    let first = groups[..used].iter().rposition(|g| *g != 0).map_or(last, |at| at + 1);
    let count = first - last;
    let weight = if count == 0 { 0 } else { first as i16 - fraction_groups as i16 - 1 };
    out.put_i32(8 + 2 * count as i32);
    out.put_i16(count as i16);
    out.put_i16(weight);
    out.put_u16(if value < 0 { 0x4000 } else { 0 });
    out.put_u16(u16::from(scale));
    for group in groups[last..first].iter().rev() {
        out.put_u16(*group);
    }
}

/// Writes a number's groups of four digits, the least first, and gives how many there are.
fn spread(mut value: u128, groups: &mut [u16]) -> usize {
    let mut used = 0;
    while value > u128::from(u64::MAX) {
        (groups[used], value) = ((value % 10_000) as u16, value / 10_000);
        used += 1;
    }
    let mut small = value as u64;
    while small > 0 {
        (groups[used], small) = ((small % 10_000) as u16, small / 10_000);
        used += 1;
    }
    used
}

/// Appends a number that is written as text, with all of its digits.
pub(super) fn encode(number: &str, out: &mut BytesMut) -> Put {
    let text = number.trim_matches(|c: char| c.is_ascii_whitespace());
    let special = match text.to_ascii_lowercase().as_str() {
        "nan" => Some(0xC000),
        "infinity" | "+infinity" | "inf" | "+inf" => Some(0xD000),
        "-infinity" | "-inf" => Some(0xF000),
        _ => None,
    };
    if let Some(sign) = special {
        head(0, 0, sign, 0, out);
        return Ok(());
    }
    let wrong = || Wrong { why: "it is no number in decimal digits".into(), ..outside(format!("{number:?}")) };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return Err(wrong().into());
    }
    // The digits without the zeros before and behind them; `power`: that of ten of the first.
    let whole = whole.trim_start_matches('0');
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
    let zeros = all.iter().take_while(|digit| **digit == 0).count();
    let used = all.iter().rposition(|digit| *digit != 0).map_or(zeros, |last| last + 1);
    let power = whole.len() as i64 - 1 - zeros as i64;
    let weight = if used == zeros { 0 } else { power.div_euclid(4) };
    let mut groups = Vec::new();
    let mut digits = all[zeros..used].iter();
    let mut left = power.rem_euclid(4) + 1;
    while !digits.as_slice().is_empty() {
        let group = (0..left).fold(0u16, |group, _| group * 10 + u16::from(digits.next().copied().unwrap_or(0)));
        groups.push(group);
        left = 4;
    }
    let shown = u16::try_from(fraction.len()).ok().filter(|_| fraction.len() <= SHOWN);
    let (Some(shown), Ok(weight), true) = (shown, i16::try_from(weight), groups.len() <= GROUPS) else {
        return Err(outside(format!("a number of {} digits", all.len())).into());
    };
    // The server has no zero with a sign.
    head(groups.len(), weight, if negative && !groups.is_empty() { 0x4000 } else { 0 }, shown, out);
    for group in groups {
        out.put_u16(group);
    }
    Ok(())
}

/// Length and header of a numeric of `count` groups, which are at most 3000.
fn head(count: usize, weight: i16, sign: u16, shown: u16, out: &mut BytesMut) {
    out.put_i32(8 + 2 * count as i32);
    out.put_u16(count as u16);
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(shown);
}
