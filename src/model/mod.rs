//! What a pipeline is: plain data, no I/O.
//!
//! Everything here is checked: [`crate::config`] makes it from YAML and refuses what does not hold together, so that
//! the rest may trust it. Library users build the same values in code.

mod arrow;
mod connection;
mod dtype;
mod duration;
mod field;
mod name;
mod options;
mod param;
mod pipeline;
mod schema;
pub mod selector;
mod uuid;

pub use arrow::{UTC, is_uuid};
pub use connection::{ConnectionConfig, Secret};
pub use dtype::{DxtType, TypeName};
pub use duration::parse_duration;
pub use field::{FieldSource, FieldSpec, FieldTarget, Generator};
pub use name::RelationName;
pub use options::{OptionReader, Options};
pub(crate) use options::{nearest, one_of};
pub(crate) use param::param_fault;
pub use param::{Param, Params};
pub use pipeline::{
    BufferConfig, BufferFormat, Compression, Criteria, ExtractConfig, ExtractMode, LoadConfig, LoadMode, LockMode,
    Lookback, OnDuplicate, Pipeline, PushedPart, RetryConfig, Source, SourceKind, Stream, Target, TargetKind, Verify,
};
pub use schema::{DxtField, DxtSchema, NativeType};
pub use uuid::{UUID_BYTES, parse_uuid, uuid_text};
