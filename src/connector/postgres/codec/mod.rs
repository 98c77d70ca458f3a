//! Rows on the wire: binary COPY into Arrow, and Arrow into binary or text COPY.
//!
//! Both sides are free of I/O: bytes in, batches out, and the reverse. Neither makes an object per row or value. The fields
//! are those of a table as `PostgresTypes` maps them: the native type says what the bytes are, the DXT type what the array
//! is. How fast each type is: `cargo bench --manifest-path benches/Cargo.toml`.

mod binary;
mod cell;
mod cells;
mod column;
mod decode;
mod encode;
mod frames;
mod list_read;
mod list_write;
mod numeric;
mod numeric_write;
mod slots;
pub(super) mod text;

use crate::model::DxtField;

pub use binary::BinaryEncoder;
pub use decode::CopyDecoder;
pub use encode::{CopyEncoder, TextEncoder};
pub(super) use frames::{FrameReader, FrameWriter, schema as frame_schema};

/// The encoder of a load into `fields`, columns with the target's native types: binary where each of them has a binary
/// form that is held exactly here, as the server parses no text then; else text.
pub(super) fn encoder(fields: &[DxtField]) -> Box<dyn CopyEncoder> {
    match BinaryEncoder::new(fields) {
        Some(binary) => Box::new(binary),
        None => Box::new(TextEncoder::new(fields)),
    }
}

/// Microseconds from 1970-01-01 to 2000-01-01, the day from which PostgreSQL counts.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// A value for an error: its beginning, on one line.
pub(super) fn shorten(text: &str) -> String {
    const LIMIT: usize = 80;
    let line = text.replace(['\n', '\r', '\t'], " ");
    match line.char_indices().nth(LIMIT) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
