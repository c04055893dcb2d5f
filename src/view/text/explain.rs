//! Why one window is as it is, as text.

use std::fmt::Write;

use comfy_table::ContentArrangement;

use super::history::minute;
use super::plan::why;
use super::{balance, bytes, counted, grouped, instant, lines, number, right, table};
use crate::spec::PipelineSpec;
use crate::view::{
    ColumnChange, EventKind, ExplainView, InputView, LeftOut, SourceStanding, Standing, WhyLeftOut,
    WindowEvent,
};

/// More inputs than this are folded.
const INPUTS_MAX: usize = 20;

/// Sentences longer than this are broken, in columns.
const WIDTH: u16 = 100;

/// Digits of a hash that are shown: enough to tell two apart by eye.
const HASH_DIGITS: usize = 16;

/// Why the window of `view` is as it is. `unfold` shows every input.
#[must_use]
pub fn explain(spec: &PipelineSpec, view: &ExplainView, unfold: bool) -> String {
    let (start, end) = (view.window.start(), view.window.end());
    let label = spec.grid.label(view.window);
    let mut text = format!("{}    {label}    {start} to {end}\n", spec.name);
    text.push_str(&head(spec, view));
    for part in
        [inputs(view, unfold), left_out(&view.left_out), events(view), sheet(view), outputs(view)]
    {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(&part);
        }
    }
    text
}

/// The sentences, a key before each.
fn head(spec: &PipelineSpec, view: &ExplainView) -> String {
    // The blank header sets them off from the first line.
    let mut head = table(&["", ""]);
    head.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    let mut add = |key: &str, sentence: String| {
        head.add_row([format!("  {key}"), sentence]);
    };
    let state = view.state.as_str();
    add("state", format!("{state}: {}", meaning(view.state)));
    if let Some(due) = &view.due {
        let reason = due.reason.as_str();
        let why = why(std::slice::from_ref(due), due.reason);
        // Of some reasons there is no more to say.
        let why = if why == reason.replace('_', " ") { String::new() } else { format!(": {why}") };
        let empty =
            if view.becomes_empty { "; it has no row: it is committed as empty" } else { "" };
        add("due", format!("{reason}{why}{empty}"));
    }
    if let Some(why_not) = &view.why_not {
        add(if view.due.is_some() { "but" } else { "not due" }, why_not.clone());
    }
    if let Some(error) = &view.error {
        add("error", format!("{} {}", error.code, error.message));
        if let Some(hint) = &error.hint {
            add("help", hint.clone());
        }
    }
    let (query, references) = (view.outdated_query, view.outdated_references);
    let outdated = [(query, "query"), (references, "reference tables")];
    for (_, what) in outdated.iter().filter(|(is_outdated, _)| *is_outdated) {
        add("outdated", format!("it was computed with another {what} than now"));
    }
    for change in view.events.iter().flat_map(|event| &event.columns) {
        add("columns", change_line(change));
    }
    for source in &view.sources {
        add("source", source_line(spec, source));
    }
    for note in &view.notes {
        add("note", note.clone());
    }
    lines(&head)
}

/// How a column changed with a commit of the window.
fn change_line(change: &ColumnChange) -> String {
    let ColumnChange { table, column, kind, was, file } = change;
    match (kind, was) {
        (Some(kind), Some(was)) => {
            format!("`{column}` of {table} is {kind} since {file}; it was {was}")
        }
        (Some(kind), None) => format!("`{column}` of {table} is new: {kind}, as in {file}"),
        (None, _) => format!("`{column}` of {table} is no more: {file} lacks it"),
    }
}

fn meaning(state: Standing) -> &'static str {
    match state {
        Standing::InDoubt => "it was begun and not committed; the next run does it again",
        Standing::Failed => "it cannot be computed as things are",
        Standing::Held => "it is closed, and waits for an input",
        Standing::Stale => "it is committed, and due again",
        Standing::Pending => "it is due, and was never committed",
        Standing::Committed => "it is committed, and not due",
        Standing::Empty => "it is committed without a row",
        Standing::Skipped => "it is committed without being computed",
        Standing::BeforeBegin => "runs do not take it up by themselves",
        Standing::Open => "rows may still arrive on time",
    }
}

fn source_line(spec: &PipelineSpec, source: &SourceStanding) -> String {
    let table = match &source.upstream {
        Some(upstream) => format!("{} (pipeline {upstream})", source.table),
        None => source.table.clone(),
    };
    let needs = if source.has_come() {
        String::new()
    } else {
        format!(", must reach {}", instant(spec, Some(source.needs)))
    };
    format!("{table}: watermark {}{needs}", instant(spec, source.watermark))
}

