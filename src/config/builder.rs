//! Pipelines built in code: short constructors, and a builder that ends with the same checks as YAML.

use std::path::{Path, PathBuf};

use super::{Env, ProcessEnv, check};
use crate::connector::Registry;
use crate::error::Result;
use crate::model::{
    BufferConfig, ConnectionConfig, Criteria, ExtractConfig, ExtractMode, FieldSpec, LoadConfig, LoadMode, Options,
    Param, Params, Pipeline, RelationName, RetryConfig, Source, SourceKind, Stream, Target, TargetKind,
};

impl Pipeline {
    /// A pipeline of a YAML text, with the connectors that come with dxt, the variables of this process, and paths
    /// that start at the current folder. [`super::from_yaml`] takes others.
    ///
    /// # Errors
    /// Configuration: everything that is wrong, at once.
    pub fn from_yaml(text: &str) -> Result<Self> {
        super::from_yaml(text, Path::new("."), &Registry::builtin(), &ProcessEnv as &dyn Env)
    }

    /// A pipeline of a YAML or SQL file, with the connectors that come with dxt and the variables of this process.
    /// [`super::load`] takes others.
    ///
    /// # Errors
    /// Configuration: everything that is wrong, at once.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        super::load(path.as_ref(), &Registry::builtin(), &ProcessEnv as &dyn Env)
    }

    /// Begins a pipeline in code.
    pub fn builder(name: impl Into<String>) -> PipelineBuilder {
        PipelineBuilder {
            pipeline: Self {
                name: name.into(),
                description: None,
                connections: Vec::new(),
                params: Params::new(),
                buffer: BufferConfig::default(),
                streams: Vec::new(),
                base_dir: PathBuf::from("."),
            },
        }
    }
}

/// A pipeline in the making.
#[derive(Debug, Clone)]
#[must_use = "build() gives the pipeline"]
pub struct PipelineBuilder {
    pipeline: Pipeline,
}

impl PipelineBuilder {
    /// Adds a connection by its URL.
    pub fn connection(self, name: impl Into<String>, url: &str) -> Self {
        let base_dir = self.pipeline.base_dir.clone();
        self.connection_config(ConnectionConfig::from_url(name, url, base_dir))
    }

    /// Adds a connection.
    pub fn connection_config(mut self, config: ConnectionConfig) -> Self {
        self.pipeline.connections.push(config);
        self
    }

    /// The folder that relative paths of the connections added after this call start at; the current one by default.
    pub fn base_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.pipeline.base_dir = folder.into();
        self
    }

    /// Sets a variable, which SQL names as `$name`. Its type is that of what it is compared with.
    pub fn param(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.param_config(name, Param { dtype: None, value: Some(value.into()) })
    }

    /// Sets a variable with a type of its own, or declares one.
    pub fn param_config(mut self, name: impl Into<String>, param: Param) -> Self {
        self.pipeline.params.insert(name.into(), param);
        self
    }

    /// Sets where rows wait between extract and load. Its location is taken as it is, without the base folder.
    pub fn buffer(mut self, buffer: BufferConfig) -> Self {
        self.pipeline.buffer = buffer;
        self
    }

    /// Adds a stream.
    pub fn stream(mut self, stream: Stream) -> Self {
        self.pipeline.streams.push(stream);
        self
    }

    /// Ends the pipeline with the connectors that come with dxt.
    ///
    /// # Errors
    /// As [`check`].
    pub fn build(self) -> Result<Pipeline> {
        self.build_with(&Registry::builtin())
    }

    /// Ends the pipeline with the connectors of `registry`.
    ///
    /// # Errors
    /// As [`check`].
    pub fn build_with(self, registry: &Registry) -> Result<Pipeline> {
        check(&self.pipeline, registry)?;
        Ok(self.pipeline)
    }
}

