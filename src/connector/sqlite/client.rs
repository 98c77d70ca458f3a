//! The database file: where it is, how it is opened, and SQLite's errors as dxt's.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{ConnectionConfig, OptionReader, Options};

const URL_HINT: &str = "write sqlite:///relative.db or sqlite:////absolute.db";

/// Extended code of a file whose last writer died: it must be rolled back, and a read-only connection cannot.
const READONLY_ROLLBACK: i32 = 776;
const READONLY_RECOVERY: i32 = 264;

/// The way out of a full disk. Whoever knows the file names it besides.
pub const FULL: &str = "make room on the disk, or point SQLITE_TMPDIR to another";

/// A configured database file. Every step opens a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    /// The connection's name.
    pub name: String,
    /// The file, absolute.
    pub path: PathBuf,
    /// How long to wait for another connection's lock.
    busy_timeout: Duration,
}

impl Client {
    /// Reads a connection's URL or fields, and its options. Touches no file.
    ///
    /// # Errors
    /// Configuration: no path, one in memory, or an unknown field or option.
    pub fn from_config(config: &ConnectionConfig) -> Result<Self> {
        let mut fields = OptionReader::new(&config.fields, "fields of a sqlite connection");
        let (path, database) = (fields.string("path")?, fields.string("database")?);
        fields.finish()?;
        let mut options = config.options.clone();
        let from_url = match &config.url {
            Some(url) => Some(path_of_url(url.reveal(), &mut options)?),
            None => None,
        };
        let mut given = [from_url, path, database].into_iter().flatten();
        let path = given.next().unwrap_or_default();
        if given.next().is_some() {
            return Err(wrong("a sqlite connection takes one of url, path and database"));
        }
        if path.is_empty() || path == ":memory:" {
            let error = Error::new(ErrorKind::Configuration, "a sqlite connection needs a file");
            return Err(error.with_hint(format!(
                "a database in memory would be another one for every step, as each opens its own connection; {URL_HINT}"
            )));
        }
        if path.contains('\0') {
            return Err(wrong("the path of a sqlite connection has a NUL"));
        }
        let mut reader = OptionReader::new(&options, "options of a sqlite connection");
        let seconds = reader.u64("busy_timeout")?.unwrap_or(30).min(86_400);
        reader.finish()?;
        // Absolute, so that SQLite never takes the name for a `file:` URI.
        let path = std::path::absolute(config.base_dir.join(path))
            .during(ErrorKind::Configuration, || "finding the folder of the sqlite connection".into())?;
        Ok(Self { name: config.name.clone(), path, busy_timeout: Duration::from_secs(seconds) })
    }

    /// A client of a file, with the default timeout.
    #[cfg(test)]
    pub fn of(name: &str, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), path: path.into(), busy_timeout: Duration::from_millis(200) }
    }

    /// Whether the file is there.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Opens the file for reading only.
    ///
    /// # Errors
    /// Connection: there is no such file, or it is no database.
    pub fn open_read(&self) -> Result<Connection> {
        if !self.exists() {
            let message = format!("there is no database file {}", self.path.display());
            return Err(Error::new(ErrorKind::Connection, message)
                .with_hint("check the path; a relative one starts at the folder of the file that names it"));
        }
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        match look(&connection) {
            Err(e) if interrupted_writer(&e) => {
                // Its rollback needs to write; what dxt itself sends is held to reading all the same.
                let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
                look(&connection)
                    .and_then(|()| connection.pragma_update(None, "query_only", true))
                    .map_err(|e| self.unusable(e))?;
                Ok(connection)
            }
            Err(e) => Err(self.unusable(e)),
            Ok(()) => Ok(connection),
        }
    }

    /// Opens the file for writing; makes it, and its folders, where they are missing.
    pub fn open_write(&self) -> Result<Connection> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)
                .during(ErrorKind::Connection, || format!("making the folder {}", folder.display()))?;
        }
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        // As SQLite itself has it by default; the build that dxt comes with turns it on, and replacing the rows of a
        // referenced table would fail or cascade.
        look(&connection)
            .and_then(|()| connection.pragma_update(None, "foreign_keys", false))
            .map_err(|e| self.unusable(e))?;
        Ok(connection)
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection> {
        let connection = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|e| self.unusable(e))?;
        connection.busy_timeout(self.busy_timeout).map_err(|e| self.unusable(e))?;
        Ok(connection)
    }

    fn unusable(&self, error: rusqlite::Error) -> Error {
        failed(ErrorKind::Connection, format!("opening {}", self.path.display()), error)
    }

    /// Runs blocking work with a copy of this client on a thread that may block.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> Result<T> + Send + 'static) -> Result<T> {
        let client = self.clone();
        blocking(move || work(&client)).await
    }
}

/// Runs blocking work on a thread that may block.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Pipeline, "work on a SQLite file ended in a panic").with_source(error)),
    }
}

/// The first read of a file: shows whether it is a database, and its journal in order.
fn look(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

fn interrupted_writer(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error().map(|e| e.extended_code), Some(READONLY_ROLLBACK | READONLY_RECOVERY))
        || error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Configuration, message).with_hint(URL_HINT)
}

