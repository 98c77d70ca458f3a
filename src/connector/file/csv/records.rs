//! Splits bytes into records and fields by RFC 4180, strictly, and tells quoted fields from bare ones.

use memchr::{memchr, memchr_iter, memchr2};

use crate::connector::file::format::Dialect;

/// A record longer than this is taken for a quote that is never closed: memory stays bounded.
const MAX_RECORD: usize = 64 << 20;

/// One record: its fields' bytes without quotes.
#[derive(Debug, Default)]
pub struct Record {
    /// The fields' bytes, with the delimiters of a plain line between them.
    data: Vec<u8>,
    /// Begin and end of each field, and whether it was quoted.
    fields: Vec<(usize, usize, bool)>,
    /// The line on which it begins, from 1.
    pub line: u64,
}

impl Record {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field's bytes, and whether it was quoted.
    pub fn field(&self, index: usize) -> (&[u8], bool) {
        let (start, end, quoted) = self.fields[index];
        (&self.data[start..end], quoted)
    }

    /// Ends a field behind the last byte, where it began behind the field before.
    fn end_field(&mut self, quoted: bool) {
        let start = self.fields.last().map_or(0, |(_, end, _)| *end);
        self.fields.push((start, self.data.len(), quoted));
    }

    /// Whether the line is empty: one bare field without bytes.
    pub fn is_blank(&self) -> bool {
        self.data.is_empty() && matches!(self.fields[..], [(_, _, false)])
    }

    /// All bytes of all fields, with ASCII at most between them, for a check of the whole.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }
}

/// A text that is not CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The line of the fault, from 1.
    pub line: u64,
    /// What is wrong, as the end of a sentence that begins with the line.
    pub what: &'static str,
    /// The way out.
    pub hint: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At a record's begin.
    Record,
    /// At a field's begin, behind a delimiter.
    Field,
    Bare,
    Quoted,
    /// Behind a quote within a quoted field: its end, or the first of two.
    Closing,
    /// Behind a carriage return that a line feed must follow.
    Return,
}

/// The splitter. Bytes are pushed in chunks of any size; records come out.
#[derive(Debug)]
pub struct Splitter {
    delimiter: u8,
    quote: Option<u8>,
    state: State,
    record: Record,
    line: u64,
    quoted_since: u64,
    bom: usize,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Splitter {
    /// A splitter at a file's begin.
    pub fn new(dialect: &Dialect) -> Self {
        Self {
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            state: State::Record,
            record: Record::default(),
            line: 1,
            quoted_since: 1,
            bom: 0,
        }
    }

    /// A splitter in the midst of a file, at the begin of a record on `line`.
    pub fn at_line(dialect: &Dialect, line: u64) -> Self {
        Self { line, bom: BOM.len(), ..Self::new(dialect) }
    }

    /// The line that it has come to, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Takes bytes until a record is complete. Gives how many it took; with `true`, [`Splitter::record`] is one, and
    /// stays so until the next call.
    ///
    /// # Errors
    /// The text is not CSV.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        // A byte order mark may itself be cut by a chunk's end.
        while self.bom < BOM.len() && at < chunk.len() {
            if chunk[at] == BOM[self.bom] {
                (self.bom, at) = (self.bom + 1, at + 1);
            } else {
                let held = self.bom;
                self.bom = BOM.len();
                if held > 0 {
                    self.record.line = 1;
                    self.record.data.extend_from_slice(&BOM[..held]);
                    self.state = State::Bare;
                }
            }
        }
        while at < chunk.len() {
            if self.state == State::Record
                && let Some(taken) = self.plain_line(&chunk[at..])
            {
                return Ok((at + taken, true));
            }
            let byte = chunk[at];
            match self.state {
                State::Record => {
                    self.record.data.clear();
                    self.record.fields.clear();
                    (self.record.line, self.state) = (self.line, State::Field);
                }
                State::Field if Some(byte) == self.quote => {
                    (self.state, self.quoted_since, at) = (State::Quoted, self.line, at + 1);
                }
                State::Field => self.state = State::Bare,
                State::Bare => {
                    let rest = &chunk[at..];
                    let end = rest.iter().position(|b| self.ends_bare(*b)).unwrap_or(rest.len());
                    self.record.data.extend_from_slice(&rest[..end]);
                    at += end;
                    let Some(&byte) = chunk.get(at) else { break };
                    at += 1;
                    if self.end_field(byte, false)? {
                        return Ok((at, true));
                    }
                }
                State::Quoted => {
                    let rest = &chunk[at..];
                    let end = self.quote.and_then(|q| memchr(q, rest)).unwrap_or(rest.len());
                    self.line += memchr_iter(b'\n', &rest[..end]).count() as u64;
                    self.record.data.extend_from_slice(&rest[..end]);
                    at += end;
                    if at < chunk.len() {
                        (self.state, at) = (State::Closing, at + 1);
                    }
                }
                State::Closing if Some(byte) == self.quote => {
                    self.record.data.push(byte);
                    (self.state, at) = (State::Quoted, at + 1);
                }
                State::Closing => {
                    at += 1;
                    if self.end_field(byte, true)? {
                        return Ok((at, true));
                    }
                }
                State::Return => {
                    if byte != b'\n' {
                        return Err(self.fault("has a carriage return without a line feed outside of quotes"));
                    }
                    self.line += 1;
                    self.state = State::Record;
                    return Ok((at + 1, true));
                }
            }
            if self.record.data.len() > MAX_RECORD {
                return Err(self.too_long());
            }
        }
        Ok((at, false))
    }

