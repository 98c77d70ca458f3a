//! Arrays as lists. The binary form: the number of dimensions, whether there are NULLs, the element's oid; for each
//! dimension its length and lower bound; the elements, each as a field of a tuple is.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, NullBufferBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, FieldRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::cells::{CellError, Fault, note};
use super::column::Column;
use super::slots::Slot;
use crate::connector::postgres::types::PgType;
use crate::model::DxtType;

/// Dimensions that an array of PostgreSQL has at most.
const DIMENSIONS: usize = 6;
/// Elements that an error shows at most.
const SHOWN: usize = 40;

/// A column of lists that is being filled.
#[derive(Debug)]
pub(super) struct Lists {
    element: PgType,
    dtype: DxtType,
    oid: u32,
    items: Column,
    item: FieldRef,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    /// Where the elements of a chunk lie.
    slots: Vec<Slot>,
}

/// Length and lower bound of each dimension.
#[derive(Debug, Clone, Copy)]
struct Shape {
    dimensions: [(i32, i32); DIMENSIONS],
    used: usize,
}

impl Lists {
    /// Lists of elements of one type; `None` where they have no decoder.
    pub(super) fn new(element: &PgType, dtype: &DxtType) -> Option<Self> {
        Some(Self {
            element: element.clone(),
            dtype: dtype.clone(),
            oid: element.element_oid()?,
            items: Column::of("item", Some(element), dtype)?,
            item: Arc::new(Field::new("item", dtype.to_arrow(), true)),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
            slots: Vec::new(),
        })
    }

    /// Appends the arrays of a chunk.
    pub(super) fn extend(&mut self, chunk: &[u8], slots: &[Slot]) -> Result<(), Fault> {
        note(&mut self.nulls, slots);
        self.slots.clear();
        let (first, before) = (self.offsets.len(), self.count());
        for (at, slot) in slots.iter().enumerate() {
            if !slot.is_null() {
                self.elements(chunk, *slot).map_err(|error| Fault { at, error })?;
            }
            let error = CellError::Malformed("more than 2 billion elements in one batch");
            let end = i32::try_from(before + self.slots.len()).map_err(|_| Fault { at, error })?;
            self.offsets.push(end);
        }
        let ends = &self.offsets[first..];
        self.items.fill(chunk, &self.slots).map_err(|fault| in_list(fault, before, ends))
    }

    /// Elements until now.
    fn count(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    /// Finds the elements of one array, and checks that it is a list.
    fn elements(&mut self, chunk: &[u8], slot: Slot) -> Result<(), CellError> {
        let from = self.slots.len();
        let shape = find(slot.bytes(chunk), slot.start(), self.oid, &mut self.slots)?;
        let why = match &shape.dimensions[..shape.used] {
            [] | [(_, 1)] => return Ok(()),
            [_] => "an array that does not begin at 1 is no list",
            _ => "an array of several dimensions is no list",
        };
        if self.slots.len() == from {
            return Ok(());
        }
        Err(CellError::Value { value: self.shown(chunk, &shape, &self.slots[from..]), why })
    }

    pub(super) fn take(&mut self) -> Result<ArrayRef, Fault> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let items = self.items.array().map_err(|fault| in_list(fault, 0, &offsets[1..]))?;
        let lists =
            ListArray::try_new(self.item.clone(), OffsetBuffer::new(offsets.into()), items, self.nulls.finish());
        let unlike = |_| Fault { at: 0, error: CellError::Malformed("elements that make no list") };
        Ok(Arc::new(lists.map_err(unlike)?))
    }

