//! Statements of the session alone: views, and DataFusion's settings. They change no data and are gone with the process.

use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::common::TableReference;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, Statement as PlanStatement};
use datafusion::sql::parser::Statement as Ast;
use datafusion::sql::sqlparser::ast::{CreateView, ObjectName, Statement};

use super::Planner;
use super::show::reference;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::rewrite;

/// Settings that hold up names and memory, with what is to be used instead.
const FIXED: [(&str, &str); 2] = [
    ("datafusion.catalog.", "names are looked up by dxt: name tables in full, as shop.public.orders"),
    ("datafusion.runtime.", "give --memory-limit and --temp-dir"),
];

impl Planner<'_> {
    /// CREATE [OR REPLACE] VIEW name AS SELECT …, for the statements behind it.
    pub(super) async fn create_view(&self, view: CreateView) -> Result<String> {
        let (or_replace, name) = (view.or_replace, self.view_name(view.name.clone())?);
        if self.names.views.has(&name) && !or_replace {
            let error = Error::new(ErrorKind::Configuration, format!("there is a view {name} already"));
            return Err(error.with_hint("CREATE OR REPLACE VIEW takes its place"));
        }
        // A view of this session is temporary in any case.
        let view = CreateView { temporary: false, ..view };
        let statement = Ast::Statement(Box::new(Statement::CreateView(view)));
        let plan = self.context.state().statement_to_plan(statement).await?;
        let LogicalPlan::Ddl(DdlStatement::CreateView(view)) = plan else {
            return Err(Error::new(ErrorKind::Pipeline, "CREATE VIEW has another plan than expected"));
        };
        let input = rewrite::in_plan(Arc::unwrap_or_clone(view.input))?;
        let columns = input.schema().fields();
        if let Some(twice) =
            (1..columns.len()).find(|at| columns[..*at].iter().any(|f| f.name() == columns[*at].name()))
        {
            let text = format!("two columns of the view are called {}", columns[twice].name());
            return Err(Error::new(ErrorKind::Schema, text).with_hint("give one of them another name with AS"));
        }
        self.names.views.put(name.clone(), Arc::new(ViewTable::new(input, view.definition)));
        Ok(format!("view {name} is there until this session ends"))
    }

    /// DROP VIEW [IF EXISTS] name, …
    pub(super) fn drop_views(&self, names: Vec<ObjectName>, if_exists: bool) -> Result<String> {
        let names = names.into_iter().map(|name| self.view_name(name)).collect::<Result<Vec<_>>>()?;
        if let Some(missing) = names.iter().find(|name| !if_exists && !self.names.views.has(name)) {
            let error = Error::new(ErrorKind::Schema, format!("there is no view {missing} in this session"));
            return Err(error.with_hint(match self.names.views.names() {
                known if known.is_empty() => {
                    "CREATE VIEW makes one; those of a system are dropped by its own client".into()
                }
                known => format!("views: {}", known.join(", ")),
            }));
        }
        for name in &names {
            self.names.views.remove(name);
        }
        Ok(format!("dropped: {}", names.join(", ")))
    }

    fn view_name(&self, name: ObjectName) -> Result<String> {
        match reference(name)? {
            TableReference::Bare { table } => Ok(table.to_string()),
            other => Err(Error::new(ErrorKind::Configuration, format!("{other}: views belong to the session alone"))
                .with_hint("give it a name without dots; views of a system are made by its own client")),
        }
    }

    /// SET and RESET of a setting of DataFusion's.
    pub(super) async fn set(&self, statement: Ast) -> Result<String> {
        let plan = self.context.state().statement_to_plan(statement).await?;
        let (variable, value) = match &plan {
            LogicalPlan::Statement(PlanStatement::SetVariable(set)) => (set.variable.clone(), Some(set.value.clone())),
            LogicalPlan::Statement(PlanStatement::ResetVariable(reset)) => (reset.variable.clone(), None),
            _ => return Err(Error::new(ErrorKind::Configuration, "SET takes one setting and its value")),
        };
        if let Some((_, hint)) = FIXED.iter().find(|(prefix, _)| variable.starts_with(prefix)) {
            let text = format!("{variable} cannot be set here");
            return Err(Error::new(ErrorKind::Configuration, text).with_hint(*hint));
        }
        self.context.execute_logical_plan(plan).await?;
        Ok(match value {
            Some(value) => format!("{variable} = {value}"),
            None => format!("{variable} is reset"),
        })
    }
}
