//! Waiting for locks: for a while only, and with the names of those who hold them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::catalog::get;
use super::client::Session;
use super::config::Settings;
use super::options::LockTimeout;
use crate::error::{ErrorKind, Result};

const BLOCKERS: &str = include_str!("../../../sql/postgres/blockers.sql");
/// Between two questions of who is in the way.
const PAUSE: Duration = Duration::from_secs(10);

/// The statement that bounds a transaction's waiting otherwise than the session's.
pub(super) fn bound(timeout: LockTimeout) -> Option<String> {
    match timeout {
        LockTimeout::Session => None,
        LockTimeout::Limit(limit) => Some(format!("SET LOCAL lock_timeout = {}", limit.as_millis())),
        LockTimeout::None => Some("SET LOCAL lock_timeout = 0".into()),
    }
}

/// What is needed to find out, while one session waits, for whom.
pub(super) struct Patience {
    settings: Arc<Settings>,
    pid: i32,
    pause: Duration,
}

impl Patience {
    /// For the transaction that `session` is in, its waiting bounded already.
    pub(super) async fn new(settings: Arc<Settings>, session: &Session) -> Result<Self> {
        const DOING: &str = "asking for lock_timeout";
        const ASK: &str = "SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'";
        let limit: i64 = session.value(ASK, &[], DOING).await?;
        let pid = session.value("SELECT pg_catalog.pg_backend_pid()", &[], DOING).await?;
        let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0).map(Duration::from_millis);
        // Several times before the end, so that the last answer is that of the end.
        let pause = limit.map_or(PAUSE, |limit| PAUSE.min(limit / 4)).max(Duration::from_millis(20));
        Ok(Self { settings, pid, pause })
    }

    /// Does `work`, which may wait for a lock; says so in the log when it takes long, and in the error when it fails.
    pub(super) async fn wait<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        let mut watcher: Option<Session> = None;
        let mut seen = String::new();
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                () = tokio::time::sleep(self.pause) => {}
            }
            // Asking must neither hold up the work itself nor fail it.
            let asked = tokio::select! {
                biased;
                done = &mut work => break done,
                asked = self.blockers(&mut watcher) => asked.unwrap_or_default(),
            };
            if !asked.is_empty() && asked != seen {
                tracing::warn!(blockers = asked, "{what} waits for a lock");
                seen = asked;
            }
        };
        if let Some(watcher) = watcher {
            watcher.close().await;
        }
        done.map_err(|error| match error.message().contains("SQLSTATE 55P03") && !seen.is_empty() {
            true => error.with_hint(format!(
                "it was held by {seen}: run it again when that is done, or raise `lock_timeout` in the load's options"
            )),
            false => error,
        })
    }

    async fn blockers(&self, watcher: &mut Option<Session>) -> Result<String> {
        if watcher.is_none() {
            *watcher = Some(Session::open(&self.settings, ErrorKind::Loader).await?);
        }
        let Some(session) = watcher else { return Ok(String::new()) };
        let rows = session.rows(BLOCKERS, &[&self.pid], "asking who holds the lock").await?;
        let names = rows.iter().map(|row| get::<String>(row, 0)).collect::<Result<Vec<_>>>()?;
        Ok(names.join(" and "))
    }
}
