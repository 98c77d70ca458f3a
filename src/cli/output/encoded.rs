//! Rows for programs, by the encoders of file targets: what is written here is read back as it was.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::connector::file::encode::{Encoder, Packer};
use crate::connector::file::format::{FileOptions, Format};
use crate::connector::file::json::write as json;
use crate::connector::file::logical::labelled;
use crate::connector::file::stored;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, DxtType};
use crate::plan::strict::cast_strict;

/// The columns of a result in dxt's types.
struct Columns {
    schema: DxtSchema,
    arrow: SchemaRef,
}

impl Columns {
    /// Those of a plan. In text, what has no type of dxt (intervals, maps) is its text, as it is printed in a table.
    fn new(schema: &SchemaRef, text: bool) -> Result<Self> {
        let field = |field: &Arc<Field>| match DxtField::from_arrow(field) {
            Ok(found) => Ok(found),
            Err(_) if text => Ok(DxtField::new(field.name(), DxtType::String).nullable(field.is_nullable())),
            Err(error) => Err(error.with_hint("cast the column to text in the query")),
        };
        let schema = DxtSchema::new(schema.fields().iter().map(field).collect::<Result<_>>()?);
        Ok(Self { arrow: schema.to_arrow(), schema })
    }

    /// An object of JSON has each name once, as has a Parquet file: readers keep one of two values.
    fn unique(self) -> Result<Self> {
        let mut seen = HashSet::new();
        match self.schema.fields.iter().find(|f| !seen.insert(f.name.as_str())) {
            None => Ok(self),
            Some(twice) => Err(Error::new(ErrorKind::Schema, format!("two columns are called {}", twice.name))
                .with_hint("give one of them another name with AS, or take --format csv")),
        }
    }

    fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns =
            batch.columns().iter().zip(self.arrow.fields()).map(|(column, field)| {
                match DxtType::from_arrow(column.data_type()) {
                    Ok(_) => cast_strict(column, field.data_type(), field.name()),
                    Err(_) => printed(column),
                }
            });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.arrow.clone(), columns.collect::<Result<_>>()?, &options)
            .during(ErrorKind::Pipeline, || "writing rows".into())
    }
}

/// Each value as the text that a table has.
fn printed(column: &ArrayRef) -> Result<ArrayRef> {
    let doing = || "writing rows".to_string();
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).during(ErrorKind::Pipeline, doing)?;
    let mut out = StringBuilder::new();
    for row in 0..column.len() {
        match column.is_null(row) {
            true => out.append_null(),
            false => out.append_value(formatter.value(row).try_to_string().during(ErrorKind::Pipeline, doing)?),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// CSV, JSON lines, Parquet, or an Arrow file.
pub struct Encoded {
    columns: Columns,
    encoder: Encoder,
}

impl Encoded {
    /// An encoder for a file with this name, which tells how text is compressed and whether tabs part its fields.
    ///
    /// # Errors
    /// Schema: a name is there twice. Type mapping: the format has no such type.
    pub fn new(format: Format, schema: &SchemaRef, name: &str) -> Result<Self> {
        let mut columns = Columns::new(schema, format.is_text())?;
        if format != Format::Csv {
            columns = columns.unique()?;
        }
        let held = |field: &mut DxtField| {
            let dtype = stored(&field.dtype, format);
            dtype.map(|dtype| field.dtype = dtype).map_err(|e| e.context(format!("column {}", field.name)))
        };
        columns.schema.fields.iter_mut().try_for_each(held)?;
        columns.arrow = columns.schema.to_arrow();
        let encoder = Encoder::new(format, &FileOptions::default(), name, &columns.schema)?;
        Ok(Self { columns, encoder })
    }

    /// Takes rows, and gives the bytes that are ready.
    ///
    /// # Errors
    /// Loader, validation: the format cannot hold a value.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        self.encoder.write(&self.columns.fit(batch)?)
    }

    /// The last bytes.
    ///
    /// # Errors
    /// Loader: the file cannot be ended.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.encoder.finish()
    }
}

/// One array of JSON objects.
pub struct Array {
    columns: Columns,
    packer: Packer,
    begun: bool,
}

impl Array {
    /// An array in a file with this name, which tells how it is compressed.
    ///
    /// # Errors
    /// Schema: a name is there twice.
    pub fn new(schema: &SchemaRef, name: &str) -> Result<Self> {
        let packer = Packer::new(FileOptions::default().codec(name)?)?;
        Ok(Self { columns: Columns::new(schema, true)?.unique()?, packer, begun: false })
    }

    /// Takes rows, and gives the bytes that are ready.
    ///
    /// # Errors
    /// Loader, validation: JSON cannot hold a value.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut lines = Vec::new();
        json::rows(&self.columns.fit(batch)?, &self.columns.schema.fields, &mut lines)?;
        // Each object is on a line, and none has a line's end within.
        let mut text = Vec::with_capacity(lines.len() + 1);
        for object in lines.split(|byte| *byte == b'\n').filter(|object| !object.is_empty()) {
            text.push(if std::mem::replace(&mut self.begun, true) { b',' } else { b'[' });
            text.extend_from_slice(object);
        }
        self.packer.pack(text)
    }

    /// The last bytes.
    ///
    /// # Errors
    /// Loader: the text cannot be compressed.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        let end = if self.begun { "]\n" } else { "[]\n" };
        let mut bytes = self.packer.pack(end.into())?;
        bytes.append(&mut self.packer.finish()?);
        Ok(bytes)
    }
}

/// Arrow's IPC stream.
pub struct Stream {
    columns: Columns,
    labels: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

impl Stream {
    /// A stream of rows with `schema`.
    ///
    /// # Errors
    /// Type mapping: a column has no type of dxt. Schema: a name is there twice.
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        let columns = Columns::new(schema, false)?.unique()?;
        let labels = columns.schema.to_file_arrow();
        let writer = StreamWriter::try_new(Vec::new(), &labels).during(ErrorKind::Pipeline, Self::doing)?;
        Ok(Self { columns, labels, writer })
    }

    fn doing() -> String {
        "writing an Arrow stream".into()
    }

    /// Takes rows, and gives the bytes that are ready.
    ///
    /// # Errors
    /// Pipeline: Arrow cannot write them.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        // Readers wait for rows, and need no message without any.
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let batch = self.columns.fit(batch)?;
        let batch = labelled(&batch, &self.labels).during(ErrorKind::Pipeline, Self::doing)?;
        self.writer.write(&batch).during(ErrorKind::Pipeline, Self::doing)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    /// The last bytes.
    ///
    /// # Errors
    /// Pipeline: Arrow cannot write them.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.writer.finish().during(ErrorKind::Pipeline, Self::doing)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }
}
