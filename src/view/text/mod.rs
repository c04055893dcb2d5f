//! Views as aligned text. No line needs colour to be understood.

mod balance;
mod explain;
mod history;
mod lateness;
mod lease;
mod manifest;
mod plan;
mod quarantine;
mod retire;
mod run;
mod status;
mod trace;
mod vacuum;
mod verify;

use comfy_table::{CellAlignment, Table, presets};

pub use explain::explain;
pub use history::{HistoryEvent, HistoryLine, Standing, history};
pub use lateness::lateness;
pub use lease::lease;
pub use manifest::{manifest, rollback};
pub use plan::{plan, plan_behind, plan_total, skip};
pub use quarantine::{quarantine, quarantined};
pub use retire::retire;
pub use run::{committed, failed, run};
pub use status::{RequestLine, RequestName, orphans, requests, status};
pub use trace::trace;
pub use vacuum::vacuum;
pub use verify::verify;

use crate::spec::PipelineSpec;
use crate::state::Reason;
use crate::time::{EventTime, ProcessingTime, Span};
use crate::window::Window;

/// A lag of more days than this is told in days alone.
const LAG_DAYS_MAX: i64 = 99;

const SECONDS_PER_DAY: i64 = 86_400;

/// The objects of a window, by output.
#[must_use]
pub fn objects(spec: &PipelineSpec, window: Window) -> Vec<String> {
    let outputs = spec.objects().take(spec.outputs.len());
    outputs.filter_map(|output| output.key(&spec.grid, window)).collect()
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

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn sum<T>(items: &[T], count: impl Fn(&T) -> u64) -> u64 {
    items.iter().map(count).fold(0, u64::saturating_add)
}

fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().iec().to_string()
}

fn instant(spec: &PipelineSpec, at: Option<EventTime>) -> String {
    at.map_or_else(|| "–".to_owned(), |at| spec.grid.local_instant(at))
}

/// `at`, without the date and the offset where they are those of `before`.
fn instant_after(spec: &PipelineSpec, before: Option<EventTime>, at: EventTime) -> String {
    let local = spec.grid.local_instant(at);
    let before = instant(spec, before);
    let parts = |text: &str| {
        let parts: Vec<String> = text.splitn(3, ' ').map(str::to_owned).collect();
        <[String; 3]>::try_from(parts).ok()
    };
    match (parts(&before), parts(&local)) {
        (Some([date, _, offset]), Some(now)) if date == now[0] && offset == now[2] => {
            now[1].clone()
        }
        (Some([_, _, offset]), Some(now)) if offset == now[2] => format!("{} {}", now[0], now[1]),
        _ => local,
    }
}

/// How far a watermark lies behind, no more exactly than anybody wants to know.
fn lag(lag: Span) -> String {
    match lag.seconds().checked_div(SECONDS_PER_DAY) {
        Some(days) if days > LAG_DAYS_MAX => format!("{days}d"),
        _ => lag.to_string(),
    }
}

/// `12s ago`, `4m 3s ago`.
fn ago(now: ProcessingTime, at: ProcessingTime) -> String {
    let span = now.since(at);
    match span.seconds() {
        seconds @ 0..60 => format!("{seconds}s ago"),
        _ => format!("{span} ago"),
    }
}

/// `+` for a window that gets its first output, `~` for one that is replaced.
fn sign(reason: Reason, revision: u32) -> char {
    match reason {
        Reason::New => '+',
        _ if revision > 1 => '~',
        _ => '+',
    }
}

fn label(spec: &PipelineSpec, start: EventTime, end: EventTime) -> String {
    let window = Window::new(start, end);
    window.map_or_else(|| start.to_string(), |window| spec.grid.label(window))
}

/// The label of one window, or the starts of the first and the last of several.
fn labels(
    spec: &PipelineSpec,
    first: (EventTime, EventTime),
    last: (EventTime, EventTime),
) -> String {
    let (from, to) = (label(spec, first.0, first.1), label(spec, last.0, last.1));
    if first == last {
        return from;
    }
    let start = |label: &str| label.split(" – ").next().unwrap_or_default().to_owned();
    format!("{} … {}", start(&from), start(&to))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn right(table: &mut Table, columns: impl IntoIterator<Item = usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The lines of `table`, without blanks at their ends.
fn lines(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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

    #[test]
    fn a_long_lag_is_told_in_days() {
        let days = |days: u32, seconds: u32| lag(Span::from_seconds(days * 86_400 + seconds));
        assert_eq!(days(0, 1_860), "31m");
        assert_eq!(days(99, 7_200), "99d 2h");
        assert_eq!(days(100, 7_200), "100d");
    }

    #[test]
    fn a_table_ends_no_line_with_blanks() {
        let mut table = table(&["A", "LONG HEADER"]);
        table.add_row(["long cell", "b"]);
        assert_eq!(lines(&table), "A          LONG HEADER\nlong cell  b\n");
    }
}
