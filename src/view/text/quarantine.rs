//! Rows that were put aside, as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::ContentArrangement;
use serde_json::Value;

use super::{counted, grouped, label, lines, number, right, table};
use crate::report::{Quarantined, QuarantinedRow};
use crate::spec::PipelineSpec;
use crate::state::TimeRange;
use crate::view::{QuarantineKey, QuarantineView, QuarantinedBy};

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
                QuarantineKey::File { table, key } => {
                    let source = spec.source(table);
                    vec![source.map_or_else(|| key.clone(), |source| source.name_of(key))]
                }
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
    text
}

/// The rows that were put aside.
#[must_use]
pub fn quarantined(spec: &PipelineSpec, found: &Quarantined) -> String {
    let mut text = String::new();
    if found.rows.is_empty() {
        let _ = writeln!(text, "{}    no such row is quarantined", spec.name);
    } else {
        let mut table = table(&["WINDOW", "RULE", "FILE", "ROW", "VALUES"]);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        right(&mut table, [3]);
        for row in &found.rows {
            table.add_row([
                label(spec, row.window.start, row.window.end),
                row.rule.clone(),
                row.file.clone(),
                row.row.to_string(),
                values(row),
            ]);
        }
        text.push_str(&lines(&table));
        text.push('\n');
        let reasons: BTreeMap<&str, &str> =
            found.rows.iter().map(|row| (row.rule.as_str(), row.reason.as_str())).collect();
        for (rule, reason) in reasons {
            let _ = writeln!(text, "{rule}: {reason}");
        }
    }
    for (TimeRange { start, end }, is_shown) in &found.in_doubt {
        let what = if *is_shown {
            "its rows are those of its last commit"
        } else {
            "its rows are being replaced, and are not shown"
        };
        let label = label(spec, *start, *end);
        let _ = writeln!(text, "{label} was begun and not committed: {what}");
    }
    if found.is_cut {
        let rows = counted(number(found.rows.len()), "row");
        let _ = writeln!(text, "There are more than {rows}: see --limit, --rule and --file.");
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
