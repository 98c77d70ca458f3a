//! A connection's URL as MySQL's clients and SQLAlchemy write it, taken apart.
//!
//! `mysql://user:password@host:3306/database?name=value`. The scheme may name a driver (`mysql+pymysql://`), which says
//! nothing here. Names of parameters are taken with `-` or `_` alike. A socket stands in `?socket=/path`.

use percent_encoding::percent_decode_str;

use super::config::wrong;
use crate::error::{Error, Result};

/// Takes a URL apart into parameters, in order. No part of it is shown in an error: a password that is not encoded may be
/// anywhere in it.
///
/// # Errors
/// Configuration: it is malformed.
pub(super) fn parameters(url: &str) -> Result<Vec<(String, String)>> {
    let Some((_, rest)) = url.split_once("://") else {
        return Err(malformed("`//` is missing"));
    };
    if rest.contains('#') {
        return Err(malformed("it has a #"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let mut found = Vec::new();
    let mut add = |name: &str, value: String| found.push((name.to_string(), value));

    let host = match authority.rsplit_once('@') {
        None => authority,
        Some((user, host)) => {
            let (user, password) = user.split_once(':').map_or((user, None), |(user, word)| (user, Some(word)));
            if !user.is_empty() {
                add("user", decode(user)?);
            }
            if let Some(password) = password {
                add("password", decode(password)?);
            }
            host
        }
    };
    let (host, port) = place(host)?;
    if !host.is_empty() {
        add("host", decode(host)?);
    }
    if !port.is_empty() {
        add("port", port.to_string());
    }
    if database.contains(['/', '@']) {
        return Err(malformed("the database's name has a / or @"));
    }
    if !database.is_empty() {
        add("database", decode(database)?);
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| malformed("a parameter has no ="))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(malformed("a parameter's name is not one"));
        }
        add(name, decode(value)?);
    }
    Ok(found)
}

/// `name`, `name:port`, `[v6]:port`, `:port` or nothing.
fn place(text: &str) -> Result<(&str, &str)> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or_else(|| malformed("a [ has no ]"))?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(malformed("what stands in [] is no IPv6 address"));
            }
            match rest.strip_prefix(':') {
                Some(port) => (address, port),
                None if rest.is_empty() => (address, ""),
                None => return Err(malformed("something stands between ] and the port")),
            }
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(malformed("a host has two colons; an IPv6 address stands in []"));
            }
            Some(parts) => parts,
            None => (text, ""),
        },
    };
    if name.contains(',') {
        return Err(malformed("it names several hosts; dxt takes one"));
    }
    if !port.chars().all(|c| c.is_ascii_digit()) {
        return Err(malformed("the port is not a number"));
    }
    Ok((name, port))
}

fn malformed(what: &str) -> Error {
    wrong(format!("the connection's URL is malformed: {what}")).with_hint(
        "write mysql://user:password@host:3306/database?ssl-mode=preferred, special characters percent-encoded",
    )
}

fn decode(part: &str) -> Result<String> {
    let bytes = part.as_bytes();
    let broken = |at: usize| !bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && broken(at)) {
        return Err(malformed("a % is not followed by two hexadecimal digits (write %25 for a %)"));
    }
    let text = percent_decode_str(part).decode_utf8().map_err(|_| malformed("a part is not UTF-8"))?;
    if text.contains('\0') { Err(malformed("it has a NUL")) } else { Ok(text.into_owned()) }
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
