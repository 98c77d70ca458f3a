//! A connection as it is written, checked: URL, fields, options and the PG* variables in one place.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio_postgres::config::{ChannelBinding, SslMode};

use super::passfile::{self, Login};
use super::tls::{Mode, TlsSettings};
use super::url;
use crate::connector::sql::Open;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, Secret, nearest};

/// Every parameter, with the other names that it goes by. `ssl` is asyncpg's.
const PARAMETERS: [(&str, &[&str]); 23] = [
    ("host", &[]),
    ("hostaddr", &[]),
    ("port", &[]),
    ("user", &["username"]),
    ("password", &[]),
    ("passfile", &[]),
    ("database", &["dbname"]),
    ("target_session_attrs", &[]),
    ("sslmode", &["ssl"]),
    ("sslrootcert", &[]),
    ("sslcert", &[]),
    ("sslkey", &[]),
    ("channel_binding", &[]),
    ("connect_timeout", &[]),
    ("read_timeout", &[]),
    ("application_name", &[]),
    ("fallback_application_name", &[]),
    ("options", &[]),
    ("keepalives", &[]),
    ("keepalives_idle", &[]),
    ("keepalives_interval", &[]),
    ("keepalives_count", &["keepalives_retries"]),
    ("tcp_user_timeout", &[]),
];

/// Parameters of libpq that say only what dxt does anyway, with the values that say so.
const ACCEPTED: [(&str, &[&str]); 7] = [
    ("client_encoding", &["auto", "UTF8", "utf8", "UTF-8"]),
    ("gssencmode", &["disable", "prefer"]),
    ("load_balance_hosts", &["disable"]),
    ("requiressl", &["0"]),
    ("sslcompression", &["0"]),
    ("sslnegotiation", &["postgres"]),
    ("sslsni", &["1"]),
];

/// Parameters of libpq that dxt does not know the meaning of.
const REFUSED: [&str; 13] = [
    "gsslib",
    "gssdelegation",
    "krbsrvname",
    "passcommand",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
];

/// Where a server's socket is, if nobody says where the server is: as Debian and others build libpq, and as PostgreSQL does.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// A name, an address, or the folder of a socket.
    pub(super) host: String,
    pub(super) port: u16,
    /// Its address, where the name need not be looked up.
    pub(super) address: Option<IpAddr>,
}

impl Place {
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// `target_session_attrs`: which of several servers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

const WANTED: [(&str, Wanted); 6] = [
    ("any", Wanted::Any),
    ("read-write", Wanted::ReadWrite),
    ("read-only", Wanted::ReadOnly),
    ("primary", Wanted::Primary),
    ("standby", Wanted::Standby),
    ("prefer-standby", Wanted::PreferStandby),
];

impl Wanted {
    pub(super) fn as_str(self) -> &'static str {
        WANTED.iter().find(|(_, wanted)| *wanted == self).map_or("any", |(name, _)| name)
    }

    /// What is looked for among all servers, in order.
    pub(super) fn rounds(self) -> Vec<Self> {
        if self == Self::PreferStandby { vec![Self::Standby, Self::Any] } else { vec![self] }
    }

    /// Whether a server will do.
    pub(super) fn takes(self, standby: bool, read_only: bool) -> bool {
        match self {
            Self::Any | Self::PreferStandby => true,
            Self::ReadWrite => !read_only,
            Self::ReadOnly => read_only,
            Self::Primary => !standby,
            Self::Standby => standby,
        }
    }
}

