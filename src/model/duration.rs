//! Durations as people write them.

use std::time::Duration;

/// `500ms`, `90s`, `15m`, `1h`, `7d`, `2w`: a whole number and its unit. `None` for all else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let count: u64 = text[..unit_at].parse().ok()?;
    let milliseconds = match &text[unit_at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return None,
    };
    // Past 10000 years no timestamp can go back; a greater number would overflow where it is subtracted.
    let total = count.checked_mul(milliseconds).filter(|ms| *ms <= 10_000 * 366 * 86_400_000)?;
    Some(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        for (text, ms) in [("500ms", 500), ("1s", 1_000), ("0s", 0), ("15m", 900_000), ("2w", 1_209_600_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "1", "s", "-1s", "1.5s", "1 s", "1y", "18446744073709551615w"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
