//! SQL as the user wrote it: planned, and held to being a question with one answer.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};
use datafusion::sql::parser::DFParser;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;

use super::message::{self, Asked};
use crate::error::{Code, Error, Result};
use crate::spec::StepSpec;
use crate::state::{Query, QueryRule, QuerySource, QueryStep};

/// Plans one step over the tables of `session`.
pub(super) async fn plan_step(session: &SessionContext, step: &StepSpec) -> Result<DataFrame> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let asked = Asked::from(step);
    let wrong = |why: DataFusionError| message::sql_error(&asked, &why);
    let statement = state.sql_to_statement(&step.sql, &dialect).map_err(wrong)?;
    if !is_query(&statement) {
        return Err(message::not_a_query(&asked));
    }
    let plan = state.statement_to_plan(statement).await.map_err(wrong)?;
    let only_queries =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_queries.verify_plan(&plan).map_err(|_| message::not_a_query(&asked))?;
    refuse_nondeterministic(&asked, &plan)?;
    Ok(DataFrame::new(session.state(), plan))
}

/// Whether it only asks: what else SQL can say would do something.
fn is_query(statement: &Statement) -> bool {
    matches!(statement, Statement::Statement(inner) if matches!(**inner, ast::Statement::Query(_)))
}

fn refuse_nondeterministic(asked: &Asked<'_>, plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    let mut look = |expr: &Expr| {
        found = volatile_function(expr);
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    };
    plan.apply_with_subqueries(|node| node.apply_expressions(|expr| expr.apply(&mut look)))
        .map_err(|why| bug(&why))?;
    found.map_or(Ok(()), |name| Err(nondeterministic(asked, &name)))
}

/// The function that `expr` calls, if it may give another value the next time.
pub(super) fn volatile_function(expr: &Expr) -> Option<String> {
    match expr {
        Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
            Some(call.func.name().to_owned())
        }
        _ => None,
    }
}

/// The error for SQL that calls the function `name`.
pub(super) fn nondeterministic(asked: &Asked<'_>, name: &str) -> Error {
    let text = format!("{asked} uses {name}(), so running it again would give another result");
    let error = Error::new(Code::NotDeterministic, text)
        .note(message::STANDING)
        .hint("for the time, use $window_end: it is the same in every run");
    message::at_word(error, asked, name)
}

/// Whether two queries ask the same: the same steps over the same rows, whatever their comments and
/// white space. SQL that cannot be parsed any more is compared as text.
#[must_use]
pub fn is_same_query(a: &Query, b: &Query) -> bool {
    let is_same_step =
        |(a, b): (&QueryStep, &QueryStep)| a.name == b.name && is_same_sql("", &a.sql, &b.sql);
    a.steps.len() == b.steps.len()
        && a.steps.iter().zip(&b.steps).all(is_same_step)
        && a.judged.len() == b.judged.len()
        && a.judged.iter().zip(&b.judged).all(|(a, b)| is_judged_alike(a, b))
}

fn is_judged_alike(a: &QuerySource, b: &QuerySource) -> bool {
    let is_same_rule = |(a, b): (&QueryRule, &QueryRule)| {
        (&a.name, &a.action) == (&b.name, &b.action) && is_same_sql("SELECT ", &a.expect, &b.expect)
    };
    (&a.table, &a.dedup) == (&b.table, &b.dedup)
        && a.rules.len() == b.rules.len()
        && a.rules.iter().zip(&b.rules).all(is_same_rule)
}

/// Whether two texts, which make a statement together with what comes `before` them, say the same.
fn is_same_sql(before: &str, a: &str, b: &str) -> bool {
    let parse = |sql: &str| DFParser::parse_sql(&format!("{before}{sql}")).ok();
    a == b || parse(a).is_some_and(|parsed| Some(parsed) == parse(b))
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
    Error::new(Code::BadSql, format!("the query cannot be planned: {}", message::said(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(sql: &str) -> Query {
        let steps = vec![QueryStep { name: "s".to_owned(), sql: sql.to_owned() }];
        Query { steps, judged: Vec::new() }
    }

    #[test]
    fn a_comment_or_a_blank_asks_nothing_else() {
        let asked = query("SELECT a, count(*) FROM t WHERE b > 1 GROUP BY a");
        let same = query("-- by a\nSELECT a,\n  count(*) /* all */ FROM t WHERE b > 1 GROUP BY a");
        let other = query("SELECT a, count(*) FROM t WHERE b > 2 GROUP BY a");
        assert!(is_same_query(&asked, &same));
        assert!(!is_same_query(&asked, &other));
        assert!(!is_same_query(&asked, &Query { steps: Vec::new(), judged: Vec::new() }));
        let broken = query("SELECT FROM WHERE");
        assert!(is_same_query(&broken, &broken) && !is_same_query(&broken, &asked));
    }
}
