//! What files say of their size before they are read: joins are planned by it.
//!
//! The rows of Parquet are as its footers count them, so that a `count(*)` needs no more than these. All else is a hint,
//! from which no answer may be taken: writers leave NaN out of bounds, cut them off, or do not write them.

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use parquet::basic::Type as Physical;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::format::{Codec, Format};
use super::listing::SourceFile;

/// Characters of a value in a text file with its delimiter, at least for most: `1,`.
const VALUE: u64 = 2;
/// Bytes in memory of one byte of a file, at most for most: `1,` may be a decimal of 16 bytes.
const GROWTH: u64 = 8;
/// Bytes in one byte of a file that is compressed, at most for most: Arrow's formats may be, and do not say it by name.
const COMPRESSION: u64 = 20;
const IPC_COMPRESSION: u64 = 4;
/// A text of a Parquet dictionary, where the writer did not say how long its texts are together.
const TEXT: u64 = 256;

/// What a footer says of the columns of `schema`, which are the file's, in its order.
///
/// # Errors
/// DataFusion's, where the footer contradicts itself.
pub fn of_footer(metadata: &ParquetMetaData, schema: &SchemaRef) -> Result<Statistics> {
    let mut known = DFParquetMetadata::statistics_from_parquet_metadata(metadata, schema)?;
    let sizes = sizes(metadata);
    for (index, column) in known.column_statistics.iter_mut().enumerate() {
        let dtype = schema.field(index).data_type();
        *column = std::mem::take(column).to_inexact();
        // A text's bounds serve no estimate, and a float's leave NaN out.
        if !dtype.is_primitive() || dtype.is_floating() {
            column.min_value = Precision::Absent;
            column.max_value = Precision::Absent;
        }
        let size = match dtype.primitive_width() {
            Some(width) => known.num_rows.get_value().map(|rows| rows.saturating_mul(width)),
            None => sizes.get(index).copied(),
        };
        column.byte_size = size.map_or(Precision::Absent, Precision::Inexact);
        plausible(column);
    }
    Ok(with_total(known))
}

/// Those of several files together, by the names of their columns, for a table with `schema`.
///
/// # Errors
/// DataFusion's, where bounds cannot be compared.
pub fn of_all(files: &[(SchemaRef, Statistics)], schema: &Schema) -> Result<Statistics> {
    let fitted = files.iter().map(|(own, known)| {
        let columns = schema.fields().iter().map(|field| match own.index_of(field.name()) {
            Ok(index) => known.column_statistics.get(index).cloned().unwrap_or_default(),
            // All of its rows are NULL there.
            Err(_) => ColumnStatistics::new_unknown().with_byte_size(Precision::Inexact(0)),
        });
        Statistics { column_statistics: columns.collect(), ..known.clone() }
    });
    let fitted: Vec<Statistics> = fitted.collect();
    let mut all = Statistics::try_merge_iter(&fitted, schema)?;
    all.column_statistics.iter_mut().for_each(plausible);
    Ok(with_total(all))
}

/// Drops bounds that contradict each other: planning would fail by them.
fn plausible(column: &mut ColumnStatistics) {
    if let (Some(least), Some(greatest)) = (column.min_value.get_value(), column.max_value.get_value())
        && (least.is_null() || greatest.is_null() || least.partial_cmp(greatest).is_none_or(|order| order.is_gt()))
    {
        column.min_value = Precision::Absent;
        column.max_value = Precision::Absent;
    }
}

/// What the size of files without a footer tells of their rows. It is a guess that is meant to be too much.
pub fn guessed(files: &[(SourceFile, Codec)], format: Format, schema: &Schema) -> Statistics {
    let mut known = Statistics::new_unknown(schema);
    // A web server may not say how large a file is.
    if files.iter().any(|(file, _)| file.meta.size == 0) && !files.is_empty() {
        return known;
    }
    let plain = |(file, codec): &(SourceFile, Codec)| match codec {
        Codec::None => file.meta.size,
        _ => file.meta.size.saturating_mul(COMPRESSION),
    };
    let bytes = files.iter().map(plain).fold(0_u64, u64::saturating_add);
    let bytes = if format == Format::Ipc { bytes.saturating_mul(IPC_COMPRESSION) } else { bytes };
    let names: usize = schema.fields().iter().map(|field| field.name().len() + 4).sum();
    let columns = schema.fields().len().max(1) as u64;
    let row = match format {
        Format::Json => columns * VALUE + names as u64,
        // In memory as they are in the file: a number has 4 bytes at least, as a rule.
        Format::Ipc => columns * 4,
        _ => columns * VALUE,
    };
    let growth = if format == Format::Ipc { 1 } else { GROWTH };
    let count = |number: u64| Precision::Inexact(usize::try_from(number).unwrap_or(usize::MAX));
    known.num_rows = count(bytes.div_ceil(row));
    for column in &mut known.column_statistics {
        column.byte_size = count(bytes.saturating_mul(growth) / columns);
    }
    with_total(known)
}

