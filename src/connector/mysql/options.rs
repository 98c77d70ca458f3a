//! The options of a load, read and checked.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{OptionReader, Options, one_of};

const WHOSE: &str = "load options of MySQL";
const STRATEGIES: [(&str, ReplaceStrategy); 2] = [("delete", ReplaceStrategy::Delete), ("swap", ReplaceStrategy::Swap)];
const METHODS: [(&str, Method); 3] =
    [("auto", Method::Auto), ("load_data", Method::LoadData), ("insert", Method::Insert)];
/// How long a load waits for locks where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(300);
/// As long as the server can wait.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a replace gets the old rows out of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplaceStrategy {
    Delete,
    Swap,
}

/// How rows travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// LOAD DATA where the server has it on.
    Auto,
    LoadData,
    Insert,
}

/// What a load may be told beyond its mode:
///
/// | option | is | default |
/// | --- | --- | --- |
/// | `replace_strategy` | `delete`: DELETE and the new rows in one transaction, others read the old rows until it commits; `swap`: a table built aside (`CREATE TABLE … LIKE`) and put into the target's place by one RENAME, refused where triggers or foreign keys hang on the target | `delete` |
/// | `lock_timeout` | how long to wait for a lock, `30s`, `10m`, `1h`, or `none` for a year | `5m` |
/// | `load_method` | `load_data` (LOAD DATA LOCAL, which needs `local_infile` on at the server), `insert`, or `auto` | `auto` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoadOptions {
    pub(super) replace: ReplaceStrategy,
    pub(super) lock_timeout: Duration,
    pub(super) method: Method,
}

impl LoadOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// Configuration: an option that does not exist, or a value that is none.
    pub(super) fn read(options: &Options) -> Result<Self> {
        let mut reader = OptionReader::new(options, WHOSE);
        let replace = match reader.string("replace_strategy")? {
            None => ReplaceStrategy::Delete,
            Some(word) => one_of(WHOSE, "replace_strategy", &word, &STRATEGIES)?,
        };
        let lock_timeout = match reader.string("lock_timeout")? {
            None => PATIENCE,
            Some(text) => timeout(&text)?,
        };
        let method = match reader.string("load_method")? {
            None => Method::Auto,
            Some(word) => one_of(WHOSE, "load_method", &word, &METHODS)?,
        };
        reader.finish()?;
        Ok(Self { replace, lock_timeout, method })
    }

    /// The same in seconds, which is what the server counts in.
    pub(super) fn patience(&self) -> u64 {
        self.lock_timeout.as_secs().max(1)
    }
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::Configuration, format!("{WHOSE}: {what}"))
}

fn timeout(text: &str) -> Result<Duration> {
    if text == "none" {
        return Ok(LONGEST);
    }
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let seconds = match &text[unit_at..] {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let count = text[..unit_at].parse::<u64>().ok();
    let limit = seconds.zip(count).and_then(|(unit, count)| count.checked_mul(unit)).map(Duration::from_secs);
    limit.filter(|limit| !limit.is_zero() && *limit <= LONGEST).ok_or_else(|| {
        wrong(format!("lock_timeout must be a duration in whole seconds, not {text}"))
            .with_hint("write 30s, 10m or 1h, or none to wait for a year")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(options: Value) -> Result<LoadOptions> {
        LoadOptions::read(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn a_lock_timeout_is_a_duration_or_none() {
        let limit = |text: &str| read(json!({"lock_timeout": text})).map(|o| o.patience());
        assert_eq!(limit("10m").unwrap(), 600);
        assert_eq!(limit("none").unwrap(), 365 * 24 * 3600);
        assert_eq!(read(json!({})).unwrap().patience(), 300);
        for text in ["", "10", "0s", "-1s", "500ms", "1y", "99999999999999999999s", "9000h"] {
            let error = limit(text).unwrap_err();
            assert!(error.kind() == ErrorKind::Configuration && error.hint().is_some(), "{text}: {error}");
        }
    }

    #[test]
    fn an_option_or_strategy_that_does_not_exist_is_an_error_with_the_nearest() {
        assert_eq!(read(json!({"replace_strategy": "deleet"})).unwrap_err().hint(), Some("did you mean delete?"));
        assert_eq!(read(json!({"load_methd": "insert"})).unwrap_err().hint(), Some("did you mean load_method?"));
        assert_eq!(read(json!({"load_method": "insert"})).unwrap().method, Method::Insert);
    }
}
