//! What the server or the way to it says, as errors of dxt with the way out.

use std::error::Error as StdError;

use tokio_postgres::error::{DbError, SqlState};

use super::codec::shorten;
use super::config::{Place, Settings};
use crate::connector::sql::causes::{chain, sources};
use crate::error::{Error, ErrorKind};
use crate::transient;

/// An error of a statement: what was being done, what the server says, where, and the way out.
pub(super) fn failed(kind: ErrorKind, doing: &str, error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(said) => from_server(kind, doing, said),
        None => Error::new(kind, format!("{doing}: {}", chain(error))),
    }
}

/// An error of the connection itself, which broke while something was being done.
pub(super) fn broken(doing: &str, why: &str) -> Error {
    let hint = match why.contains("nothing has moved") {
        true => "look at the server and the network between, and run it again; read_timeout=0 would wait for ever",
        false => "look at the server's log, and run it again",
    };
    let error = Error::new(ErrorKind::Connection, format!("{doing}: the connection to the server broke: {why}"));
    error.with_hint(hint).transient(true)
}

fn from_server(kind: ErrorKind, doing: &str, said: &DbError) -> Error {
    let mut text = format!("{doing}: {}", said.message());
    if let Some(detail) = said.detail() {
        text += &format!("; {}", long(detail));
    }
    // For COPY this names the line, the column and the value.
    if let Some(place) = said.where_() {
        text += &format!("; at {}", long(place));
    }
    let code = said.code().code();
    text += &format!(" (SQLSTATE {code})");
    // Of these classes are a connection that the server has lost, and a server that stops.
    let lost = code.starts_with("08") || code.starts_with("57P0");
    let kind = if lost { ErrorKind::Connection } else { kind };
    let error = Error::new(kind, text).transient(is_transient(said.code()));
    if lost {
        return error.with_hint("look at the server's log and the network between, and run it again");
    }
    match said.hint().map(str::to_string).or_else(|| way_out(said)) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Whether the server says that it was the moment, and not the statement, that was wrong. A lock that was waited for as
/// long as `lock_timeout` has it is no such case: whoever holds it may hold it as long again.
fn is_transient(code: &SqlState) -> bool {
    let transient = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    transient.contains(code) || code.code().starts_with("08")
}

fn way_out(said: &DbError) -> Option<String> {
    let code = said.code();
    Some(match code {
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE && said.message().contains("row-level security") => {
            "row security would hide rows from this user: use one with BYPASSRLS, or a view without it".into()
        }
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => {
            "GRANT the user what is missing; a load needs INSERT, and for its lock UPDATE, DELETE or TRUNCATE".into()
        }
        c if *c == SqlState::T_R_SERIALIZATION_FAILURE || *c == SqlState::T_R_DEADLOCK_DETECTED => {
            "another session was in the way: run it again".into()
        }
        c if *c == SqlState::LOCK_NOT_AVAILABLE => {
            "another session holds a lock on the table: run it again later".into()
        }
        c if *c == SqlState::QUERY_CANCELED => {
            "the statement was cancelled or took longer than statement_timeout".into()
        }
        c if *c == SqlState::UNDEFINED_OBJECT => {
            "create the type in this database, or name another with the field's `target: {type: …}`".into()
        }
        c if *c == SqlState::NOT_NULL_VIOLATION => "fill the column, or allow NULL in the target".into(),
        c if *c == SqlState::UNIQUE_VIOLATION => {
            "the row is there already: `mode: upsert` updates by key, `mode: replace` starts anew".into()
        }
        c if *c == SqlState::FOREIGN_KEY_VIOLATION && said.message().starts_with("update or delete") => {
            "rows of another table refer to it: use `mode: upsert`, or make that foreign key DEFERRABLE".into()
        }
        c if *c == SqlState::FOREIGN_KEY_VIOLATION => "load the table that it refers to first".into(),
        c if *c == SqlState::DISK_FULL => "make room on the server".into(),
        _ => return None,
    })
}

/// Who wants to log in where.
pub(super) struct Login<'a> {
    pub(super) place: &'a Place,
    pub(super) settings: &'a Settings,
    /// Whether a password is known.
    pub(super) password: bool,
}

