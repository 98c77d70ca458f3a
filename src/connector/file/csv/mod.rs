//! CSV: a strict reader (RFC 4180), the inference of types, the decoding into Arrow, and the writer.

mod blocks;
pub mod infer;
pub mod read;
pub mod records;
pub mod write;
