//! The names that SQL may use, as connections and buffers tell them: for completion, `\d` and `\l`. Everything is asked
//! for when it is needed, once a session, and apart from what statements do.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::runtime::Handle;

use crate::buffer::{Buffer, ParquetBuffer};
use crate::connector::file::FileConnector;
use crate::connector::{Addressing, Connector, Dataset, ExtractRequest, RelationInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtSchema, RelationName, nearest};
use crate::plan::Engine;

/// The catalog of buffers.
pub const BUFFER: &str = "buffer";

/// How long a Tab waits for a system; what comes later is there for the next one.
const TAB: Duration = Duration::from_millis(500);
/// How long a system that has failed is not asked again.
const AGAIN: Duration = Duration::from_secs(10);

/// A table as SQL names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Table {
    /// A table or file of a connection, or a buffer: the parts of its name, the catalog first.
    Named(Vec<String>),
    /// A file by its path or URL.
    File(String),
}

/// What a connection or the buffers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The parts of its name, the connection first.
    pub parts: Vec<String>,
    /// `table`, `view`, `csv` and the like.
    pub kind: String,
}

type Answer<T> = Shared<BoxFuture<'static, Result<Arc<T>>>>;

/// What was asked, and what came of it.
struct Asked<K, T> {
    answers: Mutex<HashMap<K, (Instant, Answer<T>)>>,
}

impl<K: Hash + Eq + Clone, T: Send + Sync + 'static> Asked<K, T> {
    fn new() -> Self {
        Self { answers: Mutex::new(HashMap::new()) }
    }

    /// The answer to a question, which is asked in the background where it was not yet, or has failed a while ago.
    fn answer(
        &self,
        handle: &Handle,
        key: &K,
        fresh: bool,
        ask: impl FnOnce() -> BoxFuture<'static, Result<T>>,
    ) -> Answer<T> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, answer)) = answers.get(key) {
            let failed = matches!(answer.peek(), Some(Err(_)));
            let running = answer.peek().is_none();
            if running || !(fresh || failed && asked.elapsed() > AGAIN) {
                return answer.clone();
            }
        }
        // A task of its own: it goes on when nobody waits for it any more.
        let task = handle.spawn(ask());
        let answer = async move {
            match task.await {
                Ok(answer) => answer.map(Arc::new),
                Err(e) => Err(Error::new(ErrorKind::Pipeline, "the names cannot be asked for").with_source(e)),
            }
        };
        let answer = answer.boxed().shared();
        answers.insert(key.clone(), (Instant::now(), answer.clone()));
        answer
    }
}

/// All names of a session.
pub struct Names {
    /// Apart from those of statements: what it asks holds up nothing, and is held up by nothing.
    engine: Arc<Engine>,
    buffers: Option<Arc<ParquetBuffer>>,
    /// Files by their paths.
    files: Arc<FileConnector>,
    functions: OnceLock<Vec<String>>,
    handle: Handle,
    listings: Asked<String, Vec<Listed>>,
    columns: Asked<Table, DxtSchema>,
}

impl Names {
    /// Asks for nothing yet. `here` is where paths start.
    ///
    /// # Errors
    /// Configuration: the folder's path is not UTF-8.
    pub fn new(engine: Arc<Engine>, buffers: Option<Arc<ParquetBuffer>>, here: &Path, handle: Handle) -> Result<Self> {
        let files = Arc::new(FileConnector::local("files", here)?);
        let (listings, columns) = (Asked::new(), Asked::new());
        Ok(Self { engine, buffers, files, functions: OnceLock::new(), handle, listings, columns })
    }

    /// The names of all functions.
    pub fn functions(&self) -> &[String] {
        self.functions.get_or_init(|| {
            let state = self.engine.context(2, 1).state();
            let all = state.scalar_functions().keys().chain(state.aggregate_functions().keys());
            let mut functions: Vec<String> = all.chain(state.window_functions().keys()).cloned().collect();
            functions.sort_unstable();
            functions.dedup();
            functions
        })
    }

    /// The first parts of names: connections, and `buffer` where there are buffers.
    pub fn catalogs(&self) -> Vec<String> {
        let connections = self.engine.connectors().map(|c| c.name().to_string());
        connections.chain(self.buffers.iter().map(|_| BUFFER.to_string())).collect()
    }

    fn connector(&self, name: &str) -> Option<&Arc<dyn Connector>> {
        self.engine.connector(name).ok()
    }

    /// What a catalog has. `fresh`: as it is now, and not as it was when it was first asked for.
    ///
    /// # Errors
    /// Configuration: there is no such catalog. Connection, connector: it cannot be reached or listed.
    pub async fn listing(&self, catalog: &str, fresh: bool) -> Result<Arc<Vec<Listed>>> {
        self.listing_answer(catalog, fresh)?.await
    }

    /// The same for a key press: nothing where the answer takes too long.
    pub fn listing_soon(&self, catalog: &str) -> Option<Arc<Vec<Listed>>> {
        self.soon(self.listing_answer(catalog, false).ok()?)
    }

