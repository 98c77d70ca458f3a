//! The checks of one stream against its connections and within itself.

use super::check::{Key, Site};
use super::check_fields;
use super::check_sql;
use super::findings::Findings;
use crate::connector::{Addressing, Factory, LEDGER};
use crate::error::Result;
use crate::model::{ExtractMode, LoadMode, SourceKind, TargetKind};
use crate::plan::primary_key;

/// Checks all of a stream but its id.
pub(super) fn run(site: &Site<'_>, findings: &mut Findings) {
    source(site, findings);
    target(site, findings);
    check_fields::run(site, findings);
    check_sql::run(site, findings);
    extract(site, findings);
    sizes(site, findings);
}

fn source(site: &Site<'_>, findings: &mut Findings) {
    let source = &site.stream.source;
    let at = [("source.type", None), ("source.value", None), ("source", None)];
    let is_query = matches!(source.kind, SourceKind::Query(_)) && !site.broken("source.kind");
    if is_query && !source.options.is_empty() {
        let hint = "remove them: files within a query are read with their connection's options";
        site.report_of(findings, &at, "a source of type query takes no options", hint);
    }
    if source.connection.is_empty() && (is_query || site.places.is_some()) {
        return;
    }
    let Some(factory) = site.factory(&source.connection, "source.connection", findings) else {
        return;
    };
    if site.broken("source.kind") || is_query {
        return;
    }
    let whose = format!("connection {} ({})", source.connection, factory.kind);
    if !factory.capabilities.read {
        site.report_of(findings, &at, format!("{whose} cannot be read"), "take it as a target only");
        return;
    }
    if let Some(connector) = site.connectors.get(&source.connection) {
        options(site, &[("source.options", None), ("source", None)], connector.check_source(&source.options), findings);
    }
    match &source.kind {
        SourceKind::Sql(_) if !factory.capabilities.sql => {
            let hint = "write `type: query`: dxt runs the SQL itself, over all connections";
            site.report_of(findings, &at, format!("{whose} runs no SQL of its own"), hint);
        }
        SourceKind::Relation(_) if factory.capabilities.addressing == Addressing::Files => {
            site.report_of(
                findings,
                &at,
                format!("{whose} has files, not relations"),
                "write `type: file`, or no type",
            );
        }
        SourceKind::File(_) if factory.capabilities.addressing != Addressing::Files => {
            site.report_of(
                findings,
                &at,
                format!("{whose} has relations, not files"),
                "write `type: relation`, or no type",
            );
        }
        SourceKind::Sql(text) | SourceKind::File(text) if text.trim().is_empty() => {
            site.report_of(findings, &at, "the source is empty", "say what to read");
        }
        _ => {}
    }
}

fn target(site: &Site<'_>, findings: &mut Findings) {
    let target = &site.stream.target;
    if target.connection.is_empty() && site.places.is_some() {
        return;
    }
    let Some(factory) = site.factory(&target.connection, "target.connection", findings) else {
        return;
    };
    let mode_known = !site.broken("load.mode");
    if mode_known && !factory.capabilities.supports(site.stream.load.mode) {
        let can = factory.capabilities.modes();
        let mode = site.stream.load.mode.as_str();
        let message =
            format!("connection {} ({}) cannot {mode}; load modes it can: {can}", target.connection, factory.kind);
        let hint = if can == "none" {
            "choose another target".into()
        } else {
            format!("write `load: {{mode: …}}` with one of {can}")
        };
        site.report_of(findings, &[("load.mode", None), ("target", None)], message, hint);
        return;
    }
    once(site, factory, findings);
    if let Some(connector) = site.connectors.get(&target.connection) {
        let checked = connector.check_target(&target.options, &primary_key::without(&site.stream.load.options));
        options(site, &[("target.options", None), ("load.options", None), ("target", None)], checked, findings);
    }
    if site.broken("target.kind") {
        return;
    }
    addressed(site, factory, findings);
}

fn once(site: &Site<'_>, factory: &Factory, findings: &mut Findings) {
    let target = &site.stream.target;
    if !factory.capabilities.ledger {
        if site.stream.load.once == Some(true) {
            let message = format!(
                "load.once: connection {} ({}) cannot commit rows and the ledger of loads in one transaction",
                target.connection, factory.kind
            );
            let hint = "remove it; an append to files adds a part of the run's own name, and `mode: replace` repeats without harm";
            site.report_of(findings, &[("load.once", None), ("target", None)], message, hint);
        }
        return;
    }
    if matches!(&target.kind, TargetKind::Relation(name) if name.table() == LEDGER) && !site.broken("target.kind") {
        let message = format!("{LEDGER} is the table in which dxt keeps the ids of its loads");
        site.report_of(findings, &[("target.value", None), ("target", None)], message, "name another table");
    }
}