impl Stream {
    /// A stream of all columns and rows, appended.
    pub fn new(id: impl Into<String>, source: Source, target: Target) -> Self {
        Self {
            id: id.into(),
            description: None,
            tags: Vec::new(),
            source,
            target,
            criteria: None,
            fields: Vec::new(),
            extract: ExtractConfig::default(),
            load: LoadConfig::default(),
            retry: RetryConfig::default(),
            position: None,
            sql_position: None,
        }
    }

    /// The same stream with these words to select it by.
    pub fn with_tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// The same stream with these columns only.
    pub fn with_fields(mut self, fields: impl IntoIterator<Item = FieldSpec>) -> Self {
        self.fields = fields.into_iter().collect();
        self
    }

    /// The same stream with the rows for which a SQL condition over the source's columns holds.
    pub fn with_filter(mut self, condition: impl Into<String>) -> Self {
        let limit = self.criteria.and_then(|c| c.limit);
        self.criteria = Some(Criteria { filter: Some(condition.into()), limit });
        self
    }

    /// The same stream, read otherwise.
    pub fn with_extract(mut self, extract: ExtractConfig) -> Self {
        self.extract = extract;
        self
    }

    /// The same stream, written otherwise.
    pub fn with_load(mut self, load: LoadConfig) -> Self {
        self.load = load;
        self
    }

    /// The same stream, tried again otherwise.
    pub fn with_retry(mut self, retry: RetryConfig) -> Self {
        self.retry = retry;
        self
    }
}

impl Source {
    fn new(connection: impl Into<String>, kind: SourceKind) -> Self {
        Self { connection: connection.into(), kind, options: Options::new() }
    }

    /// A table or view: `orders`, `public.orders`.
    ///
    /// # Errors
    /// Configuration: the text is not a relation's name.
    pub fn relation(connection: impl Into<String>, name: &str) -> Result<Self> {
        Ok(Self::new(connection, SourceKind::Relation(RelationName::parse(name)?)))
    }

    /// SQL run by the source as it stands.
    pub fn sql(connection: impl Into<String>, sql: impl Into<String>) -> Self {
        Self::new(connection, SourceKind::Sql(sql.into()))
    }

    /// SQL run by DataFusion across connections.
    pub fn query(sql: impl Into<String>) -> Self {
        Self::new("", SourceKind::Query(sql.into()))
    }

    /// A file, a glob or a folder, relative to its connection.
    pub fn file(connection: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(connection, SourceKind::File(path.into()))
    }
}

impl Target {
    /// A table.
    ///
    /// # Errors
    /// Configuration: the text is not a relation's name.
    pub fn relation(connection: impl Into<String>, name: &str) -> Result<Self> {
        let kind = TargetKind::Relation(RelationName::parse(name)?);
        Ok(Self { connection: connection.into(), kind, options: Options::new() })
    }

    /// A file, or a folder of parts where the path ends with `/`.
    pub fn file(connection: impl Into<String>, path: impl Into<String>) -> Self {
        Self { connection: connection.into(), kind: TargetKind::File(path.into()), options: Options::new() }
    }
}

impl ExtractConfig {
    /// Only rows past the greatest value that the target has of a field.
    pub fn incremental(watermark_field: impl Into<String>) -> Self {
        Self { mode: ExtractMode::Incremental, watermark_field: Some(watermark_field.into()), ..Self::default() }
    }
}

impl LoadConfig {
    fn of(mode: LoadMode) -> Self {
        Self { mode, mode_explicit: true, ..Self::default() }
    }

    /// Adds rows, also to a target that has some.
    pub fn append() -> Self {
        Self::of(LoadMode::Append)
    }

    /// Leaves the target with exactly the rows of the load.
    pub fn replace() -> Self {
        Self::of(LoadMode::Replace)
    }

    /// Updates rows of the same key, inserts the others.
    pub fn upsert<T: Into<String>>(keys: impl IntoIterator<Item = T>) -> Self {
        Self { upsert_keys: keys.into_iter().map(Into::into).collect(), ..Self::of(LoadMode::Upsert) }
    }
}
