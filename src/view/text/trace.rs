//! What became of rows, as text.

use std::fmt::Write;

use super::{counted, instant, number};
use crate::report::{Fate, Original, Trace, TracedCommit, TracedRow};
use crate::spec::PipelineSpec;

/// What became of the rows that a condition holds for.
#[must_use]
pub fn trace(spec: &PipelineSpec, found: &Trace) -> String {
    let mut text = String::new();
    for row in &found.rows {
        text.push_str(&of_row(spec, row));
        text.push('\n');
    }
    let rows = counted(number(found.rows.len()), "row");
    let more = if found.is_cut { ", and there are more: narrow the condition" } else { "" };
    let _ = writeln!(text, "{}    {rows} found{more}", spec.name);
    for (_, name, why) in &found.unread {
        let _ = writeln!(text, "not searched: {name}: {why}");
    }
    for table in &found.passed_over {
        let _ = writeln!(text, "not searched: source {table}, which the condition does not fit");
    }
    if found.is_before_first_run {
        text.push_str("no run has admitted a file yet: `highwater run` does\n");
    } else if found.not_admitted > 0 {
        let files = counted(found.not_admitted, "file");
        let _ = writeln!(text, "not searched: {files} that no run has admitted yet");
    }
    text
}

fn of_row(spec: &PipelineSpec, row: &TracedRow) -> String {
    let mut text = format!("{} row {}", row.name, row.row);
    if row.at.is_some() {
        let _ = write!(text, "    {}", instant(spec, row.at));
    }
    if let Some(window) = row.window {
        let _ = write!(text, "    window {}", spec.grid.label(window));
    }
    let _ = writeln!(text, "\n  {}", became(spec, &row.fate));
    if let Some(commit) = &row.commit {
        text.push_str(&of_commit(commit));
    }
    text
}

fn became(spec: &PipelineSpec, fate: &Fate) -> String {
    match fate {
        Fate::Used => "used".to_owned(),
        Fate::Quarantined { rule, reason } => format!("quarantined by rule `{rule}`: {reason}"),
        Fate::Dropped { rule } => format!("dropped by rule `{rule}`"),
        Fate::Refused { rule } => format!("rule `{rule}` of now refuses it, and its window"),
        Fate::Duplicate { of: None } => "duplicate".to_owned(),
        Fate::Duplicate { of: Some(Original { name, row, window, .. }) } => {
            let window = window.map(|window| spec.grid.label(window)).unwrap_or_default();
            format!("duplicate of {name} row {row} (window {window})")
        }
        Fate::Expired => "expired: it came later than allowed_lateness".to_owned(),
        Fate::NullTime => "without a usable event time: no window has it".to_owned(),
        Fate::Future => "in the future: it lies more than max_future after its file".to_owned(),
        Fate::BeforeBegin => "before begin: `backfill` takes it in".to_owned(),
        Fate::Open => "open: its window is not closed yet".to_owned(),
        Fate::Pending => "pending: its window is due, the next run takes it in".to_owned(),
        Fate::Failed { code, message } => format!("its window failed: {code} {message}"),
        Fate::Stale { is_new: true } => "stale: this version of its file came after the window's \
                                         commit; the next run takes it in"
            .to_owned(),
        Fate::Stale { is_new: false } => "stale: the window's commit knew it, and other inputs \
                                          changed since; the next run judges it anew"
            .to_owned(),
        Fate::Skipped => "skipped: its window was committed without being computed".to_owned(),
        Fate::Restored => {
            "its window went back to an earlier revision, which may not have known it".to_owned()
        }
        Fate::Unknown { why } => format!("unknown: {why}"),
    }
}

fn of_commit(commit: &TracedCommit) -> String {
    let TracedCommit { seq, revision, outputs, is_in_doubt, is_outdated } = commit;
    let mut text = format!("  commit {seq}, revision {revision}: {}\n", outputs.join(", "));
    if *is_outdated {
        text.push_str("  that was computed with another query; the row is judged by that of now\n");
    }
    if *is_in_doubt {
        text.push_str("  the window was begun anew and not committed: `highwater run` ends that\n");
    }
    text
}
