//! Binary COPY from one server to another: rows are told apart and counted, and not decoded.
//!
//! A batch of such rows has one column of Arrow's Binary; each value is one tuple as the server sent it, its field count
//! included, and the tuples of a batch lie one behind the other.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::{BufMut, Bytes, BytesMut};

use super::binary::{HEADER, TRAILER};
use super::decode::{broken, header};
use super::encode::CopyEncoder;
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// Bytes after which a batch is closed.
const BATCH_BYTES: usize = 1 << 20;

/// The schema of batches of undecoded rows.
pub(in crate::connector::postgres) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("copy", DataType::Binary, false)]))
}

/// Parts one COPY into its rows. Feed it with [`FrameReader::push`], and after each piece take a batch if there is one.
#[derive(Debug)]
pub(in crate::connector::postgres) struct FrameReader {
    schema: SchemaRef,
    columns: usize,
    begun: bool,
    ended: bool,
    /// Bytes that are not in a batch yet.
    input: Vec<u8>,
    /// The ends of the whole tuples at its beginning.
    ends: Vec<i32>,
}

impl FrameReader {
    /// A reader for rows of so many columns.
    pub(in crate::connector::postgres) fn new(columns: usize) -> Self {
        Self { schema: schema(), columns, begun: false, ended: false, input: Vec::new(), ends: vec![0] }
    }

    /// Takes the next piece, and gives a batch once enough rows are there.
    ///
    /// # Errors
    /// Extractor: the bytes are no COPY of so many columns.
    pub(in crate::connector::postgres) fn push(&mut self, piece: &Bytes) -> Result<Option<RecordBatch>> {
        if self.ended {
            return Err(broken("there are bytes behind its end"));
        }
        self.input.extend_from_slice(piece);
        if !self.begun {
            let Some(length) = header(&self.input)? else { return Ok(None) };
            self.input.drain(..length);
            self.begun = true;
        }
        while !self.ended && self.tuple()? {}
        if self.ended || self.whole() < BATCH_BYTES { Ok(None) } else { self.take().map(Some) }
    }

    /// The rest, once the last piece was pushed.
    ///
    /// # Errors
    /// Extractor: the end marker has not come.
    pub(in crate::connector::postgres) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if !self.ended {
            let error = broken("it ended without its end marker");
            return Err(error.with_hint("run it again: the connection broke off"));
        }
        if self.ends.len() == 1 { Ok(None) } else { self.take().map(Some) }
    }

    /// Where the whole tuples end.
    fn whole(&self) -> usize {
        self.ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or_default()
    }

    /// Walks over one tuple or the end marker, if all of it is there.
    fn tuple(&mut self) -> Result<bool> {
        let start = self.whole();
        let Some((count, mut rest)) = self.input.get(start..).and_then(|rest| rest.split_first_chunk::<2>()) else {
            return Ok(false);
        };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            if !rest.is_empty() {
                return Err(broken("there are bytes behind its end"));
            }
            self.input.truncate(start);
            self.ended = true;
            return Ok(true);
        }
        if usize::try_from(count).ok() != Some(self.columns) {
            return Err(broken(format!("a row has {count} fields, not {}", self.columns)));
        }
        for _ in 0..count {
            let Some((size, after)) = rest.split_first_chunk::<4>() else { return Ok(false) };
            let size = match i32::from_be_bytes(*size) {
                -1 => 0,
                size => usize::try_from(size).map_err(|_| broken("a field has a negative length"))?,
            };
            let Some(after) = after.get(size..) else { return Ok(false) };
            rest = after;
        }
        let end = i32::try_from(self.input.len() - rest.len()).map_err(|_| broken("a row is longer than 2 GiB"))?;
        self.ends.push(end);
        Ok(true)
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let rest = self.input.split_off(self.whole());
        let tuples = std::mem::replace(&mut self.input, rest);
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let doing = || "making a batch of what the server sent".to_string();
        let rows = BinaryArray::try_new(offsets, Buffer::from_vec(tuples), None).during(ErrorKind::Extractor, doing)?;
        RecordBatch::try_new(self.schema.clone(), vec![Arc::new(rows)]).during(ErrorKind::Extractor, doing)
    }
}

