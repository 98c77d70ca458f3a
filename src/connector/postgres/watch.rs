//! Tells a server that works from one that is lost, while something of it is waited for.
//!
//! Silence alone says nothing: CREATE INDEX or a COMMIT may be silent for hours. So after `read_timeout` of it, a second
//! connection asks the server what the session does there. Where it works or waits for a lock, dxt goes on waiting; where the
//! server does not answer, has no such session any more, has answered long ago, or sends (or takes) what never arrives, the
//! connection is lost. Waits are noted here by whoever waits; a session that nobody waits for is never asked about.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CopyInSink, CopyOutStream, Error, SimpleQueryMessage};

use super::client::Route;
use crate::connector::sql::causes::chain;

/// Between two askings that must agree before a connection counts as lost.
const AGAIN: Duration = Duration::from_secs(1);

/// The waits of one session.
#[derive(Debug, Default)]
pub(super) struct Waits {
    now: AtomicU64,
    moves: AtomicU64,
}

/// One wait, which ends with it.
pub(super) struct Wait(Arc<Waits>);

impl Wait {
    pub(super) fn begin(waits: &Arc<Waits>) -> Self {
        waits.now.fetch_add(1, Ordering::Relaxed);
        waits.moves.fetch_add(1, Ordering::Relaxed);
        Self(waits.clone())
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
        self.0.moves.fetch_add(1, Ordering::Relaxed);
    }
}

impl Waits {
    /// The wait that goes on, if one does.
    fn current(&self) -> Option<u64> {
        (self.now.load(Ordering::Relaxed) > 0).then(|| self.moves.load(Ordering::Relaxed))
    }
}

/// Who a session is on its server.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) pid: String,
    /// When the server started: another time is another server, behind the same address.
    pub(super) server: String,
}

/// Waits until the session is lost, and says why. Its backend is then to be ended by [`release`]. `patience` is how long silence is nothing to ask about.
pub(super) async fn lost(waits: &Waits, route: &Route, who: &Identity, patience: Duration) -> String {
    loop {
        let begun = waits.current();
        for _ in 0..4 {
            sleep(patience / 4).await;
            if waits.current() != begun {
                break;
            }
        }
        if begun.is_none() || waits.current() != begun {
            continue;
        }
        let Some(first) = ask(route, who).await else { continue };
        // What the server still takes is on its way, slowly: seen by what it takes within another silence.
        sleep(if first.taken.is_some() { patience.max(AGAIN) } else { AGAIN }).await;
        let second = ask(route, who).await;
        if let Some(second) = second.filter(|second| waits.current() == begun && second.taken == first.taken) {
            return format!("nothing has moved for {} s, and {}", patience.as_secs_f64().ceil(), second.why);
        }
    }
}

/// Ends what a lost session left on the server, as far as that answers: it would keep its locks for as long as the
/// server takes the connection for a living one.
pub(super) async fn release(route: &Route, who: &Identity) {
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid = {} \
         AND wait_event IN ('ClientRead', 'ClientWrite') \
         AND extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text = '{}'",
        who.pid, who.server
    );
    let _ = timeout(route.limit, send(route, &sql)).await;
}

/// Runs one statement on a connection of its own.
async fn send(route: &Route, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
    let (client, connection) = route.driver.connect(route.tls.fresh()).await?;
    let task = tokio::spawn(connection);
    let rows = client.simple_query(sql).await;
    task.abort();
    rows
}

/// Why a session seems to be lost.
struct Lost {
    why: String,
    /// How much of a COPY the server has taken, where it waits for more of it.
    taken: Option<String>,
}

