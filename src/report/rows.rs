//! Single rows: those that were put aside, and what became of those that were asked for.

use serde_json::Value;

use crate::id::{Revision, Seq};
use crate::ledger::FileId;
use crate::state::TimeRange;
use crate::time::EventTime;
use crate::window::Window;

/// A row that was put aside.
#[derive(Clone, Debug, PartialEq)]
pub struct QuarantinedRow {
    /// Its window, or the one that it came too late for; `None` if it never had one.
    pub window: Option<TimeRange>,
    /// Its table.
    pub table: String,
    /// The rule that put it aside: `null_time`, `future` or `expired` where it belongs to no
    /// window.
    pub rule: String,
    /// All rules that it breaks.
    pub rules: Vec<String>,
    /// Why, in the words of the rule.
    pub reason: String,
    /// The file it stands in.
    pub file: String,
    /// Which row of the file it is, from 0.
    pub row: u64,
    /// Its values, in the order of the columns.
    pub values: Vec<(String, Value)>,
}

/// Rows that were put aside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quarantined {
    /// The rows, in the order of windows, tables, files and rows; those that belong to no window
    /// last.
    pub rows: Vec<QuarantinedRow>,
    /// Whether there are more than were asked for.
    pub is_cut: bool,
    /// Windows that were begun and not committed, and whether what was committed of them before is
    /// still there, so that it could be shown.
    pub in_doubt: Vec<(TimeRange, bool)>,
    /// The same of files with rows that belong to no window.
    pub files_in_doubt: Vec<(FileId, bool)>,
}

/// What became of the rows that a condition holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The rows, in the order of tables, files and rows.
    pub rows: Vec<TracedRow>,
    /// Whether there are more.
    pub is_cut: bool,
    /// Files of the ledger that could not be searched, what they are called, and why not.
    pub unread: Vec<(FileId, String, String)>,
    /// Sources that do not have the columns of the condition.
    pub passed_over: Vec<String>,
    /// Listed files that no run has admitted yet: they are not searched.
    pub not_admitted: u64,
    /// Whether no run has admitted any file yet.
    pub is_before_first_run: bool,
}

/// What became of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedRow {
    /// Its file.
    pub file: FileId,
    /// What that is called.
    pub name: String,
    /// Which row of the file it is, from 0.
    pub row: u64,
    /// Its event time, if it has a usable one.
    pub at: Option<EventTime>,
    /// The window that it belongs to.
    pub window: Option<Window>,
    /// What became of it.
    pub fate: Fate,
    /// The commit that stands of its window.
    pub commit: Option<TracedCommit>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The query of its window was given it.
    Used,
    /// A rule put it aside.
    Quarantined {
        /// The rule.
        rule: String,
        /// Why, in its words.
        reason: String,
    },
    /// A rule dropped it.
    Dropped {
        /// The rule.
        rule: String,
    },
    /// By the rules of now it must not be there at all.
    Refused {
        /// The rule.
        rule: String,
    },
    /// Another row with its keys was used, or came shortly before.
    Duplicate {
        /// That row; `None` if it cannot be named.
        of: Option<Original>,
    },
    /// It came too late for its window.
    Expired,
    /// It has no usable event time.
    NullTime,
    /// It lies further in the future than allowed.
    Future,
    /// Its window lies before the pipeline's begin, and was never computed.
    BeforeBegin,
    /// Its window is not closed.
    Open,
    /// Its window is due.
    Pending,
    /// Its window failed, and was never committed.
    Failed {
        /// The code of the error.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// Its window is committed from other inputs than there are by now.
    Stale {
        /// Whether this version of its file came after that commit.
        is_new: bool,
    },
    /// Its window was committed without being computed.
    Skipped,
    /// Its window went back to an earlier revision.
    Restored,
    /// It cannot be told.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl Fate {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Quarantined { .. } => "quarantined",
            Self::Dropped { .. } => "dropped",
            Self::Refused { .. } => "refused",
            Self::Duplicate { .. } => "duplicate",
            Self::Expired => "expired",
            Self::NullTime => "null_time",
            Self::Future => "future",
            Self::BeforeBegin => "before_begin",
            Self::Open => "open",
            Self::Pending => "pending",
            Self::Failed { .. } => "failed",
            Self::Stale { .. } => "stale",
            Self::Skipped => "skipped",
            Self::Restored => "restored",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// The row that a row is a duplicate of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its file's key.
    pub key: String,
    /// What the file is called.
    pub name: String,
    /// Which row of the file it is, from 0.
    pub row: u64,
    /// The window that it belongs to.
    pub window: Option<Window>,
}

/// The commit that stands of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedCommit {
    /// Its entry.
    pub seq: Seq,
    /// The window's revision.
    pub revision: Revision,
    /// The objects of the window's outputs.
    pub outputs: Vec<String>,
    /// Whether the window was begun anew and not committed.
    pub is_in_doubt: bool,
    /// Whether it was computed with another query, or by other rules, than those of now, by which
    /// the row is judged here.
    pub is_outdated: bool,
}
