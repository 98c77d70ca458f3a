//! Kinds of connectors by name and URL scheme: the one table of dispatch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Capabilities, Connector, connectorx, file, mysql, postgres, sqlite};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ConnectionConfig;

/// Checks a configuration and makes a connector of it, without connecting.
pub type Make = Arc<dyn Fn(&ConnectionConfig) -> Result<Arc<dyn Connector>> + Send + Sync>;

/// Makes connectors of one kind.
#[derive(Clone)]
pub struct Factory {
    /// The kind, as in `type: postgres`.
    pub kind: &'static str,
    /// URL schemes (and other spellings of the kind) that mean it.
    pub schemes: &'static [&'static str],
    /// What its connectors can do.
    pub capabilities: Capabilities,
    /// Makes one. Connectors of one registry may share what they know of a system: a registry lives as long as a run.
    pub make: Make,
}

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factory").field("kind", &self.kind).field("schemes", &self.schemes).finish()
    }
}

/// The kinds that a run knows.
#[derive(Debug, Clone)]
pub struct Registry {
    factories: BTreeMap<&'static str, Factory>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Registry {
    /// The connectors that come with dxt.
    pub fn builtin() -> Self {
        let mut registry = Self { factories: BTreeMap::new() };
        registry.register(connectorx::factory());
        registry.register(file::factory());
        registry.register(mysql::factory());
        registry.register(postgres::factory());
        registry.register(sqlite::factory());
        registry
    }

    /// Adds a kind, or takes the place of one of the same name.
    pub fn register(&mut self, factory: Factory) {
        self.factories.insert(factory.kind, factory);
    }

    /// All kinds by name.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.factories.keys().copied().collect()
    }

    /// The factory for a kind or a URL scheme (`postgresql`, `postgresql+psycopg`).
    ///
    /// # Errors
    /// Configuration: there is none; the error lists the kinds.
    pub fn factory(&self, kind_or_scheme: &str) -> Result<&Factory> {
        let word = kind_or_scheme.split('+').next().unwrap_or_default().to_lowercase();
        let found = self.factories.values().find(|f| f.kind == word || f.schemes.contains(&word.as_str()));
        found.ok_or_else(|| {
            let known: Vec<&str> = self
                .factories
                .values()
                .flat_map(|f| std::iter::once(f.kind).chain(f.schemes.iter().copied()))
                .collect();
            let error = Error::new(ErrorKind::Configuration, format!("unknown connection type {kind_or_scheme}"));
            error.with_hint(match crate::model::nearest(&word, &known) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("known types: {}", self.kinds().join(", ")),
            })
        })
    }

    /// Makes a connector.
    ///
    /// # Errors
    /// Configuration: the kind is unknown, or a field or option of the connection is wrong.
    pub fn connect(&self, config: &ConnectionConfig) -> Result<Arc<dyn Connector>> {
        let factory = self.factory(&config.kind)?;
        (factory.make)(config).map_err(|e| e.context(format!("connection {}", config.name)))
    }
}