fn inputs(view: &ExplainView, unfold: bool) -> String {
    let mut text = String::new();
    if !view.inputs.is_empty() {
        // What came since is what people look for.
        let mut inputs: Vec<&InputView> = view.inputs.iter().collect();
        inputs.sort_by_key(|input| !input.is_new);
        let shown = if unfold { inputs.len() } else { INPUTS_MAX };
        let mut table = table(&["INPUT", "ROWS", "MARGIN", "ARRIVED", "ADMITTED", ""]);
        right(&mut table, [1, 2, 4]);
        for input in inputs.iter().take(shown) {
            table.add_row([
                input.name.clone(),
                grouped(input.rows),
                grouped(input.margin),
                minute(input.arrived_at),
                if input.is_admitted {
                    input.generation.to_string()
                } else {
                    "next run".to_owned()
                },
                if input.is_new { "after the commit" } else { "" }.to_owned(),
            ]);
        }
        text.push_str(&lines(&table));
        if let more @ 1.. = inputs.len().saturating_sub(shown) {
            let _ = writeln!(text, "… and {} more; -v shows all", grouped(number(more)));
        }
    }
    let files = counted(number(view.inputs.len()), "file");
    let rows = counted(view.rows, "row");
    let margin = match view.margin {
        0 => String::new(),
        margin => format!(" and {} of its margins", grouped(margin)),
    };
    let ruled_out = match view.ruled_out {
        0 => String::new(),
        1 => "; 1 other file was ruled out by its counts: not read".to_owned(),
        many => format!("; {} other files were ruled out by their counts: not read", grouped(many)),
    };
    let _ = writeln!(text, "{files}, {rows}{margin}{ruled_out}");
    text
}

fn left_out(left_out: &[LeftOut]) -> String {
    if left_out.is_empty() {
        return String::new();
    }
    let mut table = table(&["LEFT OUT", "ROWS", "WHY"]);
    right(&mut table, [1]);
    for left in left_out {
        let why = match left.why {
            WhyLeftOut::Expired => "came later than allowed_lateness",
            WhyLeftOut::Gone => "not listed any more",
            WhyLeftOut::Held => "on its way",
        };
        let why = format!("{}: {why}", left.why.as_str());
        table.add_row([left.name.clone(), grouped(left.rows), why]);
    }
    lines(&table)
}

fn events(view: &ExplainView) -> String {
    if view.events.is_empty() {
        return "the log says nothing of it yet\n".to_owned();
    }
    let mut table = table(&["COMMIT", "AT", "REV", "WHY", "ROWS IN", "OUT", "LATE"]);
    right(&mut table, [0, 2, 4, 5, 6]);
    for WindowEvent { seq, at, what, .. } in &view.events {
        let head = [seq.to_string(), minute(*at)];
        table.add_row(head.into_iter().chain(event(what)));
    }
    lines(&table)
}

/// The cells behind the first two.
fn event(what: &EventKind) -> Vec<String> {
    match what {
        EventKind::Committed(window) => {
            let unchanged = if window.unchanged { ", unchanged" } else { "" };
            let rows = [window.rows.input, window.rows.out, window.rows.late].map(grouped);
            let found = super::history::found(std::slice::from_ref(window));
            let why = format!("{}{unchanged}{found}", super::history::why(window));
            [window.rev.to_string(), why].into_iter().chain(rows).collect()
        }
        EventKind::Empty(_) => vec![String::new(), "empty".to_owned()],
        EventKind::Skipped(why) => vec![String::new(), format!("skipped: {why}")],
        EventKind::Failed(failed) => vec![String::new(), format!("failed: {}", failed.code)],
    }
}

fn sheet(view: &ExplainView) -> String {
    let known = view.balance.as_ref();
    known.map(|(rows, sheet)| balance::balance(sheet, rows)).unwrap_or_default()
}

fn outputs(view: &ExplainView) -> String {
    if view.outputs.is_empty() {
        return String::new();
    }
    let mut table = table(&["OUTPUT", "ROWS", "BYTES", "SHA-256"]);
    right(&mut table, [1, 2]);
    for output in &view.outputs {
        let hash = output.sha256.to_string();
        let hash = hash.get(..HASH_DIGITS).unwrap_or(&hash).to_owned();
        table.add_row([output.path.clone(), grouped(output.rows), bytes(output.bytes), hash]);
    }
    lines(&table)
}
