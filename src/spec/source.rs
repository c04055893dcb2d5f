//! A table with event time: a window sees its own rows, and those of its margins.

use chrono_tz::Tz;

use super::{DedupSpec, Location, OnViolation, RuleSpec};
use crate::id::PipelineName;
use crate::time::Span;
use crate::window::{Margins, Reach};

/// A table whose rows have an event time each.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// The table's name in SQL.
    pub table: String,
    /// Where its rows come from.
    pub origin: SourceOrigin,
    /// The column that holds the event time; `None`, of a pipeline's output only: it is the start
    /// of the window that the row was published with.
    pub event_time: Option<String>,
    /// How naive timestamps are read.
    pub event_timezone: Tz,
    /// What a column of numbers counts since 1970; `None`: the column is no number.
    pub event_time_unit: Option<EpochUnit>,
    /// What tells how far the source promises to be complete.
    pub closes: Closes,
    /// How far behind the newest event, or the clock, the watermark stays.
    pub watermark_delay: Span,
    /// How long a source brings nothing before its watermark follows the clock, this far behind;
    /// `None`: it never does.
    pub idle_timeout: Option<Span>,
    /// How far past its file's arrival an event time may lie.
    pub max_future: Span,
    /// What becomes of rows without a usable time.
    pub on_null_time: OnNullTime,
    /// How long after its window closed a row is still taken in, in event time; `None`: for ever.
    pub allowed_lateness: Option<Span>,
    /// What becomes of rows later than that.
    pub on_expired: OnExpired,
    /// What becomes of files that cannot be read.
    pub on_corrupt_file: OnCorruptFile,
    /// What a vanished input means.
    pub on_removed: OnRemoved,
    /// What a column that a file lacks is read as.
    pub on_missing_column: OnMissingColumn,
    /// What becomes of a column that has another type in a file.
    pub on_type_change: OnTypeChange,
    /// The most windows one file may have rows in.
    pub max_windows_per_file: usize,
    /// How far beyond its windows the queries see it.
    pub margins: Margins,
    /// What is expected of its rows, in the order of the configuration.
    pub rules: Vec<RuleSpec>,
    /// Which of its rows are duplicates.
    pub dedup: Option<DedupSpec>,
}

/// Where the rows of a source come from.
#[derive(Clone, Debug)]
pub enum SourceOrigin {
    /// Parquet files that keep arriving.
    Folder(FolderSpec),
    /// What another pipeline commits.
    Pipeline(UpstreamSpec),
}

/// A folder of Parquet files.
#[derive(Clone, Debug)]
pub struct FolderSpec {
    /// The folder.
    pub path: Location,
    /// The folder as the configuration names it, for messages.
    pub label: String,
    /// Which files below the folder belong to it, matched on the key relative to `path`.
    pub glob: glob::Pattern,
    /// Whether `key=value` folders become columns.
    pub hive_partitioning: bool,
    /// Declared types of partition columns; others are inferred.
    pub partition_columns: Vec<(String, PartitionType)>,
    /// Files younger than this are not there yet: they are still being written.
    pub settle: Span,
}

/// The committed output of another pipeline of the same project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSpec {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Which of its outputs.
    pub output: String,
}

/// What a number that is an event time counts since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds.
    Second,
    /// Milliseconds.
    Millisecond,
    /// Microseconds.
    Microsecond,
    /// Nanoseconds.
    Nanosecond,
}

impl EpochUnit {
    /// Its name in a configuration and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Millisecond => "ms",
            Self::Microsecond => "us",
            Self::Nanosecond => "ns",
        }
    }
}

/// What tells how far a source promises to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// The newest event it has brought.
    EventTime,
    /// The clock.
    Clock,
}

/// What becomes of rows whose event time is null, unreadable or absurd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNullTime {
    /// The file is refused: nothing new closes until it is mended.
    Fail,
    /// The rows are counted and left out.
    Drop,
    /// The rows are left out and kept aside, whole, with the reason.
    Quarantine,
}

/// What becomes of rows later than the allowed lateness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpired {
    /// Their file is refused: nothing new closes as long as it is there.
    Fail,
    /// The rows are counted and left out.
    Drop,
    /// The rows are left out and kept aside, whole, with the reason.
    Quarantine,
}

/// What becomes of a file that cannot be read as Parquet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCorruptFile {
    /// No new window closes until it can be.
    Fail,
    /// It is left out, and told, until it can be. Windows that need an earlier version of it wait.
    Quarantine,
}

/// What it means that an admitted file is not listed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRemoved {
    /// Nothing: raw files may be expired by retention, and what was computed from them stands.
    Keep,
    /// That its rows are no more: the windows it had rows of are computed without them.
    Recompute,
}

/// What it means that a file lacks a column that its table has and a query needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissingColumn {
    /// The windows that need the file fail.
    Fail,
    /// Its rows have NULL there.
    Null,
}

/// What it means that a column has another type in a file than in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTypeChange {
    /// The windows that need the file fail.
    Fail,
    /// Both are read as the narrowest type that holds all values of both; if there is none, as
    /// [`Self::Fail`].
    Widen,
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

impl SourceSpec {
    /// The folder its files lie in; `None` if it reads what another pipeline commits.
    #[must_use]
    pub fn folder(&self) -> Option<&FolderSpec> {
        match &self.origin {
            SourceOrigin::Folder(folder) => Some(folder),
            SourceOrigin::Pipeline(_) => None,
        }
    }

    /// The pipeline it reads from; `None` if it reads files.
    #[must_use]
    pub fn upstream(&self) -> Option<&UpstreamSpec> {
        match &self.origin {
            SourceOrigin::Folder(_) => None,
            SourceOrigin::Pipeline(upstream) => Some(upstream),
        }
    }

    /// How far beyond a window its rows decide about the window's.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let across = self.dedup.as_ref().map(|dedup| dedup.across.unwrap_or(Span::ZERO));
        Reach::new(self.margins, across)
    }

    /// Whether not every row of it need be used.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        !self.rules.is_empty() || self.dedup.is_some()
    }

    /// Whether rows of it may be put aside.
    #[must_use]
    pub fn has_quarantine(&self) -> bool {
        self.rules.iter().any(|rule| rule.on_violation == OnViolation::Quarantine)
    }

    /// The name of its file `key` as a person would write it.
    #[must_use]
    pub fn name_of(&self, key: &str) -> String {
        match &self.origin {
            SourceOrigin::Folder(folder) => format!("{}/{key}", folder.label),
            SourceOrigin::Pipeline(_) => key.to_owned(),
        }
    }
}
