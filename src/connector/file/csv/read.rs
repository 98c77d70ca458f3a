//! Reads CSV files: their columns and types in a first pass, their rows in a second.

use bytes::Bytes;
use futures::FutureExt;

use super::blocks;
use super::infer::Guess;
use super::records::{Malformed, Record, Splitter};
use crate::connector::file::columns::{Columns, readable};
use crate::connector::file::exec::Output;
use crate::connector::file::format::{Codec, Dialect};
use crate::connector::file::input::Input;
use crate::connector::file::listing::SourceFile;
use crate::connector::file::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType};

/// A CSV file behind its header, or a block of one.
pub(super) struct Records {
    /// What comes behind the chunk; nothing for a block.
    pub(super) input: Option<Input>,
    pub(super) splitter: Splitter,
    pub(super) chunk: Bytes,
    pub(super) shown: String,
    pub(super) names: Vec<String>,
    /// The first line of data of a file without a header, which has been read for its width.
    pub(super) held: bool,
    ended: bool,
}

impl Records {
    async fn open(store: &Store, file: &SourceFile, codec: Codec, dialect: &Dialect) -> Result<Self> {
        let mut records = Self {
            input: Some(Input::open(store, file, codec).await?),
            splitter: Splitter::new(dialect),
            chunk: Bytes::new(),
            shown: file.shown.to_string(),
            names: Vec::new(),
            held: false,
            ended: false,
        };
        if !records.advance().await? {
            let error = Error::new(ErrorKind::Schema, format!("{} is empty: it has no header", records.shown));
            return Err(error.with_hint("an empty table is a file with a header alone"));
        }
        if dialect.header {
            records.names = records.header()?;
        } else {
            records.names = (1..=records.splitter.record().len()).map(|i| format!("column_{i}")).collect();
            records.held = true;
        }
        Ok(records)
    }

    fn header(&self) -> Result<Vec<String>> {
        let record = self.splitter.record();
        let wrong = |message: String, hint: &str| {
            Error::new(ErrorKind::Schema, format!("{}:{}: {message}", self.shown, record.line)).with_hint(hint)
        };
        let mut names: Vec<String> = Vec::with_capacity(record.len());
        for index in 0..record.len() {
            let name = std::str::from_utf8(record.field(index).0)
                .map_err(|_| wrong("the header is not UTF-8".into(), "convert the file, with iconv for example"))?;
            if name.is_empty() {
                return Err(wrong(
                    format!("column {} has no name", index + 1),
                    "name it in the file, or read the file without a header: `options: {header: false}`",
                ));
            }
            if names.iter().any(|known| known == name) {
                return Err(wrong(format!("two columns are called {name}"), "rename one of them in the file"));
            }
            names.push(name.to_string());
        }
        Ok(names)
    }

    /// Goes to the next record, blank lines included.
    async fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(complete) = self.split()? {
                return Ok(complete);
            }
            match &mut self.input {
                Some(input) => match input.next().await? {
                    Some(chunk) => self.chunk = chunk,
                    None => self.input = None,
                },
                None => return self.end(),
            }
        }
    }

    /// The next record of what is there; `None` where more is needed.
    fn split(&mut self) -> Result<Option<bool>> {
        if self.ended {
            return Ok(Some(false));
        }
        let (taken, complete) = self.splitter.push(&self.chunk).map_err(|e| malformed(&self.shown, e))?;
        let _ = self.chunk.split_to(taken);
        Ok(complete.then_some(true))
    }

    fn end(&mut self) -> Result<bool> {
        self.ended = true;
        self.splitter.finish().map_err(|e| malformed(&self.shown, e))
    }

    /// A part of the file that begins at a record.
    pub(super) fn block(dialect: &Dialect, shown: &str, names: Vec<String>, chunk: Bytes, line: u64) -> Self {
        let splitter = Splitter::at_line(dialect, line);
        Self { input: None, splitter, chunk, shown: shown.to_string(), names, held: false, ended: false }
    }

    /// The next row of a block, as [`Records::next`].
    pub(super) fn next_of_block(&mut self) -> Result<bool> {
        // Nothing is waited for where there is no input.
        self.next().now_or_never().unwrap_or(Ok(false))
    }

    /// Goes to the next row of data. Blank lines may end a file of several columns; in a file of one they are NULLs.
    async fn next(&mut self) -> Result<bool> {
        let width = self.names.len();
        if std::mem::take(&mut self.held) {
            return Ok(true);
        }
        let mut blank = None;
        while self.advance().await? {
            let record = self.splitter.record();
            if record.is_blank() && width > 1 {
                blank.get_or_insert(record.line);
                continue;
            }
            let wrong = match blank {
                Some(line) => Some((line, 1)),
                None => (record.len() != width).then_some((record.line, record.len())),
            };
            return match wrong {
                None => Ok(true),
                Some((line, fields)) => Err(Error::new(
                    ErrorKind::Extractor,
                    format!("{}:{line}: number of fields is {fields}, of columns {width}", self.shown),
                )
                .with_hint("a field with a delimiter or line end needs quotes; or `delimiter` is another")),
            };
        }
        Ok(false)
    }

    pub(super) fn record(&self) -> &Record {
        self.splitter.record()
    }
}

