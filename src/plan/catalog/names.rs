//! What a name of SQL stands for, and the look at it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::catalog::TableProvider;
use datafusion::common::{ResolvedTableReference, TableReference};
use datafusion::prelude::SessionContext;

use super::information::Information;
use super::{BUFFERS, Catalogs, DEFAULT_CATALOG, DEFAULT_SCHEMA, INFORMATION};
use crate::buffer::{Buffer, Committed};
use crate::connector::file::FileConnector;
use crate::connector::{Addressing, Connector, Dataset, ExtractRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtSchema, RelationName};
use crate::plan::Engine;

/// What a name of SQL stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A relation or file of a connection.
    Relation { connection: String, dataset: Dataset },
    /// A file, a glob or a folder by its path or URL.
    File(String),
    /// A buffer. The stream's name may tell a run behind `@`.
    Buffer { pipeline: String, stream: String },
    /// A view of the session.
    View(String),
    /// A table of `information_schema`.
    Information(String),
}

/// What is there.
pub(crate) struct Found {
    /// The table.
    pub provider: Arc<dyn TableProvider>,
    /// Its columns, with native types and a key where the system tells them.
    pub schema: DxtSchema,
}

/// The names of one context: those of its engine, and the views of the session.
#[derive(Clone)]
pub(crate) struct Names {
    pub engine: Arc<Engine>,
    pub views: Arc<Views>,
}

impl Names {
    /// The names of an engine, without a view.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, views: Arc::default() }
    }

    /// Those of a context that an engine has made.
    ///
    /// # Errors
    /// Pipeline: it was made by something else.
    pub fn of(context: &SessionContext) -> Result<Self> {
        let state = context.state();
        let catalogs = state.catalog_list().downcast_ref::<Catalogs>();
        let foreign = || Error::new(ErrorKind::Pipeline, "the context is none that an engine of dxt has made");
        Ok(catalogs.ok_or_else(foreign)?.names.clone())
    }

    /// The catalogs, in order of name.
    pub fn catalogs(&self) -> Vec<String> {
        let with_schemas = |c: &&Arc<dyn Connector>| c.capabilities().addressing == Addressing::SchemasAndTables;
        let connections = self.engine.connectors().filter(with_schemas).map(|c| c.name().to_string());
        let buffers = self.engine.buffer().map(|_| BUFFERS.to_string());
        let mut names: Vec<String> = connections.chain(buffers).chain([DEFAULT_CATALOG.to_string()]).collect();
        names.sort();
        names
    }

    /// The three parts of a name.
    pub fn full(name: TableReference) -> ResolvedTableReference {
        name.resolve(DEFAULT_CATALOG, DEFAULT_SCHEMA)
    }

    /// What a name stands for. Asks nobody whether it is there.
    ///
    /// # Errors
    /// Configuration: there is no such connection. Schema: a connection has no schemas, or a bare name is neither a view
    /// nor a path.
    pub fn place(&self, name: &ResolvedTableReference) -> Result<Place> {
        let (catalog, schema, table) = (&*name.catalog, &*name.schema, name.table.to_string());
        match (catalog, schema) {
            (DEFAULT_CATALOG, DEFAULT_SCHEMA) if self.views.has(&table) => Ok(Place::View(table)),
            (DEFAULT_CATALOG, DEFAULT_SCHEMA) if table.contains(['/', '.']) => Ok(Place::File(table)),
            (DEFAULT_CATALOG, DEFAULT_SCHEMA) => Err(self.no_table(&table)),
            (DEFAULT_CATALOG, INFORMATION) => Ok(Place::Information(table)),
            (DEFAULT_CATALOG, connection) => {
                let files = self.engine.connector(connection)?.capabilities().addressing == Addressing::Files;
                let dataset = if files { Dataset::Path(table) } else { relation([table]) };
                Ok(Place::Relation { connection: connection.to_string(), dataset })
            }
            (BUFFERS, pipeline) => Ok(Place::Buffer { pipeline: pipeline.to_string(), stream: table }),
            (connection, schema) => {
                if self.engine.connector(connection)?.capabilities().addressing != Addressing::SchemasAndTables {
                    let text = format!("{connection} has no schemas, and {connection}.{schema}.{table} names one");
                    let hint = format!("name its table in two parts, such as {connection}.\"{table}\"");
                    return Err(Error::new(ErrorKind::Schema, text).with_hint(hint));
                }
                Ok(Place::Relation { connection: connection.to_string(), dataset: relation([schema.into(), table]) })
            }
        }
    }

    fn no_table(&self, name: &str) -> Error {
        let known: Vec<&str> = self.engine.connectors().map(|c| c.name()).collect();
        Error::new(ErrorKind::Schema, format!("there is no table {name}")).with_hint(format!(
            "name it with its connection (of {}), or put a file's path into quotes: 'data/{name}.parquet'",
            if known.is_empty() { "none".to_string() } else { known.join(", ") }
        ))
    }

    /// The columns of what a name stands for. Those of a buffer are in its manifest: its files are not looked at.
    ///
    /// # Errors
    /// As for [`Names::look`].
    pub async fn columns(&self, place: &Place) -> Result<DxtSchema> {
        let Place::Buffer { pipeline, stream } = place else { return Ok(self.look(place).await?.schema) };
        let buffer = self.engine.buffer().ok_or_else(|| no_buffer(pipeline, stream))?;
        Ok(committed(buffer.as_ref(), pipeline, stream).await?.manifest.header.schema)
    }

    /// Looks at what a name stands for. Reads metadata only (a CSV's types need its text).
    ///
    /// # Errors
    /// Schema, buffer: there is none. Connection, extractor, type mapping: as the connector says.
    pub async fn look(&self, place: &Place) -> Result<Found> {
        match place {
            Place::Relation { connection, dataset } => {
                let connector = self.engine.connector(connection)?;
                let looked = connector.extractor(&ExtractRequest::new(dataset.clone())).await;
                let extractor = looked.map_err(|e| e.context(format!("table {connection}.{dataset}")))?;
                Ok(Found { provider: extractor.provider(), schema: extractor.schema().clone() })
            }
            Place::File(path) => {
                let connector = FileConnector::local("files", self.engine.base_dir())?;
                let extractor = connector.extractor(&ExtractRequest::new(Dataset::Path(path.clone()))).await?;
                Ok(Found { provider: extractor.provider(), schema: extractor.schema().clone() })
            }
            Place::Buffer { pipeline, stream } => {
                let buffer = self.engine.buffer().ok_or_else(|| no_buffer(pipeline, stream))?;
                let committed = committed(buffer.as_ref(), pipeline, stream).await?;
                let schema = committed.manifest.header.schema.clone();
                Ok(Found { provider: buffer.read(&committed).await?, schema })
            }
            Place::View(name) => {
                let provider = self.views.get(name).ok_or_else(|| self.no_table(name))?;
                let schema = DxtSchema::from_arrow(&provider.schema())?;
                Ok(Found { provider, schema })
            }
            Place::Information(name) => {
                let provider = Information::table(self, name).await?;
                let schema = DxtSchema::from_arrow(&provider.schema())?;
                Ok(Found { provider, schema })
            }
        }
    }
}

