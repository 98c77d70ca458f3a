//! Writing: a table that has been looked at, and what can be said of a load before it begins.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::ExecutionPlan;

use super::catalog::{Relation, RelationKind};
use super::client::Session;
use super::config::Settings;
use super::dialect::PostgresDialect;
use super::load::PostgresLoad;
use super::relay;
use super::snapshot::{Snapshots, database, identity};
use super::source::fetch;
use super::statements::{Plan, watermark};
use super::types::{PgType, PostgresTypes, SYSTEM, is_text_of, is_within};
use crate::connector::sql::{Dialect, check_columns};
use crate::connector::{Load, LoadSpec, Loader, Relay, TypeMapper};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, DxtType, LoadMode, RelationName};

/// Bytes of a name; the server cuts what is longer.
const NAME_BYTES: usize = 63;

/// A target that has been looked at.
#[derive(Debug, Clone)]
pub(super) struct PostgresLoader {
    /// With the connection's name, for people.
    pub(super) label: String,
    pub(super) settings: Arc<Settings>,
    /// Schema and table, also where it does not exist yet.
    pub(super) name: RelationName,
    relation: Option<Relation>,
    /// What tells its database apart from others.
    pub(super) database: String,
    pub(super) snapshots: Arc<Snapshots>,
    /// Whether rows come as another server's COPY has them.
    pub(super) relayed: bool,
}

impl PostgresLoader {
    /// Looks at a target.
    ///
    /// # Errors
    /// Loader: it does not exist, and neither does its schema.
    pub(super) async fn look(
        connection: &str,
        settings: Arc<Settings>,
        snapshots: Arc<Snapshots>,
        name: &RelationName,
    ) -> Result<Self> {
        let label = format!("{connection}.{name}");
        for part in &name.parts {
            check_name(part)?;
        }
        let session = Session::open(&settings, ErrorKind::Loader).await?;
        let relation = match Relation::find(&session, name, &settings.database).await? {
            Some(relation) => Some(relation.with_swap(&session).await?),
            None => None,
        };
        let name = match &relation {
            Some(relation) => relation.name.clone(),
            None => RelationName { parts: vec![home(&session, name).await?, name.table().to_string()] },
        };
        let database = database(&session).await?;
        session.close().await;
        Ok(Self { label, settings, name, relation, database, snapshots, relayed: false })
    }

    async fn session(&self) -> Result<Session> {
        Session::open(&self.settings, ErrorKind::Loader).await.map_err(|e| self.during(e))
    }

    fn during(&self, error: Error) -> Error {
        error.context(format!("target {}", self.label))
    }
}

/// The schema in which a table that does not exist will be created.
async fn home(session: &Session, name: &RelationName) -> Result<String> {
    const DOING: &str = "looking for the target's schema";
    let Some(schema) = name.schema() else {
        let current: Option<String> = session.value("SELECT current_schema()::text", &[], DOING).await?;
        return current.ok_or_else(|| {
            Error::new(ErrorKind::Loader, format!("no schema of the search path can take the table {name}"))
                .with_hint("name the target as `schema.table`")
        });
    };
    const EXISTS: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    if session.value(EXISTS, &[&schema], DOING).await? {
        return Ok(schema.to_string());
    }
    let quoted = PostgresDialect::default().quote(schema);
    Err(Error::new(ErrorKind::Loader, format!("there is no schema {schema} for the table {name}"))
        .with_hint(format!("create it: CREATE SCHEMA {quoted}")))
}

#[async_trait]
impl Loader for PostgresLoader {
    fn target(&self) -> String {
        self.label.clone()
    }

    fn existing(&self) -> Option<&DxtSchema> {
        self.relation.as_ref().map(|relation| &relation.schema)
    }

    fn stored(&self, field: &DxtField, declared: Option<&str>) -> Result<DxtField> {
        let native = match declared {
            Some(declared) => Ok(declared.trim().to_string()),
            None => PostgresTypes.to_native(field),
        };
        let stored = native.and_then(|native| {
            check_name(&field.name)?;
            let dtype = PostgresTypes.from_native(&native)?;
            let dtype = if is_text_of(field, &native) { field.dtype.clone() } else { dtype };
            Ok(DxtField::new(&field.name, dtype).native(SYSTEM, native))
        });
        stored.map(|stored| stored.nullable(field.nullable)).map_err(|e| e.context(format!("field {}", field.name)))
    }

    fn takes(&self, field: &DxtField, column: &DxtField) -> Result<DxtField> {
        let rounding = self.relation.as_ref().and_then(|relation| relation.rounding.get(&column.name));
        if let Some(base) = rounding.filter(|base| field.native != column.native && !is_within(field, base)) {
            let native = column.native_in(SYSTEM).unwrap_or_default();
            let of = if base == native { String::new() } else { format!(", made of {base}") };
            let what = format!(
                "column {} is {native}{of}, which rounds or cuts in silence what does not fit, and the load brings {}",
                column.name, field.dtype
            );
            return Err(Error::new(ErrorKind::Schema, what).with_hint(match PgType::parse(base).dtype() {
                DxtType::String => {
                    "read it from a column of the same type, or give the column one without a limit".into()
                }
                dtype => format!("give the field the type of the column: {dtype}"),
            }));
        }
        Ok(match column.native_in(SYSTEM) {
            Some(native) if is_text_of(field, native) => DxtField { dtype: field.dtype.clone(), ..column.clone() },
            _ => column.clone(),
        })
    }

    fn check(&self, spec: &LoadSpec) -> Result<()> {
        check(self.relation.as_ref(), spec).map_err(|e| self.during(e))?;
        Plan::new(&self.name, self.relation.as_ref(), spec).map(|_| ()).map_err(|e| self.during(e))
    }

