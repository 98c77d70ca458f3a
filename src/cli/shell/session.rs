//! What runs the statements of a shell. This is the one place that says what a statement may do.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use tokio_util::sync::CancellationToken;

use crate::buffer;
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BufferConfig, ConnectionConfig, Params};
use crate::plan::statement::{self, Access, Parsed, Statement as Planned};
use crate::plan::{Engine, QUERY_ROWS, Resources, physical_plan};

/// What all statements of a shell may name, and the bounds of each.
#[derive(Clone)]
pub struct Session {
    pub connections: Vec<ConnectionConfig>,
    pub buffer: BufferConfig,
    /// Where paths start.
    pub here: PathBuf,
    pub resources: Resources,
    pub access: Access,
    /// Statements that hold for those after them: views, settings.
    pub lasting: Vec<String>,
}

/// What a statement gives.
pub enum Outcome {
    /// Rows, as they come.
    Rows(SendableRecordBatchStream),
    /// It changed data, and what.
    Changed(String),
    /// It holds for the statements after it, and what it did.
    Lasts(String),
}

impl Session {
    /// An engine of its own, with nothing that was opened for another. A registry keeps what it knows of its systems for
    /// as long as one run, such as the snapshot of a database: the next statement has to see what others have committed
    /// since.
    ///
    /// # Errors
    /// Configuration: a connection's fields or options are wrong, or the memory limit is too small.
    pub fn engine(&self) -> Result<Arc<Engine>> {
        let buffer = buffer::open(&self.buffer, &self.connections)?;
        let engine = Engine::new(&Registry::builtin(), &self.connections, buffer, &self.here)?;
        Ok(Arc::new(engine.with_resources(&self.resources)?))
    }

    /// Begins a statement. Reaches nothing yet.
    ///
    /// # Errors
    /// As [`Session::engine`].
    pub fn begin(&self) -> Result<Statement> {
        Ok(Statement { engine: self.engine()?, session: self.clone() })
    }
}

/// One statement, to its end.
pub struct Statement {
    engine: Arc<Engine>,
    session: Session,
}

impl Statement {
    /// Plans the statement, and begins to run it; a change is made. Dropping the future or the rows ends it, on the systems'
    /// side, too, but for a change: `cancel` ends that before its commit.
    ///
    /// # Errors
    /// Configuration: it does not parse, or may not run. Schema and the like: it cannot be planned. As a change fails.
    pub async fn execute(&self, sql: &str, cancel: &CancellationToken) -> Result<Outcome> {
        let context = self.engine.query_context(QUERY_ROWS);
        let statement = one(sql)?;
        for earlier in &self.session.lasting {
            // A view of a system that is gone is missed by who names it.
            if let Err(error) = self.plan(&context, one(earlier)?, cancel).await {
                tracing::warn!(error = %error, statement = earlier, "what an earlier statement made is not there");
            }
        }
        match self.plan(&context, statement, cancel).await? {
            Planned::Rows(plan) => Ok(Outcome::Rows(physical_plan(&context, &plan).await?.rows()?)),
            Planned::Change(change) => {
                let counts = change.run(&context).await?;
                Ok(Outcome::Changed(change.outcome(&counts)))
            }
            Planned::Done(what) => Ok(Outcome::Lasts(what)),
        }
    }

    async fn plan(&self, context: &SessionContext, statement: Parsed, cancel: &CancellationToken) -> Result<Planned> {
        statement::plan(context, statement, self.session.access, &Params::new(), cancel).await
    }

    /// Ends what it has opened, and waits for that.
    pub async fn end(self) {
        self.engine.close().await;
    }
}

/// The one statement of a text that has been split.
fn one(sql: &str) -> Result<Parsed> {
    let mut all = statement::read(sql)?;
    match (all.pop(), all.is_empty()) {
        (Some(statement), true) => Ok(statement),
        _ => Err(Error::new(ErrorKind::Configuration, "this is not one statement")),
    }
}

/// Whether a statement changes data. One that does not parse changes nothing.
pub fn changes(sql: &str) -> bool {
    one(sql).is_ok_and(|statement| statement.changes())
}
