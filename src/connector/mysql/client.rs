//! One session on a server: connected, set up, and ended whichever way it is dropped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use mysql_async::prelude::Queryable;
use mysql_async::{
    Column, Conn, DriverError, Error as Driver, FromRowError, Params, QueryResult, Row, TextProtocol, Value,
};
use tokio::time::timeout;

use super::config::{Settings, SslMode};
use super::error;
use crate::connector::sql::Open;
use crate::error::{Error, ErrorKind, Result};
use crate::fault;

/// Statements that set a session up, parted by semicolons.
pub(super) const SETUP: &str = include_str!("../../../sql/mysql/session.sql");
const PROCESS: &str = include_str!("../../../sql/mysql/process.sql");
/// How long an end that nobody waits for may take.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes of a file that go to the server in one packet.
const PACKET: usize = 256 << 10;

/// Which product answers, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) mariadb: bool,
    /// Major, minor and patch.
    pub(super) version: (u16, u16, u16),
}

impl Server {
    /// By `version()` and `@@version_comment`: `10.11.6-MariaDB-0+deb12u1`, `8.0.36`.
    fn parse(version: &str, comment: &str) -> Self {
        let mariadb = format!("{version} {comment}").to_lowercase().contains("mariadb");
        // Before 11 a MariaDB may put the version of the protocol before its own.
        let plain = version.strip_prefix("5.5.5-").filter(|_| mariadb).unwrap_or(version);
        let mut numbers = plain.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u16>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self { mariadb, version: (next(), next(), next()) }
    }

    /// Whether it has columns of a type `uuid`.
    pub(super) fn has_uuid(&self) -> bool {
        self.mariadb && self.version >= (10, 7, 0)
    }

    /// Whether it joins by hashes where no index serves, inner and outer joins alike.
    pub(super) fn hashes_joins(&self) -> bool {
        self.version >= if self.mariadb { (5, 3, 0) } else { (8, 0, 20) }
    }

    /// Its collation by bytes that takes no blanks at the end for nothing, where it has one.
    pub(super) fn collation(&self) -> &'static str {
        match (self.mariadb, self.version) {
            (true, version) if version >= (10, 2, 2) => "utf8mb4_nopad_bin",
            (false, version) if version >= (8, 0, 17) => "utf8mb4_0900_bin",
            _ => "utf8mb4_bin",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        write!(f, "{} {major}.{minor}.{patch}", if self.mariadb { "MariaDB" } else { "MySQL" })
    }
}

/// What a statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// Rows that it inserted or deleted, or that an UPDATE found.
    pub(super) rows: u64,
    pub(super) warnings: u16,
}

/// A session. Dropped while a statement runs, it has the server end it, so that its transaction rolls back and its locks
/// are free.
pub(super) struct Session {
    conn: Option<Conn>,
    settings: Arc<Settings>,
    server: Server,
    encrypted: bool,
    /// Whether a statement has begun of whose end nobody has heard.
    busy: bool,
    /// The kind of its errors.
    kind: ErrorKind,
    open: Open,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take().filter(|_| self.busy) else { return };
        // The server would go on with the statement until it has something to send.
        let (settings, open, encrypted) = (self.settings.clone(), self.open.clone(), self.encrypted);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move {
                let _open = open;
                let id = conn.id();
                let killed = async {
                    let mut other = Conn::new(settings.driver(encrypted).ok()?).await.ok()?;
                    other.query_drop(format!("KILL CONNECTION {id}")).await.ok()?;
                    other.disconnect().await.ok()
                };
                let _ = timeout(GRACE, killed).await;
                drop(conn);
            }));
        }
    }
}

