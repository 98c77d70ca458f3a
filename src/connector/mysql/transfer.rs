//! Rows on their way to the server: chunks of a few megabytes, one being sent while the next is made. Each chunk is a
//! statement of its own, so that a server which waits for no one is never kept waiting, and the first wrong row ends the
//! load.

use arrow::array::RecordBatch;
use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use super::client::Session;
use super::encode::{Chunk, Encoder, Framing};
use super::statements::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::fault;

/// Bytes of a file for LOAD DATA, and of the values of an INSERT.
const FILE_BYTES: usize = 4 << 20;
const VALUES_BYTES: usize = 1 << 20;

/// Writes rows by one session.
pub(super) struct Transfer {
    /// Gone while a chunk is sent, and after one that failed.
    session: Option<Session>,
    sending: Option<AbortOnDropHandle<(Session, Result<()>)>>,
    sql: String,
    encoder: Encoder,
    framing: Framing,
    limit: usize,
    chunk: Chunk,
    /// Rows in chunks that were sent.
    sent: u64,
    pub(super) bytes: u64,
}

impl Transfer {
    /// For the rows of a load, whose tables are there.
    pub(super) async fn new(mut session: Session, plan: &Plan) -> Result<Self> {
        const DOING: &str = "asking how rows may be sent";
        let (local, packet): (bool, u64) =
            session.row("SELECT @@GLOBAL.local_infile, @@max_allowed_packet", DOING).await?;
        let (sql, files) = plan.transfer(local);
        let framing = if files { Framing::File } else { Framing::Values };
        let packet = usize::try_from(packet).unwrap_or(usize::MAX);
        Ok(Self {
            session: Some(session),
            sending: None,
            sql,
            encoder: Encoder::new(plan.columns.clone(), framing),
            framing,
            // A statement ends behind the row with which it passes the limit.
            limit: if files { FILE_BYTES } else { VALUES_BYTES.min(packet / 4) },
            chunk: Chunk::default(),
            sent: 0,
            bytes: 0,
        })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            from = self.encoder.encode(batch, from, &mut self.chunk, self.limit)?;
            if self.chunk.body.len() >= self.limit {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// The session, when all that was written has been taken.
    pub(super) async fn session(&mut self) -> Result<&mut Session> {
        if self.chunk.rows > 0 {
            self.send().await?;
        }
        self.wait().await?;
        self.session.as_mut().ok_or_else(ended)
    }

    /// The session, whatever was written; `None` where a chunk is on its way, and where one has failed.
    pub(super) fn into_session(mut self) -> Option<Session> {
        self.session.take()
    }

    /// Forgets what was written and not sent yet.
    pub(super) fn discard(&mut self) {
        self.chunk = Chunk::default();
    }

    async fn wait(&mut self) -> Result<()> {
        let Some(sending) = self.sending.take() else { return Ok(()) };
        let (session, sent) =
            sending.await.map_err(|e| Error::new(ErrorKind::Loader, "sending rows ended in a panic").with_source(e))?;
        // A session whose statement failed can still roll back.
        self.session = Some(session);
        sent
    }

    async fn send(&mut self) -> Result<()> {
        self.wait().await?;
        let Some(mut session) = self.session.take() else { return Err(ended()) };
        let chunk = std::mem::take(&mut self.chunk);
        let before = self.sent;
        self.sent += chunk.rows;
        self.bytes += chunk.body.len() as u64;
        let (sql, framing) = (self.sql.clone(), self.framing);
        self.sending = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            fault::point("mysql.write");
            let sent = send(&mut session, &sql, framing, chunk, before).await;
            (session, sent)
        })));
        Ok(())
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Loader, "the load has failed already")
}

