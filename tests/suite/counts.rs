//! A lost, a doubled or a changed batch at each step of the way is seen, and nothing of it is committed. The faults are
//! put in by decorators of dxt's public traits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use dxt::connector::{RelationInfo, ServerInfo, StagedRows};
use dxt::model::{Compression, Options};
use dxt::plan::checksum::Sums;
use dxt::{
    Buffer, BufferId, Capabilities, Committed, Connector, Dataset, DxtField, DxtSchema, ExtractRequest, Extractor,
    Factory, Header, Load, LoadCounts, LoadSpec, Loader, MemoryBuffer, ParquetBuffer, Pipeline, Registry, RunOptions,
    StreamResult, TypeMapper,
};
use futures::{StreamExt, stream};

use crate::support::{Kind, System, env, people, psql, sqlite3};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Lost,
    Doubled,
    Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Source,
    IntoBuffer,
    OutOfBuffer,
    Target,
}

/// Does to one batch that passes what its fault says.
#[derive(Debug, Clone)]
struct Injector {
    fault: Fault,
    /// Which batch, from 0.
    nth: usize,
    seen: Arc<AtomicUsize>,
    fired: Arc<AtomicBool>,
}

impl Injector {
    fn new(fault: Fault, nth: usize) -> Self {
        Self { fault, nth, seen: Arc::default(), fired: Arc::default() }
    }

    fn pass(&self, batch: RecordBatch) -> Vec<RecordBatch> {
        if self.seen.fetch_add(1, Ordering::SeqCst) != self.nth || self.fault == Fault::None {
            return vec![batch];
        }
        self.fired.store(true, Ordering::SeqCst);
        match self.fault {
            Fault::None => vec![batch],
            Fault::Lost => Vec::new(),
            Fault::Doubled => vec![batch.clone(), batch],
            Fault::Changed => {
                let ids = batch.column(0).as_any().downcast_ref::<Int64Array>().expect("ids").clone();
                let mut columns = batch.columns().to_vec();
                columns[0] = Arc::new(ids.unary::<_, datafusion::arrow::datatypes::Int64Type>(|id| id + 1000));
                vec![RecordBatch::try_new(batch.schema(), columns).expect("a batch")]
            }
        }
    }
}

/// A table whose scans say that they change no number of rows, and may not keep to it.
#[derive(Debug)]
struct FaultyTable(Arc<dyn TableProvider>, Injector);

#[async_trait]
impl TableProvider for FaultyTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }
    fn table_type(&self) -> TableType {
        self.0.table_type()
    }
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(FaultyExec(self.0.scan(state, projection, filters, limit).await?, self.1.clone())))
    }
}

#[derive(Debug)]
struct FaultyExec(Arc<dyn ExecutionPlan>, Injector);

impl DisplayAs for FaultyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyExec")
    }
}

impl ExecutionPlan for FaultyExec {
    fn name(&self) -> &str {
        "FaultyExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }
    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("one child".into()))?;
        Ok(Arc::new(Self(input, self.1.clone())))
    }
    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let input = self.0.execute(partition, context)?;
        let (schema, injector) = (input.schema(), self.1.clone());
        let passed = input.flat_map(move |batch| {
            stream::iter(match batch {
                Ok(batch) => injector.pass(batch).into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, passed)))
    }
}

#[derive(Debug)]
struct FaultyExtractor(Arc<dyn Extractor>, Injector);

impl Extractor for FaultyExtractor {
    fn schema(&self) -> &DxtSchema {
        self.0.schema()
    }
    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(FaultyTable(self.0.provider(), self.1.clone()))
    }
}

struct FaultyLoad(Box<dyn Load>, Injector);

