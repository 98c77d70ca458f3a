//! dxt as a user runs it, against real servers that `tests/run` starts. A test whose server is missing fails.

mod cli;
mod config_errors;
mod conformance;
mod explain;
mod full_disk;
mod incremental;
mod interrupt;
mod memory;
mod object_store;
mod postgres;
mod postgres_arrays;
mod postgres_connect;
mod postgres_guards;
mod postgres_modes;
mod postgres_parts;
mod postgres_relay;
mod postgres_review;
mod postgres_types;
mod quickstart;
mod retries;
mod semantics;
mod sqlite;
mod support;
mod uuid;
mod volume;
