//! What `verify` found, as text.

use std::fmt::Write;

use super::{counted, grouped, lines, number, right, table};
use crate::plan::RowSums;
use crate::report::{ProblemKind, Recomputed, Verified};

/// What `verify` found; `is_whole` if everything could be looked at.
#[must_use]
pub fn verify(found: &Verified, is_whole: bool) -> String {
    let mut text = String::new();
    if !found.problems.is_empty() {
        let mut table = table(&["PIPELINE", "WINDOW", "KIND", "OBJECT"]);
        for problem in &found.problems {
            table.add_row([
                problem.pipeline.to_string(),
                problem.window.map_or_else(|| "–".to_owned(), |(start, _)| start.to_string()),
                problem.kind.as_str().to_owned(),
                format!("{}: {}", problem.path, problem.message),
            ]);
        }
        text.push_str(&lines(&table));
        text.push('\n');
    }
    let (windows, objects) = (counted(found.windows, "window"), counted(found.objects, "object"));
    let entries = match found.entries {
        1 => "1 log entry".to_owned(),
        count => format!("{} log entries", grouped(count)),
    };
    let verdict = match found.problems.len() {
        0 if is_whole => "everything is as the log says".to_owned(),
        0 => "the rest could not be looked at".to_owned(),
        count => counted(number(count), "problem"),
    };
    let _ = writeln!(text, "Checked {windows}, {objects} and {entries}: {verdict}.");
    if let Some(again) = found.recomputed {
        let Recomputed { equal, wrong, changed, outdated, unknown } = again;
        let equal = counted(equal, "window");
        let _ = writeln!(
            text,
            "Computed again: {equal} equal, {} wrong; {} with other inputs by now, {} outdated{}, \
             {} unknown.",
            grouped(wrong),
            grouped(changed),
            grouped(outdated),
            if outdated > 0 { " (another query, reference table or column type)" } else { "" },
            grouped(unknown)
        );
    }
    if let Some(sums) = &found.balance {
        text.push_str(&balance(sums));
    }
    if !found.is_complete {
        text.push_str("There may be more: nobody looks further than this.\n");
    }
    if found.problems.iter().any(|problem| problem.kind.is_damage()) {
        text.push_str("`highwater reprocess PIPELINE --damaged` computes damaged windows again.\n");
    }
    if found.problems.iter().any(|problem| problem.kind == ProblemKind::Obstacle) {
        text.push_str(
            "Take away by hand what lies in the place of an object; then `highwater reprocess \
             PIPELINE --damaged`.\n",
        );
    }
    if found.problems.iter().any(|problem| problem.kind == ProblemKind::InDoubt) {
        text.push_str("`highwater run` finishes what is in doubt.\n");
    }
    text
}

/// Where the rows are, a place a line; places without a row are left out.
fn balance(sums: &RowSums) -> String {
    let (files, rows) = (counted(sums.files, "file"), counted(sums.rows, "row"));
    let verdict = if sums.closes() {
        "each is in one place"
    } else {
        "they are not as many as are told below"
    };
    let mut text = format!("{rows} in {files}; {verdict}:\n");
    let mut table = table(&["", ""]);
    right(&mut table, [1]);
    for (place, rows) in sums.parts().into_iter().filter(|(_, rows)| *rows > 0) {
        table.add_row([format!("  {}", place.replace('_', " ")), grouped(rows)]);
    }
    text.push_str(lines(&table).trim_start_matches('\n'));
    text
}
