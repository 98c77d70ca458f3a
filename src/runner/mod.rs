//! Runs pipelines: one stream after the other or several at once, each extract → buffer → load, and says what it did.
//!
//! A run that is cancelled ([`RunOptions::cancel`]) starts no further stream, and rolls back what those that run have not
//! committed. A commit that has begun is waited for. A buffer that was committed stays, and `dxt load` goes on from it.
//!
//! What fails for a reason that may be gone a little later ([`crate::Error::is_transient`]) is tried again: from the
//! committed buffer where there is one, else from the start. A commit is never repeated, whatever became of it, and nothing
//! that comes after one.
//!
//! # What is guaranteed, and what proves it
//!
//! What holds for buffers stands at [`crate::buffer`]. The tests are those of `tests/suite`, by the names of their files; `tests/run NAME` runs one against real servers.
//! Kills are by SIGKILL, at every place that `src/fault.rs` names, and the target is then asked by its own client (psql,
//! sqlite3, pyarrow) and not by dxt.
//!
//! | guarantee | holds for | test |
//! | --- | --- | --- |
//! | A process that is killed at any step leaves the target as it was before the load or as it is after: rows, and what triggers wrote | PostgreSQL: created, replaced (all strategies), upserted, appended, with a buffer and without | `crash::a_kill_at_any_step_leaves_a_postgres_table_as_before_or_as_after` |
//! | the same | MySQL, by MariaDB | `crash::a_kill_at_any_step_leaves_a_mysql_table_as_before_or_as_after` |
//! | the same | SQLite | `crash::a_kill_at_any_step_leaves_a_sqlite_table_as_before_or_as_after` |
//! | the same | local files, and folders of parts | `crash::a_kill_at_any_step_leaves_a_file_as_before_or_as_after`, `crash::a_kill_at_any_step_leaves_a_folder_of_parts_as_before_or_as_after` |
//! | After a kill, `dxt load` of a committed buffer, and `dxt run`, end as an undisturbed run does; no table, session, lock, temporary file or buffer is left | replaces, upserts and incremental appends | the same tests |
//! | A full append that is killed and loaded again from its buffer is in the target once | PostgreSQL, MySQL, SQLite | `crash::a_full_append_that_is_killed_and_loaded_again_is_in_a_postgres_table_once`, `…_in_a_mysql_table_once`, `…_in_a_sqlite_table_once` |
//! | The same is in the target at least once: killed between the publication and the end of the buffer, `dxt load` adds it again | folders of files | `crash::a_full_append_that_is_killed_and_loaded_again_is_in_a_folder_at_least_once` |
//! | The same at random times, for minutes | all of these | `crash::kills_at_random_times_leave_every_target_as_before_or_as_after` (`tests/run --all`) |
//! | A load of one buffer that is repeated after its commit, or at the same time, changes nothing (`load.once`) | PostgreSQL, MySQL, SQLite | `once::an_append_repeated_after_a_crash_between_commit_and_cleanup_changes_nothing`, `once::a_run_that_crashed_before_its_cleanup_is_not_doubled_by_a_load`, `once::of_two_loads_of_one_buffer_at_once_one_wins` |
//! | Before a commit, the rows that were read are those in the buffer and those that were staged; a batch that is lost or doubled anywhere between is an error, and the target is as before | all sources and targets | `counts::a_batch_lost_or_doubled_between_source_and_sink_is_seen_for_every_source`, `…_into_the_buffer_is_seen`, `…_out_of_the_buffer_or_into_the_target_is_seen_for_every_target` |
//! | With `verify: checksum`, so is a value that changes on the way or in the target, and the column is named | the same; what cannot give its rows back is refused before a row moves | `counts::a_changed_value_is_seen_by_checksums_after_the_source`, `verify::rows_of_all_kinds_of_values_pass_into_every_target_in_every_mode`, `verify::a_trigger_of_postgres_that_changes_a_value_is_caught_and_named` |
//! | SIGINT and SIGTERM end a run soon: the target is as before, a committed buffer is kept, any other is gone, no session is left, the report says which streams did not start, and the code is 130 or 143 | PostgreSQL, SQLite, files (a load into MySQL was interrupted by hand) | `interrupt::a_load_that_is_interrupted_leaves_every_target_as_it_was`, `interrupt::an_extract_that_is_interrupted_leaves_no_buffer_no_session_and_later_streams_unstarted` |
//! | A second signal ends the process at once | all | `interrupt::a_second_signal_ends_the_process_at_once` |
//! | What may be gone a little later is tried again, from a committed buffer where there is one, and its rows arrive once; a commit is never repeated, and what will fail again is tried once | servers, files on the web, locked SQLite files | `retries::an_extract_that_breaks_off_twice_begins_anew_and_its_rows_arrive_once`, `retries::a_serialization_failure_or_deadlock_repeats_the_load_and_not_the_extract`, `retries::a_commit_that_nobody_heard_of_is_not_repeated`, `retries::what_will_fail_again_is_tried_once` |
//! | A connection that is cut, or ends too early, at any byte is an error and no partial load. Where the answer to a COMMIT is lost, the error says that nobody can know | PostgreSQL as source and as target | `chaos::a_connection_that_is_cut_anywhere_is_no_partial_load` |
//! | A network that falls silent, for one connection or for all, ends the run within the timeouts (`read_timeout`, `connect_timeout`) and is no partial load | PostgreSQL as source and as target | `chaos::a_network_that_falls_silent_anywhere_ends_the_run_in_time_and_is_no_partial_load` |
//! | A network that is slow is none that is silent | the same; where dxt sends rows, from PostgreSQL 14 on | `chaos::a_slow_network_is_no_fault` |
//! | A web server that falls silent is an error within its timeout | files by HTTP | `retries::a_web_server_that_stalls_in_the_middle_is_an_error_within_the_timeout` |
//! | The process stays within `--memory-limit` as the system counts it; sorts, joins and groups spill, and what cannot is an error that names the limit | transfers and queries | `memory::a_sort_of_more_than_the_limit_spills`, `memory::a_join_of_more_than_the_limit_spills`, `statistics::a_hash_table_that_is_larger_than_it_was_thought_to_be_is_no_error_but_a_sort`, `memory::groups_many_and_few_stay_within_the_limit`, `memory::what_cannot_spill_is_an_error_that_names_the_limit` |
//! | Memory does not grow with the rows, nor with the width of a batch | transfers | `memory::memory_stays_flat_at_three_times_the_rows`, `memory::memory_stays_flat_at_ten_times_the_rows` (`tests/run --all`), `memory::texts_of_a_megabyte_stay_flat` |
//! | A full disk is an error that names the path, and leaves no buffer, and the target as it was | extract, commit of a buffer, load, spill | all of `full_disk` |
//! | A password is in nothing that dxt writes: output, errors, logs, plans, reports, manifests | URLs, fields, variables, password files, keys of stores | all of `secrets` |
//! | A file is replaced in one step, an append adds parts and touches none, and what fails in its last batch changes nothing | local files and folders, all other targets | `conformance::an_error_in_the_last_batch_changes_nothing`, `conformance::append_adds_and_replace_leaves_only_the_new` |
//! | A file that is cut off or damaged at any byte is an error that names it, or is read; the target is as before, and nothing panics. Where a format has no checksum, a damaged value may be read as another one | Parquet, CSV, JSON lines, Arrow IPC; gzip, zstd | `hostile::a_file_that_is_cut_off_anywhere_is_an_error_or_has_fewer_rows`, `hostile::a_file_with_a_flipped_byte_anywhere_never_panics`, `hostile::the_corpus_of_files_never_panics` |
//! | Text files without a line's end, and compressed ones of any size, take bounded memory | CSV, JSON lines | `hostile::a_file_that_unpacks_to_a_thousand_times_its_size_takes_bounded_memory` |
//! | A pipeline's text that expands without end, or nests without end, is an error in seconds | YAML | `hostile::a_yaml_bomb_is_an_error_at_once_and_in_little_memory` |
//! | Ids and names that are paths, and links in the folder of buffers, lead to no write, read or removal outside of it | buffers on the local disk | `hostile::names_that_are_paths_write_nothing_outside`, `hostile::links_in_the_buffers_folder_are_neither_read_nor_removed_through` |
//! | Names with quotes, braces and NULs are names, never SQL | all systems | `hostile::names_with_quotes_come_through_every_system_as_they_are`, `hostile::a_nul_in_a_name_or_a_text_is_an_error_or_comes_through` |
//! | A number beyond its type is an error that names field and value | all systems | `hostile::a_number_beyond_its_type_names_the_field_and_touches_nothing` |
//!
//! What a killed load has staged beside a file target stays, hidden, until a load into the same folder comes ten minutes
//! later or more: that removes it, as nobody holds its lock any more. The transaction of a killed load ends with its
//! connection, which the server notices when it next reads or writes.