/// Sends a chunk, and holds what the server says of it against what it is. `before`: rows of the load that came first.
async fn send(session: &mut Session, sql: &str, framing: Framing, mut chunk: Chunk, before: u64) -> Result<()> {
    const DOING: &str = "writing rows";
    let body = Bytes::from(std::mem::take(&mut chunk.body));
    let done = match framing {
        Framing::File => session.load_file(sql, body, DOING).await,
        Framing::Values => {
            let values = std::str::from_utf8(&body)
                .map_err(|e| Error::new(ErrorKind::Loader, "the values of an INSERT are no text").with_source(e))?;
            session.run(&format!("{sql}{values}"), DOING).await
        }
    };
    let done = done.map_err(|error| placed(error, &chunk, before))?;
    if done.warnings == 0 && done.rows == chunk.rows {
        return Ok(());
    }
    let warnings = session.warnings().await?;
    let Some(first) = warnings.first() else {
        let what = format!("{DOING}: the server took {} rows of {}", done.rows, chunk.rows);
        return Err(
            Error::new(ErrorKind::Validation, what).with_hint("look for a trigger of the target that drops rows")
        );
    };
    let more = if done.warnings > 1 { format!(", and {} more", done.warnings - 1) } else { String::new() };
    let what = format!("{DOING}: the server would not keep a value as it is: {}{more}", located(first, &chunk, before));
    let error = Error::new(ErrorKind::Validation, what);
    Err(error.with_hint(match first.contains("Duplicate entry") {
        true => "the row is there already: `mode: upsert` updates by key, `mode: replace` starts anew",
        false => "give the target's column another type, or the field: `dtype`, or a source expression",
    }))
}

/// An error with the row of the load and the value that it is about, where it names a row of the statement.
fn placed(error: Error, chunk: &Chunk, before: u64) -> Error {
    match context(error.message(), chunk, before) {
        Some(context) => error.context(context),
        None => error,
    }
}

fn located(message: &str, chunk: &Chunk, before: u64) -> String {
    match context(message, chunk, before) {
        Some(context) => format!("{message}; {context}"),
        None => message.to_string(),
    }
}

/// `row 5 of the load, column x: the value `abc``, of a message that ends in `for column 'x' at row 2`.
fn context(message: &str, chunk: &Chunk, before: u64) -> Option<String> {
    let (head, tail) = message.rsplit_once(" at row ")?;
    let digits: String = tail.chars().take_while(char::is_ascii_digit).collect();
    let row: u64 = digits.parse().ok()?;
    let place = format!("row {} of the load", before + row);
    // MariaDB names database and table, too: `db`.`t`.`x`.
    let named = head.rsplit_once("olumn ").map(|(_, name)| name.trim_end());
    let column = named.map(|name| match name.rsplit_once("`.`") {
        Some((_, last)) => last.trim_end_matches('`').replace("``", "`"),
        None => name.trim_matches(['\'', '`']).to_string(),
    });
    match column.and_then(|column| Some((chunk.shown(row, &column)?, column))) {
        Some((value, column)) => Some(format!("{place}, column {column}: the value {value}")),
        None => Some(place),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::super::encode::Target;
    use super::*;
    use crate::model::{DxtField, DxtType};

    #[test]
    fn a_message_that_names_a_row_is_shown_with_the_value() {
        let array: ArrayRef = Arc::new(StringArray::from(vec!["a", "b c"]));
        let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
        let target = Target::new(DxtField::new("x", DxtType::String).native("mysql", "text"), false);
        let mut chunk = Chunk::default();
        Encoder::new(vec![target], Framing::File).encode(&batch, 0, &mut chunk, usize::MAX).unwrap();
        let expected = "row 12 of the load, column x: the value `b c`";
        for message in [
            "Data too long for column 'x' at row 2 (Warning 1406)",
            "Incorrect string value: '\\xE6' for column `db`.`t`.`x` at row 2",
        ] {
            assert_eq!(context(message, &chunk, 10).as_deref(), Some(expected), "{message}");
        }
        assert_eq!(context("Out of range at row 1", &chunk, 0).as_deref(), Some("row 1 of the load"));
        assert_eq!(context("Duplicate entry '1' for key 'PRIMARY'", &chunk, 0), None);
    }
}
