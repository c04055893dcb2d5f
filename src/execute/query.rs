//! The steps of a pipeline, planned once and run once per window.
//!
//! Tables are [`TableSlot`]s: leaf nodes that hold no rows of their own and tell the planner
//! nothing of them, so that no plan depends on a window. Before a window runs, its rows are put
//! into the slots of one copy of the plans; each window that runs at the same time has a copy of
//! its own. A query that uses `$window_start` or `$window_end` is planned per window, with both
//! bound as values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{DataFrame, SessionContext, col};

use super::check::Checks;
use super::judge::{self, Judge};
use super::message::{self, Asked};
use super::session::Engine;
use super::sql::{bug, names_window, plan_query, quoted, quoted_column};
use crate::error::{Code, Error, Result};
use crate::source::ReferenceTable;
use crate::spec::{OutputSpec, PipelineSpec};
use crate::time::EventTime;
use crate::window::Window;

/// The queries of a pipeline, ready to run.
#[derive(Debug)]
pub struct Prepared {
    engine: Engine,
    spec: PipelineSpec,
    /// Per table: the columns that the queries see, and the event time.
    tables: BTreeMap<String, SchemaRef>,
    /// How the rows of tables are judged of which not every row need be used.
    judges: BTreeMap<String, Judge>,
    /// The rows of reference tables, the same for every window.
    references: BTreeMap<String, Vec<RecordBatch>>,
    /// Whether the queries name the window, so that they are planned for each.
    names_window: bool,
    /// What is asked of results; `None` if nothing is.
    checks: Option<Checks>,
    idle: Mutex<Vec<PlanCopy>>,
}

/// One copy of the plans, for one window at a time.
struct PlanCopy {
    session: SessionContext,
    slots: BTreeMap<String, Arc<TableSlot>>,
    logical: BTreeMap<String, LogicalPlan>,
    physical: BTreeMap<String, Arc<dyn ExecutionPlan>>,
}

/// Plans the queries of `spec` over sources of these schemas and over these reference tables.
///
/// # Errors
/// If a step is not a query, cannot be planned, or would not give the same answer twice.
pub async fn prepare(
    engine: &Engine,
    spec: &PipelineSpec,
    sources: &BTreeMap<String, SchemaRef>,
    references: Vec<ReferenceTable>,
) -> Result<Prepared> {
    let mut schemas = sources.clone();
    schemas.extend(references.iter().map(|table| (table.table.clone(), table.schema.clone())));
    let whole = PlanCopy::plan(engine, spec, &schemas).await?;
    let mut tables = BTreeMap::new();
    for (table, schema) in &schemas {
        let event_time = spec.source(table).and_then(|source| source.event_time.clone());
        let plans = whole.logical.values();
        let needed = needed_columns(&whole.session, plans, table, event_time, schema)?;
        tables.insert(table.clone(), needed);
    }
    let mut judges = BTreeMap::new();
    for source in spec.sources.iter().filter(|source| source.is_judged()) {
        let table = source.table.as_str();
        let (Some(all), Some(seen)) = (schemas.get(table), tables.get(table)) else { continue };
        judges.insert(table.to_owned(), Judge::new(&whole.session, source, all, seen)?);
    }
    let mut rows = BTreeMap::new();
    for table in &references {
        let needed = tables.get(&table.table).unwrap_or(&table.schema);
        rows.insert(table.table.clone(), projected(table, needed)?);
    }
    let names_window = whole.names_window(spec)?;
    let mut prepared = Prepared {
        engine: engine.clone(),
        spec: spec.clone(),
        tables,
        judges,
        references: rows,
        names_window,
        checks: None,
        idle: Mutex::default(),
    };
    let copy = prepared.take().await?;
    if !spec.checks.is_empty() {
        let outputs = prepared.output_schemas(&copy).await?;
        prepared.checks = Some(Checks::new(engine, spec, outputs, &references).await?);
    }
    prepared.give_back(copy);
    Ok(prepared)
}