#[async_trait]
impl Load for FaultyLoad {
    async fn write(&mut self, batch: RecordBatch) -> dxt::Result<()> {
        for batch in self.1.pass(batch) {
            self.0.write(batch).await?;
        }
        Ok(())
    }
    fn already_loaded(&self) -> bool {
        self.0.already_loaded()
    }
    async fn staged(&mut self) -> dxt::Result<Option<StagedRows<'_>>> {
        self.0.staged().await
    }
    fn summed(&mut self, sums: &Sums) {
        self.0.summed(sums);
    }
    async fn seal(&mut self) -> dxt::Result<LoadCounts> {
        self.0.seal().await
    }
    async fn commit(self: Box<Self>) -> dxt::Result<()> {
        self.0.commit().await
    }
    async fn abort(self: Box<Self>) -> dxt::Result<()> {
        self.0.abort().await
    }
}

#[derive(Debug)]
struct FaultyLoader(Arc<dyn Loader>, Injector);

#[async_trait]
impl Loader for FaultyLoader {
    fn target(&self) -> String {
        self.0.target()
    }
    fn existing(&self) -> Option<&DxtSchema> {
        self.0.existing()
    }
    fn keeps_types(&self) -> bool {
        self.0.keeps_types()
    }
    fn stored(&self, field: &DxtField, declared: Option<&str>) -> dxt::Result<DxtField> {
        self.0.stored(field, declared)
    }
    fn takes(&self, field: &DxtField, column: &DxtField) -> dxt::Result<DxtField> {
        self.0.takes(field, column)
    }
    fn check(&self, spec: &LoadSpec) -> dxt::Result<()> {
        self.0.check(spec)
    }
    fn statements(&self, spec: &LoadSpec) -> Vec<String> {
        self.0.statements(spec)
    }
    async fn has_rows(&self) -> dxt::Result<bool> {
        self.0.has_rows().await
    }
    async fn watermark(&self, column: &str) -> dxt::Result<Option<ScalarValue>> {
        self.0.watermark(column).await
    }
    fn rereads(&self, spec: &LoadSpec) -> bool {
        self.0.rereads(spec)
    }
    async fn begin(&self, spec: &LoadSpec) -> dxt::Result<Box<dyn Load>> {
        Ok(Box::new(FaultyLoad(self.0.begin(spec).await?, self.1.clone())))
    }
}

#[derive(Debug)]
struct FaultyConnector {
    inner: Arc<dyn Connector>,
    at: At,
    injector: Injector,
}

#[async_trait]
impl Connector for FaultyConnector {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }
    fn types(&self) -> &dyn TypeMapper {
        self.inner.types()
    }
    async fn test(&self) -> dxt::Result<ServerInfo> {
        self.inner.test().await
    }
    async fn list(&self) -> dxt::Result<Vec<RelationInfo>> {
        self.inner.list().await
    }
    fn check_source(&self, options: &Options) -> dxt::Result<()> {
        self.inner.check_source(options)
    }
    fn check_target(&self, options: &Options, load: &Options) -> dxt::Result<()> {
        self.inner.check_target(options, load)
    }
    async fn extractor(&self, request: &ExtractRequest) -> dxt::Result<Arc<dyn Extractor>> {
        let inner = self.inner.extractor(request).await?;
        Ok(match self.at {
            At::Source => Arc::new(FaultyExtractor(inner, self.injector.clone())),
            _ => inner,
        })
    }
    async fn close(&self) {
        self.inner.close().await;
    }
    async fn loader(&self, dataset: &Dataset, options: &Options) -> dxt::Result<Arc<dyn Loader>> {
        let inner = self.inner.loader(dataset, options).await?;
        Ok(match self.at {
            At::Target => Arc::new(FaultyLoader(inner, self.injector.clone())),
            _ => inner,
        })
    }
}

#[derive(Debug)]
struct FaultyBuffer {
    inner: Arc<dyn Buffer>,
    at: At,
    injector: Injector,
}

