//! One state of a database for all that a run reads of it.
//!
//! A snapshot is exported by a transaction that does nothing else, and taken over by every connection that reads. A run
//! has one per database, whatever its connections are called. A stream that reads what the run itself has loaded since
//! reads a new one; the others stay with the first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalog::get;
use super::client::Session;
use super::config::Settings;
use super::dialect::quote_text;
use super::statements::render;
use crate::error::{Error, ErrorKind, Result};
use crate::model::RelationName;

const SNAPSHOT: &str = include_str!("../../../sql/postgres/snapshot.sql");
const REWRITTEN: &str = include_str!("../../../sql/postgres/rewritten.sql");
const DATABASE: &str = include_str!("../../../sql/postgres/database.sql");
/// How every scan begins.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// What tells the database of a session apart from others.
pub(super) async fn database(session: &Session) -> Result<String> {
    session.value(&render(DATABASE, &[]), &[], "asking which database this is").await
}

/// A table as one that several connections may name.
pub(super) fn identity(database: &str, table: &RelationName) -> String {
    format!("{database} {table}")
}

/// The tables that one run has loaded, in the order of the commits, by their identities.
#[derive(Debug, Default)]
struct Commits(Mutex<Vec<String>>);

impl Commits {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.lock().len()
    }

    fn add(&self, table: String) {
        self.lock().push(table);
    }

    /// Whether one of `tables`, or any where these are not known, was loaded after the first `count` commits.
    fn touched(&self, count: usize, tables: Option<&[String]>) -> bool {
        let all = self.lock();
        let later = all.get(count..).unwrap_or_default();
        match tables {
            Some(tables) => later.iter().any(|table| tables.contains(table)),
            None => !later.is_empty(),
        }
    }
}

/// An exported snapshot. The transaction that holds it ends when the last reader has let go of it.
pub(super) struct Snapshot {
    id: String,
    /// The run's loads that were committed before.
    commits: usize,
    session: Option<Session>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Snapshot {
    async fn take(settings: &Settings, commits: &Commits) -> Result<Self> {
        const DOING: &str = "taking a snapshot";
        let session = Session::open(settings, ErrorKind::Extractor).await?;
        // Counted before: a load that commits in between makes this one old, which costs a new one at most.
        let commits = commits.count();
        session.run(&format!("{BEGIN}; {}", render(SNAPSHOT, &[])), DOING).await?;
        let id: String = session
            .value("SELECT pg_catalog.pg_export_snapshot()", &[], DOING)
            .await
            .map_err(|e| e.or_hint("where the server exports none, set the source's `options: {snapshot: stream}`"))?;
        Ok(Self { id, commits, session: Some(session) })
    }

    async fn close(mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // In order, so that the server's log has no word of a lost connection.
        if let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(session.close()));
        }
    }
}

/// The snapshots that the streams of a run share, and the loads that made more than one of them necessary.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    commits: Commits,
    /// By database, the oldest first.
    taken: tokio::sync::Mutex<BTreeMap<String, Vec<Arc<Snapshot>>>>,
}

impl Snapshots {
    /// Says that tables were loaded, or may have been.
    pub(super) fn loaded(&self, database: &str, tables: &[RelationName]) {
        tables.iter().for_each(|table| self.commits.add(identity(database, table)));
    }

    /// A snapshot of its own.
    async fn another(&self, settings: &Settings) -> Result<Arc<Snapshot>> {
        Ok(Arc::new(Snapshot::take(settings, &self.commits).await?))
    }

    /// The oldest snapshot of the run since which nothing of what `reads` names was loaded; taken now where there is none.
    async fn of_run(&self, settings: &Settings, database: &str, reads: Option<&[String]>) -> Result<Arc<Snapshot>> {
        let mut taken = self.taken.lock().await;
        let taken = taken.entry(database.to_string()).or_default();
        // One whose transaction is gone cannot be taken over: a stream that is tried again reads a later state.
        let known = taken.len();
        taken.retain(|snapshot| snapshot.session.as_ref().is_some_and(Session::is_open));
        if taken.len() < known {
            tracing::warn!(database, "the connection that held the run's snapshot was lost: a new one is taken");
        }
        if let Some(snapshot) = taken.iter().find(|s| !self.commits.touched(s.commits, reads)) {
            return Ok(snapshot.clone());
        }
        let snapshot = self.another(settings).await?;
        taken.push(snapshot.clone());
        Ok(snapshot)
    }

    /// Ends the transactions that hold them, but of those that somebody still reads.
    pub(super) async fn close(&self) {
        let taken = std::mem::take(&mut *self.taken.lock().await);
        for snapshot in taken.into_values().flatten().filter_map(Arc::into_inner) {
            snapshot.close().await;
        }
    }
}

/// Who shares a snapshot: the source's option `snapshot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Scope {
    /// All streams of the run.
    #[default]
    Run,
    /// The parts of one stream. One that is read as a whole needs to export none.
    Stream,
}

/// The snapshot of one source: the same for all of its parts.
#[derive(Debug)]
pub(super) struct Lease {
    settings: Arc<Settings>,
    snapshots: Arc<Snapshots>,
    reading: Reading,
    taken: tokio::sync::OnceCell<Arc<Snapshot>>,
}

