//! JSON lines: one object a line.

pub mod lines;
pub mod read;
pub mod write;
