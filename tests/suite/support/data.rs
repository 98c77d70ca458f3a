//! Small tables written by Parquet's own writer.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;

pub fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).expect("a batch");
    let mut writer = ArrowWriter::try_new(File::create(path).expect("a file"), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
}

/// `id`, `name`, `v`: the table of the load tests.
pub fn people(path: &Path, rows: &[(i64, Option<&str>, Option<i64>)]) {
    let ids = Int64Array::from_iter_values(rows.iter().map(|r| r.0));
    let names: StringArray = rows.iter().map(|r| r.1).collect();
    let values: Int64Array = rows.iter().map(|r| r.2).collect();
    write_parquet(path, vec![("id", Arc::new(ids)), ("name", Arc::new(names)), ("v", Arc::new(values))]);
}
