//! How many rows were put aside: by rule, by file, by day. From the log and its ledger alone.

use std::collections::BTreeMap;

use crate::ledger::{Admitted, FileId, Ledger};
use crate::spec::{PipelineSpec, QuarantineSpec};
use crate::state::{
    AsideFile, CommittedOutput, CommittedWindow, FileBalance, RowCounts, State, TimeRange,
};
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
    /// Rows that belong to no window; `None` if only some windows are asked for.
    pub aside: Option<AsideView>,
}

/// Rows that belong to no window and were put aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsideView {
    /// How many there are.
    pub rows: u64,
    /// The source files that they stand in.
    pub files: u64,
    /// What they have in common, most rows first. They are of no day.
    pub groups: Vec<AsideGroup>,
    /// Files of which they were begun and not committed: what is counted is their last commit.
    pub in_doubt: Vec<FileId>,
}

/// Such rows that have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsideGroup {
    /// Their table.
    pub table: String,
    /// Why they belong to no window; `None` if that is not asked, or the log does not tell: the
    /// file was replaced since.
    pub rule: Option<&'static str>,
    /// The key of their file, if that is asked.
    pub key: Option<String>,
    /// The rows.
    pub rows: u64,
    /// The files that they stand in.
    pub files: u64,
}

/// The quarantined rows of the windows that start in `range`, which must have been recalled; and
/// those that belong to no window, if the `ledger` is given.
#[must_use]
pub fn quarantine(
    spec: &PipelineSpec,
    state: &State,
    ledger: Option<&Ledger>,
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
    let aside = ledger.map(|ledger| asides(state, ledger, by));
    QuarantineView { by, rows, windows, groups, in_doubt: in_doubt.collect(), aside }
}

/// Table, key and rule of a group, the latter two where it has them.
type AsideKey<'a> = (&'a str, Option<&'a str>, Option<&'static str>);

/// What is kept aside of files because it belongs to no window.
fn asides(state: &State, ledger: &Ledger, by: QuarantinedBy) -> AsideView {
    let mut view = AsideView::default();
    let mut groups: BTreeMap<AsideKey<'_>, (u64, u64)> = BTreeMap::new();
    for (id, known) in &state.asides {
        if known.is_in_doubt {
            view.in_doubt.push(id.clone());
        }
        let Some(kept) = known.committed.as_ref().filter(|kept| kept.object.rows > 0) else {
            continue;
        };
        view.rows = view.rows.saturating_add(kept.object.rows);
        view.files = view.files.saturating_add(1);
        let (key, shares) = match by {
            QuarantinedBy::Rule => (None, rules_of(ledger.file(id), kept)),
            QuarantinedBy::File => (Some(id.key.as_str()), vec![(None, kept.object.rows)]),
            QuarantinedBy::Day => (None, vec![(None, kept.object.rows)]),
        };
        for (rule, more) in shares {
            let (rows, files) = groups.entry((&id.table, key, rule)).or_default();
            *rows = rows.saturating_add(more);
            *files = files.saturating_add(1);
        }
    }
    for ((table, key, rule), (rows, files)) in groups {
        let (table, key) = (table.to_owned(), key.map(str::to_owned));
        view.groups.push(AsideGroup { table, rule, key, rows, files });
    }
    view.groups.sort_by_key(|group| std::cmp::Reverse(group.rows));
    view
}

/// Why the rows that are `kept` aside of a file belong to no window, and how many for each reason.
/// The ledger tells, as long as it has the version that they are of.
fn rules_of(
    admitted: Option<&Admitted>,
    kept: &AsideFile<CommittedOutput>,
) -> Vec<(Option<&'static str>, u64)> {
    let unknown = vec![(None, kept.object.rows)];
    let Some(admitted) = admitted.filter(|known| known.came_with() == kept.generation) else {
        return unknown;
    };
    let record = &admitted.record;
    let timeless =
        [(QuarantineSpec::NULL_TIME, record.null_time), (QuarantineSpec::FUTURE, record.future)];
    let expired = [(QuarantineSpec::EXPIRED, record.expired_rows())];
    // Policies that changed since may keep other parts aside than were kept then.
    let parts = [[&timeless[..], &expired].concat(), timeless.to_vec(), expired.to_vec()];
    let sum = |parts: &[(&str, u64)]| {
        parts.iter().fold(0_u64, |sum, (_, rows)| sum.saturating_add(*rows))
    };
    let Some(parts) = parts.into_iter().find(|parts| sum(parts) == kept.object.rows) else {
        return unknown;
    };
    let some = parts.into_iter().filter(|(_, rows)| *rows > 0);
    some.map(|(rule, rows)| (Some(rule), rows)).collect()
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
