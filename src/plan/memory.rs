//! The memory that plans may take, and where they spill.
//!
//! A limit is for the process as the system sees it. DataFusion's pool counts what its operators hold: sorts, joins and
//! groups. What it does not count is bounded by how it is made, and comes to [`RESERVE`] at most for a few streams at once:
//! the program itself (about 40 MB), batches in channels (closed at 2 MB, a few of them for each step), the codecs of
//! Parquet (row groups of 8 MB) and of the systems (a few hundred kilobytes for each connection), and what the allocator has
//! not given back yet. Of what a limit leaves beside that, the pool has a fifth, as measured: an operator that spills sorts
//! and writes what it gives up before it lets go of it, and the same batches wait on both sides of an exchange.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryLimit, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use super::fallback::either;
use super::joins::{hashed_bytes, widest};
use crate::error::{Error, ErrorKind, Result};
use crate::transient::{causes, is_disk_full};

/// What the pool does not count.
const RESERVE: u64 = 192 << 20;
/// The least limit that can be kept: plans get some of it, too.
const LEAST: u64 = 256 << 20;
/// Where neither the machine nor a cgroup says how much there is.
const UNKNOWN: u64 = 4 << 30;
/// Bytes of a batch of a plan that sorts, joins or groups at most, and the share of the pool that it may have in each part:
/// each of the runs that are merged at once has two batches in memory.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_SHARE: usize = 256;
/// Runs that are merged at once. What a merge holds cannot be spilled: without a bound, the one that comes first leaves the
/// other parts of a sort or join nothing.
const MERGED: usize = 8;
/// The pool of each part that runs at once: below it, sorting is merging of very many small runs.
const PART: usize = 16 << 20;

/// The memory of a run or a query, and the folder that it spills to.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// Bytes for the whole process; half of what the machine or the cgroup has where it is `None`.
    pub memory_limit: Option<u64>,
    /// The folder for what does not fit; the system's for temporary files where it is `None`.
    pub temp_dir: Option<PathBuf>,
}

impl Resources {
    /// Bytes for the whole process.
    pub fn limit(&self) -> u64 {
        self.memory_limit.unwrap_or_else(|| available(Path::new("/")).unwrap_or(UNKNOWN) / 2)
    }

    /// Bytes that the operators of plans may hold.
    fn pool(&self) -> u64 {
        let limit = self.limit();
        (limit.saturating_sub(RESERVE) / 5).max(limit / 12)
    }

    /// What plans of DataFusion run in.
    ///
    /// # Errors
    /// Configuration: the limit is too small, or the folder cannot be used.
    pub(super) fn runtime(&self) -> Result<Arc<RuntimeEnv>> {
        if let Some(limit) = self.memory_limit.filter(|limit| *limit < LEAST) {
            let text = format!("a memory limit of {limit} bytes is too small");
            let hint = format!("give {} MB at least: dxt and its codecs take most of that", LEAST >> 20);
            return Err(Error::new(ErrorKind::Configuration, text).with_hint(hint));
        }
        let pool = FairSpillPool::new(usize::try_from(self.pool()).unwrap_or(usize::MAX));
        let consumers = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
        // The disk itself is the limit of what is spilled.
        let mut disk =
            DiskManagerBuilder::default().with_max_temp_directory_size(u64::MAX).with_max_spill_merge_fan_in(MERGED);
        if let Some(folder) = &self.temp_dir {
            let usable = fs::create_dir_all(folder).map_err(DataFusionError::IoError);
            usable.map_err(|e| unusable(folder, e))?;
            disk = disk.with_mode(DiskManagerMode::Directories(vec![folder.clone()]));
        }
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, consumers)))
            .with_disk_manager_builder(disk)
            .build_arc();
        match (&self.temp_dir, runtime) {
            (Some(folder), Err(e)) => Err(unusable(folder, e)),
            (_, runtime) => Ok(runtime?),
        }
    }
}

fn unusable(folder: &Path, error: DataFusionError) -> Error {
    let text = format!("the folder for temporary files {} cannot be used", folder.display());
    Error::new(ErrorKind::Configuration, text).with_source(error).with_hint("name another by --temp-dir")
}

/// Bytes that the plans of a runtime may hold.
fn pool_of(runtime: &RuntimeEnv) -> usize {
    match runtime.memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes,
        _ => usize::MAX,
    }
}

/// How many parts of a plan run at once, of those that were asked for: each needs some memory to itself.
pub(super) fn parts(runtime: &RuntimeEnv, asked: usize) -> usize {
    asked.min((pool_of(runtime) / PART).max(2))
}

/// What a sort keeps free for merging what it has spilled.
pub(super) fn sort_reservation(runtime: &RuntimeEnv, parts: usize) -> usize {
    (pool_of(runtime) / (32 * parts.max(1))).clamp(512 << 10, 10 << 20)
}

/// A physical plan, and what it runs in.
pub struct Planned {
    pub plan: Arc<dyn ExecutionPlan>,
    pub task: Arc<TaskContext>,
}

impl Planned {
    /// Runs it.
    ///
    /// # Errors
    /// DataFusion's, of beginning.
    pub fn execute(self) -> DfResult<SendableRecordBatchStream> {
        execute_stream(self.plan, self.task)
    }

