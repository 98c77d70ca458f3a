//! A dataset of files that has been looked at: its schema, and the table that reads it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result as PlanResult, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, ident};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use super::exec::{FileScanExec, Reader, Scan};
use super::format::{Codec, Dialect, FileOptions, Format};
use super::listing::{self, SourceFile, common_format};
use super::location::{Location, What};
use super::store::Store;
use super::{csv, ipc, json, parquet, statistics};
use crate::connector::Extractor;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, DxtType};

/// Footers read at once when a dataset of many files is looked at.
const FOOTERS: usize = 8;

/// What a look at a dataset needs to know besides its place.
#[derive(Debug, Clone)]
pub struct Look<'a> {
    /// The dataset for people.
    pub label: String,
    /// The reader's options.
    pub options: &'a FileOptions,
    /// The format of files whose names do not say it.
    pub format: Option<Format>,
    /// Types that the pipeline declares, for formats without types.
    pub declared: &'a [(String, DxtType)],
    /// Whether CSV's types are inferred, which reads the files; else all that is not declared is string.
    pub infer: bool,
    /// Rows per batch at most.
    pub batch_size: usize,
}

/// Files as a table. Its schema is as it was when the files were looked at; a scan reads just those files.
#[derive(Debug, Clone)]
pub struct FileTable {
    label: String,
    store: Store,
    files: Arc<Vec<(SourceFile, Codec)>>,
    format: Format,
    dialect: Dialect,
    schema: Arc<DxtSchema>,
    arrow: SchemaRef,
    batch_size: usize,
    /// Rows in all files, exact where their footers say so, and what is known of the columns.
    known: Statistics,
    /// For each column, the bytes of a row, where footers say so.
    widths: Vec<u64>,
}

impl FileTable {
    /// Looks at a dataset; `None` where nothing is there.
    ///
    /// # Errors
    /// Schema: files of several formats, or that do not agree. Extractor: a file cannot be read. Type mapping: a
    /// column has no type of dxt. Configuration: an option does not fit the format.
    pub async fn look(location: &Location, look: &Look<'_>) -> Result<Option<Self>> {
        let mut found = listing::files(location).await?;
        let given = look.options.format.or(look.format);
        if !matches!(location.what, What::File) || found.len() > 1 {
            let unnamed = found.iter().find(|f| f.named.is_none());
            match (&location.what, unnamed, given) {
                (What::Glob { .. }, Some(file), None) => {
                    return Err(Error::new(
                        ErrorKind::Schema,
                        format!("{} matches {}, whose name does not say its format", look.label, file.shown),
                    )
                    .with_hint("narrow the pattern, as in `*.csv`, or set `options: {format: …}`"));
                }
                (What::Glob { .. }, _, _) => {}
                _ => found.retain(|f| f.named.is_some_and(|n| given.is_none_or(|g| g == n.format))),
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        let format = common_format(&found, look.options.format, look.format)?;
        look.options.fit(format)?;
        let dialect = common_dialect(&found, look.options, format)?;
        let mut files = Vec::with_capacity(found.len());
        for file in found {
            let codec = match format.is_text() {
                true => look.options.codec(file.meta.location.as_ref())?,
                false => Codec::None,
            };
            files.push((file, codec));
        }
        let store = &location.store;
        let (mut known, mut widths) = (None, Vec::new());
        let schema = match format {
            Format::Csv => csv::read::schema(store, &files, &dialect, look.declared, look.infer).await?,
            Format::Json => json::read::schema(store, &files, look.declared).await?,
            Format::Parquet => {
                let footers = files.iter().map(|(file, _)| parquet::describe(store, file));
                let footers: Vec<parquet::Described> =
                    futures::stream::iter(footers.collect::<Vec<_>>()).buffered(FOOTERS).try_collect().await?;
                let schema = union(&files, footers.iter().map(|f| f.schema.clone()).collect())?;
                let own = footers.iter().map(|f| (f.schema.to_arrow(), f.statistics.clone()));
                known = statistics::of_all(&own.collect::<Vec<_>>(), &schema.to_arrow()).ok();
                widths = schema.fields.iter().map(|field| widest(&footers, &field.name)).collect();
                schema
            }
            Format::Ipc => {
                let schemas = files.iter().map(|(file, _)| ipc::schema(store, file));
                let schemas = futures::stream::iter(schemas.collect::<Vec<_>>()).buffered(FOOTERS).try_collect();
                union(&files, schemas.await?)?
            }
        };
        let arrow = schema.to_arrow();
        let known = known.unwrap_or_else(|| statistics::guessed(&files, format, &arrow));
        Ok(Some(Self {
            label: look.label.clone(),
            store: store.clone(),
            files: Arc::new(files),
            format,
            dialect,
            schema: Arc::new(schema),
            arrow,
            batch_size: look.batch_size,
            known,
            widths,
        }))
    }

    /// The table itself, where it has columns; files of JSON without a line name none.
    ///
    /// # Errors
    /// Schema: there is no column.
    pub fn with_columns(self) -> Result<Self> {
        if self.schema.fields.is_empty() && self.format == Format::Json {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("{} has no line, so its columns are not known", self.label),
            )
            .with_hint("declare the stream's fields with their types"));
        }
        Ok(self)
    }