/// Reports what a connector says of options; one that is wrong itself has been reported at its own place.
fn options(site: &Site<'_>, keys: &[Key], checked: Result<()>, findings: &mut Findings) {
    if let Err(error) = checked {
        site.report_of(findings, keys, error.to_string(), error.hint().unwrap_or("see the connector's docs"));
    }
}

fn addressed(site: &Site<'_>, factory: &Factory, findings: &mut Findings) {
    let target = &site.stream.target;
    let at = [("target.type", None), ("target.value", None), ("target", None)];
    let whose = format!("connection {} ({})", target.connection, factory.kind);
    let is_files = factory.capabilities.addressing == Addressing::Files;
    match &target.kind {
        TargetKind::Relation(_) if is_files => {
            site.report_of(
                findings,
                &at,
                format!("{whose} has files, not relations"),
                "write `type: file`, or no type",
            );
        }
        TargetKind::File(_) if !is_files => {
            site.report_of(
                findings,
                &at,
                format!("{whose} has relations, not files"),
                "write `type: relation`, or no type",
            );
        }
        TargetKind::File(path) => file_target(site, path, findings),
        TargetKind::Relation(_) => {}
    }
}

fn file_target(site: &Site<'_>, path: &str, findings: &mut Findings) {
    let at = [("target.value", None), ("target", None)];
    if path.trim().is_empty() || path.contains('\0') {
        site.report_of(findings, &at, "the target is no path", "write `out/orders.parquet`, or `out/orders/`");
        return;
    }
    if path.contains('*') {
        let hint = "write `out/orders.parquet` for one file, or `out/orders/` for a folder of parts";
        site.report_of(findings, &at, "a target is one file or a folder, not a pattern", hint);
        return;
    }
    let load = &site.stream.load;
    if load.mode != LoadMode::Append || path.ends_with('/') || site.broken("load.mode") {
        return;
    }
    let why = if load.mode_explicit { "" } else { ", and append is the default mode" };
    let folder = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let hint = format!("write `load: {{mode: replace}}`, or a folder of parts as the target: `{folder}/`");
    let keys = if load.mode_explicit { [("load.mode", None), at[0], at[1]] } else { [at[0], at[1], at[1]] };
    site.report_of(findings, &keys, format!("one file cannot be appended to{why}"), hint);
}

fn extract(site: &Site<'_>, findings: &mut Findings) {
    let (extract, load) = (&site.stream.extract, &site.stream.load);
    let (mode_broken, load_broken) = (site.broken("extract.mode"), site.broken("load.mode"));
    let at_lookback = [("extract.lookback", None)];
    if mode_broken {
        return;
    }
    if extract.mode == ExtractMode::Full {
        if extract.lookback.is_some() {
            let hint = "write `mode: incremental` with a watermark_field, or remove lookback";
            site.report_of(findings, &at_lookback, "lookback means nothing in a full extract", hint);
        }
        return;
    }
    if extract.watermark_field.is_none() && !site.broken("extract.watermark_field") {
        let hint = "add `watermark_field:` with a field that only grows, such as updated_at";
        site.report_of(findings, &[("extract.mode", None)], "an incremental extract needs a watermark_field", hint);
    }
    if load_broken {
        return;
    }
    if load.mode == LoadMode::Replace {
        let message = "an incremental extract with load mode replace would drop all earlier rows";
        let hint = "write `mode: append` or `mode: upsert` in load, or `mode: full` in extract";
        site.report_of(findings, &[("load.mode", None), ("extract.mode", None)], message, hint);
    }
    if load.mode == LoadMode::Append && extract.lookback.is_some() {
        let hint = "write `load: {mode: upsert, upsert_keys: […]}`, or remove lookback";
        site.report_of(findings, &at_lookback, "lookback with load mode append would load rows twice", hint);
    }
    if load.mode == LoadMode::Append && site.stream.criteria.as_ref().is_some_and(|c| c.limit.is_some()) {
        let message = "criteria.limit with an incremental append would miss rows that tie with the last one taken";
        let hint = "write `load: {mode: upsert, upsert_keys: […]}`, or remove the limit";
        site.report_of(findings, &[("extract.mode", None)], message, hint);
    }
}

/// Numbers that the YAML reader keeps within bounds already, and code may not.
fn sizes(site: &Site<'_>, findings: &mut Findings) {
    let stream = site.stream;
    let zero = [
        ("extract.batch_size", stream.extract.batch_size == 0),
        ("extract.partitions", stream.extract.partitions == Some(0)),
        ("load.batch_size", stream.load.batch_size == Some(0)),
    ];
    for (key, _) in zero.iter().filter(|(_, is_zero)| *is_zero) {
        site.report_of(findings, &[(key, None)], format!("{key} is 0"), "take a number from 1");
    }
}
