//! Checks: queries over the result of a window, asked before any of it is published.
//!
//! They are planned once, as the steps are. Their tables are the outputs, each the whole staged
//! file read back, and the reference tables: what a check sees is what would be published, and
//! nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::message::{self, Asked};
use super::query::{TableSlot, needed_columns, parameters, projected, register, run_failure};
use super::session::Engine;
use super::sql::{bug, named_tables, names_window, plan_query};
use crate::error::{Code, Error, Result};
use crate::source::ReferenceTable;
use crate::spec::{CheckSpec, PipelineSpec, Severity};
use crate::state::{CHECK_ROWS_MAX, CheckCount};
use crate::window::Window;

/// The checks of a pipeline, ready to be asked.
#[derive(Debug)]
pub(super) struct Checks {
    engine: Engine,
    spec: PipelineSpec,
    /// Per output: the columns that the checks see.
    outputs: BTreeMap<String, SchemaRef>,
    /// The rows of reference tables, the same for every window.
    references: BTreeMap<String, (SchemaRef, Vec<RecordBatch>)>,
    idle: Mutex<Vec<PlanCopy>>,
}

/// One copy of the plans, for one window at a time.
struct PlanCopy {
    session: SessionContext,
    outputs: BTreeMap<String, Arc<StagedTable>>,
    /// In the order of the configuration.
    asked: Vec<PlannedCheck>,
}

struct PlannedCheck {
    logical: LogicalPlan,
    /// `None` if it names the window, so that it is planned for each.
    physical: Option<Arc<dyn ExecutionPlan>>,
}

impl Checks {
    /// Plans the checks of `spec` over outputs that are staged with these columns.
    ///
    /// # Errors
    /// If a check is not a query, cannot be planned, sees what it must not, or would not give the
    /// same answer twice.
    pub(super) async fn new(
        engine: &Engine,
        spec: &PipelineSpec,
        outputs: BTreeMap<String, SchemaRef>,
        references: &[ReferenceTable],
    ) -> Result<Self> {
        let outputs = outputs.into_iter().map(|(name, schema)| (name, nullable(&schema)));
        let unread =
            |table: &ReferenceTable| (table.table.clone(), (table.schema.clone(), Vec::new()));
        let mut checks = Self {
            engine: engine.clone(),
            spec: spec.clone(),
            outputs: outputs.collect(),
            references: references.iter().map(unread).collect(),
            idle: Mutex::default(),
        };
        let whole = checks.plan().await?;
        let needed = |table: &str, schema: &SchemaRef| {
            let plans = whole.asked.iter().map(|check| &check.logical);
            needed_columns(&whole.session, plans, table, None, schema)
        };
        for (output, schema) in &mut checks.outputs {
            *schema = needed(output, schema)?;
        }
        for table in references {
            let schema = needed(&table.table, &table.schema)?;
            let rows = projected(table, &schema)?;
            checks.references.insert(table.table.clone(), (schema, rows));
        }
        let copy = checks.take().await?;
        checks.give_back(copy);
        Ok(checks)
    }

    /// What the checks find in the staged outputs of `window`, which is refused for what none may
    /// find.
    ///
    /// # Errors
    /// [`Code::CheckFailed`] if a check of severity `error` returns rows; [`Code::SqlFailed`] if
    /// one cannot be answered.
    pub(super) async fn ask(
        &self,
        window: Window,
        staged: &BTreeMap<String, PathBuf>,
    ) -> Result<Vec<CheckCount>> {
        let copy = self.take().await?;
        for (output, table) in &copy.outputs {
            table.put(staged.get(output).cloned());
        }
        let mut found = Vec::with_capacity(self.spec.checks.len());
        for (check, planned) in self.spec.checks.iter().zip(&copy.asked) {
            let rows = copy.count(check, planned, window).await?;
            found.push(CheckCount { name: check.name.clone(), rows });
        }
        // A copy whose window failed is not given back: it is planned anew.
        self.give_back(copy);
        verdict(&self.spec.checks, &found, &self.spec.grid.label(window))?;
        Ok(found)
    }