#[async_trait]
impl Buffer for FaultyBuffer {
    async fn begin(
        &self,
        id: &BufferId,
        header: &Header,
        progress: &Arc<dxt::plan::sink::Progress>,
    ) -> dxt::Result<Box<dyn Load>> {
        let inner = self.inner.begin(id, header, progress).await?;
        Ok(match self.at {
            At::IntoBuffer => Box::new(FaultyLoad(inner, self.injector.clone())),
            _ => inner,
        })
    }
    async fn committed(&self, pipeline: &str, stream: &str) -> dxt::Result<Vec<Committed>> {
        self.inner.committed(pipeline, stream).await
    }
    async fn read(&self, buffer: &Committed) -> dxt::Result<Arc<dyn TableProvider>> {
        let inner = self.inner.read(buffer).await?;
        Ok(match self.at {
            At::OutOfBuffer => Arc::new(FaultyTable(inner, self.injector.clone())),
            _ => inner,
        })
    }
    async fn mark_loaded(&self, id: &BufferId) -> dxt::Result<()> {
        self.inner.mark_loaded(id).await
    }
    async fn cleanup(&self, id: &BufferId) -> dxt::Result<()> {
        self.inner.cleanup(id).await
    }
}

/// dxt's own connectors, with the fault.
fn registry(at: At, injector: &Injector) -> Registry {
    let plain = Registry::builtin();
    let mut registry = Registry::builtin();
    for kind in plain.kinds() {
        let factory = plain.factory(kind).expect("a kind").clone();
        let (make, injector) = (factory.make.clone(), injector.clone());
        let make = move |config: &dxt::model::ConnectionConfig| {
            let faulty = FaultyConnector { inner: make(config)?, at, injector: injector.clone() };
            Ok(Arc::new(faulty) as Arc<dyn Connector>)
        };
        registry.register(Factory { make: Arc::new(make), ..factory });
    }
    registry
}

const ROWS: usize = 100;

/// The same hundred rows in every kind of source.
struct Sources {
    system: System,
    /// Of MySQL.
    mine: System,
    table: String,
}

impl Sources {
    fn new() -> Self {
        let system = System::new(Kind::Postgres);
        let project = &system.project;
        let name = |id: i64| format!("name {id}");
        let names: Vec<String> = (0..ROWS as i64).map(name).collect();
        let rows: Vec<_> = (0..ROWS as i64).zip(&names).map(|(id, n)| (id, Some(n.as_str()), Some(id % 7))).collect();
        people(&project.path("in.parquet"), &rows);
        for format in ["csv", "jsonl", "arrow"] {
            project
                .run(&format!(
                    "version: 1\nname: make\nconnections: {{files: {{type: file, path: .}}}}\nstreams:\n  - id: s\n    \
                     source: {{connection: files, value: in.parquet}}\n    target: {{connection: files, value: in.{format}}}\n    \
                     load: {{mode: replace}}\n"
                ))
                .exits(0);
        }
        let table = system.sql_name("src");
        let rows = "SELECT g AS id, 'name ' || g AS name, g % 7 AS v";
        psql(&format!("CREATE TABLE {table} AS {rows} FROM generate_series(0::bigint, {}) AS g", ROWS - 1));
        sqlite3(
            &project.path("in.db"),
            &format!(
                "CREATE TABLE src (id BIGINT, name TEXT, v BIGINT); WITH RECURSIVE n(g) AS (SELECT 0 UNION ALL SELECT g + 1 FROM n WHERE g < {}) \
                 INSERT INTO src {rows} FROM n",
                ROWS - 1
            ),
        );
        let mine = System::new(Kind::Mysql);
        let other = rows.replace("'name ' || g", "concat('name ', g)");
        mine.sql(&format!(
            "CREATE TABLE src (id BIGINT, name TEXT, v BIGINT); INSERT INTO src {other} FROM (WITH RECURSIVE n(g) AS (SELECT 0 UNION ALL \
             SELECT g + 1 FROM n WHERE g < {}) SELECT g FROM n) AS n",
            ROWS - 1
        ));
        Self { system, mine, table }
    }

