//! Computes the windows of a batch: reads exactly the planned files, once, routes their rows to
//! windows, runs the steps over each window, and stages what is to be published.
//!
//! It decides nothing about what is due, never lists, and never touches a published object. It is
//! the only folder that names `DataFusion`.

mod aside;
mod check;
mod columns;
mod content;
mod decode;
mod gate;
mod judge;
mod message;
mod output;
mod put_aside;
mod query;
mod restore;
mod route;
mod session;
mod sql;
mod table;
mod trace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{FutureExt, Stream, StreamExt};
use tokio::task::JoinSet;

pub use aside::AsideExecutor;
pub use decode::decode;
pub use judge::RowFate;
pub use output::{Staging, stage_nothing};
pub use put_aside::{AsideRow, read_aside};
pub use query::{Prepared, prepare};
pub use restore::{Origin, stage_again};
pub use route::FoundRow;
pub use session::Engine;
pub use sql::is_same_query;
pub use table::{
    TableSchema, file_columns, gained_columns, has_columns, table_schema, widened_columns,
};
pub use trace::{Search, row_fates};

use crate::commit::{Batch, ComputedWindow};
use crate::error::{Code, Error};
use crate::hash::Sha256Stream;
use crate::id::Epoch;
use crate::ledger::{FileId, InputVersion, Ledger};
use crate::plan::DueWindow;
use crate::source::{Listed, SourceStores, marked};
use crate::spec::{ObjectSpec, PipelineSpec};
use crate::state::{Balance, BatchWindow, FailedWindow, InputsDigest, References, RowCounts};
use route::{Routed, WindowRows};

/// Computes batches of one pipeline.
#[derive(Debug)]
pub struct Executor<'a> {
    /// The pipeline.
    pub spec: &'a PipelineSpec,
    /// What runs queries.
    pub engine: &'a Engine,
    /// Its queries, planned; `None` as long as some source has no file that tells its columns.
    pub prepared: Option<Arc<Prepared>>,
    /// Where its inputs are.
    pub sources: &'a SourceStores,
    /// What its inputs were when they were listed.
    pub listed: &'a BTreeMap<FileId, Listed>,
    /// The versions of its reference tables.
    pub references: &'a References,
    /// Its admitted inputs.
    pub ledger: &'a Ledger,
    /// The plan of the windows that batches name, by start.
    pub due: BTreeMap<crate::time::EventTime, DueWindow>,
    /// Where to stage.
    pub staging: PathBuf,
    /// The writer's epoch, which staged files carry in their names.
    pub epoch: Epoch,
    /// Whether gates and checks may refuse a result; not where nobody is to see one.
    pub is_gated: bool,
}

/// What a window is computed from and to: all that its own task needs.
#[derive(Debug)]
struct WindowTask {
    spec: Arc<PipelineSpec>,
    begun: BatchWindow,
    due: DueWindow,
    inputs: InputsDigest,
    rows: BTreeMap<String, WindowRows>,
    staging: PathBuf,
    epoch: Epoch,
    is_gated: bool,
    max_object_bytes: u64,
}

