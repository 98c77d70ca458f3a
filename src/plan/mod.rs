//! Pipeline → logical plans: extract, load, watermark, explain.
//!
//! ```text
//! Stream ─ fields ─▶ SELECT strict casts FROM source WHERE criteria AND watermark     (stream, fields, watermark, params)
//!                    └▶ INSERT INTO buffer …, INSERT INTO target …                    (stream, sink)
//!                    └▶ what one system can run of it, as one statement for it      (federate, pushdown)
//! SQL ─── catalog ─▶ connections, buffers and files by name                           (engine, catalog)
//!         statement ─▶ rows, or one load                                              (statement)
//! ```

pub(crate) mod catalog;
pub mod checksum;
mod counts;
mod engine;
mod errors;
mod explain;
mod fallback;
mod federate;
pub(crate) mod fields;
mod filter;
mod floats;
mod joins;
mod memory;
mod once;
mod origin;
pub(crate) mod params;
pub mod primary_key;
mod pushdown;
mod relay;
mod rewrite;
pub mod sink;
pub mod statement;
pub mod stream;
pub mod strict;
mod summed;
mod uuids;
mod verify;
pub mod watermark;

pub use engine::{Engine, QUERY_ROWS};
pub use explain::{Explained, PlanForm, explain};
pub use memory::Resources;
pub(crate) use memory::physical_plan;
pub use once::once;

use chrono::{DateTime, Utc};

use crate::model::{Params, Pipeline};

/// What is the same for all streams of one run.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// Unique, and in the order of time: a UUID of version 7.
    pub run_id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// The variables that are bound in the SQL of its streams.
    pub params: Params,
}

impl RunInfo {
    /// A run of a pipeline that begins now.
    pub fn new(pipeline: &Pipeline) -> Self {
        Self { params: pipeline.params.clone(), ..Self::named(pipeline.name.clone()) }
    }

    /// A run of what is no pipeline, such as one statement, that begins now.
    pub fn named(name: impl Into<String>) -> Self {
        let run_id = uuid::Uuid::now_v7().to_string();
        Self { run_id, pipeline: name.into(), started_at: Utc::now(), params: Params::new() }
    }
}