    /// The format of the files.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether there is at least one row.
    ///
    /// # Errors
    /// Extractor: the files cannot be read.
    pub async fn has_rows(&self) -> Result<bool> {
        if let Precision::Exact(rows) = self.known.num_rows {
            return Ok(rows > 0);
        }
        let doing = || format!("looking for rows in {}", self.label);
        let frame = SessionContext::new().read_table(Arc::new(self.clone())).during(ErrorKind::Extractor, doing)?;
        let limited = frame.limit(0, Some(1)).during(ErrorKind::Extractor, doing)?;
        let batches = limited.collect().await.during(ErrorKind::Extractor, doing)?;
        Ok(batches.iter().any(|b| b.num_rows() > 0))
    }

    /// The greatest value of a column, in the column's own type; `None` where all are NULL.
    ///
    /// # Errors
    /// Schema: there is no such column. Extractor: the files cannot be read.
    pub async fn greatest(&self, column: &str) -> Result<Option<ScalarValue>> {
        if self.schema.field(column).is_none() {
            return Err(Error::new(ErrorKind::Schema, format!("{} has no column {column}", self.label))
                .with_hint(format!("its columns: {}", self.schema.names().join(", "))));
        }
        let doing = || format!("asking for the greatest {column} of {}", self.label);
        let frame = SessionContext::new().read_table(Arc::new(self.clone())).during(ErrorKind::Extractor, doing)?;
        let greatest = frame.aggregate(Vec::new(), vec![max(ident(column))]).during(ErrorKind::Extractor, doing)?;
        let batches = greatest.collect().await.during(ErrorKind::Extractor, doing)?;
        let Some(batch) = batches.iter().find(|b| b.num_rows() > 0) else { return Ok(None) };
        let value = ScalarValue::try_from_array(batch.column(0), 0).during(ErrorKind::Extractor, doing)?;
        let own = self.arrow.field_with_name(column).map(|f| f.data_type().clone());
        let value = own.map_err(Into::into).and_then(|own| value.cast_to(&own)).during(ErrorKind::Extractor, doing)?;
        Ok((!value.is_null()).then_some(value))
    }
}

/// The width of a column in the file where it is widest.
fn widest(footers: &[parquet::Described], column: &str) -> u64 {
    let width = |file: &parquet::Described| {
        let index = file.schema.fields.iter().position(|f| f.name == column)?;
        file.widths.get(index).copied()
    };
    footers.iter().filter_map(width).max().unwrap_or_default()
}

