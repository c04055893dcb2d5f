//! Commits, as text.

use super::{grouped, labels, lines, right, sum, table};
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

/// Commits, newest first. `unfold` shows every window.
#[must_use]
pub fn history(spec: &PipelineSpec, commits: &[HistoryLine<'_>], unfold: bool) -> String {
    if commits.is_empty() {
        return format!("{} has no commits yet\n", spec.name);
    }
    let header = ["COMMIT", "AT", "WINDOW", "COUNT", "REV", "WHY", "ROWS IN", "OUT", "LATE"];
    let mut table = table(&header);
    right(&mut table, [0, 3, 4, 6, 7, 8]);
    for commit in commits {
        let head = [commit.seq.to_string(), minute(commit.at)];
        let rows = match commit.what {
            HistoryEvent::Commit(windows, failed) => committed(spec, windows, failed, unfold),
            HistoryEvent::Skip(range, why) => {
                let skipped = format!("{} skipped", whole(spec, range));
                vec![vec![skipped, String::new(), String::new(), why.to_owned()]]
            }
        };
        for row in rows {
            table.add_row(head.iter().cloned().chain(row));
        }
    }
    lines(&table)
}

/// The cells behind the first two, for each row of a commit.
fn committed(
    spec: &PipelineSpec,
    windows: &[CommittedWindow],
    failed: usize,
    unfold: bool,
) -> Vec<Vec<String>> {
    let groups: Vec<&[CommittedWindow]> = if unfold {
        windows.chunks(1).collect()
    } else {
        windows.chunk_by(|a, b| a.reason == b.reason && a.rev == b.rev).collect()
    };
    let mut rows = Vec::new();
    for group in groups {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let count = |count: fn(&CommittedWindow) -> u64| grouped(sum(group, count));
        rows.push(vec![
            labels(spec, (first.start, first.end), (last.start, last.end)),
            group.len().to_string(),
            first.rev.to_string(),
            first.reason.as_str().to_owned(),
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