    /// Ends the text: with `true`, [`Splitter::record`] is a last record that no line end follows.
    ///
    /// # Errors
    /// A quote is not closed.
    pub fn finish(&mut self) -> Result<bool, Malformed> {
        if self.bom > 0 && self.bom < BOM.len() {
            self.record.line = 1;
            self.record.data.extend_from_slice(&BOM[..self.bom]);
            self.state = State::Bare;
        }
        let last = match self.state {
            State::Record => return Ok(false),
            State::Quoted => {
                return Err(Malformed {
                    line: self.quoted_since,
                    what: "opens a quote that is never closed",
                    hint: "the file is cut off, or `options: {quote: none}` fits it better",
                });
            }
            State::Return => return Err(self.fault("ends with a carriage return without a line feed")),
            State::Closing => true,
            State::Field | State::Bare => false,
        };
        self.record.end_field(last);
        self.state = State::Record;
        Ok(true)
    }

    /// Takes a line that is there as a whole and has no quote: most are. Gives how many bytes it took.
    fn plain_line(&mut self, chunk: &[u8]) -> Option<usize> {
        let end = memchr(b'\n', chunk)?;
        let line = chunk[..end].strip_suffix(b"\r").unwrap_or(&chunk[..end]);
        let odd = match self.quote {
            Some(quote) => memchr2(quote, b'\r', line),
            None => memchr(b'\r', line),
        };
        if odd.is_some() || line.len() > MAX_RECORD || !self.delimiter.is_ascii() {
            return None;
        }
        let Record { data, fields, line: number } = &mut self.record;
        data.clear();
        fields.clear();
        data.extend_from_slice(line);
        let mut start = 0;
        // Fields are short: a search for each delimiter would cost more than this look at each byte.
        for (at, byte) in line.iter().enumerate() {
            if *byte == self.delimiter {
                fields.push((start, at, false));
                start = at + 1;
            }
        }
        fields.push((start, line.len(), false));
        *number = self.line;
        self.line += 1;
        Some(end + 1)
    }

    /// The record that the last call completed.
    pub fn record(&self) -> &Record {
        &self.record
    }

    fn ends_bare(&self, byte: u8) -> bool {
        byte == self.delimiter || byte == b'\n' || byte == b'\r' || Some(byte) == self.quote
    }

    /// Ends a field at `byte`; `true` where the record ends with it.
    fn end_field(&mut self, byte: u8, quoted: bool) -> Result<bool, Malformed> {
        if Some(byte) == self.quote && !quoted {
            return Err(self.fault("has a quote within a field that does not begin with one"));
        }
        let next = match byte {
            b'\n' => State::Record,
            b'\r' => State::Return,
            _ if byte == self.delimiter => State::Field,
            _ => return Err(self.fault("goes on behind a closing quote")),
        };
        self.record.end_field(quoted);
        self.state = next;
        if next == State::Record {
            self.line += 1;
        }
        Ok(next == State::Record)
    }