/// CSV of one dataset is written down in one way.
fn common_dialect(files: &[SourceFile], options: &FileOptions, format: Format) -> Result<Dialect> {
    if format != Format::Csv {
        return Ok(Dialect::default());
    }
    let mut first: Option<(Dialect, &SourceFile)> = None;
    for file in files {
        let dialect = options.dialect(file.meta.location.as_ref())?;
        match &first {
            Some((known, other)) if *known != dialect => {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!("{} and {} have different delimiters", other.shown, file.shown),
                )
                .with_hint("read .csv and .tsv apart, or set `options: {delimiter: …}`"));
            }
            Some(_) => {}
            None => first = Some((dialect, file)),
        }
    }
    Ok(first.map(|(dialect, _)| dialect).unwrap_or_default())
}

/// The columns of all files, in the order in which they first appear. A column that some files do not have may be NULL.
///
/// # Errors
/// Schema: a column is twice in a file, or has two types in two files.
fn union(files: &[(SourceFile, Codec)], schemas: Vec<DxtSchema>) -> Result<DxtSchema> {
    let mut fields: Vec<(DxtField, &SourceFile, usize)> = Vec::new();
    let count = schemas.len();
    for ((file, _), schema) in files.iter().zip(schemas) {
        for (index, field) in schema.fields.iter().enumerate() {
            if schema.fields[..index].iter().any(|f| f.name == field.name) {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!("{}: two columns are called {}", file.shown, field.name),
                ));
            }
            match fields.iter_mut().find(|(known, _, _)| known.name == field.name) {
                None => fields.push((field.clone(), file, 1)),
                Some((known, _, seen)) if known.dtype == field.dtype => {
                    known.nullable |= field.nullable;
                    *seen += 1;
                }
                Some((known, other, _)) => {
                    return Err(Error::new(
                        ErrorKind::Schema,
                        format!(
                            "column {} is {} in {} and {} in {}",
                            field.name, known.dtype, other.shown, field.dtype, file.shown
                        ),
                    )
                    .with_hint("read the files apart, each with a cast, or rewrite those of one kind"));
                }
            }
        }
    }
    let fields = fields.into_iter().map(|(field, _, seen)| {
        let nullable = field.nullable || seen < count;
        field.nullable(nullable)
    });
    Ok(DxtSchema::new(fields.collect()))
}

impl Extractor for FileTable {
    fn schema(&self) -> &DxtSchema {
        &self.schema
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        self.arrow.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        // Parquet skips row groups and pages by their statistics; the filter itself stays above.
        let one = match self.format {
            Format::Parquet => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(vec![one; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let reader = match self.format {
            Format::Csv => Reader::Csv(self.dialect.clone()),
            Format::Json => Reader::Json,
            Format::Ipc => Reader::Ipc,
            Format::Parquet => {
                let url: &url::Url = self.store.url.as_ref();
                state.runtime_env().register_object_store(url, self.store.object.clone());
                let width = match projection {
                    Some(wanted) => wanted.iter().filter_map(|i| self.widths.get(*i)).sum(),
                    None => self.widths.iter().sum(),
                };
                let table = parquet::Table {
                    label: &self.label,
                    store: &self.store,
                    files: &self.files,
                    schema: &self.arrow,
                    known: &self.known,
                };
                return parquet::scan(&table, projection, limit, parquet::batch_rows(width, self.batch_size));
            }
        };
        let fields = match projection {
            Some(wanted) => wanted.iter().filter_map(|i| self.schema.fields.get(*i).cloned()).collect(),
            None => self.schema.fields.clone(),
        };
        Ok(Arc::new(FileScanExec::new(Scan {
            label: self.label.clone(),
            store: self.store.clone(),
            files: self.files.clone(),
            reader,
            fields,
            known: statistics::of_scan(&self.known, projection, limit),
            limit,
            batch_size: self.batch_size,
        })))
    }
}
