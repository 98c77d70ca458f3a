//! One state of a database for all that a run reads of it.
//!
//! A snapshot is exported by a transaction that does nothing else, and taken over by every connection that reads. A run
//! has one per database, until it commits a load to the same database: streams that begin later may read what that load
//! has made, so they read a new one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

use super::client::Session;
use super::config::Settings;
use super::dialect::quote_text;
use super::statements::render;
use crate::connector::{Load, LoadCounts};
use crate::error::{Error, ErrorKind, Result};

const SNAPSHOT: &str = include_str!("../../../sql/postgres/snapshot.sql");
const DATABASE: &str = include_str!("../../../sql/postgres/database.sql");
/// How every scan begins.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// What tells the database of a session apart from others.
pub(super) async fn database(session: &Session) -> Result<String> {
    session.value(&render(DATABASE, &[]), &[], "asking which database this is").await
}

/// How many loads have been committed to each database by one run.
#[derive(Debug, Default)]
pub(super) struct Commits(Mutex<BTreeMap<String, u64>>);

impl Commits {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, database: &str) -> u64 {
        self.lock().get(database).copied().unwrap_or(0)
    }

    fn add(&self, database: &str) {
        *self.lock().entry(database.to_string()).or_default() += 1;
    }
}

/// An exported snapshot. The transaction that holds it ends when the last reader has let go of it.
pub(super) struct Snapshot {
    id: String,
    database: String,
    /// Loads that were committed to the database before.
    commits: u64,
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
        let database = database(&session).await?;
        // Counted before: a load that commits in between makes this one old, which costs a new one at most.
        let commits = commits.of(&database);
        session.run(&format!("{BEGIN}; {}", render(SNAPSHOT, &[])), DOING).await?;
        let id: String = session
            .value("SELECT pg_catalog.pg_export_snapshot()", &[], DOING)
            .await
            .map_err(|e| e.or_hint("where the server exports none, set the source's `options: {snapshot: stream}`"))?;
        Ok(Self { id, database, commits, session: Some(session) })
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

/// The snapshot that the streams of a run share.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    commits: Arc<Commits>,
    current: tokio::sync::Mutex<Option<Arc<Snapshot>>>,
}

impl Snapshots {
    pub(super) fn new(commits: Arc<Commits>) -> Self {
        Self { commits, current: tokio::sync::Mutex::default() }
    }

    /// A snapshot of its own.
    async fn another(&self, settings: &Settings) -> Result<Arc<Snapshot>> {
        Ok(Arc::new(Snapshot::take(settings, &self.commits).await?))
    }

    /// The run's snapshot, taken now where there is none that still holds.
    async fn current(&self, settings: &Settings) -> Result<Arc<Snapshot>> {
        let mut current = self.current.lock().await;
        if let Some(snapshot) = current.as_ref().filter(|s| s.commits == self.commits.of(&s.database)) {
            return Ok(snapshot.clone());
        }
        let snapshot = self.another(settings).await?;
        *current = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// Ends the transaction that holds it, unless somebody still reads.
    pub(super) async fn close(&self) {
        if let Some(snapshot) = self.current.lock().await.take().and_then(Arc::into_inner) {
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
    scope: Scope,
    /// Whether several connections will read.
    parted: bool,
    /// Whether nothing is computed to read it, so that the search path means nothing to it.
    stored: bool,
    taken: tokio::sync::OnceCell<Arc<Snapshot>>,
}

impl Lease {
    pub(super) fn new(
        settings: Arc<Settings>,
        snapshots: Arc<Snapshots>,
        scope: Scope,
        parted: bool,
        stored: bool,
    ) -> Self {
        Self { settings, snapshots, scope, parted, stored, taken: tokio::sync::OnceCell::new() }
    }

    /// A session in a transaction that reads the snapshot.
    pub(super) async fn session(&self) -> Result<Session> {
        const DOING: &str = "beginning to read";
        let settings = self.settings.as_ref();
        let snapshot = match self.scope {
            Scope::Stream if !self.parted => None,
            Scope::Stream => Some(self.taken.get_or_try_init(|| self.snapshots.another(settings)).await?),
            Scope::Run => Some(self.taken.get_or_try_init(|| self.snapshots.current(settings)).await?),
        };
        let session = Session::open(settings, ErrorKind::Extractor).await?;
        // A regclass and the like are then spelled with their schema: whoever reads them may have another path.
        let path = if self.stored { "; SET LOCAL search_path = pg_catalog" } else { "" };
        let Some(snapshot) = snapshot else {
            session.run(&format!("{BEGIN}{path}"), DOING).await?;
            return Ok(session);
        };
        let Some(id) = quote_text(&snapshot.id) else {
            return Err(Error::new(ErrorKind::Extractor, "the server's snapshot has a NUL in its name"));
        };
        let begun = session.run(&format!("{BEGIN}; SET TRANSACTION SNAPSHOT {id}{path}"), DOING).await;
        begun.map_err(|e| {
            e.context("taking over the run's snapshot").or_hint(
                "the connection that holds it may have been cut: run it again, or set the source's `options: {snapshot: stream}`",
            )
        })?;
        Ok(session)
    }
}

/// A load that tells the run's snapshots of its commit.
pub(super) struct Announced<L> {
    pub(super) load: L,
    pub(super) database: String,
    pub(super) commits: Arc<Commits>,
}

#[async_trait]
impl<L: Load> Load for Announced<L> {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.load.write(batch).await
    }

    async fn seal(&mut self) -> Result<LoadCounts> {
        self.load.seal().await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let Self { load, database, commits } = *self;
        let done = Box::new(load).commit().await;
        // Also where it failed: it may have taken place.
        commits.add(&database);
        done
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Box::new(self.load).abort().await
    }
}
