//! SIGINT and SIGTERM in a shell. Ctrl-C ends the statement that runs; one that cannot end at once is left to itself a
//! little later, or at the second Ctrl-C; the third one ends the shell where even that is not to be had. SIGTERM ends all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::terminal::Terminal;
use crate::cli::interrupt::{SIGINT, SIGTERM};
use crate::error::{ErrorKind, Result, ResultExt};

/// How long a statement may take to end before it is left to end by itself.
const SLOW: Duration = Duration::from_millis(1500);
/// How long a statement may take to end when the shell ends.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the signals of this process mean now.
#[derive(Clone)]
pub struct Signals {
    /// Cancelled by SIGTERM: nothing more is begun.
    pub end: CancellationToken,
    now: Arc<Now>,
}

#[derive(Default)]
struct Now {
    /// The statement that runs.
    statement: Mutex<Option<Told>>,
    /// Whether the pager has the terminal: keys are for it, Ctrl-C too.
    paging: AtomicBool,
}

/// What a statement has been told.
#[derive(Clone, Default)]
pub struct Told {
    /// To end.
    pub end: CancellationToken,
    /// That nobody waits for its end.
    pub left: CancellationToken,
}

impl Now {
    fn statement(&self) -> std::sync::MutexGuard<'_, Option<Told>> {
        self.statement.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signals {
    /// Listens. `batch`: nobody types, and SIGINT ends all.
    ///
    /// # Errors
    /// Pipeline: the system takes no handler.
    pub fn listen(batch: bool, terminal: Arc<Terminal>) -> Result<Self> {
        let on = |kind| signal(kind).during(ErrorKind::Pipeline, || "listening for signals".into());
        let (mut int, mut term) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
        let this = Self { end: CancellationToken::new(), now: Arc::default() };
        let signals = this.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = int.recv() => if signals.interrupted(batch) {
                        terminal.restore();
                        std::process::exit(SIGINT.into());
                    },
                    _ = term.recv() => {
                        if signals.end.is_cancelled() {
                            break;
                        }
                        signals.end.cancel();
                        signals.cancel();
                        tokio::spawn(last(terminal.clone()));
                    }
                }
            }
            terminal.restore();
            std::process::exit(SIGTERM.into());
        });
        Ok(this)
    }

    /// A statement begins.
    pub fn begin(&self) -> Running {
        let told = Told::default();
        *self.now.statement() = Some(told.clone());
        // It came between two statements.
        if self.end.is_cancelled() {
            told.end.cancel();
        }
        Running { told, now: self.now.clone() }
    }

    /// Says whether the pager has the terminal.
    pub fn paging(&self, paging: bool) {
        self.now.paging.store(paging, Ordering::SeqCst);
    }

    fn cancel(&self) {
        if let Some(told) = self.now.statement().as_ref() {
            told.end.cancel();
        }
    }

    /// SIGINT has come. Whether the process is to end now.
    fn interrupted(&self, batch: bool) -> bool {
        let Some(told) = self.now.statement().clone() else {
            // Between two statements, or at the prompt, which has its own keys.
            return batch;
        };
        if !told.end.is_cancelled() {
            told.end.cancel();
            let now = self.now.clone();
            tokio::spawn(async move {
                tokio::time::sleep(SLOW).await;
                while now.paging.load(Ordering::SeqCst) {
                    tokio::time::sleep(SLOW / 10).await;
                }
                told.left.cancel();
            });
            return false;
        }
        if self.now.paging.load(Ordering::SeqCst) {
            return false;
        }
        let again = told.left.is_cancelled();
        told.left.cancel();
        again
    }
}

/// Ends the process where the shell does not.
async fn last(terminal: Arc<Terminal>) {
    tokio::time::sleep(PATIENCE).await;
    terminal.restore();
    std::process::exit(SIGTERM.into());
}

/// A statement that runs, until this goes.
pub struct Running {
    pub told: Told,
    now: Arc<Now>,
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.now.statement() = None;
    }
}
