//! One stream as logical plans: `INSERT INTO buffer SELECT … FROM source` and `INSERT INTO target SELECT … FROM buffer`,
//! or one plan of both where there is no buffer.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::{DefaultTableSource, provider_as_source, source_as_provider};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{SessionContext, ident};

use super::fields::{self, PlannedField};
use super::rewrite;
use super::sink::{SinkTable, Staging, TargetStaging, Watch};
use super::strict::strict_cast;
use super::watermark::{self, Watermark};
use super::{Engine, QUERY_ROWS, RunInfo, origin, params, primary_key, pushdown};
use crate::connector::sql::RemoteTable;
use crate::connector::{Dataset, ExtractRequest, LoadSpec, Loader};
use crate::error::{Error, ErrorKind, Position, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, ExtractMode, FieldSpec, LoadMode, Params, SourceKind, Stream, Verify};

/// The extract of a stream: what is selected, and what the buffer will hold.
#[derive(Debug, Clone)]
pub struct ExtractPlan {
    /// `SELECT fields FROM source WHERE …`.
    pub select: LogicalPlan,
    /// The buffer's columns: the fields by their ids.
    pub schema: DxtSchema,
    /// The source for people: `shop.public.orders`.
    pub source: String,
    /// Where the extract starts, where it is incremental.
    pub watermark: Option<Watermark>,
}

/// The context that a stream's plans run in. A query may run in parts at once; a plain transfer keeps the order of rows.
pub fn context(engine: &Arc<Engine>, stream: &Stream) -> SessionContext {
    match stream.source.kind {
        SourceKind::Query(_) => engine.query_context(stream.extract.batch_size.min(QUERY_ROWS)),
        _ => plain_context(engine, stream),
    }
}

/// A context that keeps the order of rows.
pub fn plain_context(engine: &Arc<Engine>, stream: &Stream) -> SessionContext {
    engine.context(1, stream.extract.batch_size)
}

/// Looks at the source and plans the extract. Reads no rows of the source; asks the target for its watermark.
pub async fn extract(
    engine: &Arc<Engine>,
    context: &SessionContext,
    stream: &Stream,
    loader: Option<&dyn Loader>,
    run: &RunInfo,
) -> Result<ExtractPlan> {
    let (scan, columns, source) = scan(engine, context, stream, &run.params).await?;
    let doing = || format!("source {source}");
    let state = context.state();
    let fields = fields::resolve(stream, &columns, scan.schema(), &state, run).map_err(|e| e.context(doing()))?;
    let watermark = match loader {
        Some(loader) => {
            let connection = |column: &str| match &stream.source.kind {
                SourceKind::Query(_) => origin::connection(&scan, column),
                _ => Some(stream.source.connection.clone()),
            };
            watermark::expect_order(engine, stream, &fields, &connection)?;
            watermark::resolve(stream, &fields, loader).await?
        }
        None => None,
    };
    let mut builder = LogicalPlanBuilder::from(scan.clone());
    if let Some(condition) = stream.criteria.as_ref().and_then(|c| c.filter.as_ref()) {
        let parsed = params::expr(&state, condition, scan.schema(), &run.params);
        let expr = parsed.map_err(|e| e.context(format!("criteria `{condition}`")))?;
        builder = builder.filter(rewrite::in_expr(expr, scan.schema())?)?;
    }
    if let Some(condition) = watermark.as_ref().and_then(|w| w.filter.clone()) {
        builder = builder.filter(condition)?;
    }
    if let Some(limit) = stream.criteria.as_ref().and_then(|c| c.limit) {
        if let Some(mark) = &watermark {
            // The least first: what the limit leaves out must lie past the watermark of the next run.
            builder = builder.sort([mark.value.clone().sort(true, false)])?;
        }
        builder = builder.limit(0, Some(usize::try_from(limit).unwrap_or(usize::MAX)))?;
    }
    let select = builder.project(fields.iter().map(PlannedField::select))?.build()?;
    pushdown::require(context, &select, &stream.extract.require_pushdown).await?;
    let schema = buffer_schema(&fields, &columns);
    Ok(ExtractPlan { select, schema, source, watermark })
}

