//! Writes CSV that reads back as it was: NULL and empty text stay apart, numbers and times keep their digits.

use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use crate::connector::file::format::Dialect;
use crate::connector::file::json::write::value_writer;
use crate::connector::file::text::{Texts, texts};
use crate::error::{Error, ErrorKind, Result};
use crate::model::DxtField;

/// Writes the header.
///
/// # Errors
/// Loader: the dialect cannot hold a name.
pub fn header(fields: &[DxtField], dialect: &Dialect, out: &mut Vec<u8>) -> Result<()> {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(dialect.delimiter);
        }
        // A name is never NULL, but must not look so: a lone empty line would be no header.
        write_text(field.name.as_bytes(), dialect, out).map_err(|e| e.context(format!("column {}", field.name)))?;
    }
    out.push(b'\n');
    Ok(())
}

/// Writes a batch's rows.
///
/// # Errors
/// Loader: the dialect or JSON cannot hold a value. Type mapping: a column has no text form.
pub fn rows(batch: &RecordBatch, fields: &[DxtField], dialect: &Dialect, out: &mut Vec<u8>) -> Result<()> {
    let columns = batch.columns().iter().zip(fields).map(|(array, field)| {
        let nested = matches!(array.data_type(), DataType::List(_) | DataType::Struct(_));
        let texts = match nested {
            true => Ok(Texts { bare: false, write: value_writer(&field.dtype, array)? }),
            false => texts(array),
        };
        texts.map_err(|e| e.context(format!("column {}", field.name)))
    });
    let columns: Vec<Texts<'_>> = columns.collect::<Result<_>>()?;
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(dialect.delimiter);
            }
            if batch.column(index).is_null(row) {
                out.extend_from_slice(dialect.null.as_bytes());
                continue;
            }
            text.clear();
            let written = (column.write)(row, &mut text).and_then(|()| write_text(&text, dialect, out));
            written.map_err(|e| e.context(format!("column {}", fields[index].name)))?;
        }
        out.push(b'\n');
    }
    Ok(())
}

/// A field's text, in quotes where it would be read otherwise: it holds a delimiter, quote or line end, begins or ends
/// with a blank (other readers trim those), or looks like NULL.
fn write_text(text: &[u8], dialect: &Dialect, out: &mut Vec<u8>) -> Result<()> {
    let special = |b: &u8| *b == dialect.delimiter || *b == b'\n' || *b == b'\r';
    let blank = |b: Option<&u8>| b.is_some_and(|b| *b == b' ' || *b == b'\t');
    let must = text.is_empty()
        || text == dialect.null.as_bytes()
        || text.starts_with(b"\xef\xbb\xbf")
        || text.iter().any(|b| special(b) || Some(*b) == dialect.quote);
    let Some(quote) = dialect.quote else {
        // Without quotes a text may begin with a blank, and be empty where NULL has a text of its own.
        let null = text == dialect.null.as_bytes();
        return match null || text.iter().any(special) {
            false => {
                out.extend_from_slice(text);
                Ok(())
            }
            true => Err(Error::new(ErrorKind::Loader, "a value needs quotes, and `quote: none` allows none")
                .with_hint("leave the option `quote` out, or set `null` to a text that no value has")),
        };
    };
    if !must && !blank(text.first()) && !blank(text.last()) {
        out.extend_from_slice(text);
        return Ok(());
    }
    out.push(quote);
    let mut rest = text;
    while let Some(at) = memchr::memchr(quote, rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(quote);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(quote);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::super::records::Splitter;
    use super::*;
    use crate::model::{DxtSchema, DxtType};

    fn batch(columns: &[Vec<Option<String>>]) -> (RecordBatch, Vec<DxtField>) {
        let fields: Vec<DxtField> =
            (0..columns.len()).map(|i| DxtField::new(format!("c{i}"), DxtType::String)).collect();
        let arrays = columns.iter().map(|c| Arc::new(StringArray::from(c.clone())) as ArrayRef).collect();
        (RecordBatch::try_new(DxtSchema::new(fields.clone()).to_arrow(), arrays).unwrap(), fields)
    }

    fn read(mut text: &[u8], chunk: usize, dialect: &Dialect) -> Vec<Vec<Option<String>>> {
        let mut splitter = Splitter::new(dialect);
        let mut rows = Vec::new();
        while !text.is_empty() {
            let (taken, complete) = splitter.push(&text[..chunk.min(text.len())]).unwrap();
            text = &text[taken..];
            if complete {
                let record = splitter.record();
                let field = |i| {
                    let (text, quoted) = record.field(i);
                    let null = !quoted && text == dialect.null.as_bytes();
                    (!null).then(|| String::from_utf8(text.to_vec()).unwrap())
                };
                rows.push((0..record.len()).map(field).collect());
            }
        }
        assert!(!splitter.finish().unwrap(), "the last line has its end");
        rows
    }

    proptest! {
        #[test]
        fn any_table_of_texts_reads_back_the_same(
            table in (1usize..4).prop_flat_map(|width| {
                prop::collection::vec(prop::collection::vec(prop::option::of("[a,;\"'\n\r\t\\\\N日 ]{0,6}"), width), 0..12)
            }),
            chunk in 1usize..9,
            null in prop::sample::select(vec!["", "N", "\\N"]),
            delimiter in prop::sample::select(vec![b',', b';', b'\t']),
        ) {
            let width = table.first().map_or(1, Vec::len);
            let columns: Vec<Vec<Option<String>>> =
                (0..width).map(|c| table.iter().map(|row| row[c].clone()).collect()).collect();
            let dialect = Dialect { null: null.into(), delimiter, ..Dialect::default() };
            let (batch, fields) = batch(&columns);
            let mut out = Vec::new();
            rows(&batch, &fields, &dialect, &mut out).unwrap();
            prop_assert_eq!(read(&out, chunk, &dialect), table);
        }
    }

    #[test]
    fn typed_values_have_their_exact_texts() {
        let fields = vec![
            DxtField::new("d", DxtType::Decimal { precision: 10, scale: 2 }),
            DxtField::new("f", DxtType::Float64),
            DxtField::new("t", DxtType::TimestampTz { precision: 6 }),
            DxtField::new("s", DxtType::String),
        ];
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(10, 2).unwrap()),
            Arc::new(Float64Array::from(vec![Some(0.1), None])),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![Some(""), None])),
        ];
        let batch = RecordBatch::try_new(DxtSchema::new(fields.clone()).to_arrow(), arrays).unwrap();
        let mut out = Vec::new();
        header(&fields, &Dialect::default(), &mut out).unwrap();
        rows(&batch, &fields, &Dialect::default(), &mut out).unwrap();
        let expected = "d,f,t,s\n12.50,0.1,1970-01-01 00:00:00.000001+00:00,\"\"\n,,,\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn without_quotes_what_needs_them_is_an_error() {
        let dialect = Dialect { quote: None, ..Dialect::default() };
        let (plain, fields) = batch(&[vec![Some("a\"b".into()), None]]);
        let mut out = Vec::new();
        rows(&plain, &fields, &dialect, &mut out).unwrap();
        assert_eq!(out, b"a\"b\n\n");
        let (comma, fields) = batch(&[vec![Some("a,b".into())]]);
        assert_eq!(rows(&comma, &fields, &dialect, &mut out).unwrap_err().kind(), ErrorKind::Loader);
    }
}
