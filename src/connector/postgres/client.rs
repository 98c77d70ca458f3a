//! One session on a server: connected, set up, and ended whichever way it is dropped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CancelToken, Client, Connection, Row, SimpleQueryMessage, Socket, Statement};

use super::config::Settings;
use super::connect::connect;
use super::error;
use super::tls::{Encrypted, Tls};
use super::watch::{self, CopyIn, CopyOut, Identity, Wait, Waits};
use crate::connector::sql::Open;
use crate::connector::sql::causes::chain;
use crate::error::{Error, ErrorKind, Result};
use crate::fault;

const SETUP: &str =
    concat!(include_str!("../../../sql/postgres/session.sql"), include_str!("../../../sql/postgres/identity.sql"));
/// How long an end that nobody waits for may take.
const GRACE: Duration = Duration::from_secs(5);
/// How long a session that is left may take to end by itself: before it is cancelled, as it may have nothing to do, and
/// after that.
const QUIET: Duration = Duration::from_millis(20);
const ORDERLY: Duration = Duration::from_secs(1);

/// The way to the server of a session, for cancel requests and questions: the same address, the same TLS.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) driver: tokio_postgres::Config,
    pub(super) tls: Tls,
    /// How long connecting may take.
    pub(super) limit: Duration,
    /// Held as long as the session's connection is.
    pub(super) open: Open,
}

/// A session. Dropped without [`Session::close`], it cancels what the server is doing for it and breaks the connection,
/// so that a transaction rolls back and its locks are free.
pub(super) struct Session {
    client: Client,
    guard: Guard,
    waits: Arc<Waits>,
    /// Whether the database keeps text in UTF-8.
    utf8: bool,
    /// The kind of its errors.
    kind: ErrorKind,
}

/// The task that moves the connection's bytes, and what ended it.
struct Guard {
    task: JoinHandle<()>,
    end: Arc<Mutex<Option<String>>>,
    cancel: Option<(CancelToken, Tls)>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some((token, tls)) = self.cancel.take() else { return };
        let task = self.task.abort_handle();
        match tokio::runtime::Handle::try_current() {
            // The server looks at a broken connection only when it has something to send: a long sort would run on.
            Ok(runtime) => drop(runtime.spawn(async move {
                if !finished(&task, QUIET).await {
                    let _ = timeout(GRACE, token.cancel_query(tls)).await;
                    finished(&task, ORDERLY).await;
                }
                task.abort();
            })),
            Err(_) => task.abort(),
        }
    }
}

