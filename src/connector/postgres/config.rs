//! A connection as it is written, checked: URL, fields, options and the PG* variables in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio_postgres::config::SslMode;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, RelationName, Secret, nearest};

/// Every parameter, with the other names that it goes by.
const PARAMETERS: [(&str, &[&str]); 11] = [
    ("host", &[]),
    ("port", &[]),
    ("user", &["username"]),
    ("password", &[]),
    ("database", &["dbname"]),
    ("sslmode", &[]),
    ("connect_timeout", &[]),
    ("application_name", &[]),
    ("options", &[]),
    ("keepalives", &[]),
    ("keepalives_idle", &[]),
];

/// Where a server is and how to log in.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// A name, an address, or the folder of a socket.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    password: Option<Secret>,
    pub(super) database: String,
    prefer_tls: bool,
    /// How long connecting and logging in may take together.
    pub(super) connect_timeout: Duration,
    application_name: String,
    options: Option<String>,
    keepalives: bool,
    keepalives_idle: Duration,
}

impl Settings {
    /// Checks a configuration; what it does not say comes from the environment.
    ///
    /// # Errors
    /// Configuration: a parameter is unknown, given twice or malformed.
    pub(super) fn new(config: &ConnectionConfig) -> Result<Self> {
        Self::with_environment(config, |name| std::env::var(name).ok())
    }

    fn with_environment(config: &ConnectionConfig, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut given = Given::default();
        if let Some(url) = &config.url {
            given.url(url.reveal())?;
        }
        for (name, value) in config.fields.iter().chain(&config.options) {
            given.value(name, value)?;
        }
        let mut get = |name: &str, variable_name: &str| {
            given.0.remove(name).or_else(|| variable(variable_name)).filter(|value| !value.is_empty())
        };
        let user = get("user", "PGUSER").or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
        let user =
            user.ok_or_else(|| wrong("no user is given").with_hint("name one: postgresql://user@host/database"))?;
        let port = match get("port", "PGPORT") {
            None => 5432,
            Some(text) => match text.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return Err(wrong("port must be a number from 1 to 65535")),
            },
        };
        let seconds = |name: &str, text: Option<String>, default: u64| match text.map(|text| text.parse::<u64>()) {
            None => Ok(Duration::from_secs(default)),
            Some(Ok(seconds)) if seconds > 0 => Ok(Duration::from_secs(seconds)),
            Some(_) => Err(wrong(format!("{name} must be a number of seconds from 1"))),
        };
        Ok(Self {
            host: get("host", "PGHOST").unwrap_or_else(|| "localhost".into()),
            port,
            password: get("password", "PGPASSWORD").map(Secret::new),
            database: get("database", "PGDATABASE").unwrap_or_else(|| user.clone()),
            prefer_tls: tls(get("sslmode", "PGSSLMODE").as_deref())?,
            connect_timeout: seconds("connect_timeout", get("connect_timeout", "PGCONNECT_TIMEOUT"), 15)?,
            application_name: get("application_name", "PGAPPNAME").unwrap_or_else(|| "dxt".into()),
            options: get("options", "PGOPTIONS"),
            keepalives: match get("keepalives", "").as_deref() {
                None | Some("1" | "true") => true,
                Some("0" | "false") => false,
                Some(_) => return Err(wrong("keepalives must be 1 or 0")),
            },
            keepalives_idle: seconds("keepalives_idle", get("keepalives_idle", ""), 60)?,
            user,
        })
    }

    /// The server and database for people: `host:5432/database`.
    pub(super) fn location(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }

    /// A table as one that several connections may name: `host:5432/database.public.t`.
    pub(super) fn identity(&self, table: &RelationName) -> String {
        format!("{}.{table}", self.location())
    }

    /// The same for the driver.
    pub(super) fn driver(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host(&self.host).port(self.port).user(&self.user).dbname(&self.database);
        config.application_name(&self.application_name).connect_timeout(self.connect_timeout);
        config.keepalives(self.keepalives).keepalives_idle(self.keepalives_idle);
        config.ssl_mode(if self.prefer_tls { SslMode::Prefer } else { SslMode::Disable });
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        config
    }
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, what)
}