mod result;
mod retry;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::buffer::{self, Buffer, Guard, Holder};
use crate::config;
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::selector::{self, Selector};
use crate::model::{BufferFormat, LockMode, Pipeline};
use crate::plan::sink::{Progress, interrupted};
use crate::plan::{Engine, Resources, RunInfo};

pub use result::{ErrorReport, RunResult, Status, StreamResult};

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// Extract, load, clean up.
    #[default]
    Run,
    /// Extract into the buffer and leave it.
    Extract,
    /// Load what is in the buffer; sources may be off.
    Load,
    /// Plan everything and change nothing.
    DryRun,
}

/// A part of a stream's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From the source into the buffer.
    Extract,
    /// From the buffer (or, without one, the source) into the target.
    Load,
}

impl Phase {
    /// The phase as logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Load => "load",
        }
    }
}

/// Is told how a run goes on. Called from the tasks of the streams: it must not block.
pub trait Observer: Send + Sync {
    /// A phase begins. `progress` is filled while it runs; `total` is the rows to come, where that is known.
    fn phase(&self, stream: &str, phase: Phase, progress: &Arc<Progress>, total: Option<u64>);
    /// A stream has ended.
    fn ended(&self, result: &StreamResult);
}

/// Tells nobody.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn phase(&self, _stream: &str, _phase: Phase, _progress: &Arc<Progress>, _total: Option<u64>) {}
    fn ended(&self, _result: &StreamResult) {}
}