    /// Every source, as YAML.
    fn all(&self) -> Vec<String> {
        let mut all: Vec<String> = ["parquet", "csv", "jsonl", "arrow"]
            .map(|format| format!("{{connection: files, value: in.{format}}}"))
            .to_vec();
        all.push(format!("{{connection: pg, value: '{}'}}", self.table));
        all.push(format!("{{connection: my, value: {}.src}}", self.mine.schema()));
        all.push("{connection: lite, value: src}".into());
        all.push("{type: query, sql: 'SELECT * FROM lite.src'}".into());
        all
    }

    /// Runs a stream with a fault into a target that has one row, and says what became of both.
    async fn run(&self, case: &Case<'_>) -> (StreamResult, Injector) {
        let project = &self.system.project;
        let target = self.system.sql_name("dst");
        let _ = std::fs::remove_file(project.path("out.db"));
        let _ = std::fs::remove_dir_all(project.path("out"));
        let old = "INSERT INTO dst VALUES (-1, 'old', NULL)";
        sqlite3(&project.path("out.db"), &format!("CREATE TABLE dst (id BIGINT, name TEXT, v BIGINT); {old}"));
        psql(&format!(
            "SET client_min_messages = warning; DROP TABLE IF EXISTS {target}; CREATE TABLE {target} (id bigint, name text, v bigint); {}",
            old.replace("dst", &target)
        ));
        self.mine.sql(&format!("DROP TABLE IF EXISTS dst; CREATE TABLE dst (id BIGINT, name TEXT, v BIGINT); {old}"));
        project.write("out/old.csv", "id,name,v\n-1,old,\n");
        let to = match case.target {
            "pg" => format!("{{connection: pg, value: '{target}'}}"),
            "my" => format!("{{connection: my, value: {}.dst}}", self.mine.schema()),
            "lite" => "{connection: out, value: dst}".into(),
            _ => "{connection: files, value: out/, options: {format: csv}}".into(),
        };
        let (source, verify) = (case.source, case.verify);
        let buffer = if case.buffered { "" } else { "buffer: {format: none}\n" };
        let path = project.write(
            "p.yaml",
            &format!(
                "version: 1\nname: p\nconnections:\n  files: {{type: file, path: .}}\n  pg: '{}'\n  my: '{}'\n  lite: sqlite:///in.db\n  out: sqlite:///out.db\n{buffer}\
                 streams:\n  - id: s\n    source: {source}\n    target: {to}\n    extract: {{batch_size: 10}}\n    \
                 load: {{mode: append, verify: {verify}}}\n",
                env("DXT_TEST_PG_URL"),
                env("DXT_TEST_MYSQL_URL")
            ),
        );
        // A query reads its tables in batches of their own, here in one.
        let injector = Injector::new(case.fault, usize::from(!case.source.contains("type: query")));
        let inner: Arc<dyn Buffer> = match case.parquet {
            true => Arc::new(ParquetBuffer::new(project.path("buffers"), Compression::Zstd)),
            false => Arc::new(MemoryBuffer::default()),
        };
        let buffer = FaultyBuffer { inner, at: case.at, injector: injector.clone() };
        let options = RunOptions {
            registry: registry(case.at, &injector),
            buffer: case.buffered.then(|| Arc::new(buffer) as Arc<dyn Buffer>),
            ..RunOptions::default()
        };
        let pipeline = Pipeline::load(path).expect("a pipeline");
        let mut result = dxt::run(&pipeline, &options).await.expect("a result");
        (result.streams.remove(0), injector)
    }

