//! Views as aligned text. No line needs colour to be understood.

use comfy_table::{CellAlignment, Table, presets};

use super::StatusView;
use crate::id::PipelineName;
use crate::plan::{DueWindow, Plan};
use crate::report::{PipelineReport, Verified};
use crate::spec::PipelineSpec;
use crate::state::{CommittedWindow, FailedWindow, Reason, State};
use crate::time::{EventTime, ProcessingTime};
use crate::window::Window;

/// More due windows than this are folded.
const LINES_MAX: usize = 20;

/// The objects of a window, by output.
#[must_use]
pub fn objects(spec: &PipelineSpec, window: Window) -> Vec<String> {
    let outputs = spec.outputs.iter();
    let folders = outputs.filter_map(|output| output.path.render(&spec.grid, window));
    folders.map(|folder| format!("{folder}/data.parquet")).collect()
}

/// `1 file`, `2 files`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// Thousands apart: `171,572`.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(place);
        if place > 0 && left % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().iec().to_string()
}

fn instant(spec: &PipelineSpec, at: Option<EventTime>) -> String {
    at.map_or_else(|| "–".to_owned(), |at| spec.grid.local_instant(at))
}

/// `+` for a window that gets its first output, `~` for one that is replaced.
fn sign(reason: Reason, revision: u32) -> char {
    match reason {
        Reason::New => '+',
        _ if revision > 1 => '~',
        _ => '+',
    }
}

fn why(due: &DueWindow) -> String {
    match due.reason {
        Reason::New => "new".to_owned(),
        Reason::LateData => format!(
            "{} in {}",
            counted(due.late_rows, "late row"),
            counted(due.late_files, "new file")
        ),
        Reason::InputChanged => format!("{} replaced", counted(due.late_files, "input file")),
        Reason::Requested => "requested".to_owned(),
        Reason::InDoubt => "begun and not committed".to_owned(),
        Reason::FailedBefore => "failed before".to_owned(),
    }
}

/// What is due in one pipeline. `unfold` shows every window.
#[must_use]
pub fn plan(
    spec: &PipelineSpec,
    state: &State,
    plan: &Plan,
    before_begin_rows: u64,
    unfold: bool,
    now: ProcessingTime,
) -> String {
    let mut text = headline(spec, state, now);
    if plan.windows.is_empty() && plan.refused.is_empty() {
        text.push_str("  nothing to compute\n");
    } else {
        text.push('\n');
        text.push_str(&indent(&due_table(spec, state, plan, unfold)));
        text.push('\n');
    }
    for (due, why) in &plan.refused {
        let label = spec.grid.label(due.window);
        text.push_str(&format!("  refused   {label}: {} {}\n", why.code(), why.message()));
    }
    if let (Some(first), Some(last)) = (plan.open.first(), plan.open.last()) {
        let open = match plan.open.len() {
            1 => format!("{}   open", spec.grid.label(*first)),
            many => format!(
                "{} … {}   {} open windows",
                spec.grid.label(*first),
                spec.grid.label(*last),
                grouped(u64::try_from(many).unwrap_or(u64::MAX))
            ),
        };
        let closes = spec.grid.local_instant(first.end());
        text.push_str(&format!("  not yet   {open}; the next closes when the watermark passes {closes}\n"));
    }
    if before_begin_rows > 0 {
        let rows = counted(before_begin_rows, "row");
        text.push_str(&format!("  before    {rows} before `begin`; `backfill` takes them in\n"));
    }
    text
}

fn headline(spec: &PipelineSpec, state: &State, now: ProcessingTime) -> String {
    let watermark = match state.watermark {
        Some(at) => {
            let at_local = spec.grid.local_instant(at);
            format!("watermark {at_local} (lag {})", now.lag_of(at))
        }
        None => "no watermark yet".to_owned(),
    };
    let (size, zone) = (spec.grid.size(), spec.grid.zone());
    format!("{}    windows of {size}, {zone}    {watermark}\n", spec.name)
}

fn due_table(spec: &PipelineSpec, state: &State, plan: &Plan, unfold: bool) -> String {
    let mut table = table(&["", "WINDOW", "WHY", "FILES", "ROWS", "BYTES", "OUTPUT"]);
    for column in 3..=5 {
        right(&mut table, column);
    }
    let mark = |due: &DueWindow| {
        sign(due.reason, state.next_revision(due.window.start()).map_or(1, |revision| revision.0))
    };
    let alike = |a: &DueWindow, b: &DueWindow| {
        a.reason == b.reason && mark(a) == mark(b) && a.reason == Reason::New
    };
    let fold = !unfold && plan.windows.len() > LINES_MAX;
    let groups: Vec<&[DueWindow]> = if fold {
        plan.windows.chunk_by(|a, b| alike(a, b)).collect()
    } else {
        plan.windows.chunks(1).collect()
    };
    for group in groups {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let sum = |count: fn(&DueWindow) -> u64| {
            group.iter().map(count).fold(0, u64::saturating_add)
        };
        let many = group.len() > 1;
        let number = u64::try_from(group.len()).unwrap_or(u64::MAX);
        let label = if many {
            format!("{} … {}", spec.grid.label(first.window), spec.grid.label(last.window))
        } else {
            spec.grid.label(first.window)
        };
        let why = if many { format!("{number} windows, new") } else { why(first) };
        let files = if many { String::new() } else { first.inputs.len().to_string() };
        let object = if many { Vec::new() } else { objects(spec, first.window) };
        table.add_row([
            mark(first).to_string(),
            label,
            why,
            files,
            grouped(sum(|due| due.rows)),
            bytes(sum(|due| due.bytes)),
            object.join("\n"),
        ]);
    }
    table.to_string()
}

