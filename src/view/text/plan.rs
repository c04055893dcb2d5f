//! What is due, as text.

use std::fmt::Write;

use super::history::whole;
use super::{
    bytes, counted, grouped, instant, instant_after, labels, lag, lines, number, objects, right,
    sign, sum, table,
};
use crate::id::PipelineName;
use crate::plan::{DueWindow, Plan, ROWLESS_MAX};
use crate::spec::PipelineSpec;
use crate::state::{Reason, RowCounts, State, TimeRange};
use crate::time::{ProcessingTime, Span};
use crate::window::Window;

/// More due windows than this are folded.
const LINES_MAX: usize = 20;

/// What is due in one pipeline, and how many rows are in no window, by why. `unfold` shows every
/// window.
#[must_use]
pub fn plan(
    spec: &PipelineSpec,
    state: &State,
    plan: &Plan,
    outside: RowCounts,
    unfold: bool,
    now: ProcessingTime,
) -> String {
    let mut text = headline(spec, state, now);
    if !plan.windows.is_empty() {
        text.push('\n');
        text.push_str(&due_table(spec, state, plan, unfold));
        text.push('\n');
    } else if plan.refused.is_empty() && plan.held.is_empty() {
        text.push_str("  nothing to compute\n");
    }
    for (due, why) in &plan.refused {
        let label = spec.grid.label(due.window);
        let _ = writeln!(text, "  refused   {label}    {} {}", why.code(), why.message());
    }
    if let (Some(first), Some(last)) = (plan.held.first(), plan.held.last()) {
        let bounds = |due: &DueWindow| (due.window.start(), due.window.end());
        let which = labels(spec, bounds(first), bounds(last));
        let windows = counted(number(plan.held.len()), "window");
        let _ =
            writeln!(text, "  waiting   {windows}, {which}: an input is on its way or in the way");
    }
    if let (Some(first), Some(last)) = (plan.withheld.first(), plan.withheld.last()) {
        let which = whole(spec, TimeRange { start: first.start, end: last.end });
        let _ = writeln!(
            text,
            "  waiting   windows without a row, {which}: {ROWLESS_MAX} are refused for min_rows \
             before them"
        );
    }
    text.push_str(&not_yet(spec, plan));
    if plan.outdated > 0 {
        let windows = counted(plan.outdated, "window");
        let _ = writeln!(
            text,
            "  outdated  {windows} of another query or reference; `reprocess --outdated` renews"
        );
    }
    if outside.before_begin > 0 {
        let rows = counted(outside.before_begin, "row");
        let _ = writeln!(text, "  before    {rows} before `begin`; `backfill` takes them in");
    }
    if outside.expired > 0 {
        let rows = counted(outside.expired, "row");
        let _ = writeln!(text, "  expired   {rows} later than `allowed_lateness`; left out");
    }
    text
}

/// That what other pipelines will bring is not in the plan.
#[must_use]
pub fn plan_behind(pipelines: &[PipelineName]) -> String {
    if pipelines.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = pipelines.iter().map(PipelineName::as_str).collect();
    format!("  behind    {}: what it brings is not known yet\n", names.join(", "))
}

fn headline(spec: &PipelineSpec, state: &State, now: ProcessingTime) -> String {
    let watermark = match state.watermark {
        Some(at) => {
            let at_local = instant(spec, Some(at));
            format!("watermark {at_local} (lag {})", lag(now.lag_of(at)))
        }
        None => "no watermark yet".to_owned(),
    };
    let (size, zone) = (spec.grid.size(), spec.grid.zone());
    format!("{}    windows of {size}, {zone}    {watermark}\n", spec.name)
}

fn not_yet(spec: &PipelineSpec, plan: &Plan) -> String {
    let Some(first) = plan.open.first() else { return String::new() };
    let open = match plan.open.len() {
        1 => format!("{}    open", spec.grid.label(*first)),
        many => format!(
            "{} from {} on; the first is open",
            counted(number(many), "window"),
            instant(spec, Some(first.start()))
        ),
    };
    let ahead = spec.sources.iter().map(|source| source.margins.lookahead).max();
    let ahead = ahead.filter(|ahead| *ahead > Span::ZERO);
    let closes = ahead.and_then(|ahead| first.end().plus(ahead)).unwrap_or(first.end());
    let closes = instant_after(spec, Some(first.start()), closes);
    let whose = if ahead.is_some() { "its sources reach" } else { "the watermark reaches" };
    format!("  not yet   {open} until {whose} {closes}\n")
}

