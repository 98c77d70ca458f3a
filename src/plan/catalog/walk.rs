//! The way through all that can be named, for `information_schema`: connections, buffers, views. Whatever a query does not
//! want is left out before it is asked.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, ResolvedTableReference};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::information::{Information, Kind, column_rows, rows};
use super::names::Names;
use super::{BUFFERS, DEFAULT_CATALOG, DEFAULT_SCHEMA, INFORMATION};
use crate::buffer::Buffer;
use crate::connector::{Addressing, Connector, Dataset};
use crate::error::{Error, ErrorKind, Result};
use crate::model::DxtSchema;

/// Relations whose columns are asked for at once.
const AT_ONCE: usize = 8;
/// Relations of a batch at most.
const ROWS: usize = 1024;

/// A relation by its names in SQL.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub catalog: String,
    pub schema: String,
    pub table: String,
    /// As its system calls it: `table`, `materialized view`, `parquet`.
    pub kind: String,
    /// Of a view of the session.
    pub definition: Option<String>,
}

impl Listed {
    fn new(catalog: &str, schema: &str, table: &str, kind: &str) -> Self {
        let [catalog, schema, table, kind] = [catalog, schema, table, kind].map(str::to_string);
        Self { catalog, schema, table, kind, definition: None }
    }

    fn is_view(&self) -> bool {
        self.kind.contains("view")
    }

    /// The kind in the words of the SQL standard.
    pub fn table_type(&self) -> &'static str {
        match self.kind.as_str() {
            _ if self.is_view() => "VIEW",
            kind if kind.contains("foreign") => "FOREIGN",
            _ => "BASE TABLE",
        }
    }

    fn full(&self) -> ResolvedTableReference {
        ResolvedTableReference {
            catalog: self.catalog.as_str().into(),
            schema: self.schema.as_str().into(),
            table: self.table.as_str().into(),
        }
    }
}

/// Whether a condition is about names alone.
pub(super) fn about_names(filter: &Expr, kind: Kind) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty() && columns.iter().all(|c| kind.name_columns().contains(&c.name.as_str()))
}

/// The conditions of a query on the names that it wants.
#[derive(Debug)]
pub(super) struct Wanted {
    schema: SchemaRef,
    /// Each with the number of leading names that it needs: 1 is the catalog alone.
    conditions: Vec<(usize, Arc<dyn PhysicalExpr>)>,
    /// The one value that a name may have, where a condition says so.
    exact: Vec<Option<String>>,
}

impl Wanted {
    /// The conditions of a scan of `kind`.
    ///
    /// # Errors
    /// DataFusion's: a condition cannot be evaluated.
    pub fn new(kind: Kind, filters: &[Expr], state: &dyn Session) -> DfResult<Self> {
        let names = kind.name_columns();
        let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>();
        let schema = Arc::new(Schema::new(fields));
        let df_schema = DFSchema::try_from(schema.clone())?;
        let mut conditions = Vec::new();
        for filter in filters.iter().filter(|filter| about_names(filter, kind)) {
            let refs: HashSet<String> = filter.column_refs().iter().map(|c| c.name.clone()).collect();
            let needs = names.iter().rposition(|name| refs.contains(*name)).map_or(0, |at| at + 1);
            conditions.push((needs, state.create_physical_expr(filter.clone(), &df_schema)?));
        }
        let exact = names.iter().map(|name| filters.iter().find_map(|filter| equals(filter, name))).collect();
        Ok(Self { schema, conditions, exact })
    }

