//! How late rows came, as text.

use std::fmt::Write;

use super::{counted, grouped, lines, right, table};
use crate::spec::PipelineSpec;
use crate::time::Span;
use crate::view::{LatenessView, Missed, SourceLateness};

/// Where the lines of the plot end, in minutes; the first line ends at a second.
const EDGES: [u32; 22] = [
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    240,
    480,
    960,
    1_440,
    2 * 1_440,
    4 * 1_440,
    7 * 1_440,
    14 * 1_440,
    30 * 1_440,
    60 * 1_440,
    120 * 1_440,
    365 * 1_440,
    3_650 * 1_440,
    36_500 * 1_440,
];

/// More lines than this are joined, pair by pair.
const LINES_MAX: usize = 12;

/// The longest bar, in columns.
const BAR_MAX: u64 = 50;

/// How late the rows of the pipeline came.
#[must_use]
pub fn lateness(spec: &PipelineSpec, view: &LatenessView) -> String {
    let (size, zone) = (spec.grid.size(), spec.grid.zone());
    let mut text = format!("{}    windows of {size}, {zone}\n", spec.name);
    for source in &view.sources {
        text.push('\n');
        text.push_str(&of_source(source));
    }
    for (table, upstream) in &view.skipped {
        let _ = writeln!(
            text,
            "\n{table}    reads pipeline {upstream}: its rows come when that runs, see \
             `highwater lateness {upstream}`"
        );
    }
    text
}

fn of_source(source: &SourceLateness) -> String {
    let SourceLateness { table, files, rows, late, .. } = source;
    if *files == 0 {
        return format!("{table}    no file was admitted yet: nothing is known before a run\n");
    }
    let mut text = format!("{table}    {}, {}", counted(*files, "file"), counted(*rows, "row"));
    let _ = match late.rows {
        0 => writeln!(text, "; none came after its window was committed"),
        _ => writeln!(
            text,
            "; {} ({}) of {} came after their window was committed",
            grouped(late.rows),
            percent(late.rows, *rows),
            counted(late.windows, "window"),
        ),
    };
    text.push_str(&delays(source));
    let _ = writeln!(text, "\n{}", missed(source));
    let _ = writeln!(text, "{}", advice(source));
    text
}

/// The quantiles and the plot; nothing where no delay is known.
fn delays(source: &SourceLateness) -> String {
    let quantile = |share| source.quantile(share).map(in_words).unwrap_or_default();
    let Some(longest) = source.longest.filter(|_| !source.delays.is_empty()) else {
        return "how long after their events they arrived is not known\n".to_owned();
    };
    let longest = in_words(longest);
    let (half, most, nearly) = (quantile(0.5), quantile(0.9), quantile(0.99));
    let mut text = format!(
        "after their events: half within {half}, 90% within {most}, 99% within {nearly}; \
         at most {longest}\n\n"
    );
    let bars = bars(source);
    let all = source.delays.rows();
    let most = bars.iter().map(|(_, rows)| *rows).max().unwrap_or_default().max(1);
    let mut table = table(&["DELAY", "", "ROWS", ""]);
    right(&mut table, [2, 3]);
    for (label, rows) in bars {
        // A row is always seen.
        let columns = share(rows, BAR_MAX, most).max(u64::from(rows > 0));
        let bar = "#".repeat(usize::try_from(columns).unwrap_or_default());
        table.add_row([label, bar, grouped(rows), percent(rows, all)]);
    }
    text.push_str(&lines(&table));
    text
}

