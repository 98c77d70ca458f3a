//! Binary COPY into record batches, whatever the pieces in which the bytes come.
//!
//! The form: a signature, flags and a header extension; tuples, each a field count and for each field a length and its
//! bytes (-1: NULL); at the end the field count -1. Whole tuples are measured into a chunk, which is then decoded column
//! by column, so that no column is ever ahead of another between two calls.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::column::Column;
use super::slots::{Slot, Slots};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Bytes on the wire after which a batch is closed.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes on the wire after which a chunk is decoded: small enough to be still in the cache by then.
const CHUNK_BYTES: usize = 128 << 10;
/// What is kept of the input's room once it is empty; a row of great values gives its own back.
const KEEP_BYTES: usize = 32 * CHUNK_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Tuples,
    Ended,
    /// An error was given, after which nothing can be told of the bytes.
    Failed,
}

/// What is next after a look at the input.
enum Next {
    /// The chunk takes no more.
    Full,
    /// The next tuple is not all there.
    Wanting,
    /// The end marker was there.
    Ended,
}

/// Decodes one COPY. Feed it with [`CopyDecoder::push`], and after each piece take batches until there are none.
#[derive(Debug)]
pub struct CopyDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    batch_rows: usize,
    /// Bytes from `start` on are not decoded yet. The server sends each row as a piece: they are joined here, as one
    /// copy of their bytes costs less than to keep each of them.
    input: Vec<u8>,
    start: usize,
    /// The chunk: its rows, and its bytes from `start` on.
    slots: Slots,
    chunk_rows: usize,
    chunk_bytes: usize,
    state: State,
    /// Rows of batches that were taken.
    taken: u64,
    /// Rows and bytes of this batch that are decoded.
    rows: usize,
    bytes: usize,
}

impl CopyDecoder {
    /// A decoder for columns as the dialect selects them.
    ///
    /// # Errors
    /// Type mapping: a column's type is neither text nor one that has a decoder.
    pub fn new(fields: &[DxtField], batch_rows: usize) -> Result<Self> {
        Ok(Self {
            schema: DxtSchema::new(fields.to_vec()).to_arrow(),
            columns: fields.iter().map(Column::new).collect::<Result<_>>()?,
            batch_rows: batch_rows.max(1),
            input: Vec::new(),
            start: 0,
            slots: Slots::new(fields.len()),
            chunk_rows: 0,
            chunk_bytes: 0,
            state: State::Header,
            taken: 0,
            rows: 0,
            bytes: 0,
        })
    }

