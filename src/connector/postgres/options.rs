//! The options of a load, read and checked.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{OptionReader, Options, one_of};

const WHOSE: &str = "load options of PostgreSQL";
const STRATEGIES: [(&str, ReplaceStrategy); 4] = [
    ("truncate", ReplaceStrategy::Truncate),
    ("delete", ReplaceStrategy::Delete),
    ("keyed", ReplaceStrategy::Keyed),
    ("swap", ReplaceStrategy::Swap),
];
const METHODS: [&str; 5] = ["btree", "hash", "gin", "gist", "brin"];
/// As long as `timeout` of the server can be: an `int` of milliseconds.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// How a replace gets the old rows out of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplaceStrategy {
    Truncate,
    Delete,
    Keyed,
    Swap,
}

/// How long a load waits for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockTimeout {
    /// As the session has it: five minutes, where nobody says otherwise.
    Session,
    Limit(Duration),
    None,
}

/// What a load may be told beyond its mode:
///
/// | option | is | default |
/// | --- | --- | --- |
/// | `replace_strategy` | how `mode: replace` gets the old rows out, see below | `truncate` |
/// | `lock_timeout` | how long to wait for a lock, `30s`, `10m`, `1h`, or `none` for ever; then the load fails, and its error names who held the lock | `5m`, or the session's own `lock_timeout` |
/// | `indexes` | indexes of a table that the load creates: a list of columns, lists of columns, or maps `{columns: […], unique: true, method: btree, name: …}` | none |
/// | `unlogged` | whether a table that the load creates is `UNLOGGED`: faster to fill, and empty after a crash of the server | `false` |
///
/// `indexes` and `unlogged` are for a table that the load creates; one that is there stays as it is. The primary key
/// (`primary_key: source | none | [fields]`) and the indexes are made after the rows are in, in the same transaction.
///
/// | `replace_strategy` | does | others meanwhile |
/// | --- | --- | --- |
/// | `truncate` | `TRUNCATE` and `COPY`. Its lock (ACCESS EXCLUSIVE) is held from the beginning of the load to its commit. TRUNCATE is not MVCC-safe: a transaction with an older snapshot that reads the table after the commit sees it *empty*. Where foreign keys of other tables refer to the target, TRUNCATE cannot be, and `keyed` is taken (`delete` where the load brings no key) | wait, readers as well |
/// | `delete` | `DELETE` and `COPY`; leaves dead rows for vacuum | read the old rows |
/// | `keyed` | upserts what differs by `upsert_keys`, else the primary key, else a unique one, then deletes what the load did not bring. Refused where a foreign key would delete or change rows of another table with those | read the old rows |
/// | `swap` | fills a table aside, builds on it what the target is (columns, defaults, constraints, keys, indexes, triggers, policies, grants, owner, comments, settings, statistics), compares both, and renames it into place. Refused where a view, a foreign key, a publication or anything else hangs on the target. Triggers do not fire for its rows. Sequences are moved past their keys | read the old rows; wait at the end only |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoadOptions {
    pub(super) replace: ReplaceStrategy,
    pub(super) lock_timeout: LockTimeout,
    pub(super) indexes: Vec<Index>,
    pub(super) unlogged: bool,
}

/// An index of a table that is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) columns: Vec<String>,
    pub(super) unique: bool,
    /// The server's choice where it is not given.
    pub(super) name: Option<String>,
    pub(super) method: Option<&'static str>,
}

impl LoadOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// Configuration: an option that does not exist, or a value that is none.
    pub(super) fn read(options: &Options) -> Result<Self> {
        let mut reader = OptionReader::new(options, WHOSE);
        let replace = match reader.string("replace_strategy")? {
            None => ReplaceStrategy::Truncate,
            Some(word) => one_of(WHOSE, "replace_strategy", &word, &STRATEGIES)?,
        };
        let lock_timeout = match reader.string("lock_timeout")? {
            None => LockTimeout::Session,
            Some(text) => timeout(&text)?,
        };
        let indexes = reader.value("indexes").map(indexes).transpose()?.unwrap_or_default();
        let unlogged = reader.bool("unlogged")?.unwrap_or(false);
        reader.finish()?;
        Ok(Self { replace, lock_timeout, indexes, unlogged })
    }
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::Configuration, format!("{WHOSE}: {what}"))
}