/// The last line of a plan: what it would cost.
#[must_use]
pub fn plan_total<'a>(plans: impl Iterator<Item = &'a Plan> + Clone) -> String {
    let due = plans.flat_map(|plan| &plan.windows);
    let is_new = |due: &&DueWindow| due.reason == Reason::New;
    let new = u64::try_from(due.clone().filter(is_new).count()).unwrap_or(u64::MAX);
    let all = u64::try_from(due.clone().count()).unwrap_or(u64::MAX);
    let rows = due.clone().fold(0_u64, |sum, due| sum.saturating_add(due.rows));
    let size = due.fold(0_u64, |sum, due| sum.saturating_add(due.bytes));
    let again = all.saturating_sub(new);
    format!(
        "Plan: {} new, {} again; {}, {} to read. Nothing has been written.\n",
        grouped(new),
        grouped(again),
        counted(rows, "row"),
        bytes(size)
    )
}

/// One committed window of a run.
#[must_use]
pub fn committed(spec: &PipelineSpec, window: &CommittedWindow) -> String {
    let label = label(spec, window.start, window.end);
    let late = match window.rows.late {
        0 => String::new(),
        late => format!("   {} late", grouped(late)),
    };
    let (input, out) = (grouped(window.rows.input), grouped(window.rows.out));
    format!("{} {label}    {input} → {out} rows{late}", sign(window.reason, window.rev.0))
}

/// One window of a run that failed.
#[must_use]
pub fn failed(spec: &PipelineSpec, window: &FailedWindow) -> String {
    let label = label(spec, window.start, window.end);
    format!("✗ {label}    {} {}", window.code, window.message)
}

fn label(spec: &PipelineSpec, start: EventTime, end: EventTime) -> String {
    let window = Window::new(start, end);
    window.map_or_else(|| start.to_string(), |window| spec.grid.label(window))
}

/// What a run did to one pipeline.
#[must_use]
pub fn run(spec: &PipelineSpec, report: &PipelineReport) -> String {
    let name = &spec.name;
    let watermark = instant(spec, report.watermark);
    let closes = report.next_close.map(|at| format!("; the next window closes at {}", spec.grid.local_instant(at)));
    if report.is_idle() {
        let closes = closes.unwrap_or_default();
        return format!("✓ {name}    nothing to do    (watermark {watermark}{closes})\n");
    }
    let rows = report.rows;
    let mut parts = Vec::new();
    let is_well = report.failures.is_empty() && report.errors.is_empty();
    parts.push(counted(report.windows_done, "window"));
    if !report.failures.is_empty() {
        let failed = u64::try_from(report.failures.len()).unwrap_or(u64::MAX);
        parts.push(format!("{} failed", grouped(failed)));
    }
    parts.push(format!("{} rows in", grouped(rows.input)));
    parts.push(format!("{} out", grouped(rows.out)));
    for (count, what) in [
        (rows.late, "late"),
        (rows.null_time, "without a time"),
        (rows.future, "in the future"),
        (rows.before_begin, "before begin"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", grouped(count)));
        }
    }
    parts.push(report.took.to_string());
    let mark = if is_well { '✓' } else { '✗' };
    let mut text = format!("{mark} {name}    {}\n", parts.join("    "));
    let before = instant(spec, report.watermark_before);
    let entries = report.entries.map(|(first, last)| format!("    log entries {first}–{last}"));
    text.push_str(&format!("  watermark {before} → {watermark}{}\n", entries.unwrap_or_default()));
    if let Some(id) = report.request {
        text.push_str(&format!("  request {id}; should this run be interrupted, the next `highwater run` finishes it\n"));
    }
    if !is_well {
        text.push_str("  mend the cause and run `highwater run` again: what failed is still due\n");
    }
    text
}

