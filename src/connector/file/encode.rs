//! Batches as the bytes of a file, in any format.

use std::io::Write;

use arrow::record_batch::RecordBatch;
use flate2::write::GzEncoder;

use super::format::{Codec, Dialect, FileOptions, Format};
use super::{csv, ipc, json, parquet};
use crate::error::{ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema};

/// Encodes one file. Bytes come out as batches go in; none are kept but what the format needs.
pub struct Encoder {
    fields: Vec<DxtField>,
    form: Form,
}

enum Form {
    Parquet(Box<parquet::Encoder>),
    Ipc(Box<ipc::Encoder>),
    Csv { dialect: Dialect, packer: Packer, begun: bool },
    Json(Packer),
}

impl Encoder {
    /// An encoder for a file with this name, which says how text is compressed.
    ///
    /// # Errors
    /// Configuration: an option does not fit. Loader: the format refuses the schema.
    pub fn new(format: Format, options: &FileOptions, name: &str, schema: &DxtSchema) -> Result<Self> {
        let form = match format {
            Format::Parquet => {
                let (compression, rows) = (options.page_compression()?, options.row_group_rows);
                Form::Parquet(Box::new(parquet::Encoder::new(schema, compression, rows)?))
            }
            Format::Ipc => Form::Ipc(Box::new(ipc::Encoder::new(schema, options.buffer_compression()?)?)),
            Format::Csv => {
                let packer = Packer::new(options.codec(name)?)?;
                Form::Csv { dialect: options.dialect(name)?, packer, begun: false }
            }
            Format::Json => Form::Json(Packer::new(options.codec(name)?)?),
        };
        Ok(Self { fields: schema.fields.clone(), form })
    }

    /// Takes a batch of the schema, and gives the bytes that are ready.
    ///
    /// # Errors
    /// Loader: the format cannot hold a value.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        match &mut self.form {
            Form::Parquet(encoder) => encoder.write(batch),
            Form::Ipc(encoder) => encoder.write(batch),
            Form::Csv { dialect, packer, begun } => {
                let mut text = Vec::new();
                if !std::mem::replace(begun, true) {
                    csv::write::header(&self.fields, dialect, &mut text)?;
                }
                csv::write::rows(batch, &self.fields, dialect, &mut text)?;
                packer.pack(text)
            }
            Form::Json(packer) => {
                let mut text = Vec::new();
                json::write::rows(batch, &self.fields, &mut text)?;
                packer.pack(text)
            }
        }
    }

    /// Ends the file, and gives its last bytes. A file without rows is a whole file too.
    ///
    /// # Errors
    /// Loader: the file cannot be ended.
    pub fn finish(self) -> Result<Vec<u8>> {
        match self.form {
            Form::Parquet(encoder) => encoder.finish(),
            Form::Ipc(encoder) => encoder.finish(),
            Form::Csv { dialect, mut packer, begun } => {
                let mut text = Vec::new();
                if !begun {
                    csv::write::header(&self.fields, &dialect, &mut text)?;
                }
                let mut bytes = packer.pack(text)?;
                bytes.append(&mut packer.finish()?);
                Ok(bytes)
            }
            Form::Json(packer) => packer.finish(),
        }
    }
}

/// Compresses text as a whole.
pub enum Packer {
    None,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Packer {
    /// A packer by this codec.
    ///
    /// # Errors
    /// Loader: it cannot begin.
    pub fn new(codec: Codec) -> Result<Self> {
        Ok(match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
            Codec::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)
                    .and_then(|mut encoder| encoder.include_checksum(true).map(|()| encoder));
                Self::Zstd(encoder.during(ErrorKind::Loader, || "compressing".into())?)
            }
        })
    }

    /// Takes text, and gives the bytes that are ready.
    ///
    /// # Errors
    /// Loader: it cannot be compressed.
    pub fn pack(&mut self, text: Vec<u8>) -> Result<Vec<u8>> {
        let packed = match self {
            Self::None => return Ok(text),
            Self::Gzip(encoder) => encoder.write_all(&text).map(|()| std::mem::take(encoder.get_mut())),
            Self::Zstd(encoder) => encoder.write_all(&text).map(|()| std::mem::take(encoder.get_mut())),
        };
        packed.during(ErrorKind::Loader, || "compressing".into())
    }

    /// The last bytes.
    ///
    /// # Errors
    /// Loader: it cannot be compressed.
    pub fn finish(self) -> Result<Vec<u8>> {
        let packed = match self {
            Self::None => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        };
        packed.during(ErrorKind::Loader, || "compressing".into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::model::{DxtType, Options};

    fn options(compression: &str) -> FileOptions {
        let options = Options::from([("compression".to_string(), serde_json::json!(compression))]);
        FileOptions::read(&[&options], "options").unwrap()
    }

    fn encoded(format: Format, options: &FileOptions, name: &str, rows: &[i64]) -> Vec<u8> {
        let schema = DxtSchema::new(vec![DxtField::new("n", DxtType::Int64)]);
        let mut encoder = Encoder::new(format, options, name, &schema).unwrap();
        let mut bytes = Vec::new();
        for row in rows {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![*row]));
            bytes.extend(encoder.write(&RecordBatch::try_new(schema.to_arrow(), vec![column]).unwrap()).unwrap());
        }
        bytes.extend(encoder.finish().unwrap());
        bytes
    }

    #[test]
    fn csv_has_one_header_with_rows_and_without() {
        let plain = FileOptions::default();
        assert_eq!(encoded(Format::Csv, &plain, "x.csv", &[]), b"n\n");
        assert_eq!(encoded(Format::Csv, &plain, "x.csv", &[1, 2]), b"n\n1\n2\n");
    }

    #[test]
    fn text_is_compressed_by_suffix_or_option() {
        let expected = b"{\"n\":1}\n{\"n\":2}\n";
        let zipped = encoded(Format::Json, &FileOptions::default(), "x.jsonl.gz", &[1, 2]);
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&zipped[..]), &mut text).unwrap();
        assert_eq!(text, expected);
        let packed = encoded(Format::Json, &options("zstd"), "x.jsonl", &[1, 2]);
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), expected);
    }

    #[test]
    fn every_codec_makes_whole_files() {
        for codec in ["zstd", "snappy", "lz4", "none"] {
            let bytes = encoded(Format::Parquet, &options(codec), "x.parquet", &[1, 2, 3]);
            let rows = ::parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 10);
            assert_eq!(rows.unwrap().map(|b| b.unwrap().num_rows()).sum::<usize>(), 3);
        }
        for codec in ["zstd", "lz4", "none"] {
            let bytes = encoded(Format::Ipc, &options(codec), "x.arrow", &[1, 2, 3]);
            let rows = arrow::ipc::reader::FileReader::try_new(std::io::Cursor::new(bytes), None);
            assert_eq!(rows.unwrap().map(|b| b.unwrap().num_rows()).sum::<usize>(), 3);
        }
    }
}
