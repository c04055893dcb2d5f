//! What was compared with the log, and what is wrong.

use std::collections::BTreeSet;

use crate::id::PipelineName;
use crate::ledger::FileId;
use crate::plan::RowSums;
use crate::time::EventTime;
use crate::window::WindowSet;

/// What was looked at, and what is wrong.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Computed windows.
    pub windows: u64,
    /// Published objects.
    pub objects: u64,
    /// Log entries.
    pub entries: u64,
    /// Windows that were computed again, if that was asked for.
    pub recomputed: Option<Recomputed>,
    /// Where every row of every input is, if that was asked for.
    pub balance: Option<RowSums>,
    /// What is wrong, in the order of windows.
    pub problems: Vec<Problem>,
    /// Whether everything was looked at: with too many problems nobody looks further.
    pub is_complete: bool,
    /// The windows whose objects are not what was committed: computing them again mends them.
    pub damaged: WindowSet,
    /// The files whose rows that belong to no window are not what was committed: reading the files
    /// again mends that.
    pub damaged_asides: BTreeSet<FileId>,
}

/// What became of windows that were to be computed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recomputed {
    /// They have the rows that were committed.
    pub equal: u64,
    /// They have others: each is a problem.
    pub wrong: u64,
    /// Their inputs are others by now, so that nothing can be said: `run` takes them up.
    pub changed: u64,
    /// They were computed with another query, other reference tables, or columns of other types.
    pub outdated: u64,
    /// They cannot be computed now, mostly because an input is not to be had or cannot be read; or
    /// they are written in another form by now.
    pub unknown: u64,
}

impl Default for Verified {
    fn default() -> Self {
        Self {
            windows: 0,
            objects: 0,
            entries: 0,
            recomputed: None,
            balance: None,
            problems: Vec::new(),
            is_complete: true,
            damaged: WindowSet::default(),
            damaged_asides: BTreeSet::new(),
        }
    }
}

impl Verified {
    /// What was found in two pipelines. Which windows and files are damaged is a matter of one.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.windows = self.windows.saturating_add(other.windows);
        self.objects = self.objects.saturating_add(other.objects);
        self.entries = self.entries.saturating_add(other.entries);
        self.problems.extend(other.problems);
        self.is_complete &= other.is_complete;
        self.recomputed = match (self.recomputed, other.recomputed) {
            (Some(one), Some(other)) => Some(one.plus(other)),
            (one, other) => one.or(other),
        };
        self.balance = match (self.balance, other.balance) {
            (Some(one), Some(other)) => Some(one.plus(other)),
            (one, other) => one.or(other),
        };
        self.damaged = WindowSet::default();
        self.damaged_asides = BTreeSet::new();
        self
    }
}

impl Recomputed {
    /// The sums.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = u64::saturating_add;
        Self {
            equal: add(self.equal, other.equal),
            wrong: add(self.wrong, other.wrong),
            changed: add(self.changed, other.changed),
            outdated: add(self.outdated, other.outdated),
            unknown: add(self.unknown, other.unknown),
        }
    }
}

/// One thing that is not as the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The window's start and end; `None` if it belongs to no window.
    pub window: Option<(EventTime, EventTime)>,
    /// What kind of difference.
    pub kind: ProblemKind,
    /// The object.
    pub path: String,
    /// The difference in words.
    pub message: String,
}

/// How an object differs from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// It is not there.
    Missing,
    /// It has another size.
    Size,
    /// It has other bytes.
    Sha256,
    /// It is not readable, or has another number of rows.
    Rows,
    /// It has other rows, by their hash.
    Content,
    /// Something else than a file lies in its place, or it is reached through a link: nothing can
    /// be published there before somebody takes that away.
    Obstacle,
    /// It does not say that this pipeline may write beside it.
    Owner,
    /// Computed again from the same inputs, the window has other rows.
    Recompute,
    /// Rows are in no place, or in two: the ledger and the log do not say the same of them.
    Balance,
    /// An attempt wrote it that is newer than all the log knows of it.
    Newer,
    /// It was begun and not committed: run again.
    InDoubt,
    /// The log knows nothing of it, and readers would take it for data.
    Unknown,
    /// It is no data and lies where data is.
    Leftover,
    /// It lies among the entries of the log and is none.
    Foreign,
    /// Objects are being taken away, and that is not done.
    Retiring,
}

impl ProblemKind {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Size => "size",
            Self::Sha256 => "sha256",
            Self::Rows => "rows",
            Self::Content => "content",
            Self::Obstacle => "obstacle",
            Self::Owner => "owner",
            Self::Recompute => "recompute",
            Self::Balance => "balance",
            Self::Newer => "newer",
            Self::InDoubt => "in_doubt",
            Self::Unknown => "unknown",
            Self::Leftover => "leftover",
            Self::Foreign => "foreign",
            Self::Retiring => "retiring",
        }
    }

    /// Whether an object is broken, so that computing its window again mends it.
    #[must_use]
    pub fn is_damage(self) -> bool {
        matches!(self, Self::Missing | Self::Size | Self::Sha256 | Self::Rows | Self::Content)
    }
}
