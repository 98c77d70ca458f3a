//! Parquet whose writer had its texts as views: the Arrow schema within the file asks for views again, which would then be
//! made plain texts, row by row. Here the reader is told of plain ones, and decodes these at once.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use bytes::Bytes;
use datafusion::common::Result as PlanResult;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::errors::Result;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder};

/// Opens files for DataFusion's scans.
#[derive(Debug)]
pub struct PlainTexts(DefaultParquetFileReaderFactory);

impl PlainTexts {
    /// Of the files in a store.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(DefaultParquetFileReaderFactory::new(store))
    }
}

impl ParquetFileReaderFactory for PlainTexts {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> PlanResult<Box<dyn AsyncFileReader + Send>> {
        Ok(Box::new(Opened(self.0.create_reader(partition_index, file, metadata_size_hint, metrics)?)))
    }
}

struct Opened(Box<dyn AsyncFileReader + Send>);

impl AsyncFileReader for Opened {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.0.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        self.0.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move { Ok(without_views(self.0.get_metadata(options).await?)) }.boxed()
    }
}

/// The footer with an Arrow schema that has no views. One that cannot be read is left to the reader's own words.
fn without_views(metadata: Arc<ParquetMetaData>) -> Arc<ParquetMetaData> {
    let file = metadata.file_metadata();
    let Some(pairs) = file.key_value_metadata().filter(|pairs| pairs.iter().any(|p| p.key == ARROW_SCHEMA_META_KEY))
    else {
        return metadata;
    };
    let Ok(schema) = parquet_to_arrow_schema(file.schema_descr(), Some(pairs)) else { return metadata };
    let fields = plain_fields(schema.fields());
    if fields == *schema.fields() {
        return metadata;
    }
    let schema = encode_arrow_schema(&Schema::new_with_metadata(fields, schema.metadata().clone()));
    let mut pairs = pairs.clone();
    for pair in pairs.iter_mut().filter(|pair| pair.key == ARROW_SCHEMA_META_KEY) {
        pair.value = Some(schema.clone());
    }
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_string),
        Some(pairs),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let built = ParquetMetaDataBuilder::new(file)
        .set_row_groups(metadata.row_groups().to_vec())
        .set_column_index(metadata.column_index().cloned())
        .set_offset_index(metadata.offset_index().cloned());
    Arc::new(built.build())
}

fn plain_fields(fields: &Fields) -> Fields {
    fields.iter().map(plain_field).collect()
}

fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(plain(field.data_type())))
}

fn plain(dtype: &DataType) -> DataType {
    match dtype {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(plain_field(item), *length),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(plain_fields(fields)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, ListBuilder, StringViewArray, StringViewBuilder};
    use arrow::record_batch::RecordBatch;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::ParquetMetaDataReader;

    use super::*;

    fn footer(columns: Vec<(&str, ArrayRef)>) -> Arc<ParquetMetaData> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let bytes = Bytes::from(writer.into_inner().unwrap());
        Arc::new(ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap())
    }

    fn types(metadata: &ParquetMetaData) -> Vec<DataType> {
        let file = metadata.file_metadata();
        let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).unwrap();
        schema.fields().iter().map(|f| f.data_type().clone()).collect()
    }

    #[test]
    fn views_become_plain_texts_and_all_else_stays() {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        lists.append_value([Some("a"), None]);
        let before = footer(vec![
            ("n", Arc::new(Int64Array::from(vec![1]))),
            ("t", Arc::new(StringViewArray::from(vec!["x"]))),
            ("l", Arc::new(lists.finish())),
        ]);
        assert_eq!(types(&before)[1], DataType::Utf8View, "the test needs a view");
        let after = without_views(before.clone());
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        assert_eq!(types(&after), [DataType::Int64, DataType::Utf8, list]);
        assert_eq!(after.row_groups(), before.row_groups());
        assert_eq!(after.file_metadata().num_rows(), 1);
    }

    #[test]
    fn a_footer_without_views_is_the_same_one() {
        let before = footer(vec![("n", Arc::new(Int64Array::from(vec![1])))]);
        assert!(Arc::ptr_eq(&before, &without_views(before.clone())));
    }
}
