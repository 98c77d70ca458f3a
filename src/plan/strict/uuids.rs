//! uuid and its text, exactly; and the types in which people read it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, StringArray, StringBuilder};
use arrow::datatypes::DataType;

use super::{misfit, no_cast, shorten};
use crate::error::Result;
use crate::model::{UUID_BYTES, is_uuid, parse_uuid, uuid_text};

/// Every text as the uuid it spells.
pub(super) fn parse(texts: &StringArray, to: &DataType, field: &str) -> Result<ArrayRef> {
    let mut out = FixedSizeBinaryBuilder::with_capacity(texts.len(), UUID_BYTES as i32);
    for text in texts.iter() {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        let value = parse_uuid(text.as_bytes()).ok_or_else(|| misfit(&shorten(text), to, field))?;
        out.append_value(value).map_err(|e| no_cast(&DataType::Utf8, to, field).with_source(e))?;
    }
    Ok(Arc::new(out.finish()))
}

/// Every uuid as its canonical text.
pub(super) fn print(array: &ArrayRef) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 36);
    for row in 0..array.len() {
        out.append_option(text(array.as_ref(), row));
    }
    Arc::new(out.finish())
}

/// The canonical text of one value; `None` for NULL, and where the array is of another type.
pub(super) fn text(array: &dyn Array, row: usize) -> Option<String> {
    let values = array.as_fixed_size_binary_opt().filter(|values| values.is_valid(row))?;
    values.value(row).try_into().ok().map(uuid_text)
}

/// The type with text in the place of uuid, at any depth: what people and JSON read.
pub fn readable_type(data_type: &DataType) -> DataType {
    let with = |field: &Arc<arrow::datatypes::Field>| {
        let readable = readable_type(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(readable))
    };
    match data_type {
        uuid if is_uuid(uuid) => DataType::Utf8,
        DataType::List(item) => DataType::List(with(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(with).collect()),
        other => other.clone(),
    }
}

/// The same values with the text of each uuid in its place.
///
/// # Errors
/// Type mapping: the array has a layout that batches of dxt do not have.
pub fn readable(array: &ArrayRef, field: &str) -> Result<ArrayRef> {
    super::cast_strict(array, &readable_type(array.data_type()), field)
}
