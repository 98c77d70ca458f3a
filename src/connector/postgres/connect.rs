//! From settings to a session: the servers in turn, their addresses in turn, with TLS and without as `sslmode` has it.
//!
//! As in libpq, a server that cannot be reached gives the turn to the next, and one that refuses the login ends it.

use std::net::IpAddr;

use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;

use super::client::{Route, Session};
use super::config::{Place, Settings, Wanted};
use super::error::{self, Login};
use super::tls::{Mode, Tls};
use crate::error::{Error, ErrorKind, Result};

/// Connects, logs in and sets the session up; errors of its statements will be of `kind`.
pub(super) async fn connect(settings: &Settings, kind: ErrorKind) -> Result<Session> {
    let tls = settings.tls.connector()?;
    let mut told: Vec<Error> = Vec::new();
    for wanted in settings.wanted.rounds() {
        for place in &settings.places {
            match at(settings, place, wanted, &tls, kind).await {
                Ok(session) => return Ok(session),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Next(error)) => told.push(error),
            }
        }
    }
    // Of two rounds the second says more.
    let mut told = told.split_off(told.len().saturating_sub(settings.places.len()));
    if told.len() == 1 {
        return Err(told.remove(0));
    }
    let all: Vec<String> = told.iter().map(ToString::to_string).collect();
    let error =
        Error::new(ErrorKind::Connection, format!("none of {} will do: {}", settings.location(), all.join("; ")));
    let error = error.transient(told.iter().any(Error::is_transient));
    Err(error.with_hint(told.iter().find_map(Error::hint).unwrap_or("check hosts and ports").to_string()))
}

enum Failure {
    /// Another address or server may do.
    Next(Error),
    Final(Error),
}

/// Tries all addresses of a server.
async fn at(
    settings: &Settings,
    place: &Place,
    wanted: Wanted,
    tls: &Tls,
    kind: ErrorKind,
) -> std::result::Result<Session, Failure> {
    let mut addresses: Vec<Option<IpAddr>> = vec![None];
    if let Some(address) = place.address {
        addresses = vec![Some(address)];
    } else if !place.is_socket() {
        let found = timeout(settings.connect_timeout, lookup_host((place.host.as_str(), place.port))).await;
        let found = found.map_err(|_| Failure::Next(late(settings, place)))?;
        addresses = match found {
            Ok(found) => found.map(|address| Some(address.ip())).collect(),
            Err(e) => {
                let transient = e.to_string().contains("Temporary failure");
                let what = format!("cannot connect to {place}: the host's name is not known: {e}");
                let error = Error::new(ErrorKind::Connection, what).transient(transient);
                return Err(Failure::Next(error.with_hint("check the host's name")));
            }
        };
    }
    let mut last = late(settings, place);
    for address in addresses {
        let attempt = timeout(settings.connect_timeout, login(settings, place, address, tls, kind)).await;
        match attempt.map_err(|_| Failure::Next(late(settings, place))) {
            Ok(Ok((session, standby, read_only))) => {
                if wanted.takes(standby, read_only) {
                    return Ok(session);
                }
                session.close().await;
                let role = if standby { "a standby" } else { "a primary" };
                let may = if read_only { "read only" } else { "writable" };
                let what = format!("{place} is {role} and {may}, where {} is wanted", wanted.as_str());
                let error = Error::new(ErrorKind::Connection, what);
                return Err(Failure::Next(error.with_hint("name other hosts, or change target_session_attrs")));
            }
            Ok(Err(Failure::Final(error))) => return Err(Failure::Final(error)),
            Ok(Err(Failure::Next(error))) | Err(Failure::Next(error) | Failure::Final(error)) => last = error,
        }
    }
    Err(Failure::Next(last))
}

fn late(settings: &Settings, place: &Place) -> Error {
    let seconds = settings.connect_timeout.as_secs();
    let what = format!("cannot connect to {place}/{}: no answer within {seconds} s", settings.database);
    let error = Error::new(ErrorKind::Connection, what).transient(true);
    error.with_hint("check host, port and firewall, or raise connect_timeout")
}

/// One address: with TLS and without, as the mode has it. The session, and whether the server is a standby and read only.
async fn login(
    settings: &Settings,
    place: &Place,
    address: Option<IpAddr>,
    tls: &Tls,
    kind: ErrorKind,
) -> std::result::Result<(Session, bool, bool), Failure> {
    let mut first: Option<tokio_postgres::Error> = None;
    for mode in settings.tls.mode.tries(place.is_socket()) {
        let mut driver = settings.driver(place, *mode);
        if let Some(address) = address {
            driver.hostaddr(address);
        }
        let tls = tls.fresh();
        let error = match driver.connect(tls.clone()).await {
            Ok((client, connection)) => {
                let route = Route { driver, tls, limit: settings.connect_timeout, open: settings.open.clone() };
                let session = Session::begin(client, connection, route, settings.read_timeout, kind);
                return session.await.map_err(Failure::Final);
            }
            Err(error) => error,
        };
        let refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        // A wrong password is not sent twice: only pg_hba.conf may say otherwise without TLS or with it.
        let again = match (settings.tls.mode, *mode) {
            (Mode::Prefer, SslMode::Prefer) => tls.was_used() && (refused || error.as_db_error().is_none()),
            (Mode::Allow, SslMode::Disable) => refused,
            _ => false,
        };
        if again && first.is_none() {
            first = Some(error);
            continue;
        }
        // Where only TLS is let in, the first attempt failed for the better reason.
        let unencrypted = |e: &tokio_postgres::Error| {
            refused && e.as_db_error().is_some_and(|said| said.message().contains("no encryption"))
        };
        let error = match first {
            Some(earlier) if unencrypted(&error) => earlier,
            _ => error,
        };
        let known = settings.driver(place, SslMode::Disable).get_password().is_some();
        let who = Login { place, settings, password: known };
        let said = error::refused(&who, &error);
        let next = error.as_db_error().is_none_or(|said| *said.code() == SqlState::CANNOT_CONNECT_NOW);
        return Err(if next { Failure::Next(said) } else { Failure::Final(said) });
    }
    Err(Failure::Next(late(settings, place)))
}
