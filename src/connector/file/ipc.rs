//! Arrow IPC: the file form block by block, the stream form in one go, and the writer of the file form.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, new_null_array};
use arrow::buffer::Buffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, StreamDecoder, read_footer_length};
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::ipc::{Block, CompressionType, MetadataVersion, root_as_footer};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use object_store::ObjectStoreExt;

use super::exec::Output;
use super::format::Codec;
use super::input::Input;
use super::listing::SourceFile;
use super::logical;
use super::store::Store;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{Compression, DxtField, DxtSchema};

const MAGIC: &[u8] = b"ARROW1";

/// The end of a stream: a message of no length.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A larger block than this is taken for damage.
const MAX_BLOCK: u64 = 2 << 30;

struct Footer {
    schema: SchemaRef,
    version: MetadataVersion,
    dictionaries: Vec<Block>,
    batches: Vec<Block>,
}

fn damaged(file: &SourceFile, cause: ArrowError) -> Error {
    Error::new(ErrorKind::Extractor, format!("{} is not a whole Arrow file", file.shown))
        .with_source(cause)
        .with_hint("it is damaged or cut off, or another format: `options: {format: …}` names it")
}

/// Runs a decoder of bytes from outside. Arrow's panics on some that are damaged.
fn guarded<T>(file: &SourceFile, decode: impl FnOnce() -> Result<T, ArrowError>) -> Result<T> {
    let done = catch_unwind(AssertUnwindSafe(decode));
    done.unwrap_or_else(|_| Err(ArrowError::IpcError("a block is malformed".into()))).map_err(|e| damaged(file, e))
}

async fn range(store: &Store, file: &SourceFile, start: u64, length: u64) -> Result<Bytes> {
    let end = start.checked_add(length).filter(|end| *end <= file.meta.size && length <= MAX_BLOCK);
    let end = end.ok_or_else(|| damaged(file, ArrowError::IpcError("a block lies outside of the file".into())))?;
    if length == 0 {
        return Ok(Bytes::new());
    }
    let got = store.object.get_range(&file.meta.location, start..end).await;
    let bytes = got.during(ErrorKind::Extractor, || file.shown.to_string())?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(damaged(file, ArrowError::IpcError("the file has become shorter".into()))),
    }
}

/// The footer of the file form; `None` where the file is of the stream form.
async fn footer(store: &Store, file: &SourceFile) -> Result<Option<Footer>> {
    let size = file.meta.size;
    let start = range(store, file, 0, size.min(MAGIC.len() as u64)).await?;
    if start != MAGIC {
        return Ok(None);
    }
    const TAIL: u64 = 10;
    let tail = range(store, file, size.saturating_sub(TAIL), TAIL).await?;
    let length = guarded(file, || {
        let tail: [u8; TAIL as usize] =
            tail[..].try_into().map_err(|_| ArrowError::IpcError("the file is too short".into()))?;
        read_footer_length(tail)
    })? as u64;
    let bytes = range(store, file, size.saturating_sub(TAIL).saturating_sub(length), length).await?;
    guarded(file, || {
        let footer = root_as_footer(&bytes).map_err(|e| ArrowError::IpcError(e.to_string()))?;
        let schema = footer.schema().ok_or_else(|| ArrowError::IpcError("the footer has no schema".into()))?;
        Ok(Some(Footer {
            schema: Arc::new(fb_to_schema(schema)),
            version: footer.version(),
            dictionaries: footer.dictionaries().iter().flatten().copied().collect(),
            batches: footer.recordBatches().iter().flatten().copied().collect(),
        }))
    })
}

/// The columns of a file.
///
/// # Errors
/// Extractor: the file is no Arrow file, or damaged. Type mapping: a column's type is none of dxt's.
pub async fn schema(store: &Store, file: &SourceFile) -> Result<DxtSchema> {
    let schema = match footer(store, file).await? {
        Some(footer) => footer.schema,
        None => {
            let mut stream = Stream::open(store, file).await?;
            while stream.decoder.schema().is_none() && stream.next().await?.is_some() {}
            let missing = || damaged(file, ArrowError::IpcError("there is no schema".into()));
            stream.decoder.schema().ok_or_else(missing)?
        }
    };
    DxtSchema::from_file_arrow(&schema).map_err(|e| e.context(file.shown.to_string()))
}

