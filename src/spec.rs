//! A configuration that is known to be valid. Every later module takes these types, never the text
//! or the raw mirror of `config.toml`.

use std::path::PathBuf;
use std::sync::Arc;

use chrono_tz::Tz;

use crate::id::PipelineName;
use crate::time::{EventTime, Span};
use crate::window::{PathTemplate, WindowGrid};

/// Everything one `config.toml` says.
#[derive(Clone, Debug)]
pub struct ProjectSpec {
    /// Names the project in every output.
    pub name: String,
    /// The folder that holds data; relative paths below are under it.
    pub root: PathBuf,
    /// The folder that holds one state prefix per pipeline.
    pub state: PathBuf,
    /// Limits of the machine.
    pub engine: EngineSpec,
    /// How long a command waits for another run of the same pipeline.
    pub lease_wait: Span,
    /// The pipelines in the order of the file.
    pub pipelines: Vec<PipelineSpec>,
}

/// What a run may use of the machine.
#[derive(Clone, Debug)]
pub struct EngineSpec {
    /// Bytes of memory for rows and operators; `None`: half of the machine's memory, at most 4 GiB.
    pub memory_limit_bytes: Option<u64>,
    /// Threads of the runtime; `None`: as many as there are cores.
    pub threads: Option<usize>,
    /// Windows computed at once; `None`: as many as there are cores.
    pub jobs: Option<usize>,
    /// Where operators spill.
    pub temp_directory: PathBuf,
    /// A larger output of one window is refused, in bytes.
    pub max_object_bytes: u64,
}

/// One pipeline: source, windows, steps and outputs under one name.
#[derive(Clone, Debug)]
pub struct PipelineSpec {
    /// Its name: a folder of the state, a word of the command line.
    pub name: PipelineName,
    /// What it is for, in the words of its owner.
    pub description: Option<String>,
    /// Whom to ask.
    pub owner: Option<String>,
    /// Whether `run` takes it.
    pub enabled: bool,
    /// The lag above which it is shown as overdue.
    pub overdue_after: Option<Span>,
    /// What becomes of windows that were computed with another query.
    pub on_query_change: OnQueryChange,
    /// How the time line is cut into windows.
    pub grid: WindowGrid,
    /// The start of the first window that `run` computes; `None`: the first window with data.
    pub begin: Option<EventTime>,
    /// The event sources; never empty.
    pub sources: Vec<SourceSpec>,
    /// The queries in order: each sees the sources and the steps before it by name.
    pub steps: Vec<StepSpec>,
    /// What is published, each from one step; never empty.
    pub outputs: Vec<OutputSpec>,
}

/// What becomes of windows that were computed with another query than the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnQueryChange {
    /// They are counted and shown.
    Report,
    /// They are due.
    Reprocess,
}

/// A folder of Parquet with an event time in each row.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// The table's name in SQL.
    pub table: String,
    /// The folder, absolute.
    pub path: PathBuf,
    /// The folder as the configuration names it, for messages.
    pub label: String,
    /// Which files below the folder belong to it, matched on the key relative to `path`.
    pub glob: glob::Pattern,
    /// Whether `key=value` folders become columns.
    pub hive_partitioning: bool,
    /// Declared types of partition columns; others are inferred.
    pub partition_columns: Vec<(String, PartitionType)>,
    /// The column that holds the event time.
    pub event_time: String,
    /// How naive timestamps are read.
    pub event_timezone: Tz,
    /// How far behind the newest event the watermark stays.
    pub watermark_delay: Span,
    /// How far past its file's arrival an event time may lie.
    pub max_future: Span,
    /// What becomes of rows without a usable time.
    pub on_null_time: OnNullTime,
    /// How long after its window closed a row is still taken in, in event time; `None`: for ever.
    pub allowed_lateness: Option<Span>,
    /// What becomes of rows later than that.
    pub on_expired: OnExpired,
    /// What a vanished input means.
    pub on_removed: OnRemoved,
    /// The most windows one file may have rows in.
    pub max_windows_per_file: usize,
}

/// What becomes of rows whose event time is null, unreadable or absurd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNullTime {
    /// The file is refused: nothing new closes until it is mended.
    Fail,
    /// The rows are counted and left out.
    Drop,
}

/// What becomes of rows later than the allowed lateness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpired {
    /// The run is refused before it writes anything.
    Fail,
    /// The rows are counted and left out.
    Drop,
}

/// What it means that an admitted file is not listed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRemoved {
    /// Nothing: raw files may be expired by retention, and what was computed from them stands.
    Keep,
    /// That its rows are no more: the windows it had rows of are computed without them.
    Recompute,
}

/// The type of a column that comes from a folder's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionType {
    /// A calendar date, `2026-01-31`.
    Date,
    /// A whole number.
    Int,
    /// Text.
    String,
}

/// One query.
#[derive(Clone, Debug)]
pub struct StepSpec {
    /// The name later steps and outputs use.
    pub name: String,
    /// The SQL as written.
    pub sql: String,
    /// Where the SQL stands, so that errors can point into it.
    pub origin: SqlOrigin,
}

/// Where a step's SQL was written.
#[derive(Clone, Debug)]
pub struct SqlOrigin {
    /// The file as the user names it: `config.toml`, or the `sql_file`.
    pub file: String,
    /// The whole text of that file.
    pub text: Arc<str>,
    /// Byte offset in `text` where the SQL begins; `None` if the SQL was escaped there, so that its
    /// positions are not positions of the file.
    pub offset: Option<usize>,
}

/// One published result.
#[derive(Clone, Debug)]
pub struct OutputSpec {
    /// The step whose rows it holds; also its name.
    pub name: String,
    /// The folder of each window's object, under [`ProjectSpec::root`].
    pub path: PathTemplate,
    /// Columns that order the rows; empty: all columns in their order.
    pub sort_by: Vec<String>,
    /// Parquet compression.
    pub compression: Compression,
}

/// Parquet compression of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None at all.
    Uncompressed,
    /// Snappy.
    Snappy,
    /// LZ4, raw frames.
    Lz4,
    /// Zstandard at a level from 1 to 22.
    Zstd(u8),
}

impl PipelineSpec {
    /// The source named `table` in SQL.
    #[must_use]
    pub fn source(&self, table: &str) -> Option<&SourceSpec> {
        self.sources.iter().find(|source| source.table == table)
    }
}