/// The path in a URL; its query's settings join the options.
fn path_of_url(url: &str, options: &mut Options) -> Result<String> {
    let (_, rest) = url.split_once(':').ok_or_else(|| wrong("this is not a URL of sqlite"))?;
    if rest.contains('#') {
        return Err(wrong("the URL of a sqlite connection has a fragment").with_hint("write %23 for a # in the path"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if options.insert(name.to_string(), Value::String(decoded(value)?)).is_some() {
            return Err(wrong("an option of the sqlite connection stands both in its URL and beside it"));
        }
    }
    let path = match rest.strip_prefix("//") {
        None | Some("") => "",
        Some(path) => path.strip_prefix('/').ok_or_else(|| {
            let hint = "a host makes no sense for a file: three slashes begin a relative path, four an absolute one";
            wrong("the URL of a sqlite connection names a host").with_hint(hint)
        })?,
    };
    decoded(path)
}

fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded
        .during(ErrorKind::Configuration, || "percent-decoding the URL of a sqlite connection".into())?
        .into_owned())
}

/// SQLite's error as dxt's: `doing` says what failed, and the kind gives way where the error itself says a better one.
pub fn failed(kind: ErrorKind, doing: impl Into<String>, error: rusqlite::Error) -> Error {
    let (kind, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            if kind == ErrorKind::Extractor { kind } else { ErrorKind::Loader },
            Some(
                "another connection holds the database: let it finish, or raise the connection's option busy_timeout (seconds)",
            ),
        ),
        Some(ErrorCode::NotADatabase) => {
            (ErrorKind::Connection, Some("the file is not a SQLite database, or it is encrypted: check the path"))
        }
        Some(ErrorCode::DatabaseCorrupt) => (
            kind,
            Some("the file is damaged: `PRAGMA integrity_check` says where, sqlite3's `.recover` saves what it can"),
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            (ErrorKind::Connection, Some("check the path, and the rights on the file and its folder"))
        }
        Some(ErrorCode::ReadOnly) => (kind, Some("the file, its folder or its disk is read-only")),
        Some(ErrorCode::DiskFull) => (kind, Some(FULL)),
        _ => (kind, None),
    };
    let busy = [Some(ErrorCode::DatabaseBusy), Some(ErrorCode::DatabaseLocked)].contains(&error.sqlite_error_code());
    let result: Result<()> = Err(error).during(kind, || doing.into());
    let error = result.err().unwrap_or_else(|| Error::new(kind, "SQLite failed")).transient(busy);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// An identifier in quotes.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// A table or view of the file itself, never one of the connection's temporary ones.
pub fn main_table(table: &str) -> String {
    format!("main.{}", quote(table))
}

/// Fills a text of `sql/sqlite/` in: each `{name}` once from left to right, so that what is filled in is never
/// looked into. Lines of comment are left out.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let lines: Vec<&str> = template.lines().filter(|l| !l.trim_start().starts_with("--")).collect();
    let text = lines.join("\n");
    let mut rest = text.trim();
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        out += before;
        let Some((name, after)) = after.split_once('}') else { break };
        out += values.iter().find(|(n, _)| *n == name).map(|(_, v)| *v).unwrap_or_default();
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(url: &str) -> ConnectionConfig {
        ConnectionConfig::from_url("c", url, "/base")
    }

    fn path(url: &str) -> String {
        Client::from_config(&config(url)).unwrap().path.display().to_string()
    }

    #[test]
    fn urls_name_relative_and_absolute_files() {
        assert_eq!(path("sqlite:///a/b.db"), "/base/a/b.db");
        assert_eq!(path("sqlite:///./b.db"), "/base/b.db");
        assert_eq!(path("sqlite:////a/b.db"), "/a/b.db");
        assert_eq!(path("sqlite:///with%20blank%3F.db"), "/base/with blank?.db");
        assert_eq!(path("sqlite:///file:x.db"), "/base/file:x.db");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for url in ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/x.db", "sqlite:///x.db#y"] {
            let error = Client::from_config(&config(url)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
            assert!(error.hint().is_some(), "{url}");
        }
    }

    #[test]
    fn options_come_from_the_url_or_beside_it_and_unknown_ones_are_refused() {
        let client = Client::from_config(&config("sqlite:///x.db?busy_timeout=5")).unwrap();
        assert_eq!(client.busy_timeout, Duration::from_secs(5));
        let error = Client::from_config(&config("sqlite:///x.db?busy_timeot=5")).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean busy_timeout?"));
        let mut fields = config("sqlite:///x.db");
        fields.url = None;
        fields.fields.insert("database".into(), Value::String("y%20.db".into()));
        assert_eq!(Client::from_config(&fields).unwrap().path, Path::new("/base/y%20.db"));
        fields.fields.insert("path".into(), Value::String("z.db".into()));
        assert!(Client::from_config(&fields).is_err());
        fields.fields.insert("pth".into(), Value::String("z.db".into()));
        assert_eq!(Client::from_config(&fields).unwrap_err().hint(), Some("did you mean path?"));
    }

    #[test]
    fn what_is_filled_in_is_not_looked_into() {
        assert_eq!(
            fill("-- a comment\nSELECT {a} FROM {b}", &[("a", "{b}"), ("b", "\"{a}\"")]),
            "SELECT {b} FROM \"{a}\""
        );
    }

    #[test]
    fn a_missing_file_and_a_file_of_another_kind_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Client::of("c", folder.path().join("none.db")).open_read().unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Connection);
        let text = folder.path().join("text.db");
        std::fs::write(
            &text,
            "this is not a database, and long enough to have a header of one hundred bytes. ".repeat(20),
        )
        .unwrap();
        let error = Client::of("c", &text).open_read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection);
        assert!(error.hint().unwrap().contains("not a SQLite database"), "{error:?}");
    }

    #[test]
    fn writing_makes_the_file_and_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::of("c", folder.path().join("a/b/new.db"));
        let connection = client.open_write().unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        let on: i64 = connection.query_row("PRAGMA foreign_keys", [], |r| r.get(0)).unwrap();
        assert_eq!(on, 0);
        assert!(client.exists());
    }
}
