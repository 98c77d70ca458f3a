//! A change of data: one load, by the plan and the sinks of a stream.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use super::Planner;
use crate::connector::{LoadCounts, Loader};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    DxtSchema, ExtractConfig, LoadConfig, LoadMode, Options, RelationName, RetryConfig, Source, SourceKind, Stream,
    Target, TargetKind,
};
use crate::plan::RunInfo;
use crate::plan::physical_plan;
use crate::plan::sink::{Watch, interrupted};
use crate::plan::stream::{self, LoadPlan};

/// The pipeline that loads of statements are part of, in the names of what they stage.
const PIPELINE: &str = "statement";

/// A change that is planned, and made when it runs.
#[derive(Debug)]
pub struct Change {
    /// The plan: `INSERT INTO target SELECT strict casts FROM …`. Its one row has the `count` of rows that came.
    pub plan: LogicalPlan,
    /// The target for people.
    pub target: String,
    /// What is done to it.
    pub mode: LoadMode,
    watch: Watch,
}

impl Change {
    /// Makes the change, and says what came of it. Cancelled before its commit it leaves the target as it was; a commit that
    /// has begun is waited for.
    ///
    /// # Errors
    /// Interrupted: it was cancelled. Otherwise as its query, its casts or its target fail; the target is as it was then.
    pub async fn run(&self, context: &SessionContext) -> Result<LoadCounts> {
        let planned = async { physical_plan(context, &self.plan).await };
        let physical = tokio::select! {
            biased;
            () = self.watch.cancel.cancelled() => return Err(interrupted()),
            planned = planned => planned?,
        };
        let mut rows = physical.execute()?;
        while let Some(batch) = rows.next().await {
            batch.map_err(|error| in_query(error.into()))?;
        }
        Ok(self.watch.progress.observed().counts.unwrap_or_default())
    }

    /// What came of it, for people: `3 rows inserted into warehouse.orders`.
    pub fn outcome(&self, counts: &LoadCounts) -> String {
        let rows = |count: u64, what: &str| format!("{count} row{} {what}", if count == 1 { "" } else { "s" });
        match self.mode {
            LoadMode::Append => format!("{} into {}", rows(counts.inserted, "inserted"), self.target),
            LoadMode::Replace => format!("{} to {}", rows(counts.staged, "written"), self.target),
            LoadMode::Upsert => format!(
                "{}, {} updated, {} unchanged in {}",
                rows(counts.inserted, "inserted"),
                counts.updated,
                counts.unchanged,
                self.target
            ),
        }
    }
}

/// How rows come into a target.
pub(super) struct Way {
    pub mode: LoadMode,
    /// Of an upsert.
    pub keys: Vec<String>,
    /// The loader's options.
    pub options: Options,
    /// Whether the load is allowed only while the target has no rows.
    pub expect_empty: bool,
}

impl Planner<'_> {
    /// A load of `select` into a target, column by column: `columns` are the target's names for those of the query.
    ///
    /// # Errors
    /// Schema, type mapping, loader: the target does not take them. Nothing is touched yet.
    pub(super) fn change(
        &self,
        select: LogicalPlan,
        columns: &[String],
        loader: Arc<dyn Loader>,
        way: Way,
        target: String,
    ) -> Result<Change> {
        // DXT types come before the names: an error of a type names the query's own column.
        let mut schema = DxtSchema::from_arrow(select.schema().as_arrow())?;
        for (field, name) in schema.fields.iter_mut().zip(columns) {
            field.name.clone_from(name);
        }
        let named: Vec<Expr> = columns.iter().enumerate().map(|(at, name)| column(&select, at).alias(name)).collect();
        let input = LogicalPlanBuilder::from(select).project(named)?.build()?;
        let mut load: LoadPlan =
            stream::load(&stream(&way), loader, &schema, None, &RunInfo::named(PIPELINE)).map_err(in_statement)?;
        load.spec.expect_empty = way.expect_empty;
        stream::guard_itself(&input, &load)?;
        let watch = Watch { cancel: self.cancel.clone(), ..Watch::default() };
        Ok(Change { plan: load.insert(input, watch.clone())?, target, mode: way.mode, watch })
    }
}

fn column(plan: &LogicalPlan, at: usize) -> Expr {
    Expr::Column(Column::from(plan.schema().qualified_field(at)))
}

/// A value that does not fit is shaped in the query, as there are no fields.
fn in_query(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Validation | ErrorKind::TypeMapping => error
            .with_hint("shape the value in the query, by round(…), CAST or coalesce(…), or alter the target's column"),
        _ => error,
    }
}

/// Streams have fields, statements have columns.
fn in_statement(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Schema | ErrorKind::TypeMapping => {
            let hint = "the columns of the query go to those of the target by their places, or by a list of names: \
                        INSERT INTO t (a, b) SELECT …; a cast in the query gives a column another type";
            match error.hint() {
                Some(more) => {
                    let hint = format!("{hint} ({more})");
                    error.with_hint(hint)
                }
                None => error.with_hint(hint),
            }
        }
        _ => error,
    }
}

/// A stream that says of its load what a statement does: streams and statements are loaded by the same code.
fn stream(way: &Way) -> Stream {
    let (connection, options) = (String::new(), Options::new());
    Stream {
        id: PIPELINE.into(),
        description: None,
        tags: Vec::new(),
        source: Source {
            connection: connection.clone(),
            kind: SourceKind::Query(String::new()),
            options: options.clone(),
        },
        target: Target { connection, kind: TargetKind::Relation(RelationName { parts: Vec::new() }), options },
        criteria: None,
        fields: Vec::new(),
        extract: ExtractConfig::default(),
        load: LoadConfig {
            mode: way.mode,
            // The statement itself says what it does.
            mode_explicit: true,
            upsert_keys: way.keys.clone(),
            options: way.options.clone(),
            ..LoadConfig::default()
        },
        retry: RetryConfig::default(),
        position: None,
        sql_position: None,
    }
}
