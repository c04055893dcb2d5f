//! Commits, as text.

use std::fmt::Write;

use super::{counted, grouped, labels, lines, right, sum, table};
use crate::spec::PipelineSpec;
use crate::state::{CommittedWindow, TimeRange};
use crate::time::{EventTime, ProcessingTime};

/// One line of `history`, or more.
#[derive(Debug)]
pub struct HistoryLine<'a> {
    /// Its place.
    pub seq: u64,
    /// When.
    pub at: ProcessingTime,
    /// What happened.
    pub what: HistoryEvent<'a>,
}

/// What a line of `history` tells of.
#[derive(Debug)]
pub enum HistoryEvent<'a> {
    /// Windows were committed, and so many others failed.
    Commit(&'a [CommittedWindow], usize),
    /// Windows were skipped, for a reason.
    Skip(TimeRange, &'a str),
}

/// What became of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stands.
    Now,
    /// It was replaced, and can be restored.
    Kept,
    /// It was replaced when it was not what was published any more: nobody has it.
    Lost,
    /// It was replaced by so many that it is not kept any longer.
    Gone,
}

impl Standing {
    /// What is put behind a revision.
    fn mark(self) -> &'static str {
        match self {
            Self::Now | Self::Gone => "",
            Self::Kept => "*",
            Self::Lost => "!",
        }
    }
}

/// Commits, newest first; `standing` tells what became of a revision. `unfold` shows every window.
#[must_use]
pub fn history(
    spec: &PipelineSpec,
    commits: &[HistoryLine<'_>],
    standing: &dyn Fn(&CommittedWindow) -> Standing,
    unfold: bool,
) -> String {
    if commits.is_empty() {
        return format!("{} has no commits yet\n", spec.name);
    }
    let header = ["COMMIT", "AT", "WINDOW", "COUNT", "REV", "WHY", "ROWS IN", "OUT", "LATE"];
    let mut table = table(&header);
    right(&mut table, [0, 3, 4, 6, 7, 8]);
    for commit in commits {
        let head = [commit.seq.to_string(), minute(commit.at)];
        let rows = match commit.what {
            HistoryEvent::Commit(windows, failed) => {
                committed(spec, windows, failed, standing, unfold)
            }
            HistoryEvent::Skip(range, why) => {
                let skipped = format!("{} skipped", whole(spec, range));
                vec![vec![skipped, String::new(), String::new(), why.to_owned()]]
            }
        };
        for row in rows {
            table.add_row(head.iter().cloned().chain(row));
        }
    }
    format!("{}{}", lines(&table), legend(commits, standing))
}

/// What the marks behind revisions mean, if there are any.
fn legend(commits: &[HistoryLine<'_>], standing: &dyn Fn(&CommittedWindow) -> Standing) -> String {
    let windows = commits.iter().flat_map(|commit| match commit.what {
        HistoryEvent::Commit(windows, _) => windows,
        HistoryEvent::Skip(..) => &[],
    });
    let found: Vec<Standing> = windows.map(standing).collect();
    let mut text = String::new();
    for (what, means) in [
        (Standing::Kept, "replaced, and kept: `rollback` can go back to it"),
        (Standing::Lost, "replaced, and lost: it was not what was published any more"),
    ] {
        if found.contains(&what) {
            let _ = writeln!(text, "{} {means}", what.mark());
        }
    }
    text
}

/// The cells behind the first two, for each row of a commit.
fn committed(
    spec: &PipelineSpec,
    windows: &[CommittedWindow],
    failed: usize,
    standing: &dyn Fn(&CommittedWindow) -> Standing,
    unfold: bool,
) -> Vec<Vec<String>> {
    let groups: Vec<&[CommittedWindow]> = if unfold {
        windows.chunks(1).collect()
    } else {
        let key = |window: &CommittedWindow| {
            (window.reason, window.rev, window.restores, standing(window))
        };
        windows.chunk_by(|a, b| key(a) == key(b)).collect()
    };
    let mut rows = Vec::new();
    for group in groups {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let count = |count: fn(&CommittedWindow) -> u64| grouped(sum(group, count));
        rows.push(vec![
            labels(spec, (first.start, first.end), (last.start, last.end)),
            group.len().to_string(),
            format!("{}{}", first.rev, standing(first).mark()),
            format!("{}{}", why(first), found(group)),
            count(|window| window.rows.input),
            count(|window| window.rows.out),
            count(|window| window.rows.late),
        ]);
    }
    if failed > 0 {
        rows.push(vec!["failed".to_owned(), failed.to_string()]);
    }
    rows
}

/// Why a window was published, and what it restored.
pub(super) fn why(window: &CommittedWindow) -> String {
    match window.restores {
        Some(rev) if !window.unchanged => format!("back to {rev}"),
        _ => window.reason.as_str().to_owned(),
    }
}

/// How many rows the checks of `windows` found, if any.
pub(super) fn found(windows: &[CommittedWindow]) -> String {
    let rows = |window: &CommittedWindow| sum(&window.checks, |check| check.rows);
    match sum(windows, rows) {
        0 => String::new(),
        rows => format!(", checks found {}", counted(rows, "row")),
    }
}

/// The first and the last window of `range`.
pub(super) fn whole(spec: &PipelineSpec, range: TimeRange) -> String {
    let inside = EventTime::from_micros(range.end.micros().saturating_sub(1));
    let bounds = |at| spec.grid.window_at(at).map(|window| (window.start(), window.end()));
    match (bounds(range.start), bounds(inside)) {
        (Some(first), Some(last)) => labels(spec, first, last),
        _ => format!("{} … {}", range.start, range.end),
    }
}

/// An instant to the minute: `2026-11-20 08:17Z`.
pub(super) fn minute(at: ProcessingTime) -> String {
    let text = at.to_string();
    text.get(..16).map_or_else(|| text.clone(), |text| format!("{}Z", text.replace('T', " ")))
}
