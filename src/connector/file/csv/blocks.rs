//! The types of a CSV file's columns, found in blocks of whole records by as many tasks as there are cores.

use bytes::BytesMut;
use memchr::{memchr, memchr_iter, memrchr};
use tokio::task::JoinSet;

use super::infer::Guess;
use super::read::{Records, value};
use crate::connector::file::format::Dialect;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a block at least, unless the file ends.
const BLOCK: usize = 1 << 20;
/// A record longer than this is taken for a quote that is never closed.
const LONGEST: usize = 65 << 20;

/// What the columns with these numbers may be, by all rows that `records` has from here on.
///
/// # Errors
/// Extractor: the text is not CSV, or not UTF-8.
pub(super) async fn guesses(mut records: Records, dialect: &Dialect, columns: Vec<usize>) -> Result<Vec<Guess>> {
    let mut merged = vec![Guess::default(); columns.len()];
    if std::mem::take(&mut records.held) {
        take(&records, dialect, &columns, &mut merged)?;
    }
    let Records { mut input, splitter, chunk, shown, names, .. } = records;
    let mut line = splitter.line();
    let mut pending = BytesMut::from(&chunk[..]);
    let mut quotes = Quotes::default();
    let mut tasks: JoinSet<Result<Vec<Guess>>> = JoinSet::new();
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    loop {
        let next = match &mut input {
            Some(input) => input.next().await?,
            None => None,
        };
        let ended = next.is_none();
        pending.extend_from_slice(&next.unwrap_or_default());
        let whole = if ended { pending.len() } else { quotes.whole(&pending, dialect.quote) };
        // An unclosed quote would otherwise gather the rest of the file here; the splitter says what is wrong.
        let whole = if pending.len() > LONGEST { pending.len() } else { whole };
        if whole >= BLOCK || (ended && whole > 0) {
            let block = pending.split_to(whole).freeze();
            quotes = Quotes::default();
            let lines = memchr_iter(b'\n', &block).count() as u64;
            let records = Records::block(dialect, &shown, names.clone(), block, line);
            line += lines;
            if tasks.len() >= most {
                merge(&mut merged, tasks.join_next().await)?;
            }
            let (dialect, columns) = (dialect.clone(), columns.clone());
            tasks.spawn_blocking(move || of_block(records, &dialect, &columns));
        }
        if ended {
            break;
        }
    }
    while let Some(done) = tasks.join_next().await {
        merge(&mut merged, Some(done))?;
    }
    Ok(merged)
}

fn merge(merged: &mut [Guess], done: Option<Result<Result<Vec<Guess>>, tokio::task::JoinError>>) -> Result<()> {
    let Some(done) = done else { return Ok(()) };
    let guesses = done.map_err(|e| Error::new(ErrorKind::Extractor, "inferring types").with_source(e))??;
    merged.iter_mut().zip(&guesses).for_each(|(merged, guess)| merged.merge(guess));
    Ok(())
}

fn of_block(mut records: Records, dialect: &Dialect, columns: &[usize]) -> Result<Vec<Guess>> {
    let mut guesses = vec![Guess::default(); columns.len()];
    while records.next_of_block()? {
        take(&records, dialect, columns, &mut guesses)?;
    }
    Ok(guesses)
}

fn take(records: &Records, dialect: &Dialect, columns: &[usize], guesses: &mut [Guess]) -> Result<()> {
    let record = records.record();
    if std::str::from_utf8(record.bytes()).is_err() {
        let what = format!("{}:{}: the text is not UTF-8", records.shown, record.line);
        return Err(Error::new(ErrorKind::Extractor, what).with_hint("convert the file, with iconv for example"));
    }
    for (index, guess) in columns.iter().zip(guesses) {
        if let Some(text) = value(record, *index, dialect) {
            guess.push(text);
        }
    }
    Ok(())
}

/// Where records end, told by the quotes alone: in CSV that is none, the splitter of a block finds the fault.
#[derive(Debug, Default)]
struct Quotes {
    /// Bytes that were looked at, and whether a quote is open behind them.
    seen: usize,
    open: bool,
    /// Behind the last line end outside of quotes.
    whole: usize,
}

impl Quotes {
    /// How many of the bytes, which begin at a record, are whole records.
    fn whole(&mut self, bytes: &[u8], quote: Option<u8>) -> usize {
        while self.seen < bytes.len() {
            let rest = &bytes[self.seen..];
            let until = quote.and_then(|quote| memchr(quote, rest)).unwrap_or(rest.len());
            if !self.open
                && let Some(at) = memrchr(b'\n', &rest[..until])
            {
                self.whole = self.seen + at + 1;
            }
            self.open ^= until < rest.len();
            self.seen += until + usize::from(until < rest.len());
        }
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str, piece: usize) -> usize {
        let mut quotes = Quotes::default();
        let ends = (0..text.len()).step_by(piece).map(|from| text.len().min(from + piece));
        ends.map(|end| quotes.whole(&text.as_bytes()[..end], Some(b'"'))).last().unwrap_or(0)
    }

    #[test]
    fn a_block_ends_behind_a_line_that_is_outside_of_quotes() {
        for piece in [1, 2, 3, 100] {
            assert_eq!(whole("a,b\nc", piece), 4);
            assert_eq!(whole("a,\"b\nc", piece), 0);
            assert_eq!(whole("a,\"b\n\"\nc", piece), 7);
            assert_eq!(whole("a,\"b\"\"\n\"\n", piece), 9);
            assert_eq!(whole("no end", piece), 0);
        }
    }
}