/// The source as a scan, its columns, and its name.
async fn scan(
    engine: &Arc<Engine>,
    context: &SessionContext,
    stream: &Stream,
    params: &Params,
) -> Result<(LogicalPlan, DxtSchema, String)> {
    let connection = &stream.source.connection;
    let dataset = match &stream.source.kind {
        SourceKind::Query(sql) => {
            let at = stream.sql_position.as_ref();
            let plan = select_bound(context, sql, params, at).await.map_err(|e| e.context("source query"))?;
            let columns = origin::columns(&plan)?;
            return Ok((plan, columns, "query".into()));
        }
        SourceKind::Relation(name) => Dataset::Relation(name.clone()),
        SourceKind::Sql(sql) => Dataset::Sql(sql.clone()),
        SourceKind::File(path) => Dataset::Path(path.clone()),
    };
    let label = format!("{connection}.{dataset}");
    let request = ExtractRequest {
        dataset: dataset.clone(),
        options: stream.source.options.clone(),
        declared: fields::declared(stream),
        partitions: stream.extract.partitions,
        partition_field: stream.extract.partition_field.clone(),
        batch_size: stream.extract.batch_size,
    };
    let extractor = engine.connector(connection)?.extractor(&request).await;
    let extractor = extractor.map_err(|e| e.context(format!("source {label}")))?;
    let name = TableReference::partial(connection.as_str(), dataset.to_string());
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(extractor.provider()), None)?.build()?;
    Ok((plan, extractor.schema().clone(), label))
}

/// Plans a statement that only reads.
///
/// # Errors
/// Configuration: it does not parse, or would change something.
pub async fn select_only(context: &SessionContext, sql: &str) -> Result<LogicalPlan> {
    select_bound(context, sql, &Params::new(), None).await
}

/// Plans a statement that only reads, with its variables bound. `at` is where the SQL stands in a file, for errors.
///
/// # Errors
/// Configuration: it does not parse, or would change something; a variable has no value, or one that does not fit.
pub async fn select_bound(
    context: &SessionContext,
    sql: &str,
    params: &Params,
    at: Option<&Position>,
) -> Result<LogicalPlan> {
    let plan = params::plan(context, sql, params, at).await?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&plan).map_err(|e| {
        Error::new(ErrorKind::Configuration, "the SQL must be one SELECT")
            .with_source(e)
            .with_hint("tables are changed by streams; a query only reads")
    })?;
    Ok(rewrite::in_plan(plan)?)
}

/// The source's key is the buffer's, where every part of it is carried as it is.
fn buffer_schema(fields: &[PlannedField], columns: &DxtSchema) -> DxtSchema {
    let carried = |key: &String| {
        fields.iter().find(|f| matches!(&f.source, Expr::Column(c) if c.name == *key)).map(|f| f.field.name.clone())
    };
    DxtSchema {
        fields: fields.iter().map(|f| f.field.clone()).collect(),
        primary_key: columns.primary_key.iter().map(carried).collect::<Option<_>>().unwrap_or_default(),
    }
}

/// The load of a stream: what goes where, checked against the target as it is.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The target.
    pub loader: Arc<dyn Loader>,
    /// What is to be done to it.
    pub spec: LoadSpec,
    /// The buffer's column for each of the spec's.
    columns: Vec<String>,
}