    /// Whether something of these names may be wanted. `names`: as many of catalog, schema and table as are known.
    fn may(&self, names: &[&str]) -> DfResult<bool> {
        let known = |at: usize| Arc::new(StringArray::from(vec![names.get(at).copied()])) as _;
        let batch = RecordBatch::try_new(self.schema.clone(), (0..self.schema.fields().len()).map(known).collect())?;
        for (needs, condition) in &self.conditions {
            // A condition on names behind those that are known is asked later.
            if *needs > names.len().min(self.schema.fields().len()) {
                continue;
            }
            let answer = condition.evaluate(&batch)?.into_array(1)?;
            let answer = answer.as_any().downcast_ref::<BooleanArray>().is_none_or(|a| a.is_valid(0) && a.value(0));
            if !answer {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The one relation that is wanted, where all of its names are said.
    fn only(&self) -> Option<[&str; 3]> {
        match &self.exact[..] {
            [Some(catalog), Some(schema), Some(table)] => Some([catalog, schema, table]),
            _ => None,
        }
    }
}

/// The text that a condition wants a column to have.
fn equals(filter: &Expr, column: &str) -> Option<String> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(c)) if c.name == column => {
            value.try_as_str().flatten().map(str::to_string)
        }
        _ => None,
    }
}

/// Something that is listed as a whole.
enum Origin {
    Connection(Arc<dyn Connector>),
    Buffers(Arc<dyn Buffer>),
    Session,
    Information,
}

/// The rows of one table of `information_schema`.
pub(super) struct Walk {
    way: Arc<Way>,
    schema: SchemaRef,
}

struct Way {
    names: Names,
    kind: Kind,
    wanted: Wanted,
}

impl Walk {
    /// The way to the rows of `kind` that are wanted.
    pub fn new(names: Names, kind: Kind, wanted: Wanted) -> Self {
        Self { schema: kind.schema(), way: Arc::new(Way { names, kind, wanted }) }
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Walk").field(&self.way.kind).finish()
    }
}

impl PartitionStream for Walk {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches(self.way.clone())))
    }
}

type Batches = BoxStream<'static, DfResult<RecordBatch>>;

fn batches(way: Arc<Way>) -> Batches {
    // A table that is named in full is looked up as a query would: a path need not be in any listing.
    if let (Kind::Columns, Some([catalog, schema, table])) = (way.kind, way.wanted.only()) {
        let relation = Listed::new(catalog, schema, table, "table");
        return stream::once(async move { column_rows(&relation, &way.columns(&relation).await?) }).boxed();
    }
    let listed = stream::iter(way.origins()).then(move |origin| {
        let way = way.clone();
        async move { Ok((way.list(&origin).await?, way)) }
    });
    let listed = listed.map_err(|error: Error| DataFusionError::from(error));
    listed.map_ok(|(relations, way)| of_relations(relations, way)).try_flatten().boxed()
}

fn of_relations(relations: Vec<Listed>, way: Arc<Way>) -> Batches {
    if way.kind != Kind::Columns {
        let chunks: Vec<DfResult<RecordBatch>> = relations.chunks(ROWS).map(|chunk| rows(way.kind, chunk)).collect();
        return stream::iter(chunks).boxed();
    }
    let looked = stream::iter(relations).map(move |relation| {
        let way = way.clone();
        async move {
            match way.columns(&relation).await {
                Ok(schema) => Some(column_rows(&relation, &schema)),
                // The system itself may be gone: its other tables would fail, too, each after a wait of its own.
                Err(error) if error.kind() == ErrorKind::Connection => Some(Err(error.into())),
                Err(error) => {
                    let name = format!("{}.{}.{}", relation.catalog, relation.schema, relation.table);
                    tracing::warn!(table = name, error = %error, "its columns cannot be told, and are left out");
                    None
                }
            }
        }
    });
    looked.buffered(AT_ONCE).filter_map(|batch| async move { batch }).boxed()
}

impl Way {
    fn origins(&self) -> Vec<Origin> {
        let engine = &self.names.engine;
        let mut origins: Vec<Origin> = engine.connectors().cloned().map(Origin::Connection).collect();
        origins.extend(engine.buffer().cloned().map(Origin::Buffers));
        origins.extend([Origin::Session, Origin::Information]);
        origins
    }

    async fn columns(&self, relation: &Listed) -> Result<DxtSchema> {
        self.names.columns(&self.names.place(&relation.full())?).await
    }