/// How to run.
#[derive(Clone)]
pub struct RunOptions {
    /// What to do.
    pub action: Action,
    /// Streams at once, from 1.
    pub threads: usize,
    /// Whether the first failure keeps further streams from starting.
    pub fail_fast: bool,
    /// Only these streams.
    pub select: Option<Selector>,
    /// Not these.
    pub exclude: Option<Selector>,
    /// The kinds of connectors.
    pub registry: Registry,
    /// Is told how it goes on.
    pub observer: Arc<dyn Observer>,
    /// The buffer in the place of the pipeline's own: for buffers that live longer than a run, or of another kind.
    pub buffer: Option<Arc<dyn Buffer>>,
    /// Ends the run when it is cancelled, by a signal for example: soon, and with nothing half done.
    pub cancel: CancellationToken,
    /// Attempts after the first, in the place of what the pipeline says.
    pub retries: Option<u32>,
    /// The memory that the run may take, and where it spills.
    pub resources: Resources,
    /// For a load: the buffers of this run in the place of the newest ones.
    pub buffer_run: Option<String>,
    /// What to do while another run has a stream; else as the pipeline's `buffer: {lock: …}` says.
    pub lock: Option<LockMode>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            action: Action::Run,
            threads: 1,
            fail_fast: false,
            select: None,
            exclude: None,
            registry: Registry::builtin(),
            observer: Arc::new(Silent),
            buffer: None,
            cancel: CancellationToken::new(),
            retries: None,
            resources: Resources::default(),
            buffer_run: None,
            lock: None,
        }
    }
}

/// Everything that the streams of one run share.
pub(crate) struct Run<'a> {
    pipeline: &'a Pipeline,
    options: &'a RunOptions,
    engine: Arc<Engine>,
    buffer: Option<Arc<dyn Buffer>>,
    info: RunInfo,
    /// The locks of the selected streams, by their ids.
    locks: BTreeMap<&'a str, Box<dyn Guard>>,
}

/// Takes the locks of streams in the order of their names, so that two runs never wait for each other.
async fn take_locks<'a>(
    pipeline: &'a Pipeline,
    selected: &[usize],
    buffer: &dyn Buffer,
    run_id: &str,
    mode: LockMode,
    cancel: &CancellationToken,
) -> Result<BTreeMap<&'a str, Box<dyn Guard>>> {
    let names: BTreeSet<&str> = selected.iter().map(|index| pipeline.streams[*index].id.as_str()).collect();
    let holder = Holder::new(run_id);
    let mut locks = BTreeMap::new();
    for name in names {
        let taken = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(interrupted()),
            taken = buffer.lock(&pipeline.name, name, &holder, mode) => taken,
        };
        match taken {
            Ok(Some(guard)) => drop(locks.insert(name, guard)),
            Ok(None) => {}
            Err(error) => {
                release(locks).await;
                return Err(error);
            }
        }
    }
    Ok(locks)
}