    /// How many rows the target has.
    fn rows(&self, target: &str) -> usize {
        let text = match target {
            "pg" => psql(&format!("SELECT count(*) FROM {}", self.system.sql_name("dst"))),
            "my" => self.mine.sql("SELECT count(*) FROM dst"),
            "lite" => sqlite3(&self.system.project.path("out.db"), "SELECT count(*) FROM dst"),
            _ => {
                let files = std::fs::read_dir(self.system.project.path("out")).expect("the folder");
                let lines = |path| std::fs::read_to_string(path).expect("a part").lines().count() - 1;
                files.map(|file| lines(file.expect("a file").path())).sum::<usize>().to_string()
            }
        };
        text.parse().expect("a number")
    }

    /// Asserts that the fault took place, was seen, and left the target as it was; without one, that all went well.
    async fn expect(&self, case: Case<'_>, said: &str) {
        let (result, injector) = self.run(&case).await;
        if case.fault == Fault::None {
            assert!(result.error.is_none(), "{case:?}: {result:?}");
            let all = ROWS as u64;
            assert_eq!((result.rows_read, result.rows_staged, result.rows_written), (all, all, all), "{case:?}");
            assert_eq!(result.rows_buffered, if case.buffered { all } else { 0 }, "{case:?}");
            assert_eq!(self.rows(case.target), ROWS + 1, "{case:?}");
            return;
        }
        assert!(injector.fired.load(Ordering::SeqCst), "{case:?}: the fault did not take place");
        let error = result.error.unwrap_or_else(|| panic!("{case:?}: not seen"));
        assert!(error.message.contains(said), "{case:?}: {}", error.message);
        assert_eq!(error.kind, "validation", "{case:?}");
        assert_eq!(self.rows(case.target), 1, "{case:?}: something was committed");
    }
}

#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    source: &'a str,
    target: &'a str,
    at: At,
    fault: Fault,
    buffered: bool,
    parquet: bool,
    verify: &'a str,
}

const FILES: &str = "{connection: files, value: in.csv}";

fn case(at: At, fault: Fault) -> Case<'static> {
    Case { source: FILES, target: "lite", at, fault, buffered: true, parquet: false, verify: "counts" }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_lost_or_doubled_between_source_and_sink_is_seen_for_every_source() {
    let sources = Sources::new();
    for source in sources.all() {
        for buffered in [true, false] {
            for fault in [Fault::None, Fault::Lost, Fault::Doubled] {
                let case = Case { source: &source, buffered, ..case(At::Source, fault) };
                sources.expect(case, "100 rows were read, ").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_lost_or_doubled_into_the_buffer_is_seen() {
    let sources = Sources::new();
    for parquet in [true, false] {
        for fault in [Fault::None, Fault::Lost, Fault::Doubled] {
            let case = Case { parquet, ..case(At::IntoBuffer, fault) };
            sources.expect(case, "100 rows were written, ").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_lost_or_doubled_out_of_the_buffer_or_into_the_target_is_seen_for_every_target() {
    let sources = Sources::new();
    for target in ["pg", "my", "lite", "csv"] {
        for (at, said) in [(At::OutOfBuffer, "the counts differ: 100 rows "), (At::Target, "100 rows were written, ")] {
            for fault in [Fault::None, Fault::Lost, Fault::Doubled] {
                sources.expect(Case { target, ..case(at, fault) }, said).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_value_is_seen_by_checksums_after_the_source() {
    let sources = Sources::new();
    for (at, said) in [
        (At::IntoBuffer, "what came out of it differ: column id"),
        (At::OutOfBuffer, "what came out of it differ: column id"),
        (At::Target, "what the target holds differ: column id"),
    ] {
        for fault in [Fault::None, Fault::Changed] {
            sources.expect(Case { verify: "checksum", ..case(at, fault) }, said).await;
        }
    }
    // An append to a table of MySQL that is there cannot give back what it has staged: `mysql.rs` has its checksums.
    for target in ["pg", "csv"] {
        let case = Case { target, verify: "checksum", buffered: false, ..case(At::Target, Fault::Changed) };
        sources.expect(case, "what the target holds differ: column id").await;
    }
}
