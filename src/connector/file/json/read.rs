//! Reads JSON lines: the columns and their types in a first pass, the rows in a second.
//!
//! Whole numbers are int64, or uint64 where one needs it; numbers are float64 where each is the number that its float
//! prints; objects and arrays are json, and so is a column that mixes them with others. Any other mixture, and numbers
//! that no such type holds exactly, are string, as they are written.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;

use super::lines::{Value, members};
use crate::connector::file::columns::{Columns, readable};
use crate::connector::file::exec::Output;
use crate::connector::file::format::Codec;
use crate::connector::file::input::Input;
use crate::connector::file::listing::SourceFile;
use crate::connector::file::store::Store;
use crate::connector::file::{parse, text};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType};

/// A longer line is taken for a file that is not JSON lines: memory stays bounded.
const MAX_LINE: usize = 64 << 20;

/// The lines of a file that are not blank.
struct Lines {
    input: Input,
    chunk: Bytes,
    line: Vec<u8>,
    number: u64,
    shown: String,
}

impl Lines {
    async fn open(store: &Store, file: &SourceFile, codec: Codec) -> Result<Self> {
        let input = Input::open(store, file, codec).await?;
        Ok(Self { input, chunk: Bytes::new(), line: Vec::new(), number: 0, shown: file.shown.to_string() })
    }

    async fn next(&mut self) -> Result<bool> {
        self.line.clear();
        loop {
            if self.chunk.is_empty() {
                match self.input.next().await? {
                    Some(chunk) => self.chunk = chunk,
                    None => {
                        self.number += 1;
                        return Ok(!self.line.trim_ascii().is_empty());
                    }
                }
            }
            let end = memchr::memchr(b'\n', &self.chunk);
            let part = self.chunk.split_to(end.map_or(self.chunk.len(), |at| at + 1));
            self.line.extend_from_slice(&part);
            if self.line.len() > MAX_LINE {
                return Err(self.fault("the line has more than 64 MB"));
            }
            if end.is_none() {
                continue;
            }
            self.number += 1;
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
            self.line.clear();
        }
    }

    fn members(&self) -> Result<Vec<(Cow<'_, str>, Value<'_>)>> {
        let mark = b"\xef\xbb\xbf";
        let line = self.line.strip_prefix(mark).filter(|_| self.number == 1).unwrap_or(&self.line);
        members(line).map_err(|what| self.fault(&what))
    }

    fn place(&self) -> String {
        format!("{}:{}", self.shown, self.number)
    }

    fn fault(&self, what: &str) -> Error {
        Error::new(ErrorKind::Extractor, format!("{}: {what}", self.place()))
            .with_hint("dxt reads JSON lines, one object a line; `jq -c .` or, for an array, `jq -c '.[]'` makes them")
    }
}

#[derive(Debug, Clone)]
struct Guess {
    numbers: bool,
    strings: bool,
    bools: bool,
    nested: bool,
    int64: bool,
    uint64: bool,
    float: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self { numbers: false, strings: false, bools: false, nested: false, int64: true, uint64: true, float: true }
    }
}

impl Guess {
    fn push(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.bools = true,
            Value::String(..) => self.strings = true,
            Value::Nested(_) => self.nested = true,
            Value::Number(raw) => {
                let raw = raw.as_bytes();
                let whole = !raw.iter().any(|b| matches!(b, b'.' | b'e' | b'E'));
                self.numbers = true;
                self.int64 = self.int64 && whole && parse::int::<i64>(raw).is_ok();
                self.uint64 = self.uint64 && whole && parse::int::<u64>(raw).is_ok();
                self.float = self.float && is_float(raw);
            }
        }
    }

    fn dtype(&self) -> DxtType {
        match (self.numbers, self.strings, self.bools) {
            _ if self.nested => DxtType::Json,
            (true, false, false) if self.int64 => DxtType::Int64,
            (true, false, false) if self.uint64 => DxtType::Uint64,
            (true, false, false) if self.float => DxtType::Float64,
            (false, false, true) => DxtType::Bool,
            _ => DxtType::String,
        }
    }
}

fn is_float(raw: &[u8]) -> bool {
    let Ok(value) = parse::float64(raw) else { return false };
    let mut shortest = Vec::with_capacity(24);
    text::float64(value, &mut shortest);
    shortest == raw || parse::same_number(&shortest, raw)
}

/// The text of a value in a column of this type; `None` for NULL.
fn column_text<'a>(value: &'a Value<'_>, dtype: &DxtType) -> Option<&'a [u8]> {
    match (value, dtype) {
        (Value::Null, _) => None,
        (Value::String(_, raw), DxtType::Json) => Some(raw.as_bytes()),
        (Value::String(plain, _), _) => Some(plain.as_bytes()),
        (other, _) => Some(other.raw().as_bytes()),
    }
}

