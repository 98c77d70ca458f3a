//! `\d` and `\l`: what there is to ask.

use futures::future::join_all;

use super::keywords::spelled;
use super::names::{Listed, Names, Table};
use crate::cli::print;
use crate::error::Result;
use crate::model::{ConnectionConfig, DxtSchema};

/// The connections, without their secrets. Connects to nothing.
pub fn connections(configs: &[ConnectionConfig]) -> String {
    if configs.is_empty() {
        return "There are no connections: give some by --connection NAME=URL, or a pipeline that has some.\n".into();
    }
    let row = |config: &ConnectionConfig| vec![config.name.clone(), config.kind.clone(), location(config)];
    print::table(&["connection", "type", "location"], configs.iter().map(row).collect(), &[])
}

/// Where a connection leads: what of its URL or fields cannot be a secret.
fn location(config: &ConnectionConfig) -> String {
    if config.url.is_some() {
        return config.redacted();
    }
    let places = ["host", "port", "database", "bucket", "container", "path"];
    let values = places.iter().filter_map(|name| config.fields.get(*name)).map(|value| match value.as_str() {
        Some(url) if url.contains("://") => ConnectionConfig::from_url("", url, "").redacted(),
        Some(text) => text.to_string(),
        None => value.to_string(),
    });
    values.collect::<Vec<_>>().join(" ")
}

/// What all catalogs have. One that cannot be asked says why in its line.
pub async fn everything(names: &Names) -> String {
    let catalogs = names.catalogs();
    let listings = join_all(catalogs.iter().map(|catalog| names.listing(catalog, true))).await;
    let mut rows = Vec::new();
    let mut failed = String::new();
    for (catalog, listing) in catalogs.iter().zip(listings) {
        match listing {
            Ok(listed) => rows.extend(listed.iter().map(line)),
            Err(error) => failed += &format!("{catalog}: {error}\n"),
        }
    }
    listed(rows) + &failed
}

/// The tables of a catalog or a schema, or the columns of a table: whatever a name means.
///
/// # Errors
/// Schema: there is nothing of this name. Connection and the like: it cannot be asked.
pub async fn named(names: &Names, table: &Table) -> Result<String> {
    let parts = match table {
        Table::File(path) => return Ok(columns(path, names.columns(table).await?.as_ref())),
        Table::Named(parts) => parts,
    };
    let Some(catalog) = parts.first() else { return Ok(String::new()) };
    let schemas = names.has_schemas(catalog).ok_or_else(|| names.unknown(catalog))?;
    if parts.len() < if schemas { 3 } else { 2 } {
        let listing = names.listing(catalog, true).await?;
        let rows = listing.iter().filter(|listed| listed.parts.starts_with(parts)).map(line);
        return Ok(listed(rows.collect()));
    }
    Ok(columns(&spelled(parts), names.columns(table).await?.as_ref()))
}

fn line(listed: &Listed) -> Vec<String> {
    vec![spelled(&listed.parts), listed.kind.clone()]
}

fn listed(rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return "There is nothing here.\n".into();
    }
    print::table(&["name", "kind"], rows, &[])
}

fn columns(title: &str, schema: &DxtSchema) -> String {
    let rows = schema.fields.iter().map(|field| {
        let place = schema.primary_key.iter().position(|key| *key == field.name);
        // A key of several columns has an order.
        let key = match place {
            None => String::new(),
            Some(_) if schema.primary_key.len() == 1 => "key".into(),
            Some(place) => format!("key {}", place + 1),
        };
        let native = field.native.as_ref().map_or("", |n| n.name.as_str()).to_string();
        let null = if field.nullable { "" } else { "not null" };
        let name = spelled(std::slice::from_ref(&field.name));
        vec![name, field.dtype.to_string(), native, null.into(), key]
    });
    format!("{title}\n") + &print::table(&["column", "type", "native type", "null", "key"], rows.collect(), &[])
}