fn tls(mode: Option<&str>) -> Result<bool> {
    match mode {
        None | Some("prefer" | "allow") => Ok(true),
        Some("disable") => Ok(false),
        Some(mode @ ("require" | "verify-ca" | "verify-full")) => {
            Err(wrong(format!("sslmode={mode} needs TLS, which is not built into dxt yet"))
                .with_hint("use sslmode=prefer on a network that you trust, or an encrypted tunnel"))
        }
        Some(mode) => {
            let known = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
            Err(wrong(format!("unknown sslmode {mode}")).with_hint(match nearest(mode, &known) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("known modes: {}", known.join(", ")),
            }))
        }
    }
}

/// Parameters by their first name, as they are collected.
#[derive(Default)]
struct Given(BTreeMap<&'static str, String>);

impl Given {
    fn set(&mut self, name: &str, value: String) -> Result<()> {
        let known = PARAMETERS.iter().find(|(first, others)| *first == name || others.contains(&name));
        let Some((first, _)) = known else {
            return Err(unknown(name));
        };
        match self.0.insert(first, value) {
            None => Ok(()),
            Some(_) => Err(wrong(format!("{first} is given twice")).with_hint("give it in the URL or as a field")),
        }
    }

    fn value(&mut self, name: &str, value: &Value) -> Result<()> {
        let text = match value {
            Value::Null => return Ok(()),
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(bool) => bool.to_string(),
            // The value is not shown: it may hold a password.
            Value::Array(_) | Value::Object(_) => return Err(wrong(format!("{name} must be a text or a number"))),
        };
        self.set(name, text)
    }

    /// Takes a URL apart. No part of it is shown in an error: a password that is not encoded may be anywhere in it.
    fn url(&mut self, text: &str) -> Result<()> {
        let malformed = |what: &str| {
            wrong(format!("the connection's URL is malformed: {what}")).with_hint(
                "write postgresql://user:password@host:5432/database?sslmode=prefer, special characters percent-encoded",
            )
        };
        let text = named_host(text);
        let url = url::Url::parse(&text).map_err(|e| malformed(&e.to_string()))?;
        let decode = |part: &str| {
            let text = percent_decode_str(part).decode_utf8().map_err(|_| malformed("a part is not UTF-8"))?;
            if text.contains('\0') { Err(malformed("it has a NUL")) } else { Ok(text.into_owned()) }
        };
        if url.fragment().is_some() {
            return Err(malformed("it has a #"));
        }
        if url.cannot_be_a_base() {
            return Err(malformed("`//` is missing"));
        }
        if !url.username().is_empty() {
            self.set("user", decode(url.username())?)?;
        }
        if let Some(password) = url.password() {
            self.set("password", decode(password)?)?;
        }
        if let Some(host) = url.host_str().filter(|host| !host.is_empty() && *host != NO_HOST) {
            self.set("host", decode(host.trim_start_matches('[').trim_end_matches(']'))?)?;
        }
        if let Some(port) = url.port() {
            self.set("port", port.to_string())?;
        }
        let database = url.path().trim_start_matches('/');
        if database.contains(['/', '@']) {
            return Err(malformed("the database's name has a / or @"));
        }
        if !database.is_empty() {
            self.set("database", decode(database)?)?;
        }
        for pair in url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| malformed("a parameter has no ="))?;
            if !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                return Err(malformed("a parameter's name is not one"));
            }
            self.set(name, decode(value)?)?;
        }
        Ok(())
    }
}

/// A host that stands for none, as a URL has no user without a host: `postgresql://user@/database?host=/socket`.
const NO_HOST: &str = "no-host.invalid";

fn named_host(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@').map(|at| start + at + 1) {
        Some(host) if host == end || text[host..end].starts_with(':') => {
            format!("{}{NO_HOST}{}", &text[..host], &text[host..])
        }
        _ => text.to_string(),
    }
}

