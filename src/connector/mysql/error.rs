//! What the server and the driver say, as errors of dxt: what happened, the way out, and whether it may be gone later.

use mysql_async::{DriverError, Error as Driver, IoError};

use super::config::{Settings, SslMode};
use crate::connector::sql::causes::{chain, sources};
use crate::error::{Error, ErrorKind};
use crate::transient;

/// Numbers of the server's errors, by MySQL's names without their `ER_`.
pub(super) mod code {
    pub(in super::super) const CON_COUNT: u16 = 1040;
    pub(in super::super) const DBACCESS_DENIED: u16 = 1044;
    pub(in super::super) const ACCESS_DENIED: u16 = 1045;
    pub(in super::super) const NO_DB: u16 = 1046;
    pub(in super::super) const BAD_NULL: u16 = 1048;
    pub(in super::super) const BAD_DB: u16 = 1049;
    pub(in super::super) const SERVER_SHUTDOWN: u16 = 1053;
    pub(in super::super) const DUP_ENTRY: u16 = 1062;
    pub(in super::super) const RECORD_FILE_FULL: u16 = 1114;
    pub(in super::super) const TABLEACCESS_DENIED: u16 = 1142;
    pub(in super::super) const COLUMNACCESS_DENIED: u16 = 1143;
    pub(in super::super) const NOT_ALLOWED_COMMAND: u16 = 1148;
    pub(in super::super) const NET_PACKET_TOO_LARGE: u16 = 1153;
    pub(in super::super) const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub(in super::super) const LOCK_DEADLOCK: u16 = 1213;
    pub(in super::super) const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
    pub(in super::super) const USER_LIMIT_REACHED: u16 = 1226;
    pub(in super::super) const OPTION_PREVENTS_STATEMENT: u16 = 1290;
    pub(in super::super) const QUERY_INTERRUPTED: u16 = 1317;
    pub(in super::super) const NO_REFERENCED_ROW: u16 = 1452;
    pub(in super::super) const ROW_IS_REFERENCED: u16 = 1451;
    pub(in super::super) const STATEMENT_TIMEOUT: u16 = 1969;
    pub(in super::super) const QUERY_TIMEOUT: u16 = 3024;
    pub(in super::super) const CONNECTION_KILLED: u16 = 1927;
    pub(in super::super) const LOCAL_INFILE_DISABLED: u16 = 3948;
    /// MariaDB's number of the same.
    pub(in super::super) const LOAD_INFILE_CAPABILITY_DISABLED: u16 = 4166;
    pub(in super::super) const ACCESS_DENIED_NO_PASSWORD: u16 = 1698;
}

/// An error of the driver while something was done.
pub(super) fn failed(kind: ErrorKind, doing: &str, error: Driver) -> Error {
    match error {
        Driver::Server(said) => from_server(kind, doing, said.code, &said.state, &said.message),
        Driver::Io(error) => broken(doing, &chain(&error)),
        Driver::Driver(error @ (DriverError::ConnectionClosed | DriverError::PacketOutOfOrder)) => {
            broken(doing, &error.to_string())
        }
        Driver::Driver(DriverError::PacketTooLarge) => too_large(kind, doing),
        other => Error::new(kind, format!("{doing}: {}", chain(&other))),
    }
}

/// A connection that is lost.
pub(super) fn broken(doing: &str, why: &str) -> Error {
    let error = Error::new(ErrorKind::Connection, format!("{doing}: the connection to the server broke: {why}"));
    error.with_hint("look at the server's log and the network between, and run it again").transient(true)
}

fn too_large(kind: ErrorKind, doing: &str) -> Error {
    let what = format!("{doing}: a row or statement is larger than the server's max_allowed_packet");
    Error::new(kind, what).with_hint("raise max_allowed_packet at the server")
}

/// A server's error in the words of the reading driver's side.
pub(super) fn reading(doing: &str, code: u16, state: &str, message: &str) -> Error {
    from_server(ErrorKind::Extractor, doing, code, state, message)
}