struct Stream<'a> {
    file: &'a SourceFile,
    input: Input,
    decoder: StreamDecoder,
    buffer: Buffer,
    /// The last bytes read.
    tail: Vec<u8>,
}

impl<'a> Stream<'a> {
    async fn open(store: &Store, file: &'a SourceFile) -> Result<Self> {
        let input = Input::open(store, file, Codec::None).await?;
        let buffer = Buffer::from(Vec::<u8>::new());
        Ok(Self { file, input, decoder: StreamDecoder::new(), buffer, tail: Vec::new() })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let (decoder, buffer) = (&mut self.decoder, &mut self.buffer);
            if let Some(batch) = guarded(self.file, || decoder.decode(buffer))? {
                return Ok(Some(batch));
            }
            match self.input.next().await? {
                Some(chunk) => {
                    self.tail.extend_from_slice(&chunk[chunk.len().saturating_sub(END.len())..]);
                    let more = self.tail.len().saturating_sub(END.len());
                    self.tail.drain(..more);
                    self.buffer = Buffer::from(chunk);
                }
                None => {
                    let decoder = &mut self.decoder;
                    guarded(self.file, || decoder.finish())?;
                    // A stream that is cut off between two batches ends like a whole one but for this.
                    if self.tail != END {
                        return Err(damaged(self.file, ArrowError::IpcError("the stream has no end marker".into())));
                    }
                    return Ok(None);
                }
            }
        }
    }
}

/// Reads the rows of one file; a column that the file does not have is NULL. `false` where no more rows are wanted.
///
/// # Errors
/// Extractor: the file is damaged. Validation: a value does not fit.
pub async fn rows(store: &Store, file: &SourceFile, fields: &[DxtField], out: &mut Output) -> Result<bool> {
    let target = DxtSchema::new(fields.to_vec()).to_arrow();
    let Some(footer) = footer(store, file).await? else {
        let mut stream = Stream::open(store, file).await?;
        while let Some(batch) = stream.next().await? {
            if !send(fit(&batch, &target, file)?, out).await {
                return Ok(false);
            }
        }
        return Ok(true);
    };
    let wanted = footer.schema.fields().iter().enumerate();
    let wanted = wanted.filter(|(_, f)| fields.iter().any(|w| w.name == *f.name())).map(|(i, _)| i).collect();
    let mut decoder = FileDecoder::new(footer.schema.clone(), footer.version).with_projection(wanted);
    for block in &footer.dictionaries {
        let bytes = block_bytes(store, file, block).await?;
        guarded(file, || decoder.read_dictionary(block, &bytes))?;
    }
    for block in &footer.batches {
        let bytes = block_bytes(store, file, block).await?;
        if let Some(batch) = guarded(file, || decoder.read_record_batch(block, &bytes))?
            && !send(fit(&batch, &target, file)?, out).await
        {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn block_bytes(store: &Store, file: &SourceFile, block: &Block) -> Result<Buffer> {
    let number = |n: i64| u64::try_from(n).map_err(|_| damaged(file, ArrowError::IpcError("a negative block".into())));
    let length = number(block.metaDataLength().into())?.saturating_add(number(block.bodyLength())?);
    Ok(Buffer::from(range(store, file, number(block.offset())?, length).await?))
}

async fn send(batch: RecordBatch, out: &mut Output) -> bool {
    let (mut start, rows) = (0, batch.num_rows());
    while start < rows {
        let length = out.batch_size().min(rows - start);
        if !out.send(batch.slice(start, length)).await {
            return false;
        }
        start += length;
    }
    true
}

/// The batch with exactly the columns and layouts of `target`.
fn fit(batch: &RecordBatch, target: &SchemaRef, file: &SourceFile) -> Result<RecordBatch> {
    guarded(file, || Ok(fitted(batch, target)))?.during(ErrorKind::Validation, || file.shown.to_string())
}

fn fitted(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let columns = target.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(array) => layout(array, field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows)),
    });
    let columns: Result<Vec<ArrayRef>, ArrowError> = columns.collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(target.clone(), columns?, &options)
}

