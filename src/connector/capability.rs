//! What a system can do, asked at validation and by the runner.

use crate::model::LoadMode;

/// How a connection's datasets are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// By path: `events/*.parquet`.
    Files,
    /// `table` in a system without schemas: a query names it `connection.table`.
    Tables,
    /// `schema.table` in a system with schemas: a query names it `connection.schema.table`.
    SchemasAndTables,
}

/// What a connector can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// How datasets are named.
    pub addressing: Addressing,
    /// Reads relations or files.
    pub read: bool,
    /// Runs SQL of its own as a source.
    pub sql: bool,
    /// Takes appended rows.
    pub append: bool,
    /// Replaces all rows at once.
    pub replace: bool,
    /// Updates rows by key.
    pub upsert: bool,
    /// Commits a load as one transaction or one atomic publish.
    pub transactional: bool,
    /// Reads one dataset in several parts at once.
    pub partitions: bool,
    /// Keeps the ids of loads in a table of its own, [`LEDGER`](super::LEDGER), in the transaction of the rows.
    pub ledger: bool,
}

impl Capabilities {
    /// Nothing at all: what a connector's own statement starts from.
    pub const NONE: Self = Self {
        addressing: Addressing::Tables,
        read: false,
        sql: false,
        append: false,
        replace: false,
        upsert: false,
        transactional: false,
        partitions: false,
        ledger: false,
    };

    /// Whether a load mode is possible at all.
    pub fn supports(&self, mode: LoadMode) -> bool {
        match mode {
            LoadMode::Append => self.append,
            LoadMode::Replace => self.replace,
            LoadMode::Upsert => self.upsert,
        }
    }

    /// The load modes by name, for messages: `append, replace`.
    pub fn modes(&self) -> String {
        let all = [LoadMode::Append, LoadMode::Replace, LoadMode::Upsert];
        let can: Vec<_> = all.iter().filter(|m| self.supports(**m)).map(|m| m.as_str()).collect();
        if can.is_empty() { "none".into() } else { can.join(", ") }
    }
}