/// Where a server is and how to log in.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Tried in order.
    pub(super) places: Vec<Place>,
    pub(super) wanted: Wanted,
    pub(super) user: String,
    password: Option<Secret>,
    passfile: Option<PathBuf>,
    pub(super) database: String,
    pub(super) tls: TlsSettings,
    channel_binding: ChannelBinding,
    /// How long connecting to one address and logging in may take together.
    pub(super) connect_timeout: Duration,
    /// How long a server may be silent before it is asked about; `None` for ever.
    pub(super) read_timeout: Option<Duration>,
    application_name: String,
    options: Option<String>,
    keepalives: bool,
    keepalives_idle: Duration,
    keepalives_interval: Duration,
    keepalives_count: u32,
    tcp_user_timeout: Option<Duration>,
    /// The connections that were made by them.
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
        // A file that the pipeline names is beside it; one of the environment is where the user is.
        for name in ["passfile", "sslrootcert", "sslcert", "sslkey"] {
            if let Some(file) = given.0.get_mut(name).filter(|file| !file.is_empty() && *file != "system") {
                *file = config.base_dir.join(&*file).to_string_lossy().into_owned();
            }
        }
        let home = variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let mut get = |name: &str, variable_name: &str| {
            given.0.remove(name).or_else(|| variable(variable_name)).filter(|value| !value.is_empty())
        };
        let user = get("user", "PGUSER").or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
        let user =
            user.ok_or_else(|| wrong("no user is given").with_hint("name one: postgresql://user@host/database"))?;
        let addresses = get("hostaddr", "PGHOSTADDR");
        let hosts = get("host", "PGHOST").or_else(|| addresses.clone());
        let ports = get("port", "PGPORT");
        let places = places(hosts.as_deref(), addresses.as_deref(), ports.as_deref(), |socket| socket.exists())?;
        let wanted = match get("target_session_attrs", "PGTARGETSESSIONATTRS") {
            None => Wanted::Any,
            Some(text) => one_of("target_session_attrs", &WANTED, &text)?,
        };
        let bindings = [
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ];
        let channel_binding = match get("channel_binding", "PGCHANNELBINDING") {
            None => ChannelBinding::Prefer,
            Some(text) => one_of("channel_binding", &bindings, &text)?,
        };
        Ok(Self {
            places,
            wanted,
            password: get("password", "PGPASSWORD").map(Secret::new),
            passfile: get("passfile", "PGPASSFILE")
                .map(PathBuf::from)
                .or_else(|| home.as_ref().map(|home| home.join(".pgpass"))),
            database: get("database", "PGDATABASE").unwrap_or_else(|| user.clone()),
            tls: tls(&mut get, home.map(|home| home.join(".postgresql")))?,
            channel_binding,
            connect_timeout: seconds("connect_timeout", get("connect_timeout", "PGCONNECT_TIMEOUT"), 15)?
                .unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
            read_timeout: seconds("read_timeout", get("read_timeout", ""), 300)?,
            application_name: get("application_name", "PGAPPNAME")
                .or_else(|| get("fallback_application_name", ""))
                .unwrap_or_else(|| "dxt".into()),
            options: get("options", "PGOPTIONS"),
            keepalives: match get("keepalives", "").as_deref() {
                None | Some("1" | "true") => true,
                Some("0" | "false") => false,
                Some(_) => return Err(wrong("keepalives must be 1 or 0")),
            },
            keepalives_idle: positive("keepalives_idle", get("keepalives_idle", ""), 60)?,
            keepalives_interval: positive("keepalives_interval", get("keepalives_interval", ""), 10)?,
            keepalives_count: match get("keepalives_count", "").map(|text| text.parse()) {
                None => 6,
                Some(Ok(count)) if count > 0 => count,
                Some(_) => return Err(wrong("keepalives_count must be a number from 1")),
            },
            // In milliseconds, as libpq has it.
            tcp_user_timeout: match get("tcp_user_timeout", "").map(|text| text.parse()) {
                None | Some(Ok(0)) => None,
                Some(Ok(time)) => Some(Duration::from_millis(time)),
                Some(Err(_)) => return Err(wrong("tcp_user_timeout must be a number of milliseconds")),
            },
            user,
            open: Open::default(),
        })
    }

    /// The servers and the database for people: `host:5432/database`.
    pub(super) fn location(&self) -> String {
        let places: Vec<String> = self.places.iter().map(ToString::to_string).collect();
        format!("{}/{}", places.join(","), self.database)
    }

    /// The same for the driver, for one of the servers.
    pub(super) fn driver(&self, place: &Place, mode: SslMode) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host(&place.host).port(place.port).user(&self.user).dbname(&self.database);
        config.application_name(&self.application_name).connect_timeout(self.connect_timeout);
        config.keepalives(self.keepalives).keepalives_idle(self.keepalives_idle);
        config.keepalives_interval(self.keepalives_interval).keepalives_retries(self.keepalives_count);
        config.ssl_mode(mode).channel_binding(self.channel_binding);
        if let Some(time) = self.tcp_user_timeout {
            config.tcp_user_timeout(time);
        }
        if let Some(password) = self.password.clone().or_else(|| self.kept_password(place)) {
            config.password(password.reveal());
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        config
    }

    /// The password that the password file has for a server.
    fn kept_password(&self, place: &Place) -> Option<Secret> {
        let login = Login { host: &place.host, port: place.port, database: &self.database, user: &self.user };
        passfile::password(self.passfile.as_deref()?, login)
    }
}

pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, what)
}

/// Hosts, their addresses and ports as lists: one port is that of all hosts, else there are as many. Where no host is
/// named, a local server's socket is taken, where `exists` finds it.
fn places(
    hosts: Option<&str>,
    addresses: Option<&str>,
    ports: Option<&str>,
    exists: impl Fn(&Path) -> bool,
) -> Result<Vec<Place>> {
    let port = |text: &str| match text.trim().parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        Err(_) if text.trim().is_empty() => Ok(5432),
        _ => Err(wrong("port must be a number from 1 to 65535")),
    };
    let ports = ports.unwrap_or_default().split(',').map(port).collect::<Result<Vec<_>>>()?;
    let hosts: Vec<&str> = hosts.unwrap_or_default().split(',').map(str::trim).collect();
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(wrong(format!("{} ports are given for {} hosts", ports.len(), hosts.len()))
            .with_hint("give one port for all, or one for each host"));
    }
    let addresses: Vec<&str> = addresses.map(|all| all.split(',').map(str::trim).collect()).unwrap_or_default();
    if !addresses.is_empty() && addresses.len() != hosts.len() {
        return Err(wrong(format!("{} addresses are given for {} hosts", addresses.len(), hosts.len())));
    }
    let local = |port: u16| {
        let socket = |folder: &&str| exists(&Path::new(folder).join(format!(".s.PGSQL.{port}")));
        SOCKETS.into_iter().find(|folder| socket(folder)).unwrap_or("localhost")
    };
    let place = |(at, name): (usize, &&str)| {
        let port = ports[if ports.len() == 1 { 0 } else { at }];
        let host = if name.is_empty() { local(port) } else { *name };
        let address = match addresses.get(at).filter(|address| !address.is_empty()) {
            None => None,
            Some(address) => Some(address.parse().map_err(|_| wrong("hostaddr must be an IP address"))?),
        };
        Ok(Place { host: host.to_string(), port, address })
    };
    hosts.iter().enumerate().map(place).collect()
}

