//! What became of the rows of a window that its query was not given.

use serde::{Deserialize, Serialize};

use crate::state::RowCounts;

/// The most files of one window that a commit names; the others are summed up.
pub const BALANCE_FILES_MAX: usize = 1_000;

/// The balance sheet of a window beside its sums: which rules its rows broke, and of which files
/// not every row was used. Files that are not named had all their rows used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The rules that rows broke, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleCount>,
    /// The files of which not every row was used, in key order: the first
    /// [`BALANCE_FILES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileBalance>,
    /// The sums of the others, if there are more; without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<FileBalance>,
}

/// How many rows broke one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// The source's table.
    pub table: String,
    /// The rule.
    pub rule: String,
    /// What became of the rows: `warn`, `drop`, `quarantine`.
    pub action: String,
    /// The rows. A row that breaks several is counted with the one that decided what became of it,
    /// and with every `warn`.
    pub rows: u64,
}

/// What became of the rows that a window has of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileBalance {
    /// The source's table.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub table: String,
    /// The file's key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// All of them.
    #[serde(rename = "in")]
    pub input: u64,
    /// Those that the query was given.
    pub used: u64,
    /// Those that a rule put aside.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub quarantined: u64,
    /// Those that a rule dropped.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub dropped: u64,
    /// Those whose keys another row had.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub duplicate: u64,
}

impl FileBalance {
    /// Whether every row is in one place (IN-2).
    #[must_use]
    pub fn closes(&self) -> bool {
        let parts = [self.used, self.quarantined, self.dropped, self.duplicate];
        let sum = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part));
        sum == Some(self.input)
    }

    /// Adds the rows of `other`.
    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.input, other.input);
        add(&mut self.used, other.used);
        add(&mut self.quarantined, other.quarantined);
        add(&mut self.dropped, other.dropped);
        add(&mut self.duplicate, other.duplicate);
    }
}

impl Balance {
    /// The sheet of a window whose rows of `files`, in key order, became what they say, and broke
    /// these rules. Files that were used whole are left out.
    #[must_use]
    pub fn new(rules: Vec<RuleCount>, files: impl IntoIterator<Item = FileBalance>) -> Self {
        let mut sheet = Self { rules, ..Self::default() };
        for file in files.into_iter().filter(|file| file.used != file.input) {
            if sheet.files.len() < BALANCE_FILES_MAX {
                sheet.files.push(file);
            } else {
                sheet.others.get_or_insert_default().add(&file);
            }
        }
        sheet
    }

    /// Whether every row was used and no rule was broken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says, file by file and rule by rule, what `rows` sums up (IN-2).
    #[must_use]
    pub fn adds_up_to(&self, rows: &RowCounts) -> bool {
        let mut sum = FileBalance::default();
        for file in self.files.iter().chain(&self.others) {
            if !file.closes() {
                return false;
            }
            sum.add(file);
        }
        let by_rules = |action: &str| {
            let broken = self.rules.iter().filter(|rule| rule.action == action);
            broken.fold(0, |sum: u64, rule| sum.saturating_add(rule.rows))
        };
        (sum.quarantined, sum.dropped, sum.duplicate)
            == (rows.quarantined, rows.dropped, rows.duplicate)
            && (by_rules("quarantine"), by_rules("drop")) == (rows.quarantined, rows.dropped)
            && sum.input <= rows.input
    }
}
