//! Computes one window from its rows: judges them, runs the steps over those that are used, stages
//! the objects, and asks what must hold of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::even::Even;
use super::scan::Piece;
use super::{Executor, Prepared, Staging, gate, output};
use crate::commit::ComputedWindow;
use crate::error::{Code, Error};
use crate::hash::Sha256Stream;
use crate::id::Epoch;
use crate::ledger::{FileId, InputVersion};
use crate::plan::DueWindow;
use crate::spec::{ObjectSpec, PipelineSpec};
use crate::state::{Balance, BatchWindow, FailedWindow, InputsDigest, RowCounts};

/// What a window is computed from and to, but for its rows: all that its own task needs.
#[derive(Debug)]
pub(super) struct WindowTask {
    spec: Arc<PipelineSpec>,
    begun: BatchWindow,
    due: DueWindow,
    inputs: InputsDigest,
    staging: PathBuf,
    epoch: Epoch,
    is_gated: bool,
    max_object_bytes: u64,
}

impl WindowTask {
    /// The task of the window that was begun as `begun` and planned as `due`.
    pub(super) fn new(
        executor: &Executor<'_>,
        spec: Arc<PipelineSpec>,
        begun: BatchWindow,
        due: DueWindow,
    ) -> Self {
        Self {
            spec,
            begun,
            inputs: digest(executor, &due),
            due,
            staging: executor.staging.clone(),
            epoch: executor.epoch,
            is_gated: executor.is_gated,
            max_object_bytes: executor.engine.max_object_bytes(),
        }
    }

    /// Judges the rows, runs the steps over those that are used, stages the objects, and asks what
    /// must hold of them.
    pub(super) async fn run(
        self,
        prepared: &Prepared,
        rows: BTreeMap<String, Vec<Piece>>,
    ) -> Result<ComputedWindow, Error> {
        let task = self;
        let Sheet { seen, quarantined, mut rows, balance } = sheet(prepared, &task, rows)?;
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
            // Where no row is seen there is nothing to ask: what had an object gets one without.
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

    /// Where the objects of the window are staged.
    pub(super) fn staged(&self) -> Vec<PathBuf> {
        let staging = self.staging();
        self.begun.outputs.iter().map(|begun| staging.staged_at(begun)).collect()
    }

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
fn sheet(
    prepared: &Prepared,
    task: &WindowTask,
    mut rows: BTreeMap<String, Vec<Piece>>,
) -> Result<Sheet, Error> {
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
        let pieces = rows.remove(table).unwrap_or_default();
        let Some(judge) = prepared.judge(table) else {
            sheet.rows.used = sheet.rows.used.saturating_add(own);
            sheet.rows.margin = sheet.rows.margin.saturating_add(margin);
            sheet.seen.insert(table.clone(), evened(pieces)?);
            continue;
        };
        let judged = judge.judge(&task.spec.grid, task.due.window, &pieces)?;
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

/// All rows of `pieces`.
fn evened(pieces: Vec<Piece>) -> Result<Vec<RecordBatch>, Error> {
    let Some(first) = pieces.first() else { return Ok(Vec::new()) };
    let mut even = Even::new(&first.batch.schema());
    pieces.into_iter().try_for_each(|piece| even.add(piece.batch, None))?;
    even.finish()
}

/// What is said of a window that was begun and cannot be computed.
pub(super) fn failed(begun: &BatchWindow, why: &Error) -> FailedWindow {
    FailedWindow {
        start: begun.start,
        end: begun.end,
        code: why.code().to_string(),
        message: why.message().to_owned(),
    }
}

/// The inputs of a window in one line.
fn digest(executor: &Executor<'_>, due: &DueWindow) -> InputsDigest {
    let mut stream = Sha256Stream::default();
    let mut add = |table: &str, key: &str, version: Option<&InputVersion>, rows: u64| {
        let (size, mark) = version.map_or((0, ""), |version| (version.size, &version.mark));
        stream.update(format!("{table}\0{key}\0{size}\0{mark}\0{rows}\n").as_bytes());
    };
    let mut files: u64 = 0;
    for input in &due.inputs {
        let FileId { table, key } = &input.file;
        let version = executor.ledger.file(&input.file).map(|file| &file.record.version);
        add(table, key, version, input.all());
        files = files.saturating_add(1);
    }
    for reference in &executor.references.tables {
        for (key, version) in &reference.files {
            add(&reference.table, key, Some(version), 0);
            files = files.saturating_add(1);
        }
    }
    InputsDigest { files, sha256: stream.finish() }
}
