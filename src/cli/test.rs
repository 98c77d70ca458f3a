//! `dxt test`: each connection in one table.

use serde::Serialize;

use super::args::{ResultFormat, TestArgs};
use super::query::named;
use super::{FAILED, print};
use crate::config::{self, VarValues};
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ConnectionConfig;

#[derive(Serialize)]
struct Tested {
    connection: String,
    kind: String,
    reachable: bool,
    version: Option<String>,
    location: Option<String>,
    can: Vec<&'static str>,
    error: Option<String>,
}

/// The connections to test. One that several pipelines of a folder share is one; others of the same name are told apart
/// by their pipelines.
fn configs(registry: &Registry, args: &TestArgs) -> Result<Vec<ConnectionConfig>> {
    let Some(folder) = args.pipeline.as_deref().filter(|path| path.is_dir()) else {
        return Ok(named(registry, args.pipeline.as_deref(), &args.connection)?.connections);
    };
    let mut configs: Vec<ConnectionConfig> = Vec::new();
    for loaded in config::load_all(folder, registry, &config::ProcessEnv, &VarValues::new())? {
        for config in loaded.pipeline.connections {
            let same = |other: &ConnectionConfig| {
                (&other.kind, &other.url, &other.fields, &other.options, &other.base_dir)
                    == (&config.kind, &config.url, &config.fields, &config.options, &config.base_dir)
            };
            if configs.iter().any(|other| other.name == config.name && same(other)) {
                continue;
            }
            let taken = configs.iter().any(|other| other.name == config.name);
            let name = if taken { format!("{}.{}", loaded.pipeline.name, config.name) } else { config.name.clone() };
            configs.push(ConnectionConfig { name, ..config });
        }
    }
    if !args.connection.is_empty() {
        let beside = named(registry, None, &args.connection)?.connections;
        let given =
            |name: &str| args.connection.iter().any(|text| text.split_once('=').is_some_and(|(n, _)| n == name));
        configs.extend(beside.into_iter().filter(|config| given(&config.name)));
    }
    Ok(configs)
}

pub async fn run(args: TestArgs) -> Result<u8> {
    let registry = Registry::builtin();
    let configs = configs(&registry, &args)?;
    if configs.is_empty() {
        return Err(Error::new(ErrorKind::Configuration, "there is no connection to test")
            .with_hint("name a pipeline, or --connection NAME=URL, or run it beside a dxt_project.yaml"));
    }
    let mut tested = Vec::new();
    let mut errors = Vec::new();
    for config in &configs {
        let connector = registry.connect(config)?;
        let can = connector.capabilities();
        let abilities = [
            (can.read, "read"),
            (can.sql, "sql"),
            (can.append, "append"),
            (can.replace, "replace"),
            (can.upsert, "upsert"),
            (can.transactional, "transactional"),
            (can.partitions, "partitions"),
        ];
        let answer = connector.test().await.map_err(|e| e.context(format!("connection {}", config.name)));
        tested.push(Tested {
            connection: config.name.clone(),
            kind: config.kind.clone(),
            reachable: answer.is_ok(),
            version: answer.as_ref().ok().map(|a| a.version.clone()),
            location: answer.as_ref().ok().map(|a| a.location.clone()),
            can: abilities.into_iter().filter(|(can, _)| *can).map(|(_, name)| name).collect(),
            error: answer.as_ref().err().map(ToString::to_string),
        });
        errors.extend(answer.err());
        connector.close().await;
    }
    match args.format {
        ResultFormat::Json => print::json(&tested)?,
        ResultFormat::Table => {
            let row = |t: Tested| {
                let reachable = if t.reachable { "yes" } else { "no" };
                let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
                vec![t.connection, t.kind, reachable.into(), or_none(t.version), or_none(t.location), t.can.join(", ")]
            };
            let header = ["connection", "type", "reachable", "version", "where", "can"];
            print::out(&print::table(&header, tested.into_iter().map(row).collect(), &[]))?;
            errors.iter().for_each(print::error);
        }
    }
    Ok(if errors.is_empty() { 0 } else { FAILED })
}
