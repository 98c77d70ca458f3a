//! `information_schema`: what there is to be named, as tables.
//!
//! Nothing is asked until such a table is read, and then only what the query wants: conditions on catalog, schema and table
//! are looked at before a connection is listed, and before a table's columns are. A connection that is asked for and does
//! not answer is an error that names it. A table whose columns cannot be told, because its file is damaged for example, is
//! left out with a warning, unless the query names it in full.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{MemoryCatalogProviderList, SchemaProvider, Session, TableProvider};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::StreamingTableExec;

use super::names::Names;
use super::walk::{Listed, Walk, Wanted, about_names};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType};

/// The tables that are dxt's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tables,
    Views,
    Columns,
    Schemata,
}

/// Those that DataFusion makes: of its settings and functions, for SHOW.
const OTHERS: [&str; 3] = ["df_settings", "routines", "parameters"];

impl Kind {
    pub const ALL: [Self; 4] = [Self::Tables, Self::Views, Self::Columns, Self::Schemata];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tables => "tables",
            Self::Views => "views",
            Self::Columns => "columns",
            Self::Schemata => "schemata",
        }
    }

    /// The columns that name a relation: catalog, schema and, but for schemata, table.
    pub fn name_columns(self) -> &'static [&'static str] {
        match self {
            Self::Schemata => &["catalog_name", "schema_name"],
            _ => &["table_catalog", "table_schema", "table_name"],
        }
    }

    /// Its columns: those of the SQL standard as DataFusion has them, and a column's native type.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| Kind::ALL.map(schema_of));
        SCHEMAS[self as usize].clone()
    }
}

fn schema_of(kind: Kind) -> SchemaRef {
    let text = |name: &&str| Field::new(*name, DataType::Utf8, false);
    let maybe = |name: &&str| Field::new(*name, DataType::Utf8, true);
    let number = |name: &&str| Field::new(*name, DataType::UInt64, true);
    let mut fields: Vec<Field> = kind.name_columns().iter().map(text).collect();
    match kind {
        Kind::Tables => fields.push(text(&"table_type")),
        Kind::Views => fields.push(maybe(&"definition")),
        Kind::Columns => {
            fields.push(text(&"column_name"));
            fields.push(Field::new("ordinal_position", DataType::UInt64, false));
            fields.push(maybe(&"column_default"));
            fields.extend(["is_nullable", "data_type"].iter().map(text));
            fields.extend(["character_maximum_length", "character_octet_length"].iter().map(number));
            fields.extend(["numeric_precision", "numeric_precision_radix", "numeric_scale"].iter().map(number));
            fields.extend(["datetime_precision"].iter().map(number));
            fields.extend(["interval_type", "native_type"].iter().map(maybe));
        }
        Kind::Schemata => {
            fields.push(maybe(&"schema_owner"));
            let rest = ["catalog", "schema", "name"].map(|part| format!("default_character_set_{part}"));
            fields.extend(rest.iter().map(|name| maybe(&name.as_str())));
            fields.push(maybe(&"sql_path"));
        }
    }
    Arc::new(Schema::new(fields))
}

/// One table of `information_schema`.
pub(super) struct Information {
    names: Names,
    kind: Kind,
}

impl std::fmt::Debug for Information {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Information").field(&self.kind).finish()
    }
}

impl Information {
    /// The table of this name.
    ///
    /// # Errors
    /// Schema: there is none.
    pub async fn table(names: &Names, name: &str) -> Result<Arc<dyn TableProvider>> {
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
            return Ok(Arc::new(Self { names: names.clone(), kind }));
        }
        if OTHERS.contains(&name) {
            // They ask the session and no catalog.
            let others = InformationSchemaProvider::new(Arc::new(MemoryCatalogProviderList::new()));
            if let Some(table) = others.table(name).await? {
                return Ok(table);
            }
        }
        let known: Vec<&str> = Self::names().collect();
        Err(Error::new(ErrorKind::Schema, format!("there is no table information_schema.{name}"))
            .with_hint(format!("its tables: {}", known.join(", "))))
    }

    /// The names of all of its tables.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Kind::ALL.into_iter().map(Kind::as_str).chain(OTHERS)
    }
}

