//! Rows as bytes of any format, to stdout or into a file. Nothing holds a whole result.
//!
//! ```text
//! rows ─ Writer ─▶ bytes ─ Output ─▶ stdout | a file that is there when it is whole
//!         text      table, markdown
//!         encoded   csv, json, jsonl, parquet, arrow: by the encoders of file targets
//! ```

mod encoded;
mod text;
mod to;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::args::RowFormat;
use crate::connector::file::format::{Codec, Format, by_name};
use crate::error::{Error, ErrorKind, Result};
use encoded::{Array, Encoded, Stream};
use text::{Markdown, Table};
pub use text::{in_words, worded};
pub use to::Output;

/// How many rows were written, and whether a reader of stdout took them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows handed on.
    pub rows: u64,
    /// Whether the reader went away before the end, as `head` does. No error, and nobody wants more.
    pub gone: bool,
}

impl RowFormat {
    /// The format of a file's name; `None` where its extension is none of a format.
    pub fn of_name(path: &str) -> Option<Self> {
        let lower = path.to_ascii_lowercase();
        match lower.rsplit('/').next().and_then(|name| name.rsplit_once('.')) {
            Some((_, "md" | "markdown")) => Some(Self::Markdown),
            Some((_, "txt")) => Some(Self::Table),
            _ => by_name(&lower).map(|named| match named.format {
                Format::Parquet => Self::Parquet,
                Format::Csv => Self::Csv,
                // A file that dxt reads as lines is called .jsonl; .json is what other programs expect there.
                Format::Json if lower.strip_suffix(named.codec.suffix()).unwrap_or(&lower).ends_with(".json") => {
                    Self::Json
                }
                Format::Json => Self::Jsonl,
                Format::Ipc => Self::Arrow,
            }),
        }
    }

    /// Whether it is text, which a terminal can show.
    pub fn is_text(self) -> bool {
        !matches!(self, Self::Parquet | Self::Arrow)
    }

    /// Whether several results may follow each other in one stream.
    pub fn follows(self) -> bool {
        self.is_text()
    }
}

/// Writes rows to `output` until there are no more, or nobody reads them any more.
///
/// # Errors
/// Those of the rows. Schema: two columns have one name, and the format has each once. Type mapping, loader: the format
/// cannot hold a value. Loader, pipeline: the file or stdout cannot be written.
pub async fn write_rows(
    mut rows: SendableRecordBatchStream,
    format: RowFormat,
    output: &mut Output,
) -> Result<Written> {
    let mut writer = Writer::new(format, &rows.schema(), output.name())?;
    let mut written = Written { rows: 0, gone: false };
    while !written.gone {
        let Some(batch) = rows.next().await else { break };
        let batch = batch?;
        written.rows += batch.num_rows() as u64;
        written.gone = !output.write(&writer.write(&batch)?).await?;
    }
    // A reader that has gone has ended the rows, too.
    drop(rows);
    if !written.gone {
        written.gone = !output.write(&writer.finish()?).await?;
    }
    Ok(written)
}

/// Makes bytes of batches.
pub enum Writer {
    Table(Table),
    Markdown(Markdown),
    Array(Array),
    Encoded(Box<Encoded>),
    Stream(Box<Stream>),
}

impl Writer {
    /// A writer of rows with `schema`. `name` is the file's, which tells how text is compressed; `None` for stdout.
    ///
    /// # Errors
    /// Schema: two columns have one name, and the format has each once. Type mapping: it has no such type.
    pub fn new(format: RowFormat, schema: &SchemaRef, name: Option<&str>) -> Result<Self> {
        let named = name.unwrap_or_default();
        let compressed = by_name(named).is_some_and(|n| n.codec != Codec::None);
        if compressed && matches!(format, RowFormat::Table | RowFormat::Markdown) {
            let error = Error::new(ErrorKind::Configuration, format!("{named}: such text is not compressed"));
            return Err(error.with_hint("take --format csv or jsonl, or a name without the suffix"));
        }
        Ok(match format {
            RowFormat::Table => Self::Table(Table::new(schema)),
            RowFormat::Markdown => Self::Markdown(Markdown::new(schema)),
            RowFormat::Json => Self::Array(Array::new(schema, named)?),
            RowFormat::Csv => Self::Encoded(Box::new(Encoded::new(Format::Csv, schema, named)?)),
            RowFormat::Jsonl => Self::Encoded(Box::new(Encoded::new(Format::Json, schema, named)?)),
            RowFormat::Parquet => Self::Encoded(Box::new(Encoded::new(Format::Parquet, schema, named)?)),
            // A file has a footer, by which readers find its batches; a stream has none.
            RowFormat::Arrow if name.is_some() => Self::Encoded(Box::new(Encoded::new(Format::Ipc, schema, named)?)),
            RowFormat::Arrow => Self::Stream(Box::new(Stream::new(schema)?)),
        })
    }