fn one_of<T: Copy>(name: &str, known: &[(&'static str, T)], text: &str) -> Result<T> {
    known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        wrong(format!("unknown {name} {text}")).with_hint(format!("known are {}", words.join(", ")))
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

fn positive(name: &str, text: Option<String>, default: u64) -> Result<Duration> {
    seconds(name, text, default)?.ok_or_else(|| wrong(format!("{name} must be a number of seconds from 1")))
}

/// What is said of TLS. The system's roots are anybody's: with them only the name says who answers.
fn tls(get: &mut impl FnMut(&str, &str) -> Option<String>, home: Option<PathBuf>) -> Result<TlsSettings> {
    let root = get("sslrootcert", "PGSSLROOTCERT");
    let system = root.as_deref() == Some("system");
    let mode = match get("sslmode", "PGSSLMODE") {
        Some(text) => Mode::parse(&text)?,
        None if system => Mode::VerifyFull,
        None => Mode::Prefer,
    };
    if system && mode != Mode::VerifyFull {
        return Err(wrong(format!("sslmode={} is too weak for sslrootcert=system", mode.as_str()))
            .with_hint("use sslmode=verify-full"));
    }
    let mut file = |name, variable| get(name, variable).map(PathBuf::from);
    Ok(TlsSettings { mode, root, certificate: file("sslcert", "PGSSLCERT"), key: file("sslkey", "PGSSLKEY"), home })
}

/// Parameters by their first name, as they are collected.
#[derive(Default)]
struct Given(BTreeMap<&'static str, String>);

impl Given {
    fn set(&mut self, name: &str, value: String) -> Result<()> {
        let known = PARAMETERS.iter().find(|(first, others)| *first == name || others.contains(&name));
        let Some((first, _)) = known else {
            return match ACCEPTED.iter().find(|(accepted, _)| *accepted == name) {
                Some((_, values)) if values.contains(&value.as_str()) => Ok(()),
                Some((_, values)) => Err(wrong(format!("of {name} dxt can only {}", values.join(" or ")))
                    .with_hint("leave it out, or give it that value")),
                None => Err(unknown(name)),
            };
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
}

fn unknown(name: &str) -> Error {
    if REFUSED.contains(&name) {
        return wrong(format!("dxt does not know libpq's parameter {name}"))
            .with_hint("leave it out, where that is safe");
    }
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
        assert_eq!((s.user.as_str(), s.places[0].port, s.database.as_str()), ("u@x", 6000, "my db"));
        assert_eq!(s.password.as_ref().map(Secret::reveal), Some("p/w%"));
        assert_eq!((s.location().as_str(), s.connect_timeout.as_secs()), ("db.example:6000/my db", 3));
        assert_eq!(settings("postgresql://u@[::1]/d").unwrap().places[0].host, "::1");
        assert_eq!(settings("postgresql://u@/d?host=/tmp/socket&port=7").unwrap().places[0].host, "/tmp/socket");
        assert_eq!(settings("postgresql://u@%2Ftmp%2Fsocket/d").unwrap().places[0].host, "/tmp/socket");
    }

    #[test]
    fn where_no_host_is_named_a_local_socket_is_taken_if_there_is_one() {
        let found = |there: &'static str| {
            places(None, None, Some("7"), move |socket| socket == Path::new(there)).unwrap()[0].to_string()
        };
        assert_eq!(found("/tmp/.s.PGSQL.7"), "/tmp:7");
        assert_eq!(found("/var/run/postgresql/.s.PGSQL.7"), "/var/run/postgresql:7");
        assert_eq!(found("/tmp/.s.PGSQL.5432"), "localhost:7");
    }

    #[test]
    fn an_address_saves_the_look_up_of_a_name() {
        let s = settings("postgresql://u@db.example/d?hostaddr=10.0.0.1").unwrap();
        assert_eq!((s.places[0].host.as_str(), s.places[0].address), ("db.example", "10.0.0.1".parse().ok()));
        assert_eq!(settings("postgresql://u@/d?hostaddr=::1").unwrap().places[0].host, "::1");
        assert!(settings("postgresql://u@a,b/d?hostaddr=10.0.0.1").is_err());
        assert!(settings("postgresql://u@a/d?hostaddr=a").is_err());
    }

    #[test]
    fn what_libpq_takes_is_taken_where_it_changes_nothing_and_named_where_it_would() {
        let with = |parameter: &str| settings(&format!("postgresql://u@h/d?{parameter}"));
        for fine in ["gssencmode=prefer", "client_encoding=utf8", "sslsni=1", "sslnegotiation=postgres"] {
            with(fine).unwrap();
        }
        assert!(with("gssencmode=require").unwrap_err().message().contains("disable or prefer"));
        assert!(with("sslcrl=x").unwrap_err().message().contains("libpq's parameter sslcrl"));
        assert_eq!(with("fallback_application_name=job").unwrap().application_name, "job");
        assert_eq!(with("fallback_application_name=job&application_name=x").unwrap().application_name, "x");
        assert_eq!(
            (with("ssl=true").unwrap().tls.mode, with("ssl=false").unwrap().tls.mode),
            (Mode::Require, Mode::Disable)
        );
    }

    #[test]
    fn the_driver_is_told_of_names_keepalives_and_timeouts() {
        let driver = |parameters: &str| {
            let s = settings(&format!("postgresql://u@h/d{parameters}")).unwrap();
            s.driver(&s.places[0], SslMode::Prefer)
        };
        let plain = driver("");
        assert_eq!(plain.get_application_name(), Some("dxt"));
        assert!(plain.get_keepalives() && plain.get_keepalives_idle() == Duration::from_secs(60));
        assert_eq!(
            (plain.get_keepalives_interval(), plain.get_keepalives_retries()),
            (Some(Duration::from_secs(10)), Some(6))
        );
        assert_eq!((plain.get_tcp_user_timeout(), plain.get_options()), (None, None));
        let said = driver(
            "?keepalives=0&keepalives_idle=5&keepalives_count=2&tcp_user_timeout=700&options=-c%20geqo%3Doff&application_name=n",
        );
        assert!(!said.get_keepalives() && said.get_keepalives_retries() == Some(2));
        assert_eq!(
            (said.get_keepalives_idle(), said.get_tcp_user_timeout()),
            (Duration::from_secs(5), Some(&Duration::from_millis(700)))
        );
        assert_eq!((said.get_options(), said.get_application_name()), (Some("-c geqo=off"), Some("n")));
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
        assert_eq!((s.location().as_str(), s.user.as_str()), ("h:7/me", "me"));
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
    fn sslmode_is_one_of_libpqs_and_strict_with_the_systems_roots() {
        for (said, mode) in [
            ("", Mode::Prefer),
            ("?sslmode=disable", Mode::Disable),
            ("?ssl=require", Mode::Require),
            ("?sslmode=verify-ca", Mode::VerifyCa),
            ("?sslrootcert=system", Mode::VerifyFull),
        ] {
            assert_eq!(settings(&format!("postgresql://u@h/d{said}")).unwrap().tls.mode, mode, "{said}");
        }
        assert_eq!(settings("postgresql://u@h/d?sslmode=requir").unwrap_err().hint(), Some("did you mean require?"));
        assert!(settings("postgresql://u@h/d?sslmode=require&sslrootcert=system").is_err());
    }

    #[test]
    fn several_hosts_have_one_port_or_one_each() {
        assert_eq!(settings("postgresql://u@a:1,[::1],c/d").unwrap().location(), "a:1,[::1]:5432,c:5432/d");
        assert_eq!(settings("postgresql://u@a,b/d?port=7").unwrap().location(), "a:7,b:7/d");
        assert!(settings("postgresql://u@a,b,c/d?port=7,8").is_err());
        let wanted = settings("postgresql://u@a,b/d?target_session_attrs=prefer-standby").unwrap().wanted;
        assert_eq!(wanted.rounds(), [Wanted::Standby, Wanted::Any]);
        assert!(
            settings("postgresql://u@a/d?target_session_attrs=master").unwrap_err().hint().unwrap().contains("primary")
        );
    }

    #[test]
    fn times_of_zero_are_without_end() {
        let s = settings("postgresql://u@h/d?read_timeout=0&connect_timeout=0").unwrap();
        assert!(s.read_timeout.is_none() && s.connect_timeout.as_secs() > 1 << 30);
        assert_eq!(settings("postgresql://u@h/d").unwrap().read_timeout, Some(Duration::from_secs(300)));
        assert!(settings("postgresql://u@h/d?read_timeout=soon").is_err());
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
