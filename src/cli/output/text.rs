//! Rows for people: tables, and Markdown.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::util::pretty::pretty_format_batches_with_options;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::strict::{readable, readable_type};

/// Rows that are laid out together: a longer result comes as several tables, so that none is held as a whole.
const TABLE_ROWS: usize = 10_000;

fn unprintable(cause: datafusion::arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Pipeline, "the rows cannot be printed").with_source(cause)
}

/// The schema in which people read rows: a uuid is its text.
pub fn in_words(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = readable_type(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The rows in such a schema.
///
/// # Errors
/// Pipeline: a value cannot be printed.
pub fn worded(batch: &RecordBatch, words: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(words.fields());
    let columns = columns.map(|(column, field)| readable(column, field.name())).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(words.clone(), columns, &options).map_err(unprintable)
}

/// Tables with lines around their cells.
pub struct Table {
    words: SchemaRef,
    batches: Vec<RecordBatch>,
    held: usize,
    printed: bool,
}

impl Table {
    /// A table of rows with `schema`.
    pub fn new(schema: &SchemaRef) -> Self {
        Self { words: in_words(schema), batches: Vec::new(), held: 0, printed: false }
    }

    /// Takes rows; gives a table where there are enough.
    ///
    /// # Errors
    /// Pipeline: a value cannot be printed.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        self.held += batch.num_rows();
        self.batches.push(worded(batch, &self.words)?);
        if self.held >= TABLE_ROWS { self.print() } else { Ok(Vec::new()) }
    }

    /// The last table. A result without rows has its header.
    ///
    /// # Errors
    /// Pipeline: a value cannot be printed.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        if self.held > 0 || !self.printed { self.print() } else { Ok(Vec::new()) }
    }

    fn print(&mut self) -> Result<Vec<u8>> {
        (self.held, self.printed) = (0, true);
        let mut batches = std::mem::take(&mut self.batches);
        batches.insert(0, RecordBatch::new_empty(self.words.clone()));
        let options = FormatOptions::default().with_null("NULL");
        let text = pretty_format_batches_with_options(&batches, &options).map_err(unprintable)?;
        Ok(format!("{text}\n").into_bytes())
    }
}

/// A table as Markdown has them: no cell is padded, so that rows go as they come.
pub struct Markdown {
    words: SchemaRef,
    begun: bool,
}

impl Markdown {
    /// A table of rows with `schema`.
    pub fn new(schema: &SchemaRef) -> Self {
        Self { words: in_words(schema), begun: false }
    }

    fn header(&mut self, out: &mut String) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        out.push('|');
        for field in self.words.fields() {
            cell(field.name(), out);
        }
        out.push_str("\n|");
        for field in self.words.fields() {
            out.push_str(if field.data_type().is_numeric() { " ---: |" } else { " --- |" });
        }
        out.push('\n');
    }

    /// Takes rows, and gives their lines.
    ///
    /// # Errors
    /// Pipeline: a value cannot be printed.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut out = String::new();
        self.header(&mut out);
        let batch = worded(batch, &self.words)?;
        let options = FormatOptions::default().with_null("NULL");
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>();
        let columns = columns.map_err(unprintable)?;
        for row in 0..batch.num_rows() {
            out.push('|');
            for column in &columns {
                cell(&column.value(row).try_to_string().map_err(unprintable)?, &mut out);
            }
            out.push('\n');
        }
        Ok(out.into_bytes())
    }

    /// The header, where no rows came.
    pub fn finish(mut self) -> Vec<u8> {
        let mut out = String::new();
        self.header(&mut out);
        out.into_bytes()
    }
}

/// A cell: what would end it or its line is written otherwise.
fn cell(text: &str, out: &mut String) {
    out.push(' ');
    for c in text.chars() {
        match c {
            '|' => out.push_str("\\|"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("<br>"),
            '\r' => {}
            other => out.push(other),
        }
    }
    out.push_str(" |");
}
