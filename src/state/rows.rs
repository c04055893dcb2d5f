//! What becomes of rows, counted.

use serde::{Deserialize, Serialize};

/// What became of rows. In a window: `in` = `used` + `quarantined` + `dropped` + `duplicate`;
/// `late` is an of-which; `margin` comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowCounts {
    /// Rows of the window in its inputs.
    #[serde(rename = "in")]
    pub input: u64,
    /// Rows of its margins, which its query saw beside its own: they belong to other windows.
    pub margin: u64,
    /// Rows of its own that its query saw.
    pub used: u64,
    /// Rows its query gave.
    pub out: u64,
    /// Rows a rule put aside.
    pub quarantined: u64,
    /// Rows a rule dropped.
    pub dropped: u64,
    /// Rows whose key another row had.
    pub duplicate: u64,
    /// Rows that came after the window's first commit.
    pub late: u64,
    /// Rows later than the allowed lateness.
    pub expired: u64,
    /// Rows without a usable event time.
    pub null_time: u64,
    /// Rows further in the future than allowed.
    pub future: u64,
    /// Rows before the pipeline's begin.
    pub before_begin: u64,
}

impl RowCounts {
    /// The sums; counts stop at the largest number rather than wrap.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = u64::saturating_add;
        Self {
            input: add(self.input, other.input),
            margin: add(self.margin, other.margin),
            used: add(self.used, other.used),
            out: add(self.out, other.out),
            quarantined: add(self.quarantined, other.quarantined),
            dropped: add(self.dropped, other.dropped),
            duplicate: add(self.duplicate, other.duplicate),
            late: add(self.late, other.late),
            expired: add(self.expired, other.expired),
            null_time: add(self.null_time, other.null_time),
            future: add(self.future, other.future),
            before_begin: add(self.before_begin, other.before_begin),
        }
    }

    /// What is left without `other`, which is a part of these.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let less = u64::saturating_sub;
        Self {
            input: less(self.input, other.input),
            margin: less(self.margin, other.margin),
            used: less(self.used, other.used),
            out: less(self.out, other.out),
            quarantined: less(self.quarantined, other.quarantined),
            dropped: less(self.dropped, other.dropped),
            duplicate: less(self.duplicate, other.duplicate),
            late: less(self.late, other.late),
            expired: less(self.expired, other.expired),
            null_time: less(self.null_time, other.null_time),
            future: less(self.future, other.future),
            before_begin: less(self.before_begin, other.before_begin),
        }
    }

    /// Whether every row of a window is in one place (IN-2).
    #[must_use]
    pub fn closes(&self) -> bool {
        let parts = [self.used, self.quarantined, self.dropped, self.duplicate];
        let sum = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part));
        sum == Some(self.input)
    }
}