/// The columns of files in the order in which they first appear. Types that are declared are taken as they are. Files
/// without a line have the declared columns; without those, none.
///
/// # Errors
/// Extractor: a line is no JSON object. Schema: a key twice in an object. Type mapping: a declared type is nested.
pub async fn schema(store: &Store, files: &[(SourceFile, Codec)], declared: &[(String, DxtType)]) -> Result<DxtSchema> {
    let mut columns: Vec<(String, Guess)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (file, codec) in files {
        let mut lines = Lines::open(store, file, *codec).await?;
        while lines.next().await? {
            let members = lines.members()?;
            for (index, (key, value)) in members.iter().enumerate() {
                // Lines mostly have their keys in the columns' order: look there before asking the map.
                let place = match columns.get(index) {
                    Some((name, _)) if *name == **key => index,
                    _ => match places.get(key.as_ref()) {
                        Some(place) => *place,
                        None => {
                            columns.push((key.to_string(), Guess::default()));
                            places.insert(key.to_string(), columns.len() - 1);
                            columns.len() - 1
                        }
                    },
                };
                columns[place].1.push(value);
            }
            check_keys(&members).map_err(|key| lines.fault(&format!("key {key} is there twice")))?;
        }
    }
    let type_of = |name: &str| declared.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
    let mut fields: Vec<DxtField> = Vec::with_capacity(columns.len());
    for (name, guess) in columns {
        let dtype = type_of(&name);
        if let Some(dtype) = &dtype {
            readable(&name, dtype)?;
        }
        fields.push(DxtField::new(name, dtype.unwrap_or_else(|| guess.dtype())));
    }
    if fields.is_empty() {
        fields = declared.iter().map(|(name, dtype)| DxtField::new(name, dtype.clone())).collect();
    }
    Ok(DxtSchema::new(fields))
}

/// Checks that no key is there twice.
fn check_keys<'a>(members: &'a [(Cow<'_, str>, Value<'_>)]) -> Result<(), &'a str> {
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(pair[0]),
        None => Ok(()),
    }
}

/// Reads the rows of one file; a member that a line does not have is NULL. `false` where no more rows are wanted.
///
/// # Errors
/// Extractor: a line is no JSON object. Validation: a value is not of its column's type.
pub async fn rows(
    store: &Store,
    (file, codec): &(SourceFile, Codec),
    fields: &[DxtField],
    out: &mut Output,
) -> Result<bool> {
    let mut lines = Lines::open(store, file, *codec).await?;
    let mut columns = Columns::new(fields, out.batch_size())?;
    while lines.next().await? {
        let members = lines.members()?;
        check_keys(&members).map_err(|key| lines.fault(&format!("key {key} is there twice")))?;
        let mut next = 0;
        for (column, field) in fields.iter().enumerate() {
            let found = match members.get(next) {
                Some((key, _)) if *key == field.name => Some(next),
                _ => members.iter().position(|(key, _)| *key == field.name),
            };
            next = found.map_or(next, |at| at + 1);
            let text = found.and_then(|at| column_text(&members[at].1, &field.dtype));
            columns.push(column, text, || lines.place())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> String {
        let mut guess = Guess::default();
        for value in values {
            let line = format!("{{\"x\":{value}}}");
            guess.push(&members(line.as_bytes()).unwrap()[0].1);
        }
        guess.dtype().to_string()
    }

    #[test]
    fn types_hold_every_value_exactly() {
        assert_eq!(guess(&["1", "null", "-9223372036854775808"]), "int64");
        assert_eq!(guess(&["1", "18446744073709551615"]), "uint64");
        assert_eq!(guess(&["-1", "18446744073709551615"]), "string");
        assert_eq!(guess(&["1", "1.50", "1e300"]), "float64");
        assert_eq!(guess(&["9007199254740993", "0.5"]), "string");
        assert_eq!(guess(&["1.0"]), "float64");
        assert_eq!(guess(&["0.12345678901234567890"]), "string");
        assert_eq!(guess(&["1", "\"1\""]), "string");
        assert_eq!(guess(&["true", "null"]), "bool");
        assert_eq!(guess(&["[1]", "{}"]), "json");
        assert_eq!(guess(&["[1]", "1", "\"x\""]), "json");
        assert_eq!(guess(&["null"]), "string");
    }

    #[test]
    fn json_columns_keep_strings_as_they_are_written() {
        let members = members(br#"{"a":"x\n"}"#).unwrap();
        assert_eq!(column_text(&members[0].1, &DxtType::Json), Some(&br#""x\n""#[..]));
        assert_eq!(column_text(&members[0].1, &DxtType::String), Some(&b"x\n"[..]));
    }

    #[test]
    fn a_key_twice_is_found() {
        assert_eq!(check_keys(&members(br#"{"a":1,"b":2,"a":3}"#).unwrap()), Err("a"));
    }
}
