//! What `DataFusion` says of a query, in words and places that its author knows.

use std::fmt;

use datafusion::error::DataFusionError;

use crate::error::{Code, Error, Excerpt};
use crate::spec::{CheckSpec, RuleSpec, SqlOrigin, StepSpec};

/// What SQL of the command line is.
const OPTION: &str = "option";

/// SQL that somebody wrote, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// What it is: a `step`, a `rule`, a `check`, an `option`.
    kind: &'static str,
    name: &'a str,
    pub(super) sql: &'a str,
    origin: &'a SqlOrigin,
}

impl<'a> From<&'a StepSpec> for Asked<'a> {
    fn from(step: &'a StepSpec) -> Self {
        Self { kind: "step", name: &step.name, sql: &step.sql, origin: &step.origin }
    }
}

impl<'a> From<&'a RuleSpec> for Asked<'a> {
    fn from(rule: &'a RuleSpec) -> Self {
        Self { kind: "rule", name: &rule.name, sql: &rule.expect, origin: &rule.origin }
    }
}

impl<'a> From<&'a CheckSpec> for Asked<'a> {
    fn from(check: &'a CheckSpec) -> Self {
        Self { kind: "check", name: &check.name, sql: &check.sql, origin: &check.origin }
    }
}

impl<'a> Asked<'a> {
    /// A condition of the command line.
    pub(super) fn option(name: &'a str, sql: &'a str, origin: &'a SqlOrigin) -> Self {
        Self { kind: OPTION, name, sql, origin }
    }

    /// `error`, which says that it cannot be planned, with what stands now: a question to the
    /// command line would have changed nothing.
    pub(super) fn standing(&self, error: Error) -> Error {
        if self.kind == OPTION { error } else { error.note(STANDING) }
    }

    /// What a condition may ask.
    pub(super) fn hint_of_one_row(&self) -> &'static str {
        match self.kind {
            OPTION => "write a condition on the columns of one row, for example `amount < 0`",
            _ => "a rule is a condition on the columns of one row; a `check` asks about many",
        }
    }

    /// What to do about a function that gives another value each time.
    pub(super) fn hint_of_the_same(&self) -> &'static str {
        match self.kind {
            OPTION => "compare columns with a value: `event_time < '2026-01-31T05:00:00Z'`",
            "rule" => {
                "a rule is asked of one row, and its answer must stay the same: compare columns \
                 with values"
            }
            _ => "for the time, use $window_end: it is the same in every run",
        }
    }
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

/// What each layer of `DataFusion` puts in front of what the one below said.
const LAYERS: &[&str] = &[
    "Error during planning: ",
    "Internal error: ",
    "Execution error: ",
    "Arrow error: ",
    "Compute error: ",
    "External error: ",
    "SQL error: ",
    "This feature is not implemented: ",
    "type_coercion\ncaused by\n",
];

/// What `why` says, without the names of layers and the trace below it.
pub(super) fn said(why: &DataFusionError) -> String {
    clean(&why.strip_backtrace())
}

