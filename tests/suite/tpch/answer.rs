//! Two answers to one query, as CSV from two systems, cell by cell.

/// What is known of a query's answer.
pub struct Shape {
    /// Columns that are computed by a division: each system gives as many digits of them as it pleases.
    pub rounded: &'static [&'static str],
    /// The columns of its ORDER BY.
    pub ordered: &'static [&'static str],
}

/// The digits behind the point that a quotient has at least, so that comparing them says something.
const DIGITS: usize = 4;

/// What differs first, or nothing.
#[track_caller]
pub fn difference(expected: &str, got: &str, shape: &Shape) -> Option<String> {
    let (expected, got) = (rows(expected), rows(got));
    let ((header, mut expected), (names, mut got)) = (headed(expected), headed(got));
    if header != names {
        return Some(format!("columns {header:?} and not {names:?}"));
    }
    let index = |name: &&str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no column {name}"));
    let rounded: Vec<usize> = shape.rounded.iter().map(index).collect();
    let ordered: Vec<usize> = shape.ordered.iter().map(index).collect();
    let exact: Vec<usize> = (0..header.len()).filter(|i| !rounded.contains(i)).collect();
    if expected.len() != got.len() {
        return Some(format!("{} rows and not {}", expected.len(), got.len()));
    }
    // The order that was asked for, and then all rows, whatever the order of those that tie.
    let sequence = expected.iter().zip(&got).enumerate();
    for (i, (a, b)) in sequence {
        if let Some(column) = ordered.iter().find(|c| value(&a[**c]) != value(&b[**c])) {
            let name = &header[*column];
            return Some(format!("row {} by its {name}: {a:?} and not {b:?}", i + 1));
        }
    }
    let key = |row: &[String]| exact.iter().map(|c| value(&row[*c]).to_string()).collect::<Vec<_>>();
    expected.sort_by_cached_key(|row| key(row));
    got.sort_by_cached_key(|row| key(row));
    expected.iter().zip(&got).find_map(|(a, b)| {
        let equal = (0..header.len()).all(|c| match rounded.contains(&c) {
            true => about(&a[c], &b[c]),
            false => value(&a[c]) == value(&b[c]),
        });
        (!equal).then(|| format!("{a:?} and not {b:?}"))
    })
}

fn headed(mut rows: Vec<Vec<String>>) -> (Vec<String>, Vec<Vec<String>>) {
    assert!(!rows.is_empty(), "no header");
    (rows.remove(0), rows)
}

/// A number without the zeros at the end of its fraction, and any other text as it is.
fn value(cell: &str) -> &str {
    match is_number(cell) && cell.contains('.') {
        true => cell.trim_end_matches('0').trim_end_matches('.'),
        false => cell,
    }
}

fn is_number(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether two quotients are one number: to the last digit of the one that has fewer, or to nine digits.
fn about(expected: &str, got: &str) -> bool {
    if value(expected) == value(got) {
        return true;
    }
    if !is_number(expected) || !is_number(got) {
        return false;
    }
    let digits = |cell: &str| cell.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits = digits(expected).min(digits(got));
    let (a, b): (f64, f64) = (expected.parse().expect("a number"), got.parse().expect("a number"));
    let last = 10_f64.powi(-i32::try_from(digits).expect("few digits"));
    digits >= DIGITS && (a - b).abs() <= f64::max(last * 1.000_001, a.abs() * 1e-9)
}

/// The cells of a CSV text.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.trim_end_matches('\n').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    row.push(cell);
    rows.push(row);
    rows
}

#[test]
fn answers_are_compared_by_value_by_the_order_asked_for_and_to_the_digits_that_both_have() {
    let shape = Shape { rounded: &["avg"], ordered: &["n"] };
    let same = |a: &str, b: &str| difference(a, b, &shape);
    let answer = "n,t,avg\n1,\"a,\"\"b\"\"\",0.3333333333\n1.50,x,2.00\n2,y,\n";
    assert_eq!(same(answer, answer), None);
    assert_eq!(same(answer, "n,t,avg\n1.0,\"a,\"\"b\"\"\",0.333333\n1.5,x,2\n2,y,"), None);
    for (other, said) in [
        ("n,t,sum\n1,a,1", "columns"),
        ("n,t,avg\n1,\"a,\"\"b\"\"\",0.3333\n", "3 rows and not 1"),
        ("n,t,avg\n1,\"a,b\",0.3333\n1.50,x,2.00\n2,y,\n", "a,b"),
        ("n,t,avg\n1.50,x,2.00\n1,\"a,\"\"b\"\"\",0.3333\n2,y,\n", "row 1 by its n"),
        ("n,t,avg\n1,\"a,\"\"b\"\"\",0.3335\n1.50,x,2.00\n2,y,\n", "0.3335"),
        ("n,t,avg\n1,\"a,\"\"b\"\"\",0.3\n1.50,x,2.00\n2,y,\n", "0.3"),
        ("n,t,avg\n1,\"a,\"\"b\"\"\",0.333333\n1.50,x,2.00\n2,y,0\n", "\"0\""),
        ("n,t,avg\n1,\"a,\"\"b\"\"\",0.333333\n1.51,x,2.00\n2,y,\n", "row 2 by its n"),
    ] {
        assert!(same(answer, other).is_some_and(|text| text.contains(said)), "{other}: {:?}", same(answer, other));
    }
    // Rows that tie may come in any order.
    assert_eq!(same("n,t,avg\n1,a,1\n1,b,2\n", "n,t,avg\n1,b,2\n1,a,1\n"), None);
}