/// The lines of the plot: rows of at most this delay, and of more than the line before.
///
/// A class that ends after an edge counts to the next line, so that what a line says is true of
/// every row in it.
fn bars(source: &SourceLateness) -> Vec<(String, u64)> {
    let edges = EDGES.iter().map(|minutes| Span::from_seconds(minutes.saturating_mul(60)));
    let edges: Vec<Span> = std::iter::once(Span::from_seconds(1)).chain(edges).collect();
    let mut counts = vec![0_u64; edges.len().saturating_add(1)];
    for (longest, rows) in source.delays.classes() {
        let place = edges.partition_point(|edge| *edge < longest);
        if let Some(count) = counts.get_mut(place) {
            *count = count.saturating_add(rows);
        }
    }
    let label = |place: usize| match edges.get(place) {
        Some(edge) => format!("≤ {}", in_words(*edge)),
        None => format!("> {}", edges.last().copied().map(in_words).unwrap_or_default()),
    };
    let bars = counts.iter().enumerate().map(|(place, rows)| (label(place), *rows));
    let first = counts.iter().position(|rows| *rows > 0).unwrap_or_default();
    let last = counts.iter().rposition(|rows| *rows > 0).unwrap_or_default();
    let bars: Vec<_> = bars.take(last.saturating_add(1)).skip(first).collect();
    if bars.len() > LINES_MAX { joined(&bars) } else { bars }
}

/// Each two neighbours as one, under the label of the later one.
fn joined(bars: &[(String, u64)]) -> Vec<(String, u64)> {
    let join = |pair: &[(String, u64)]| {
        let label = pair.last().map(|(label, _)| label.clone()).unwrap_or_default();
        (label, pair.iter().fold(0, |sum: u64, (_, rows)| sum.saturating_add(*rows)))
    };
    // From the end, so that the last line keeps its edge.
    let mut bars: Vec<_> = bars.rchunks(2).map(join).collect();
    bars.reverse();
    bars
}

/// What would have been missed, by allowed lateness and by lookback.
fn missed(source: &SourceLateness) -> String {
    let mut allowed = table(&["ALLOWED_LATENESS", "WOULD HAVE MISSED", ""]);
    right(&mut allowed, [1]);
    for step in &source.allowed {
        let mark = if step.is_configured { " (configured)" } else { "" };
        let words = in_words(step.allowed);
        allowed.add_row([format!("{words}{mark}"), rows(step.missed), windows(step.missed)]);
    }
    let mut lookback = table(&["LOOKBACK", "WOULD HAVE MISSED", ""]);
    right(&mut lookback, [1]);
    for step in &source.lookback {
        let words = counted(u64::from(step.windows), "window");
        lookback.add_row([words, rows(step.missed), windows(step.missed)]);
    }
    format!("{}\n{}", lines(&allowed), lines(&lookback))
}

fn rows(missed: Missed) -> String {
    counted(missed.rows, "row")
}

fn windows(missed: Missed) -> String {
    if missed.windows == 0 {
        return String::new();
    }
    format!("of {}", counted(missed.windows, "window"))
}

/// What may be written into the configuration.
fn advice(source: &SourceLateness) -> String {
    let enough = source.allowed.iter().find(|step| step.missed.rows == 0);
    match (enough, source.overdue) {
        (Some(step), _) => {
            let words = in_words(step.allowed);
            format!("allowed_lateness = \"{words}\" would have missed nothing so far")
        }
        (None, overdue) => {
            let overdue = overdue.map(in_words).unwrap_or_default();
            format!(
                "each of these would have missed rows: the latest came {overdue} after its window\n\
                 had closed; without allowed_lateness no row is ever missed"
            )
        }
    }
}

/// As it is written in `config.toml`; of long ones the first two units.
fn in_words(span: Span) -> String {
    match span.seconds() {
        seconds @ 0..60 => format!("{seconds}s"),
        _ => span.to_string(),
    }
}

/// `part` of `whole` in a hundred: `0.4%`.
fn percent(part: u64, whole: u64) -> String {
    let tenths = share(part, 1_000, whole);
    match tenths {
        0 if part > 0 => "<0.1%".to_owned(),
        _ => format!("{}.{}%", tenths / 10, tenths % 10),
    }
}

/// `part * scale / whole`, rounded down.
fn share(part: u64, scale: u64, whole: u64) -> u64 {
    let share = u128::from(part).saturating_mul(u128::from(scale)).checked_div(u128::from(whole));
    u64::try_from(share.unwrap_or_default()).unwrap_or(u64::MAX)
}