async fn release(locks: BTreeMap<&str, Box<dyn Guard>>) {
    for guard in locks.into_values() {
        guard.release().await;
    }
}

/// Checks what can be known of a run before it: nothing is touched or connected to.
///
/// # Errors
/// Those that [`run`] has before its first stream, but for what other runs do meanwhile.
pub fn check(pipeline: &Pipeline, options: &RunOptions) -> Result<()> {
    config::check(pipeline, &options.registry)?;
    selector::select(&pipeline.streams, options.select.as_ref(), options.exclude.as_ref())?;
    open_buffer(pipeline, options).map(|_| ())
}

/// The buffer of a run, which fits what the run does.
fn open_buffer(pipeline: &Pipeline, options: &RunOptions) -> Result<Option<Arc<dyn Buffer>>> {
    let one_half = matches!(options.action, Action::Extract | Action::Load);
    if one_half && options.buffer.is_none() && pipeline.buffer.format == BufferFormat::Memory {
        let error = Error::new(ErrorKind::Configuration, "the pipeline has `buffer: {format: memory}`");
        return Err(error.with_hint("such a buffer is gone with its process: use `dxt run`, or another format"));
    }
    if options.buffer_run.is_some() && options.action != Action::Load {
        let error =
            Error::new(ErrorKind::Configuration, "a buffer's run is named, and nothing is loaded from a buffer");
        return Err(error.with_hint("`dxt load --run-id ID` loads the buffers of that run"));
    }
    let buffer = match &options.buffer {
        Some(buffer) => Some(buffer.clone()),
        None => buffer::open(&pipeline.buffer, &pipeline.connections)?,
    };
    if buffer.is_none() && one_half {
        let error = Error::new(ErrorKind::Configuration, "the pipeline has `buffer: {format: none}`");
        return Err(error.with_hint("extract and load need a buffer between them: use `dxt run`, or another format"));
    }
    Ok(buffer)
}

/// Runs a pipeline. A stream that fails is in the result, with its error, and does not stop the others.
///
/// # Errors
/// Configuration: the pipeline does not hold together. Selector: nothing is selected. Buffer: another run has a stream, and
/// is not to be waited for. Interrupted: it was waited for. Nothing has been touched then.
pub async fn run(pipeline: &Pipeline, options: &RunOptions) -> Result<RunResult> {
    config::check(pipeline, &options.registry)?;
    let selected = selector::select(&pipeline.streams, options.select.as_ref(), options.exclude.as_ref())?;
    let buffer = open_buffer(pipeline, options)?;
    let engine = Engine::new(&options.registry, &pipeline.connections, buffer.clone(), &pipeline.base_dir)?
        .with_resources(&options.resources)?;
    let info = RunInfo::new(pipeline);
    let locks = match &buffer {
        Some(buffer) if options.action != Action::DryRun => {
            let mode = options.lock.unwrap_or(pipeline.buffer.lock);
            take_locks(pipeline, &selected, buffer.as_ref(), &info.run_id, mode, &options.cancel).await?
        }
        _ => BTreeMap::new(),
    };
    let run = Run { pipeline, options, engine: Arc::new(engine), buffer, info, locks };
    let started = Instant::now();
    let failed = AtomicBool::new(false);
    let mut results: Vec<(usize, StreamResult)> = futures::stream::iter(selected)
        .map(|index| {
            let (run, failed) = (&run, &failed);
            async move {
                let item = &pipeline.streams[index];
                let failed_before = options.fail_fast && failed.load(Ordering::Relaxed);
                if failed_before || options.cancel.is_cancelled() {
                    return (index, StreamResult::skipped(&item.id));
                }
                let result = stream::run(run, item).await;
                if result.status == Status::Failed {
                    failed.store(true, Ordering::Relaxed);
                }
                options.observer.ended(&result);
                (index, result)
            }
        })
        .buffer_unordered(options.threads.max(1))
        .collect()
        .await;
    run.engine.close().await;
    let Run { info, locks, .. } = run;
    release(locks).await;
    results.sort_by_key(|(index, _)| *index);
    Ok(RunResult {
        pipeline: pipeline.name.clone(),
        run_id: info.run_id,
        started_at: info.started_at,
        seconds: started.elapsed().as_secs_f64(),
        streams: results.into_iter().map(|(_, r)| r).collect(),
    })
}
