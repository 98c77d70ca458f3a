//! A server's URL, taken apart: `scheme://user:password@hosts/database?name=value`. No part of it is shown in an error: a
//! password that is not encoded may be anywhere in it.

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};

/// The error of one connector for a URL with this fault.
pub type Malformed<'a> = &'a dyn Fn(&str) -> Error;

/// The parts of a URL, decoded but for the hosts, which have an order of their own.
#[derive(Debug)]
pub struct Url<'a> {
    pub user: Option<String>,
    pub password: Option<String>,
    /// What stands between `@` and `/`.
    pub hosts: &'a str,
    pub database: Option<String>,
    /// Names and values behind the `?`, in order.
    pub query: Vec<(&'a str, String)>,
}

impl<'a> Url<'a> {
    /// Takes a URL apart. `letter`: what a parameter's name may have.
    ///
    /// # Errors
    /// As `malformed` makes them.
    pub fn parse(url: &'a str, letter: fn(char) -> bool, malformed: Malformed<'_>) -> Result<Self> {
        let Some((_, rest)) = url.split_once("://") else {
            return Err(malformed("`//` is missing"));
        };
        if rest.contains('#') {
            return Err(malformed("it has a #"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
        if database.contains(['/', '@']) {
            return Err(malformed("the database's name has a / or @"));
        }
        let said = |part: &str| (!part.is_empty()).then(|| decode(part, malformed)).transpose();
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| malformed("a parameter has no ="))?;
            if name.is_empty() || !name.chars().all(letter) {
                return Err(malformed("a parameter's name is not one"));
            }
            Ok((name, decode(value, malformed)?))
        });
        Ok(Self {
            user: said(user)?,
            password: password.map(|password| decode(password, malformed)).transpose()?,
            hosts,
            database: said(database)?,
            query: pairs.collect::<Result<_>>()?,
        })
    }
}

/// `name`, `name:port`, `[v6]:port`, `:port` or nothing, not decoded yet.
///
/// # Errors
/// As `malformed` makes them.
pub fn place<'a>(text: &'a str, malformed: Malformed<'_>) -> Result<(&'a str, &'a str)> {
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
    if !port.chars().all(|c| c.is_ascii_digit()) {
        return Err(malformed("the port is not a number"));
    }
    Ok((name, port))
}

/// A part with its `%` decoded.
///
/// # Errors
/// As `malformed` makes them.
pub fn decode(part: &str, malformed: Malformed<'_>) -> Result<String> {
    let bytes = part.as_bytes();
    let broken = |at: usize| !bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && broken(at)) {
        return Err(malformed("a % is not followed by two hexadecimal digits (write %25 for a %)"));
    }
    let text = percent_decode_str(part).decode_utf8().map_err(|_| malformed("a part is not UTF-8"))?;
    if text.contains('\0') { Err(malformed("it has a NUL")) } else { Ok(text.into_owned()) }
}
