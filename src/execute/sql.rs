//! SQL as the user wrote it: planned, held to being a question with one answer, and pointed into
//! when it is wrong.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};

use crate::error::{Code, Error, Excerpt, Result};
use crate::spec::StepSpec;

/// Plans one step over the tables of `session`.
pub(super) async fn plan_step(session: &SessionContext, step: &StepSpec) -> Result<DataFrame> {
    let plan = session.state().create_logical_plan(&step.sql).await;
    let plan = plan.map_err(|why| sql_error(step, &why))?;
    let only_queries =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_queries.verify_plan(&plan).map_err(|why| {
        let what = why.strip_backtrace();
        Error::new(Code::NotAQuery, format!("step `{}` is not a query: {what}", step.name))
            .hint("a step is one SELECT; what it gives is published by an output")
    })?;
    refuse_nondeterministic(step, &plan)?;
    Ok(DataFrame::new(session.state(), plan))
}

fn refuse_nondeterministic(step: &StepSpec, plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    let mut look = |expr: &Expr| {
        if let Expr::ScalarFunction(function) = expr
            && function.func.signature().volatility != Volatility::Immutable
        {
            found = Some(function.func.name().to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_with_subqueries(|node| node.apply_expressions(|expr| expr.apply(&mut look)))
        .map_err(|why| bug(&why))?;
    match found {
        None => Ok(()),
        Some(name) => Err(Error::new(
            Code::NotDeterministic,
            format!(
                "step `{}` uses {name}(), so running it again would give another result",
                step.name
            ),
        )
        .hint("for the time, use $window_end: it is the same in every run")),
    }
}

/// The error for SQL that cannot be planned, with its line and column where they are known.
fn sql_error(step: &StepSpec, why: &DataFusionError) -> Error {
    let diagnostic = why.diagnostic();
    let text = why.strip_backtrace();
    let message = diagnostic.map_or(text.as_str(), |diagnostic| diagnostic.message.as_str());
    let mut error = Error::new(Code::BadSql, format!("step `{}`: {message}", step.name));
    let span = diagnostic.and_then(|diagnostic| diagnostic.span);
    let place = span
        .map(|span| (span.start.line, span.start.column, Some(span.end.column)))
        .or_else(|| place_in(&text).map(|(line, column)| (line, column, None)));
    if let Some((line, column, end)) = place {
        error = error.at(excerpt(step, line, column, end));
    }
    let notes = diagnostic.iter().flat_map(|diagnostic| &diagnostic.notes);
    let error = notes.fold(error, |error, note| error.note(note.message.clone()));
    let helps = diagnostic.iter().flat_map(|diagnostic| &diagnostic.helps);
    helps.fold(error, |error, help| error.hint(help.message.clone()))
}

/// The `Line: 1, Column: 8` that the parser puts at the end of its messages.
fn place_in(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, digits.parse().ok()?))
}

/// The place in the file the SQL was written in, or in the SQL alone if that is not known.
fn excerpt(step: &StepSpec, line: u64, column: u64, end_column: Option<u64>) -> Excerpt {
    let nth = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut start = 0;
    for text in step.sql.split_inclusive('\n').take(nth(line)) {
        start = text.len().saturating_add(start);
    }
    let rest = step.sql.get(start..).unwrap_or_default();
    let offset = |column: u64| {
        let mut places = rest.char_indices().map(|(place, _)| place);
        places.nth(nth(column)).unwrap_or(rest.len()).saturating_add(start)
    };
    let from = offset(column);
    let until = end_column.map_or(from, offset).max(from.saturating_add(1)).min(step.sql.len());
    let (from, until) = (from.min(until), until);
    let (text, shift) = match step.origin.offset {
        Some(shift) => (step.origin.text.clone(), shift),
        None => (step.sql.as_str().into(), 0),
    };
    let span = from.saturating_add(shift)..until.saturating_add(shift);
    Excerpt { origin: step.origin.file.clone(), text, span, label: "here".to_owned() }
}

/// A table by exactly this name: unquoted SQL names are lower case.
pub(super) fn quoted(name: &str) -> TableReference {
    TableReference::bare(name.to_owned())
}

/// A column by exactly this name.
pub(super) fn quoted_column(name: &str) -> Column {
    Column::new_unqualified(name)
}

/// The error for a query that was planned step by step and yet cannot be planned as a whole.
pub(super) fn bug(why: &DataFusionError) -> Error {
    Error::new(Code::BadSql, format!("the query cannot be planned: {}", why.strip_backtrace()))
}
