//! How a scan is split into parts that several connections read at once: by ranges of whole numbers.
//!
//! No row meets two of the conditions and each row meets one, whatever comes between asking for the range and reading:
//! the first and the last are open, and NULL goes with the first.

use crate::connector::ExtractRequest;
use crate::connector::sql::parts;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType, nearest};

/// Parts that are made where nobody asked for a number.
const DEFAULT_LIMIT: usize = 8;

/// The column whose ranges are the parts; `None` where the scan is read as a whole.
///
/// # Errors
/// Schema: there is no column `partition_field`. Type mapping: it has no ranges.
pub(super) fn field<'a>(request: &ExtractRequest, schema: &'a DxtSchema) -> Result<Option<&'a DxtField>> {
    let Some(name) = &request.partition_field else {
        if let Some(parts) = request.partitions.filter(|parts| *parts > 1) {
            tracing::warn!(
                parts,
                "read by one connection: name a `partition_field` of whole numbers to read it by several"
            );
        }
        return Ok(None);
    };
    let Some(field) = schema.field(name) else {
        let error = Error::new(ErrorKind::Schema, format!("the source has no column {name}, its partition_field"));
        return Err(error.with_hint(match nearest(name, &schema.names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("its columns: {}", schema.names().join(", ")),
        }));
    };
    use DxtType::*;
    match field.dtype {
        Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64 | Decimal { scale: 0, precision: ..=37 } => {}
        _ => {
            let what = format!("partition_field {name} is {}, of which dxt makes no ranges here", field.dtype);
            return Err(Error::new(ErrorKind::TypeMapping, what).with_hint("take a column of whole numbers"));
        }
    }
    if request.partitions.is_none_or(|parts| parts > 1) {
        tracing::warn!(
            partition_field = name,
            "each of the parts reads a state of its own: write to the source meanwhile, and rows may be missed or doubled"
        );
    }
    Ok(Some(field))
}

/// The conditions of the parts; none where there is nothing to split.
///
/// # Errors
/// Extractor: a bound is no whole number.
pub(super) fn ranges(column: &str, bounds: &[Option<String>], parts: Option<usize>) -> Result<Vec<String>> {
    let [Some(least), Some(greatest)] = bounds else { return Ok(Vec::new()) };
    let number = |text: &String| {
        text.trim().parse::<i128>().map_err(|_| {
            Error::new(
                ErrorKind::Extractor,
                format!("the range of {column} has a bound that is no whole number: {text}"),
            )
        })
    };
    let (least, greatest) = (number(least)?, number(greatest)?);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cuts = parts::points(least, greatest, parts.unwrap_or(cores.min(DEFAULT_LIMIT)).max(1));
    let cuts: Vec<String> = cuts.iter().map(ToString::to_string).collect();
    Ok(parts::ranges(column, &cuts, &format!(" OR {column} IS NULL")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Dataset;

    fn bounds(least: &str, greatest: &str) -> [Option<String>; 2] {
        [Some(least.into()), Some(greatest.into())]
    }

    #[test]
    fn the_first_and_the_last_range_are_open_and_null_is_in_the_first() {
        let ranges = ranges("[n]", &bounds("1", "9"), Some(3)).unwrap();
        assert_eq!(ranges, ["([n] < 4 OR [n] IS NULL)", "([n] >= 4 AND [n] < 7)", "([n] >= 7)"]);
    }

    #[test]
    fn there_are_never_more_ranges_than_numbers() {
        assert!(ranges("n", &bounds("5", "5"), Some(4)).unwrap().is_empty());
        assert_eq!(ranges("n", &bounds("5", "6"), Some(4)).unwrap().len(), 2);
        assert!(ranges("n", &[None, None], Some(4)).unwrap().is_empty());
    }

    #[test]
    fn the_widest_range_does_not_overflow() {
        let most = "9".repeat(37);
        let ranges = ranges("n", &bounds(&format!("-{most}"), &most), Some(2)).unwrap();
        assert_eq!(ranges, ["(n < 0 OR n IS NULL)", "(n >= 0)"]);
    }

    #[test]
    fn a_column_without_ranges_is_refused() {
        let schema = DxtSchema::new(vec![DxtField::new("x", DxtType::Float64), DxtField::new("id", DxtType::Int64)]);
        let mut request = ExtractRequest::new(Dataset::Sql("SELECT 1".into()));
        assert!(field(&request, &schema).unwrap().is_none());
        request.partition_field = Some("x".into());
        assert_eq!(field(&request, &schema).unwrap_err().kind(), ErrorKind::TypeMapping);
        request.partition_field = Some("ids".into());
        assert_eq!(field(&request, &schema).unwrap_err().hint(), Some("did you mean id?"));
        request.partition_field = Some("id".into());
        assert_eq!(field(&request, &schema).unwrap().map(|f| f.name.as_str()), Some("id"));
    }
}
