//! Values: SQLite's five storage classes ⇄ Arrow arrays, strictly. What is written reads back the same, or is refused.

mod decode;
mod encode;
mod text;

pub use decode::Decoder;
pub use encode::{encode, order_key};

use std::fmt;

use rusqlite::types::ValueRef;

/// Why a value and a type do not fit each other; the caller knows table, column and row.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What does not fit, such as `text 'abc' is not a date (YYYY-MM-DD)`.
    pub reason: String,
    /// The way out, where it is another one than reading text.
    pub hint: Option<&'static str>,
}

impl Misfit {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// A value for an error: its storage class and its text, shortened.
pub fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(i) => format!("integer {i}"),
        ValueRef::Real(r) => format!("real {r:?}"),
        ValueRef::Text(bytes) => format!("text '{}'", shorten(&String::from_utf8_lossy(bytes))),
        ValueRef::Blob(bytes) => {
            let hex: String = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
            format!("blob x'{hex}{}'", if bytes.len() > 16 { "…" } else { "" })
        }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests;