fn due_table(spec: &PipelineSpec, state: &State, plan: &Plan, unfold: bool) -> String {
    let mark = |due: &DueWindow| {
        sign(due.reason, state.next_revision(due.window.start()).map_or(1, |revision| revision.0))
    };
    let folds = !unfold && plan.windows.len() > LINES_MAX;
    let groups: Vec<&[DueWindow]> = if folds {
        plan.windows.chunk_by(|a, b| a.reason == b.reason && mark(a) == mark(b)).collect()
    } else {
        plan.windows.chunks(1).collect()
    };
    // Where windows are folded, no single path says anything.
    let header = ["", "WINDOW", "WHY", "FILES", "ROWS", "BYTES", "OUTPUT"];
    let columns = if folds { 6 } else { 7 };
    let mut table = table(&header[..columns]);
    right(&mut table, 3..=5);
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    for group in groups {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let bounds = |due: &DueWindow| (due.window.start(), due.window.end());
        let files = if group.len() > 1 { String::new() } else { first.inputs.len().to_string() };
        let row = [
            mark(first).to_string(),
            labels(spec, bounds(first), bounds(last)),
            why(group, first.reason),
            files,
            grouped(sum(group, |due| due.rows)),
            bytes(sum(group, |due| due.bytes)),
            folders(spec, first),
        ];
        table.add_row(row.into_iter().take(columns));
    }
    lines(&table)
}

/// Where the objects of a window lie, a line each.
fn folders(spec: &PipelineSpec, due: &DueWindow) -> String {
    let objects = objects(spec, due.window);
    let folders = objects.iter().filter_map(|object| object.strip_suffix("/data.parquet"));
    folders.collect::<Vec<_>>().join("\n")
}

/// Why the windows of `group` are due, which is one `reason` for all of them.
pub(super) fn why(group: &[DueWindow], reason: Reason) -> String {
    let files = sum(group, |due| due.late_files);
    let one = match reason {
        Reason::New => "new".to_owned(),
        Reason::LateData => {
            let (late, news) = (sum(group, |due| due.late_rows), counted(files, "new file"));
            match (late, group.len()) {
                (0, 1) => format!("{news} in its margin"),
                (0, _) => "late rows in their margins".to_owned(),
                (_, 1) => format!("{}, {news}", counted(late, "late row")),
                _ => counted(late, "late row"),
            }
        }
        Reason::InputChanged if files == 0 => "reference replaced".to_owned(),
        Reason::InputChanged if group.len() > 1 => "input replaced".to_owned(),
        Reason::InputChanged => format!("{} replaced", counted(files, "file")),
        Reason::InputRemoved if group.len() > 1 => "input removed".to_owned(),
        Reason::InputRemoved => format!("{} removed", counted(files, "file")),
        Reason::UpstreamChanged if group.len() > 1 => "upstream changed".to_owned(),
        Reason::UpstreamChanged => format!("{} changed upstream", counted(files, "window")),
        Reason::QueryChanged => "query changed".to_owned(),
        Reason::Requested => "requested".to_owned(),
        Reason::InDoubt => "begun, not committed".to_owned(),
        Reason::FailedBefore => "failed before".to_owned(),
    };
    match group.len() {
        1 => one,
        many => format!("{} windows, {one}", grouped(number(many))),
    }
}

/// The last line of a plan: what it would cost.
#[must_use]
pub fn plan_total<'a>(plans: impl Iterator<Item = &'a Plan>) -> String {
    let (mut new, mut again, mut rows, mut size) = (0_u64, 0_u64, 0_u64, 0_u64);
    for due in plans.flat_map(|plan| &plan.windows) {
        let count = if due.reason == Reason::New { &mut new } else { &mut again };
        *count = count.saturating_add(1);
        rows = rows.saturating_add(due.rows);
        size = size.saturating_add(due.bytes);
    }
    let (new, again) = (grouped(new), grouped(again));
    let (rows, size) = (counted(rows, "row"), bytes(size));
    format!("Plan: {new} new, {again} again; {rows}, {size} to read. Nothing has been written.\n")
}

/// The windows that `skip` would commit.
#[must_use]
pub fn skip(spec: &PipelineSpec, windows: &[Window]) -> String {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return String::new();
    };
    let bounds = |window: &Window| (window.start(), window.end());
    let windows = counted(number(windows.len()), "window");
    let labels = labels(spec, bounds(first), bounds(last));
    format!("{}    {windows} to skip: {labels}. Nothing has been written.\n", spec.name)
}
