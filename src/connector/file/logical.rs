//! uuid and json in files that carry types: Parquet's logical types `UUID` and `JSON`, Arrow's extension types, and
//! batches that have neither.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{LogicalType, Repetition};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use crate::model::{DxtSchema, DxtType};

/// A writer of Parquet whose schema names uuid and json, for Arrow's readers and for all others. Its batches come from
/// [`labelled`].
///
/// # Errors
/// Parquet has no such type.
pub fn parquet_writer<W: std::io::Write + Send>(
    out: W,
    schema: &DxtSchema,
    properties: WriterProperties,
) -> ParquetResult<ArrowWriter<W>> {
    let arrow = schema.to_file_arrow();
    let plain = ArrowSchemaConverter::new().convert(&arrow)?;
    let root = plain.root_schema();
    let fields = schema.fields.iter().zip(root.get_fields()).map(|(field, node)| annotated(node, &field.dtype));
    let fields = fields.collect::<ParquetResult<Vec<_>>>()?;
    let root = Type::group_type_builder(root.name()).with_fields(fields).build()?;
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_parquet_schema(SchemaDescriptor::new(Arc::new(root)));
    ArrowWriter::try_new_with_options(out, arrow, options)
}

/// The batch as `schema`, which names the extension types of its items and members.
///
/// # Errors
/// The columns are not those of the schema.
pub fn labelled(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            // The same values: only the fields within a list or struct have other metadata.
            false => cast_with_options(column, field.data_type(), &CastOptions { safe: false, ..Default::default() }),
        }
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// The type with the logical types of uuid and json, at any depth.
fn annotated(node: &TypePtr, dtype: &DxtType) -> ParquetResult<TypePtr> {
    let logical = match dtype {
        DxtType::Uuid => LogicalType::Uuid,
        DxtType::Json => LogicalType::Json,
        DxtType::Array(item) => {
            let [repeated] = node.get_fields() else { return Err(unexpected(node)) };
            let [element] = repeated.get_fields() else { return Err(unexpected(node)) };
            let element = annotated(element, item)?;
            return with_fields(node, vec![with_fields(repeated, vec![element])?]);
        }
        DxtType::Object(fields) => {
            let members = node.get_fields().iter().zip(fields).map(|(node, field)| annotated(node, &field.dtype));
            return with_fields(node, members.collect::<ParquetResult<_>>()?);
        }
        _ => return Ok(node.clone()),
    };
    let builder = Type::primitive_type_builder(node.name(), node.get_physical_type())
        .with_repetition(repetition(node))
        .with_logical_type(Some(logical));
    // Only bytes of a fixed length have one.
    let builder = if *dtype == DxtType::Uuid { builder.with_length(16) } else { builder };
    Ok(Arc::new(builder.build()?))
}

fn with_fields(node: &TypePtr, fields: Vec<TypePtr>) -> ParquetResult<TypePtr> {
    let info = node.get_basic_info();
    let group = Type::group_type_builder(node.name())
        .with_repetition(repetition(node))
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_fields(fields);
    Ok(Arc::new(group.build()?))
}

fn repetition(node: &Type) -> Repetition {
    let info = node.get_basic_info();
    if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED }
}

fn unexpected(node: &Type) -> ParquetError {
    ParquetError::General(format!("{} has another shape than Arrow's lists", node.name()))
}

/// Makes uuid and json of what a Parquet file calls so itself: Arrow's own types do not tell.
pub fn named_types(schema: &mut DxtSchema, parquet: &SchemaDescriptor) {
    for (field, node) in schema.fields.iter_mut().zip(parquet.root_schema().get_fields()) {
        named(&mut field.dtype, node);
    }
}

fn named(dtype: &mut DxtType, node: &Type) {
    match dtype {
        DxtType::String if logical(node) == Some(&LogicalType::Json) => *dtype = DxtType::Json,
        DxtType::Binary if logical(node) == Some(&LogicalType::Uuid) => *dtype = DxtType::Uuid,
        DxtType::Array(item) => {
            if let Some(element) = element(node) {
                named(item, element);
            }
        }
        DxtType::Object(fields) if node.is_group() => {
            for (field, node) in fields.iter_mut().zip(node.get_fields()) {
                named(&mut field.dtype, node);
            }
        }
        _ => {}
    }
}

