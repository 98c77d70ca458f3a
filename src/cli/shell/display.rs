//! Rows as people and programs read them. Nothing holds a whole result: a long table comes in blocks.

use comfy_table::{Cell, CellAlignment, Table};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use crate::cli::args::RowFormat;
use crate::cli::output::{Writer, in_words, worded};
use crate::error::{Error, ErrorKind, Result};

/// Rows of a block at most, and the bytes of text at which it ends.
const BLOCK_ROWS: usize = 10_000;
const BLOCK_BYTES: usize = 4 << 20;

/// How rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    pub format: RowFormat,
    /// Each row as a record with one line for each column; of tables only.
    pub expanded: bool,
}

/// The rows of one statement on their way to its output.
struct Rows<'a> {
    rows: SendableRecordBatchStream,
    out: &'a mut Output,
    cancel: &'a CancellationToken,
    count: u64,
}

impl Rows<'_> {
    /// The next rows; none where all have come, or nobody reads them any more.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let batch = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(interrupted()),
            () = self.out.gone() => return Ok(None),
            batch = self.rows.next() => batch.transpose()?,
        };
        self.count += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        Ok(batch)
    }
}

/// The error of a statement that was ended by a signal.
pub fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "the statement was interrupted")
}

/// Writes all rows, until they end, `cancel` is, or nobody reads them any more.
///
/// # Errors
/// Interrupted; what the plan says; Pipeline: they cannot be written. Schema: JSON with two columns of one name.
pub async fn show(
    rows: SendableRecordBatchStream,
    view: View,
    out: &mut Output,
    cancel: &CancellationToken,
) -> Result<()> {
    let schema = rows.schema();
    let mut rows = Rows { rows, out, cancel, count: 0 };
    match view.format {
        RowFormat::Table if view.expanded => expanded(&mut rows).await,
        RowFormat::Table => table(&mut rows, &in_words(&schema)).await,
        format => written(&mut rows, format, &schema).await,
    }
}

fn unformatted(error: datafusion::arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Pipeline, "the rows cannot be written").with_source(error)
}

/// As `dxt query` writes them.
async fn written(rows: &mut Rows<'_>, format: RowFormat, schema: &SchemaRef) -> Result<()> {
    if !format.is_text() && !rows.out.is_file() {
        let error = Error::new(ErrorKind::Configuration, "a terminal cannot show Parquet and Arrow");
        return Err(error.with_hint("send them to a file by \\o FILE"));
    }
    let mut writer = Writer::new(format, schema, None)?;
    while let Some(batch) = rows.next().await? {
        rows.out.text(&writer.write(&batch)?)?;
    }
    rows.out.text(&writer.finish()?)
}

/// What a statement without rows has done.
///
/// # Errors
/// Pipeline: it cannot be written.
pub fn say(what: &str, out: &mut Output) -> Result<()> {
    out.text(format!("{}\n", readable(what)).as_bytes())
}

/// A table for each block, and the count of all rows.
async fn table(rows: &mut Rows<'_>, schema: &SchemaRef) -> Result<()> {
    let (mut block, mut printed) = (Block::new(schema), false);
    while let Some(batch) = rows.next().await? {
        let batch = worded(&batch, schema)?;
        let columns = formatters(&batch)?;
        for row in 0..batch.num_rows() {
            block.row(columns.iter().map(|column| cell(column, row)).collect::<Result<Vec<_>>>()?);
            if block.rows >= BLOCK_ROWS || block.bytes >= BLOCK_BYTES {
                rows.out.text(block.text(schema).as_bytes())?;
                (block, printed) = (Block::new(schema), true);
            }
        }
    }
    if block.rows > 0 || !printed {
        rows.out.text(block.text(schema).as_bytes())?;
    }
    rows.out.text(format!("{}\n", counted(rows.count)).as_bytes())
}

/// `(1 row)`, as psql says it.
fn counted(rows: u64) -> String {
    if rows == 1 { "(1 row)".into() } else { format!("({rows} rows)") }
}

/// Rows that are laid out together, with lines around the cells.
struct Block {
    table: Table,
    rows: usize,
    /// Of the cells' text.
    bytes: usize,
}

impl Block {
    fn new(schema: &Schema) -> Self {
        let mut table = Table::new();
        // As `dxt query` prints tables.
        table.load_preset("||--+-++|    ++++++");
        table.set_header(schema.fields().iter().map(|field| Cell::new(readable(field.name()))));
        Self { table, rows: 0, bytes: 0 }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows += 1;
        self.bytes += cells.iter().map(String::len).sum::<usize>();
        self.table.add_row(cells);
    }