/// The same values in another layout (views, dictionaries, large offsets, zones); what does not fit is an error.
fn layout(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    // Arrow's dates of 64 bits are whole days by definition; some writers put times into them, which a cast would cut.
    if let Some(dates) = array.as_primitive_opt::<Date64Type>()
        && let Some(odd) = dates.iter().flatten().find(|millis| millis % 86_400_000 != 0)
    {
        return Err(ArrowError::CastError(format!("a date64 of {odd} ms is not a whole day")));
    }
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// Encodes one file.
pub struct Encoder {
    writer: FileWriter<Vec<u8>>,
    schema: SchemaRef,
}

impl Encoder {
    /// An encoder of batches with `schema`.
    ///
    /// # Errors
    /// Loader: Arrow's writer refuses the schema.
    pub fn new(schema: &DxtSchema, compression: Compression) -> Result<Self> {
        let schema = schema.to_file_arrow();
        let codec = match compression {
            Compression::Zstd => Some(CompressionType::ZSTD),
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            Compression::Snappy | Compression::None => None,
        };
        let writer = IpcWriteOptions::default()
            .try_with_compression(codec)
            .and_then(|options| FileWriter::try_new_with_options(Vec::new(), &schema, options));
        Ok(Self { writer: writer.during(ErrorKind::Loader, || "writing Arrow".into())?, schema })
    }

    /// Takes a batch, and gives the bytes that are ready.
    ///
    /// # Errors
    /// Loader: the batch cannot be encoded.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let doing = || "writing Arrow".to_string();
        let batch = logical::labelled(batch, &self.schema).during(ErrorKind::Loader, doing)?;
        self.writer.write(&batch).during(ErrorKind::Loader, doing)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    /// Ends the file, and gives its last bytes.
    ///
    /// # Errors
    /// Loader: the file cannot be ended.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.writer.finish().during(ErrorKind::Loader, || "writing Arrow".into())?;
        Ok(std::mem::take(self.writer.get_mut()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Date64Array;
    use arrow::ipc::writer::StreamWriter;

    use super::*;
    use crate::connector::file::listing;
    use crate::connector::file::location::Place;

    async fn read(bytes: &[u8]) -> Result<usize> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.arrow"), bytes).unwrap();
        let place = Place::local(dir.path()).unwrap();
        let files = listing::files(&place.locate("x.arrow").unwrap()).await.unwrap();
        let mut stream = Stream::open(&place.store, &files[0]).await?;
        let mut rows = 0;
        while let Some(batch) = stream.next().await? {
            rows += batch.num_rows();
        }
        Ok(rows)
    }

    #[tokio::test]
    async fn a_stream_that_ends_between_two_batches_is_cut_off() {
        let column: ArrayRef = Arc::new(Date64Array::from(vec![0, 0, 0]));
        let batch = RecordBatch::try_from_iter([("d", column)]).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        let one = writer.get_ref().len();
        writer.write(&batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        assert_eq!(read(&bytes).await.unwrap(), 6);
        for cut in [0, one, bytes.len() - END.len()] {
            let error = read(&bytes[..cut]).await.unwrap_err();
            assert!(error.message().ends_with("is not a whole Arrow file"), "{cut}: {error}");
        }
    }

    #[test]
    fn dates_of_64_bits_are_whole_days_or_an_error() {
        let dates = |millis| Arc::new(Date64Array::from(vec![None, Some(millis)])) as ArrayRef;
        let days = layout(&dates(-86_400_000), &DataType::Date32).unwrap();
        assert_eq!(days.as_primitive::<arrow::datatypes::Date32Type>().value(1), -1);
        let error = layout(&dates(3_600_000), &DataType::Date32).unwrap_err();
        assert!(error.to_string().contains("3600000"), "{error}");
    }
}