    fn listing_answer(&self, catalog: &str, fresh: bool) -> Result<Answer<Vec<Listed>>> {
        let ask: BoxFuture<'static, Result<Vec<Listed>>> = match (&self.buffers, self.connector(catalog)) {
            (Some(buffers), None) if catalog == BUFFER => {
                let buffers = buffers.clone();
                async move { list_buffers(&buffers).await }.boxed()
            }
            (_, Some(connector)) => {
                let connector = connector.clone();
                async move { Ok(connector.list().await?.into_iter().filter_map(|r| listed(connector.name(), r)).collect()) }
                    .boxed()
            }
            _ => return Err(self.unknown(catalog)),
        };
        Ok(self.listings.answer(&self.handle, &catalog.to_string(), fresh, || ask))
    }

    /// The columns of a table, as they are now.
    ///
    /// # Errors
    /// Schema, extractor, buffer: it is not there or cannot be read.
    pub async fn columns(&self, table: &Table) -> Result<Arc<DxtSchema>> {
        self.columns_answer(table, true).await
    }

    /// The same for a key press: nothing where the answer takes too long.
    pub fn columns_soon(&self, table: &Table) -> Option<Arc<DxtSchema>> {
        self.soon(self.columns_answer(table, false))
    }

    fn columns_answer(&self, table: &Table, fresh: bool) -> Answer<DxtSchema> {
        self.columns.answer(&self.handle, table, fresh, || {
            let (engine, buffers, files) = (self.engine.clone(), self.buffers.clone(), self.files.clone());
            let table = table.clone();
            async move { schema(&engine, buffers.as_deref(), &files, &table).await }.boxed()
        })
    }

    /// Waits as long as somebody who has pressed a key does. Only for threads that are none of the runtime's.
    fn soon<T: Send + Sync + 'static>(&self, answer: Answer<T>) -> Option<Arc<T>> {
        self.handle.block_on(async { tokio::time::timeout(TAB, answer).await }).ok()?.ok()
    }

    /// Whether names of a catalog have a schema between it and the table; `None` where there is no such catalog.
    pub fn has_schemas(&self, catalog: &str) -> Option<bool> {
        match self.connector(catalog) {
            Some(connector) => Some(connector.capabilities().addressing == Addressing::SchemasAndTables),
            None => self.buffers.as_ref().filter(|_| catalog == BUFFER).map(|_| true),
        }
    }

    /// The error of a catalog that is not there.
    pub fn unknown(&self, catalog: &str) -> Error {
        let known = self.catalogs();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let error = Error::new(ErrorKind::Schema, format!("there is no connection {catalog}"));
        error.with_hint(match nearest(catalog, &known) {
            Some(near) => format!("did you mean {near}?"),
            None if known.is_empty() => "give one by --connection NAME=URL, or a pipeline that has some".into(),
            None => format!("there are {}", known.join(", ")),
        })
    }

    /// Ends what was opened to ask.
    pub async fn close(&self) {
        self.engine.close().await;
    }
}

fn listed(connection: &str, relation: RelationInfo) -> Option<Listed> {
    let rest = match relation.dataset {
        Dataset::Relation(name) => name.parts,
        Dataset::Path(path) => vec![path],
        Dataset::Sql(_) => return None,
    };
    Some(Listed { parts: std::iter::once(connection.to_string()).chain(rest).collect(), kind: relation.kind })
}

/// The streams that have a committed buffer.
async fn list_buffers(buffers: &ParquetBuffer) -> Result<Vec<Listed>> {
    let mut found = Vec::new();
    for (pipeline, stream) in buffers.streams().await? {
        if !buffers.committed(&pipeline, &stream).await?.is_empty() {
            found.push(Listed { parts: vec![BUFFER.into(), pipeline, stream], kind: "buffer".into() });
        }
    }
    Ok(found)
}

async fn schema(
    engine: &Engine,
    buffers: Option<&ParquetBuffer>,
    files: &FileConnector,
    table: &Table,
) -> Result<DxtSchema> {
    let parts = match table {
        Table::File(path) => {
            let looked = files.extractor(&ExtractRequest::new(Dataset::Path(path.clone()))).await?;
            return Ok(looked.schema().clone());
        }
        Table::Named(parts) => parts,
    };
    if let (Some(buffers), [BUFFER, pipeline, stream]) =
        (buffers, &parts.iter().map(String::as_str).collect::<Vec<_>>()[..])
    {
        let committed = buffers.committed(pipeline, stream).await?.into_iter().next();
        let missing = || Error::new(ErrorKind::Buffer, format!("there is no committed buffer of {pipeline}.{stream}"));
        return Ok(committed.ok_or_else(missing)?.manifest.header.schema);
    }
    let Some((connection, rest)) = parts.split_first() else {
        return Err(Error::new(ErrorKind::Schema, "a table has a name"));
    };
    let connector = engine.connector(connection)?;
    let dataset = match (connector.capabilities().addressing, rest) {
        (Addressing::Files, [path]) => Dataset::Path(path.clone()),
        (Addressing::Tables, [_]) | (Addressing::SchemasAndTables, [_, _]) => {
            Dataset::Relation(RelationName { parts: rest.to_vec() })
        }
        (addressing, _) => {
            let form = match addressing {
                Addressing::Files => format!("{connection}.\"path/of/a/file.parquet\""),
                Addressing::Tables => format!("{connection}.table"),
                Addressing::SchemasAndTables => format!("{connection}.schema.table"),
            };
            let what = RelationName { parts: parts.clone() };
            return Err(Error::new(ErrorKind::Schema, format!("{what} is no name of a table"))
                .with_hint(format!("names of {connection} have the form {form}")));
        }
    };
    let doing = || format!("table {connection}.{dataset}");
    let looked = connector.extractor(&ExtractRequest::new(dataset.clone())).await;
    Ok(looked.map_err(|e| e.context(doing()))?.schema().clone())
}
