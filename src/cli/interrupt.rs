//! SIGINT and SIGTERM: the first one ends the work in order, the second one the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::print;
use crate::error::{ErrorKind, Result, ResultExt};

/// Exit codes as shells give them to a process that a signal ended: 128 and its number.
pub const SIGINT: u8 = 130;
pub const SIGTERM: u8 = 143;

/// The signals of this process from now on.
pub struct Interrupt {
    /// Cancelled by the first signal.
    pub cancel: CancellationToken,
    code: Arc<AtomicU8>,
}

impl Interrupt {
    /// Listens. `notice` is what people are told at the first signal; an end that takes longer than `patience` is made at
    /// once.
    ///
    /// # Errors
    /// Pipeline: the system takes no handler.
    pub fn listen(notice: Option<&'static str>, patience: Option<Duration>) -> Result<Self> {
        let on = |kind| signal(kind).during(ErrorKind::Pipeline, || "listening for signals".into());
        let (mut int, mut term) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
        let this = Self { cancel: CancellationToken::new(), code: Arc::default() };
        let (cancel, code) = (this.cancel.clone(), this.code.clone());
        tokio::spawn(async move {
            let first = next(&mut int, &mut term).await;
            code.store(first, Ordering::SeqCst);
            cancel.cancel();
            if let Some(notice) = notice {
                print::note(notice);
            }
            let late = async {
                match patience {
                    Some(patience) => tokio::time::sleep(patience).await,
                    None => std::future::pending().await,
                }
            };
            let last = tokio::select! {
                second = next(&mut int, &mut term) => second,
                () = late => first,
            };
            std::process::exit(i32::from(last));
        });
        Ok(this)
    }

    /// The exit code, where a signal has come.
    pub fn code(&self) -> Option<u8> {
        Some(self.code.load(Ordering::SeqCst)).filter(|code| *code != 0)
    }
}

async fn next(int: &mut Signal, term: &mut Signal) -> u8 {
    tokio::select! {
        _ = int.recv() => SIGINT,
        _ = term.recv() => SIGTERM,
    }
}
