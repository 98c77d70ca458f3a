//! Rows of a session as Arrow batches: for the few that loads and watermarks read. Texts are parsed as strictly as any
//! cast of dxt.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, BooleanBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::SchemaRef;
use mysql_async::{Row, Value};

use super::client::Session;
use super::error::shorten;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, DxtType};
use crate::plan::strict::cast_strict;

enum Column {
    Text(StringBuilder),
    Bool(BooleanBuilder),
    Bytes(BinaryBuilder),
}

/// Makes batches of rows that were selected as [`MysqlDialect`](super::dialect::MysqlDialect) selects their fields.
pub(super) struct Decoder {
    fields: Vec<DxtField>,
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

impl Decoder {
    pub(super) fn new(fields: &[DxtField]) -> Self {
        let fields: Vec<DxtField> = fields.iter().map(|field| field.clone().nullable(true)).collect();
        let columns = fields.iter().map(|field| match field.dtype {
            DxtType::Bool => Column::Bool(BooleanBuilder::new()),
            DxtType::Binary => Column::Bytes(BinaryBuilder::new()),
            _ => Column::Text(StringBuilder::new()),
        });
        let columns = columns.collect();
        Self { schema: DxtSchema::new(fields.clone()).to_arrow(), fields, columns, rows: 0 }
    }

    /// Rows since the last batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes a row.
    ///
    /// # Errors
    /// Validation: a value is none of its field's type.
    pub(super) fn push(&mut self, row: Row) -> Result<()> {
        let values = row.unwrap();
        if values.len() != self.fields.len() {
            let what = format!("a row has {} values, not {}", values.len(), self.fields.len());
            return Err(Error::new(ErrorKind::Validation, what));
        }
        for ((column, value), field) in self.columns.iter_mut().zip(values).zip(&self.fields) {
            let bytes = match value {
                Value::NULL => None,
                Value::Bytes(bytes) => Some(bytes),
                // Only statements with parameters give others.
                other => Some(other.as_sql(true).into_bytes()),
            };
            match column {
                Column::Bytes(all) => all.append_option(bytes),
                Column::Bool(all) => match bytes.as_deref() {
                    None => all.append_null(),
                    Some(b"0") => all.append_value(false),
                    Some(b"1") => all.append_value(true),
                    Some(other) => return Err(misfit(field, other)),
                },
                Column::Text(all) => match bytes {
                    None => all.append_null(),
                    Some(bytes) => match std::str::from_utf8(&bytes) {
                        Ok(text) => all.append_value(text),
                        Err(_) => return Err(misfit(field, &bytes)),
                    },
                },
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far as a batch.
    ///
    /// # Errors
    /// Validation: a value is none of its field's type.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter_mut().zip(&self.fields) {
            arrays.push(match column {
                Column::Bool(all) => Arc::new(all.finish()),
                Column::Bytes(all) => Arc::new(all.finish()),
                Column::Text(all) => {
                    let texts: ArrayRef = Arc::new(all.finish());
                    cast_strict(&texts, &field.dtype.to_arrow(), &field.name)?
                }
            });
        }
        self.rows = 0;
        RecordBatch::try_new(self.schema.clone(), arrays).during(ErrorKind::Validation, || "making a batch".into())
    }
}

fn misfit(field: &DxtField, bytes: &[u8]) -> Error {
    let text = shorten(&String::from_utf8_lossy(bytes));
    Error::new(ErrorKind::Validation, format!("column {}: the value {text} is not {}", field.name, field.dtype))
}

/// Runs a query of few rows to its end.
pub(super) async fn fetch(session: &mut Session, sql: &str, fields: &[DxtField], doing: &str) -> Result<RecordBatch> {
    let mut decoder = Decoder::new(fields);
    let mut rows = session.stream(sql, doing).await?;
    while let Some(row) = rows.next().await? {
        decoder.push(row)?;
    }
    decoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    #[test]
    fn an_empty_result_is_an_empty_batch_of_the_fields_types() {
        let fields = [DxtField::new("a", DxtType::Int64), DxtField::new("b", DxtType::Bool)];
        let batch = Decoder::new(&fields).finish().unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (0, 2));
        assert_eq!(batch.column(1).as_boolean().true_count(), 0);
    }
}