    /// The table. Numbers stand to the right.
    fn text(mut self, schema: &Schema) -> String {
        for (column, field) in self.table.column_iter_mut().zip(schema.fields()) {
            if field.data_type().is_numeric() {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!("{}\n", self.table)
    }
}

fn formatters(batch: &RecordBatch) -> Result<Vec<ArrayFormatter<'_>>> {
    const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_null("NULL");
    let formatter = |column| ArrayFormatter::try_new(column, &OPTIONS).map_err(unformatted);
    batch.columns().iter().map(|column| formatter(column.as_ref())).collect()
}

fn cell(column: &ArrayFormatter<'_>, row: usize) -> Result<String> {
    column.value(row).try_to_string().map(|text| readable(&text)).map_err(unformatted)
}

/// A text that the terminal prints and does not obey: control characters are written as `\x1B`. Lines stay lines.
pub fn readable(text: &str) -> String {
    // Most are plain, and looked through fast.
    let plain = |byte: &u8| (0x20..0x7f).contains(byte) || *byte == b'\n';
    if text.as_bytes().iter().all(plain) || !text.chars().any(|c| c.is_control() && c != '\n') {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("        "),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Each row as lines of `column | value`.
async fn expanded(rows: &mut Rows<'_>) -> Result<()> {
    let mut record = 0_u64;
    while let Some(batch) = rows.next().await? {
        let schema = in_words(&batch.schema());
        let batch = worded(&batch, &schema)?;
        let names: Vec<String> = schema.fields().iter().map(|f| readable(f.name()).replace('\n', "\\n")).collect();
        let width = names.iter().map(|name| console::measure_text_width(name)).max().unwrap_or(0);
        let columns = formatters(&batch)?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            record += 1;
            let head = format!("-[ RECORD {record} ]");
            text += &format!("{head}{}\n", "-".repeat((width + 12).saturating_sub(head.len())));
            for (name, column) in names.iter().zip(&columns) {
                let value = cell(column, row)?;
                let mut lines = value.split('\n');
                let pad = " ".repeat(width - console::measure_text_width(name));
                text += format!("{name}{pad} | {}", lines.next().unwrap_or_default()).trim_end();
                text.push('\n');
                for line in lines {
                    text += format!("{} | {line}", " ".repeat(width)).trim_end();
                    text.push('\n');
                }
            }
            // A batch of rows with long texts is not held a second time as a whole.
            if text.len() >= BLOCK_BYTES {
                rows.out.text(text.as_bytes())?;
                text.clear();
            }
        }
        rows.out.text(text.as_bytes())?;
    }
    rows.out.text(format!("{}\n", counted(rows.count)).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use super::*;

    fn batch() -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(200), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a\u{1b}[31m", "two\nlines", "ü"]));
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap()
    }

    async fn shown(format: RowFormat, expanded: bool, batches: Vec<RecordBatch>) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let file = std::fs::File::create(&path).unwrap();
        let mut out = Output::file(&file, &path)?;
        let rows = futures::stream::iter(batches.into_iter().map(Ok));
        let rows = Box::pin(RecordBatchStreamAdapter::new(batch().schema(), rows));
        show(rows, View { format, expanded }, &mut out, &CancellationToken::new()).await?;
        out.end()?;
        Ok(std::fs::read_to_string(&path).unwrap())
    }

    #[tokio::test]
    async fn a_table_has_numbers_to_the_right_no_control_characters_and_a_count() {
        assert_eq!(
            shown(RowFormat::Table, false, vec![batch()]).await.unwrap(),
            "+------+-----------+\n\
             |   id | name      |\n\
             +------+-----------+\n\
             |    1 | a\\x1B[31m |\n\
             |  200 | two       |\n\
             |      | lines     |\n\
             | NULL | ü         |\n\
             +------+-----------+\n\
             (3 rows)\n"
        );
        let none = shown(RowFormat::Table, false, vec![]).await.unwrap();
        assert_eq!(none, "+----+------+\n| id | name |\n+----+------+\n+----+------+\n(0 rows)\n");
    }

    #[tokio::test]
    async fn expanded_rows_have_a_line_for_each_column() {
        assert_eq!(
            shown(RowFormat::Table, true, vec![batch().slice(0, 1), batch().slice(1, 1)]).await.unwrap(),
            "-[ RECORD 1 ]---\n\
             id   | 1\n\
             name | a\\x1B[31m\n\
             -[ RECORD 2 ]---\n\
             id   | 200\n\
             name | two\n     \
             | lines\n\
             (2 rows)\n"
        );
    }

    #[tokio::test]
    async fn programs_get_the_rows_and_nothing_else() {
        let two = || vec![batch().slice(2, 1), batch().slice(2, 1)];
        assert_eq!(shown(RowFormat::Csv, false, two()).await.unwrap(), "id,name\n,ü\n,ü\n");
        assert_eq!(shown(RowFormat::Csv, true, vec![]).await.unwrap(), "id,name\n");
        let object = "{\"id\":null,\"name\":\"ü\"}";
        assert_eq!(shown(RowFormat::Json, false, two()).await.unwrap(), format!("[{object},{object}]\n"));
        assert_eq!(shown(RowFormat::Json, false, vec![]).await.unwrap(), "[]\n");
        assert_eq!(shown(RowFormat::Jsonl, false, two()).await.unwrap(), format!("{object}\n{object}\n"));
    }

    #[tokio::test]
    async fn a_long_result_comes_in_blocks() {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..BLOCK_ROWS as i64));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..BLOCK_ROWS).map(|_| "x")));
        let full = RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap();
        let text = shown(RowFormat::Table, false, vec![full.clone(), full]).await.unwrap();
        assert_eq!(text.matches("| name |").count(), 2);
        assert!(text.ends_with("(20000 rows)\n"));
    }
}
