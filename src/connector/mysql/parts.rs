//! How a scan is split into parts that several connections read at once: by ranges of a column.
//!
//! Parts are conditions that no row meets twice and each row meets once, whatever the values were when they were looked
//! at: the first and the last are open. Each part is read by a session of its own, which sees a state of its own: MySQL has
//! no snapshot that several sessions could share. So a scan is split only where the pipeline asks for it.

use super::client::Session;
use super::dialect::{clock, day, quote};
use super::statements::render;
use super::types::{MyType, SYSTEM};
use crate::connector::ExtractRequest;
use crate::connector::sql::parts::{points, ranges};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, nearest};

const BOUNDS: &str = include_str!("../../../sql/mysql/bounds.sql");
const DAY_SECONDS: i128 = 86_400;

/// The conditions of the parts; none where the scan is to be read as a whole.
///
/// # Errors
/// Schema: there is no column `partition_field`. Type mapping: it has no ranges.
pub(super) async fn plan(
    session: &mut Session,
    request: &ExtractRequest,
    from_sql: &str,
    schema: &DxtSchema,
) -> Result<Vec<String>> {
    let field = match &request.partition_field {
        Some(name) => Some(column(schema, name)?),
        None => schema.primary_key.first().and_then(|name| schema.field(name)),
    };
    if let (Some(_), Some(field)) = (&request.partition_field, field)
        && Cuts::of(field).is_none()
    {
        let native = field.native_in(SYSTEM).unwrap_or_default();
        let what = format!("partition_field {} is {native}, of which dxt makes no ranges", field.name);
        return Err(Error::new(ErrorKind::TypeMapping, what)
            .with_hint("take a column of an integer type, decimal, date, datetime or timestamp"));
    }
    let parts = request.partitions.unwrap_or(1);
    if parts < 2 {
        return Ok(Vec::new());
    }
    let Some((field, cuts)) = field.and_then(|field| Some((field, Cuts::of(field)?))) else {
        tracing::warn!(parts, "read by one connection: name a `partition_field` with ranges to read it by several");
        return Ok(Vec::new());
    };
    tracing::warn!(
        parts,
        "each of the parts reads a state of its own: write to the source meanwhile, and rows may be missed or doubled; \
         `partitions: 1` reads one state"
    );
    let name = quote(&field.name);
    let sql = render(BOUNDS, &[("number", &cuts.number(&name)), ("from", from_sql), ("column", &name)]);
    let (least, greatest): (Option<String>, Option<String>) =
        session.row(&sql, "planning the parts of the scan").await?;
    // The fraction of a decimal does not matter for a cut.
    let whole = |text: Option<String>| text?.split('.').next()?.parse::<i128>().ok();
    let (Some(least), Some(greatest)) = (whole(least), whole(greatest)) else { return Ok(Vec::new()) };
    let literals: Vec<String> = points(least, greatest, parts).into_iter().filter_map(|n| cuts.literal(n)).collect();
    Ok(ranges(&name, &literals, &format!(" OR {name} IS NULL")))
}

fn column<'a>(schema: &'a DxtSchema, name: &str) -> Result<&'a DxtField> {
    schema.field(name).ok_or_else(|| {
        let error = Error::new(ErrorKind::Schema, format!("the source has no column {name}, its partition_field"));
        error.with_hint(match nearest(name, &schema.names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("its columns: {}", schema.names().join(", ")),
        })
    })
}

/// How a column's values and cuts are written.
#[derive(Clone, Copy)]
enum Cuts {
    Number,
    Date,
    Moment,
}

impl Cuts {
    fn of(field: &DxtField) -> Option<Self> {
        Some(match MyType::parse(field.native_in(SYSTEM)?)? {
            MyType::Int(..) | MyType::Decimal(..) => Self::Number,
            MyType::Date => Self::Date,
            MyType::Datetime(_) | MyType::Timestamp(_) => Self::Moment,
            _ => return None,
        })
    }

    /// A value as a whole number, from 1970 on.
    fn number(self, column: &str) -> String {
        match self {
            Self::Number => column.to_string(),
            Self::Date => format!("TO_DAYS({column}) - 719528"),
            Self::Moment => format!("TO_SECONDS({column}) - 62167219200"),
        }
    }

    fn literal(self, number: i128) -> Option<String> {
        let number = match self {
            Self::Number => return Some(number.to_string()),
            Self::Date => number * DAY_SECONDS,
            Self::Moment => number,
        };
        let date = day(i64::try_from(number.div_euclid(DAY_SECONDS)).ok()?)?;
        Some(match self {
            Self::Moment => {
                let micros = i64::try_from(number.rem_euclid(DAY_SECONDS)).ok()? * 1_000_000;
                format!("TIMESTAMP'{date} {}'", clock(micros))
            }
            _ => format!("DATE'{date}'"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_range_are_open_and_a_null_is_in_the_first() {
        let cuts = [10, 20].map(|n| Cuts::Number.literal(n).unwrap());
        assert_eq!(
            ranges("`a`", &cuts, " OR `a` IS NULL"),
            ["(`a` < 10 OR `a` IS NULL)", "(`a` >= 10 AND `a` < 20)", "(`a` >= 20)"]
        );
        assert!(ranges("`a`", &[], "").is_empty());
    }

    #[test]
    fn cuts_of_dates_and_timestamps_are_literals_of_their_type() {
        assert_eq!(Cuts::Date.literal(19_782).unwrap(), "DATE'2024-02-29'");
        assert_eq!(Cuts::Moment.literal(-1).unwrap(), "TIMESTAMP'1969-12-31 23:59:59'");
        assert_eq!(Cuts::Moment.number("`a`"), "TO_SECONDS(`a`) - 62167219200");
    }
}