impl Session {
    /// Connects, logs in and sets the session up; errors of its statements will be of `kind`.
    ///
    /// # Errors
    /// Connection: the server cannot be reached in time, or refuses the login.
    pub(super) async fn open(settings: &Arc<Settings>, kind: ErrorKind) -> Result<Self> {
        let connecting = timeout(settings.connect_timeout, connect(settings)).await;
        let (conn, encrypted) = connecting.unwrap_or_else(|_| {
            let seconds = settings.connect_timeout.as_secs();
            let what = format!("cannot connect to {}: no answer within {seconds} s", settings.location());
            let error = Error::new(ErrorKind::Connection, what).transient(true);
            Err(error.with_hint("check host, port and firewall, or raise connect_timeout"))
        })?;
        let server = Server { mariadb: false, version: (0, 0, 0) };
        let (settings, open) = (settings.clone(), settings.open.clone());
        let mut session = Self { conn: Some(conn), settings, server, encrypted, busy: false, kind, open };
        for statement in SETUP.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            session.run(statement, "setting the session up").await?;
        }
        let said = session.row::<(String, String)>("SELECT version(), @@version_comment", "asking for the version");
        let (version, comment) = said.await?;
        session.server = Server::parse(&version, &comment);
        Ok(session)
    }

    /// What answers.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Whether it is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Ends the session and waits until the server knows.
    pub(super) async fn close(mut self) {
        if let Some(conn) = self.conn.take() {
            let _ = timeout(GRACE, conn.disconnect()).await;
        }
    }

    /// Rolls back, and ends the session; a server that does not answer rolls back by the broken connection.
    pub(super) async fn roll_back(mut self) {
        if let Ok(Ok(_)) = timeout(GRACE, self.run("ROLLBACK", "rolling back")).await {
            self.close().await;
        }
    }

    /// Commits. The session goes on.
    ///
    /// # Errors
    /// The transaction failed, or it is not known whether it did.
    pub(super) async fn commit(&mut self) -> Result<()> {
        let Some(conn) = self.conn.as_mut() else { return Err(gone("COMMIT")) };
        self.busy = true;
        let done = conn.query_drop("COMMIT").await;
        self.busy = false;
        match done {
            Ok(()) => {
                fault::point("mysql.committed");
                Ok(())
            }
            Err(error @ Driver::Server(_)) => Err(error::failed(self.kind, "COMMIT", error)),
            Err(error) => Err(error::failed(self.kind, "COMMIT; whether it took place is not known", error)
                .with_hint("look at the target before running it again")),
        }
    }

    /// Runs one statement that gives no rows.
    pub(super) async fn run(&mut self, sql: &str, doing: &str) -> Result<Done> {
        fault::point("mysql.statement");
        let done = async |conn: &mut Conn| {
            let result = conn.query_iter(sql).await?;
            let done = Done { rows: result.affected_rows(), warnings: result.warnings() };
            result.drop_result().await?;
            Ok(done)
        };
        self.ask(doing, done).await
    }

    /// Loads a file that is made of `pieces` by a statement that names one.
    pub(super) async fn load_file(&mut self, sql: &str, file: Bytes, doing: &str) -> Result<Done> {
        let pieces: Vec<std::io::Result<Bytes>> =
            (0..file.len()).step_by(PACKET).map(|at| Ok(file.slice(at..file.len().min(at + PACKET)))).collect();
        if let Some(conn) = self.conn.as_mut() {
            conn.set_infile_handler(async move { Ok(stream::iter(pieces).boxed()) });
        }
        self.run(sql, doing).await
    }

    /// What the server has to say of the last statement: at most 64 messages.
    pub(super) async fn warnings(&mut self) -> Result<Vec<String>> {
        let rows: Vec<(String, u16, String)> = self.rows("SHOW WARNINGS", "asking for warnings").await?;
        Ok(rows.into_iter().map(|(level, code, message)| format!("{message} ({level} {code})")).collect())
    }

    /// Asks for a few rows.
    pub(super) async fn rows<T>(&mut self, sql: &str, doing: &str) -> Result<Vec<T>>
    where
        T: TryRow,
    {
        let rows: Vec<Row> = self.ask(doing, async |conn: &mut Conn| conn.query(sql).await).await?;
        rows.into_iter().map(|row| T::read(row).map_err(|_| self.unreadable(doing))).collect()
    }

    /// The same by a statement with parameters.
    pub(super) async fn rows_of<T>(&mut self, sql: &str, parameters: &[&str], doing: &str) -> Result<Vec<T>>
    where
        T: TryRow,
    {
        let values: Vec<Value> = parameters.iter().map(|text| Value::from(*text)).collect();
        let values = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let rows: Vec<Row> = self.ask(doing, async |conn: &mut Conn| conn.exec(sql, values.clone()).await).await?;
        rows.into_iter().map(|row| T::read(row).map_err(|_| self.unreadable(doing))).collect()
    }

    /// Asks for one row.
    pub(super) async fn row<T>(&mut self, sql: &str, doing: &str) -> Result<T>
    where
        T: TryRow,
    {
        let found = self.rows(sql, doing).await?.into_iter().next();
        found.ok_or_else(|| Error::new(self.kind, format!("{doing}: the server gave no row")))
    }

    /// Asks for one value.
    pub(super) async fn value<T>(&mut self, sql: &str, doing: &str) -> Result<T>
    where
        (T,): TryRow,
    {
        self.row::<(T,)>(sql, doing).await.map(|row| row.0)
    }

    /// Asks for rows one by one, in the server's own texts. The session is of no use before all are read.
    pub(super) async fn stream(&mut self, sql: &str, doing: &str) -> Result<Rows<'_>> {
        let Some(conn) = self.conn.as_mut() else { return Err(gone(doing)) };
        self.busy = true;
        match conn.query_iter(sql.to_string()).await {
            Ok(result) => Ok(Rows { result, busy: &mut self.busy, kind: self.kind, doing: doing.to_string() }),
            Err(error) => Err(error::failed(self.kind, doing, error)),
        }
    }

    /// The columns of a SELECT, which is prepared and not run. The server's own error, as it may be about the user's text.
    pub(super) async fn describe(&mut self, sql: &str, doing: &str) -> Result<Vec<Column>> {
        let prepared = async |conn: &mut Conn| {
            let statement = conn.prep(sql).await?;
            let columns = statement.columns().to_vec();
            conn.close(statement).await?;
            Ok(columns)
        };
        self.ask(doing, prepared).await
    }

    /// Does something with the connection, and notices a server that is silent for too long because it is gone.
    async fn ask<T>(
        &mut self,
        doing: &str,
        work: impl AsyncFnOnce(&mut Conn) -> std::result::Result<T, Driver>,
    ) -> Result<T> {
        let Some(conn) = self.conn.as_mut() else { return Err(gone(doing)) };
        self.busy = true;
        let id = conn.id();
        let lost = lost(&self.settings, self.encrypted, id);
        let work = work(conn);
        let done = tokio::select! {
            biased;
            done = work => done,
            why = lost => {
                // Nothing of it can be used any more.
                self.conn = None;
                return Err(error::broken(doing, &why));
            }
        };
        self.busy = false;
        done.map_err(|e| error::failed(self.kind, doing, e))
    }

    fn unreadable(&self, doing: &str) -> Error {
        Error::new(self.kind, format!("{doing}: the server's answer has another form than it should have"))
    }
}

