//! What became of the rows of a window, by rule and by file.

use std::fmt::Write;

use super::{grouped, lines, right, table};
use crate::state::{Balance, FileBalance, RowCounts};

/// The sheet of a window; nothing if every row was used.
pub(super) fn balance(balance: &Balance, rows: &RowCounts) -> String {
    if balance.is_empty() {
        return String::new();
    }
    let mut text = rules(balance);
    text.push_str(&files(balance));
    let bad = parts(rows);
    let sum = [format!("{} in = {} used", grouped(rows.input), grouped(rows.used))];
    let _ = writeln!(text, "{}", sum.into_iter().chain(bad).collect::<Vec<_>>().join(" + "));
    text
}

/// The rows that were not used, a part each: `3 quarantined`.
pub(super) fn parts(rows: &RowCounts) -> impl Iterator<Item = String> {
    let parts = [
        (rows.quarantined, "quarantined"),
        (rows.dropped, "dropped"),
        (rows.duplicate, "duplicate"),
    ];
    let some = parts.into_iter().filter(|(rows, _)| *rows > 0);
    some.map(|(rows, what)| format!("{} {what}", grouped(rows)))
}

fn rules(balance: &Balance) -> String {
    if balance.rules.is_empty() {
        return String::new();
    }
    let mut table = table(&["RULE", "TABLE", "ROWS", "WHAT BECAME OF THEM"]);
    right(&mut table, [2]);
    for rule in &balance.rules {
        let (name, of) = (rule.rule.clone(), rule.table.clone());
        table.add_row([name, of, grouped(rule.rows), became(&rule.action).to_owned()]);
    }
    lines(&table)
}

/// What became of rows that broke a rule. One that only warns decides nothing: its rows are counted
/// among those that were used, or that another rule decided about.
fn became(action: &str) -> &str {
    match action {
        "quarantine" => "quarantined",
        "drop" => "dropped",
        "warn" => "only warned of",
        other => other,
    }
}

fn files(balance: &Balance) -> String {
    let mut table = table(&["NOT ALL USED", "IN", "USED", "QUARANTINED", "DROPPED", "DUPLICATE"]);
    right(&mut table, [1, 2, 3, 4, 5]);
    let mut add = |name: String, file: &FileBalance| {
        let FileBalance { input, used, quarantined, dropped, duplicate, .. } = file;
        let counts = [input, used, quarantined, dropped, duplicate].map(|rows| grouped(*rows));
        table.add_row([name].into_iter().chain(counts));
    };
    for file in &balance.files {
        add(format!("{}: {}", file.table, file.key), file);
    }
    if let Some(others) = &balance.others {
        add("other files".to_owned(), others);
    }
    if table.is_empty() { String::new() } else { lines(&table) }
}
