//! dxt: declarative SQL transfers. A pipeline's streams become DataFusion plans in which sources are table providers,
//! committed buffers are registered tables, and targets are sinks.
//!
//! ```text
//! pipeline.yaml ─ config ─▶ model::Pipeline ─ plan ─▶ INSERT INTO buffer SELECT … FROM source      (extract)
//!                                                     INSERT INTO target SELECT … FROM buffer      (load)
//!   connector   source: Extractor, a table provider      target: Loader, whose Load is begin, write, seal, commit | abort
//!   buffer      Parquet (on disk or in an object store) or memory, committed by a manifest, one run at a time
//!   runner      one stream, many streams, their results
//!   cli         the commands, and all that is printed
//! ```
//!
//! As a library:
//!
//! ```no_run
//! # async fn example() -> dxt::Result<()> {
//! let pipeline = dxt::Pipeline::from_yaml("version: 1\nname: shop\n…")?;
//! let result = dxt::run(&pipeline, &dxt::RunOptions::default()).await?;
//! assert!(result.succeeded());
//! # Ok(())
//! # }
//! ```
//!
//! `examples/` has programs that build a pipeline in code, work with fields and buffers without any server, and register
//! a connector of their own.

// Docs of a room point readers of the source at what is inside of it.
#![allow(rustdoc::private_intra_doc_links)]
// The library never prints; `cli::print` writes to the streams by name.
#![deny(clippy::print_stdout, clippy::print_stderr, unsafe_code)]

pub mod config;
pub mod model;

pub mod plan;

pub mod connector;

pub mod buffer;

pub mod runner;

pub mod cli;

mod error;
mod fault;
mod transient;

pub use buffer::{Buffer, BufferId, Committed, Fingerprint, Header, Manifest, MemoryBuffer, ParquetBuffer};
pub use connector::{
    Capabilities, Connector, Dataset, ExtractRequest, Extractor, Factory, Load, LoadCounts, LoadSpec, Loader, Registry,
    TypeMapper,
};
pub use error::{Diagnostic, Error, ErrorKind, Position, Result, ResultExt};
pub use model::{DxtField, DxtSchema, DxtType, FieldSpec, Pipeline, Stream};
pub use plan::{Engine, Resources};
pub use runner::{Action, RunOptions, RunResult, Status, StreamResult, run};
