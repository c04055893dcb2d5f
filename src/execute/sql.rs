//! SQL as the user wrote it: planned, and held to being a question with one answer.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};
use datafusion::sql::parser::DFParser;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;

use super::message;
use crate::error::{Code, Error, Result};
use crate::spec::StepSpec;
use crate::state::{Query, QueryStep};

/// Plans one step over the tables of `session`.
pub(super) async fn plan_step(session: &SessionContext, step: &StepSpec) -> Result<DataFrame> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let wrong = |why: DataFusionError| message::sql_error(step, &why);
    let statement = state.sql_to_statement(&step.sql, &dialect).map_err(wrong)?;
    if !is_query(&statement) {
        return Err(message::not_a_query(step));
    }
    let plan = state.statement_to_plan(statement).await.map_err(wrong)?;
    let only_queries =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_queries.verify_plan(&plan).map_err(|_| message::not_a_query(step))?;
    refuse_nondeterministic(step, &plan)?;
    Ok(DataFrame::new(session.state(), plan))
}

/// Whether it only asks: what else SQL can say would do something.
fn is_query(statement: &Statement) -> bool {
    matches!(statement, Statement::Statement(inner) if matches!(**inner, ast::Statement::Query(_)))
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
    let Some(name) = found else { return Ok(()) };
    let text = format!(
        "step `{}` uses {name}(), so running it again would give another result",
        step.name
    );
    let error = Error::new(Code::NotDeterministic, text)
        .note(message::STANDING)
        .hint("for the time, use $window_end: it is the same in every run");
    Err(message::at_word(error, step, &name))
}

/// Whether two queries ask the same: the same steps, whatever their comments and white space. SQL
/// that cannot be parsed any more is compared as text.
#[must_use]
pub fn is_same_query(a: &Query, b: &Query) -> bool {
    let is_same_step = |a: &QueryStep, b: &QueryStep| {
        let parse = |sql: &str| DFParser::parse_sql(sql).ok();
        a.name == b.name
            && (a.sql == b.sql || parse(&a.sql).is_some_and(|parsed| Some(parsed) == parse(&b.sql)))
    };
    a.steps.len() == b.steps.len() && a.steps.iter().zip(&b.steps).all(|(a, b)| is_same_step(a, b))
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
        Query { steps: vec![QueryStep { name: "s".to_owned(), sql: sql.to_owned() }] }
    }

    #[test]
    fn a_comment_or_a_blank_asks_nothing_else() {
        let asked = query("SELECT a, count(*) FROM t WHERE b > 1 GROUP BY a");
        let same = query("-- by a\nSELECT a,\n  count(*) /* all */ FROM t WHERE b > 1 GROUP BY a");
        let other = query("SELECT a, count(*) FROM t WHERE b > 2 GROUP BY a");
        assert!(is_same_query(&asked, &same));
        assert!(!is_same_query(&asked, &other));
        assert!(!is_same_query(&asked, &Query { steps: Vec::new() }));
        let broken = query("SELECT FROM WHERE");
        assert!(is_same_query(&broken, &broken) && !is_same_query(&broken, &asked));
    }
}