    /// The Arrow schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: Bytes) {
        if self.start > 0 {
            // What is left is less than a tuple, unless the pieces are larger than a chunk.
            self.input.drain(..self.start);
            self.start = 0;
            if self.input.capacity() > KEEP_BYTES {
                self.input.shrink_to(KEEP_BYTES);
            }
        }
        self.input.extend_from_slice(&piece);
    }

    /// Decodes until a batch is full; `None` where more bytes are needed first.
    ///
    /// # Errors
    /// Extractor: the bytes are no COPY of these columns. Validation: a value does not fit its column.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let next = self.advance();
        if next.is_err() {
            self.state = State::Failed;
        }
        next
    }

    /// The rest, once the last piece was pushed and `next_batch` gave `None`.
    ///
    /// # Errors
    /// Extractor: the end marker has not come.
    pub fn finish(&mut self) -> Result<Option<RecordBatch>> {
        match self.state {
            State::Ended if self.rows == 0 => Ok(None),
            State::Ended => self.take().map(Some),
            State::Failed => Err(failed()),
            _ => Err(broken("it ended without its end marker").with_hint("run it again: the connection broke off")),
        }
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        if self.state == State::Failed {
            return Err(failed());
        }
        if self.state == State::Header && !self.header()? {
            return Ok(None);
        }
        while self.state == State::Tuples {
            match self.measure()? {
                Next::Wanting => return Ok(None),
                Next::Ended => {
                    self.decode()?;
                    self.start += 2;
                    self.state = State::Ended;
                }
                Next::Full => {
                    self.decode()?;
                    if self.rows >= self.batch_rows || self.bytes >= BATCH_BYTES {
                        return self.take().map(Some);
                    }
                }
            }
        }
        if self.start < self.input.len() {
            return Err(broken("there are bytes behind its end"));
        }
        Ok(None)
    }

    fn header(&mut self) -> Result<bool> {
        let Some(length) = header(&self.input)? else { return Ok(false) };
        self.start = length;
        self.state = State::Tuples;
        Ok(true)
    }

    /// Measures whole tuples into the chunk, up to what is left of the batch.
    fn measure(&mut self) -> Result<Next> {
        let input = &self.input[self.start..];
        let room = self.slots.rows().min(self.batch_rows - self.rows);
        let wide = self.columns.len();
        while self.chunk_rows < room && self.chunk_bytes < CHUNK_BYTES && self.bytes + self.chunk_bytes < BATCH_BYTES {
            let Some((count, mut rest)) = input.get(self.chunk_bytes..).and_then(|rest| rest.split_first_chunk::<2>())
            else {
                return Ok(Next::Wanting);
            };
            let count = i16::from_be_bytes(*count);
            if count == -1 {
                return Ok(Next::Ended);
            }
            if usize::try_from(count).ok() != Some(wide) {
                let row = self.taken + (self.rows + self.chunk_rows) as u64 + 1;
                return Err(broken(format!("row {row} has {count} fields, not {wide}")));
            }
            for column in 0..wide {
                let Some((size, after)) = rest.split_first_chunk::<4>() else {
                    return Ok(Next::Wanting);
                };
                let size = i32::from_be_bytes(*size);
                let slot = if let Ok(size) = usize::try_from(size) {
                    let Some(behind) = after.get(size..) else {
                        return Ok(Next::Wanting);
                    };
                    rest = behind;
                    let slot = Slot::new(input.len() - after.len(), size);
                    slot.ok_or_else(|| broken("a row is longer than 4 GiB"))?
                } else if size == -1 {
                    rest = after;
                    Slot::NULL
                } else {
                    return Err(broken("a field has a negative length"));
                };
                self.slots.put(column, self.chunk_rows, slot);
            }
            self.chunk_rows += 1;
            self.chunk_bytes = input.len() - rest.len();
        }
        Ok(Next::Full)
    }

    /// Decodes the chunk.
    fn decode(&mut self) -> Result<()> {
        let chunk = &self.input[self.start..];
        let first = self.taken + self.rows as u64 + 1;
        for (index, column) in self.columns.iter_mut().enumerate() {
            column.extend(chunk, self.slots.column(index, self.chunk_rows), first)?;
        }
        self.start += self.chunk_bytes;
        self.rows += self.chunk_rows;
        self.bytes += self.chunk_bytes;
        (self.chunk_rows, self.chunk_bytes) = (0, 0);
        Ok(())
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let first = self.taken + 1;
        let arrays = self.columns.iter_mut().map(|column| column.take(first)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.taken += self.rows as u64;
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .during(ErrorKind::Extractor, || "making a batch of what the server sent".to_string())
    }
}

fn failed() -> Error {
    broken("it has failed before")
}

/// The length of what is before the first tuple; `None` where it is not all there.
pub(super) fn header(input: &[u8]) -> Result<Option<usize>> {
    let known = input.len().min(SIGNATURE.len());
    if input[..known] != SIGNATURE[..known] {
        return Err(broken("it does not begin with the signature of a binary COPY"));
    }
    let Some((fixed, rest)) = input.split_first_chunk::<19>() else { return Ok(None) };
    let flags = u32::from_be_bytes([fixed[11], fixed[12], fixed[13], fixed[14]]);
    // The upper half are flags that a reader has to know.
    if flags >> 16 != 0 {
        return Err(broken("its header has flags that dxt does not know"));
    }
    let extension = i32::from_be_bytes([fixed[15], fixed[16], fixed[17], fixed[18]]);
    let extension = usize::try_from(extension).map_err(|_| broken("its header has a negative length"))?;
    Ok((rest.len() >= extension).then_some(fixed.len() + extension))
}