    fn statements(&self, spec: &LoadSpec) -> Vec<String> {
        // A plan that cannot be made was refused by `check`.
        Plan::new(&self.name, self.relation.as_ref(), spec).map(|plan| plan.statements()).unwrap_or_default()
    }

    async fn has_rows(&self) -> Result<bool> {
        if self.relation.is_none() {
            return Ok(false);
        }
        let session = self.session().await?;
        let sql = format!("SELECT EXISTS (SELECT FROM {})", PostgresDialect::default().relation(&self.name));
        let has = session.value(&sql, &[], "looking for rows").await.map_err(|e| self.during(e))?;
        session.close().await;
        Ok(has)
    }

    fn follows(&self, stored: &DxtField) -> Result<()> {
        watermark(&self.name, stored).map(|_| ()).map_err(|e| self.during(e))
    }

    async fn watermark(&self, column: &str) -> Result<Option<ScalarValue>> {
        let Some(relation) = &self.relation else {
            return Ok(None);
        };
        let session = self.session().await?;
        let greatest = greatest(&session, relation, column).await.map_err(|e| self.during(e))?;
        session.close().await;
        Ok(greatest)
    }

    fn rereads(&self, spec: &LoadSpec) -> bool {
        // Rows among others are told by their transaction, which the server says from 13 on.
        spec.mode != LoadMode::Append || self.relation.as_ref().is_none_or(|relation| relation.version >= 130_000)
    }

    fn locks_out(&self, spec: &LoadSpec) -> Option<String> {
        let plan = Plan::new(&self.name, self.relation.as_ref(), spec).ok()?;
        plan.locks_out().then(|| identity(&self.database, &self.name))
    }

    fn relay(&self, spec: &LoadSpec, input: &Arc<dyn ExecutionPlan>) -> Option<Relay> {
        let input = relay::relay(spec, self.relation.as_ref(), input)?;
        Some(Relay { input, loader: Arc::new(Self { relayed: true, ..self.clone() }) })
    }

    async fn begin(&self, spec: &LoadSpec) -> Result<Box<dyn Load>> {
        let session = self.session().await?;
        let load = PostgresLoad::begin(session, self, spec).await;
        Ok(Box::new(load.map_err(|e| self.during(e))?))
    }
}

/// The greatest value of a column of a table, as the column is read.
pub(super) async fn greatest(session: &Session, relation: &Relation, column: &str) -> Result<Option<ScalarValue>> {
    let Some(field) = relation.schema.field(column) else {
        return Err(Error::new(ErrorKind::Schema, format!("the target has no column {column} for the watermark")));
    };
    let doing = "asking for the watermark";
    let (sql, read) = watermark(&relation.name, field)?;
    let Some(batch) = fetch(session, &sql, &[read], doing).await? else {
        return Ok(None);
    };
    let value = ScalarValue::try_from_array(batch.column(0), 0).during(ErrorKind::Loader, || doing.into())?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

fn check_name(name: &str) -> Result<()> {
    if name.len() <= NAME_BYTES {
        return Ok(());
    }
    let what = format!("the name {name} has {} bytes; PostgreSQL keeps {NAME_BYTES} and cuts the rest", name.len());
    Err(Error::new(ErrorKind::Schema, what).with_hint("give the field a shorter `target: {name: …}`"))
}

/// Checks a load against the target as it is.
pub(super) fn check(relation: Option<&Relation>, spec: &LoadSpec) -> Result<()> {
    let wrong = |what: String| Err(Error::new(ErrorKind::Schema, what));
    let fields = &spec.schema.fields;
    if fields.is_empty() {
        return wrong("a load needs at least one column".into());
    }
    for (index, field) in fields.iter().enumerate() {
        check_name(&field.name)?;
        if fields[..index].iter().any(|other| other.name == field.name) {
            return wrong(format!("two fields of the load are named {}", field.name));
        }
    }
    if spec.mode == LoadMode::Upsert && spec.keys.is_empty() {
        let error = Error::new(ErrorKind::Loader, "an upsert needs keys");
        return Err(error.with_hint("name them: `load: {mode: upsert, upsert_keys: [id]}`"));
    }
    for (what, column) in spec.keys.iter().map(|k| ("key", k)).chain(spec.watermark.iter().map(|w| ("watermark", w))) {
        if spec.schema.field(column).is_none() {
            return wrong(format!("the {what} {column} is no column of the load"));
        }
    }
    relation.map_or(Ok(()), |relation| check_existing(relation, spec))
}

fn check_existing(relation: &Relation, spec: &LoadSpec) -> Result<()> {
    if !matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned) {
        let what = format!("{} is a {}, which dxt does not load", relation.name, relation.kind.as_str());
        return Err(Error::new(ErrorKind::Schema, what).with_hint("name a table as the target"));
    }
    check_columns(&relation.schema, &spec.schema)?;
    let schema = |what: String| Error::new(ErrorKind::Schema, what);
    for field in &spec.schema.fields {
        let Some(column) = relation.schema.field(&field.name) else {
            continue;
        };
        let native = column.native_in(SYSTEM).unwrap_or_default();
        if field.dtype.to_arrow() != column.dtype.to_arrow() && !is_text_of(field, native) {
            let what = format!("column {} of the target is {native}, and the load brings {}", field.name, field.dtype);
            return Err(schema(what).with_hint(format!("give the field `dtype: {}`", column.dtype.name())));
        }
        let sets_identity = spec.mode == LoadMode::Upsert && relation.always_identity.contains(&field.name);
        if sets_identity && !spec.keys.contains(&field.name) {
            let what = format!("column {} is GENERATED ALWAYS AS IDENTITY and cannot be updated", field.name);
            return Err(schema(what).with_hint("leave it out of the stream's `fields`, or make it a key"));
        }
    }
    Ok(())
}
