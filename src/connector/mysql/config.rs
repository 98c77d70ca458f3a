//! A connection as it is written, checked: URL, fields, options and the variables of MySQL's own clients in one place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mysql_async::{OptsBuilder, SslOpts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::url;
use crate::connector::sql::Open;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, Secret, nearest};

/// Every parameter, with the other names that it goes by. A `-` in a name counts as `_`.
const PARAMETERS: [(&str, &[&str]); 10] = [
    ("host", &[]),
    ("port", &[]),
    ("socket", &["unix_socket"]),
    ("user", &["username"]),
    ("password", &["passwd"]),
    ("database", &["db", "dbname"]),
    ("ssl_mode", &["sslmode"]),
    ("ssl_ca", &[]),
    ("connect_timeout", &[]),
    ("read_timeout", &[]),
];

/// Parameters of other clients that say only what dxt does anyway, with the values that say so.
const ACCEPTED: [(&str, &[&str]); 2] = [("charset", &["utf8mb4"]), ("local_infile", &["1", "true"])];

const PORT: u16 = 3306;
/// How often a connection that is silent is asked for by TCP.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// `ssl-mode`: whether a connection by TCP is encrypted, and who may be at its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    Disabled,
    /// TLS where the server has it.
    Preferred,
    /// TLS, nothing verified.
    Required,
    /// Signed by an authority that is trusted.
    VerifyCa,
    /// And for this host.
    VerifyIdentity,
}

const SSL_MODES: [(&str, SslMode); 5] = [
    ("disabled", SslMode::Disabled),
    ("preferred", SslMode::Preferred),
    ("required", SslMode::Required),
    ("verify_ca", SslMode::VerifyCa),
    ("verify_identity", SslMode::VerifyIdentity),
];

impl SslMode {
    pub(super) fn as_str(self) -> &'static str {
        SSL_MODES.iter().find(|(_, mode)| *mode == self).map_or("preferred", |(name, _)| name)
    }
}