/// An error that the server sent.
pub(super) fn from_server(kind: ErrorKind, doing: &str, code: u16, state: &str, message: &str) -> Error {
    if code == code::NET_PACKET_TOO_LARGE {
        return too_large(kind, doing);
    }
    let lost = is_lost(code);
    let kind = if lost { ErrorKind::Connection } else { kind };
    let text = format!("{doing}: {} (error {code}, SQLSTATE {state})", long(message));
    let error = Error::new(kind, text).transient(is_transient(code));
    if lost {
        return error.with_hint("look at the server's log and the network between, and run it again");
    }
    match way_out(code, message) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Whether the server says that the session is gone or cannot be.
fn is_lost(code: u16) -> bool {
    // The numbers between are those of broken and confused connections.
    matches!(code, code::SERVER_SHUTDOWN | code::CONNECTION_KILLED | code::CON_COUNT | 1152 | 1156..=1161)
}

/// Whether the server says that it was the moment, and not the statement, that was wrong. A lock that was waited for as
/// long as `lock_timeout` has it is no such case: whoever holds it may hold it as long again.
fn is_transient(code: u16) -> bool {
    is_lost(code) || matches!(code, code::LOCK_DEADLOCK | code::TOO_MANY_USER_CONNECTIONS)
}

fn way_out(code: u16, message: &str) -> Option<String> {
    Some(match code {
        code::LOCK_DEADLOCK => "another session was in the way: run it again".into(),
        code::LOCK_WAIT_TIMEOUT => {
            "another session holds a lock on rows or on the table: run it again when that is done, or raise \
             `lock_timeout` in the load's options"
                .into()
        }
        code::DBACCESS_DENIED | code::TABLEACCESS_DENIED | code::COLUMNACCESS_DENIED | code::ACCESS_DENIED => {
            match message.contains("CREATE TEMPORARY") || message.contains("dxt_") {
                true => "GRANT the user CREATE TEMPORARY TABLES on the database of the target".into(),
                false => "GRANT the user what is missing".into(),
            }
        }
        code::NO_DB => "name the database in the connection's URL, or write `database.table`".into(),
        code::BAD_NULL => "fill the column, or allow NULL in the target".into(),
        code::DUP_ENTRY => {
            "the row is there already: `mode: upsert` updates by key, `mode: replace` starts anew".into()
        }
        code::ROW_IS_REFERENCED => {
            "rows of another table refer to it: use `mode: upsert`, which deletes none".to_string()
        }
        code::NO_REFERENCED_ROW => "load the table that it refers to first".into(),
        code::RECORD_FILE_FULL => "make room on the server".into(),
        code::NOT_ALLOWED_COMMAND | code::LOCAL_INFILE_DISABLED | code::LOAD_INFILE_CAPABILITY_DISABLED => {
            "set local_infile=ON at the server, or `load_method: insert` in the load's options".into()
        }
        code::OPTION_PREVENTS_STATEMENT => {
            "the server only reads (read_only), or an option of it forbids this: take the primary server".into()
        }
        code::QUERY_INTERRUPTED => "somebody has cancelled the statement (KILL QUERY)".into(),
        code::STATEMENT_TIMEOUT | code::QUERY_TIMEOUT => {
            "the statement took longer than the server's or the user's limit of time (max_statement_time, \
             max_execution_time)"
                .into()
        }
        code::USER_LIMIT_REACHED => "the user's limit of resources is used up: wait, or raise it".into(),
        _ => return None,
    })
}

/// An error of connecting and logging in.
pub(super) fn refused(settings: &Settings, error: Driver) -> Error {
    let location = settings.location();
    let new = |what: String| Error::new(ErrorKind::Connection, what);
    match error {
        Driver::Server(said) => {
            let error = new(format!("{location} refuses the connection: {} (error {})", said.message, said.code));
            let transient = is_transient(said.code) || said.code == code::CON_COUNT;
            error.with_hint(way_in(settings, said.code)).transient(transient)
        }
        Driver::Driver(DriverError::NoClientSslFlagFromServer) => {
            let mode = settings.ssl_mode.as_str();
            new(format!("cannot connect to {location}: the server has no TLS, and ssl_mode={mode} wants it")).with_hint(
                "give the server a certificate (ssl_cert, ssl_key), or use ssl_mode=preferred on a network that you trust",
            )
        }
        // What is wrong with a certificate comes as an error of the network, too.
        other if is_tls(&other) => {
            let text = chain(&other);
            let hint = match settings.ssl_mode {
                SslMode::VerifyCa | SslMode::VerifyIdentity if text.contains("UnknownIssuer") => {
                    "the server's certificate is not signed by an authority that is trusted here: give the authority's \
                     as ssl_ca=FILE"
                }
                SslMode::VerifyCa | SslMode::VerifyIdentity if text.to_lowercase().contains("name") => {
                    "connect by a name of the certificate"
                }
                _ => "look at the server's certificate and its log",
            };
            new(format!("cannot connect to {location} by TLS: {text}")).with_hint(hint)
        }
        other => {
            let io = sources(&other).find_map(|cause| cause.downcast_ref::<std::io::Error>());
            let kind = io.map(std::io::Error::kind);
            let hint = match kind {
                Some(std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound) => {
                    "check host and port, and that the server is running and listens there"
                }
                Some(std::io::ErrorKind::TimedOut) => "check host, port and firewall, or raise connect_timeout",
                _ => "check host and port",
            };
            // A server that restarts has no socket for a while, and may end what it has just let in.
            let restarts = [std::io::ErrorKind::NotFound, std::io::ErrorKind::UnexpectedEof];
            let closed = matches!(&other, Driver::Driver(DriverError::ConnectionClosed));
            let transient = closed || kind.is_some_and(|k| transient::broken(k) || restarts.contains(&k));
            new(format!("cannot connect to {location}: {}", chain(&other))).with_hint(hint).transient(transient)
        }
    }
}

/// Whether an error is one of TLS, however it is wrapped.
fn is_tls(error: &Driver) -> bool {
    matches!(error, Driver::Io(IoError::Tls(_))) || chain(error).contains("certificate")
}

/// The way out of a login that the server refuses.
fn way_in(settings: &Settings, code: u16) -> String {
    let user = &settings.user;
    match code {
        code::ACCESS_DENIED | code::ACCESS_DENIED_NO_PASSWORD if !settings.has_password() => {
            format!("give the user {user} a password in the connection, or by MYSQL_PWD")
        }
        code::ACCESS_DENIED | code::ACCESS_DENIED_NO_PASSWORD => {
            format!("check the user {user}, its password, and the hosts that it may come from")
        }
        code::BAD_DB => "check the database's name; SHOW DATABASES lists them".into(),
        code::DBACCESS_DENIED => format!("GRANT the user {user} something in the database, or name another"),
        code::CON_COUNT | code::TOO_MANY_USER_CONNECTIONS => "close other sessions, or raise max_connections".into(),
        code::SERVER_SHUTDOWN => "the server is stopping: try again".into(),
        _ => "look at the server's log".into(),
    }
}

/// A text of the server's, which may hold a value, shortened.
fn long(text: &str) -> String {
    let short: String = text.chars().take(300).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// A value for an error: at most 60 characters of it.
pub(super) fn shorten(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", short.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str) -> Error {
        from_server(ErrorKind::Loader, "loading", code, "HY000", message)
    }

    #[test]
    fn what_may_be_gone_later_is_transient_and_a_lock_that_was_waited_for_is_not() {
        for (code, transient) in [(1213, true), (1053, true), (1040, true), (1927, true), (1205, false), (1062, false)]
        {
            assert_eq!(said(code, "x").is_transient(), transient, "{code}");
        }
        assert_eq!(said(1053, "x").kind(), ErrorKind::Connection);
        assert_eq!(said(1062, "x").kind(), ErrorKind::Loader);
        assert!(failed(ErrorKind::Loader, "x", DriverError::ConnectionClosed.into()).is_transient());
    }

    #[test]
    fn errors_name_what_was_done_and_the_way_out() {
        let error = said(1062, "Duplicate entry '1' for key 'PRIMARY'");
        assert_eq!(error.message(), "loading: Duplicate entry '1' for key 'PRIMARY' (error 1062, SQLSTATE HY000)");
        assert!(error.hint().unwrap().contains("upsert"));
        assert!(said(4166, "disabled").hint().unwrap().contains("load_method: insert"));
        assert!(said(1044, "Access denied … CREATE TEMPORARY TABLES").hint().unwrap().contains("TEMPORARY"));
    }

    #[test]
    fn values_in_errors_are_shortened() {
        assert_eq!(shorten("it's"), "`it's`");
        assert_eq!(shorten(&"x".repeat(61)), format!("`{}…`", "x".repeat(60)));
        assert!(said(1366, &"y".repeat(1000)).message().len() < 400);
    }
}