fn logical(node: &Type) -> Option<&LogicalType> {
    node.get_basic_info().logical_type_ref()
}

/// The type of a list's items, in the form of three levels that the format asks for; the older ones have no name for them.
fn element(node: &Type) -> Option<&Type> {
    let [repeated] = (if node.is_group() { node.get_fields() } else { &[] }) else { return None };
    let [element] = (if repeated.is_group() { repeated.get_fields() } else { &[] }) else { return None };
    Some(element)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, FixedSizeBinaryArray, ListArray, StringArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::model::DxtField;

    fn list(item: DxtType) -> DxtType {
        DxtType::Array(Box::new(item))
    }

    fn schema() -> DxtSchema {
        DxtSchema::new(vec![
            DxtField::new("u", DxtType::Uuid).nullable(false),
            DxtField::new("j", DxtType::Json),
            DxtField::new("us", list(DxtType::Uuid)),
            DxtField::new("o", DxtType::Object(vec![DxtField::new("js", list(DxtType::Json))])),
        ])
    }

    fn batch() -> RecordBatch {
        let uuids: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([[1u8; 16], [2; 16]].into_iter()).unwrap());
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("{}"), None]));
        let listed = |values: &ArrayRef| -> ArrayRef {
            let item = Arc::new(Field::new("item", values.data_type().clone(), true));
            Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([2, 0]), values.clone(), None))
        };
        let plan = schema().to_arrow();
        let DataType::Struct(members) = plan.field(3).data_type() else { panic!("{plan}") };
        let object: ArrayRef = Arc::new(StructArray::new(members.clone(), vec![listed(&texts)], None));
        RecordBatch::try_new(plan, vec![uuids.clone(), texts.clone(), listed(&uuids), object]).unwrap()
    }

    #[test]
    fn parquet_says_uuid_and_json_to_every_reader() {
        let schema = schema();
        let mut writer = parquet_writer(Vec::new(), &schema, WriterProperties::default()).unwrap();
        writer.write(&labelled(&batch(), &schema.to_file_arrow()).unwrap()).unwrap();
        let bytes = bytes::Bytes::from(writer.into_inner().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let parquet = reader.parquet_schema().clone();
        let logical = |leaf: usize| parquet.column(leaf).logical_type_ref().cloned();
        assert_eq!(
            (0..4).map(logical).collect::<Vec<_>>(),
            [Some(LogicalType::Uuid), Some(LogicalType::Json), Some(LogicalType::Uuid), Some(LogicalType::Json)]
        );
        // By Arrow's metadata, and by Parquet's own types alone.
        assert_eq!(DxtSchema::from_file_arrow(reader.schema()).unwrap(), schema);
        let bare = parquet::arrow::parquet_to_arrow_schema(&parquet, None).unwrap();
        let mut told = DxtSchema::from_file_arrow(&bare).unwrap();
        assert_eq!(told.fields[0].dtype, DxtType::Binary);
        named_types(&mut told, &parquet);
        assert_eq!(told, schema);
        let read = reader.build().unwrap().next().unwrap().unwrap();
        assert_eq!(read.column(0), batch().column(0));
        assert_eq!(read.column(2).as_list::<i32>().values(), batch().column(0));
        assert!(read.column(3).as_struct().column(0).as_list::<i32>().values().is_null(1));
    }

    #[test]
    fn labels_change_no_value() {
        let labelled = labelled(&batch(), &schema().to_file_arrow()).unwrap();
        assert_eq!(labelled.column(2).as_list::<i32>().values(), batch().column(2).as_list::<i32>().values());
        assert_eq!(DxtSchema::from_file_arrow(&labelled.schema()).unwrap(), schema());
    }
}