    /// Runs it for its rows; a full disk is an error that names the folder.
    ///
    /// # Errors
    /// DataFusion's, of beginning.
    pub fn rows(self) -> DfResult<SendableRecordBatchStream> {
        let runtime = self.task.runtime_env();
        let rows = self.execute()?;
        let (schema, named) = (rows.schema(), rows.map(move |batch| batch.map_err(|e| named_disk(e, &runtime))));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, named)))
    }
}

/// The physical plan of a logical one. Batches have so many rows that wide ones do not weigh more than others. A join whose
/// one side may not fit into a hash table in memory is done by sorting both, which spills.
pub async fn physical_plan(context: &SessionContext, plan: &LogicalPlan) -> DfResult<Planned> {
    let mut state = context.state();
    let physical = state.create_physical_plan(plan).await?;
    if state.config().target_partitions() == 1 {
        // A plain transfer: its batches are those of its source, and it joins nothing.
        return Ok(Planned { plan: physical, task: context.task_ctx() });
    }
    // What an EXPLAIN shows is the plan as it would run.
    let shown = match plan {
        LogicalPlan::Explain(explain) => state.create_physical_plan(&explain.plan).await.ok(),
        _ => None,
    };
    let judged = shown.as_ref().unwrap_or(&physical);
    let pool = pool_of(&context.runtime_env());
    let hashed = hashed_bytes(judged);
    let bytes = (pool / BATCH_SHARE / state.config().target_partitions()).clamp(64 << 10, BATCH_BYTES);
    let usual = state.config().batch_size();
    let rows = (bytes / widest(judged).max(1)).clamp(1, usual);
    *state.config_mut() = state.config().clone().with_batch_size(rows);
    let task = Arc::new(TaskContext::from(&state));
    if hashed == Some(0) {
        let plan = if rows == usual { physical } else { state.create_physical_plan(plan).await? };
        return Ok(Planned { plan, task });
    }
    let fits = hashed.is_some_and(|bytes| bytes <= pool / 2);
    let hashing = match (fits, rows == usual) {
        (true, true) => Some(physical),
        (true, false) => Some(state.create_physical_plan(plan).await?),
        (false, _) => None,
    };
    state.config_mut().options_mut().optimizer.prefer_hash_join = false;
    let plan = match hashing {
        Some(hashing) if shown.is_some() => hashing,
        // It may turn out to be larger than it was thought to be.
        Some(hashing) => either(hashing, &state.create_physical_plan(plan).await?)?,
        None => state.create_physical_plan(plan).await?,
    };
    Ok(Planned { plan, task })
}

/// A full disk as an error that names the folder which was spilled to; other errors as they are.
pub fn named_disk(error: DataFusionError, runtime: &RuntimeEnv) -> DataFusionError {
    let ours = causes(&error).any(|cause| cause.is::<Error>());
    if ours || !is_disk_full(&error) {
        return error;
    }
    let folders = runtime.disk_manager.temp_dir_paths();
    let folder = folders.first().cloned().unwrap_or_else(std::env::temp_dir);
    let text = format!("{} is full: the query spills there what does not fit into memory", folder.display());
    let error = Error::new(ErrorKind::Pipeline, text).with_source(error);
    error
        .with_hint("make room, name a folder on another disk by --temp-dir, or give more memory by --memory-limit")
        .into()
}

/// The memory of the machine, or of the cgroup that this process is in where that is less. `root` is `/`.
fn available(root: &Path) -> Option<u64> {
    [machine(root), cgroup(root)].into_iter().flatten().min()
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kb| kb << 10)
}

/// The least limit of this process' cgroup and of those above it; of both versions, as both may be there.
fn cgroup(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|c| c == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        // Within a container its own group is the mount itself, whatever its path outside of it is called.
        let within = Path::new(path.trim_start_matches('/'));
        let groups = within.ancestors().map(|group| root.join(mount).join(group).join(file));
        groups.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:  1 kB\n");

    #[test]
    fn the_least_of_the_machine_and_the_cgroups_above_counts() {
        let none = machine_with(&[MEMINFO]);
        assert_eq!(available(none.path()), Some(8 << 30));
        let v2 = machine_with(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/batch.slice/job\n"),
            ("sys/fs/cgroup/batch.slice/job/memory.max", "max\n"),
            ("sys/fs/cgroup/batch.slice/memory.max", "1073741824\n"),
        ]);
        assert_eq!(available(v2.path()), Some(1 << 30));
        let v1 = machine_with(&[
            MEMINFO,
            ("proc/self/cgroup", "12:cpu,cpuacct:/\n5:memory:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
        ]);
        assert_eq!(available(v1.path()), Some(512 << 20));
        let unlimited = machine_with(&[
            MEMINFO,
            ("proc/self/cgroup", "5:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(available(unlimited.path()), Some(8 << 30));
    }

    #[test]
    fn the_pool_is_a_fifth_of_what_the_reserve_leaves_and_a_twelfth_at_least() {
        let pool = |limit| Resources { memory_limit: Some(limit), temp_dir: None }.pool();
        assert_eq!(pool(1 << 30), ((1 << 30) - RESERVE) / 5);
        assert_eq!(pool(LEAST), LEAST / 12);
        let small = Resources { memory_limit: Some(1 << 20), temp_dir: None }.runtime().unwrap_err();
        assert_eq!(small.kind(), ErrorKind::Configuration);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let resources = Resources { memory_limit: None, temp_dir: Some(file.path().join("x")) };
        let error = resources.runtime().unwrap_err();
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error:?}");
    }
}