    /// The relations of an origin that are wanted, by name; of schemata, one for each schema.
    async fn list(&self, origin: &Origin) -> Result<Vec<Listed>> {
        let mut found = match origin {
            Origin::Connection(connector) => self.list_connection(connector.as_ref()).await?,
            Origin::Buffers(buffer) => self.list_buffers(buffer.as_ref()).await?,
            Origin::Session => self.list_views(),
            Origin::Information => {
                let tables = Information::names();
                tables.map(|name| Listed::new(DEFAULT_CATALOG, INFORMATION, name, "view")).collect()
            }
        };
        let mut kept = Vec::with_capacity(found.len());
        let mut schemas = BTreeSet::new();
        for relation in found.drain(..) {
            let new =
                self.kind != Kind::Schemata || schemas.insert((relation.catalog.clone(), relation.schema.clone()));
            let fits = self.kind != Kind::Views || (relation.is_view() && relation.schema != INFORMATION);
            if new && fits && self.wanted.may(&[&relation.catalog, &relation.schema, &relation.table])? {
                kept.push(relation);
            }
        }
        Ok(kept)
    }

    async fn list_connection(&self, connector: &dyn Connector) -> Result<Vec<Listed>> {
        let name = connector.name();
        let with_schemas = connector.capabilities().addressing == Addressing::SchemasAndTables;
        let wanted = match with_schemas {
            true => self.wanted.may(&[name])?,
            false => self.wanted.may(&[DEFAULT_CATALOG, name])?,
        };
        if !wanted {
            return Ok(Vec::new());
        }
        if !with_schemas && self.kind == Kind::Schemata {
            return Ok(vec![Listed::new(DEFAULT_CATALOG, name, "", "table")]);
        }
        // It is no fault of a web server that nobody can tell what it serves.
        if !connector.lists() {
            return Ok(Vec::new());
        }
        let relations = connector.list().await.map_err(|error| {
            let column = self.kind.name_columns()[usize::from(!with_schemas)];
            let others = format!("WHERE {column} <> '{name}' asks the others alone");
            let hint = error.hint().map_or(others.clone(), |hint| format!("{hint}; {others}"));
            error.context(format!("listing connection {name}")).with_hint(hint)
        })?;
        let listed = relations.iter().map(|relation| match &relation.dataset {
            Dataset::Relation(found) if with_schemas => {
                Listed::new(name, found.schema().unwrap_or_default(), found.table(), &relation.kind)
            }
            Dataset::Relation(found) => Listed::new(DEFAULT_CATALOG, name, found.table(), &relation.kind),
            Dataset::Path(path) | Dataset::Sql(path) => Listed::new(DEFAULT_CATALOG, name, path, &relation.kind),
        });
        Ok(listed.collect())
    }

    async fn list_buffers(&self, buffer: &dyn Buffer) -> Result<Vec<Listed>> {
        let mut found = Vec::new();
        if !self.wanted.may(&[BUFFERS])? {
            return Ok(found);
        }
        let streams = buffer.streams().await.map_err(|e| e.context("listing the buffers"))?;
        for (pipeline, stream) in streams {
            if !self.wanted.may(&[BUFFERS, &pipeline, &stream])? {
                continue;
            }
            // What was never committed, or is removed, cannot be read.
            match buffer.committed(&pipeline, &stream).await {
                Ok(committed) if committed.is_empty() => {}
                Ok(_) => found.push(Listed::new(BUFFERS, &pipeline, &stream, "buffer")),
                Err(error) => {
                    let name = format!("buffer.{pipeline}.{stream}");
                    tracing::warn!(table = name, error = %error, "the buffer cannot be read, and is left out");
                }
            }
        }
        Ok(found)
    }

    fn list_views(&self) -> Vec<Listed> {
        let views = &self.names.views;
        let named = views.names().into_iter().filter_map(|name| views.get(&name).map(|view| (name, view)));
        let listed = named.map(|(name, view)| Listed {
            definition: view.get_table_definition().map(str::to_string),
            ..Listed::new(DEFAULT_CATALOG, DEFAULT_SCHEMA, &name, "view")
        });
        listed.collect()
    }
}