/// Where the server is and how to log in.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    /// A socket's path, which is taken instead of host and port.
    pub(super) socket: Option<String>,
    pub(super) user: String,
    password: Option<Secret>,
    /// What names of one part are looked for in.
    pub(super) database: Option<String>,
    pub(super) ssl_mode: SslMode,
    ssl_ca: Option<PathBuf>,
    /// How long connecting and logging in may take together.
    pub(super) connect_timeout: Duration,
    /// How long the server may be silent before it is asked about; `None` for ever.
    pub(super) read_timeout: Option<Duration>,
    /// The sessions that were opened by these.
    pub(super) open: Open,
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
            for (name, value) in url::parameters(url.reveal())? {
                given.set(&name, value)?;
            }
        }
        for (name, value) in config.fields.iter().chain(&config.options) {
            given.value(name, value)?;
        }
        let mut get = |name: &str, variable_name: &str| {
            let there = || (!variable_name.is_empty()).then(|| variable(variable_name)).flatten();
            given.0.remove(name).or_else(there).filter(|value| !value.is_empty())
        };
        let user = get("user", "").or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
        let user = user.ok_or_else(|| wrong("no user is given").with_hint("name one: mysql://user@host/database"))?;
        let (host, given_socket) = (get("host", "MYSQL_HOST"), get("socket", ""));
        // As MySQL's clients have it, a host that is named goes before a socket of the environment.
        let socket = given_socket.or_else(|| host.is_none().then(|| variable("MYSQL_UNIX_PORT")).flatten());
        let port = match get("port", "MYSQL_TCP_PORT").map(|text| text.trim().parse::<u16>()) {
            None => PORT,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return Err(wrong("port must be a number from 1 to 65535")),
        };
        let file = |name: Option<String>| name.map(|name| config.base_dir.join(name));
        let ssl_ca = file(get("ssl_ca", ""));
        let ssl_mode = match get("ssl_mode", "") {
            None if ssl_ca.is_some() => SslMode::VerifyCa,
            None => SslMode::Preferred,
            Some(text) => ssl_mode(&text)?,
        };
        Ok(Self {
            host: host.unwrap_or_else(|| "localhost".into()),
            port,
            socket,
            user,
            password: get("password", "MYSQL_PWD").map(Secret::new),
            database: get("database", ""),
            ssl_mode,
            ssl_ca,
            connect_timeout: seconds("connect_timeout", get("connect_timeout", ""), 15)?
                .unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
            read_timeout: seconds("read_timeout", get("read_timeout", ""), 300)?,
            open: Open::default(),
        })
    }

    /// The server and the database for people: `host:3306/database`.
    pub(super) fn location(&self) -> String {
        let place = match &self.socket {
            Some(socket) => socket.clone(),
            None if self.host.contains(':') => format!("[{}]:{}", self.host, self.port),
            None => format!("{}:{}", self.host, self.port),
        };
        match &self.database {
            Some(database) => format!("{place}/{database}"),
            None => place,
        }
    }

    /// Whether a password is known.
    pub(super) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The same for the driver, encrypted or not.
    ///
    /// # Errors
    /// Configuration: `ssl_ca` cannot be read.
    pub(super) fn driver(&self, encrypted: bool) -> Result<OptsBuilder> {
        let keepalive = u32::try_from(KEEPALIVE.as_millis()).ok();
        let options = OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .socket(self.socket.clone())
            .user(Some(self.user.clone()))
            .pass(self.password.as_ref().map(|password| password.reveal().to_string()))
            .db_name(self.database.clone())
            // The server's own idea of its socket is that of another machine as often as not.
            .prefer_socket(false)
            .tcp_keepalive(keepalive)
            .tcp_nodelay(true)
            // Rows that an UPDATE found, and not only those that it changed.
            .client_found_rows(true);
        Ok(options.ssl_opts(if encrypted { Some(self.tls()?) } else { None }))
    }

    fn tls(&self) -> Result<SslOpts> {
        let verified = matches!(self.ssl_mode, SslMode::VerifyCa | SslMode::VerifyIdentity);
        let mut tls = SslOpts::default()
            .with_danger_accept_invalid_certs(!verified)
            .with_danger_skip_domain_validation(self.ssl_mode != SslMode::VerifyIdentity)
            // Some roots there have to be, also where nobody looks at them.
            .with_disable_built_in_roots(verified);
        if verified {
            let roots = match &self.ssl_ca {
                Some(file) => vec![read(file, "ssl_ca")?.into()],
                // In DER, each as if it were a file of its own.
                None => rustls_native_certs::load_native_certs().certs.iter().map(|c| c.to_vec().into()).collect(),
            };
            tls = tls.with_root_certs(roots);
        }
        Ok(tls)
    }

    /// The connection as a URL of the reading driver, whose TLS is as a session of ours found it to be.
    pub(super) fn reader_url(&self, encrypted: bool) -> Secret {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let password = self.password.as_ref().map(|p| format!(":{}", encode(p.reveal()))).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let database = self.database.as_deref().map(encode).unwrap_or_default();
        let keepalive = KEEPALIVE.as_millis();
        let timeout = self.connect_timeout.as_millis().min(u128::from(u32::MAX));
        let mut url = format!(
            "mysql://{}{password}@{host}:{}/{database}?prefer_socket=false&tcp_keepalive_time_ms={keepalive}\
             &tcp_connect_timeout_ms={timeout}",
            encode(&self.user),
            self.port,
        );
        if let Some(socket) = &self.socket {
            url += &format!("&socket={}", encode(socket));
        }
        if encrypted && self.socket.is_none() {
            let mode = if self.ssl_mode == SslMode::Preferred { SslMode::Required } else { self.ssl_mode };
            url += &format!("&ssl-mode={}", mode.as_str());
            if let Some(ca) = &self.ssl_ca {
                url += &format!("&ssl-ca={}", encode(&ca.to_string_lossy()));
            }
        }
        Secret::new(url)
    }
}

fn read(file: &Path, parameter: &str) -> Result<Vec<u8>> {
    std::fs::read(file)
        .map_err(|e| wrong(format!("{parameter}: the file {} cannot be read", file.display())).with_source(e))
}

pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, what)
}

fn ssl_mode(text: &str) -> Result<SslMode> {
    let word = text.to_lowercase().replace('-', "_");
    SSL_MODES.iter().find(|(name, _)| *name == word).map(|(_, mode)| *mode).ok_or_else(|| {
        let words: Vec<&str> = SSL_MODES.iter().map(|(name, _)| *name).collect();
        wrong(format!("unknown ssl_mode {text}")).with_hint(format!("known are {}", words.join(", ")))
    })
}

/// A time in seconds; `None` for 0, which is without end.
fn seconds(name: &str, text: Option<String>, default: u64) -> Result<Option<Duration>> {
    match text.map(|text| text.parse::<u32>()) {
        None => Ok(Some(Duration::from_secs(default))),
        Some(Ok(0)) => Ok(None),
        Some(Ok(seconds)) => Ok(Some(Duration::from_secs(u64::from(seconds)))),
        Some(Err(_)) => Err(wrong(format!("{name} must be a number of seconds, 0 for no limit"))),
    }
}