/// Why a session counts as lost, by itself or if the next answer is the same; `None` where it does not, or where that
/// cannot be told.
async fn ask(route: &Route, who: &Identity) -> Option<Lost> {
    let lost = |why: String| Some(Lost { why, taken: None });
    let sql = format!(
        "SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text, \
         (SELECT coalesce(state, '?') || ' ' || coalesce(wait_event, '-') FROM pg_catalog.pg_stat_activity WHERE pid = {})",
        who.pid
    );
    let rows = match timeout(route.limit, send(route, &sql)).await {
        Err(_) => return lost("the server does not answer a second connection".into()),
        Ok(Err(e)) => {
            let ends = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
            return match e.code() {
                Some(code) if ends.contains(code) => lost("the server is stopping or starting".into()),
                // It lives and refuses: too many connections, a new password.
                Some(_) => None,
                None => lost(format!("the server cannot be reached: {}", chain(&e))),
            };
        }
        Ok(Ok(rows)) => rows,
    };
    let row = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    if row.get(0) != Some(who.server.as_str()) {
        return None;
    }
    let Some((state, event)) = row.get(1).and_then(|text| text.rsplit_once(' ')) else {
        return lost("the server has no such session any more".into());
    };
    match (state, event) {
        ("active", "ClientWrite") => lost("what the server sends does not arrive".into()),
        ("active", "ClientRead") => {
            Some(Lost { why: "what dxt sends does not arrive at the server".into(), taken: taken(route, who).await })
        }
        (state, _) if state.starts_with("idle") => lost("the server has nothing to do for this session".into()),
        _ => None,
    }
}

/// How many bytes of its COPY a session's server has taken; `None` where there is no COPY, and before PostgreSQL 14.
async fn taken(route: &Route, who: &Identity) -> Option<String> {
    let sql = format!("SELECT bytes_processed FROM pg_catalog.pg_stat_progress_copy WHERE pid = {}", who.pid);
    let rows = timeout(route.limit, send(route, &sql)).await.ok()?.ok()?;
    rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_string),
        _ => None,
    })
}

/// A `COPY … TO STDOUT` whose waits are noted.
pub(super) struct CopyOut {
    stream: Pin<Box<CopyOutStream>>,
    waits: Arc<Waits>,
    wait: Option<Wait>,
}

impl CopyOut {
    pub(super) fn new(stream: CopyOutStream, waits: &Arc<Waits>) -> Self {
        Self { stream: Box::pin(stream), waits: waits.clone(), wait: None }
    }
}

impl Stream for CopyOut {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.as_mut().poll_next(cx);
        self.wait = note(self.wait.take(), &self.waits, next.is_pending());
        next
    }
}

/// A `COPY … FROM STDIN` whose waits are noted.
pub(super) struct CopyIn {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    waits: Arc<Waits>,
    wait: Option<Wait>,
}

impl CopyIn {
    pub(super) fn new(sink: CopyInSink<Bytes>, waits: &Arc<Waits>) -> Self {
        Self { sink: Box::pin(sink), waits: waits.clone(), wait: None }
    }

    /// Ends the data, and gives the number of rows that the server took.
    pub(super) async fn finish(mut self: Pin<&mut Self>) -> Result<u64, Error> {
        let _wait = Wait::begin(&self.waits);
        self.sink.as_mut().finish().await
    }

    fn noted<T>(&mut self, poll: Poll<T>) -> Poll<T> {
        self.wait = note(self.wait.take(), &self.waits, poll.is_pending());
        poll
    }
}

impl Sink<Bytes> for CopyIn {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let poll = self.sink.as_mut().poll_ready(cx);
        self.noted(poll)
    }

    fn start_send(mut self: Pin<&mut Self>, piece: Bytes) -> Result<(), Error> {
        self.sink.as_mut().start_send(piece)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let poll = self.sink.as_mut().poll_flush(cx);
        self.noted(poll)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let poll = self.sink.as_mut().poll_close(cx);
        self.noted(poll)
    }
}

fn note(wait: Option<Wait>, waits: &Arc<Waits>, pending: bool) -> Option<Wait> {
    pending.then(|| wait.unwrap_or_else(|| Wait::begin(waits)))
}
