//! The values of one column of a binary COPY, on their way into an Arrow array: one loop for each type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, FixedSizeBinaryArray,
    NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;

use super::slots::Slot;

/// What is wrong with a value, and which of a chunk's slots (or, at the end, of a batch's rows) it is.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) error: CellError,
}

/// What is wrong with a value.
#[derive(Debug)]
pub(super) enum CellError {
    /// The bytes are not those of the type.
    Malformed(&'static str),
    /// PostgreSQL holds a value that the column's type in dxt cannot.
    Value { value: String, why: &'static str },
}

/// Says which of the values are NULL.
pub(super) fn note(nulls: &mut NullBufferBuilder, slots: &[Slot]) {
    if slots.iter().any(|slot| slot.is_null()) {
        for slot in slots {
            nulls.append(!slot.is_null());
        }
    } else {
        // Without a NULL in the batch there is no bitmap at all.
        nulls.append_n_non_nulls(slots.len());
    }
}

/// Values of one size.
#[derive(Debug)]
pub(super) struct Fixed<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
    /// Values of the batch before, which the next one will have about as many of.
    before: usize,
}

impl<T: Copy + Default + ArrowNativeType> Fixed<T> {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0), before: 0 }
    }

    /// Appends the values of `slots`. `read` gives none where the bytes are no value; then that slot is given back.
    pub(super) fn extend(
        &mut self,
        chunk: &[u8],
        slots: &[Slot],
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<(), usize> {
        if self.values.capacity() == 0 {
            self.values.reserve(self.before);
        }
        note(&mut self.nulls, slots);
        let mut wrong = None;
        self.values.extend(slots.iter().enumerate().map(|(at, slot)| {
            if slot.is_null() {
                return T::default();
            }
            read(slot.bytes(chunk)).unwrap_or_else(|| {
                wrong.get_or_insert(at);
                T::default()
            })
        }));
        wrong.map_or(Ok(()), Err)
    }

    /// The same for values of `N` bytes.
    pub(super) fn words<const N: usize>(
        &mut self,
        chunk: &[u8],
        slots: &[Slot],
        read: impl Fn([u8; N]) -> Option<T>,
    ) -> Result<(), usize> {
        self.extend(chunk, slots, |bytes| read(bytes.try_into().ok()?))
    }

    pub(super) fn take<A: ArrowPrimitiveType<Native = T>>(&mut self) -> ArrayRef {
        self.before = self.values.len();
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        Arc::new(PrimitiveArray::<A>::new(values, self.nulls.finish()))
    }
}

impl Fixed<i128> {
    /// The words as 16 bytes each, in the order in which they were read.
    pub(super) fn take_bytes(&mut self) -> ArrayRef {
        self.before = self.values.len();
        let values = Buffer::from_vec(std::mem::take(&mut self.values));
        Arc::new(FixedSizeBinaryArray::new(16, values, self.nulls.finish()))
    }
}

/// Booleans.
#[derive(Debug)]
pub(super) struct Bits {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Bits {
    pub(super) fn new() -> Self {
        Self { values: BooleanBufferBuilder::new(0), nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn extend(&mut self, chunk: &[u8], slots: &[Slot]) -> Result<(), usize> {
        note(&mut self.nulls, slots);
        for (at, slot) in slots.iter().enumerate() {
            self.values.append(match slot.bytes(chunk) {
                [1] => true,
                [0] => false,
                [] if slot.is_null() => false,
                _ => return Err(at),
            });
        }
        Ok(())
    }

    pub(super) fn take(&mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.finish(), self.nulls.finish()))
    }
}

/// Values of any size, one after another.
#[derive(Debug)]
pub(super) struct Lengths {
    offsets: Vec<i32>,
    values: Vec<u8>,
    nulls: NullBufferBuilder,
    before: (usize, usize),
}

impl Lengths {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], values: Vec::new(), nulls: NullBufferBuilder::new(0), before: (0, 0) }
    }

    /// Appends the values of `slots`. `write` appends one and says whether the bytes are a value; where they are none,
    /// or where the column grows past what its offsets can tell, that slot is given back.
    pub(super) fn extend(
        &mut self,
        chunk: &[u8],
        slots: &[Slot],
        write: impl Fn(&mut Vec<u8>, &[u8]) -> bool,
    ) -> Result<(), usize> {
        if self.values.capacity() == 0 {
            self.offsets.reserve(self.before.0);
            self.values.reserve(self.before.1);
        }
        note(&mut self.nulls, slots);
        self.values.reserve(slots.iter().map(|slot| slot.length()).sum());
        self.offsets.reserve(slots.len());
        for (at, slot) in slots.iter().enumerate() {
            if !slot.is_null() && !write(&mut self.values, slot.bytes(chunk)) {
                return Err(at);
            }
            self.offsets.push(i32::try_from(self.values.len()).map_err(|_| at)?);
        }
        Ok(())
    }

    fn parts(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        self.before = (self.offsets.len(), self.values.len());
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let values = std::mem::take(&mut self.values);
        (OffsetBuffer::new(offsets.into()), Buffer::from_vec(values), self.nulls.finish())
    }

    pub(super) fn take_binary(&mut self) -> ArrayRef {
        let (offsets, values, nulls) = self.parts();
        Arc::new(BinaryArray::new(offsets, values, nulls))
    }

    /// All texts of the batch are checked at once.
    pub(super) fn take_text(&mut self) -> Result<ArrayRef, Fault> {
        let (offsets, values, nulls) = self.parts();
        match StringArray::try_new(offsets.clone(), values.clone(), nulls) {
            Ok(array) => Ok(Arc::new(array)),
            Err(_) => {
                let is_text = |pair: &[i32]| std::str::from_utf8(&values[pair[0] as usize..pair[1] as usize]).is_ok();
                let at = offsets.windows(2).position(|pair| !is_text(pair)).unwrap_or_default();
                Err(Fault { at, error: CellError::Malformed("text that is not UTF-8") })
            }
        }
    }
}
