//! Parquet: schemas, scans through DataFusion's reader (projection, pruning by statistics), and the writer.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::{Result as PlanResult, Statistics};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::MetadataFetch;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use super::format::Codec as TextCodec;
use super::labelled::LabelledExec;
use super::listing::SourceFile;
use super::logical;
use super::statistics;
use super::store::Store;
use super::views::PlainTexts;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{Compression, DxtSchema};

/// Rows per row group at most: readers hold one at a time.
const GROUP_ROWS: usize = 1 << 20;
/// Bytes per row group at most, as they will be in the file; the writer holds them all, and readers a column of them.
const GROUP_BYTES: usize = 8 << 20;
/// A column's dictionary at most: past it, values stand for themselves. What is looked up for nothing is a third of the
/// time of a column of unlike values, and each column holds its dictionary twice.
const DICTIONARY_BYTES: usize = 256 << 10;
/// A page before compression, and its rows. Each page is compressed by a context of its own, which costs more than a
/// short page itself.
const PAGE_BYTES: usize = 512 << 10;
const PAGE_ROWS: usize = 100_000;
/// A batch that is read has about so many bytes at most, and at least one row.
const BATCH_BYTES: u64 = 2 << 20;
/// Bytes asked from a file's end at first: most footers fit.
const FOOTER: usize = 64 << 10;

struct Footer<'a>(&'a Store, &'a SourceFile);

impl MetadataFetch for Footer<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let got = async move { self.0.object.get_range(&self.1.meta.location, range).await };
        got.map(|bytes| bytes.map_err(|e| ParquetError::External(Box::new(e)))).boxed()
    }
}

/// What a file's footer says of it.
pub struct Described {
    /// Its columns.
    pub schema: DxtSchema,
    /// Its rows, and what it knows of its columns.
    pub statistics: Statistics,
    /// For each column, the decoded bytes of a row, on average in the row group where it is widest.
    pub widths: Vec<u64>,
}

/// Reads a file's footer.
///
/// # Errors
/// Extractor: the file is no Parquet file, or damaged. Type mapping: a column's type is none of dxt's.
pub async fn describe(store: &Store, file: &SourceFile) -> Result<Described> {
    let read = async {
        let mut reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER));
        reader.try_load(Footer(store, file), file.meta.size).await?;
        let metadata = reader.finish()?;
        ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())
    };
    // A damaged footer makes the decoder panic at times.
    let read = AssertUnwindSafe(read).catch_unwind().await;
    let read = read.unwrap_or_else(|_| Err(ParquetError::General("the footer is malformed".into())));
    let metadata = read.map_err(|e| {
        Error::new(ErrorKind::Extractor, format!("{} is not a whole Parquet file", file.shown))
            .with_source(e)
            .with_hint("it is damaged or cut off, or another format: `options: {format: …}` names it")
    })?;
    let mut schema = DxtSchema::from_file_arrow(metadata.schema()).map_err(|e| e.context(file.shown.to_string()))?;
    let file_metadata = metadata.metadata().file_metadata();
    logical::named_types(&mut schema, file_metadata.schema_descr());
    let own = schema.to_arrow();
    let found = catch_unwind(AssertUnwindSafe(|| statistics::of_footer(metadata.metadata(), &own)));
    // They serve estimates alone: a file whose footer has wrong ones is read as one that has none.
    let statistics = found.ok().and_then(PlanResult::ok).unwrap_or_else(|| Statistics::new_unknown(&own));
    Ok(Described { widths: statistics::widths(metadata.metadata()), schema, statistics })
}

/// How many rows of `width` bytes make a batch: at most `batch_size`.
pub fn batch_rows(width: u64, batch_size: usize) -> usize {
    let rows = usize::try_from(BATCH_BYTES / width.max(1)).unwrap_or(usize::MAX);
    rows.clamp(1, batch_size.max(1))
}

/// Files that are read as one table.
pub struct Table<'a> {
    /// The dataset for people.
    pub label: &'a str,
    /// Where the files are.
    pub store: &'a Store,
    /// The files, in order.
    pub files: &'a [(SourceFile, TextCodec)],
    /// The columns of all files together.
    pub schema: &'a SchemaRef,
    /// What their footers say of them.
    pub known: &'a Statistics,
}

