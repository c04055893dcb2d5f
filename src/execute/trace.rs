//! Finds rows by a condition, and tells what becomes of them. They are judged by the code that runs
//! judge by, over the rows that a run would read; nothing is computed from them.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::find::{FoundRow, find};
use super::judge::{RowFate, check_syntax, columns_of, condition};
use super::message::Asked;
use super::{Engine, Executor, TableSchema};
use crate::error::Result;
use crate::ledger::FileId;
use crate::plan::DueWindow;
use crate::source::{Verdict, caught, panicked};
use crate::spec::{SourceSpec, SqlOrigin};

/// What the condition is called in messages.
const WHERE: &str = "--where";

/// A condition over the columns of one source.
#[derive(Clone, Debug)]
pub struct Search {
    condition: Arc<dyn PhysicalExpr>,
    /// The columns it names.
    columns: SchemaRef,
}

impl Search {
    /// Plans the condition `sql` over the columns `whole` of `source`.
    ///
    /// # Errors
    /// If it cannot be planned, or is no condition on one row.
    pub fn new(
        engine: &Engine,
        source: &SourceSpec,
        whole: &TableSchema,
        sql: &str,
    ) -> Result<Self> {
        let session = engine.session();
        let origin = SqlOrigin { file: WHERE.to_owned(), text: Arc::from(sql), offset: Some(0) };
        let asked = Asked::option(WHERE, sql, &origin);
        let names = columns_of(&session, source, &asked, whole)?;
        let fields = whole.fields().iter().filter(|field| names.contains(field.name()));
        let columns = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        let condition = condition(&session, source, &asked, &columns)?;
        Ok(Self { condition, columns })
    }

    /// Makes sure that `sql` is SQL, where nobody knows the columns of a source yet.
    ///
    /// # Errors
    /// If it cannot be parsed.
    pub fn check(engine: &Engine, sql: &str) -> Result<()> {
        let origin = SqlOrigin { file: WHERE.to_owned(), text: Arc::from(sql), offset: Some(0) };
        check_syntax(&engine.session(), &Asked::option(WHERE, sql, &origin))
    }

    /// The rows of the file `id` that it holds for, and which `is_wanted`: the first `most`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a column, or the condition fails over a row.
    pub async fn find(
        &self,
        executor: &Executor<'_>,
        id: &FileId,
        is_wanted: impl Fn(Verdict) -> bool,
        most: usize,
    ) -> Result<Vec<FoundRow>> {
        let found = find(executor, id, &self.columns, &self.condition, is_wanted, most);
        caught(found).await.unwrap_or_else(|| Err(panicked(&id.key)))
    }
}

/// What becomes of rows of one window: each is a file of `table` and a row of it, from 0. `due`
/// says which files of `table` matter to the window; `None` of rows that are not in them.
///
/// # Errors
/// If a file cannot be read, or is not what was admitted; if a rule fails over a row.
pub async fn row_fates(
    executor: &Executor<'_>,
    table: &str,
    due: &DueWindow,
    rows: &[(String, u64)],
) -> Result<Vec<Option<RowFate>>> {
    let judge = executor.prepared.as_ref().and_then(|prepared| prepared.judge(table));
    let Some(judge) = judge else { return Ok(vec![Some(RowFate::Used); rows.len()]) };
    let of_window = executor.rows_of(due).await?;
    let pieces = of_window.get(table).map(Vec::as_slice).unwrap_or_default();
    judge.trace(&executor.spec.grid, pieces, rows)
}
