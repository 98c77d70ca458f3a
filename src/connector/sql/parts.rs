//! Conditions that cut a table by the values of a column.

/// The beginnings of all parts but the first, of whole numbers from `least` to `greatest`: at most so many parts as there are
/// numbers, and even.
pub fn points(least: i128, greatest: i128, parts: usize) -> Vec<i128> {
    let width = greatest.saturating_sub(least).saturating_add(1);
    let parts = i128::try_from(parts).unwrap_or(i128::MAX).min(width);
    // By quotient and remainder: the product of a width and a part may be beyond 128 bits.
    let at = |part: i128| width / parts * part + width % parts * part / parts;
    (1..parts).map(|part| least + at(part)).collect()
}

/// The ranges between the cuts, none without cuts. `others` goes with the first of them: ` OR …` for what has no place in an
/// order, such as NULL.
pub fn ranges(column: &str, cuts: &[String], others: &str) -> Vec<String> {
    let Some(first) = cuts.first() else { return Vec::new() };
    let between = cuts.windows(2).map(|pair| format!("({column} >= {} AND {column} < {})", pair[0], pair[1]));
    let last = cuts.last().map(|start| format!("({column} >= {start})"));
    [format!("({column} < {first}{others})")].into_iter().chain(between).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_parts_than_values_and_they_are_even() {
        assert_eq!(points(1, 100, 4), [26, 51, 76]);
        assert_eq!(points(5, 5, 4), [] as [i128; 0]);
        assert_eq!(points(0, 1, 9), [1]);
        assert_eq!(points(i128::from(i64::MIN), i128::from(u64::MAX), 2).len(), 1);
    }

    #[test]
    fn the_first_and_the_last_range_are_open_and_others_are_in_the_first() {
        let cuts = ["10", "20"].map(String::from);
        let all = ranges("a", &cuts, " OR a IS NULL");
        assert_eq!(all, ["(a < 10 OR a IS NULL)", "(a >= 10 AND a < 20)", "(a >= 20)"]);
        assert!(ranges("a", &[], "").is_empty());
    }
}
