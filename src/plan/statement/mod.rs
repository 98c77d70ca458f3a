//! Statements of ad-hoc SQL: a text is read as a whole, then planned and run one statement after the other.
//!
//! ```text
//! SQL ─ read ─▶ Parsed ─ check ─▶ may it run at all? ─ plan ─▶ Rows    SELECT, EXPLAIN, SHOW, DESCRIBE
//!                                                              Change  INSERT, COPY: one load, by the sinks of streams
//!                                                              Done    CREATE VIEW, SET: of the session alone
//! ```
//!
//! What changes data is planned here and not by DataFusion, whose INSERT casts by position and lossily, and whose COPY may
//! leave half a file behind: a change is a load, with strict casts, counted, and committed as a whole or not at all.

mod change;
mod copy;
mod insert;
mod read;
mod session;
mod show;

use std::sync::Arc;

use datafusion::common::format::ExplainStatementOptions;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{LogicalPlan, PlanType, ToStringifiedPlan};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, ExplainStatement, Statement as Ast};
use datafusion::sql::sqlparser::ast;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::catalog::Names;
use super::{params, rewrite};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Params;

pub use change::Change;
pub use read::{Parsed, read};

/// What statements may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Change data, too.
    Write,
}

/// A statement that is ready to run.
pub enum Statement {
    /// It gives rows. The plan of an EXPLAIN ANALYZE may be that of a change, which is made when it runs.
    Rows(LogicalPlan),
    /// It changes data.
    Change(Change),
    /// It was done at once and concerns this session alone. For people: what was done.
    Done(String),
}

/// Plans a statement within a context that an [`Engine`](super::Engine) has made. `cancel` ends a change before its commit.
///
/// # Errors
/// Configuration: it may not run, or does not hold together. Otherwise as looking at what it names fails.
pub async fn plan(
    context: &SessionContext,
    statement: Parsed,
    access: Access,
    params: &Params,
    cancel: &CancellationToken,
) -> Result<Statement> {
    statement.check(access)?;
    let planner = Planner { context, names: Names::of(context)?, params, cancel };
    match statement.ast {
        Ast::Statement(inner) => match *inner {
            ast::Statement::Insert(insert) => Ok(Statement::Change(planner.insert(insert).await?)),
            ast::Statement::CreateView(view) => planner.create_view(view).await.map(Statement::Done),
            ast::Statement::Drop { names, if_exists, .. } => planner.drop_views(names, if_exists).map(Statement::Done),
            set @ ast::Statement::Set(_) => planner.set(Ast::Statement(Box::new(set))).await.map(Statement::Done),
            other => planner.rows(Ast::Statement(Box::new(other))).await.map(Statement::Rows),
        },
        Ast::CopyTo(copy) => Ok(Statement::Change(planner.copy(copy).await?)),
        reset @ Ast::Reset(_) => planner.set(reset).await.map(Statement::Done),
        other => planner.rows(other).await.map(Statement::Rows),
    }
}

/// What a statement is planned with.
struct Planner<'a> {
    context: &'a SessionContext,
    names: Names,
    /// What `$name` means in a query.
    params: &'a Params,
    cancel: &'a CancellationToken,
}

impl Planner<'_> {
    /// The plan of a statement that gives rows. Boxed, for EXPLAIN has a statement within.
    fn rows(&self, statement: Ast) -> BoxFuture<'_, Result<LogicalPlan>> {
        async move {
            match statement {
                Ast::Explain(ExplainStatement { options, statement }) => {
                    let inner = self.explained(*statement).await?;
                    self.explain(options, inner).await
                }
                Ast::Statement(inner) => match *inner {
                    ast::Statement::ShowTables { show_options, .. } => self.show_tables(show_options).await,
                    ast::Statement::ShowViews { show_options, .. } => self.show_views(show_options).await,
                    ast::Statement::ShowSchemas { show_options, .. } => self.show_schemas(show_options).await,
                    ast::Statement::ShowCatalogs { show_options, .. }
                    | ast::Statement::ShowDatabases { show_options, .. } => self.show_catalogs(show_options),
                    ast::Statement::ShowColumns { show_options, full, extended } => {
                        self.show_columns(show_options, full || extended).await
                    }
                    ast::Statement::ExplainTable { table_name, .. } => self.describe_table(table_name).await,
                    // Only DESCRIBE comes so: EXPLAIN is the parser's own.
                    ast::Statement::Explain { statement, .. } => {
                        let plan = self.select(Ast::Statement(statement)).await?;
                        self.describe_plan(&plan)
                    }
                    other => self.select(Ast::Statement(Box::new(other))).await,
                },
                other => self.select(other).await,
            }
        }
        .boxed()
    }

    /// The plan that an EXPLAIN shows.
    async fn explained(&self, statement: Ast) -> Result<LogicalPlan> {
        match statement {
            Ast::CopyTo(copy) => Ok(self.copy(copy).await?.plan),
            Ast::Statement(inner) => match *inner {
                ast::Statement::Insert(insert) => Ok(self.insert(insert).await?.plan),
                other => self.rows(Ast::Statement(Box::new(other))).await,
            },
            other => self.rows(other).await,
        }
    }

    /// EXPLAIN of a plan: that of DataFusion, with this plan in the place of one that it has made.
    async fn explain(&self, options: ExplainStatementOptions, plan: LogicalPlan) -> Result<LogicalPlan> {
        let mut dummy = DFParser::parse_sql("SELECT 1")?;
        let statement = dummy.pop_front().ok_or_else(|| Error::new(ErrorKind::Pipeline, "no statement to explain"))?;
        let explain = Ast::Explain(ExplainStatement { options, statement: Box::new(statement) });
        match self.context.state().statement_to_plan(explain).await? {
            LogicalPlan::Explain(mut explain) => {
                explain.stringified_plans = vec![plan.to_stringified(PlanType::InitialLogicalPlan)];
                explain.plan = Arc::new(plan);
                Ok(LogicalPlan::Explain(explain))
            }
            LogicalPlan::Analyze(mut analyze) => {
                analyze.input = Arc::new(plan);
                Ok(LogicalPlan::Analyze(analyze))
            }
            _ => Err(Error::new(ErrorKind::Pipeline, "EXPLAIN has another plan than expected")),
        }
    }

    /// The plan of what only reads.
    async fn select(&self, statement: Ast) -> Result<LogicalPlan> {
        let plan = params::plan_statement(self.context, statement, self.params, None).await?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        options.verify_plan(&plan).map_err(|e| {
            Error::new(ErrorKind::Configuration, "the statement would change something within a query")
                .with_source(e)
                .with_hint("INSERT INTO … SELECT and COPY … TO change data; a SELECT only reads")
        })?;
        Ok(rewrite::in_plan(plan)?)
    }

    /// The plan of a query.
    async fn query(&self, query: Box<ast::Query>) -> Result<LogicalPlan> {
        self.select(Ast::Statement(Box::new(ast::Statement::Query(query)))).await
    }
}