/// Plans the load of a buffer with `schema`. `watermark`: what the extract started from, where it was incremental.
///
/// # Errors
/// Schema, type mapping or loader: the target does not fit, with the way out.
pub fn load(
    stream: &Stream,
    loader: Arc<dyn Loader>,
    schema: &DxtSchema,
    watermark: Option<Option<ScalarValue>>,
    run: &RunInfo,
) -> Result<LoadPlan> {
    let doing = || format!("target {}", loader.target());
    let spec_of = |id: &str| stream.fields.iter().find(|f| f.id == id);
    let target_of = |id: &String| spec_of(id).map_or(id.as_str(), FieldSpec::target_name).to_string();
    let keys = primary_key::fields(stream, schema)?;
    // A target that is there keeps its own key; an upsert needs to know the rows', and a replace may be told.
    let known = match stream.load.mode {
        LoadMode::Upsert => true,
        LoadMode::Replace => loader.existing().is_none() || keys == stream.load.upsert_keys,
        LoadMode::Append => loader.existing().is_none(),
    };
    let keys: Vec<String> = keys.iter().filter(|_| known).map(target_of).collect();
    // Where everything is inferred, a column that both sides generate is left to the target.
    let generates = |name: &str| loader.existing().and_then(|s| s.field(name)).is_some_and(|there| there.generated);
    let left_out = |field: &DxtField| stream.fields.is_empty() && field.generated && generates(&field.name);
    let fields: Vec<&DxtField> = schema.fields.iter().filter(|field| !left_out(field)).collect();
    let mut stored = Vec::new();
    for field in &fields {
        let spec = spec_of(&field.name);
        let mut incoming = DxtField { name: target_of(&field.name), ..(*field).clone() };
        if keys.contains(&incoming.name) {
            incoming.nullable = false;
        }
        let there = match loader.existing() {
            Some(existing) => match existing.field(&incoming.name) {
                Some(_) if !loader.keeps_types() => loader.stored(&incoming, None).map_err(|e| e.context(doing()))?,
                Some(there) => {
                    let there = loader.takes(&incoming, there).map_err(|e| e.context(doing()))?;
                    // What the field promises holds wherever it goes.
                    DxtField { nullable: there.nullable && incoming.nullable, ..there }
                }
                None => {
                    let text = format!("{} has no column {}", loader.target(), incoming.name);
                    return Err(Error::new(ErrorKind::Schema, text).with_hint(format!(
                        "its columns: {}. Leave the field out, name its `target`, or alter the table",
                        existing.names().join(", ")
                    )));
                }
            },
            None => {
                let declared = spec.and_then(|s| s.target.native_type.as_deref());
                let mut there = loader.stored(&incoming, declared).map_err(|e| e.context(doing()))?;
                there.nullable = incoming.nullable;
                there
            }
        };
        castable(&incoming, &there).map_err(|e| e.context(doing()))?;
        stored.push(there);
    }
    let watermark_column = stream.extract.watermark_field.as_ref().map(target_of);
    let incremental_append = stream.extract.mode == ExtractMode::Incremental && stream.load.mode == LoadMode::Append;
    let spec = LoadSpec {
        mode: stream.load.mode,
        schema: DxtSchema { fields: stored, primary_key: keys.clone() },
        keys,
        watermark: watermark_column,
        // An upsert repeated changes nothing, so only an append needs the watermark to be where it was.
        expected_watermark: watermark.filter(|_| incremental_append),
        expect_empty: appends_by_default(stream),
        // Known to who knows the buffer.
        once: None,
        reread: stream.load.verify == Verify::Checksum,
        run_id: run.run_id.clone(),
        options: primary_key::without(&stream.load.options),
    };
    loader.check(&spec).map_err(|e| e.context(doing()))?;
    if spec.reread && !loader.rereads(&spec) {
        let error =
            Error::new(ErrorKind::Configuration, "load.verify: this target cannot give back what a load has staged");
        let hint = "write `verify: counts`; local files, PostgreSQL from 13 on, SQLite tables with a rowid, and MySQL but for \
                    an append to a table that is there take checksums";
        return Err(error.with_hint(hint).context(doing()));
    }
    let columns = fields.iter().map(|f| f.name.clone()).collect();
    Ok(LoadPlan { loader, spec, columns })
}

