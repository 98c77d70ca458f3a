//! Writing: a table that has been looked at, and what can be said of a load before it begins.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::ScalarValue;

use super::aside::PREFIX;
use super::catalog::{Relation, has_rows, has_schema, within};
use super::client::{Server, Session};
use super::config::Settings;
use super::decode::fetch;
use super::dialect::quote;
use super::load::MysqlLoad;
use super::statements::{Plan, watermark};
use super::types::{MyType, SYSTEM, from_native, is_text_of, to_native};
use crate::connector::sql::check_columns;
use crate::connector::{Load, LoadSpec, Loader};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, DxtType, LoadMode, RelationName};

/// Characters of a name.
const NAME_CHARS: usize = 64;

/// A target that has been looked at.
#[derive(Debug, Clone)]
pub(super) struct MysqlLoader {
    /// With the connection's name, for people.
    pub(super) label: String,
    pub(super) settings: Arc<Settings>,
    /// Database and table, also where it does not exist yet.
    pub(super) name: RelationName,
    pub(super) relation: Option<Relation>,
    server: Server,
}

impl MysqlLoader {
    /// Looks at a target.
    ///
    /// # Errors
    /// Loader: it does not exist, and neither does its database.
    pub(super) async fn look(connection: &str, settings: Arc<Settings>, name: &RelationName) -> Result<Self> {
        let label = format!("{connection}.{name}");
        let name = within(name, settings.database.as_deref())?;
        name.parts.iter().try_for_each(|part| check_name(part))?;
        if name.table().starts_with(PREFIX) {
            let what = format!("tables that begin with {PREFIX} are dxt's own, and it drops them");
            return Err(Error::new(ErrorKind::Loader, what).with_hint("give the target another name"));
        }
        let mut session = Session::open(&settings, ErrorKind::Loader).await?;
        let relation = Relation::find(&mut session, &name).await?;
        if relation.is_none() {
            let database = name.schema().unwrap_or_default();
            if !has_schema(&mut session, database).await? {
                let error =
                    Error::new(ErrorKind::Loader, format!("there is no database {database} for the table {name}"));
                return Err(error.with_hint(format!("create it: CREATE DATABASE {}", quote(database))));
            }
        }
        let server = session.server().clone();
        session.close().await;
        Ok(Self { label, settings, name, relation, server })
    }

    async fn session(&self) -> Result<Session> {
        Session::open(&self.settings, ErrorKind::Loader).await.map_err(|e| self.during(e))
    }

    fn during(&self, error: Error) -> Error {
        error.context(format!("target {}", self.label))
    }
}

#[async_trait]
impl Loader for MysqlLoader {
    fn target(&self) -> String {
        self.label.clone()
    }

    fn existing(&self) -> Option<&DxtSchema> {
        self.relation.as_ref().map(|relation| &relation.schema)
    }

    fn stored(&self, field: &DxtField, declared: Option<&str>) -> Result<DxtField> {
        let native = match declared {
            Some(declared) => Ok(declared.trim().to_string()),
            None => to_native(field, &self.server),
        };
        let stored = native.and_then(|native| {
            check_name(&field.name)?;
            let dtype = from_native(&native)?.dtype();
            let dtype = if is_text_of(field, &native) { DxtType::String } else { dtype };
            Ok(DxtField::new(&field.name, dtype).native(SYSTEM, native))
        });
        stored.map(|stored| stored.nullable(field.nullable)).map_err(|e| e.context(format!("field {}", field.name)))
    }

    fn takes(&self, field: &DxtField, column: &DxtField) -> Result<DxtField> {
        let native = column.native_in(SYSTEM).unwrap_or_default();
        match MyType::parse(native) {
            Some(MyType::Float(true) | MyType::Double(true)) if field.native != column.native => {
                let what = format!("column {} is {native}, which rounds in silence what does not fit", column.name);
                Err(Error::new(ErrorKind::Schema, what)
                    .with_hint("make it float, double or decimal without that limit"))
            }
            // Which holds any small number.
            Some(MyType::Bool) if field.dtype.is_integer() => Ok(DxtField { dtype: DxtType::Int8, ..column.clone() }),
            _ if is_text_of(field, native) => Ok(DxtField { dtype: DxtType::String, ..column.clone() }),
            _ => Ok(column.clone()),
        }
    }

    fn check(&self, spec: &LoadSpec) -> Result<()> {
        check(self.relation.as_ref(), spec).map_err(|e| self.during(e))?;
        let plan = Plan::new(&self.name, self.relation.as_ref(), spec, &self.server);
        plan.map(|_| ()).map_err(|e| self.during(e))
    }

    fn statements(&self, spec: &LoadSpec) -> Vec<String> {
        // A plan that cannot be made was refused by `check`.
        let plan = Plan::new(&self.name, self.relation.as_ref(), spec, &self.server);
        plan.map(|plan| plan.statements()).unwrap_or_default()
    }