impl Prepared {
    /// The columns of `table` that are read.
    #[must_use]
    pub fn columns(&self, table: &str) -> Option<&SchemaRef> {
        self.judges.get(table).map(Judge::read).or_else(|| self.tables.get(table))
    }

    /// How the rows of `table` are judged; `None` if all of them are used.
    pub(super) fn judge(&self, table: &str) -> Option<&Judge> {
        self.judges.get(table)
    }

    /// The rows of `table` that were put aside, in their order.
    pub(super) fn quarantined(
        &self,
        table: &str,
        rows: &[RecordBatch],
    ) -> Result<SendableRecordBatchStream> {
        let schema = match (self.judges.get(table), self.tables.get(table)) {
            (Some(judge), _) => judge.quarantine_schema(),
            // A window has had some, and no rule puts any aside now.
            (None, Some(seen)) => judge::quarantine_schema(seen),
            (None, None) => return Err(Error::new(Code::Bug, format!("{table} is no table"))),
        };
        let rows = futures::stream::iter(rows.iter().cloned().map(Ok).collect::<Vec<_>>());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// What is asked of results; `None` if nothing is.
    pub(super) fn checks(&self) -> Option<&Checks> {
        self.checks.as_ref()
    }

    /// The columns that each output is staged with.
    async fn output_schemas(&self, copy: &PlanCopy) -> Result<BTreeMap<String, SchemaRef>> {
        // Its values are of no account: a parameter has the same type in every window.
        let any = self.spec.grid.window_at(EventTime::from_micros(0));
        let mut schemas = BTreeMap::new();
        for output in &self.spec.outputs {
            let plan = match copy.physical.get(&output.name) {
                Some(plan) => plan.clone(),
                None => copy.plan_output(output, any).await?,
            };
            schemas.insert(output.name.clone(), plan.schema());
        }
        Ok(schemas)
    }

    async fn take(&self) -> Result<PlanCopy> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(copy) = idle {
            return Ok(copy);
        }
        let mut copy = PlanCopy::plan(&self.engine, &self.spec, &self.tables).await?;
        if !self.names_window {
            for output in &self.spec.outputs {
                let plan = copy.plan_output(output, None).await?;
                copy.physical.insert(output.name.clone(), plan);
            }
        }
        Ok(copy)
    }

    fn give_back(&self, copy: PlanCopy) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
    }

    /// A copy of the plans that sees the rows of `window`.
    ///
    /// # Errors
    /// If the queries must be planned for this window and cannot be.
    pub(super) async fn bind(
        &self,
        window: Window,
        rows: &BTreeMap<String, Vec<RecordBatch>>,
    ) -> Result<Bound<'_>> {
        let mut copy = self.take().await?;
        if self.names_window {
            for output in &self.spec.outputs {
                let plan = copy.plan_output(output, Some(window)).await?;
                copy.physical.insert(output.name.clone(), plan);
            }
        }
        for (table, slot) in &copy.slots {
            let own = rows.get(table).or(self.references.get(table));
            slot.put(own.cloned().unwrap_or_default());
        }
        Ok(Bound { prepared: self, copy })
    }
}

/// The rows of a reference table with no more than the columns of `needed`.
pub(super) fn projected(table: &ReferenceTable, needed: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let places = needed.fields().iter().map(|field| table.schema.index_of(field.name()));
    let places: Vec<usize> = places.collect::<Result<_, _>>().map_err(|why| bug(&why.into()))?;
    let batches = table.batches.iter().map(|batch| batch.project(&places));
    batches.collect::<Result<_, _>>().map_err(|why| bug(&why.into()))
}

/// Plans that see the rows of one window.
#[derive(Debug)]
pub(super) struct Bound<'a> {
    prepared: &'a Prepared,
    copy: PlanCopy,
}

