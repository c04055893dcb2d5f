//! What is expected of rows, and what becomes of those that do not keep it.

use super::{Compression, SqlOrigin};
use crate::error::Excerpt;
use crate::time::Span;
use crate::window::PathTemplate;

/// The first part of the names of quarantine objects. A step's name holds no dot, so no output is
/// called so.
pub const QUARANTINE: &str = "quarantine";

/// Something that is expected of every row of a source.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Its name, one of its own within the source.
    pub name: String,
    /// A condition over the columns of the source, in SQL. A row for which it is false or null
    /// breaks the rule.
    pub expect: String,
    /// Where the condition stands.
    pub origin: SqlOrigin,
    /// Why a row is bad that breaks it, in words.
    pub reason: String,
    /// What becomes of such a row.
    pub on_violation: OnViolation,
}

/// What becomes of a row that breaks a rule. Of several, the one furthest down holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnViolation {
    /// It is used all the same, and counted.
    Warn,
    /// It is counted and left out.
    Drop,
    /// It is left out and kept aside, whole, with the reason.
    Quarantine,
    /// Its window is refused.
    Fail,
}

impl OnViolation {
    /// The word for it in the configuration, the log and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Drop => "drop",
            Self::Quarantine => "quarantine",
            Self::Fail => "fail",
        }
    }
}

/// Of rows with the same keys, one is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupSpec {
    /// The columns that are alike in duplicates; null is like null. Never empty.
    pub keys: Vec<String>,
    /// The columns that order duplicates, nulls first; ties are broken by file and row.
    pub order_by: Vec<String>,
    /// Which of them is used.
    pub keep: Keep,
    /// How long after a row of an earlier window a row is a duplicate of it; `None`: duplicates
    /// are of one window. Only with [`Keep::First`].
    pub across: Option<Span>,
    /// Where columns are named, for messages; none of those that are escaped there, or come from
    /// the environment.
    pub places: Vec<(String, Excerpt)>,
}

/// Which of several duplicates is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The first in their order.
    First,
    /// The last in their order.
    Last,
}

impl Keep {
    /// The word for it in the configuration and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

/// Where the quarantined rows of one source lie: an object per window that has some, or had some.
#[derive(Clone, Debug)]
pub struct QuarantineSpec {
    /// The source's table.
    pub table: String,
    /// What the object is called among the objects of its window.
    pub name: String,
    /// The folder of each window's object, under [`super::ProjectSpec::root`].
    pub path: PathTemplate,
    /// Whether a rule puts rows there.
    pub is_wanted: bool,
}

impl QuarantineSpec {
    /// What the objects of rows that belong to no window are called. No table has that name.
    pub const ASIDE: &str = "quarantine.*";

    /// What puts rows aside, in place of a rule, that have no event time that can be read.
    pub const NULL_TIME: &str = "null_time";
    /// The same of rows that lie too far in the future.
    pub const FUTURE: &str = "future";
    /// The same of rows that came too late.
    pub const EXPIRED: &str = "expired";

    /// Whether rows that belong to no window are put aside by this name.
    #[must_use]
    pub fn is_windowless(rule: &str) -> bool {
        [Self::NULL_TIME, Self::FUTURE, Self::EXPIRED].contains(&rule)
    }

    /// How its objects are compressed.
    pub const COMPRESSION: Compression = Compression::Zstd(3);

    /// What the quarantine object of `table` is called among the objects of a window.
    #[must_use]
    pub fn name_of(table: &str) -> String {
        format!("{QUARANTINE}.{table}")
    }

    /// Whether a window's object of this name holds quarantined rows.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        name.split_once('.').is_some_and(|(first, _)| first == QUARANTINE)
    }

    /// The name of its objects within their folders.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.parquet", self.table)
    }
}