fn malformed(shown: &str, fault: Malformed) -> Error {
    Error::new(ErrorKind::Extractor, format!("{shown}:{}: {}", fault.line, fault.what)).with_hint(fault.hint)
}

/// A field's text; `None` where it stands for NULL.
pub(super) fn value<'a>(record: &'a Record, index: usize, dialect: &Dialect) -> Option<&'a [u8]> {
    let (text, quoted) = record.field(index);
    (quoted || text != dialect.null.as_bytes()).then_some(text)
}

/// The columns of files in the order in which they first appear. Types that are declared are taken as they are; the
/// others are inferred over all rows, or without `infer` string.
///
/// # Errors
/// Schema: no header, a name twice. Extractor: the text is not CSV. Type mapping: a declared type is nested.
pub async fn schema(
    store: &Store,
    files: &[(SourceFile, Codec)],
    dialect: &Dialect,
    declared: &[(String, DxtType)],
    infer: bool,
) -> Result<DxtSchema> {
    let mut columns: Vec<(String, Option<DxtType>, Guess)> = Vec::new();
    for (file, codec) in files {
        let records = Records::open(store, file, *codec, dialect).await?;
        let mut places = Vec::with_capacity(records.names.len());
        for name in &records.names {
            let known = columns.iter().position(|(n, _, _)| n == name);
            places.push(known.unwrap_or(columns.len()));
            if known.is_none() {
                let dtype = declared.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
                let dtype = dtype.or((!infer).then_some(DxtType::String));
                if let Some(dtype) = &dtype {
                    readable(name, dtype)?;
                }
                columns.push((name.clone(), dtype, Guess::default()));
            }
        }
        let open: Vec<(usize, usize)> =
            places.into_iter().enumerate().filter(|(_, place)| columns[*place].1.is_none()).collect();
        if open.is_empty() {
            continue;
        }
        let guesses = blocks::guesses(records, dialect, open.iter().map(|(index, _)| *index).collect()).await?;
        for ((_, place), guess) in open.iter().zip(&guesses) {
            columns[*place].2.merge(guess);
        }
    }
    let fields = columns.into_iter().map(|(name, dtype, guess)| {
        let dtype = dtype.unwrap_or_else(|| guess.dtype());
        DxtField::new(name, dtype)
    });
    Ok(DxtSchema::new(fields.collect()))
}

/// Reads the rows of one file; a field that the file does not have is NULL. `false` where no more rows are wanted.
///
/// # Errors
/// Extractor: the text is not CSV. Validation: a value is not of its column's type.
pub async fn rows(
    store: &Store,
    (file, codec): &(SourceFile, Codec),
    dialect: &Dialect,
    fields: &[DxtField],
    out: &mut Output,
) -> Result<bool> {
    let mut records = Records::open(store, file, *codec, dialect).await?;
    let places: Vec<Option<usize>> =
        fields.iter().map(|f| records.names.iter().position(|name| *name == f.name)).collect();
    let mut columns = Columns::new(fields, out.batch_size())?;
    while records.next().await? {
        let record = records.record();
        for (column, place) in places.iter().enumerate() {
            let text = place.and_then(|index| value(record, index, dialect));
            columns.push(column, text, || format!("{}:{}", records.shown, record.line))?;
        }
        if columns.end_row()
            && let Some(batch) = columns.take()?
            && !out.send(batch).await
        {
            return Ok(false);
        }
    }
    match columns.take()? {
        Some(batch) => Ok(out.send(batch).await),
        None => Ok(true),
    }
}
