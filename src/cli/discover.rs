//! `dxt discover`: the tables and fields of a connection.

use std::collections::HashSet;

use serde::Serialize;

use super::args::{DiscoverArgs, DiscoverFormat};
use super::print;
use super::query::named;
use crate::config::{DraftEnd, DraftLoad, DraftStream, PipelineDraft, stream_id, to_yaml};
use crate::connector::{Addressing, Dataset, ExtractRequest, LEDGER, Registry};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{ConnectionConfig, DxtSchema, LoadMode};
use crate::plan::Engine;

#[derive(Serialize)]
struct Found {
    name: String,
    kind: String,
    schema: Option<DxtSchema>,
    error: Option<String>,
    /// Whether it is dxt's own: no stream copies it.
    #[serde(skip)]
    ledger: bool,
}

pub async fn run(args: DiscoverArgs) -> Result<u8> {
    let registry = Registry::builtin();
    let by_url = args.connection.contains("://");
    let given = if by_url { vec![format!("source={}", args.connection)] } else { Vec::new() };
    let name = if by_url { "source" } else { args.connection.as_str() };
    let configs = named(&registry, args.pipeline.as_deref(), &given)?.connections;
    let engine = Engine::new(&registry, &configs, None, ".")?;
    let connector = engine.connector(name)?;
    let glob = args.select.as_deref().map(|g| globset::Glob::new(g).map(|g| g.compile_matcher())).transpose();
    let glob = glob.during(ErrorKind::Selector, || "--select is not a glob".into())?;
    let mut found = Vec::new();
    for relation in connector.list().await? {
        let text = relation.dataset.to_string();
        if glob.as_ref().is_some_and(|g| !g.is_match(&text)) {
            continue;
        }
        let named = matches!(&relation.dataset, Dataset::Relation(name) if name.table() == LEDGER);
        let ledger = named && connector.capabilities().ledger;
        let extractor = connector.extractor(&ExtractRequest::new(relation.dataset)).await;
        let (schema, error) = match extractor {
            Ok(extractor) => (Some(extractor.schema().clone()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        found.push(Found { name: text, kind: relation.kind, schema, error, ledger });
    }
    engine.close().await;
    if let (Some(select), true) = (&args.select, found.is_empty()) {
        return Err(Error::new(ErrorKind::Selector, format!("--select: no relation of {name} matches {select}"))
            .with_hint("leave --select out to see them all"));
    }
    match args.format {
        DiscoverFormat::Json => print::json(&found)?,
        DiscoverFormat::Table => print::out(&table(&found))?,
        DiscoverFormat::Yaml => {
            let files = connector.capabilities().addressing == Addressing::Files;
            print::out(&draft(name, &found, &configs, by_url, files)?)?;
        }
    }
    Ok(0)
}

fn table(found: &[Found]) -> String {
    let mut rows = Vec::new();
    for relation in found {
        let Some(schema) = &relation.schema else {
            let error = relation.error.clone().unwrap_or_default();
            rows.push(vec![
                relation.name.clone(),
                relation.kind.clone(),
                String::new(),
                error,
                String::new(),
                String::new(),
            ]);
            continue;
        };
        for field in &schema.fields {
            let key = if schema.primary_key.contains(&field.name) { "key" } else { "" };
            let native = field.native.as_ref().map_or("", |n| n.name.as_str());
            let null = if field.nullable { "" } else { "not null" };
            rows.push(vec![
                relation.name.clone(),
                relation.kind.clone(),
                field.name.clone(),
                field.dtype.to_string(),
                native.to_string(),
                [null, key].join(" ").trim().to_string(),
            ]);
        }
    }
    print::table(&["relation", "kind", "field", "type", "native type", "constraints"], rows, &[])
}

/// A pipeline that copies every relation that can be read to a Parquet file of its own.
fn draft(name: &str, found: &[Found], configs: &[ConnectionConfig], by_url: bool, files: bool) -> Result<String> {
    let mut draft = PipelineDraft::new(stream_id(&format!("copy_{name}")));
    if let Some(config) = configs.iter().find(|c| c.name == name).filter(|_| by_url) {
        // A URL may hold a password, which does not belong into a file.
        let url = config.url.as_ref().map_or("", |u| u.reveal());
        let text = if url.contains('@') { "${SOURCE_URL}" } else { url };
        draft.connections.insert(name.to_string(), text.into());
    }
    draft.connections.insert("copies".into(), serde_json::json!({"type": "file", "path": "./copies/"}));
    draft.source = Some(DraftEnd::connection(name));
    draft.target = Some(DraftEnd::connection("copies"));
    let mut taken = HashSet::new();
    for relation in found.iter().filter(|f| f.schema.is_some() && !f.ledger) {
        // `a b` and `a-b` stay apart; `a b` and `a/b` would share an id and a file. On some systems `A` and `a`, too.
        let plain = stream_id(&relation.name);
        let numbered = (2..).map(|n| format!("{plain}_{n}"));
        let id = std::iter::once(plain.clone()).chain(numbered).find(|id| taken.insert(id.to_lowercase()));
        let id = id.unwrap_or(plain);
        draft.streams.push(DraftStream {
            source: if files { DraftEnd::file(&relation.name) } else { DraftEnd::relation(&relation.name) },
            target: DraftEnd::file(format!("{id}.parquet")),
            load: Some(DraftLoad { mode: LoadMode::Replace, upsert_keys: Vec::new() }),
            id,
        });
    }
    if draft.streams.is_empty() {
        return Err(Error::new(ErrorKind::Schema, format!("{name} has nothing that can be read")));
    }
    to_yaml(&draft)
}