    async fn take(&self) -> Result<PlanCopy> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(copy) = idle {
            return Ok(copy);
        }
        let mut copy = self.plan().await?;
        for (check, planned) in self.spec.checks.iter().zip(&mut copy.asked) {
            if !names_window(&Asked::from(check), &planned.logical)? {
                let plan = physical(&copy.session, check, planned.logical.clone()).await?;
                planned.physical = Some(plan);
            }
        }
        Ok(copy)
    }

    fn give_back(&self, copy: PlanCopy) {
        copy.outputs.values().for_each(|table| table.put(None));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
    }

    /// A copy of the plans, as far as they do not depend on a window.
    async fn plan(&self) -> Result<PlanCopy> {
        let session = self.engine.session();
        let mut outputs = BTreeMap::new();
        for (output, schema) in &self.outputs {
            let table = Arc::new(StagedTable::new(schema.clone()));
            register(&session, output, table.clone())?;
            outputs.insert(output.clone(), table);
        }
        for (table, (schema, rows)) in &self.references {
            let slot = TableSlot::new(schema.clone());
            slot.put(rows.clone());
            register(&session, table, Arc::new(slot))?;
        }
        let mut asked = Vec::with_capacity(self.spec.checks.len());
        for check in &self.spec.checks {
            let planned = plan_query(&session, Asked::from(check)).await;
            let frame = planned.map_err(|why| self.explain(&session, check, why))?;
            // More rows than are counted need not be found.
            let most = usize::try_from(CHECK_ROWS_MAX).unwrap_or(usize::MAX);
            let frame = frame.limit(0, Some(most)).map_err(|why| bug(&why))?;
            asked.push(PlannedCheck { logical: frame.logical_plan().clone(), physical: None });
        }
        Ok(PlanCopy { session, outputs, asked })
    }

    /// Says what a check sees that could not be planned, and what of it is hidden from it.
    fn explain(&self, session: &SessionContext, check: &CheckSpec, why: Error) -> Error {
        if why.code() != Code::BadSql {
            return why;
        }
        let seen: Vec<&str> =
            self.outputs.keys().chain(self.references.keys()).map(String::as_str).collect();
        let all = format!("a check sees the outputs and the reference tables: {}", seen.join(", "));
        let is_hidden = |table: &String| !seen.contains(&table.as_str());
        let hidden = named_tables(session, &check.sql).into_iter().find(is_hidden);
        let what = hidden.as_deref().and_then(|table| {
            let is_step = self.spec.steps.iter().any(|step| step.name == table);
            let is_source = self.spec.source(table).is_some();
            is_step.then_some("a step that is not published").or(is_source.then_some("a source"))
        });
        let (Some(table), Some(what)) = (hidden, what) else { return why.note(all) };
        let asked = Asked::from(check);
        let text = format!("{asked} asks `{table}`, which is {what}");
        let error = Error::new(Code::BadSql, text)
            .note(all)
            .note(message::STANDING)
            .hint("publish what is to be checked; rows of a source are judged by a `rule`");
        message::at_word(error, &asked, &table)
    }
}

impl PlanCopy {
    /// How many rows a check returns, at most [`CHECK_ROWS_MAX`].
    async fn count(
        &self,
        check: &CheckSpec,
        planned: &PlannedCheck,
        window: Window,
    ) -> Result<u64> {
        let failed = |why: DataFusionError| run_failure(&why).within(Asked::from(check));
        let plan = if let Some(plan) = &planned.physical {
            reset_plan_states(plan.clone()).map_err(failed)?
        } else {
            let bound = planned.logical.clone().with_param_values(parameters(window));
            physical(&self.session, check, bound.map_err(failed)?).await?
        };
        let mut stream = execute_stream(plan, self.session.task_ctx()).map_err(failed)?;
        let mut rows: u64 = 0;
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            rows = rows.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
        }
        Ok(rows)
    }
}

async fn physical(
    session: &SessionContext,
    check: &CheckSpec,
    plan: LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    session.state().create_physical_plan(&plan).await.map_err(|why| {
        let asked = Asked::from(check);
        Error::new(Code::BadSql, format!("{asked}: {}", message::said(&why)))
    })
}

/// Refuses the window called `label` if a check that must find nothing found rows.
fn verdict(checks: &[CheckSpec], found: &[CheckCount], label: &str) -> Result<()> {
    let is_refused = |(check, found): &(&CheckSpec, &CheckCount)| {
        check.severity == Severity::Error && found.rows > 0
    };
    let said = |(check, found): (&CheckSpec, &CheckCount)| {
        let rows = match found.rows {
            1 => "1 row".to_owned(),
            CHECK_ROWS_MAX => format!("at least {CHECK_ROWS_MAX} rows"),
            rows => format!("{rows} rows"),
        };
        format!("{} found {rows}", Asked::from(check))
    };
    let said: Vec<_> = checks.iter().zip(found).filter(is_refused).map(said).collect();
    if said.is_empty() {
        return Ok(());
    }
    let text = format!("{} in the result of window {label}", said.join(", "));
    Err(Error::new(Code::CheckFailed, text)
        .note("the window was not published; its previous output, if any, stands"))
}

/// The same columns, of which a file need not say that they hold no null.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl fmt::Debug for PlanCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanCopy").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

/// An output as a table: the staged file of the window that is asked about.
#[derive(Debug)]
struct StagedTable {
    schema: SchemaRef,
    staged_at: Mutex<Option<PathBuf>>,
}

impl StagedTable {
    fn new(schema: SchemaRef) -> Self {
        Self { schema, staged_at: Mutex::default() }
    }

    fn put(&self, staged_at: Option<PathBuf>) {
        *self.staged_at.lock().unwrap_or_else(PoisonError::into_inner) = staged_at;
    }
}

impl PartitionStream for StagedTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let staged_at = self.staged_at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = staged_at
            .ok_or_else(|| ArrowError::InvalidArgumentError("no file is staged for it".to_owned()));
        let batches = match read.and_then(|path| read_staged(&path, &self.schema)) {
            Ok(batches) => batches,
            Err(why) => Box::new(std::iter::once(Err(why))),
        };
        let batches = batches.map(|batch| batch.map_err(DataFusionError::from));
        let stream = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream))
    }
}

/// Batches of rows, and what hinders.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// The columns of `schema` of the staged file at `path`, a batch at a time.
fn read_staged(path: &Path, schema: &SchemaRef) -> Result<Batches, ArrowError> {
    let file = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let places = schema.fields().iter().map(|field| file.schema().index_of(field.name()));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let columns = ProjectionMask::roots(file.parquet_schema(), places);
    let batches = file.with_projection(columns).build()?;
    let schema = schema.clone();
    Ok(Box::new(batches.map(move |batch| {
        let batch = batch?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &rows)
    })))
}