/// A scan of a table. DataFusion's reader fits each file's columns to its schema: other layouts of one type are cast, and a
/// column that a file does not have is NULL. Filters reach it by DataFusion's optimizer.
///
/// # Errors
/// DataFusion's, where the projection does not fit the schema.
pub fn scan(
    table: &Table<'_>,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
    batch_size: usize,
) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let opens = Arc::new(PlainTexts::new(table.store.object.clone()));
    let source = ParquetSource::new(TableSchema::from(table.schema.clone())).with_parquet_file_reader_factory(opens);
    // One group keeps the files' order; the optimizer parts it where a node above gains by that.
    let group = FileGroup::new(table.files.iter().map(|(file, _)| file.meta.clone().into()).collect());
    let config = FileScanConfigBuilder::new(table.store.url.clone(), Arc::new(source))
        .with_file_group(group)
        .with_statistics(table.known.clone())
        .with_limit(limit)
        .with_batch_size(Some(batch_size))
        .with_projection_indices(projection.cloned())?
        .build();
    Ok(Arc::new(LabelledExec::new(table.label.to_string(), DataSourceExec::from_data_source(config))))
}

/// How dxt writes Parquet: what targets and buffers have in common.
pub fn properties(compression: Compression) -> WriterPropertiesBuilder {
    let codec = match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
        Compression::Snappy => Codec::SNAPPY,
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::None => Codec::UNCOMPRESSED,
    };
    WriterProperties::builder()
        .set_compression(codec)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
}

/// Encodes one file.
pub struct Encoder {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
}

impl Encoder {
    /// An encoder of batches with `schema`.
    ///
    /// # Errors
    /// Loader: Parquet has no such type.
    pub fn new(schema: &DxtSchema, compression: Compression, group_rows: Option<u64>) -> Result<Self> {
        let rows = group_rows.map_or(GROUP_ROWS, |rows| usize::try_from(rows).unwrap_or(GROUP_ROWS));
        let properties = properties(compression)
            .set_max_row_group_row_count(Some(rows.max(1)))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .set_created_by(format!("dxt {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = logical::parquet_writer(Vec::new(), schema, properties);
        let writer = writer.during(ErrorKind::Loader, || "writing Parquet".into())?;
        Ok(Self { writer, schema: schema.to_file_arrow() })
    }

    /// Takes a batch, and gives the bytes that are ready.
    ///
    /// # Errors
    /// Loader: the batch cannot be encoded.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let doing = || "writing Parquet".to_string();
        let batch = logical::labelled(batch, &self.schema).during(ErrorKind::Loader, doing)?;
        self.writer.write(&batch).during(ErrorKind::Loader, doing)?;
        // What the writer still buffers belongs before what it writes next.
        self.writer.sync().during(ErrorKind::Loader, doing)?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// Ends the file, and gives its last bytes.
    ///
    /// # Errors
    /// Loader: the file cannot be ended.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.writer.finish().during(ErrorKind::Loader, || "writing Parquet".into())?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn a_batch_closes_by_rows_and_by_bytes() {
        assert_eq!(batch_rows(10, 65_536), 65_536);
        assert_eq!(batch_rows(1 << 20, 65_536), 2);
        assert_eq!(batch_rows(1 << 30, 65_536), 1);
        assert_eq!(batch_rows(0, 100), 100);
    }

    #[test]
    fn a_texts_width_is_that_of_its_values_and_not_of_their_dictionary() {
        let wide = "x".repeat(10_000);
        let columns: [(&str, ArrayRef); 2] = [
            ("n", Arc::new(Int64Array::from_iter_values(0..500))),
            ("t", Arc::new(StringArray::from_iter_values((0..500).map(|_| wide.as_str())))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = DxtSchema::from_arrow(&batch.schema()).unwrap();
        let mut encoder = Encoder::new(&schema, Compression::Zstd, None).unwrap();
        let mut bytes = encoder.write(&batch).unwrap();
        bytes.extend(encoder.finish().unwrap());
        assert!(bytes.len() < 50_000, "{} bytes: the test needs a dictionary", bytes.len());
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
        let widths = statistics::widths(reader.metadata());
        assert!((8..20).contains(&widths[0]), "{widths:?}");
        assert!((10_000..11_000).contains(&widths[1]), "{widths:?}");
    }
}