impl Bound<'_> {
    /// The rows of an output, in its order.
    pub(super) fn stream(&self, output: &str) -> Result<SendableRecordBatchStream> {
        let plan = self.plan_of(output)?;
        let plan = reset_plan_states(plan.clone()).map_err(|why| run_failure(&why))?;
        execute_stream(plan, self.copy.session.task_ctx()).map_err(|why| run_failure(&why))
    }

    /// An output without rows.
    pub(super) fn no_rows(&self, output: &str) -> Result<SendableRecordBatchStream> {
        let schema = self.plan_of(output)?.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::empty())))
    }

    fn plan_of(&self, output: &str) -> Result<&Arc<dyn ExecutionPlan>> {
        let plan = self.copy.physical.get(output);
        plan.ok_or_else(|| Error::new(Code::Bug, format!("output {output} was not planned")))
    }

    /// Frees the rows. A copy whose window failed is not given back: it is planned anew.
    pub(super) fn unbind(self) {
        self.copy.slots.values().for_each(|slot| slot.put(Vec::new()));
        self.prepared.give_back(self.copy);
    }
}

/// What a sort says that cannot go on.
const NO_MEMORY: &str = "Not enough memory";

/// The error for a query that failed while it ran.
pub(super) fn run_failure(why: &datafusion::error::DataFusionError) -> Error {
    use datafusion::error::DataFusionError::ResourcesExhausted;
    let said = message::said(why);
    // A sort says so in words alone.
    let is_memory = matches!(why.find_root(), ResourcesExhausted(_)) || said.contains(NO_MEMORY);
    let error = if is_memory {
        // What follows names settings of the library, which nobody can set.
        let said = said.split(" Consider ").next().unwrap_or_default();
        Error::new(Code::WindowTooLarge, format!("the query does not fit in memory: {said}"))
            .hint("raise `memory_limit` in [engine], or use smaller windows")
    } else {
        Error::new(Code::SqlFailed, format!("the query failed: {said}"))
    };
    error.note("the window's previous output, if any, stands")
}

impl fmt::Debug for PlanCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanCopy").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl PlanCopy {
    /// Plans the steps in order; each sees the tables and the steps before it.
    async fn plan(
        engine: &Engine,
        spec: &PipelineSpec,
        tables: &BTreeMap<String, SchemaRef>,
    ) -> Result<Self> {
        let session = engine.session();
        let mut slots = BTreeMap::new();
        for (table, schema) in tables {
            let slot = Arc::new(TableSlot::new(schema.clone()));
            register(&session, table, slot.clone())?;
            slots.insert(table.clone(), slot);
        }
        let mut logical = BTreeMap::new();
        for step in &spec.steps {
            let frame = plan_query(&session, Asked::from(step)).await?;
            logical.insert(step.name.clone(), frame.logical_plan().clone());
            session
                .register_table(quoted(&step.name), frame.into_view())
                .map_err(|why| bug(&why))?;
        }
        Ok(Self { session, slots, logical, physical: BTreeMap::new() })
    }

    /// Whether any step names `$window_start` or `$window_end`.
    fn names_window(&self, spec: &PipelineSpec) -> Result<bool> {
        let mut any = false;
        for step in &spec.steps {
            let Some(plan) = self.logical.get(&step.name) else { continue };
            any |= names_window(&Asked::from(step), plan)?;
        }
        Ok(any)
    }

    /// The plan of an output: its step's rows in a fixed order.
    async fn plan_output(
        &self,
        output: &OutputSpec,
        window: Option<Window>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let frame = self.session.table(quoted(&output.name)).await.map_err(|why| bug(&why))?;
        let frame = sorted(frame, output)?;
        let (state, plan) = frame.into_parts();
        let plan = match window {
            Some(window) => plan.with_param_values(parameters(window)).map_err(|why| bug(&why))?,
            None => plan,
        };
        state.create_physical_plan(&plan).await.map_err(|why| {
            Error::new(Code::BadSql, format!("step `{}`: {}", output.name, message::said(&why)))
        })
    }
}

