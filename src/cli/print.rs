//! The one place that prints.

use std::io::{self, Write};
use std::sync::OnceLock;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets};

use indicatif::MultiProgress;

use crate::error::{Error, ErrorKind, Result};

/// The bars on stderr, where there are some.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// Bars that stay below whatever else is written to stderr.
pub fn bars() -> &'static MultiProgress {
    BARS.get_or_init(MultiProgress::new)
}

/// Stderr, above the bars.
#[derive(Debug, Clone, Copy)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().lock().write_all(bytes).map(|()| bytes.len());
        match BARS.get() {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes a result to stdout. A reader that has gone (`| head`) is no error.
pub fn out(text: &str) -> Result<()> {
    written(io::stdout().lock().write_all(text.as_bytes()))
}

/// The result of writing to stdout, as dxt sees it.
pub fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(Error::new(ErrorKind::Pipeline, format!("writing to stdout: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// Writes a note for people to stderr.
pub fn note(text: &str) {
    // Nobody to tell where stderr itself is gone.
    let _ = Stderr.write_all(format!("{text}\n").as_bytes());
}

/// Writes an error to stderr, with cause and hint.
pub fn error(error: &Error) {
    let _ = Stderr.write_all(error.report().as_bytes());
}

/// A table for people: columns named in `right` are numbers.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, right: &[&str]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_header(header.iter().map(Cell::new));
    for row in rows {
        table.add_row(row);
    }
    for (column, name) in table.column_iter_mut().zip(header) {
        if right.contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}

/// Bytes for people: `1.2 MB`.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A value as JSON on lines of its own.
pub fn json<T: serde::Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(ErrorKind::Pipeline, "the result cannot be written as JSON").with_source(e))?;
    out(&(text + "\n"))
}
