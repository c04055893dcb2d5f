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
use crate::state::{Query, QueryCheck, QueryRule, QuerySource, QueryStep};

/// Plans one query over the tables of `session`.
pub(super) async fn plan_query(session: &SessionContext, asked: Asked<'_>) -> Result<DataFrame> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let wrong = |why: DataFusionError| message::sql_error(&asked, &why);
    let statement = state.sql_to_statement(asked.sql, &dialect).map_err(wrong)?;
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

/// The tables that `sql` names; none where it cannot be parsed.
pub(super) fn named_tables(session: &SessionContext, sql: &str) -> Vec<String> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect);
    let named = statement.and_then(|statement| state.resolve_table_references(&statement));
    named.unwrap_or_default().iter().map(|table| table.table().to_owned()).collect()
}

/// Whether a planned query names `$window_start` or `$window_end`; another parameter is an error.
pub(super) fn names_window(asked: &Asked<'_>, plan: &LogicalPlan) -> Result<bool> {
    let mut any = false;
    for name in plan.get_parameter_names().map_err(|why| bug(&why))? {
        if !["$window_start", "$window_end"].contains(&name.as_str()) {
            let text = format!("{asked} uses the unknown parameter {name}");
            let error = Error::new(Code::BadSql, text)
                .note(message::STANDING)
                .hint("there are two: $window_start and $window_end");
            return Err(message::at_word(error, asked, &name));
        }
        any = true;
    }
    Ok(any)
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
    let error = asked.standing(Error::new(Code::NotDeterministic, text));
    let error = error.hint(asked.hint_of_the_same());
    message::at_word(error, asked, name)
}

/// Whether two queries ask the same: the same steps over the same rows and the same checks,
/// whatever their comments and white space. SQL that cannot be parsed any more is compared as text.
#[must_use]
pub fn is_same_query(a: &Query, b: &Query) -> bool {
    let is_same_step =
        |(a, b): (&QueryStep, &QueryStep)| a.name == b.name && is_same_sql("", &a.sql, &b.sql);
    let is_same_check =
        |(a, b): (&QueryCheck, &QueryCheck)| a.name == b.name && is_same_sql("", &a.sql, &b.sql);
    a.steps.len() == b.steps.len()
        && a.steps.iter().zip(&b.steps).all(is_same_step)
        && a.judged.len() == b.judged.len()
        && a.judged.iter().zip(&b.judged).all(|(a, b)| is_judged_alike(a, b))
        && a.checks.len() == b.checks.len()
        && a.checks.iter().zip(&b.checks).all(is_same_check)
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
        Query { steps, judged: Vec::new(), checks: Vec::new() }
    }

    #[test]
    fn a_comment_or_a_blank_asks_nothing_else() {
        let asked = query("SELECT a, count(*) FROM t WHERE b > 1 GROUP BY a");
        let same = query("-- by a\nSELECT a,\n  count(*) /* all */ FROM t WHERE b > 1 GROUP BY a");
        let other = query("SELECT a, count(*) FROM t WHERE b > 2 GROUP BY a");
        assert!(is_same_query(&asked, &same));
        assert!(!is_same_query(&asked, &other));
        assert!(!is_same_query(
            &asked,
            &Query { steps: Vec::new(), judged: Vec::new(), checks: Vec::new() }
        ));
        let checked = |name: &str, sql: &str| {
            let check = QueryCheck { name: name.to_owned(), sql: sql.to_owned() };
            Query { checks: vec![check], ..asked.clone() }
        };
        let check = checked("few", "SELECT a FROM s WHERE a > 9");
        assert!(is_same_query(&check, &checked("few", "SELECT a -- !\nFROM s WHERE a > 9")));
        assert!(!is_same_query(&check, &asked));
        assert!(!is_same_query(&check, &checked("few", "SELECT a FROM s WHERE a > 8")));
        assert!(!is_same_query(&check, &checked("many", "SELECT a FROM s WHERE a > 9")));
        let broken = query("SELECT FROM WHERE");
        assert!(is_same_query(&broken, &broken) && !is_same_query(&broken, &asked));
    }
}