fn clean(text: &str) -> String {
    let mut text = text;
    // Behind what went wrong inside comes the sentence for the author of the query.
    if let Some(place) = text.find("No function matches") {
        text = &text[place..];
    }
    if let Some((before, _)) = text.split_once("Candidate functions") {
        text = before;
    }
    while let Some(rest) = LAYERS.iter().find_map(|layer| text.strip_prefix(layer)) {
        text = rest;
    }
    let parser = text.strip_prefix("ParserError(\"").and_then(|text| text.strip_suffix("\")"));
    let text = parser.unwrap_or(text).trim().trim_end_matches('.');
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What now stands, where a query cannot be planned.
pub(super) const STANDING: &str = "nothing was computed; outputs stand as they are";

/// The error for SQL that cannot be planned, with its line and column where they are known.
pub(super) fn sql_error(asked: &Asked<'_>, why: &DataFusionError) -> Error {
    let diagnostic = why.diagnostic();
    let text = diagnostic.map_or_else(|| said(why), |diagnostic| clean(&diagnostic.message));
    if text.contains("single SQL statement") {
        return asked
            .standing(Error::new(Code::NotAQuery, format!("{asked} is more than one query")))
            .hint(format!("a {0} is one SELECT: make two {0}s of it", asked.kind));
    }
    let span = diagnostic.and_then(|diagnostic| diagnostic.span);
    let place = span
        .map(|span| (span.start.line, span.start.column, Some(span.end.column)))
        .or_else(|| place_in(&text).map(|(line, column)| (line, column, None)));
    // The place is shown: it need not be told.
    let sentence = text.rsplit_once(" at Line: ").map_or(text.as_str(), |(sentence, _)| sentence);
    let mut error = Error::new(Code::BadSql, format!("{asked}: {sentence}"));
    if let Some((line, column, end)) = place {
        error = error.at(excerpt(asked, line, column, end));
    } else if let Some(function) = function_in(&text) {
        error = at_word(error, asked, function);
    } else if asked.kind != "step" {
        // A line or so: that is near enough.
        error = at_all(error, asked);
    }
    for note in diagnostic.iter().flat_map(|diagnostic| &diagnostic.notes) {
        error = match note.message.strip_prefix("possible column ") {
            Some(column) => error.hint(format!("a column with a similar name exists: `{column}`")),
            None => error.note(note.message.clone()),
        };
    }
    for help in diagnostic.iter().flat_map(|diagnostic| &diagnostic.helps) {
        error = error.hint(help.message.clone());
    }
    asked.standing(error)
}

/// The error for SQL that does something.
pub(super) fn not_a_query(asked: &Asked<'_>) -> Error {
    let text = format!("{asked} is not a query");
    let what_for = match asked.kind {
        "check" => "the rows that it gives are what it found",
        _ => "what it gives is published by an output",
    };
    let error = Error::new(Code::NotAQuery, text)
        .note(STANDING)
        .hint(format!("a {} is one SELECT; {what_for}", asked.kind));
    match asked.sql.split_whitespace().next() {
        Some(word) => at_word(error, asked, word),
        None => error,
    }
}

/// `sum` of a sentence that speaks of `'sum(Utf8)'`.
fn function_in(text: &str) -> Option<&str> {
    let (_, call) = text.split_once("argument types '")?;
    call.split_once('(').map(|(function, _)| function)
}

/// `error` at the only place of the step where `word` is written; without a place if there are
/// more.
pub(super) fn at_word(error: Error, asked: &Asked<'_>, word: &str) -> Error {
    let (sql, word) = (asked.sql.to_ascii_lowercase(), word.to_ascii_lowercase());
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let mut whole = sql.match_indices(&word).filter(|(start, found)| {
        let (before, after) = (&sql[..*start], &sql[start.saturating_add(found.len())..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    });
    match (whole.next(), whole.next()) {
        (Some((start, found)), None) => {
            error.at(excerpt_of(asked, start, start.saturating_add(found.len())))
        }
        _ => error,
    }
}

/// `error` at all of what was written.
pub(super) fn at_all(error: Error, asked: &Asked<'_>) -> Error {
    error.at(excerpt_of(asked, 0, asked.sql.len()))
}

/// The `Line: 1, Column: 8` that the parser puts at the end of its messages.
fn place_in(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, digits.parse().ok()?))
}

/// The place in the file the SQL was written in, or in the SQL alone if that is not known.
fn excerpt(asked: &Asked<'_>, line: u64, column: u64, end_column: Option<u64>) -> Excerpt {
    let nth = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut start = 0;
    for text in asked.sql.split_inclusive('\n').take(nth(line)) {
        start = text.len().saturating_add(start);
    }
    let rest = asked.sql.get(start..).unwrap_or_default();
    let offset = |column: u64| {
        let mut places = rest.char_indices().map(|(place, _)| place);
        places.nth(nth(column)).unwrap_or(rest.len()).saturating_add(start)
    };
    let from = offset(column);
    let until = end_column.map_or(from, offset).max(from.saturating_add(1)).min(asked.sql.len());
    let from = from.min(until);
    excerpt_of(asked, from, until)
}

/// The bytes `from` to `until` of a step's SQL, in the file that it was written in.
fn excerpt_of(asked: &Asked<'_>, from: usize, until: usize) -> Excerpt {
    let (text, shift) = match asked.origin.offset {
        Some(shift) => (asked.origin.text.clone(), shift),
        None => (asked.sql.into(), 0),
    };
    let span = from.saturating_add(shift)..until.saturating_add(shift);
    Excerpt { origin: asked.origin.file.clone(), text, span, label: "here".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_taken_off() {
        for (text, expected) in [
            ("Error during planning: DDL not supported: X", "DDL not supported: X"),
            ("SQL error: ParserError(\"Expected: x at Line: 1\")", "Expected: x at Line: 1"),
            ("Arrow error: Cast error: Cannot cast", "Cast error: Cannot cast"),
            (
                "Error during planning: Internal error: a\nb. No function matches the given name \
                 and argument types 'sum(Utf8)'. You might add casts.\n\tCandidate functions:\n",
                "No function matches the given name and argument types 'sum(Utf8)'. You might add \
                 casts",
            ),
        ] {
            assert_eq!(clean(text), expected);
        }
    }
}
