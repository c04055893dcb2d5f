//! SQL as the user wrote it: planned, and held to being a question with one answer.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};

use super::message;
use crate::error::{Code, Error, Result};
use crate::spec::StepSpec;

/// Plans one step over the tables of `session`.
pub(super) async fn plan_step(session: &SessionContext, step: &StepSpec) -> Result<DataFrame> {
    let plan = session.state().create_logical_plan(&step.sql).await;
    let plan = plan.map_err(|why| message::sql_error(step, &why))?;
    let only_queries =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_queries.verify_plan(&plan).map_err(|why| message::not_a_query(step, &why))?;
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
    let Some(name) = found else { return Ok(()) };
    let text =
        format!("step `{}` uses {name}(), so running it again would give another result", step.name);
    let error = Error::new(Code::NotDeterministic, text)
        .note(message::STANDING)
        .hint("for the time, use $window_end: it is the same in every run");
    Err(message::at_word(error, step, &name))
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