fn unknown(name: &str) -> Error {
    let known: Vec<&str> =
        PARAMETERS.iter().flat_map(|(first, others)| [*first].into_iter().chain(others.iter().copied())).collect();
    wrong(format!("unknown parameter {name} of a PostgreSQL connection")).with_hint(match nearest(name, &known) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("known parameters: {}", known.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Options;
    use serde_json::json;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn settings(url: &str) -> Result<Settings> {
        Settings::with_environment(&ConnectionConfig::from_url("c", url, "."), nothing)
    }

    #[test]
    fn the_parts_of_a_url_are_decoded() {
        let s = settings("postgresql+psycopg://u%40x:p%2Fw%25@db.example:6000/my%20db?connect_timeout=3").unwrap();
        assert_eq!((s.user.as_str(), s.port, s.database.as_str()), ("u@x", 6000, "my db"));
        assert_eq!(s.password.as_ref().map(Secret::reveal), Some("p/w%"));
        assert_eq!((s.location().as_str(), s.connect_timeout.as_secs()), ("db.example:6000/my db", 3));
        assert_eq!(settings("postgresql://u@[::1]/d").unwrap().host, "::1");
        assert_eq!(settings("postgresql://u@/d?host=/tmp/socket&port=7").unwrap().host, "/tmp/socket");
        let local = settings("postgresql://u@:7/d").unwrap();
        assert_eq!((local.host.as_str(), local.port), ("localhost", 7));
        assert_eq!(settings("postgresql://u@%2Ftmp%2Fsocket/d").unwrap().host, "/tmp/socket");
    }

    #[test]
    fn the_environment_fills_what_is_not_said() {
        let variable = |name: &str| match name {
            "PGHOST" => Some("h".to_string()),
            "PGUSER" => Some("someone".to_string()),
            "PGPASSWORD" => Some("hidden".to_string()),
            "PGPORT" => Some("7".to_string()),
            _ => None,
        };
        let s = Settings::with_environment(&ConnectionConfig::from_url("c", "pg://me@/", "."), variable).unwrap();
        assert_eq!((s.host.as_str(), s.port, s.user.as_str(), s.database.as_str()), ("h", 7, "me", "me"));
        assert_eq!(s.password.as_ref().map(Secret::reveal), Some("hidden"));
    }

    #[test]
    fn fields_say_the_same_as_a_url() {
        let mut config = ConnectionConfig::from_url("c", "", ".");
        config.url = None;
        let fields = json!({"host": "h", "port": 7, "username": "u", "password": 12, "dbname": "d"});
        config.fields = serde_json::from_value::<Options>(fields).unwrap();
        let s = Settings::with_environment(&config, nothing).unwrap();
        assert_eq!((s.location().as_str(), s.user.as_str()), ("h:7/d", "u"));
        config.fields.insert("pasword".into(), json!("hunter2"));
        let error = Settings::with_environment(&config, nothing).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean password?"));
        assert!(!error.report().contains("hunter2"));
    }

    #[test]
    fn tls_is_refused_where_it_is_demanded() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let error = settings(&format!("postgresql://u@h/d?sslmode={mode}")).unwrap_err();
            assert!(error.kind() == ErrorKind::Configuration && error.message().contains("TLS"), "{error}");
        }
        assert!(settings("postgresql://u@h/d?sslmode=disable").is_ok());
        assert_eq!(settings("postgresql://u@h/d?sslmode=requir").unwrap_err().hint(), Some("did you mean require?"));
    }

    #[test]
    fn a_password_is_in_no_error_and_no_debug() {
        let fine = settings("postgresql://u:hunter2@h/d").unwrap();
        assert!(!format!("{fine:?}").contains("hunter2"));
        for url in [
            "postgresql://u:hunter2@h:port/d",
            "postgresql://u:12/hunter2@h/d",
            "postgresql://u:12#hunter2@h/d",
            "postgresql://u:12?hunter2@h/d",
            "postgresql://u:12?hunter2=1@h/d",
            "postgresql://u:hunter2@h/d?sslmod=disable",
            "postgresql:u:hunter2@h",
            "postgresql://u:hunter2@h/d?password=hunter2",
        ] {
            let error = settings(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
            assert!(!error.report().contains("hunter2"), "{}", error.report());
        }
    }
}