/// Rows of a query on their way.
pub(super) struct Rows<'a> {
    result: QueryResult<'a, 'static, TextProtocol>,
    busy: &'a mut bool,
    kind: ErrorKind,
    doing: String,
}

impl Rows<'_> {
    /// The next row; `None` once the server has said that there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Row>> {
        let row = self.result.next().await.map_err(|e| error::failed(self.kind, &self.doing, e))?;
        *self.busy = row.is_some();
        Ok(row)
    }
}

fn gone(doing: &str) -> Error {
    error::broken(doing, "it was closed")
}

/// Rows of the catalog as tuples.
pub(super) trait TryRow: Sized {
    fn read(row: Row) -> std::result::Result<Self, FromRowError>;
}

impl<T: mysql_async::prelude::FromRow> TryRow for T {
    fn read(row: Row) -> std::result::Result<Self, FromRowError> {
        T::from_row_opt(row)
    }
}

/// Connects by TLS, or without where the settings have it so.
async fn connect(settings: &Settings) -> Result<(Conn, bool)> {
    let encrypted = settings.ssl_mode != SslMode::Disabled && settings.socket.is_none();
    let connected = Conn::new(settings.driver(encrypted)?).await;
    match connected {
        Ok(conn) => Ok((conn, encrypted)),
        Err(Driver::Driver(DriverError::NoClientSslFlagFromServer)) if settings.ssl_mode == SslMode::Preferred => {
            match Conn::new(settings.driver(false)?).await {
                Ok(conn) => Ok((conn, false)),
                Err(error) => Err(error::refused(settings, error)),
            }
        }
        Err(error) => Err(error::refused(settings, error)),
    }
}

/// Ends when the server has been silent for so long as `read_timeout` says and a second session does not find the first
/// one there: a statement that takes long is waited for.
async fn lost(settings: &Settings, encrypted: bool, id: u32) -> String {
    let Some(patience) = settings.read_timeout else { return std::future::pending().await };
    loop {
        tokio::time::sleep(patience).await;
        let asked = timeout(settings.connect_timeout, async {
            let mut other = Conn::new(settings.driver(encrypted).ok()?).await.ok()?;
            let found: Option<u64> = other.exec_first(PROCESS, (id,)).await.ok()?;
            other.disconnect().await.ok();
            Some(found.is_some())
        });
        match asked.await {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return "the server knows nothing of it any more".into(),
            _ => return format!("nothing has moved for {} s, and the server does not answer", patience.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_versions_are_told_apart() {
        let said = |version: &str, comment: &str| Server::parse(version, comment).to_string();
        assert_eq!(said("10.11.19-MariaDB-0+deb12u1", "Debian 12"), "MariaDB 10.11.19");
        assert_eq!(said("5.5.5-10.3.1-MariaDB", ""), "MariaDB 10.3.1");
        assert_eq!(said("8.0.36-0ubuntu0.22.04.1", "(Ubuntu)"), "MySQL 8.0.36");
        assert_eq!(said("11.4.2", "MariaDB Server"), "MariaDB 11.4.2");
        assert_eq!(Server::parse("8.0.36", "").collation(), "utf8mb4_0900_bin");
        assert_eq!(Server::parse("5.7.44", "").collation(), "utf8mb4_bin");
    }
}