    /// The bytes that are complete with these rows.
    ///
    /// # Errors
    /// Type mapping, loader: the format cannot hold a value.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        match self {
            Self::Table(table) => table.write(batch),
            Self::Markdown(markdown) => markdown.write(batch),
            Self::Array(array) => array.write(batch),
            Self::Encoded(encoded) => encoded.write(batch),
            Self::Stream(stream) => stream.write(batch),
        }
    }

    /// The last bytes.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Table(table) => table.finish(),
            Self::Markdown(markdown) => Ok(markdown.finish()),
            Self::Array(array) => array.finish(),
            Self::Encoded(encoded) => encoded.finish(),
            Self::Stream(stream) => stream.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::arrow::ipc::reader::StreamReader;

    use super::*;

    fn written(format: RowFormat, name: Option<&str>, batches: &[RecordBatch]) -> Vec<u8> {
        let mut writer = Writer::new(format, &batches[0].schema(), name).unwrap();
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend(writer.write(batch).unwrap());
        }
        bytes.extend(writer.finish().unwrap());
        bytes
    }

    fn rows(ids: &[i64]) -> RecordBatch {
        let names = ids.iter().map(|id| (id % 2 == 1).then(|| format!("a|{id}\nb"))).collect::<StringArray>();
        let columns: [(&str, ArrayRef); 2] =
            [("id", Arc::new(Int64Array::from(ids.to_vec()))), ("na|me", Arc::new(names))];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    fn text(format: RowFormat, batches: &[RecordBatch]) -> String {
        String::from_utf8(written(format, None, batches)).unwrap()
    }

    #[test]
    fn a_result_of_several_batches_is_one_document() {
        let batches = [rows(&[1]), rows(&[]), rows(&[2])];
        assert_eq!(text(RowFormat::Csv, &batches), "id,na|me\n1,\"a|1\nb\"\n2,\n");
        assert_eq!(text(RowFormat::Json, &batches), "[{\"id\":1,\"na|me\":\"a|1\\nb\"},{\"id\":2,\"na|me\":null}]\n");
        assert_eq!(text(RowFormat::Jsonl, &batches).lines().count(), 2);
        let markdown = "| id | na\\|me |\n| ---: | --- |\n| 1 | a\\|1<br>b |\n| 2 | NULL |\n";
        assert_eq!(text(RowFormat::Markdown, &batches), markdown);
        assert_eq!(text(RowFormat::Table, &batches).matches("na|me").count(), 1);
    }

    #[test]
    fn a_result_without_rows_is_a_whole_document() {
        let none = [rows(&[])];
        assert_eq!(text(RowFormat::Csv, &none), "id,na|me\n");
        assert_eq!(text(RowFormat::Json, &none), "[]\n");
        assert_eq!(text(RowFormat::Jsonl, &none), "");
        assert_eq!(text(RowFormat::Markdown, &none), "| id | na\\|me |\n| ---: | --- |\n");
        assert!(text(RowFormat::Table, &none).contains("| id "));
        let stream = written(RowFormat::Arrow, None, &none);
        assert_eq!(StreamReader::try_new(&stream[..], None).unwrap().count(), 0);
    }

    #[test]
    fn arrow_is_a_stream_to_stdout_and_a_file_in_a_file() {
        let batches = [rows(&[1, 2]), rows(&[3])];
        let stream = written(RowFormat::Arrow, None, &batches);
        let reader = StreamReader::try_new(&stream[..], None).unwrap();
        assert_eq!(reader.map(|b| b.unwrap().num_rows()).sum::<usize>(), 3);
        assert!(written(RowFormat::Arrow, Some("x.arrow"), &batches).starts_with(b"ARROW1"));
        assert!(written(RowFormat::Parquet, None, &batches).starts_with(b"PAR1"));
    }

    #[test]
    fn names_tell_formats_and_compression() {
        for (name, format) in [
            ("a/b.PARQUET", Some(RowFormat::Parquet)),
            ("x.csv.gz", Some(RowFormat::Csv)),
            ("x.tsv", Some(RowFormat::Csv)),
            ("x.json", Some(RowFormat::Json)),
            ("x.json.zst", Some(RowFormat::Json)),
            ("x.ndjson", Some(RowFormat::Jsonl)),
            ("x.feather", Some(RowFormat::Arrow)),
            ("x.md", Some(RowFormat::Markdown)),
            ("x.txt", Some(RowFormat::Table)),
            ("x.xlsx", None),
            ("x", None),
        ] {
            assert_eq!(RowFormat::of_name(name), format, "{name}");
        }
        let packed = written(RowFormat::Json, Some("x.json.zst"), &[rows(&[2])]);
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), b"[{\"id\":2,\"na|me\":null}]\n");
        assert_eq!(written(RowFormat::Csv, Some("x.tsv"), &[rows(&[2])]), b"id\tna|me\n2\t\n");
    }

    #[test]
    fn objects_have_each_name_once() {
        let twice = RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![2])) as ArrayRef),
        ])
        .unwrap();
        for format in [RowFormat::Json, RowFormat::Jsonl, RowFormat::Parquet] {
            let error = Writer::new(format, &twice.schema(), None).err().unwrap();
            assert!(error.to_string().contains("two columns are called n"), "{error}");
        }
        assert_eq!(text(RowFormat::Csv, std::slice::from_ref(&twice)), "n,n\n1,2\n");
    }
}
