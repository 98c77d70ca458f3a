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
#[derive(Clone, Serialize, Deserialize)]
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

/// Of fields and options, whose values may be keys and passwords, the names alone.
impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionConfig")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("url", &self.url)
            .field("fields", &self.fields.keys().collect::<Vec<_>>())
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("base_dir", &self.base_dir)
            .finish()
    }
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
        let Some((scheme, rest)) = text.split_once("://") else {
            // No URL: what it holds is not known.
            return "***".into();
        };
        // A password may hold a `?` or `#` that should have been escaped: user info goes first, up to the last `@`.
        let rest = rest.rfind('@').map_or(rest, |at| &rest[at + 1..]);
        format!("{scheme}://{}", rest.split(['?', '#']).next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redacted_url_has_no_password_even_where_it_is_not_escaped() {
        for (url, shown) in [
            ("postgresql://me:hush@host:5432/shop?password=hush", "postgresql://host:5432/shop"),
            ("postgresql://me:hu#sh@host/shop", "postgresql://host/shop"),
            ("postgresql://me:hu?s@h@host/shop", "postgresql://host/shop"),
            ("sqlite:///./shop.db?mode=ro", "sqlite:///./shop.db"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
        ] {
            assert_eq!(ConnectionConfig::from_url("c", url, ".").redacted(), shown);
        }
    }
}