    /// An array about as PostgreSQL writes it: `[0:1]={1,2}`, `{{1,NULL},{3,4}}`.
    #[cold]
    fn shown(&self, chunk: &[u8], shape: &Shape, slots: &[Slot]) -> String {
        let dimensions = &shape.dimensions[..shape.used];
        let mut text = String::new();
        if dimensions.iter().any(|(_, lower)| *lower != 1) {
            for (length, lower) in dimensions {
                let upper = i64::from(*lower) + i64::from(*length) - 1;
                let _ = write!(text, "[{lower}:{upper}]");
            }
            text.push('=');
        }
        // Elements within one brace of each level.
        let span = |level: usize| dimensions[level..].iter().map(|(length, _)| *length as usize).product::<usize>();
        let spans: Vec<usize> = (0..dimensions.len()).map(span).collect();
        let elements = &slots[..slots.len().min(SHOWN)];
        for (at, value) in self.texts(chunk, elements).iter().enumerate() {
            let opened = spans.iter().filter(|span| at % **span == 0).count();
            let closed = spans.iter().filter(|span| (at + 1) % **span == 0).count();
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(text, "{comma}{}{value}{}", "{".repeat(opened), "}".repeat(closed));
        }
        if slots.len() > SHOWN {
            text.push('…');
        }
        text
    }

    fn texts(&self, chunk: &[u8], slots: &[Slot]) -> Vec<String> {
        let array = Column::of("item", Some(&self.element), &self.dtype).and_then(|mut items| {
            items.fill(chunk, slots).ok()?;
            items.array().ok()
        });
        let unknown = || vec!["?".to_string(); slots.len()];
        let Some(array) = array else { return unknown() };
        let options = FormatOptions::default().with_null("NULL");
        let Ok(formatter) = ArrayFormatter::try_new(array.as_ref(), &options) else { return unknown() };
        let text = |row: usize| {
            let text = formatter.value(row).try_to_string().unwrap_or_else(|_| "?".into());
            let plain = text.chars().all(|c| c.is_ascii_graphic() && !"{}\",\\".contains(c)) && !text.is_empty();
            if plain { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
        };
        (0..array.len()).map(text).collect()
    }
}

/// The list of a faulty item. `ends`: where each list ends, in items of the batch; `before`: items before the first.
fn in_list(fault: Fault, before: usize, ends: &[i32]) -> Fault {
    let at = ends.partition_point(|end| *end as usize <= before + fault.at);
    Fault { at, ..fault }
}

/// Appends the places of an array's elements, whose bytes begin at `start` of their chunk. What the array says of itself
/// is held against its bytes before room is made for anything.
fn find(bytes: &[u8], start: usize, oid: u32, slots: &mut Vec<Slot>) -> Result<Shape, CellError> {
    let mut rest = bytes;
    let mut word = |what: &'static str| {
        let (word, after) = rest.split_first_chunk::<4>().ok_or(CellError::Malformed(what))?;
        rest = after;
        Ok(i32::from_be_bytes(*word))
    };
    const SHORT: &str = "an array without a whole header";
    let used = usize::try_from(word(SHORT)?).ok().filter(|used| *used <= DIMENSIONS);
    let used = used.ok_or(CellError::Malformed("an array of an impossible number of dimensions"))?;
    if !matches!(word(SHORT)?, 0 | 1) {
        return Err(CellError::Malformed("an array with unknown flags"));
    }
    if word(SHORT)?.cast_unsigned() != oid {
        return Err(CellError::Malformed("an array of elements of another type"));
    }
    let mut shape = Shape { dimensions: [(0, 0); DIMENSIONS], used };
    let mut count = Some(usize::from(used > 0));
    for dimension in &mut shape.dimensions[..used] {
        *dimension = (word(SHORT)?, word(SHORT)?);
        count = count.zip(usize::try_from(dimension.0).ok()).and_then(|(count, length)| count.checked_mul(length));
    }
    const FEWER: CellError = CellError::Malformed("an array of fewer elements than it says");
    let count = count.filter(|count| *count <= rest.len() / 4).ok_or(FEWER)?;
    slots.reserve(count);
    for _ in 0..count {
        let (size, after) = rest.split_first_chunk::<4>().ok_or(FEWER)?;
        let size = i32::from_be_bytes(*size);
        if size == -1 {
            slots.push(Slot::NULL);
            rest = after;
            continue;
        }
        let size = usize::try_from(size).map_err(|_| CellError::Malformed("an element with a negative length"))?;
        let at = start + bytes.len() - after.len();
        rest = after.get(size..).ok_or(FEWER)?;
        slots.push(Slot::new(at, size).ok_or(FEWER)?);
    }
    if rest.is_empty() { Ok(shape) } else { Err(CellError::Malformed("an array with bytes behind its end")) }
}
