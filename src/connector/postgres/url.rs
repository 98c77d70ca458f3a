//! A connection's URL as libpq and SQLAlchemy write it, taken apart.
//!
//! `postgresql://user:password@host1:1,[::1]:2,host3/database?name=value`. The scheme may name a driver
//! (`postgresql+psycopg://`), which says nothing here. A socket's folder stands in `?host=/folder`, or percent-encoded in
//! the host's place. SQLAlchemy's `?host=a:1&host=b:2` means the same as `?host=a,b&port=1,2`.

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

    let hosts = match authority.rsplit_once('@') {
        None => authority,
        Some((user, hosts)) => {
            let (user, password) = user.split_once(':').map_or((user, None), |(user, word)| (user, Some(word)));
            if !user.is_empty() {
                add("user", decode(user)?);
            }
            if let Some(password) = password {
                add("password", decode(password)?);
            }
            hosts
        }
    };
    let (hosts, ports) = lists(hosts.split(',').map(host).collect::<Result<_>>()?);
    if let Some(hosts) = hosts {
        add("host", hosts);
    }
    if let Some(ports) = ports {
        add("port", ports);
    }
    if database.contains(['/', '@']) {
        return Err(malformed("the database's name has a / or @"));
    }
    if !database.is_empty() {
        add("database", decode(database)?);
    }

    let mut named = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| malformed("a parameter has no ="))?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return Err(malformed("a parameter's name is not one"));
        }
        match name {
            "host" => named.push(decode(value)?),
            name => add(name, decode(value)?),
        }
    }
    let (hosts, ports) = lists(named.iter().flat_map(|hosts| hosts.split(',')).map(named_host).collect());
    if let Some(hosts) = hosts {
        add("host", hosts);
    }
    if let Some(ports) = ports {
        add("port", ports);
    }
    Ok(found)
}

fn malformed(what: &str) -> Error {
    wrong(format!("the connection's URL is malformed: {what}")).with_hint(
        "write postgresql://user:password@host:5432/database?sslmode=prefer, special characters percent-encoded",
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

/// One host of the authority: `name`, `name:port`, `[v6]:port`, `:port` or nothing.
fn host(text: &str) -> Result<(String, String)> {
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
            Some((name, port)) => (name, port),
            None => (text, ""),
        },
    };
    if !port.chars().all(|c| c.is_ascii_digit()) {
        return Err(malformed("the port is not a number"));
    }
    Ok((decode(name)?, port.to_string()))
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
