//! Rows that were put aside, as text.

use std::collections::BTreeSet;
use std::fmt::Write;

use comfy_table::ContentArrangement;
use serde_json::Value;

use super::{counted, grouped, label, lines, number, right, table};
use crate::report::{Quarantined, QuarantinedRow};
use crate::spec::PipelineSpec;
use crate::state::TimeRange;
use crate::view::{AsideView, QuarantineKey, QuarantineView, QuarantinedBy};

/// Tables of rows are no wider, in columns.
const WIDTH: u16 = 100;

/// More of a value is not shown, in characters.
const VALUE_MAX: usize = 24;

/// How many rows of a pipeline were put aside.
#[must_use]
pub fn quarantine(spec: &PipelineSpec, view: &QuarantineView) -> String {
    let (aside, all) = (grouped(view.rows.quarantined), counted(view.rows.input, "row"));
    let windows = counted(view.windows, "window");
    let mut text = match (view.rows.quarantined, view.rows.input) {
        (0, 0) => format!("{}    no row is quarantined\n", spec.name),
        (0, _) => format!("{}    none of {all} is quarantined\n", spec.name),
        _ => format!("{}    {aside} of {all} quarantined, in {windows}\n", spec.name),
    };
    if !view.groups.is_empty() {
        let head: &[&str] = match view.by {
            QuarantinedBy::Rule => &["RULE", "TABLE"],
            QuarantinedBy::File => &["FILE"],
            QuarantinedBy::Day => &["DAY"],
        };
        // A day says itself where it begins and ends.
        let tail: &[&str] = match view.by {
            QuarantinedBy::Day => &["ROWS", "WINDOWS"],
            QuarantinedBy::Rule | QuarantinedBy::File => &["ROWS", "WINDOWS", "FIRST", "LAST"],
        };
        let mut table = table(&[head, tail].concat());
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        right(&mut table, [head.len(), head.len().saturating_add(1)]);
        for group in &view.groups {
            let mut cells = match &group.key {
                QuarantineKey::Rule { table, rule } => vec![rule.clone(), table.clone()],
                QuarantineKey::File { table, key } => vec![name_of(spec, table, key)],
                QuarantineKey::OtherFiles => vec!["other files".to_owned()],
                QuarantineKey::Day(day) => vec![day.clone()],
            };
            let numbers = [group.rows, group.windows].map(grouped);
            let bounds = [group.first, group.last].map(|at| spec.grid.local_instant(at));
            cells.extend(numbers.into_iter().chain(bounds).take(tail.len()));
            table.add_row(cells);
        }
        text.push_str(&lines(&table));
    }
    for window in &view.in_doubt {
        let label = label(spec, window.start, window.end);
        let _ = writeln!(text, "{label} was begun and not committed: this is its last commit");
    }
    if let Some(view) = &view.aside {
        text.push_str(&windowless(spec, view));
    }
    text
}

/// How many rows that belong to no window were put aside; nothing if none was.
fn windowless(spec: &PipelineSpec, view: &AsideView) -> String {
    let mut text = String::new();
    if view.rows > 0 {
        let (rows, files) = (counted(view.rows, "row"), counted(view.files, "file"));
        let that = if view.rows == 1 { "that belongs" } else { "that belong" };
        let _ = writeln!(text, "\n{rows} {that} to no window, of {files}");
        let is_by_file = view.groups.iter().any(|group| group.key.is_some());
        let is_by_rule = view.groups.iter().any(|group| group.rule.is_some());
        let head: &[&str] = match (is_by_file, is_by_rule) {
            (true, _) => &["FILE", "ROWS"],
            (_, true) => &["RULE", "TABLE", "ROWS", "FILES"],
            _ => &["TABLE", "ROWS", "FILES"],
        };
        let mut table = table(head);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        right(&mut table, (1..head.len()).filter(|place| head.get(*place) != Some(&"TABLE")));
        for group in &view.groups {
            let name = group.key.as_ref().map(|key| name_of(spec, &group.table, key));
            let rule = is_by_rule.then(|| group.rule.unwrap_or("not told").to_owned());
            let of = if is_by_file { vec![name] } else { vec![rule, Some(group.table.clone())] };
            let numbers = [group.rows, group.files].map(|number| Some(grouped(number)));
            table.add_row(of.into_iter().chain(numbers).flatten().take(head.len()));
        }
        text.push_str(&lines(&table));
    }
    for id in &view.in_doubt {
        let name = name_of(spec, &id.table, &id.key);
        let _ = writeln!(text, "{}", begun(&name, "this is their last commit"));
    }
    text
}

