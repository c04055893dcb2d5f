//! Rules: conditions over the columns of a source, evaluated once for each row.

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, as_boolean_array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, TableReference};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Fate;
use crate::error::{Code, Error, Result};
use crate::execute::message::{self, Asked};
use crate::execute::sql::{nondeterministic, volatile_function};
use crate::spec::{OnViolation, RuleSpec, SourceSpec};

/// The rules of one source, ready to be asked.
#[derive(Debug)]
pub(super) struct Rules {
    asked: Vec<(RuleSpec, Arc<dyn PhysicalExpr>)>,
    /// Which of them refuse, put aside, and drop rows, as bits.
    refusing: u64,
    quarantining: u64,
    dropping: u64,
}

/// For each row the rules that it breaks, as bits: the first rule is the lowest.
pub(super) type Broken = Vec<u64>;

impl Rules {
    /// Plans the conditions of `source` over the columns `read`.
    pub(super) fn new(
        session: &SessionContext,
        source: &SourceSpec,
        read: &SchemaRef,
    ) -> Result<Self> {
        let mut rules = Self { asked: Vec::new(), refusing: 0, quarantining: 0, dropping: 0 };
        for (place, rule) in (0_u32..).zip(&source.rules) {
            let bit = 1_u64.checked_shl(place).unwrap_or_default();
            match rule.on_violation {
                OnViolation::Warn => {}
                OnViolation::Drop => rules.dropping |= bit,
                OnViolation::Quarantine => rules.quarantining |= bit,
                OnViolation::Fail => rules.refusing |= bit,
            }
            let asked = Asked::from(rule);
            rules.asked.push((rule.clone(), condition(session, source, &asked, read)?));
        }
        Ok(rules)
    }

    /// The rules, in order.
    pub(super) fn specs(&self) -> impl Iterator<Item = &RuleSpec> {
        self.asked.iter().map(|(rule, _)| rule)
    }

    /// The rules that each row of `batch` breaks; `name_of` says what its row at a place is called.
    pub(super) fn broken(
        &self,
        batch: &RecordBatch,
        name_of: impl Fn(usize) -> String,
    ) -> Result<Broken> {
        let mut broken = vec![0_u64; batch.num_rows()];
        for (place, (rule, condition)) in (0_u32..).zip(&self.asked) {
            let bit = 1_u64.checked_shl(place).unwrap_or_default();
            let holds = answers(condition, batch).map_err(|why| {
                let row = first_failing(condition, batch);
                failed(rule, &row.map_or_else(|| "a row".to_owned(), &name_of), &why)
            })?;
            let holds: &BooleanArray = as_boolean_array(&holds);
            // Mostly nothing is broken.
            if holds.true_count() == holds.len() {
                continue;
            }
            for (row, broken) in broken.iter_mut().enumerate() {
                if holds.is_null(row) || !holds.value(row) {
                    *broken |= bit;
                }
            }
        }
        Ok(broken)
    }

    /// What becomes of a row that breaks these rules.
    pub(super) fn fate(&self, broken: u64) -> Fate {
        if broken & self.refusing != 0 {
            Fate::Refused
        } else if broken & self.quarantining != 0 {
            Fate::Quarantined
        } else if broken & self.dropping != 0 {
            Fate::Dropped
        } else {
            Fate::Used
        }
    }

    /// The first of the broken rules that decided what became of a row, by place; `None` if it was
    /// none.
    pub(super) fn decider(&self, broken: u64) -> Option<usize> {
        let deciding = match self.fate(broken) {
            Fate::Refused => broken & self.refusing,
            Fate::Quarantined => broken & self.quarantining,
            Fate::Dropped => broken & self.dropping,
            Fate::Used | Fate::Duplicate => return None,
        };
        usize::try_from(deciding.trailing_zeros()).ok()
    }

    /// The rules that count a row which breaks these, by place: the one that decided, and those
    /// that only warn.
    pub(super) fn counting(&self, broken: u64) -> impl Iterator<Item = usize> {
        let decides = self.decider(broken);
        let warning = broken & !(self.refusing | self.quarantining | self.dropping);
        (0..self.asked.len()).filter(move |place| {
            let bit = u32::try_from(*place).ok().and_then(|place| 1_u64.checked_shl(place));
            decides == Some(*place) || bit.is_some_and(|bit| warning & bit != 0)
        })
    }
}

/// The columns that the conditions of `source` name, of `whole`.
pub(super) fn columns(
    session: &SessionContext,
    source: &SourceSpec,
    whole: &SchemaRef,
) -> Result<BTreeSet<String>> {
    let mut columns = BTreeSet::new();
    for rule in &source.rules {
        columns.extend(columns_of(session, source, &Asked::from(rule), whole)?);
    }
    Ok(columns)
}

