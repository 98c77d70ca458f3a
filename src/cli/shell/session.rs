//! What runs the statements of a shell. This is the one place that says what a statement may do.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;

use crate::buffer;
use crate::cli::query::in_words;
use crate::connector::Registry;
use crate::error::Result;
use crate::model::{BufferConfig, ConnectionConfig};
use crate::plan::{Engine, Resources, physical_plan, stream};

/// Rows of a batch at most.
const BATCH: usize = 8192;

/// What all statements of a shell may name, and the bounds of each.
#[derive(Clone)]
pub struct Session {
    pub connections: Vec<ConnectionConfig>,
    pub buffer: BufferConfig,
    /// Where paths start.
    pub here: PathBuf,
    pub resources: Resources,
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
        Ok(Statement { engine: self.engine()? })
    }
}

/// One statement, to its end.
pub struct Statement {
    engine: Arc<Engine>,
}

impl Statement {
    /// Plans the statement, and begins to run it. Dropping the future or the rows ends it, on the systems' side, too.
    ///
    /// # Errors
    /// Configuration: it does not parse, or would change something. Schema and the like: it cannot be planned.
    pub async fn execute(&self, sql: &str) -> Result<SendableRecordBatchStream> {
        // Two at least: DataFusion joins by sorting only in parts.
        let partitions = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let context = self.engine.context(partitions, BATCH);
        let plan = stream::select_only(&context, sql).await?;
        let physical = physical_plan(&context, &plan).await?;
        Ok(in_words(physical.execute()?, context.runtime_env()))
    }

    /// Ends what it has opened, and waits for that.
    pub async fn end(self) {
        self.engine.close().await;
    }
}
