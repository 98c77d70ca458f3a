//! Lists as arrays of one dimension, as text (`{1,NULL,"a b"}`) and in their binary form.

use std::ops::Range;

use arrow::array::{Array, ListArray};
use bytes::{BufMut, BytesMut};

use super::cell::{Cell, Limits, Wrong, fits, nul, outside};
use super::encode::hex_digits;

/// The lists of one column of a batch.
pub(super) struct List<'a> {
    lists: &'a ListArray,
    items: Cell<'a>,
}

impl<'a> List<'a> {
    /// `None` where the items are not written as elements: lists of lists are JSON before they come here.
    pub(super) fn new(lists: &'a ListArray) -> Option<Self> {
        let items = Cell::new(lists.values().as_ref())?;
        (!matches!(items, Cell::List(_))).then_some(Self { lists, items })
    }

    pub(super) fn items(&self) -> &Cell<'a> {
        &self.items
    }

    /// Items of all lists.
    pub(super) fn len(&self) -> usize {
        let offsets = self.lists.value_offsets();
        offsets.last().zip(offsets.first()).map_or(0, |(last, first)| (last - first) as usize)
    }

    fn range(&self, row: usize) -> Range<usize> {
        let offsets = self.lists.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    }

    /// Appends one list as text, escaped as COPY wants it.
    pub(super) fn write(&self, row: usize, limits: &Limits, out: &mut BytesMut) -> Result<(), Wrong> {
        let values = self.lists.values();
        out.put_u8(b'{');
        for (index, item) in self.range(row).enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            if values.is_null(item) {
                out.put_slice(b"NULL");
            } else {
                element(&self.items, item, limits, out)?;
            }
        }
        out.put_u8(b'}');
        Ok(())
    }

    /// Appends one list in binary with its length before it; `put` does so with one of its items.
    pub(super) fn put<E: From<Wrong>>(
        &self,
        row: usize,
        oid: u32,
        out: &mut BytesMut,
        mut put: impl FnMut(&Cell<'a>, usize, &mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        let (range, values) = (self.range(row), self.lists.values());
        let from = out.len();
        let nulls = values.nulls().is_some_and(|_| range.clone().any(|item| values.is_null(item)));
        out.put_i32(0);
        out.put_i32(i32::from(!range.is_empty()));
        out.put_i32(i32::from(nulls));
        out.put_u32(oid);
        if !range.is_empty() {
            // Fits, as offsets have 31 bits. The lower bound is 1.
            out.put_i32(range.len() as i32);
            out.put_i32(1);
        }
        for item in range {
            if values.is_null(item) {
                out.put_i32(-1);
            } else {
                put(&self.items, item, out)?;
            }
        }
        let length = out.len() - from - 4;
        let length = i32::try_from(length).map_err(|_| outside(format!("an array of {length} bytes")))?;
        out[from..from + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// One element, in quotes unless it is a number or a boolean.
fn element(items: &Cell<'_>, item: usize, limits: &Limits, out: &mut BytesMut) -> Result<(), Wrong> {
    match items {
        Cell::Text(a) => text(a.value(item), limits, out),
        Cell::LargeText(a) => text(a.value(item), limits, out),
        Cell::TextView(a) => text(a.value(item), limits, out),
        Cell::Binary(a) => bytes(a.value(item), out),
        Cell::LargeBinary(a) => bytes(a.value(item), out),
        Cell::BinaryView(a) => bytes(a.value(item), out),
        // Of digits, letters, blanks and what is no syntax of an array.
        other => other.write(item, limits, out),
    }
}

/// Quoted once for the array, and that escaped once more for COPY.
fn text(text: &str, limits: &Limits, out: &mut BytesMut) -> Result<(), Wrong> {
    fits(text, limits)?;
    out.put_u8(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escaped: &[u8] = match byte {
            b'\\' => b"\\\\\\\\",
            b'"' => b"\\\\\"",
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            0 => return Err(nul(text)),
            _ => continue,
        };
        out.put_slice(&bytes[from..at]);
        out.put_slice(escaped);
        from = at + 1;
    }
    out.put_slice(&bytes[from..]);
    out.put_u8(b'"');
    Ok(())
}

fn bytes(value: &[u8], out: &mut BytesMut) -> Result<(), Wrong> {
    out.put_slice(b"\"\\\\\\\\x");
    hex_digits(value, out);
    out.put_u8(b'"');
    Ok(())
}