impl Executor<'_> {
    /// The columns of `table` that are read.
    fn columns(&self, table: &str) -> Option<&SchemaRef> {
        self.prepared.as_ref()?.columns(table)
    }

    /// A result for each window of `batch`, in its order. Nothing that a reader can see is touched.
    /// What is not computed once `stopped` is over is [`FailedWindow::stopped`]; its query is
    /// dropped where it next waits.
    pub async fn compute(
        &self,
        batch: &Batch,
        stopped: impl Future<Output = ()> + Send,
    ) -> Vec<Result<ComputedWindow, FailedWindow>> {
        let due: Vec<&DueWindow> =
            batch.windows.iter().filter_map(|window| self.due.get(&window.start)).collect();
        if due.len() != batch.windows.len() {
            let bug = Error::new(Code::Bug, "a batch has a window that was not planned");
            return batch.windows.iter().map(|begun| Err(failed(begun, &bug))).collect();
        }
        let Some(prepared) = &self.prepared else {
            let text = format!("a source of pipeline {} has no file yet", self.spec.name);
            let error = Error::new(Code::SourceMissing, text);
            return batch.windows.iter().map(|begun| Err(failed(begun, &error))).collect();
        };
        let windows = batch.windows.iter();
        let mut results: Vec<_> =
            windows.map(|begun| Err(FailedWindow::stopped(begun.start, begun.end))).collect();
        let computing = async {
            let mut routed = route::route(self, &due).await;
            let mut runs = self.runs(prepared, batch, &due, &mut routed);
            while let Some((place, result)) = runs.next().await {
                results[place] = result;
            }
        };
        tokio::select! {
            biased;
            () = computing => {}
            () = stopped => {}
        }
        results
    }

    /// Runs the windows, as many at once as the engine allows, each in a task of its own: a panic
    /// fails its window and no other. Each result comes with its window's place.
    fn runs(
        &self,
        prepared: &Arc<Prepared>,
        batch: &Batch,
        due: &[&DueWindow],
        routed: &mut Routed,
    ) -> impl Stream<Item = (usize, Result<ComputedWindow, FailedWindow>)> + Unpin + use<> {
        let spec = Arc::new(self.spec.clone());
        let mut runs = Vec::with_capacity(due.len());
        for (place, (begun, due)) in batch.windows.iter().zip(due).enumerate() {
            let rows = routed.take(begun.start);
            let task = rows.map(|rows| self.task(spec.clone(), begun.clone(), due, rows));
            let run = run_alone(prepared.clone(), begun.clone(), task);
            runs.push(run.map(move |result| (place, result)));
        }
        futures::stream::iter(runs).buffer_unordered(self.engine.jobs())
    }

    fn task(
        &self,
        spec: Arc<PipelineSpec>,
        begun: BatchWindow,
        due: &DueWindow,
        rows: BTreeMap<String, WindowRows>,
    ) -> WindowTask {
        WindowTask {
            spec,
            begun,
            due: due.clone(),
            inputs: self.digest(due),
            rows,
            staging: self.staging.clone(),
            epoch: self.epoch,
            is_gated: self.is_gated,
            max_object_bytes: self.engine.max_object_bytes(),
        }
    }

    /// The inputs of a window in one line.
    fn digest(&self, due: &DueWindow) -> InputsDigest {
        let mut stream = Sha256Stream::default();
        let mut add = |table: &str, key: &str, version: Option<&InputVersion>, rows: u64| {
            let (size, mark) = version.map_or((0, ""), |version| (version.size, &version.mark));
            stream.update(format!("{table}\0{key}\0{size}\0{mark}\0{rows}\n").as_bytes());
        };
        let mut files: u64 = 0;
        for input in &due.inputs {
            let FileId { table, key } = &input.file;
            let version = self.ledger.file(&input.file).map(|file| &file.record.version);
            add(table, key, version, input.all());
            files = files.saturating_add(1);
        }
        for reference in &self.references.tables {
            for (key, version) in &reference.files {
                add(&reference.table, key, Some(version), 0);
                files = files.saturating_add(1);
            }
        }
        InputsDigest { files, sha256: stream.finish() }
    }
}

/// Runs a window in a task of its own, if its rows could be had.
async fn run_alone(
    prepared: Arc<Prepared>,
    begun: BatchWindow,
    task: Result<WindowTask, Error>,
) -> Result<ComputedWindow, FailedWindow> {
    let result = match task {
        Err(why) => Err(why),
        Ok(task) => {
            // In a set of its own: a task that nobody waits for any more is aborted.
            let mut alone = JoinSet::new();
            let handle = prepared.engine().handle();
            alone.spawn_on(marked(async move { run(&prepared, task).await }), &handle);
            match alone.join_next().await {
                Some(ended) => ended.unwrap_or_else(|panic| Err(panicked(&panic))),
                None => Err(Error::new(Code::Bug, "a task was started and is not there")),
            }
        }
    };
    result.map_err(|why| failed(&begun, &why))
}

/// Judges the rows of one window, runs the steps over those that are used, stages its objects, and
/// asks what must hold of them.
async fn run(prepared: &Prepared, task: WindowTask) -> Result<ComputedWindow, Error> {
    let Sheet { seen, quarantined, mut rows, balance } = sheet(prepared, &task)?;
    if task.is_gated {
        let label = task.spec.grid.label(task.due.window);
        gate::gate(&task.spec.quality, &label, &rows, &balance)?;
    }
    let query = prepared.bind(task.due.window, &seen).await?;
    let mut results = BTreeMap::new();
    let mut outputs = Vec::with_capacity(task.begun.outputs.len());
    for begun in &task.begun.outputs {
        let object = task.object(&begun.name)?;
        if let Some(table) = task.quarantined_table(&begun.name) {
            let own = quarantined.get(table).map(Vec::as_slice).unwrap_or_default();
            if begun.optional && own.is_empty() {
                continue;
            }
            let stream = prepared.quarantined(table, own)?;
            outputs.push(output::stage(&task.staging(), &object, begun, stream).await?);
            continue;
        }
        // Where no row is seen there is nothing to ask: what had an object gets one without rows.
        let stream = if task.due.sees_rows {
            query.stream(&begun.name)?
        } else {
            query.no_rows(&begun.name)?
        };
        let staged = output::stage(&task.staging(), &object, begun, stream).await?;
        rows.out = rows.out.saturating_add(staged.rows);
        results.insert(begun.name.clone(), staged.staged_at.clone());
        outputs.push(staged);
    }
    query.unbind();
    let checks = match prepared.checks() {
        Some(checks) if task.is_gated => checks.ask(task.due.window, &results).await?,
        _ => Vec::new(),
    };
    Ok(ComputedWindow { inputs: task.inputs, rows, balance, checks, outputs })
}