#[async_trait]
impl TableProvider for Information {
    fn schema(&self) -> SchemaRef {
        self.kind.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let one = |filter: &&Expr| match about_names(filter, self.kind) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(one).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wanted = Wanted::new(self.kind, filters, state)?;
        let walk = Arc::new(Walk::new(self.names.clone(), self.kind, wanted));
        Ok(Arc::new(StreamingTableExec::try_new(self.schema(), vec![walk], projection, [], false, limit)?))
    }
}

/// The rows of relations in a table other than that of columns.
pub(super) fn rows(kind: Kind, relations: &[Listed]) -> DfResult<RecordBatch> {
    let texts =
        |of: fn(&Listed) -> Option<String>| Arc::new(relations.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let mut columns = vec![texts(|r| Some(r.catalog.clone())), texts(|r| Some(r.schema.clone()))];
    match kind {
        Kind::Tables => columns.extend([texts(|r| Some(r.table.clone())), texts(|r| Some(r.table_type().into()))]),
        Kind::Views => columns.extend([texts(|r| Some(r.table.clone())), texts(|r| r.definition.clone())]),
        Kind::Schemata => columns.extend((0..5).map(|_| texts(|_| None))),
        Kind::Columns => {}
    }
    Ok(RecordBatch::try_new(kind.schema(), columns)?)
}

/// The rows of a relation's columns.
pub(super) fn column_rows(relation: &Listed, schema: &DxtSchema) -> DfResult<RecordBatch> {
    let fields = &schema.fields;
    let same = |text: &str| Arc::new(StringArray::from(vec![text; fields.len()])) as ArrayRef;
    let texts =
        |of: &dyn Fn(&DxtField) -> Option<String>| Arc::new(fields.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let numbers = |of: &dyn Fn(&DxtType) -> Option<u64>| {
        Arc::new(fields.iter().map(|f| of(&f.dtype)).collect::<UInt64Array>()) as ArrayRef
    };
    let columns = vec![
        same(&relation.catalog),
        same(&relation.schema),
        same(&relation.table),
        texts(&|f| Some(f.name.clone())),
        Arc::new(UInt64Array::from_iter_values(1..=fields.len() as u64)),
        texts(&|_| None),
        texts(&|f| Some(if f.nullable { "YES" } else { "NO" }.into())),
        texts(&|f| Some(f.dtype.to_string())),
        numbers(&|_| None),
        numbers(&|_| None),
        numbers(&|t| digits(t).map(|(digits, _, _)| digits)),
        numbers(&|t| digits(t).map(|(_, radix, _)| radix)),
        numbers(&|t| digits(t).and_then(|(_, _, scale)| scale)),
        numbers(&|t| match t {
            DxtType::Time { precision } | DxtType::Timestamp { precision } | DxtType::TimestampTz { precision } => {
                Some(u64::from(*precision))
            }
            _ => None,
        }),
        texts(&|_| None),
        texts(&|f| f.native.as_ref().map(|native| native.name.clone())),
    ];
    Ok(RecordBatch::try_new(Kind::Columns.schema(), columns)?)
}

/// The digits of a number, their base, and how many are behind the point. A scale below 0 has no place in the standard.
fn digits(dtype: &DxtType) -> Option<(u64, u64, Option<u64>)> {
    Some(match dtype {
        DxtType::Int8 | DxtType::Uint8 => (8, 2, Some(0)),
        DxtType::Int16 | DxtType::Uint16 => (16, 2, Some(0)),
        DxtType::Int32 | DxtType::Uint32 => (32, 2, Some(0)),
        DxtType::Int64 | DxtType::Uint64 => (64, 2, Some(0)),
        DxtType::Float32 => (24, 2, None),
        DxtType::Float64 => (53, 2, None),
        DxtType::Decimal { precision, scale } => (u64::from(*precision), 10, u64::try_from(*scale).ok()),
        _ => return None,
    })
}