/// What of a source matters to its snapshot.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) scope: Scope,
    /// What [`database`] said.
    pub(super) database: String,
    /// The identities of the tables that it reads.
    pub(super) tables: Vec<String>,
    /// Their numbers in the catalog.
    pub(super) oids: Vec<u32>,
    /// Whether several connections will read.
    pub(super) parted: bool,
    /// Whether nothing is computed to read it, so that the search path means nothing to it, and no function reads more.
    pub(super) stored: bool,
}

impl Lease {
    pub(super) fn new(settings: Arc<Settings>, snapshots: Arc<Snapshots>, reading: Reading) -> Self {
        Self { settings, snapshots, reading, taken: tokio::sync::OnceCell::new() }
    }

    /// What leases of one connection to one database have in common.
    pub(super) fn server(&self) -> String {
        format!("postgres {:p} {} {:?}", Arc::as_ptr(&self.settings), self.reading.database, self.reading.scope)
    }

    /// One for a statement that reads what this and `others` read.
    pub(super) fn joined<'a>(&'a self, others: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let all = others.chain([self]);
        let mut tables: Vec<String> = all.clone().flat_map(|lease| lease.reading.tables.iter().cloned()).collect();
        let mut oids: Vec<u32> = all.clone().flat_map(|lease| lease.reading.oids.iter().copied()).collect();
        tables.sort();
        tables.dedup();
        oids.sort_unstable();
        oids.dedup();
        let reading = Reading {
            scope: self.reading.scope,
            database: self.reading.database.clone(),
            tables,
            oids,
            parted: false,
            stored: all.clone().all(|lease| lease.reading.stored),
        };
        Self::new(self.settings.clone(), self.snapshots.clone(), reading)
    }

    /// The identities of the tables that are read.
    pub(super) fn tables(&self) -> &[String] {
        &self.reading.tables
    }

    /// A session in a transaction that reads the snapshot and has locked what `sql` reads, so that it stays what it is.
    ///
    /// # Errors
    /// Extractor: a table was truncated or rewritten since another part of the scan has begun.
    pub(super) async fn session(&self, sql: &str) -> Result<Session> {
        let (settings, reading) = (self.settings.as_ref(), &self.reading);
        if reading.scope == Scope::Stream && !reading.parted {
            return match self.begin(None, sql).await? {
                Begun::Good(session) => Ok(*session),
                // It waited for a lock, behind which the table was emptied or filled anew.
                Begun::Rewritten(_) => self.begin(None, sql).await?.good(),
            };
        }
        let mut first = None;
        let taken = self.taken.get_or_try_init(|| async {
            let snapshot = match reading.scope {
                Scope::Stream => self.snapshots.another(settings).await?,
                Scope::Run => {
                    let tables = reading.stored.then_some(reading.tables.as_slice());
                    self.snapshots.of_run(settings, &reading.database, tables).await?
                }
            };
            match self.begin(Some(&snapshot), sql).await? {
                Begun::Good(session) => {
                    first = Some(*session);
                    Ok(snapshot)
                }
                Begun::Rewritten(table) => {
                    tracing::warn!(
                        table,
                        "the table was truncated or rewritten since the run began to read: it is read as it is now"
                    );
                    let snapshot = self.snapshots.another(settings).await?;
                    first = Some(self.begin(Some(&snapshot), sql).await?.good()?);
                    Ok::<_, Error>(snapshot)
                }
            }
        });
        let taken = taken.await?;
        match first {
            Some(session) => Ok(session),
            None => self.begin(Some(taken), sql).await?.good(),
        }
    }

    async fn begin(&self, snapshot: Option<&Snapshot>, sql: &str) -> Result<Begun> {
        const DOING: &str = "beginning to read";
        let session = Session::open(&self.settings, ErrorKind::Extractor).await?;
        let mut begin = BEGIN.to_string();
        if let Some(snapshot) = snapshot {
            let Some(id) = quote_text(&snapshot.id) else {
                return Err(Error::new(ErrorKind::Extractor, "the server's snapshot has a NUL in its name"));
            };
            begin += &format!("; SET TRANSACTION SNAPSHOT {id}");
        }
        if self.reading.stored {
            // A regclass and the like are then spelled with their schema: whoever reads them may have another path.
            begin += "; SET LOCAL search_path = pg_catalog";
        }
        session.run(&begin, DOING).await.map_err(|e| match snapshot {
            None => e,
            Some(_) => e.context("taking over the run's snapshot").or_hint(
                "the connection that holds it may have been cut: run it again, or set the source's `options: {snapshot: stream}`",
            ),
        })?;
        // A plan locks all that it would read.
        session.run(&format!("EXPLAIN (COSTS off) {sql}"), "planning the query").await?;
        let rewritten = session.rows(&render(REWRITTEN, &[]), &[&self.reading.oids], DOING).await?;
        match rewritten.first() {
            None => Ok(Begun::Good(Box::new(session))),
            Some(row) => {
                let table = get(row, 0)?;
                session.close().await;
                Ok(Begun::Rewritten(table))
            }
        }
    }
}

/// A transaction that is to read.
enum Begun {
    Good(Box<Session>),
    /// This table is not now what it was when the snapshot was taken.
    Rewritten(String),
}

impl Begun {
    fn good(self) -> Result<Session> {
        match self {
            Self::Good(session) => Ok(*session),
            Self::Rewritten(table) => {
                let what = format!("{table} was truncated or rewritten while it was being read");
                Err(Error::new(ErrorKind::Extractor, what).with_hint("run it again when the other process is done"))
            }
        }
    }
}