/// Parameters as they were given, by their one name.
#[derive(Default)]
struct Given(BTreeMap<&'static str, String>);

impl Given {
    fn value(&mut self, name: &str, value: &Value) -> Result<()> {
        match value {
            Value::Null => Ok(()),
            Value::String(text) => self.set(name, text.clone()),
            Value::Number(number) => self.set(name, number.to_string()),
            Value::Bool(flag) => self.set(name, flag.to_string()),
            _ => Err(wrong(format!("{name} must be a text or a number"))),
        }
    }

    fn set(&mut self, name: &str, value: String) -> Result<()> {
        let plain = name.replace('-', "_");
        if let Some((_, values)) = ACCEPTED.iter().find(|(known, _)| *known == plain) {
            if values.contains(&value.as_str()) {
                return Ok(());
            }
            let what = format!("{name} cannot be set to anything but {}", values.join(" or "));
            return Err(wrong(what).with_hint("leave it out"));
        }
        let found = PARAMETERS.iter().find(|(known, others)| *known == plain || others.contains(&plain.as_str()));
        let Some((known, _)) = found else {
            let all: Vec<&str> = PARAMETERS.iter().map(|(known, _)| *known).collect();
            return Err(wrong(format!("unknown parameter {name} of a MySQL connection")).with_hint(
                match nearest(&plain, &all) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("known are {}", all.join(", ")),
                },
            ));
        };
        match self.0.insert(known, value) {
            None => Ok(()),
            Some(_) => Err(wrong(format!("{known} is given twice")).with_hint("in the URL or beside it, not in both")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, variables: &[(&str, &str)]) -> Result<Settings> {
        let config = ConnectionConfig::from_url("c", url, "/base");
        Settings::with_environment(&config, |name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn what_is_not_said_comes_from_the_variables_of_mysqls_clients() {
        let variables =
            [("MYSQL_HOST", "db"), ("MYSQL_TCP_PORT", "3307"), ("MYSQL_PWD", "hush"), ("MYSQL_UNIX_PORT", "/s")];
        let found = settings("mysql://me@/shop", &variables).unwrap();
        assert_eq!((found.host.as_str(), found.port, found.socket), ("db", 3307, None));
        assert!(found.password.is_some());
        let found = settings("mysql://me@/shop", &variables[1..]).unwrap();
        assert_eq!((found.host.as_str(), found.socket.as_deref()), ("localhost", Some("/s")));
        assert_eq!(found.location(), "/s/shop");
    }

    #[test]
    fn names_are_taken_with_a_dash_or_an_underscore_and_files_are_beside_the_pipeline() {
        let found = settings("mysql://me@h/d?ssl-mode=VERIFY_IDENTITY&ssl_ca=ca.pem", &[]).unwrap();
        assert_eq!(found.ssl_mode, SslMode::VerifyIdentity);
        assert_eq!(found.ssl_ca.as_deref(), Some(Path::new("/base/ca.pem")));
        assert_eq!(settings("mysql://me@h?ssl-ca=x", &[]).unwrap().ssl_mode, SslMode::VerifyCa);
        assert_eq!(settings("mysql://me@h?charset=utf8mb4", &[]).unwrap().ssl_mode, SslMode::Preferred);
    }

    #[test]
    fn a_password_is_in_no_debug_output_and_escaped_for_the_reader() {
        let found = settings("mysql://me:hu%3Fs%40h@h/d%20b", &[]).unwrap();
        assert!(!format!("{found:?}").contains("hu?s"));
        let url = found.reader_url(true);
        assert!(url.reveal().starts_with("mysql://me:hu%3Fs%40h@h:3306/d%20b?"), "{}", url.reveal());
        assert!(url.reveal().ends_with("&ssl-mode=required"), "{}", url.reveal());
        assert_eq!(format!("{url:?}"), "***");
    }

    #[test]
    fn wrong_parameters_are_refused_with_the_nearest() {
        let hint = |url: &str| settings(url, &[]).unwrap_err().hint().unwrap_or_default().to_string();
        assert_eq!(hint("mysql://me@h/d?ssl_moed=required"), "did you mean ssl_mode?");
        assert!(hint("mysql://me@h/d?ssl_mode=prefer").contains("preferred"));
        assert!(hint("mysql://me@h/d?user=you").contains("not in both"));
        assert!(hint("mysql://me@h/d?charset=latin1").contains("leave it out"));
        assert!(settings("mysql://h/d", &[]).is_err());
        assert!(settings("mysql://me@h/d?connect_timeout=soon", &[]).is_err());
    }
}
