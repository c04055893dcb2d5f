//! What `DataFusion` may use of the machine, and what it must not do.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryPool, MemoryReservation, TrackConsumersPool,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::{Builder, Handle, Runtime};
use uuid::Uuid;

use super::scratch::Scratch;
use crate::error::{Code, Error, Result};
use crate::spec::EngineSpec;

/// The most memory taken when the configuration names none.
const MEMORY_DEFAULT_MAX_BYTES: u64 = 4 << 30;

/// The part of the memory limit that is for what was read of new files and will be needed again.
const KEPT_SHARE: u64 = 16;

/// Into how many parts the memory of one window is cut, of which a sort sets one aside.
const SORT_SHARE: usize = 8;

/// How many operators an error for want of memory names.
// Evaluated by the compiler: a zero would not build.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Runs queries within the limits of the configuration.
#[derive(Clone, Debug)]
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    memory_limit_bytes: u64,
    jobs: usize,
    max_object_bytes: u64,
    threads: Option<Arc<Threads>>,
    _scratch: Arc<Scratch>,
}

/// Threads that compute windows and do nothing else: a query that never yields holds up no signal,
/// no heartbeat and no write.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        // It may be dropped where nothing may wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// An engine with the limits of `spec`. Its folder for spilled rows is named by `id`, which
    /// nobody else was given.
    ///
    /// # Errors
    /// If that folder cannot be used.
    pub fn new(spec: &EngineSpec, id: Uuid) -> Result<Self> {
        let limit = spec.memory_limit_bytes.unwrap_or_else(default_memory_limit_bytes);
        let bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        let pool = TrackConsumersPool::new(FairSpillPool::new(bytes), NAMED_CONSUMERS);
        let failed = |why: &dyn std::fmt::Display| {
            let folder = spec.temp_directory.display();
            Error::new(Code::StoreFailed, format!("cannot spill to {folder}: {why}"))
                .hint("set `temp_directory` in [engine] to a folder that can be written")
        };
        let scratch = Scratch::new(&spec.temp_directory, id).map_err(|why| failed(&why))?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_temp_file_path(scratch.folder())
            .build_arc()
            .map_err(|why| failed(&why))?;
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            runtime,
            memory_limit_bytes: limit,
            jobs: spec.jobs.unwrap_or(cores).max(1),
            max_object_bytes: spec.max_object_bytes,
            threads: None,
            _scratch: Arc::new(scratch),
        })
    }

    /// The same engine on threads of its own, one for each window that is computed at once.
    ///
    /// # Errors
    /// If they cannot be started.
    pub fn on_own_threads(self) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(self.jobs)
            .thread_name("compute")
            .enable_all()
            .build()
            .map_err(|why| Error::new(Code::Bug, format!("no thread can be started: {why}")))?;
        Ok(Self { threads: Some(Arc::new(Threads(Some(runtime)))), ..self })
    }

    /// Where windows are computed: on its own threads, if it has any, else on those of the caller.
    pub(super) fn handle(&self) -> Handle {
        let own = self.threads.as_ref().and_then(|threads| threads.0.as_ref());
        own.map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// Windows computed at once.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// The largest object of one window, in bytes.
    #[must_use]
    pub fn max_object_bytes(&self) -> u64 {
        self.max_object_bytes
    }

    /// How many bytes of rows may wait for their windows in memory: half of the limit less what is
    /// kept of new files, so that queries have the rest.
    pub(super) fn routed_bytes_max(&self) -> usize {
        let half = self.memory_limit_bytes / 2;
        usize::try_from(half.saturating_sub(self.kept_bytes_max())).unwrap_or(usize::MAX)
    }

    /// How many bytes may be kept of what was read of new files: a sixteenth of the limit.
    #[must_use]
    pub fn kept_bytes_max(&self) -> u64 {
        self.memory_limit_bytes.checked_div(KEPT_SHARE).unwrap_or_default()
    }

    /// What queries and spilled rows share.
    pub(super) fn runtime(&self) -> Arc<RuntimeEnv> {
        self.runtime.clone()
    }

    /// A claim on the memory limit for rows that wait for their window.
    pub(super) fn reserve_routed_rows(&self) -> MemoryReservation {
        let pool: &Arc<dyn MemoryPool> = &self.runtime.memory_pool;
        MemoryConsumer::new("routed rows").register(pool)
    }

    /// A session in which a window's rows are one ordered partition and nothing is rewritten by
    /// what other windows held.
    pub(super) fn session(&self) -> SessionContext {
        let mut config =
            SessionConfig::new().with_target_partitions(1).with_information_schema(false);
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        // What each sort sets aside to merge what it spilled. Two at once have it; of more, those
        // that do not fit beside others are run again alone.
        let sorts = self.jobs.min(2).saturating_mul(SORT_SHARE);
        let limit = usize::try_from(self.memory_limit_bytes).unwrap_or(usize::MAX);
        let most = options.execution.sort_spill_reservation_bytes;
        let share = limit.checked_div(sorts).unwrap_or(most);
        options.execution.sort_spill_reservation_bytes = most.min(share);
        // A prepared plan is run many times; a filter learnt in one window must not reach the next.
        options.optimizer.enable_dynamic_filter_pushdown = false;
        SessionContext::new_with_config_rt(config, self.runtime.clone())
    }
}

/// Half of the machine's memory, at most [`MEMORY_DEFAULT_MAX_BYTES`].
fn default_memory_limit_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes =
        total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.map_or(MEMORY_DEFAULT_MAX_BYTES, |kibibytes| {
        kibibytes.saturating_mul(512).min(MEMORY_DEFAULT_MAX_BYTES)
    })
}