impl WindowTask {
    fn staging(&self) -> Staging<'_> {
        Staging {
            pipeline: &self.spec.name,
            start: self.begun.start,
            end: self.begun.end,
            folder: &self.staging,
            epoch: self.epoch,
            max_object_bytes: self.max_object_bytes,
        }
    }

    /// What is configured of the object called `name`.
    fn object(&self, name: &str) -> Result<ObjectSpec<'_>, Error> {
        let object = self.spec.objects().find(|object| object.name == name);
        object.ok_or_else(|| Error::new(Code::Bug, format!("no object is called {name}")))
    }

    /// The table whose quarantined rows the object called `name` holds.
    fn quarantined_table(&self, name: &str) -> Option<&str> {
        let mut quarantines = self.spec.quarantines.iter();
        quarantines.find(|quarantine| quarantine.name == name).map(|found| found.table.as_str())
    }
}

/// What became of the rows of one window.
#[derive(Debug, Default)]
struct Sheet {
    /// The rows that the queries see, by table.
    seen: BTreeMap<String, Vec<RecordBatch>>,
    /// The rows that were put aside, by table.
    quarantined: BTreeMap<String, Vec<RecordBatch>>,
    rows: RowCounts,
    balance: Balance,
}

/// Judges the rows of one window. A sheet that does not close is never published (IN-2).
fn sheet(prepared: &Prepared, task: &WindowTask) -> Result<Sheet, Error> {
    let mut sheet = Sheet::default();
    sheet.rows.late = task.due.late_rows;
    let (mut rules, mut files) = (Vec::new(), Vec::new());
    for source in &task.spec.sources {
        let table = &source.table;
        let of_table = task.due.inputs.iter().filter(|input| input.file.table == *table);
        let (own, margin) = of_table.fold((0_u64, 0_u64), |(own, margin), input| {
            (own.saturating_add(input.rows), margin.saturating_add(input.margin))
        });
        sheet.rows.input = sheet.rows.input.saturating_add(own);
        let pieces = task.rows.get(table).map(|rows| rows.pieces.as_slice()).unwrap_or_default();
        let Some(judge) = prepared.judge(table) else {
            sheet.rows.used = sheet.rows.used.saturating_add(own);
            sheet.rows.margin = sheet.rows.margin.saturating_add(margin);
            let batches = pieces.iter().map(|piece| piece.batch.clone());
            sheet.seen.insert(table.clone(), batches.collect());
            continue;
        };
        let judged = judge.judge(&task.spec.grid, task.due.window, pieces)?;
        sheet.rows.margin = sheet.rows.margin.saturating_add(judged.margin);
        for file in &judged.files {
            let RowCounts { used, quarantined, dropped, duplicate, .. } = &mut sheet.rows;
            *used = used.saturating_add(file.used);
            *quarantined = quarantined.saturating_add(file.quarantined);
            *dropped = dropped.saturating_add(file.dropped);
            *duplicate = duplicate.saturating_add(file.duplicate);
        }
        rules.extend(judged.rules);
        files.extend(judged.files);
        sheet.seen.insert(table.clone(), judged.seen);
        sheet.quarantined.insert(table.clone(), judged.quarantined);
    }
    sheet.balance = Balance::new(rules, files);
    if sheet.rows.closes() && sheet.balance.adds_up_to(&sheet.rows) {
        return Ok(sheet);
    }
    let label = task.spec.grid.label(task.due.window);
    Err(Error::new(Code::Bug, format!("the rows of window {label} do not add up"))
        .note("the window was not published; its previous output, if any, stands"))
}

fn failed(begun: &BatchWindow, why: &Error) -> FailedWindow {
    FailedWindow {
        start: begun.start,
        end: begun.end,
        code: why.code().to_string(),
        message: why.message().to_owned(),
    }
}

fn panicked(panic: &tokio::task::JoinError) -> Error {
    Error::new(Code::SqlFailed, format!("the query panicked: {panic}"))
        .note("its previous output, if any, stands; other windows are not touched")
}