/// Whether values can pass at all; whether each does is seen when it passes.
fn castable(from: &DxtField, to: &DxtField) -> Result<()> {
    let (a, b) = (from.dtype.to_arrow(), to.dtype.to_arrow());
    if a == b || super::strict::can_cast(&a, &b) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Schema,
        format!("column {} is {}, and the field is {}: there is no exact cast", to.name, to.dtype, from.dtype),
    )
    .with_hint(format!("give the field {} another dtype, or alter the column", from.name)))
}

impl LoadPlan {
    /// `INSERT INTO target SELECT strict casts FROM input`, where `input` has the buffer's columns.
    pub fn insert(&self, input: LogicalPlan, watch: Watch) -> Result<LogicalPlan> {
        let schema = input.schema().clone();
        let items: Result<Vec<Expr>> = self
            .columns
            .iter()
            .zip(&self.spec.schema.fields)
            .map(|(column, stored)| {
                let field = schema.field_with_unqualified_name(column)?;
                let to = stored.dtype.to_arrow();
                let value = ident(column.as_str());
                let cast = if *field.data_type() == to { value } else { strict_cast(value, to, column) };
                Ok(cast.alias(&stored.name))
            })
            .collect();
        let input = LogicalPlanBuilder::from(input).project(items?)?.build()?;
        let staging = Arc::new(TargetStaging { loader: self.loader.clone(), spec: self.spec.clone() });
        insert(input, staging, watch)
    }
}

/// Refuses a stream without a buffer that reads what its own load locks: each would wait for the other, and no server
/// sees that.
///
/// # Errors
/// Loader: the target is among the tables that `select` reads.
pub fn guard_itself(select: &LogicalPlan, load: &LoadPlan) -> Result<()> {
    let Some(locked) = load.loader.locks_out(&load.spec) else { return Ok(()) };
    let mut reads = false;
    select.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            let remote = provider.downcast_ref::<RemoteTable>();
            reads |= remote.is_some_and(|table| table.reads().contains(&locked));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !reads {
        return Ok(());
    }
    let text = format!("the stream reads {}, which its load locks to replace it", load.loader.target());
    Err(Error::new(ErrorKind::Loader, text).with_hint(
        "put a buffer between them, or set `replace_strategy: delete` in the load's options where the target has it",
    ))
}

/// The buffer as a scan.
pub fn scan_buffer(pipeline: &str, stream: &str, table: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let name = TableReference::full("buffer", pipeline, stream);
    Ok(LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.build()?)
}

/// `INSERT INTO staging input`.
pub fn insert(input: LogicalPlan, staging: Arc<dyn Staging>, watch: Watch) -> Result<LogicalPlan> {
    let name = TableReference::bare(staging.label());
    let source = Arc::new(DefaultTableSource::new(Arc::new(SinkTable::new(staging, watch))));
    Ok(LogicalPlanBuilder::insert_into(input, name, source, InsertOp::Append)?.build()?)
}

/// Whether nobody has said that a full extract is to be appended.
fn appends_by_default(stream: &Stream) -> bool {
    let by_default = stream.load.mode == LoadMode::Append && !stream.load.mode_explicit;
    by_default && stream.extract.mode == ExtractMode::Full
}

/// A full extract appends to a target that has rows only where the pipeline itself says `mode: append`.
pub async fn guard_accident(stream: &Stream, loader: &dyn Loader) -> Result<()> {
    if !appends_by_default(stream) || loader.existing().is_none() {
        return Ok(());
    }
    let rows = loader.has_rows().await.during(ErrorKind::Loader, || format!("looking at {}", loader.target()))?;
    if !rows {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Validation,
        format!("{} has rows already, and a full extract would append all of the source again", loader.target()),
    )
    .with_hint("say what is meant: `load: {mode: replace}`, `mode: upsert`, or `mode: append` to add them once more"))
}