    async fn has_rows(&self) -> Result<bool> {
        if self.relation.is_none() {
            return Ok(false);
        }
        let mut session = self.session().await?;
        let has = has_rows(&mut session, &self.name).await.map_err(|e| self.during(e))?;
        session.close().await;
        Ok(has)
    }

    fn follows(&self, stored: &DxtField) -> Result<()> {
        watermark(&self.name, None, stored).map(|_| ()).map_err(|e| self.during(e))
    }

    async fn watermark(&self, column: &str) -> Result<Option<ScalarValue>> {
        let Some(relation) = &self.relation else {
            return Ok(None);
        };
        let mut session = self.session().await?;
        let greatest = greatest(&mut session, relation, column).await.map_err(|e| self.during(e))?;
        session.close().await;
        Ok(greatest)
    }

    fn rereads(&self, spec: &LoadSpec) -> bool {
        // Rows among others have nothing that tells whose they are.
        spec.mode != LoadMode::Append || self.relation.is_none()
    }

    async fn begin(&self, spec: &LoadSpec) -> Result<Box<dyn Load>> {
        let session = self.session().await?;
        let load = MysqlLoad::begin(session, self, spec).await;
        Ok(Box::new(load.map_err(|e| self.during(e))?))
    }
}

/// The greatest value of a column of a table, as the column is read.
pub(super) async fn greatest(session: &mut Session, relation: &Relation, column: &str) -> Result<Option<ScalarValue>> {
    const DOING: &str = "asking for the watermark";
    let Some(field) = relation.schema.field(column) else {
        return Err(Error::new(ErrorKind::Schema, format!("the target has no column {column} for the watermark")));
    };
    let (sql, read) = watermark(&relation.name, Some(relation), field)?;
    let batch = fetch(session, &sql, &[read], DOING).await?;
    if batch.num_rows() == 0 {
        return Ok(None);
    }
    let value = ScalarValue::try_from_array(batch.column(0), 0).during(ErrorKind::Loader, || DOING.into())?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

fn check_name(name: &str) -> Result<()> {
    let hint = "give the field or target another name";
    if name.chars().count() > NAME_CHARS {
        let what = format!("the name {name} has more than {NAME_CHARS} characters, which MySQL's names have at most");
        return Err(Error::new(ErrorKind::Schema, what).with_hint(hint));
    }
    if name.ends_with(' ') || name.contains('\0') || name.chars().any(|c| c > '\u{ffff}') {
        let what = format!("MySQL takes no name such as {name:?}");
        return Err(Error::new(ErrorKind::Schema, what).with_hint(hint));
    }
    Ok(())
}

/// Checks a load against the target as it is.
pub(super) fn check(relation: Option<&Relation>, spec: &LoadSpec) -> Result<()> {
    let wrong = |what: String| Err(Error::new(ErrorKind::Schema, what));
    let fields = &spec.schema.fields;
    if fields.is_empty() {
        return wrong("a load needs at least one column".into());
    }
    let mut seen = BTreeSet::new();
    for field in fields {
        check_name(&field.name)?;
        if !seen.insert(field.name.to_lowercase()) {
            let error = Error::new(ErrorKind::Schema, format!("two columns are named {}", field.name));
            return Err(error.with_hint(
                "MySQL does not tell upper from lower case in names of columns: give one of them another `target` name",
            ));
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
    if !relation.is_table() {
        let what = format!("{} is a {}, which dxt does not load", relation.name, relation.kind.as_str());
        return Err(Error::new(ErrorKind::Schema, what).with_hint("name a table as the target"));
    }
    if !relation.transactional {
        let engine = relation.engine.as_deref().unwrap_or("unknown");
        let what = format!(
            "the engine of {} is {engine}, which has no transactions: a load that fails would leave some of its rows",
            relation.name
        );
        let hint = format!("alter it: ALTER TABLE {} ENGINE=InnoDB", super::dialect::relation(&relation.name));
        return Err(Error::new(ErrorKind::Loader, what).with_hint(hint));
    }
    check_columns(&relation.schema, &spec.schema)?;
    let schema = |what: String| Error::new(ErrorKind::Schema, what);
    for field in &spec.schema.fields {
        let Some(column) = relation.schema.field(&field.name) else {
            continue;
        };
        let native = column.native_in(SYSTEM).unwrap_or_default();
        let number = field.dtype == DxtType::Int8 && column.dtype == DxtType::Bool;
        let dated = matches!(
            MyType::parse(native),
            Some(MyType::Date | MyType::Time(_) | MyType::Datetime(_) | MyType::Timestamp(_))
        );
        let text = field.dtype == DxtType::String && dated;
        if field.dtype.to_arrow() != column.dtype.to_arrow() && !number && !text {
            let what = format!("column {} of the target is {native}, and the load brings {}", field.name, field.dtype);
            return Err(schema(what).with_hint(format!("give the field `dtype: {}`", column.dtype.name())));
        }
    }
    Ok(())
}