    fn fault(&self, what: &'static str) -> Malformed {
        let hint = "quote the field and double the quotes within, or set `options: {quote: none}`";
        Malformed { line: self.line, what, hint }
    }

    fn too_long(&self) -> Malformed {
        let line = if self.state == State::Quoted { self.quoted_since } else { self.record.line };
        Malformed { line, what: "begins a record of more than 64 MB", hint: "is a quote never closed?" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Rows = Vec<Vec<(String, bool)>>;

    fn split(text: &[u8], chunk: usize, dialect: &Dialect) -> Result<Rows, Malformed> {
        let mut splitter = Splitter::new(dialect);
        let mut rows = Vec::new();
        let row = |record: &Record| {
            let field = |i| (String::from_utf8_lossy(record.field(i).0).into_owned(), record.field(i).1);
            (0..record.len()).map(field).collect()
        };
        for mut part in text.chunks(chunk) {
            while !part.is_empty() {
                let (taken, complete) = splitter.push(part)?;
                part = &part[taken..];
                if complete {
                    rows.push(row(splitter.record()));
                }
            }
        }
        if splitter.finish()? {
            rows.push(row(splitter.record()));
        }
        Ok(rows)
    }

    fn rows(expected: &[&[(&str, bool)]]) -> Rows {
        expected.iter().map(|r| r.iter().map(|(t, q)| (t.to_string(), *q)).collect()).collect()
    }

    #[test]
    fn quotes_line_ends_and_marks_are_read_at_every_chunk_size() {
        let text = b"\xef\xbb\xbfa,\"b\"\r\n\"x\"\"y\r\nz\",\n,\"\"\r\nlast,\"line\"";
        let expected = rows(&[
            &[("a", false), ("b", true)],
            &[("x\"y\r\nz", true), ("", false)],
            &[("", false), ("", true)],
            &[("last", false), ("line", true)],
        ]);
        for chunk in 1..text.len() + 1 {
            assert_eq!(split(text, chunk, &Dialect::default()).unwrap(), expected, "chunks of {chunk}");
        }
    }

    proptest! {
        /// Plain lines that are there as a whole are split in another way than the others.
        #[test]
        fn what_a_line_holds_does_not_depend_on_how_it_comes(
            parts in prop::collection::vec(prop::sample::select(vec!["a", "bc", ",", ",", "\n", "\n", "\r\n", "\"", "\"\"", " ", "é"]), 0..40),
            chunk in 1..20usize,
        ) {
            let text = parts.concat();
            let whole = split(text.as_bytes(), text.len().max(1), &Dialect::default());
            prop_assert_eq!(split(text.as_bytes(), chunk, &Dialect::default()), whole);
        }
    }

    #[test]
    fn faults_name_their_line() {
        let fault = |text: &str| split(text.as_bytes(), 3, &Dialect::default()).unwrap_err();
        assert_eq!(fault("a\n\"b\nc").line, 2);
        assert_eq!(fault("a\nb\"c\n").line, 2);
        assert_eq!(fault("\"a\"b\n").what, "goes on behind a closing quote");
        assert_eq!(fault("\"x\ny\"\na\rb\n").line, 3);
    }

    #[test]
    fn quotes_mean_nothing_where_there_are_none() {
        let dialect = Dialect { quote: None, delimiter: b'\t', ..Dialect::default() };
        let expected = rows(&[&[("5\" pipe", false), ("\"a\"", false)]]);
        assert_eq!(split(b"5\" pipe\t\"a\"\n", 4, &dialect).unwrap(), expected);
    }

    #[test]
    fn lines_are_counted_within_quotes() {
        let mut splitter = Splitter::new(&Dialect::default());
        let text = b"\"a\n\nb\"\nc\n";
        let (taken, complete) = splitter.push(text).unwrap();
        assert!(complete && splitter.record().line == 1);
        splitter.push(&text[taken..]).unwrap();
        assert_eq!(splitter.record().line, 4);
    }

    #[test]
    fn a_half_mark_at_the_begin_is_data() {
        assert_eq!(split(b"\xef\xbbx\n", 1, &Dialect::default()).unwrap().len(), 1);
        assert_eq!(split(b"\xef", 1, &Dialect::default()).unwrap().len(), 1);
        assert!(split(b"\xef\xbb\xbf", 1, &Dialect::default()).unwrap().is_empty());
    }
}
