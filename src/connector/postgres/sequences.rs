//! Sequences that the target's columns own: moved past the keys that a load brought.

use super::catalog::{Relation, get};
use super::client::Session;
use super::dialect::{PostgresDialect, quote_text};
use super::statements::render;
use crate::connector::LoadSpec;
use crate::connector::sql::Dialect;
use crate::error::Result;

const SEQUENCES: &str = include_str!("../../../sql/postgres/sequences.sql");
const KEY: &str = include_str!("../../../sql/postgres/sequence_key.sql");
const MOVE: &str = include_str!("../../../sql/postgres/sequence_move.sql");

/// A sequence of a serial or identity column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) column: String,
    /// Quoted, with its schema.
    pub(super) name: String,
    pub(super) increment: i64,
    pub(super) least: i64,
    pub(super) greatest: i64,
    /// Whether this user may look at it and set it.
    pub(super) ours: bool,
}

/// The statements that move one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    sequence: String,
    column: String,
    ours: bool,
    /// Asks for the last key.
    pub(super) key: String,
    /// Takes it.
    pub(super) set: String,
}

/// The sequences that columns of a table own.
pub(super) async fn owned(session: &Session, oid: u32, doing: &str) -> Result<Vec<Sequence>> {
    let rows = session.rows(SEQUENCES, &[&oid], doing).await?;
    rows.iter()
        .map(|row| {
            Ok(Sequence {
                column: get(row, 0)?,
                name: get(row, 1)?,
                increment: get(row, 2)?,
                least: get(row, 3)?,
                greatest: get(row, 4)?,
                ours: get(row, 5)?,
            })
        })
        .collect()
}

/// The moves of those whose columns the load brings.
pub(super) fn moves(target: &str, relation: &Relation, spec: &LoadSpec) -> Vec<Move> {
    let brought = |sequence: &&Sequence| spec.schema.field(&sequence.column).is_some();
    relation.sequences.iter().filter(brought).map(|sequence| Move::new(target, sequence)).collect()
}

impl Move {
    fn new(target: &str, sequence: &Sequence) -> Self {
        let column = PostgresDialect::default().quote(&sequence.column);
        let name = quote_text(&sequence.name).unwrap_or_default();
        let (last, round, before) = if sequence.increment < 0 { ("min", "ceil", ">") } else { ("max", "floor", "<") };
        let (least, greatest) = (sequence.least.to_string(), sequence.greatest.to_string());
        let values = [
            ("target", target),
            ("column", column.as_str()),
            ("sequence", sequence.name.as_str()),
            ("name", name.as_str()),
            ("last", last),
            ("round", round),
            ("before", before),
            ("least", least.as_str()),
            ("greatest", greatest.as_str()),
        ];
        Self {
            sequence: sequence.name.clone(),
            column: sequence.column.clone(),
            ours: sequence.ours,
            key: render(KEY, &values),
            set: render(MOVE, &values),
        }
    }

    /// For people; none where the sequence is left alone.
    pub(super) fn statements(&self) -> Vec<String> {
        if self.ours { vec![self.key.clone(), self.set.clone()] } else { Vec::new() }
    }

    /// Moves the sequence, in the load's transaction. What `setval` does stays when that is rolled back, and does no
    /// harm: numbers are left out, as they are by any insert that fails.
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        if !self.ours {
            tracing::warn!(
                sequence = self.sequence,
                column = self.column,
                "the sequence stays where it is, and may give keys that the load brought: this user lacks SELECT and UPDATE on it"
            );
            return Ok(());
        }
        let doing = format!("moving the sequence {} past the greatest key", self.sequence);
        let key: Option<i64> = session.value(&self.key, &[], &doing).await?;
        if let Some(key) = key {
            session.rows(&self.set, &[&key], &doing).await?;
        }
        Ok(())
    }
}
