//! A connection's URL as libpq and SQLAlchemy write it, taken apart.
//!
//! `postgresql://user:password@host1:1,[::1]:2,host3/database?name=value`. The scheme may name a driver
//! (`postgresql+psycopg://`), which says nothing here. A socket's folder stands in `?host=/folder`, or percent-encoded in
//! the host's place. SQLAlchemy's `?host=a:1&host=b:2` means the same as `?host=a,b&port=1,2`.

use super::config::wrong;
use crate::connector::sql::url::{self, Url};
use crate::error::{Error, Result};

/// Takes a URL apart into parameters, in order. No part of it is shown in an error.
///
/// # Errors
/// Configuration: it is malformed.
pub(super) fn parameters(text: &str) -> Result<Vec<(String, String)>> {
    let url = Url::parse(text, |c| c.is_ascii_lowercase() || c == '_', &malformed)?;
    let (hosts, ports) = lists(url.hosts.split(',').map(host).collect::<Result<_>>()?);
    let (named, others): (Vec<_>, Vec<_>) = url.query.into_iter().partition(|(name, _)| *name == "host");
    let named = named.iter().flat_map(|(_, hosts)| hosts.split(',')).map(named_host).collect();
    let (named_hosts, named_ports) = lists(named);
    let parts =
        [("user", url.user), ("password", url.password), ("host", hosts), ("port", ports), ("database", url.database)];
    let others = others.into_iter().map(|(name, value)| (name, Some(value)));
    let all = parts.into_iter().chain(others).chain([("host", named_hosts), ("port", named_ports)]);
    Ok(all.filter_map(|(name, value)| Some((name.to_string(), value?))).collect())
}

fn malformed(what: &str) -> Error {
    wrong(format!("the connection's URL is malformed: {what}")).with_hint(
        "write postgresql://user:password@host:5432/database?sslmode=prefer, special characters percent-encoded",
    )
}

/// One host of the authority.
fn host(text: &str) -> Result<(String, String)> {
    let (name, port) = url::place(text, &malformed)?;
    Ok((url::decode(name, &malformed)?, port.to_string()))
}

/// One host of `?host=`: SQLAlchemy puts the port behind it.
fn named_host(text: &str) -> (String, String) {
    match text.split_once(':') {
        Some((name, port))
            if !text.starts_with('/') && !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) =>
        {
            (name.to_string(), port.to_string())
        }
        _ => (text.to_string(), String::new()),
    }
}

/// Hosts and ports as two lists; `None` where nothing is said.
fn lists(hosts: Vec<(String, String)>) -> (Option<String>, Option<String>) {
    let said = |part: &dyn Fn(&(String, String)) -> &str| {
        hosts.iter().any(|host| !part(host).is_empty()).then(|| hosts.iter().map(part).collect::<Vec<_>>().join(","))
    };
    (said(&|host| &host.0), said(&|host| &host.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> Vec<(String, String)> {
        parameters(url).unwrap()
    }

    fn found(url: &str, name: &str) -> Option<String> {
        parts(url).into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    #[test]
    fn several_hosts_are_lists_of_hosts_and_ports() {
        let url = "postgresql://u@a:1,b,[::1]:3/d";
        assert_eq!(found(url, "host").as_deref(), Some("a,b,::1"));
        assert_eq!(found(url, "port").as_deref(), Some("1,,3"));
        let sqlalchemy = "postgresql+psycopg2://u:p@/d?host=a:1&host=b:2";
        assert_eq!(found(sqlalchemy, "host").as_deref(), Some("a,b"));
        assert_eq!(found(sqlalchemy, "port").as_deref(), Some("1,2"));
        assert_eq!(found("postgresql://?host=/tmp&host=%2Fvar%2Frun", "host").as_deref(), Some("/tmp,/var/run"));
        assert_eq!(found("postgresql:///d?host=a,b&port=1,2", "port").as_deref(), Some("1,2"));
    }

    #[test]
    fn what_is_left_out_is_not_said() {
        assert!(parts("postgresql://").is_empty());
        assert!(parts("postgres:///").is_empty());
        assert_eq!(parts("postgresql://:7"), [("port".to_string(), "7".to_string())]);
        assert_eq!(parts("postgresql://u@"), [("user".to_string(), "u".to_string())]);
    }

    #[test]
    fn malformed_urls_are_refused() {
        for url in [
            "postgresql:u@h",
            "postgresql://[::1/d",
            "postgresql://[nonsense]/d",
            "postgresql://::1/d",
            "postgresql://h:port/d",
            "postgresql://u:%zz@h/d",
            "postgresql://u:%2@h/d",
            "postgresql://u:%00@h/d",
            "postgresql://h/d?sslmode",
            "postgresql://h/d?=1",
        ] {
            assert!(parameters(url).is_err(), "{url}");
        }
    }
}