pub(super) fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Extractor, format!("the server's COPY is broken: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::postgres::types::SYSTEM;
    use crate::model::DxtType;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{
        Date32Type, Decimal128Type, Int32Type, Time64MicrosecondType, TimestampMicrosecondType, TimestampSecondType,
    };
    use proptest::prelude::*;

    fn field(name: &str, native: &str, dtype: DxtType) -> DxtField {
        DxtField::new(name, dtype).native(SYSTEM, native)
    }

    fn fields() -> Vec<DxtField> {
        vec![field("id", "integer", DxtType::Int32), field("note", "text", DxtType::String)]
    }

    fn header() -> Vec<u8> {
        [SIGNATURE.as_slice(), &[0; 8]].concat()
    }

    fn tuple(cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = (cells.len() as i16).to_be_bytes().to_vec();
        for cell in cells {
            match cell {
                None => out.extend((-1i32).to_be_bytes()),
                Some(value) => {
                    out.extend((value.len() as i32).to_be_bytes());
                    out.extend(*value);
                }
            }
        }
        out
    }

    fn copy(rows: &[Vec<Option<&[u8]>>]) -> Vec<u8> {
        let mut out = header();
        for row in rows {
            out.extend(tuple(row));
        }
        out.extend((-1i16).to_be_bytes());
        out
    }

    fn decode(fields: &[DxtField], pieces: &[&[u8]], batch: usize) -> Result<Vec<RecordBatch>> {
        let mut decoder = CopyDecoder::new(fields, batch)?;
        let mut batches = Vec::new();
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(batch) = decoder.next_batch()? {
                batches.push(batch);
            }
        }
        batches.extend(decoder.finish()?);
        Ok(batches)
    }

    fn one(native: &str, dtype: DxtType, value: &[u8]) -> Result<RecordBatch> {
        let bytes = copy(&[vec![Some(value)]]);
        decode(&[field("c", native, dtype)], &[&bytes], 10).map(|mut batches| batches.remove(0))
    }

    #[test]
    fn rows_become_batches_of_at_most_the_size_asked_for() {
        let rows: Vec<_> = (1..=5i32).map(i32::to_be_bytes).collect();
        let rows: Vec<Vec<Option<&[u8]>>> = rows.iter().map(|id| vec![Some(id.as_slice()), None]).collect();
        let batches = decode(&fields(), &[&copy(&rows)], 2).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(batches[2].column(0).as_primitive::<Int32Type>().value(0), 5);
        assert_eq!(batches[0].column(1).null_count(), 2);
    }

    #[test]
    fn many_chunks_are_one_batch_and_errors_name_the_row_of_the_copy() {
        let mut values: Vec<_> = (1..=3000i32).map(|id| (id.to_be_bytes(), id.to_string())).collect();
        let rows = |values: &[([u8; 4], String)]| {
            let cell = |id: &[u8; 4], text: &str| (!text.ends_with('7')).then(|| id.to_vec());
            let mut out = header();
            for (id, text) in values {
                out.extend(tuple(&[cell(id, text).as_deref(), Some(text.as_bytes())]));
            }
            [out, (-1i16).to_be_bytes().to_vec()].concat()
        };
        let batches = decode(&fields(), &[&rows(&values)], 2000).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2000, 1000]);
        let (ids, notes) = (batches[1].column(0).as_primitive::<Int32Type>(), batches[1].column(1).as_string::<i32>());
        for row in 0..1000 {
            assert_eq!((ids.is_null(row), notes.value(row)), ((row + 1) % 10 == 7, format!("{}", 2001 + row).as_str()));
        }
        // A text is looked at when its batch ends, a number when it comes: both know their row.
        for broken in [2499, 1200] {
            values[broken].1 = "\u{fffd}".into();
            let bytes = rows(&values);
            let at = memchr::memmem::find(&bytes, "\u{fffd}".as_bytes()).unwrap();
            let bytes = [&bytes[..at], &[0xff, 0xff, 0xff], &bytes[at + 3..]].concat();
            let error = decode(&fields(), &[&bytes], 2000).unwrap_err();
            assert!(error.message().contains(&format!("(row {})", broken + 1)), "{error}");
        }
        let mut decoder = CopyDecoder::new(&[field("d", "date", DxtType::Date)], 10).unwrap();
        let endless = i32::MAX.to_be_bytes();
        decoder.push(Bytes::from(copy(&[vec![Some(&[0; 4])], vec![None], vec![Some(&endless)]])));
        let error = decoder.next_batch().unwrap_err();
        assert!(error.message().contains("column d: infinity") && error.message().contains("(row 3)"), "{error}");
        // Nothing follows a failure, and no end either.
        assert!(decoder.next_batch().is_err() && decoder.finish().is_err());
    }

    #[test]
    fn an_empty_result_has_no_batch() {
        assert!(decode(&fields(), &[&copy(&[])], 2).unwrap().is_empty());
    }

    #[test]
    fn an_end_without_the_end_marker_is_an_error() {
        let whole = copy(&[vec![Some(&[0, 0, 0, 1]), Some(b"x")]]);
        for length in 0..whole.len() {
            let error = decode(&fields(), &[&whole[..length]], 10).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Extractor, "{length} bytes");
        }
        assert!(decode(&fields(), &[&whole], 10).is_ok());
        assert!(decode(&fields(), &[&whole, b"x"], 10).is_err());
    }

    #[test]
    fn a_wrong_number_of_fields_is_an_error() {
        let bytes = copy(&[vec![Some(b"x")]]);
        let error = decode(&fields(), &[&bytes], 10).unwrap_err();
        assert!(error.message().contains("row 1 has 1 fields, not 2"), "{error}");
    }

    #[test]
    fn unknown_flags_are_an_error_and_an_extension_is_skipped() {
        let mut flagged = copy(&[]);
        flagged[12] = 1;
        assert!(decode(&fields(), &[&flagged], 10).is_err());
        let mut extended = header();
        extended[18] = 3;
        extended.extend(b"abc");
        extended.extend((-1i16).to_be_bytes());
        assert!(decode(&fields(), &[&extended], 10).unwrap().is_empty());
    }

    #[test]
    fn days_and_instants_count_from_2000() {
        let date = one("date", DxtType::Date, &(-1i32).to_be_bytes()).unwrap();
        assert_eq!(date.column(0).as_primitive::<Date32Type>().value(0), 10_956);
        let stamp = DxtType::Timestamp { precision: 6 };
        let stamp = one("timestamp without time zone", stamp, &1i64.to_be_bytes()).unwrap();
        assert_eq!(stamp.column(0).as_primitive::<TimestampMicrosecondType>().value(0), EPOCH + 1);
        let coarse = DxtType::Timestamp { precision: 0 };
        let coarse = one("timestamp(0) without time zone", coarse, &(-2_000_000i64).to_be_bytes()).unwrap();
        assert_eq!(coarse.column(0).as_primitive::<TimestampSecondType>().value(0), EPOCH / 1_000_000 - 2);
        let time = one("time without time zone", DxtType::Time { precision: 6 }, &7i64.to_be_bytes()).unwrap();
        assert_eq!(time.column(0).as_primitive::<Time64MicrosecondType>().value(0), 7);
    }

    const EPOCH: i64 = 946_684_800_000_000;

    #[test]
    fn values_without_a_counterpart_name_the_column_and_the_way_out() {
        let stamp = DxtType::TimestampTz { precision: 6 };
        let nan = [0u8, 0, 0, 0, 0xC0, 0, 0, 0];
        let cases = [
            (one("date", DxtType::Date, &i32::MAX.to_be_bytes()), "infinity"),
            (one("timestamp with time zone", stamp, &i64::MIN.to_be_bytes()), "-infinity"),
            (one("time without time zone", DxtType::Time { precision: 6 }, &86_400_000_000i64.to_be_bytes()), "24:00"),
            (one("numeric(5,2)", DxtType::Decimal { precision: 5, scale: 2 }, &nan), "NaN"),
        ];
        for (result, value) in cases {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Validation);
            assert!(error.message().contains("column c") && error.message().contains(value), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("dtype: string")));
        }
    }

    #[test]
    fn texts_of_several_types_come_as_text() {
        let text = |native: &str, dtype, bytes: &[u8]| {
            one(native, dtype, bytes).unwrap().column(0).as_string::<i32>().value(0).to_string()
        };
        assert_eq!(
            text("uuid", DxtType::String, b"00112233-4455-6677-8899-aabbccddeeff"),
            "00112233-4455-6677-8899-aabbccddeeff"
        );
        assert_eq!(text("jsonb", DxtType::Json, b"\x01{}"), "{}");
        assert_eq!(text("json", DxtType::Json, b"{ }"), "{ }");
        assert_eq!(text("public.mood", DxtType::String, b"ok"), "ok");
        assert_eq!(text("integer", DxtType::String, b"12"), "12");
        assert!(one("text", DxtType::String, b"\xff").is_err());
    }

    #[test]
    fn a_uuid_is_its_sixteen_bytes() {
        let uuid: Vec<u8> = (0..16).collect();
        let batch = one("uuid", DxtType::Uuid, &uuid).unwrap();
        assert_eq!(batch.column(0).as_fixed_size_binary().value(0), uuid);
        assert!(one("uuid", DxtType::Uuid, &uuid[1..]).is_err());
    }

    #[test]
    fn a_decimal_has_the_columns_precision_and_scale() {
        let bytes = [0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 0x0D, 0x48];
        let batch = one("numeric(12,2)", DxtType::Decimal { precision: 12, scale: 2 }, &bytes).unwrap();
        assert_eq!(batch.column(0).data_type(), &arrow::datatypes::DataType::Decimal128(12, 2));
        assert_eq!(batch.column(0).as_primitive::<Decimal128Type>().value(0), 1234);
    }

    /// An array's bytes: dimensions, then elements.
    fn array(oid: u32, dimensions: &[(i32, i32)], elements: &[Option<&[u8]>]) -> Vec<u8> {
        let words = [dimensions.len() as i32, 1, oid.cast_signed()];
        let words = words.into_iter().chain(dimensions.iter().flat_map(|(length, lower)| [*length, *lower]));
        let mut out: Vec<u8> = words.flat_map(i32::to_be_bytes).collect();
        // What follows a tuple's count is the form of elements, too.
        out.extend(&tuple(elements)[2..]);
        out
    }

    fn list(dtype: DxtType) -> DxtType {
        DxtType::Array(Box::new(dtype))
    }

    #[test]
    fn arrays_of_one_dimension_are_lists() {
        let (one_of, ids) = (array(23, &[(2, 1)], &[Some(&[0, 0, 0, 7]), None]), array(23, &[], &[]));
        let bytes = copy(&[vec![Some(&one_of)], vec![None], vec![Some(&ids)], vec![Some(&one_of)]]);
        let batches = decode(&[field("a", "integer[]", list(DxtType::Int32))], &[&bytes], 10).unwrap();
        let column = batches[0].column(0);
        assert_eq!(column.data_type(), &list(DxtType::Int32).to_arrow());
        let lists = column.as_list::<i32>();
        assert_eq!(lists.value_offsets(), [0, 2, 2, 2, 4]);
        assert!(lists.is_null(1) && lists.is_valid(2) && lists.values().is_null(3));
        assert_eq!(lists.values().as_primitive::<Int32Type>().value(2), 7);
        let days = array(1082, &[(1, 1)], &[Some(&[0; 4])]);
        let days = one("date[]", list(DxtType::Date), &days).unwrap();
        assert_eq!(days.column(0).as_list::<i32>().values().as_primitive::<Date32Type>().value(0), 10_957);
    }

    #[test]
    fn arrays_that_are_no_lists_are_shown_with_the_way_out() {
        let four = [Some(&[0u8, 0, 0, 1][..]), None, Some(&[0, 0, 0, 3]), Some(&[0, 0, 0, 4])];
        for (dimensions, shown) in [
            (&[(2, 1), (2, 1)][..], "{{1,NULL},{3,4}}"),
            (&[(4, 0)], "[0:3]={1,NULL,3,4}"),
            (&[(2, 1), (1, -1), (2, 1)], "[1:2][-1:-1][1:2]={{{1,NULL}},{{3,4}}}"),
        ] {
            let error = one("integer[]", list(DxtType::Int32), &array(23, dimensions, &four)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Validation);
            assert!(error.message().contains(&format!("column c: {shown} cannot be read")), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("dtype: string")));
        }
        let texts = array(25, &[(3, 2)], &[Some(b"a b"), Some(b"\""), Some(b"")]);
        let error = one("text[]", list(DxtType::String), &texts).unwrap_err();
        assert!(error.message().contains(r#"[2:4]={"a b","\"",""}"#), "{error}");
        // What an element cannot be is told of it, with the row of its list.
        let days = [array(1082, &[(1, 1)], &[None]), array(1082, &[(2, 1)], &[None, Some(&i32::MAX.to_be_bytes())])];
        let bytes = copy(&[vec![Some(&days[0])], vec![None], vec![Some(&days[1])]]);
        let error = decode(&[field("d", "date[]", list(DxtType::Date))], &[&bytes], 10).unwrap_err();
        assert!(error.message().contains("column d: infinity") && error.message().contains("(row 3)"), "{error}");
        let bad = [array(25, &[(1, 1)], &[Some(b"x")]), array(25, &[(1, 1)], &[Some(b"\xff")])];
        let bytes = copy(&[vec![Some(&bad[0])], vec![Some(&bad[1])]]);
        let error = decode(&[field("t", "text[]", list(DxtType::String))], &[&bytes], 10).unwrap_err();
        assert!(error.message().contains("column t") && error.message().contains("(row 2)"), "{error}");
    }

    #[test]
    fn arrays_that_lie_about_themselves_are_errors() {
        let element = Some(&[0u8, 0, 0, 1][..]);
        let whole = array(23, &[(1, 1)], &[element]);
        let with = |at: usize, word: i32| {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            bytes
        };
        let mut lies = vec![
            with(0, -1),
            with(0, 7),
            with(0, i32::MAX),
            with(0, 0),
            with(4, 2),
            with(8, 25),
            with(12, -1),
            with(12, 0),
            with(12, 2),
            with(12, i32::MAX),
            with(20, -2),
            with(20, i32::MAX),
            with(20, 3),
            array(23, &[(i32::MAX, 1); 6], &[element]),
            array(23, &[(i32::MAX, 1), (0, 1), (i32::MAX, 1)], &[element]),
        ];
        lies.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
        for lie in lies {
            let error = one("integer[]", list(DxtType::Int32), &lie).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Extractor, "{lie:?}");
        }
        assert!(one("integer[]", list(DxtType::Int32), &whole).is_ok());
    }

    fn every_type() -> Vec<DxtField> {
        let natives = [
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "oid",
            "real",
            "double precision",
            "numeric(10,2)",
            "numeric(60,5)",
            "text",
            "character varying(5)",
            "character(5)",
            "name",
            "json",
            "jsonb",
            "uuid",
            "bytea",
            "date",
            "time(0)",
            "time",
            "timestamp(3)",
            "timestamptz",
            "integer[]",
            "text[]",
            "numeric(60,5)[]",
            "date[]",
        ];
        let dtype = |native| crate::connector::postgres::types::PgType::parse(native).dtype();
        natives.iter().map(|native| field(native, native, dtype(native))).collect()
    }

    /// Bytes of a value of a field, as a server sends them; each fourth is a NULL.
    fn sent(field: &DxtField, which: usize) -> Option<Vec<u8>> {
        let scalar = |native: &str| -> Vec<u8> {
            let n = which as u8;
            match native {
                "boolean" => vec![n % 2],
                "smallint" => vec![n, 0xff],
                "integer" | "real" | "oid" | "date" => vec![0, n, 1, 2],
                "bigint" | "double precision" | "timestamp(3)" | "timestamptz" | "time" | "time(0)" => {
                    vec![0, 0, 0, n, 0, 0, 0, 0]
                }
                // Two digits from the first weight on, the sign, two digits of a fraction: n.50.
                _ if native.starts_with("numeric") => vec![0, 2, 0, 0, 0x40 * (n % 2), 0, 0, 2, 0, n, 0x13, 0x88],
                "jsonb" => vec![1, b'{', b'}'],
                "uuid" => vec![n; 16],
                _ => vec![b'a' + n; usize::from(n)],
            }
        };
        if which % 4 == 3 {
            return None;
        }
        let native = field.native_in(SYSTEM).unwrap();
        let Some(element) = native.strip_suffix("[]") else { return Some(scalar(native)) };
        // One dimension from 1 on, of a value and a NULL.
        let oid = crate::connector::postgres::types::PgType::parse(element).element_oid().unwrap();
        let value = scalar(element);
        let mut out: Vec<u8> = [1u32, 1, oid, 2, 1].iter().flat_map(|word| word.to_be_bytes()).collect();
        out.extend((value.len() as i32).to_be_bytes());
        out.extend(value);
        out.extend((-1i32).to_be_bytes());
        Some(out)
    }

    #[test]
    fn batches_close_by_bytes_whatever_their_rows() {
        let wide = "x".repeat(1 << 20);
        let rows: Vec<Vec<Option<&[u8]>>> = vec![vec![None, Some(wide.as_bytes())]; 10];
        let bytes = copy(&rows);
        let pieces: Vec<&[u8]> = bytes.chunks(100_000).collect();
        let batches = decode(&fields(), &pieces, 65_536).unwrap();
        assert!(batches.iter().all(|batch| (1..=3).contains(&batch.num_rows())));
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), with_header: bool) {
            let head = if with_header { header() } else { Vec::new() };
            for fields in [fields(), every_type()] {
                let _ = decode(&fields, &[&head, &bytes], 3);
            }
        }

        #[test]
        fn arbitrary_values_never_panic(values in prop::collection::vec(prop::option::of(
            prop::collection::vec(any::<u8>(), 0..24)), 26..=26)) {
            let fields = every_type();
            for (field, value) in fields.iter().zip(&values) {
                let bytes = copy(&[vec![value.as_deref()]]);
                let _ = decode(std::slice::from_ref(field), &[&bytes], 3);
            }
        }

        /// What a server might send, but for one byte, or for its end.
        #[test]
        fn rows_that_are_cut_or_damaged_never_panic(row in 0..4usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            for field in &every_type() {
                let values: Vec<Option<Vec<u8>>> = (0..3).map(|i| sent(field, row + i)).collect();
                let rows: Vec<Vec<Option<&[u8]>>> = values.iter().map(|value| vec![value.as_deref()]).collect();
                let whole = copy(&rows);
                let one = std::slice::from_ref(field);
                decode(one, &[&whole], 2).unwrap();
                let at = at.index(whole.len());
                prop_assert!(decode(one, &[&whole[..at]], 2).is_err());
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = decode(one, &[&damaged], 2);
            }
        }

        #[test]
        fn the_pieces_do_not_matter(
            rows in prop::collection::vec((any::<Option<i32>>(), any::<Option<String>>()), 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let ids: Vec<_> = rows.iter().map(|(id, _)| id.map(i32::to_be_bytes)).collect();
            let cells: Vec<Vec<Option<&[u8]>>> = rows
                .iter()
                .zip(&ids)
                .map(|((_, note), id)| vec![id.as_ref().map(|b| b.as_slice()), note.as_ref().map(|s| s.as_bytes())])
                .collect();
            let bytes = copy(&cells);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            let whole = decode(&fields(), &[&bytes], 7).unwrap();
            prop_assert_eq!(decode(&fields(), &pieces, 7).unwrap(), whole);
        }
    }
}
