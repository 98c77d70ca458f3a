//! How a system is reached.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Options;

/// A text that is never printed: its `Debug`, `Display` and serialized forms are `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of logs from here on.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that hands it to a server.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A connection as configured: a URL or fields, and options. Both forms reach the connector as they were written,
/// with variables expanded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionConfig {
    /// The name that streams and SQL use.
    pub name: String,
    /// The connector's kind, such as `postgres`; from `type:` or the URL's scheme.
    pub kind: String,
    /// The whole URL, which may hold a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// Fields beside the URL, such as `host`, `path`, `database`; `password` and the like are read once and never printed.
    #[serde(skip)]
    pub fields: Options,
    /// The connector's options.
    #[serde(skip)]
    pub options: Options,
    /// The folder that relative paths start at: that of the file which names them.
    pub base_dir: PathBuf,
}

impl ConnectionConfig {
    /// A connection by URL; its kind is the URL's scheme until a registry resolves it.
    pub fn from_url(name: impl Into<String>, url: &str, base_dir: impl Into<PathBuf>) -> Self {
        let kind = url.split(':').next().unwrap_or_default().split('+').next().unwrap_or_default();
        Self {
            name: name.into(),
            kind: kind.to_string(),
            url: Some(Secret::new(url)),
            fields: Options::new(),
            options: Options::new(),
            base_dir: base_dir.into(),
        }
    }

    /// The connection for people: its kind, and its URL without user info, query and fragment.
    pub fn redacted(&self) -> String {
        let Some(url) = &self.url else { return self.kind.clone() };
        let text = url.reveal();
        let text = text.split(['?', '#']).next().unwrap_or_default();
        match (text.find("://"), text.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => format!("{}://{}", &text[..scheme], &text[at + 1..]),
            _ => text.to_string(),
        }
    }
}