fn timeout(text: &str) -> Result<LockTimeout> {
    if text == "none" {
        return Ok(LockTimeout::None);
    }
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let millis = match &text[unit_at..] {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let count = text[..unit_at].parse::<u64>().ok();
    let limit = millis.zip(count).and_then(|(unit, count)| count.checked_mul(unit)).map(Duration::from_millis);
    match limit.filter(|limit| !limit.is_zero() && *limit <= LONGEST) {
        Some(limit) => Ok(LockTimeout::Limit(limit)),
        None => Err(wrong(format!("lock_timeout must be a duration, not {text}"))
            .with_hint("write 500ms, 30s, 10m or 1h (24 days at most), or none to wait for ever")),
    }
}

fn indexes(value: &Value) -> Result<Vec<Index>> {
    match value {
        Value::Array(items) => items.iter().map(index).collect(),
        other => Ok(vec![index(other)?]),
    }
}

fn index(value: &Value) -> Result<Index> {
    const HINT: &str = "write a column, a list of columns, or {columns: [a, b], unique: true, method: btree, name: …}";
    let plain = |columns| Index { columns, unique: false, name: None, method: None };
    match value {
        Value::String(column) => Ok(plain(vec![column.clone()])),
        Value::Array(_) => Ok(plain(columns(value).ok_or_else(|| shape(value).with_hint(HINT))?)),
        Value::Object(map) => {
            let map: Options = map.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            let mut reader = OptionReader::new(&map, format!("{WHOSE}: an index"));
            let given = reader.value("columns").and_then(columns);
            let (unique, name) = (reader.bool("unique")?.unwrap_or(false), reader.string("name")?);
            let methods = METHODS.map(|method| (method, method));
            let method = reader.string("method")?.map(|word| one_of(WHOSE, "method", &word, &methods)).transpose()?;
            reader.finish()?;
            let columns = given.ok_or_else(|| shape(value).with_hint(HINT))?;
            if let Some(method) = method.filter(|method| unique && *method != "btree") {
                return Err(wrong(format!("an index by {method} cannot be unique")).with_hint("take btree"));
            }
            if method == Some("hash") && columns.len() > 1 {
                return Err(wrong("an index by hash has one column".into()).with_hint("take btree"));
            }
            Ok(Index { columns, unique, name, method })
        }
        other => Err(shape(other).with_hint(HINT)),
    }
}

fn shape(value: &Value) -> Error {
    wrong(format!("indexes holds {value}, which is no index"))
}

/// A column or several, at least one.
fn columns(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(column) => Some(vec![column.clone()]),
        Value::Array(items) => {
            let columns: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_string)).collect();
            columns.filter(|columns| !columns.is_empty())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(options: Value) -> Result<LoadOptions> {
        LoadOptions::read(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn a_lock_timeout_is_a_duration_or_none() {
        let limit = |text: &str| read(json!({"lock_timeout": text})).map(|o| o.lock_timeout);
        assert_eq!(limit("10m").unwrap(), LockTimeout::Limit(Duration::from_secs(600)));
        assert_eq!(limit("500ms").unwrap(), LockTimeout::Limit(Duration::from_millis(500)));
        assert_eq!(limit("none").unwrap(), LockTimeout::None);
        assert_eq!(read(json!({})).unwrap().lock_timeout, LockTimeout::Session);
        for text in ["", "10", "0s", "-1s", "1.5m", "1y", "25d", "99999999999999999999s", "600h"] {
            let error = limit(text).unwrap_err();
            assert!(error.kind() == ErrorKind::Configuration && error.hint().is_some(), "{text}: {error}");
        }
    }

    #[test]
    fn an_index_is_a_column_a_list_or_a_map() {
        let read = |indexes: Value| read(json!({"indexes": indexes})).map(|o| o.indexes);
        let all =
            read(json!(["a", ["a", "b"], {"columns": "c", "unique": true, "name": "n", "method": "btree"}])).unwrap();
        assert_eq!(all.iter().map(|i| i.columns.len()).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!((all[2].unique, all[2].name.as_deref(), all[2].method), (true, Some("n"), Some("btree")));
        assert_eq!(read(json!("a")).unwrap().len(), 1);
        for indexes in [
            json!([[]]),
            json!([1]),
            json!([{"unique": true}]),
            json!([{"columns": "a", "uniqe": true}]),
            json!([{"columns": "a", "method": "btre"}]),
            json!([{"columns": "a", "method": "gin", "unique": true}]),
            json!([{"columns": ["a", "b"], "method": "hash"}]),
        ] {
            let error = read(indexes.clone()).unwrap_err();
            assert!(error.kind() == ErrorKind::Configuration && error.hint().is_some(), "{indexes}: {error}");
        }
    }

    #[test]
    fn an_option_or_strategy_that_does_not_exist_is_an_error_with_the_nearest() {
        assert_eq!(read(json!({"replace_strategy": "trunctate"})).unwrap_err().hint(), Some("did you mean truncate?"));
        assert_eq!(read(json!({"unloged": true})).unwrap_err().hint(), Some("did you mean unlogged?"));
    }
}