/// Whether a task ends within a time.
async fn finished(task: &AbortHandle, limit: Duration) -> bool {
    let ends = async {
        while !task.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(limit, ends).await.is_ok()
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// Connects, logs in and sets the session up; errors of its statements will be of `kind`.
    ///
    /// # Errors
    /// Connection: the server cannot be reached in time, or refuses the login.
    pub(super) async fn open(settings: &Settings, kind: ErrorKind) -> Result<Self> {
        connect(settings, kind).await
    }

    /// Sets a connection up that is logged in. Also says whether its server is a standby, and whether it is read only.
    pub(super) async fn begin(
        client: Client,
        connection: Connection<Socket, Encrypted<Socket>>,
        route: Route,
        patience: Option<Duration>,
        kind: ErrorKind,
    ) -> Result<(Self, bool, bool)> {
        let end = Arc::new(Mutex::new(None));
        let waits = Arc::<Waits>::default();
        let (named, identity) = tokio::sync::oneshot::channel::<Identity>();
        let cancel = Some((client.cancel_token(), route.tls.fresh()));
        let utf8 = connection.parameter("server_encoding") == Some("UTF8");
        let (seen, watched) = (end.clone(), waits.clone());
        let task = tokio::spawn(async move {
            let _open = route.open.clone();
            let lost = async {
                match (patience, identity.await) {
                    (Some(patience), Ok(who)) => (watch::lost(&watched, &route, &who, patience).await, who),
                    _ => std::future::pending().await,
                }
            };
            let (why, left) = tokio::select! {
                biased;
                ended = connection => match ended {
                    Ok(()) => ("it was closed".to_string(), None),
                    Err(e) => (chain(&e), None),
                },
                (why, who) = lost => (why, Some(who)),
            };
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            // Only now: the end of its backend is the end of the connection, too, and would be taken for the cause.
            if let Some(who) = left {
                watch::release(&route, &who).await;
            }
        });
        let session = Self { client, guard: Guard { task, end, cancel }, waits, utf8, kind };
        let answers = match session.client.simple_query(SETUP).await {
            Ok(answers) => answers,
            Err(e) => return Err(session.failed("setting the session up", e).await),
        };
        // The last of them: statements before it may give rows as well.
        let row = answers.into_iter().rev().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let said = |column| row.as_ref().and_then(|row| row.try_get(column).ok().flatten()).unwrap_or_default();
        let _ = named.send(Identity { pid: said(0).to_string(), server: said(1).to_string() });
        let (standby, read_only) = (said(2) == "t", said(3) == "on");
        Ok((session, standby, read_only))
    }

    /// Whether its connection still stands, as far as is known here.
    pub(super) fn is_open(&self) -> bool {
        !self.guard.task.is_finished()
    }

    /// Whether the database keeps text in UTF-8, so that its bytes there have the order that they have here.
    pub(super) fn is_utf8(&self) -> bool {
        self.utf8
    }

    fn waiting(&self) -> Wait {
        Wait::begin(&self.waits)
    }

    /// Ends the session and waits until the server knows.
    pub(super) async fn close(self) {
        let Self { client, mut guard, .. } = self;
        guard.cancel = None;
        drop(client);
        if timeout(GRACE, &mut guard.task).await.is_err() {
            guard.task.abort();
        }
    }

    /// Commits, and ends the session.
    ///
    /// # Errors
    /// The transaction failed before or by the COMMIT, or it is not known whether it did.
    pub(super) async fn commit(self) -> Result<()> {
        // COMMIT of a transaction that has failed rolls back without an error; the SELECT fails there.
        let wait = self.waiting();
        let done = self.client.batch_execute("SELECT 1; COMMIT").await;
        drop(wait);
        match done {
            Ok(()) => {
                fault::point("postgres.committed");
                self.close().await;
                Ok(())
            }
            Err(e) if e.as_db_error().is_some() => Err(self.failed("COMMIT", e).await),
            Err(e) => {
                let error = self.failed("COMMIT; whether it took place is not known", e).await;
                Err(error.with_hint("look at the target before running it again"))
            }
        }
    }

    /// Rolls back, and ends the session; a server that does not answer rolls back by the broken connection.
    pub(super) async fn roll_back(self) {
        if let Ok(Ok(())) = timeout(GRACE, self.client.batch_execute("ROLLBACK")).await {
            self.close().await;
        }
    }

    /// What an error of the driver means.
    pub(super) async fn failed(&self, doing: &str, error: tokio_postgres::Error) -> Error {
        if !error.is_closed() {
            return error::failed(self.kind, doing, &error);
        }
        // The driver says "closed" to the client, and why to the task, which may be a moment behind.
        let told = || self.guard.end.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut why = told();
        for _ in 0..100 {
            if why.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            why = told();
        }
        error::broken(doing, why.as_deref().unwrap_or("it was closed"))
    }

    /// Runs statements that take and give nothing.
    pub(super) async fn run(&self, sql: &str, doing: &str) -> Result<()> {
        fault::point("postgres.statement");
        let _wait = self.waiting();
        match self.client.batch_execute(sql).await {
            Ok(()) => Ok(()),
            Err(e) => Err(self.failed(doing, e).await),
        }
    }

    /// Runs one statement and gives the number of rows that it touched.
    pub(super) async fn execute(&self, sql: &str, doing: &str) -> Result<u64> {
        fault::point("postgres.statement");
        let _wait = self.waiting();
        match self.client.execute(sql, &[]).await {
            Ok(rows) => Ok(rows),
            Err(e) => Err(self.failed(doing, e).await),
        }
    }

    /// Asks a catalog or for a few rows.
    pub(super) async fn rows(&self, sql: &str, parameters: Parameters<'_>, doing: &str) -> Result<Vec<Row>> {
        let _wait = self.waiting();
        match self.client.query(sql, parameters).await {
            Ok(rows) => Ok(rows),
            Err(e) => Err(self.failed(doing, e).await),
        }
    }

    /// Asks for one value.
    pub(super) async fn value<T>(&self, sql: &str, parameters: Parameters<'_>, doing: &str) -> Result<T>
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let _wait = self.waiting();
        let row = match self.client.query_one(sql, parameters).await {
            Ok(row) => row,
            Err(e) => return Err(self.failed(doing, e).await),
        };
        match row.try_get(0) {
            Ok(value) => Ok(value),
            Err(e) => Err(self.failed(doing, e).await),
        }
    }

    /// Has a statement parsed; the driver's own error, as its position is of use.
    pub(super) async fn prepare(&self, sql: &str) -> std::result::Result<Statement, tokio_postgres::Error> {
        let _wait = self.waiting();
        self.client.prepare(sql).await
    }

    /// Starts `COPY … TO STDOUT`.
    pub(super) async fn copy_out(&self, sql: &str, doing: &str) -> Result<CopyOut> {
        let _wait = self.waiting();
        match self.client.copy_out(sql).await {
            Ok(stream) => Ok(CopyOut::new(stream, &self.waits)),
            Err(e) => Err(self.failed(doing, e).await),
        }
    }

    /// Starts `COPY … FROM STDIN`.
    pub(super) async fn copy_in(&self, sql: &str, doing: &str) -> Result<CopyIn> {
        let _wait = self.waiting();
        match self.client.copy_in(sql).await {
            Ok(sink) => Ok(CopyIn::new(sink, &self.waits)),
            Err(e) => Err(self.failed(doing, e).await),
        }
    }
}
