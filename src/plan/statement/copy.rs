//! `COPY … TO 'file'`: rows of a table or query into a file or folder, by the loader of files, which publishes all at once.

use datafusion::sql::parser::{CopyToSource, CopyToStatement};
use datafusion::sql::sqlparser::ast::Value;
use serde_json::Value as Json;

use super::Planner;
use super::change::{Change, Way};
use super::insert::unique;
use crate::connector::file::FileConnector;
use crate::connector::{Connector, Dataset};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LoadMode, Options};

/// The option that says what becomes of a folder's rows.
const MODE: &str = "mode";

impl Planner<'_> {
    /// Plans a COPY. A file is replaced; a folder of parts must be empty, unless `OPTIONS (mode append)` or
    /// `(mode replace)` says what becomes of its rows. Other options are those of file targets.
    ///
    /// # Errors
    /// Configuration: an option is wrong. Loader, schema: nothing can be written there.
    pub(super) async fn copy(&self, copy: CopyToStatement) -> Result<Change> {
        let CopyToStatement { source, target, partitioned_by, stored_as, options } = copy;
        if !partitioned_by.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "COPY writes no folders of partitions")
                .with_hint("leave PARTITIONED BY out; a folder `x/` takes one part of each COPY"));
        }
        let (options, mode) = settings(options, stored_as)?;
        let select = match source {
            CopyToSource::Query(query) => self.query(query).await?,
            CopyToSource::Relation(name) => self.sql(&format!("SELECT * FROM {name}")).await?,
        };
        let connector = FileConnector::local("files", self.names.engine.base_dir())?;
        let loader = connector.loader(&Dataset::Path(target.clone()), &options).await?;
        // A URL may carry a secret behind `?`, which its loader leaves out.
        let shown = if target.contains("://") { loader.target() } else { format!("'{target}'") };
        let folder = target.ends_with('/');
        let (mode, expect_empty) = match mode {
            Some(mode) => (mode, false),
            None if folder => {
                if loader.has_rows().await? {
                    let hint = "OPTIONS (mode append) adds a part to them, OPTIONS (mode replace) takes their place";
                    let text = format!("{shown} has rows already");
                    return Err(Error::new(ErrorKind::Loader, text).with_hint(hint));
                }
                (LoadMode::Append, true)
            }
            None => (LoadMode::Replace, false),
        };
        let names: Vec<String> = select.schema().fields().iter().map(|f| f.name().clone()).collect();
        let count = names.len();
        let way = Way { mode, keys: Vec::new(), options: Options::new(), expect_empty };
        self.change(select, &unique(names, count)?, loader, way, shown)
    }
}

/// The options of a file target, and the mode.
fn settings(given: Vec<(String, Value)>, stored_as: Option<String>) -> Result<(Options, Option<LoadMode>)> {
    let mut options = Options::new();
    let mut put = |name: String, value: Json| match options.insert(name.clone(), value) {
        None => Ok(()),
        Some(_) => {
            let error = Error::new(ErrorKind::Configuration, format!("COPY has the option {name} twice"));
            Err(error.with_hint("say it once"))
        }
    };
    for (name, value) in given {
        // DataFusion's own COPY knows the options of a format by this prefix.
        let name = name.to_lowercase();
        let name = name.strip_prefix("format.").unwrap_or(&name).to_string();
        let value = match value {
            Value::Number(text, _) => serde_json::from_str(&text).unwrap_or(Json::String(text)),
            Value::Boolean(flag) => Json::Bool(flag),
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                Json::String(text)
            }
            other => {
                let text = format!("option {name} of COPY must be a text or a number, not {other}");
                return Err(Error::new(ErrorKind::Configuration, text));
            }
        };
        put(name, value)?;
    }
    if let Some(format) = stored_as {
        put("format".into(), Json::String(format.to_lowercase()))?;
    }
    let mode = match options.remove(MODE) {
        None => None,
        Some(value) => match value.as_str().map(str::to_lowercase).as_deref() {
            Some("append") => Some(LoadMode::Append),
            Some("replace") => Some(LoadMode::Replace),
            _ => {
                let error = Error::new(ErrorKind::Configuration, format!("the mode of COPY cannot be {value}"));
                return Err(error.with_hint("modes: append, replace"));
            }
        },
    };
    Ok((options, mode))
}