/// An error of connecting and logging in.
pub(super) fn refused(login: &Login<'_>, error: &tokio_postgres::Error) -> Error {
    let new = |what: String| Error::new(ErrorKind::Connection, what);
    let location = format!("{}/{}", login.place, login.settings.database);
    if let Some(said) = error.as_db_error() {
        let error = new(format!("{location} refuses the connection: {}", said.message()));
        return error.with_hint(way_in(login, said)).transient(is_transient(said.code()));
    }
    if let Some(error) = sources(error).find_map(rustls_error) {
        let (what, hint) = untrusted(login, error);
        return new(format!("cannot connect to {location} by TLS: {what}")).with_hint(hint);
    }
    let text = chain(error);
    if text.contains("server does not support TLS") {
        let mode = login.settings.tls.mode.as_str();
        return new(format!("cannot connect to {location}: the server has no TLS, and sslmode={mode} wants it"))
            .with_hint("set `ssl = on` at the server, or use sslmode=prefer on a network that you trust");
    }
    let io = sources(error).find_map(|cause| cause.downcast_ref::<std::io::Error>());
    let hint = match io.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound) => {
            "check host and port, and that the server is running and listens there"
        }
        Some(std::io::ErrorKind::TimedOut) => "check host, port and firewall, or raise connect_timeout",
        _ if !login.password && text.contains("password missing") => {
            "give a password in the connection, by PGPASSWORD or in ~/.pgpass (which only its owner may read: chmod 0600)"
        }
        _ if text.contains("channel binding") => "use TLS (sslmode=require), or channel_binding=prefer",
        _ if text.contains("authentication") => "check the user and its password",
        _ => "check host and port",
    };
    // A server that restarts has no socket for a while, and may end what it has just let in.
    let restarts = [std::io::ErrorKind::NotFound, std::io::ErrorKind::UnexpectedEof];
    let transient = error.is_closed()
        || io.map(std::io::Error::kind).is_some_and(|k| transient::broken(k) || restarts.contains(&k));
    new(format!("cannot connect to {location}: {text}")).with_hint(hint).transient(transient)
}

/// The way out of a login that the server refuses.
fn way_in(login: &Login<'_>, said: &DbError) -> String {
    let user = &login.settings.user;
    match said.code() {
        c if *c == SqlState::INVALID_AUTHORIZATION_SPECIFICATION && said.message().contains("no encryption") => {
            "the server takes this login by TLS only, if at all: use sslmode=require, or look at pg_hba.conf"
                .to_string()
        }
        c if *c == SqlState::INVALID_AUTHORIZATION_SPECIFICATION && said.message().contains("certificate") => {
            "give a client certificate as sslcert and sslkey".into()
        }
        c if *c == SqlState::INVALID_PASSWORD || *c == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            format!("check the user `{user}` and its password (or PGUSER, PGPASSWORD and ~/.pgpass), and pg_hba.conf")
        }
        c if *c == SqlState::INVALID_CATALOG_NAME => "check the database's name; `psql -l` lists them".into(),
        c if *c == SqlState::TOO_MANY_CONNECTIONS => "close other sessions, or raise max_connections".into(),
        c if *c == SqlState::CANNOT_CONNECT_NOW => "the server is starting or stopping: try again".into(),
        _ => said.hint().unwrap_or("look at the server's log").to_string(),
    }
}

fn rustls_error<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let io = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    io.and_then(|inner| inner.downcast_ref()).or_else(|| cause.downcast_ref())
}

/// What is wrong with TLS, and the way out.
fn untrusted(login: &Login<'_>, error: &rustls::Error) -> (String, String) {
    use rustls::{CertificateError as E, Error::AlertReceived, Error::InvalidCertificate};
    let host = &login.place.host;
    let (what, hint) = match error {
        InvalidCertificate(E::UnknownIssuer | E::BadSignature) => (
            "the server's certificate is not signed by an authority that is trusted here".to_string(),
            "give the certificate of the server's authority as sslrootcert=FILE".to_string(),
        ),
        InvalidCertificate(E::Expired | E::ExpiredContext { .. }) => {
            ("the server's certificate has expired".into(), "renew it at the server, or check the clock here".into())
        }
        InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. }) => {
            ("the server's certificate is not valid yet".into(), "check the clocks here and at its authority".into())
        }
        InvalidCertificate(E::NotValidForName) => (
            format!("the server's certificate is not for {host}"),
            "connect by a name of the certificate, or use sslmode=verify-ca".into(),
        ),
        InvalidCertificate(E::NotValidForNameContext { presented, .. }) => match presented.as_slice() {
            [] => (
                format!("the server's certificate has no alternative name, so it is not for {host}"),
                "renew it with a subjectAltName (the common name alone does not count), or use sslmode=verify-ca"
                    .into(),
            ),
            names => (
                format!("the server's certificate is for {}, not for {host}", names.join(", ")),
                "connect by a name of the certificate, or use sslmode=verify-ca".into(),
            ),
        },
        InvalidCertificate(other) => (
            format!("the server's certificate cannot be verified: {other:?}"),
            "renew it as X.509 version 3 for a server (subjectAltName, and not as an authority)".into(),
        ),
        AlertReceived(alert) => {
            (format!("the server breaks it off: {alert:?}"), "check sslcert and sslkey, and the server's log".into())
        }
        other => (other.to_string(), "look at the server's log".into()),
    };
    (what, hint)
}

/// A longer text of the server's: it may hold several values.
fn long(text: &str) -> String {
    let pieces: Vec<String> = text.lines().take(2).map(shorten).collect();
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() <= 240 && text.lines().count() == 1 { first.to_string() } else { pieces.join("; ") }
}
