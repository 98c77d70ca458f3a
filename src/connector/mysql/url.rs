//! A connection's URL as MySQL's clients and SQLAlchemy write it, taken apart.
//!
//! `mysql://user:password@host:3306/database?name=value`. The scheme may name a driver (`mysql+pymysql://`), which says
//! nothing here. Names of parameters are taken with `-` or `_` alike. A socket stands in `?socket=/path`.

use super::config::wrong;
use crate::connector::sql::url::{self, Url};
use crate::error::{Error, Result};

/// Takes a URL apart into parameters, in order. No part of it is shown in an error.
///
/// # Errors
/// Configuration: it is malformed.
pub(super) fn parameters(text: &str) -> Result<Vec<(String, String)>> {
    let url = Url::parse(text, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-', &malformed)?;
    let (host, port) = url::place(url.hosts, &malformed)?;
    if host.contains(',') {
        return Err(malformed("it names several hosts; dxt takes one"));
    }
    let said = |part: String| Some(part).filter(|part| !part.is_empty());
    let parts = [
        ("user", url.user),
        ("password", url.password),
        ("host", said(url::decode(host, &malformed)?)),
        ("port", said(port.to_string())),
        ("database", url.database),
    ];
    let given = parts.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?)));
    Ok(given.chain(url.query.into_iter().map(|(name, value)| (name.to_string(), value))).collect())
}

fn malformed(what: &str) -> Error {
    wrong(format!("the connection's URL is malformed: {what}")).with_hint(
        "write mysql://user:password@host:3306/database?ssl-mode=preferred, special characters percent-encoded",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: &str, name: &str) -> Option<String> {
        parameters(url).unwrap().into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    #[test]
    fn each_part_is_decoded_and_a_driver_says_nothing() {
        let url = "mysql+pymysql://me%40x:p%3Aw@db.example:3307/my%20shop?ssl-ca=%2Fa%2Fb.pem";
        assert_eq!(found(url, "user").as_deref(), Some("me@x"));
        assert_eq!(found(url, "password").as_deref(), Some("p:w"));
        assert_eq!(found(url, "host").as_deref(), Some("db.example"));
        assert_eq!(found(url, "port").as_deref(), Some("3307"));
        assert_eq!(found(url, "database").as_deref(), Some("my shop"));
        assert_eq!(found(url, "ssl-ca").as_deref(), Some("/a/b.pem"));
        assert_eq!(found("mysql://[::1]:7/d", "host").as_deref(), Some("::1"));
        assert!(parameters("mariadb:///").unwrap().is_empty());
    }

    #[test]
    fn malformed_urls_are_refused() {
        for url in [
            "mysql:u@h",
            "mysql://[::1/d",
            "mysql://[nonsense]/d",
            "mysql://::1/d",
            "mysql://h:port/d",
            "mysql://a,b/d",
            "mysql://u:%zz@h/d",
            "mysql://u:%00@h/d",
            "mysql://h/d?ssl-mode",
            "mysql://h/d?=1",
        ] {
            assert!(parameters(url).is_err(), "{url}");
        }
    }
}