/// All pipelines and how they stand.
#[must_use]
pub fn status(rows: &[(&PipelineSpec, StatusView)], now: ProcessingTime) -> String {
    let mut table = table(&[
        "PIPELINE", "STATE", "WATERMARK", "LAG", "DONE", "OPEN", "PENDING", "STALE", "FAILED",
        "LAST RUN", "NEXT CLOSES",
    ]);
    for column in 3..=8 {
        right(&mut table, column);
    }
    for (spec, view) in rows {
        let ago = |at: ProcessingTime| format!("{} ago", now.since(at));
        table.add_row([
            spec.name.to_string(),
            view.state.as_str().to_owned(),
            instant(spec, view.watermark),
            view.lag.map_or_else(|| "–".to_owned(), |lag| lag.to_string()),
            grouped(view.windows.committed),
            grouped(view.windows.open),
            grouped(view.windows.pending),
            grouped(view.windows.stale),
            grouped(view.windows.failed),
            view.last_run.map_or_else(|| "never".to_owned(), |(_, at)| ago(at)),
            instant(spec, view.next_close),
        ]);
    }
    let mut text = format!("{table}\n");
    for (spec, view) in rows {
        for note in &view.notes {
            text.push_str(&format!("\n{}  {note}", spec.name));
        }
        if !view.notes.is_empty() {
            text.push('\n');
        }
    }
    text
}

/// What `verify` found.
#[must_use]
pub fn verify(found: &Verified) -> String {
    let mut text = String::new();
    if !found.problems.is_empty() {
        let mut table = table(&["PIPELINE", "WINDOW", "KIND", "OBJECT", "WHAT"]);
        for problem in &found.problems {
            table.add_row([
                problem.pipeline.to_string(),
                problem.window.map_or_else(|| "–".to_owned(), |(start, _)| start.to_string()),
                problem.kind.as_str().to_owned(),
                problem.path.clone(),
                problem.message.clone(),
            ]);
        }
        text.push_str(&format!("{table}\n\n"));
    }
    let (windows, objects) =
        (counted(found.windows, "window"), counted(found.objects, "object"));
    let entries = match found.entries {
        1 => "1 log entry".to_owned(),
        count => format!("{} log entries", grouped(count)),
    };
    let verdict = match found.problems.len() {
        0 => "everything is as the log says".to_owned(),
        count => counted(u64::try_from(count).unwrap_or(u64::MAX), "problem"),
    };
    text.push_str(&format!("Checked {windows}, {objects} and {entries}: {verdict}.\n"));
    if !found.problems.is_empty() {
        text.push_str("`highwater reprocess PIPELINE --from --to` computes damaged windows again.\n");
    }
    text
}

/// One commit of `history`.
#[derive(Debug)]
pub struct HistoryLine<'a> {
    /// Its place.
    pub seq: u64,
    /// When.
    pub at: ProcessingTime,
    /// The windows.
    pub windows: &'a [CommittedWindow],
    /// How many failed.
    pub failed: usize,
}

/// Commits, newest first.
#[must_use]
pub fn history(spec: &PipelineSpec, commits: &[HistoryLine<'_>], unfold: bool) -> String {
    let mut table = table(&["COMMIT", "AT", "WINDOW", "REV", "WHY", "ROWS IN", "OUT", "LATE"]);
    for column in [0, 3, 5, 6, 7] {
        right(&mut table, column);
    }
    for commit in commits {
        let groups: Vec<&[CommittedWindow]> = if unfold {
            commit.windows.chunks(1).collect()
        } else {
            commit.windows.chunk_by(|a, b| a.reason == b.reason && a.rev == b.rev).collect()
        };
        for group in groups {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let sum = |count: fn(&CommittedWindow) -> u64| {
                grouped(group.iter().map(count).fold(0, u64::saturating_add))
            };
            let from = label(spec, first.start, first.end);
            let window = match group.len() {
                1 => from,
                many => format!("{from} … {} ({many})", label(spec, last.start, last.end)),
            };
            table.add_row([
                commit.seq.to_string(),
                seconds(commit.at),
                window,
                first.rev.to_string(),
                first.reason.as_str().to_owned(),
                sum(|window| window.rows.input),
                sum(|window| window.rows.out),
                sum(|window| window.rows.late),
            ]);
        }
        if commit.failed > 0 {
            let failed = format!("{} failed", commit.failed);
            table.add_row([commit.seq.to_string(), seconds(commit.at), failed]);
        }
    }
    format!("{table}\n")
}

/// An instant without its fraction.
fn seconds(at: ProcessingTime) -> String {
    ProcessingTime::from_micros(at.micros().div_euclid(1_000_000).saturating_mul(1_000_000))
        .to_string()
}

/// Requests that are not done.
#[must_use]
pub fn requests(requests: &[(PipelineName, String, String)]) -> String {
    if requests.is_empty() {
        return "no requests are waiting\n".to_owned();
    }
    let mut table = table(&["PIPELINE", "REQUEST", "WHAT"]);
    for (pipeline, id, what) in requests {
        table.add_row([pipeline.to_string(), id.clone(), what.clone()]);
    }
    format!("{table}\nThe next `highwater run` finishes them; `requests --cancel ID` withdraws one.\n")
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn right(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_thousands() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(2, "file"), "2 files");
    }
}
