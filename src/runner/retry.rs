//! Attempts: what is tried again, how often, and how long it waits before.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StreamResult;
use crate::error::{Error, Result};
use crate::model::RetryConfig;
use crate::plan::sink::interrupted;

/// The longest wait between two attempts, where the pipeline asks for no longer one.
const LONGEST: Duration = Duration::from_secs(60);

/// Waits before another attempt after one that failed, and notes it in the result; or gives the error back where there is
/// to be none: its cause will stay, or the attempts are used up.
///
/// # Errors
/// The attempt's own, or that the run was interrupted meanwhile.
pub(super) async fn another(
    config: &RetryConfig,
    cancel: &CancellationToken,
    result: &mut StreamResult,
    error: Error,
) -> Result<()> {
    if !error.is_transient() || result.attempts > config.retries || cancel.is_cancelled() {
        return Err(error);
    }
    let wait = ceiling(config.wait, result.attempts).mul_f64(chance());
    tracing::warn!(
        attempt = result.attempts,
        attempts = config.retries + 1,
        wait_seconds = wait.as_secs_f64(),
        error = %error,
        "the attempt failed; it is repeated"
    );
    result.retried.push(error.to_string());
    tokio::select! {
        () = cancel.cancelled() => return Err(interrupted()),
        () = tokio::time::sleep(wait) => {}
    }
    result.attempts += 1;
    Ok(())
}

/// The longest wait after so many attempts.
fn ceiling(wait: Duration, attempts: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
    wait.saturating_mul(doubled).min(LONGEST.max(wait))
}

/// A number from 0 to 1, by the seeds that each hasher of the standard library draws for itself.
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn waits_double_up_to_a_minute_and_never_below_what_was_asked_for() {
        let second = Duration::from_secs(1);
        let waits: Vec<u64> = (1..9).map(|n| ceiling(second, n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(ceiling(90 * second, 3), 90 * second);
        assert_eq!(ceiling(second, u32::MAX), LONGEST);
    }

    #[test]
    fn chances_are_spread() {
        let drawn: Vec<f64> = (0..1000).map(|_| chance()).collect();
        assert!(drawn.iter().all(|c| (0.0..=1.0).contains(c)));
        let low = drawn.iter().filter(|c| **c < 0.5).count();
        assert!((350..650).contains(&low), "{low}");
    }

    #[tokio::test]
    async fn only_what_may_be_gone_later_is_repeated_and_only_so_often() {
        let config = RetryConfig { retries: 2, wait: Duration::from_millis(1) };
        let cancel = CancellationToken::new();
        let mut result = StreamResult::new("s", Status::Succeeded);
        let error = |transient| Error::new(ErrorKind::Connection, "gone").transient(transient);
        assert!(another(&config, &cancel, &mut result, error(false)).await.is_err());
        assert_eq!(result.attempts, 1);
        for _ in 0..2 {
            another(&config, &cancel, &mut result, error(true)).await.unwrap();
        }
        assert!(another(&config, &cancel, &mut result, error(true)).await.is_err());
        assert_eq!((result.attempts, result.retried.len()), (3, 2));
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_run() {
        let config = RetryConfig { retries: 2, wait: Duration::from_secs(3600) };
        let cancel = CancellationToken::new();
        let mut result = StreamResult::new("s", Status::Succeeded);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cancel.cancel();
        };
        let error = Error::new(ErrorKind::Connection, "gone").transient(true);
        let (ended, ()) = tokio::join!(another(&config, &cancel, &mut result, error), stop);
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Interrupted);
    }
}
