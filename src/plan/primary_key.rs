//! The primary key of a target that is created: `upsert_keys` of an upsert or a replace, or what
//! `load: {options: {primary_key: …}}` says.

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtSchema, LoadMode, Options, Stream};

/// The option's name among a load's options. It is dxt's own: loaders do not see it.
pub const OPTION: &str = "primary_key";

/// A load's options as its loader sees them.
pub fn without(options: &Options) -> Options {
    options.iter().filter(|(name, _)| *name != OPTION).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The ids of the fields that make the key of a created target with the buffer's `schema`.
///
/// # Errors
/// Configuration: the option is neither `source`, `none` nor a list of fields. Schema: a field is not there.
pub fn fields(stream: &Stream, schema: &DxtSchema) -> Result<Vec<String>> {
    let wrong = |value: &Value| {
        Error::new(
            ErrorKind::Configuration,
            format!("primary_key must be source, none or a list of fields, not {value}"),
        )
        .with_hint("`source` takes the source's own key; a list names field ids: [order_id]")
    };
    let named = match stream.load.options.get(OPTION) {
        None | Some(Value::Null) => None,
        Some(Value::String(word)) if word == "none" => Some(Vec::new()),
        Some(Value::String(word)) if word == "source" => Some(schema.primary_key.clone()),
        Some(Value::Array(items)) => {
            let ids = items.iter().map(|i| i.as_str().map(str::to_string));
            Some(ids.collect::<Option<Vec<_>>>().ok_or_else(|| wrong(&Value::Array(items.clone())))?)
        }
        Some(other) => return Err(wrong(other)),
    };
    let keys = &stream.load.upsert_keys;
    let ids = match (stream.load.mode, named) {
        // The keys that rows are matched by have to be unique in any case.
        (LoadMode::Upsert, Some(named)) if !same(&named, keys) => {
            let what = format!("primary_key is [{}], and upsert_keys are [{}]", named.join(", "), keys.join(", "));
            return Err(Error::new(ErrorKind::Configuration, what)
                .with_hint("an upsert's keys are the key of the table that it creates: leave primary_key out"));
        }
        (LoadMode::Upsert, _) | (LoadMode::Replace, None) => keys.clone(),
        (_, named) => named.unwrap_or_default(),
    };
    match ids.iter().find(|id| schema.field(id).is_none()) {
        None => Ok(ids),
        Some(missing) => Err(Error::new(ErrorKind::Schema, format!("key {missing} is no field of the stream"))
            .with_hint(format!("its fields: {}", schema.names().join(", ")))),
    }
}

/// Whether both name the same fields, in any order.
fn same(a: &[String], b: &[String]) -> bool {
    let set = |ids: &[String]| ids.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    set(a) == set(b)
}
