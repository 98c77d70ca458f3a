//! Days of the proleptic Gregorian calendar, for all years that a timestamp can hold.

/// Days in one era of 400 years.
const ERA: i64 = 146_097;

/// Days from 1970-01-01 to a date that must exist ([`is_date`]).
pub fn days_from_date(year: i64, month: u32, day: u32) -> i64 {
    // Years are taken to begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = i64::from((month + 9) % 12);
    let of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day counted from 1970-01-01.
pub fn date_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

/// Whether the date exists.
pub fn is_date(year: i64, month: u32, day: u32) -> bool {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=length).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (-719_528, (0, 1, 1)),
            (-719_529, (-1, 12, 31)),
            (2_932_896, (9999, 12, 31)),
        ] {
            assert_eq!(date_from_days(days), date);
            assert_eq!(days_from_date(date.0, date.1, date.2), days);
        }
    }

    #[test]
    fn every_day_comes_back() {
        for days in (-800_000..800_000).step_by(7).chain([i64::from(i32::MIN), i64::from(i32::MAX)]) {
            let (year, month, day) = date_from_days(days);
            assert!(is_date(year, month, day));
            assert_eq!(days_from_date(year, month, day), days);
        }
        assert!(!is_date(1900, 2, 29) && is_date(2000, 2, 29) && !is_date(2024, 13, 1) && !is_date(2024, 4, 31));
    }
}
