//! A configuration that is known to be valid. Every later module takes these types, never the text
//! or the raw mirror of `config.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

mod check;
mod location;
mod quality;
mod reference;
mod source;

pub use check::{CheckSpec, QualitySpec, Ratio, Severity};
pub use location::{Location, Prefix, Scheme, normal};
pub use quality::{DedupSpec, Keep, OnViolation, QUARANTINE, QuarantineSpec, RuleSpec};
pub use reference::{OnReferenceChange, ReferenceSpec};
pub use source::{
    Closes, EpochUnit, FolderSpec, OnCorruptFile, OnExpired, OnMissingColumn, OnNullTime,
    OnRemoved, OnTypeChange, PartitionType, SourceOrigin, SourceSpec, UpstreamSpec,
};

use crate::error::Excerpt;
use crate::id::PipelineName;
use crate::time::{EventTime, Span};
use crate::window::{Margins, PathTemplate, Reach, Window, WindowGrid};

/// The most earlier revisions of a window that can be asked to stay restorable.
pub const HISTORY_KEEP_MAX: usize = 1_000;

/// Everything one `config.toml` says.
#[derive(Clone, Debug)]
pub struct ProjectSpec {
    /// Names the project in every output.
    pub name: String,
    /// What holds the data; relative paths below are under it.
    pub root: Location,
    /// What holds one state prefix per pipeline; on the same kind of storage as `root`.
    pub state: Location,
    /// How object stores are reached.
    pub storage: StorageSpec,
    /// Limits of the machine.
    pub engine: EngineSpec,
    /// Who may write, and who waits for whom.
    pub lease: LeaseSpec,
    /// How many earlier revisions of a window stay restorable.
    pub history_keep: usize,
    /// The pipelines, each after those it reads from, otherwise in the order of the file.
    pub pipelines: Vec<PipelineSpec>,
}

/// How object stores are reached. It holds no credentials: those are the environment's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSpec {
    /// Options of the client by their own names, e.g. `aws_region`.
    pub options: BTreeMap<String, String>,
    /// Where each of them is set: only a client knows which there are.
    pub places: BTreeMap<String, Excerpt>,
    /// The most times the client tries a call again.
    pub max_retries: usize,
    /// How long after its first try a call is tried again.
    pub retry_for: Span,
}

/// The lease of a pipeline: who may write now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSpec {
    /// A holder whose heartbeat stands still for so long may be superseded.
    pub patience: Span,
    /// How often a holder's heart beats; less than half of `patience`.
    pub heartbeat: Span,
    /// How long a command waits for another run of the same pipeline.
    pub wait_for: Span,
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
    /// Tables without event time.
    pub references: Vec<ReferenceSpec>,
    /// The queries in order: each sees the sources and the steps before it by name.
    pub steps: Vec<StepSpec>,
    /// What is asked of every result before it is published.
    pub checks: Vec<CheckSpec>,
    /// How many bad rows a window may have, and how few it must have.
    pub quality: QualitySpec,
    /// What is published, each from one step; never empty.
    pub outputs: Vec<OutputSpec>,
    /// Where quarantined rows lie, one for each source.
    pub quarantines: Vec<QuarantineSpec>,
    /// The folder of rows that belong to no window, under [`ProjectSpec::root`]: an object for each
    /// source file that has some.
    pub aside: String,
}

/// What becomes of windows that were computed with another query than the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnQueryChange {
    /// They are counted and shown.
    Report,
    /// They are due.
    Reprocess,
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

/// Where SQL was written.
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

/// The name of an output's object within the folder of its window.
pub const OUTPUT_FILE: &str = "data.parquet";

/// One of the objects that each window of a pipeline may have.
#[derive(Clone, Debug)]
pub struct ObjectSpec<'a> {
    /// What it is called among the objects of its window.
    pub name: &'a str,
    /// Its folder.
    pub path: &'a PathTemplate,
    /// Its name there.
    pub file: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Whether windows get one by what is configured now; else only those that had one.
    pub is_wanted: bool,
}

impl ObjectSpec<'_> {
    /// Its key in `window` under [`ProjectSpec::root`]; `None` if the window has no name.
    #[must_use]
    pub fn key(&self, grid: &WindowGrid, window: Window) -> Option<String> {
        Some(format!("{}/{}", self.path.render(grid, window)?, self.file))
    }
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

    /// How far beyond its windows the queries see `table`.
    #[must_use]
    pub fn margins(&self, table: &str) -> Margins {
        self.source(table).map(|source| source.margins).unwrap_or_default()
    }

    /// How far beyond its windows the rows of `table` decide about those of a window.
    #[must_use]
    pub fn reach(&self, table: &str) -> Reach {
        let own = Reach::new(Margins::default(), None);
        self.source(table).map_or(own, SourceSpec::reach)
    }

    /// The objects that each window may have: its outputs, then the quarantined rows of its
    /// sources.
    pub fn objects(&self) -> impl Iterator<Item = ObjectSpec<'_>> {
        let outputs = self.outputs.iter().map(|output| ObjectSpec {
            name: &output.name,
            path: &output.path,
            file: OUTPUT_FILE.to_owned(),
            compression: output.compression,
            is_wanted: true,
        });
        outputs.chain(self.quarantines.iter().map(|quarantine| ObjectSpec {
            name: &quarantine.name,
            path: &quarantine.path,
            file: quarantine.file_name(),
            compression: QuarantineSpec::COMPRESSION,
            is_wanted: quarantine.is_wanted,
        }))
    }

    /// Where the quarantined rows of `table` lie.
    #[must_use]
    pub fn quarantine(&self, table: &str) -> Option<&QuarantineSpec> {
        self.quarantines.iter().find(|quarantine| quarantine.table == table)
    }
}
