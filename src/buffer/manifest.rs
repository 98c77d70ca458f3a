//! What a buffer says of itself. Written last, as JSON, beside its parts.

use serde::{Deserialize, Serialize};

use crate::model::DxtSchema;

/// What is known of a buffer before a row is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Its columns: field ids, DXT types, native types.
    pub schema: DxtSchema,
    /// The source for people: `shop.public.orders`.
    pub source: String,
    /// Whether only rows past a watermark were extracted.
    pub incremental: bool,
    /// The watermark that the extract started from, as text of its column's type.
    pub watermark_from: Option<String>,
}

impl Header {
    /// The header of a full extract.
    pub fn new(schema: DxtSchema, source: impl Into<String>) -> Self {
        Self { schema, source: source.into(), incremental: false, watermark_from: None }
    }
}

/// One file of a buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name within the buffer's folder.
    pub file: String,
    /// Its rows, as its writer counted them.
    pub rows: u64,
    /// Its size on disk.
    pub bytes: u64,
}

/// A committed buffer's contents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The dxt that wrote it.
    pub dxt: String,
    /// What was known before.
    #[serde(flatten)]
    pub header: Header,
    /// Its files, in the order of their rows.
    pub parts: Vec<Part>,
    /// All rows.
    pub rows: u64,
    /// All bytes.
    pub bytes: u64,
}

impl Manifest {
    /// The format that this dxt writes and reads.
    pub const FORMAT: u32 = 1;

    pub(super) fn new(header: Header, parts: Vec<Part>) -> Self {
        let rows = parts.iter().map(|p| p.rows).sum();
        let bytes = parts.iter().map(|p| p.bytes).sum();
        Self { format: Self::FORMAT, dxt: env!("CARGO_PKG_VERSION").into(), header, parts, rows, bytes }
    }
}