/// Lets queries see the rows of `slot` as `table`.
pub(super) fn register(
    session: &SessionContext,
    table: &str,
    slot: Arc<dyn PartitionStream>,
) -> Result<()> {
    let provider = StreamingTable::try_new(slot.schema().clone(), vec![slot]);
    let provider = provider.map_err(|why| bug(&why))?;
    session.register_table(quoted(table), Arc::new(provider)).map_err(|why| bug(&why))?;
    Ok(())
}

/// The columns of a table that any of `plans` needs, in the file's order, and its event time.
pub(super) fn needed_columns<'a>(
    session: &SessionContext,
    plans: impl IntoIterator<Item = &'a LogicalPlan>,
    table: &str,
    event_time: Option<String>,
    schema: &SchemaRef,
) -> Result<SchemaRef> {
    let mut names = BTreeSet::from_iter(event_time);
    for plan in plans {
        let plan = session.state().optimize(plan).map_err(|why| bug(&why))?;
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && scan.table_name.table() == table
            {
                let fields = scan.projected_schema.fields().iter();
                names.extend(fields.map(|field| field.name().clone()));
                let used = scan.filters.iter().flat_map(Expr::column_refs);
                names.extend(used.map(|column| column.name.clone()));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(|why| bug(&why))?;
    }
    if names.is_empty() {
        // Rows without a column cannot be counted everywhere.
        names.extend(schema.fields().first().map(|field| field.name().clone()));
    }
    let needed = schema.fields().iter().filter(|field| names.contains(field.name()));
    Ok(Arc::new(Schema::new(needed.cloned().collect::<Vec<_>>())))
}

/// Rows in the order of `sort_by`, then of all other columns: the same rows give the same bytes.
fn sorted(frame: DataFrame, output: &OutputSpec) -> Result<DataFrame> {
    let columns: Vec<String> =
        frame.schema().fields().iter().map(|field| field.name().clone()).collect();
    if let Some(unknown) = output.sort_by.iter().find(|name| !columns.contains(name)) {
        let text = format!(
            "output `{}` is to be sorted by `{unknown}`, which it does not have",
            output.name
        );
        return Err(Error::new(Code::BadValue, text)
            .note(format!("its columns are: {}", columns.join(", ")))
            .hint("name columns of the step in `sort_by`"));
    }
    let others = columns.iter().filter(|name| !output.sort_by.contains(name));
    let sortable = |name: &&String| {
        let field = frame.schema().field_with_unqualified_name(name);
        field.is_ok_and(|field| !field.data_type().is_nested())
    };
    let order = output.sort_by.iter().chain(others.filter(sortable));
    let order = order.map(|name| col(quoted_column(name)).sort(true, true)).collect();
    frame.sort(order).map_err(|why| bug(&why))
}

/// The instants between which the window lies, as SQL sees them.
pub(super) fn parameters(window: Window) -> ParamValues {
    let instant =
        |at: EventTime| ScalarValue::TimestampMicrosecond(Some(at.micros()), Some("UTC".into()));
    let values = [("window_start", instant(window.start())), ("window_end", instant(window.end()))];
    ParamValues::from(values.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// A table whose rows are put in before each run.
#[derive(Debug)]
pub(super) struct TableSlot {
    schema: SchemaRef,
    batches: Mutex<Vec<RecordBatch>>,
}

impl TableSlot {
    /// A table with these columns, and no rows yet.
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, batches: Mutex::default() }
    }

    pub(super) fn put(&self, batches: Vec<RecordBatch>) {
        *self.batches.lock().unwrap_or_else(PoisonError::into_inner) = batches;
    }
}

impl PartitionStream for TableSlot {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = futures::stream::iter(batches.into_iter().map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream))
    }
}