/// Those of the columns that a scan reads, in its order, and of its first rows where it has a limit.
pub fn of_scan(known: &Statistics, projection: Option<&Vec<usize>>, limit: Option<usize>) -> Statistics {
    let mut part = known.clone();
    if let Some(wanted) = projection {
        part.column_statistics = wanted.iter().filter_map(|i| known.column_statistics.get(*i).cloned()).collect();
    }
    if let (Some(limit), Some(rows)) = (limit, part.num_rows.get_value().copied())
        && limit < rows
    {
        part.num_rows = Precision::Inexact(limit);
        for column in &mut part.column_statistics {
            let bytes = column.byte_size.get_value().map(|bytes| (bytes / rows.max(1)).saturating_mul(limit));
            column.byte_size = bytes.map_or(Precision::Absent, Precision::Inexact);
        }
    }
    with_total(part)
}

/// The size of all columns together, where each is known: DataFusion leaves it at that of the whole table.
pub fn with_total(mut known: Statistics) -> Statistics {
    let mut sizes = known.column_statistics.iter().map(|column| column.byte_size.get_value().copied());
    if !known.column_statistics.is_empty()
        && let Some(total) = sizes.try_fold(0_usize, |sum, size| Some(sum.saturating_add(size?)))
    {
        known.total_byte_size = Precision::Inexact(total);
    }
    known
}

/// For each column of the file, the bytes of its values in memory.
fn sizes(metadata: &ParquetMetaData) -> Vec<usize> {
    let columns = metadata.file_metadata().schema_descr();
    let mut sizes = vec![0; columns.root_schema().get_fields().len()];
    for group in metadata.row_groups() {
        for (leaf, chunk) in group.columns().iter().enumerate() {
            let size: &mut usize = &mut sizes[columns.get_column_root_idx(leaf)];
            let told = chunk.unencoded_byte_array_data_bytes().is_some();
            let unknown = chunk.column_descr().physical_type() == Physical::BYTE_ARRAY && !told;
            // Of a dictionary the file has each text once.
            let least =
                if unknown { u64::try_from(chunk.num_values()).unwrap_or_default().saturating_mul(TEXT) } else { 0 };
            *size = size.saturating_add(usize::try_from(decoded_bytes(chunk).max(least)).unwrap_or(usize::MAX));
        }
    }
    sizes
}

/// For each column of the file, the bytes of a row in memory, on average in the row group where it is widest.
pub fn widths(metadata: &ParquetMetaData) -> Vec<u64> {
    let columns = metadata.file_metadata().schema_descr();
    let mut widest = vec![0; columns.root_schema().get_fields().len()];
    for group in metadata.row_groups() {
        let rows = u64::try_from(group.num_rows()).unwrap_or_default().max(1);
        let mut widths = vec![0; widest.len()];
        for (leaf, chunk) in group.columns().iter().enumerate() {
            widths[columns.get_column_root_idx(leaf)] += decoded_bytes(chunk).div_ceil(rows);
        }
        widest.iter_mut().zip(widths).for_each(|(known, width)| *known = width.max(*known));
    }
    widest
}

/// The size of a column's values in memory. Their size in the file may be far less: a dictionary holds a value once.
fn decoded_bytes(chunk: &ColumnChunkMetaData) -> u64 {
    let value = match chunk.column_descr().physical_type() {
        Physical::BOOLEAN => 1,
        Physical::INT32 | Physical::FLOAT => 4,
        Physical::INT64 | Physical::DOUBLE => 8,
        Physical::INT96 => 12,
        Physical::FIXED_LEN_BYTE_ARRAY => i64::from(chunk.column_descr().type_length()),
        // An offset; the bytes themselves come on top.
        Physical::BYTE_ARRAY => 4,
    };
    let texts = chunk.unencoded_byte_array_data_bytes().unwrap_or_default();
    let bytes = chunk.num_values().saturating_mul(value).saturating_add(texts).max(chunk.uncompressed_size());
    u64::try_from(bytes).unwrap_or_default()
}
