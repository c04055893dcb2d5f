//! How many rows were put aside: by rule, by file, by day. From the log alone.

use std::collections::BTreeMap;

use crate::spec::PipelineSpec;
use crate::state::{CommittedWindow, FileBalance, RowCounts, State, TimeRange};
use crate::time::EventTime;

/// What quarantined rows are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantinedBy {
    /// The rule that put them aside.
    Rule,
    /// The file they stand in.
    File,
    /// The day that their window starts on, in the pipeline's zone.
    Day,
}

impl QuarantinedBy {
    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::File => "file",
            Self::Day => "day",
        }
    }
}

/// What the rows of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuarantineKey {
    /// A rule of a table put them aside.
    Rule {
        /// The table.
        table: String,
        /// The rule.
        rule: String,
    },
    /// They stand in a file of a table.
    File {
        /// The table.
        table: String,
        /// The file's key.
        key: String,
    },
    /// They stand in files of windows that had too many of them for the log to name all.
    OtherFiles,
    /// Their windows start on this day: `2026-01-31`.
    Day(String),
}

/// Quarantined rows that have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineGroup {
    /// What.
    pub key: QuarantineKey,
    /// The rows.
    pub rows: u64,
    /// The windows that hold them.
    pub windows: u64,
    /// The start of the first of these.
    pub first: EventTime,
    /// The start of the last of these.
    pub last: EventTime,
}

/// The quarantined rows of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineView {
    /// What they are counted by.
    pub by: QuarantinedBy,
    /// What became of all rows of the windows that were looked at.
    pub rows: RowCounts,
    /// The windows that hold quarantined rows.
    pub windows: u64,
    /// The rows: days ascending, others by how many they are, most first.
    pub groups: Vec<QuarantineGroup>,
    /// Windows that were begun and not committed: what is counted of them is their last commit.
    pub in_doubt: Vec<TimeRange>,
}

/// The quarantined rows of the windows that start in `range`. They must have been recalled.
#[must_use]
pub fn quarantine(
    spec: &PipelineSpec,
    state: &State,
    range: TimeRange,
    by: QuarantinedBy,
) -> QuarantineView {
    let mut groups: BTreeMap<QuarantineKey, QuarantineGroup> = BTreeMap::new();
    let (mut rows, mut windows) = (RowCounts::default(), 0_u64);
    for (start, window) in state.windows.range(range.start..range.end) {
        let committed = &window.committed;
        rows = rows.plus(committed.rows);
        if committed.rows.quarantined > 0 {
            windows = windows.saturating_add(1);
        }
        for (key, more) in shares(spec, committed, by) {
            let group = groups.entry(key.clone()).or_insert(QuarantineGroup {
                key,
                rows: 0,
                windows: 0,
                first: *start,
                last: *start,
            });
            group.rows = group.rows.saturating_add(more);
            group.windows = group.windows.saturating_add(1);
            group.last = *start;
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    if by != QuarantinedBy::Day {
        groups.sort_by_key(|group| std::cmp::Reverse(group.rows));
    }
    let in_doubt = state.in_doubt.range(range.start..range.end);
    let in_doubt = in_doubt.map(|(start, doubt)| TimeRange { start: *start, end: doubt.end });
    QuarantineView { by, rows, windows, groups, in_doubt: in_doubt.collect() }
}

/// The quarantined rows of one window, group by group.
fn shares(
    spec: &PipelineSpec,
    committed: &CommittedWindow,
    by: QuarantinedBy,
) -> Vec<(QuarantineKey, u64)> {
    let balance = &committed.balance;
    let shares: Vec<(QuarantineKey, u64)> = match by {
        QuarantinedBy::Rule => {
            let rules = balance.rules.iter().filter(|rule| rule.action == "quarantine");
            let key = |table: &str, rule: &str| QuarantineKey::Rule {
                table: table.to_owned(),
                rule: rule.to_owned(),
            };
            rules.map(|rule| (key(&rule.table, &rule.rule), rule.rows)).collect()
        }
        QuarantinedBy::File => {
            let key = |file: &FileBalance| QuarantineKey::File {
                table: file.table.clone(),
                key: file.key.clone(),
            };
            let files = balance.files.iter().map(|file| (key(file), file.quarantined));
            let others = balance.others.iter();
            let others = others.map(|file| (QuarantineKey::OtherFiles, file.quarantined));
            files.chain(others).collect()
        }
        QuarantinedBy::Day => {
            let local = spec.grid.local_instant(committed.start);
            let day = local.split(' ').next().unwrap_or(&local).to_owned();
            vec![(QuarantineKey::Day(day), committed.rows.quarantined)]
        }
    };
    shares.into_iter().filter(|(_, rows)| *rows > 0).collect()
}