fn relation<const N: usize>(parts: [String; N]) -> Dataset {
    Dataset::Relation(RelationName { parts: parts.into() })
}

fn no_buffer(pipeline: &str, stream: &str) -> Error {
    let text = format!("there is no committed buffer of {pipeline}.{stream}");
    Error::new(ErrorKind::Buffer, text).with_hint(
        "`dxt extract` makes one; `dxt run` keeps it with `buffer: {persist: true}`; names with upper case stand in \
         double quotes",
    )
}

/// The buffer of a stream: the newest, or that of the run behind `@`, which no stream has in its own name.
async fn committed(buffer: &dyn Buffer, pipeline: &str, name: &str) -> Result<Committed> {
    let (stream, run) = name.split_once('@').map_or((name, None), |(stream, run)| (stream, Some(run)));
    let mut found = buffer.committed(pipeline, stream).await?;
    let Some(run) = run else {
        return found.into_iter().next().ok_or_else(|| no_buffer(pipeline, stream));
    };
    if found.is_empty() {
        return Err(no_buffer(pipeline, stream));
    }
    // Without quotes SQL knows no hyphens within a name, and no upper case.
    let plain = |id: &str| id.replace('-', "").to_lowercase();
    let wanted = plain(run);
    let of_run = |id: &str| id == run || (!wanted.is_empty() && plain(id).starts_with(&wanted));
    let runs: Vec<String> = found.iter().map(|c| c.id.run_id.clone()).collect();
    found.retain(|c| of_run(&c.id.run_id));
    if let Some(exact) = found.iter().position(|c| c.id.run_id == run) {
        return Ok(found.swap_remove(exact));
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => {
            let text = format!("several committed buffers of {pipeline}.{stream} are of runs that begin with {run}");
            Err(Error::new(ErrorKind::Buffer, text).with_hint(format!("write more of the id: {}", runs.join(", "))))
        }
        (None, _) => {
            let text = format!("there is no committed buffer of {pipeline}.{stream} by run {run}");
            let hint = format!("committed runs, the newest first: {}", runs.join(", "));
            Err(Error::new(ErrorKind::Buffer, text).with_hint(hint))
        }
    }
}

/// The views of a session, by name.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<BTreeMap<String, Arc<dyn TableProvider>>>);