/// Writes rows of [`FrameReader`] as they are.
#[derive(Debug, Default)]
pub(in crate::connector::postgres) struct FrameWriter {
    begun: bool,
}

impl FrameWriter {
    fn begin(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.begun, true) {
            out.put_slice(HEADER);
        }
    }
}

impl CopyEncoder for FrameWriter {
    fn format(&self) -> &'static str {
        "binary"
    }

    fn encode(&mut self, batch: &RecordBatch, out: &mut BytesMut) -> Result<()> {
        self.begin(out);
        let rows = (batch.schema_ref() == &schema()).then(|| batch.column(0).as_binary::<i32>());
        let rows = rows.ok_or_else(|| Error::new(ErrorKind::Loader, "a batch is not one of undecoded rows"))?;
        let offsets = rows.value_offsets();
        if let (Some(first), Some(last), true) = (offsets.first(), offsets.last(), rows.null_count() == 0) {
            out.put_slice(rows.value_data().get(*first as usize..*last as usize).unwrap_or_default());
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) {
        self.begin(out);
        out.put_slice(&TRAILER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn copy(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        for row in rows {
            out.extend((row.len() as i16).to_be_bytes());
            for value in row {
                out.extend(value.as_ref().map_or(-1, |v| v.len() as i32).to_be_bytes());
                out.extend(value.iter().flatten());
            }
        }
        out.extend(TRAILER);
        out
    }

    /// The rows counted, and the bytes that the other server would get.
    fn relayed(columns: usize, bytes: &[u8], piece: usize) -> Result<(usize, Vec<u8>)> {
        let (mut reader, mut writer) = (FrameReader::new(columns), FrameWriter::default());
        let (mut rows, mut out) = (0, BytesMut::new());
        for piece in bytes.chunks(piece) {
            if let Some(batch) = reader.push(&Bytes::copy_from_slice(piece))? {
                rows += batch.num_rows();
                writer.encode(&batch, &mut out)?;
            }
        }
        if let Some(batch) = reader.finish()? {
            rows += batch.num_rows();
            // In slices, as a load takes them.
            for row in 0..batch.num_rows() {
                writer.encode(&batch.slice(row, 1), &mut out)?;
            }
        }
        writer.finish(&mut out);
        Ok((rows, out.to_vec()))
    }

    #[test]
    fn large_results_come_in_several_batches() {
        let rows = vec![vec![Some(vec![7; 1000])]; 3000];
        let bytes = copy(&rows);
        assert_eq!(relayed(1, &bytes, 10_000).unwrap(), (3000, bytes));
    }

    proptest! {
        #[test]
        fn what_one_server_sends_the_other_gets(
            rows in prop::collection::vec(prop::collection::vec(any::<Option<Vec<u8>>>(), 3), 0..20), piece in 1usize..200,
        ) {
            let bytes = copy(&rows);
            prop_assert_eq!(relayed(3, &bytes, piece).unwrap(), (rows.len(), bytes));
        }

        #[test]
        fn a_stream_that_is_cut_or_damaged_is_an_error_and_never_a_panic(
            rows in prop::collection::vec(prop::collection::vec(any::<Option<Vec<u8>>>(), 2), 0..5), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let bytes = copy(&rows);
            let at = at.index(bytes.len());
            prop_assert!(relayed(2, &bytes[..at], 7).is_err());
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            // A damaged value is the server's to find; whatever was counted is there.
            if let Ok((count, out)) = relayed(2, &damaged, 7) {
                prop_assert_eq!((count <= bytes.len(), out.len()), (true, damaged.len()));
            }
        }
    }
}
