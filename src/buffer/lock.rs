//! One run at a time for each stream of a pipeline.
//!
//! On the local disk the lock is the kernel's, on `.<stream>.lock` in the pipeline's folder: it goes with the process,
//! also with one that is killed. In an object store it is an object of that name, made by a conditional put and refreshed
//! every half minute; one that is three minutes old is taken over. So a run that is killed there blocks the next for up
//! to three minutes, and hosts whose clocks differ by more than two must not share a location.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::store::{Files, Guard};
use crate::error::{Error, ErrorKind, Result};
use crate::model::LockMode;

/// Between two tries to take a lock that another run holds.
const PAUSE: Duration = Duration::from_millis(250);

/// Who holds a lock, as the lock itself says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run_id: String,
    /// Its process.
    pub pid: u32,
    /// The machine that the process runs on.
    pub host: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When the holder was last known to live.
    pub renewed: DateTime<Utc>,
}

impl Holder {
    /// This process, for a run.
    pub fn new(run_id: impl Into<String>) -> Self {
        let host =
            std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
        let host = host.map_or_else(|_| "unknown".into(), |name| name.trim().to_string());
        let now = Utc::now();
        Self { run_id: run_id.into(), pid: std::process::id(), host, since: now, renewed: now }
    }

    pub(super) fn renewed(&self) -> Self {
        Self { renewed: Utc::now(), ..self.clone() }
    }

    /// Whether this is the same holder, renewed or not.
    pub(super) fn same(&self, other: &Self) -> bool {
        (&self.run_id, self.pid, &self.host, self.since) == (&other.run_id, other.pid, &other.host, other.since)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // A struct of texts and numbers has a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(f, "run {} (pid {} on {}, since {since})", self.run_id, self.pid, self.host)
    }
}

/// What became of a try.
#[derive(Debug)]
pub enum Tried {
    /// It is taken.
    Taken(Box<dyn Guard>),
    /// Another has it; who, where that is known in this moment.
    Held(Option<Holder>),
}

/// Takes a lock, or waits for it.
///
/// # Errors
/// Buffer: another run has it and the mode is not to wait; the place cannot be written.
pub(super) async fn take(
    files: &dyn Files,
    key: &str,
    whose: &str,
    holder: &Holder,
    mode: LockMode,
) -> Result<Box<dyn Guard>> {
    let mut told = false;
    loop {
        let other = match files.try_lock(key, holder).await? {
            Tried::Taken(guard) => return Ok(guard),
            Tried::Held(other) => other.map_or_else(|| "another run".to_string(), |other| other.to_string()),
        };
        let text = format!("{whose} is locked by {other}");
        if mode == LockMode::Fail {
            return Err(Error::new(ErrorKind::Buffer, text)
                .with_hint("wait for that run to end, or run with `--lock wait` (`buffer: {lock: wait}`)"));
        }
        if !told {
            tracing::warn!(lock = files.shown(key), "{text}: waiting");
            told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