impl Views {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn TableProvider>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All names in order.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.lock().get(name).cloned()
    }

    /// Adds one; gives the one whose place it takes.
    pub fn put(&self, name: String, view: Arc<dyn TableProvider>) -> Option<Arc<dyn TableProvider>> {
        self.lock().insert(name, view)
    }

    /// Removes one, and gives it.
    pub fn remove(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.lock().remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{BufferId, BufferStaging, Header, MemoryBuffer};
    use crate::connector::Registry;
    use crate::model::{ConnectionConfig, DxtField, DxtType};
    use crate::plan::sink::Staging;

    fn names(urls: &[(&str, &str)], buffer: Option<Arc<dyn Buffer>>) -> Names {
        let mut configs: Vec<_> = urls.iter().map(|(name, url)| ConnectionConfig::from_url(*name, url, "/")).collect();
        let registry = Registry::builtin();
        for config in &mut configs {
            config.kind = registry.factory(&config.kind).unwrap().kind.to_string();
        }
        Names::new(Arc::new(Engine::new(&registry, &configs, buffer, "/").unwrap()))
    }

    #[test]
    fn names_of_one_two_and_three_parts_stand_for_what_their_connection_is() {
        let names = names(&[("shop", "postgresql://u@h/d"), ("db", "sqlite:///t.db"), ("lake", "file:///lake")], None);
        let place = |name: &str| names.place(&Names::full(name.into()));
        let relation = |connection: &str, parts: &[&str]| Place::Relation {
            connection: connection.into(),
            dataset: Dataset::Relation(RelationName { parts: parts.iter().map(|p| p.to_string()).collect() }),
        };
        assert_eq!(place("shop.public.t").unwrap(), relation("shop", &["public", "t"]));
        assert_eq!(place("shop.t").unwrap(), relation("shop", &["t"]));
        assert_eq!(place("db.t").unwrap(), relation("db", &["t"]));
        let file = Place::Relation { connection: "lake".into(), dataset: Dataset::Path("a/b.csv".into()) };
        assert_eq!(place("lake.\"a/b.csv\"").unwrap(), file);
        assert_eq!(place("\"a/b.csv\"").unwrap(), Place::File("a/b.csv".into()));
        let buffer = Place::Buffer { pipeline: "p".into(), stream: "s".into() };
        assert_eq!(place("buffer.p.s").unwrap(), buffer);
        assert_eq!(place("information_schema.tables").unwrap(), Place::Information("tables".into()));
        assert_eq!(names.catalogs(), ["dxt", "shop"]);
    }

    #[test]
    fn a_name_that_stands_for_nothing_says_what_would() {
        let names = names(&[("shop", "postgresql://u@h/d"), ("db", "sqlite:///t.db")], None);
        let hint = |name: &str| {
            let error = names.place(&Names::full(name.into())).unwrap_err();
            format!("{error} {}", error.hint().unwrap_or_default())
        };
        assert!(hint("orders").contains("of db, shop"), "{}", hint("orders"));
        assert!(hint("shpo.public.t").contains("did you mean shop?"), "{}", hint("shpo.public.t"));
        assert!(hint("db.main.t").contains("db has no schemas"), "{}", hint("db.main.t"));
    }

    #[tokio::test]
    async fn a_run_is_found_by_its_id_or_as_much_of_it_as_only_it_has() {
        let buffer: Arc<dyn Buffer> = Arc::new(MemoryBuffer::default());
        let runs = ["0195ab12-0000-7000-8000-000000000001", "0195ab12-1111-7000-8000-000000000002"];
        for run in runs {
            let header = Header::new(crate::DxtSchema::new(vec![DxtField::new("n", DxtType::Int64)]), "x");
            let staging = BufferStaging::new(buffer.clone(), BufferId::new("p", "s", run), header, Arc::default());
            let mut load = staging.begin().await.unwrap();
            load.seal().await.unwrap();
            load.commit().await.unwrap();
        }
        let run = async |name: &str| committed(buffer.as_ref(), "p", name).await.map(|c| c.id.run_id);
        assert_eq!(run("s").await.unwrap(), runs[1]);
        for name in [format!("s@{}", runs[0]), "s@0195ab120000".into(), "s@0195AB12-0000".into()] {
            assert_eq!(run(&name).await.unwrap(), runs[0], "{name}");
        }
        let several = run("s@0195ab12").await.unwrap_err();
        assert!(several.to_string().starts_with("several") && several.hint().unwrap().contains(runs[0]), "{several:?}");
        for none in ["s@", "s@ffff", "t@0195ab120000", "t"] {
            assert_eq!(run(none).await.unwrap_err().kind(), ErrorKind::Buffer, "{none}");
        }
    }
}
