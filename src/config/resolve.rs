//! Merges project, pipeline and stream into the model: a stream's own words win, then the pipeline's, then the
//! project's, key by key.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::check;
use super::connection::RawConnection;
use super::decode::{Cx, RawBuffer, RawExtract, RawFile, RawLoad, RawRetry, RawStream};
use super::decode_end::{RawConnectionRef, RawEnd};
use super::decode_field::RawField;
use super::decode_vars::RawVar;
use super::findings::Mark;
use super::places::{ConnectionPlaces, Places, StreamPlaces};
use super::read::Given;
use super::resolve_end;
use crate::model::{
    BufferConfig, ConnectionConfig, ExtractConfig, ExtractMode, FieldSpec, LoadConfig, Options, Param, Params,
    Pipeline, RetryConfig, Stream,
};
use crate::plan;

/// The connections of a load: those of the files, then those that stand within streams.
pub(super) struct Connections {
    raw: Vec<RawConnection>,
    from_project: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl Connections {
    /// The pipeline's connections, then those of the project that the pipeline does not name itself.
    pub fn new(own: Vec<RawConnection>, project: Vec<RawConnection>) -> Self {
        let mut this = Self { raw: own, from_project: BTreeSet::new(), used: BTreeSet::new() };
        for connection in project {
            if !this.raw.iter().any(|c| c.name == connection.name) {
                this.from_project.insert(connection.name.clone());
                this.raw.push(connection);
            }
        }
        this
    }

    /// The connection of this name, where it is there and right. It counts as used.
    pub fn named(&mut self, name: &str) -> Option<&ConnectionConfig> {
        self.used.insert(name.to_string());
        self.raw.iter().find(|c| c.name == name)?.config.as_ref()
    }

    pub fn names(&self) -> Vec<&str> {
        self.raw.iter().map(|c| c.name.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.raw.iter().any(|c| c.name == name)
    }

    /// The name of a connection that a source or target refers to. One that stands there itself gets a name; two that
    /// are the same are one connection.
    pub fn name_of(&mut self, reference: &RawConnectionRef, mark: Mark) -> String {
        let (config, keys) = match reference {
            RawConnectionRef::Name(name) => return name.clone(),
            RawConnectionRef::Inline(config, keys) => (config, keys),
        };
        if let Some(same) = self.raw.iter().find(|c| c.config.as_ref().is_some_and(|c| same_system(c, config))) {
            return same.name.clone();
        }
        let free = |name: &String| !self.raw.iter().any(|c| c.name == *name);
        let name = (1..).map(|i| format!("{}_{i}", config.kind)).find(free).unwrap_or_default();
        let config = ConnectionConfig { name: name.clone(), ..(**config).clone() };
        let raw =
            RawConnection { name: name.clone(), mark, keys: keys.clone(), config: Some(config), pending: Vec::new() };
        self.raw.push(raw);
        name
    }

    /// Ends the collection: what is missing in a project's connection counts only where the connection is used.
    fn finish(self, streams: &[Stream], places: &mut Places, cx: &mut Cx<'_>) -> Vec<ConnectionConfig> {
        let mut configs = Vec::new();
        for connection in self.raw {
            let used = self.used.contains(&connection.name) || check::is_used(streams, &connection.name);
            let unused_of_project = !used && self.from_project.contains(&connection.name);
            if !unused_of_project {
                connection.pending.into_iter().for_each(|finding| cx.findings.push(finding));
            }
            let check = connection.config.is_some() && !unused_of_project;
            let place = ConnectionPlaces { mark: connection.mark, keys: connection.keys, check };
            places.connections.insert(connection.name, place);
            configs.extend(connection.config);
        }
        configs
    }
}

fn same_system(a: &ConnectionConfig, b: &ConnectionConfig) -> bool {
    (&a.kind, &a.url, &a.fields, &a.options, &a.base_dir) == (&b.kind, &b.url, &b.fields, &b.options, &b.base_dir)
}

/// What holds for streams that do not say otherwise.
struct Defaults {
    source: RawEnd,
    target: RawEnd,
    extract: RawExtract,
    load: RawLoad,
    retry: RawRetry,
}

/// The whole pipeline with all defaults merged, and where its parts stand. Where findings were made the pipeline has
/// gaps and must not leave this module's callers.
pub(super) fn pipeline(
    own: RawFile,
    project: Option<RawFile>,
    base_dir: PathBuf,
    cx: &mut Cx<'_>,
) -> (Pipeline, Places) {
    let mut places = Places { pipeline: Some(own.mark), name: own.name.mark(), ..Places::default() };
    let mut defaults =
        Defaults { source: own.source, target: own.target, extract: own.extract, load: own.load, retry: own.retry };
    let (mut shared, mut shared_buffer, mut shared_vars) = (Vec::new(), RawBuffer::default(), Given::Absent);
    if let Some(project) = project {
        defaults = Defaults {
            source: defaults.source.over(&project.source),
            target: defaults.target.over(&project.target),
            extract: extract_over(defaults.extract, &project.extract),
            load: load_over(defaults.load, &project.load),
            retry: retry_over(defaults.retry, &project.retry),
        };
        places.connections_broken |= project.connections.is_broken();
        (shared, shared_buffer) = (project.connections.value().unwrap_or_default(), project.buffer);
        shared_vars = project.vars;
    }
    places.connections_broken |= own.connections.is_broken();
    let mut connections = Connections::new(own.connections.value().unwrap_or_default(), shared);
    let named = own.buffer.connection.clone().or(shared_buffer.connection.clone());
    places.buffer = named.mark();
    // A project's connection that holds the buffer is one that is used.
    if let Some(name) = named.value() {
        connections.named(&name);
    }
    let buffer = buffer(own.buffer, shared_buffer, &base_dir, cx);
    let params = params(own.vars, shared_vars, cx);
    let mut streams = Vec::new();
    for raw in own.streams.value().unwrap_or_default() {
        let (stream, place) = stream(raw, &defaults, &mut connections, cx);
        streams.push(stream);
        places.streams.push(place);
    }
    let references = [defaults.source.connection.as_ref(), defaults.target.connection.as_ref()];
    for reference in references {
        if let Given::Is(RawConnectionRef::Name(name), mark) = reference
            && !connections.has(name)
            && !places.connections_broken
        {
            let (message, hint) = check::unknown_connection(name, &connections.names());
            cx.findings.add(mark, message, hint);
        }
    }
    let connections = connections.finish(&streams, &mut places, cx);
    let name = own.name.value().unwrap_or_default();
    let description = own.description.value();
    let pipeline = Pipeline { name, description, connections, params, buffer, streams, base_dir };
    (pipeline, places)
}

/// The variables that are declared, with their defaults: the pipeline's, then those of the project that it has not.
fn params(own: Given<Vec<RawVar>>, shared: Given<Vec<RawVar>>, cx: &mut Cx<'_>) -> Params {
    let mut params = Params::new();
    for var in own.value().into_iter().chain(shared.value()).flatten() {
        if params.contains_key(&var.name) {
            continue;
        }
        if let (Some(dtype), Some((text, mark))) = (var.dtype, &var.default)
            && let Err(error) = plan::params::check(&var.name, text, dtype)
        {
            cx.findings.add(*mark, error.to_string(), error.hint().unwrap_or("write another default"));
        }
        let param = Param { dtype: var.dtype, value: var.default.map(|(text, _)| text) };
        params.insert(var.name, param);
    }
    params
}

/// The buffer; its location starts at the folder of the file that names it, the default's at the pipeline's. A URL and a
/// path within a connection stay as they are.
fn buffer(own: RawBuffer, shared: RawBuffer, base_dir: &Path, cx: &Cx<'_>) -> BufferConfig {
    let usual = BufferConfig::default();
    let connection = own.connection.or(shared.connection).value();
    let plain = |path: PathBuf| path.components().filter(|part| *part != Component::CurDir).collect();
    let location = match (own.location.or(shared.location), &connection) {
        (Given::Is(location, _), Some(_)) => PathBuf::from(location),
        (Given::Is(location, _), None) if location.contains("://") => PathBuf::from(location),
        (Given::Is(location, mark), None) => plain(cx.base(mark).join(location)),
        (_, Some(_)) => usual.location,
        (_, None) => plain(base_dir.join(&usual.location)),
    };
    BufferConfig {
        format: own.format.or(shared.format).value().unwrap_or(usual.format),
        compression: own.compression.or(shared.compression).value().unwrap_or(usual.compression),
        location,
        connection,
        grace: own.grace.or(shared.grace).value().unwrap_or(usual.grace),
        lock: own.lock.or(shared.lock).value().unwrap_or(usual.lock),
        persist: own.persist.or(shared.persist).value().unwrap_or(usual.persist),
        cleanup_on_success: own
            .cleanup_on_success
            .or(shared.cleanup_on_success)
            .value()
            .unwrap_or(usual.cleanup_on_success),
        retain_on_failure: own
            .retain_on_failure
            .or(shared.retain_on_failure)
            .value()
            .unwrap_or(usual.retain_on_failure),
    }
}

fn extract_over(own: RawExtract, default: &RawExtract) -> RawExtract {
    let default = default.clone();
    RawExtract {
        mode: own.mode.or(default.mode),
        watermark_field: own.watermark_field.or(default.watermark_field),
        lookback: own.lookback.or(default.lookback),
        partitions: own.partitions.or(default.partitions),
        partition_field: own.partition_field.or(default.partition_field),
        batch_size: own.batch_size.or(default.batch_size),
        require_pushdown: own.require_pushdown.or(default.require_pushdown),
    }
}

fn load_over(own: RawLoad, default: &RawLoad) -> RawLoad {
    let default = default.clone();
    RawLoad {
        mode: own.mode.or(default.mode),
        upsert_keys: own.upsert_keys.or(default.upsert_keys),
        on_duplicate: own.on_duplicate.or(default.on_duplicate),
        once: own.once.or(default.once),
        verify: own.verify.or(default.verify),
        batch_size: own.batch_size.or(default.batch_size),
        options: options_over(own.options, &default.options),
    }
}

fn retry_over(own: RawRetry, default: &RawRetry) -> RawRetry {
    let default = default.clone();
    RawRetry { retries: own.retries.or(default.retries), wait: own.wait.or(default.wait) }
}

/// Options merge by name; `null` takes a default's option away.
pub(super) fn options_over(own: Given<Options>, default: &Given<Options>) -> Given<Options> {
    match (own, default) {
        (Given::Is(own, mark), Given::Is(default, _)) => {
            let mut merged = default.clone();
            merged.extend(own);
            merged.retain(|_, value| !value.is_null());
            Given::Is(merged, mark)
        }
        (own, default) => own.or(default.clone()),
    }
}

fn stream(
    raw: RawStream,
    defaults: &Defaults,
    connections: &mut Connections,
    cx: &mut Cx<'_>,
) -> (Stream, StreamPlaces) {
    let mut places = StreamPlaces::new(raw.mark);
    let id_known = matches!(raw.id, Given::Is(..));
    places.note("id", &raw.id);
    if !id_known {
        places.breaks("id");
    }
    places.note("source", &raw.source.given);
    places.note("target", &raw.target.given);
    let id = raw.id.value().unwrap_or_default();
    // A default has no SQL.
    let sql = raw.source.sql;
    if let Some(mark) = sql {
        places.put("source.sql", None, mark, false);
    }
    let source = resolve_end::source(raw.source.over(&defaults.source), &id, connections, &mut places, cx);
    let target = resolve_end::target(raw.target.over(&defaults.target), &id, connections, &mut places, cx);
    places.note("criteria", &raw.criteria);
    let fields = fields(raw.fields, &mut places);
    let extract = extract(raw.extract, defaults, &mut places);
    let load = load(raw.load, defaults, &mut places);
    let retry = retry_over(raw.retry, &defaults.retry);
    let usual = RetryConfig::default();
    let retry = RetryConfig {
        retries: retry.retries.value().and_then(|n| u32::try_from(n).ok()).unwrap_or(usual.retries),
        wait: retry.wait.value().unwrap_or(usual.wait),
    };
    let stream = Stream {
        id,
        description: raw.description.value(),
        tags: raw.tags.value().unwrap_or_default().into_iter().map(|(tag, _)| tag).collect(),
        source,
        target,
        criteria: raw.criteria.value().filter(|c| c.filter.is_some() || c.limit.is_some()),
        fields,
        extract,
        load,
        retry,
        position: Some(cx.findings.position(raw.mark)),
        sql_position: sql.map(|mark| cx.findings.position(mark)),
    };
    (stream, places)
}

fn fields(raw: Given<Vec<Option<RawField>>>, places: &mut StreamPlaces) -> Vec<FieldSpec> {
    places.note("fields", &raw);
    let mut fields = Vec::new();
    for field in raw.value().unwrap_or_default() {
        let Some(field) = field else {
            places.breaks("fields");
            continue;
        };
        let index = Some(fields.len());
        places.put("field", index, field.mark, false);
        for (key, mark, broken) in field.places {
            places.put(key, index, mark, broken);
        }
        fields.push(field.spec);
    }
    fields
}

fn extract(own: RawExtract, defaults: &Defaults, places: &mut StreamPlaces) -> ExtractConfig {
    let own_lookback = !own.lookback.is_absent();
    let raw = extract_over(own, &defaults.extract);
    places.note("extract.mode", &raw.mode);
    places.note("extract.watermark_field", &raw.watermark_field);
    places.note("extract.lookback", &raw.lookback);
    let usual = ExtractConfig::default();
    let mode = raw.mode.value().unwrap_or(usual.mode);
    ExtractConfig {
        mode,
        watermark_field: raw.watermark_field.value(),
        // A default's lookback is for the incremental streams; a full one need not clear it.
        lookback: raw.lookback.value().filter(|_| own_lookback || mode == ExtractMode::Incremental),
        partitions: raw.partitions.value(),
        partition_field: raw.partition_field.value(),
        batch_size: raw.batch_size.value().unwrap_or(usual.batch_size),
        require_pushdown: raw.require_pushdown.value().unwrap_or_default(),
    }
}

fn load(own: RawLoad, defaults: &Defaults, places: &mut StreamPlaces) -> LoadConfig {
    let raw = load_over(own, &defaults.load);
    places.note("load.mode", &raw.mode);
    places.note("load.upsert_keys", &raw.upsert_keys);
    places.note("load.once", &raw.once);
    let usual = LoadConfig::default();
    let mode = raw.mode.value();
    let keys = raw.upsert_keys.value().unwrap_or_default();
    for (i, (_, mark)) in keys.iter().enumerate() {
        places.put("load.upsert_keys", Some(i), *mark, false);
    }
    LoadConfig {
        mode: mode.unwrap_or(usual.mode),
        mode_explicit: mode.is_some(),
        upsert_keys: keys.into_iter().map(|(key, _)| key).collect(),
        on_duplicate: raw.on_duplicate.value().unwrap_or(usual.on_duplicate),
        once: raw.once.value(),
        verify: raw.verify.value().unwrap_or(usual.verify),
        batch_size: raw.batch_size.value(),
        options: raw.options.value().unwrap_or_default(),
    }
}
