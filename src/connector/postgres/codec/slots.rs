//! Where the values of a chunk of the wire lie. The wire goes row by row and the builders column by column: the rows are
//! only measured first, so that each column is then decoded in one loop of its own type.

/// A value's place in a chunk, or NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    start: u32,
    length: u32,
}

impl Slot {
    /// No value on the wire is so long: lengths have 31 bits there.
    pub(super) const NULL: Self = Self { start: 0, length: u32::MAX };

    /// The place of `length` bytes at `start`; `None` past 4 GiB.
    pub(super) fn new(start: usize, length: usize) -> Option<Self> {
        let length = u32::try_from(length).ok().filter(|length| *length != u32::MAX)?;
        Some(Self { start: u32::try_from(start).ok()?, length })
    }

    pub(super) fn is_null(self) -> bool {
        self.length == u32::MAX
    }

    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    /// Bytes of the value; 0 for NULL.
    pub(super) fn length(self) -> usize {
        if self.is_null() { 0 } else { self.length as usize }
    }

    /// The value's bytes; none for NULL.
    pub(super) fn bytes(self, chunk: &[u8]) -> &[u8] {
        let start = self.start as usize;
        chunk.get(start..start + self.length()).unwrap_or_default()
    }
}

/// The slots of a chunk, column by column.
#[derive(Debug)]
pub(super) struct Slots {
    all: Vec<Slot>,
    rows: usize,
}

/// Slots of one chunk at most, so that they stay in the processor's nearer caches however many columns there are.
const SLOTS: usize = 1 << 13;
/// Rows of one chunk at most. No power of two: columns would fall on the same lines of the cache.
const ROWS: usize = 500;

impl Slots {
    pub(super) fn new(columns: usize) -> Self {
        let rows = (SLOTS / columns.max(1)).clamp(16, ROWS);
        Self { all: vec![Slot::NULL; rows * columns], rows }
    }

    /// Rows that it has room for.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Puts the slot of a row of a column that are there.
    pub(super) fn put(&mut self, column: usize, row: usize, slot: Slot) {
        if let Some(place) = self.all.get_mut(column * self.rows + row) {
            *place = slot;
        }
    }

    /// The first `rows` slots of a column.
    pub(super) fn column(&self, column: usize, rows: usize) -> &[Slot] {
        let from = column * self.rows;
        self.all.get(from..from + rows).unwrap_or_default()
    }
}