fn begun(file: &str, what: &str) -> String {
    format!("rows of {file} that belong to no window were begun and not committed: {what}")
}

fn name_of(spec: &PipelineSpec, table: &str, key: &str) -> String {
    spec.source(table).map_or_else(|| key.to_owned(), |source| source.name_of(key))
}

/// The rows that were put aside.
#[must_use]
pub fn quarantined(spec: &PipelineSpec, found: &Quarantined) -> String {
    let mut text = String::new();
    if found.rows.is_empty() {
        let _ = writeln!(text, "{}    no such row is quarantined", spec.name);
    } else {
        text.push_str(&rows(spec, &found.rows));
    }
    let what = |is_shown: bool, rows: &str| {
        let what =
            if is_shown { "those of its last commit" } else { "being replaced, and are not shown" };
        format!("{rows} {what}")
    };
    for (TimeRange { start, end }, is_shown) in &found.in_doubt {
        let (label, what) = (label(spec, *start, *end), what(*is_shown, "its rows are"));
        let _ = writeln!(text, "{label} was begun and not committed: {what}");
    }
    for (id, is_shown) in &found.files_in_doubt {
        let name = name_of(spec, &id.table, &id.key);
        let _ = writeln!(text, "{}", begun(&name, &what(*is_shown, "they are")));
    }
    if found.is_cut {
        let rows = counted(number(found.rows.len()), "row");
        let _ = writeln!(text, "There are more than {rows}: see --limit, --rule and --file.");
    }
    text
}

/// Each row, and what its rules say. Where there are several sources, rules of theirs may have one
/// name; and a rule may have had other words once.
fn rows(spec: &PipelineSpec, rows: &[QuarantinedRow]) -> String {
    let has_tables = spec.sources.len() > 1;
    let head: &[&str] = if has_tables {
        &["WINDOW", "TABLE", "RULE", "FILE", "ROW", "VALUES"]
    } else {
        &["WINDOW", "RULE", "FILE", "ROW", "VALUES"]
    };
    let mut table = table(head);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    right(&mut table, [head.len().saturating_sub(2)]);
    let mut reasons: BTreeSet<(String, &str)> = BTreeSet::new();
    for row in rows {
        let window = row.window.map(|window| label(spec, window.start, window.end));
        let mut cells = vec![window.unwrap_or_else(|| "–".to_owned())];
        cells.extend(has_tables.then(|| row.table.clone()));
        cells.extend([row.rule.clone(), row.file.clone(), row.row.to_string(), values(row)]);
        table.add_row(cells);
        let rule =
            if has_tables { format!("{} of {}", row.rule, row.table) } else { row.rule.clone() };
        reasons.insert((rule, &row.reason));
    }
    let mut text = lines(&table);
    text.push('\n');
    for (rule, reason) in reasons {
        let _ = writeln!(text, "{rule}: {reason}");
    }
    text
}

/// `key=b value=3`
fn values(row: &QuarantinedRow) -> String {
    let shown = row.values.iter().map(|(name, value)| format!("{name}={}", shown(value)));
    shown.collect::<Vec<_>>().join(" ")
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    // A control character of the data must not reach a terminal.
    let text: String = text.chars().map(|one| if one.is_control() { '�' } else { one }).collect();
    match text.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