/// The columns that a condition names, of `whole`.
pub(in crate::execute) fn columns_of(
    session: &SessionContext,
    source: &SourceSpec,
    asked: &Asked<'_>,
    whole: &SchemaRef,
) -> Result<BTreeSet<String>> {
    let condition = logical(session, source, asked, whole)?;
    Ok(condition.column_refs().into_iter().map(|column| column.name.clone()).collect())
}

/// Makes sure that a condition is an expression of SQL; its names may be any.
pub(in crate::execute) fn check_syntax(session: &SessionContext, asked: &Asked<'_>) -> Result<()> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let parsed = state.sql_to_expr_with_alias(asked.sql, &dialect);
    parsed.map(|_| ()).map_err(|why| message::sql_error(asked, &why))
}

fn logical(
    session: &SessionContext,
    source: &SourceSpec,
    asked: &Asked<'_>,
    columns: &SchemaRef,
) -> Result<Expr> {
    let wrong = |why: DataFusionError| message::sql_error(asked, &why);
    let schema = schema_of(source, columns).map_err(wrong)?;
    let condition = session.state().create_logical_expr(asked.sql, &schema).map_err(wrong)?;
    let mut mistake = None;
    condition
        .apply(|expr| {
            mistake = mistake_in(asked, expr);
            Ok(if mistake.is_some() {
                TreeNodeRecursion::Stop
            } else {
                TreeNodeRecursion::Continue
            })
        })
        .map_err(wrong)?;
    mistake.map_or(Ok(condition), Err)
}

fn schema_of(source: &SourceSpec, columns: &SchemaRef) -> Result<DFSchema, DataFusionError> {
    DFSchema::try_from_qualified_schema(TableReference::bare(source.table.clone()), columns)
}

/// What a condition must not hold: it is asked of one row, and its answer must stay the same.
fn mistake_in(asked: &Asked<'_>, expr: &Expr) -> Option<Error> {
    if let Some(name) = volatile_function(expr) {
        return Some(nondeterministic(asked, &name));
    }
    let what = match expr {
        Expr::AggregateFunction(_) => "an aggregate",
        Expr::WindowFunction(_) => "a window function",
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) => "a query",
        Expr::Placeholder(_) => "a parameter",
        _ => return None,
    };
    let error = Error::new(Code::BadSql, format!("{asked} holds {what}"));
    let error = asked.standing(message::at_all(error, asked));
    Some(error.hint(asked.hint_of_one_row()))
}

/// A condition on one row of `source`, ready to be asked of the columns `columns`.
pub(in crate::execute) fn condition(
    session: &SessionContext,
    source: &SourceSpec,
    asked: &Asked<'_>,
    columns: &SchemaRef,
) -> Result<Arc<dyn PhysicalExpr>> {
    let wrong = |why: DataFusionError| message::sql_error(asked, &why);
    let condition = logical(session, source, asked, columns)?;
    let schema = schema_of(source, columns).map_err(wrong)?;
    // Some functions are only ever rewritten to others, and cannot be asked themselves.
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(session.state().config_options().clone())
        .build();
    let simplifier = ExprSimplifier::new(context);
    let condition = simplifier.coerce(condition, &schema).map_err(wrong)?;
    let condition = simplifier.simplify(condition).map_err(wrong)?;
    let condition = session.state().create_physical_expr(condition, &schema).map_err(wrong)?;
    match condition.data_type(columns).map_err(wrong)? {
        DataType::Boolean => Ok(condition),
        other => {
            let text = format!("{asked} is no condition: it gives {other}");
            let error = message::at_all(Error::new(Code::BadSql, text), asked);
            Err(asked
                .standing(error)
                .hint("write something that is true or false, for example `amount >= 0`"))
        }
    }
}

fn answers(
    condition: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> Result<ArrayRef, DataFusionError> {
    condition.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()))
}

/// The place of the first row that `condition`, which fails over `batch`, fails over; `None` if it
/// fails over none alone.
fn first_failing(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Option<usize> {
    let (mut first, mut rows) = (0_usize, batch.num_rows());
    while rows > 1 {
        let half = rows / 2;
        if answers(condition, &batch.slice(first, half)).is_err() {
            rows = half;
        } else {
            first = first.saturating_add(half);
            rows = rows.saturating_sub(half);
        }
    }
    (rows == 1 && answers(condition, &batch.slice(first, 1)).is_err()).then_some(first)
}

/// The error for a rule that failed over what is called `row`.
fn failed(rule: &RuleSpec, row: &str, why: &DataFusionError) -> Error {
    let text = format!("rule `{}` failed over {row}: {}", rule.name, message::said(why));
    Error::new(Code::SqlFailed, text)
        .note("the window's previous output, if any, stands")
        .hint("write the condition so that it holds for every value: `try_cast`, `nullif`, CASE")
}
