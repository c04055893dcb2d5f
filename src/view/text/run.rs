//! What a run does and did, as text.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{balance, counted, grouped, instant, instant_after, label, number, sign};
use crate::report::PipelineReport;
use crate::spec::PipelineSpec;
use crate::state::{CommittedWindow, FailedWindow};
use crate::time::Span;
use crate::view::hint;

/// One committed window of a run.
#[must_use]
pub fn committed(spec: &PipelineSpec, window: &CommittedWindow) -> String {
    let label = label(spec, window.start, window.end);
    let late = match window.rows.late {
        0 => String::new(),
        late => format!("    {} late", grouped(late)),
    };
    let (input, out) = (grouped(window.rows.input), grouped(window.rows.out));
    let (sign, same) = match window.restores {
        _ if window.unchanged => ('=', ", as published".to_owned()),
        Some(rev) => ('<', format!(", as in revision {rev}")),
        None => (sign(window.reason, window.rev.0), String::new()),
    };
    let found = super::history::found(std::slice::from_ref(window));
    format!("{sign} {label}    {input} → {out} rows{same}{late}{found}")
}

/// One window of a run that failed.
#[must_use]
pub fn failed(spec: &PipelineSpec, window: &FailedWindow) -> String {
    let label = label(spec, window.start, window.end);
    format!("✗ {label}    {} {}", window.code, window.message)
}

/// What a run did to one pipeline, and what it left out.
#[must_use]
pub fn run(spec: &PipelineSpec, report: &PipelineReport) -> String {
    let mut text = outcome(spec, report);
    for why in report.left_out.iter().take(LEFT_OUT_MAX) {
        let _ = writeln!(text, "  left out: {} {}", why.code(), why.message());
    }
    if let more @ 1.. = report.left_out.len().saturating_sub(LEFT_OUT_MAX) {
        let _ = writeln!(text, "  left out: {} more files", grouped(number(more)));
    }
    text
}

/// The most files that are named as left out.
pub(super) const LEFT_OUT_MAX: usize = 10;

fn outcome(spec: &PipelineSpec, report: &PipelineReport) -> String {
    if report.left.is_some() {
        return format!(
            "… {}    left for the run that holds the lease: it does it, or the next run does\n",
            spec.name
        );
    }
    if report.is_idle() {
        return idle(spec, report);
    }
    let is_well = report.failures.is_empty() && report.errors.is_empty();
    let mut text = match report.entries {
        None if report.failures.is_empty() && report.windows_done == 0 => {
            return untouched(spec, report);
        }
        _ => done(spec, report, if is_well { '✓' } else { '✗' }),
    };
    let watermark = match (report.watermark_before, report.watermark) {
        (before, now) if before == now => format!("{}, as before", instant(spec, now)),
        (before, now) => format!("{} → {}", instant(spec, before), instant(spec, now)),
    };
    let entries = report.entries.map(|(first, last)| format!("    log entries {first}–{last}"));
    let _ = writeln!(text, "  watermark {watermark}{}", entries.unwrap_or_default());
    if !report.failures.is_empty() {
        text.push_str("  failed windows keep the output they had, and stay due\n");
        let codes: BTreeSet<&str> = report.failures.iter().map(|failed| &*failed.code).collect();
        for code in codes {
            if let Some(hint) = hint(code) {
                let _ = writeln!(text, "  {code}: {hint}");
            }
        }
    }
    if let (Some(id), false) = (report.request, is_well && report.windows_held == 0) {
        let _ = writeln!(text, "  request {id} stays open until it is done: see `requests`");
    }
    text
}

fn idle(spec: &PipelineSpec, report: &PipelineReport) -> String {
    let name = &spec.name;
    if report.files == 0 {
        let mut folders = spec.sources.iter().filter_map(|source| source.folder());
        let why = if folders.any(|folder| folder.settle > Span::ZERO) {
            "no file matches `path` and `glob` that is older than `settle`"
        } else if spec.sources.iter().any(|source| source.folder().is_some()) {
            "no file matches `path` and `glob` yet"
        } else {
            "the pipeline it reads from has no rows yet"
        };
        return format!("✓ {name}    nothing to do: {why}\n");
    }
    if report.windows_held > 0 {
        let windows = counted(report.windows_held, "window");
        return format!("✓ {name}    {windows} wait for an input\n");
    }
    let watermark = match report.watermark {
        Some(at) => format!("watermark {}", instant(spec, Some(at))),
        None => "no watermark yet".to_owned(),
    };
    let closes = report
        .next_close
        .map(|at| format!("; next closes {}", instant_after(spec, report.watermark, at)));
    format!("✓ {name}    nothing to do ({watermark}{})\n", closes.unwrap_or_default())
}

/// The pipeline of which the errors above say all there is to say.
fn untouched(spec: &PipelineSpec, report: &PipelineReport) -> String {
    let name = &spec.name;
    match report.watermark {
        Some(at) => {
            let at = instant(spec, Some(at));
            format!("✗ {name}    nothing was computed; outputs stand, watermark {at}\n")
        }
        None => format!("✗ {name}    nothing was computed\n"),
    }
}

fn done(spec: &PipelineSpec, report: &PipelineReport, mark: char) -> String {
    let rows = report.rows;
    let restored = counted(report.windows_restored, "window");
    let mut parts = match (report.windows_done, report.windows_restored) {
        (done, 0) => vec![counted(done, "window")],
        (0, _) => vec![format!("{restored} restored")],
        (done, _) => vec![counted(done, "window"), format!("{restored} restored")],
    };
    for (count, what) in [
        (number(report.failures.len()), "failed"),
        (report.windows_skipped, "skipped"),
        (report.windows_unchanged, "unchanged"),
        (report.windows_held, "waiting"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", grouped(count)));
        }
    }
    if report.windows_done > 0 {
        parts.push(format!("{} rows in", grouped(rows.input)));
        parts.push(format!("{} out", grouped(rows.out)));
        parts.extend(balance::parts(&rows));
    }
    for (count, what) in [
        (rows.late, "late"),
        (rows.expired, "expired"),
        (rows.null_time, "without a time"),
        (rows.future, "in the future"),
        (rows.before_begin, "before begin"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", grouped(count)));
        }
    }
    parts.push(report.took.to_string());
    format!("{mark} {}    {}\n", spec.name, parts.join("    "))
}
