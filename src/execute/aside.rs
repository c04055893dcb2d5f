//! Rows that belong to no window, kept aside: whole, with the reason, one object for each source
//! file that has some. Which they are was decided when the file was admitted; here they are read
//! again, and must be as many.

use std::future::ready;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::judge::{Origins, quarantine_schema, with_origins};
use super::output::{self, Staging, stage_nothing};
use super::scan::Input;
use crate::commit::{Batch, ComputedWindow, StagedOutput};
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::Epoch;
use crate::ledger::{FileId, FileRecord, Ledger};
use crate::plan::DueAside;
use crate::source::{
    Judge, Listing, OpenFile, PartitionColumn, SourceStores, TimeColumn, Verdict, caught,
    open_listed, panicked, partition_columns,
};
use crate::spec::{ObjectSpec, OnExpired, OnNullTime, PipelineSpec, QuarantineSpec, SourceSpec};
use crate::state::{BatchOutput, FailedWindow, InputsDigest, RowCounts};
use crate::store::Store;
use crate::time::{EventTime, Span};
use crate::window::{Window, WindowGrid};

/// Reads the rows that are to be kept aside, and stages them.
#[derive(Debug)]
pub struct AsideExecutor<'a> {
    /// The pipeline.
    pub spec: &'a PipelineSpec,
    /// Where its inputs are.
    pub sources: &'a SourceStores,
    /// What its inputs were when they were listed.
    pub listed: &'a Listing,
    /// Its admitted inputs.
    pub ledger: &'a Ledger,
    /// What is due, in the order of the batch.
    pub due: &'a [DueAside],
    /// Where its objects are.
    pub outputs: Arc<dyn Store>,
    /// Where to stage.
    pub staging: PathBuf,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// A larger object is refused.
    pub max_object_bytes: u64,
    /// What went wrong, file by file.
    pub errors: Mutex<Vec<Error>>,
}

/// Why a row belongs to no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NoTime,
    Future(Span),
    /// It belonged to this one, and came too late.
    Expired(EventTime),
}

impl AsideExecutor<'_> {
    /// A result for each file of `batch`, in its order. Nothing that a reader can see is touched.
    pub async fn compute(&self, batch: &Batch) -> Vec<Result<ComputedWindow, FailedWindow>> {
        let mut results = Vec::with_capacity(batch.windows.len());
        for (begun, due) in batch.windows.iter().zip(self.due) {
            let result = match begun.outputs.first() {
                Some(object) => self.stage(due, object).await,
                None => Err(Error::new(Code::Bug, "a file has no object")),
            };
            results.push(result.map(computed).map_err(|why| {
                let code = why.code().to_string();
                let message = why.message().to_owned();
                self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                FailedWindow { start: begun.start, end: begun.end, code, message }
            }));
        }
        results
    }

    async fn stage(&self, due: &DueAside, begun: &BatchOutput) -> Result<StagedOutput> {
        let bug =
            |what: &str| Error::new(Code::Bug, format!("{what} of {} is not known", due.path));
        let name = QuarantineSpec::name_of(&due.file.table);
        let mut objects = self.spec.objects();
        let object = objects.find(|object| object.name == name).ok_or_else(|| bug("the form"))?;
        let staging = Staging {
            pipeline: &self.spec.name,
            start: EventTime::FIRST,
            end: EventTime::END,
            folder: &self.staging,
            epoch: self.epoch,
            max_object_bytes: self.max_object_bytes,
        };
        if due.rows == 0 {
            return self.stage_nothing(due, &staging, &object, begun).await;
        }
        let rows = Rows::open(self, &due.file).await?;
        let file = rows.file.name();
        let staged = caught(rows.stage(&staging, &object, begun)).await;
        let staged = staged.unwrap_or_else(|| Err(panicked(&file)))?;
        if staged.rows == due.rows {
            return Ok(staged);
        }
        let text = format!(
            "{file} has {} rows that belong to no window, and had {} before",
            staged.rows, due.rows
        );
        Err(Error::new(Code::InputChanged, text))
    }
}

impl AsideExecutor<'_> {
    /// The columns that folders tell of the files of `table`.
    fn folders(&self, table: &str) -> Vec<PartitionColumn> {
        let keys = self.listed.keys(table);
        let source = self.spec.source(table);
        source.map_or_else(Vec::new, |source| partition_columns(source, keys))
    }

    /// Stages an object without rows. Its columns are those of the object that it replaces; should
    /// that be gone or damaged, those of the file.
    async fn stage_nothing(
        &self,
        due: &DueAside,
        staging: &Staging<'_>,
        object: &ObjectSpec<'_>,
        begun: &BatchOutput,
    ) -> Result<StagedOutput> {
        match stage_nothing(staging, object, begun, &self.outputs).await {
            Err(why) if why.code() == Code::RevisionGone => {}
            staged => return staged,
        }
        // Best effort: what was staged before it failed is in the way.
        let _ = std::fs::remove_file(staging.staged_at(begun));
        let file = match (self.sources.get(&due.file.table), self.listed.get(&due.file)) {
            (Some(store), Some(listed)) => open_listed(store, listed).await.ok(),
            _ => None,
        };
        let own = file.map_or_else(|| Arc::new(Schema::empty()), |file| file.schema().clone());
        let own = with_folders(&own, &self.folders(&due.file.table));
        let none = futures::stream::empty();
        let rows = Box::pin(RecordBatchStreamAdapter::new(quarantine_schema(&own), none));
        output::stage(staging, object, begun, rows).await
    }
}

/// The columns `own` of a file, and those of `folders` that it has not itself.
fn with_folders(own: &SchemaRef, folders: &[PartitionColumn]) -> SchemaRef {
    let more = folders.iter().filter(|column| own.column_with_name(&column.name).is_none());
    let more = more.map(|column| Arc::new(column.field()));
    Arc::new(Schema::new(own.fields().iter().cloned().chain(more).collect::<Vec<_>>()))
}

fn computed(staged: StagedOutput) -> ComputedWindow {
    ComputedWindow {
        inputs: InputsDigest { files: 1, sha256: Sha256::ZERO },
        rows: RowCounts::default(),
        balance: crate::state::Balance::default(),
        checks: Vec::new(),
        outputs: vec![staged],
    }
}

/// A file that is about to be read for its rows that belong to no window.
struct Rows {
    file: OpenFile,
    source: SourceSpec,
    grid: WindowGrid,
    key: Arc<str>,
    /// Where the time of a row is; `None`: all rows have the one beside.
    column: Option<TimeColumn>,
    all_at: Option<EventTime>,
    judge: Judge,
    expired: Vec<Window>,
    folders: Vec<PartitionColumn>,
    /// The columns of a row: those of the file, and those that folders tell.
    whole: SchemaRef,
}

impl Rows {
    async fn open(executor: &AsideExecutor<'_>, id: &FileId) -> Result<Self> {
        let AsideExecutor { spec, sources, listed, ledger, .. } = executor;
        let input = Input::find(spec, sources, listed, ledger, id)?;
        let (source, record, file) = (&input.source, &input.record, input.open().await?);
        let column = match &source.event_time {
            Some(_) => Some(TimeColumn::find(source, file.schema(), &file.name())?),
            None => None,
        };
        let folders = executor.folders(&id.table);
        let whole = with_folders(file.schema(), &folders);
        super::judge::check_names(source, &whole)?;
        Ok(Self {
            column,
            all_at: record.event_range.map(|(first, _)| first),
            judge: Judge::new(record.arrived_at, source.max_future),
            expired: expired_cells(spec, source, record),
            source: source.clone(),
            grid: spec.grid.clone(),
            key: Arc::from(id.key.as_str()),
            file,
            folders,
            whole,
        })
    }

    async fn stage(
        self,
        staging: &Staging<'_>,
        object: &ObjectSpec<'_>,
        begun: &BatchOutput,
    ) -> Result<StagedOutput> {
        let (reader, metadata) = (self.file.reader(), self.file.metadata.clone());
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
        let stream = builder.build().map_err(|why| self.file.failure(&why))?;
        let schema = quarantine_schema(&self.whole);
        let failure: Arc<Mutex<Option<Error>>> = Arc::default();
        let failed = failure.clone();
        let rows = stream.scan(0_u64, move |first_row, batch| {
            let batch = batch.map_err(|why| self.file.failure(&why));
            let first = *first_row;
            let batch = batch.and_then(|batch| {
                let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
                *first_row = first_row.saturating_add(rows);
                self.aside(&batch, first)
            });
            ready(Some(batch.map_err(|why| {
                let text = why.message().to_owned();
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                DataFusionError::Execution(text)
            })))
        });
        let rows = rows.filter_map(|batch| ready(batch.transpose()));
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        let staged = output::stage(staging, object, begun, rows).await;
        let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        staged.map_err(|why| failure.unwrap_or(why))
    }

    /// The rows of `batch`, the first of which is row `first_row` of the file, that belong to no
    /// window; `None` if there are none.
    fn aside(&self, batch: &RecordBatch, first_row: u64) -> Result<Option<RecordBatch>> {
        let whys: Vec<Option<Why>> = match &self.column {
            Some(column) => {
                let micros = column.micros(batch.column(column.index))?;
                micros.into_iter().map(|micros| self.why(micros)).collect()
            }
            None => vec![self.why(self.all_at.map(EventTime::micros)); batch.num_rows()],
        };
        let mask: BooleanArray = whys.iter().map(|why| Some(why.is_some())).collect();
        if mask.true_count() == 0 {
            return Ok(None);
        }
        let own = filter_record_batch(batch, &mask);
        let own =
            own.map_err(|why| Error::new(Code::Bug, format!("rows cannot be taken: {why}")))?;
        let own = self.with_folders(&own)?;
        let mut origins = Origins::new(self.source.name_of(&self.key));
        for (row, why) in (0_u64..).zip(&whys) {
            let Some(why) = why else { continue };
            let (rule, reason) = why.said();
            let window = match why {
                Why::Expired(start) => Some(*start),
                Why::NoTime | Why::Future(_) => None,
            };
            origins.add(rule, [rule], &reason, first_row.saturating_add(row), window);
        }
        with_origins(&own, origins).map(Some)
    }

    /// `own` rows of the file, with the values that its folders tell.
    fn with_folders(&self, own: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = own.columns().to_vec();
        for field in self.whole.fields().iter().skip(own.num_columns()) {
            let mut folders = self.folders.iter();
            let column = folders.find(|column| column.name == *field.name());
            let column = column.map(|column| column.values(&self.key, own.num_rows()));
            columns.extend(column.transpose()?);
        }
        RecordBatch::try_new(self.whole.clone(), columns)
            .map_err(|why| Error::new(Code::Bug, format!("folders do not fit: {why}")))
    }

    /// Why a row with this event time belongs to no window, if it is to be kept aside for that.
    fn why(&self, micros: Option<i64>) -> Option<Why> {
        let without_time = self.source.on_null_time == OnNullTime::Quarantine;
        match self.judge.verdict(micros) {
            Verdict::NoTime => without_time.then_some(Why::NoTime),
            Verdict::Future => without_time.then_some(Why::Future(self.source.max_future)),
            Verdict::Usable(at) if self.source.on_expired == OnExpired::Quarantine => {
                let place = self.expired.partition_point(|expired| expired.end() <= at);
                let is_expired = self.expired.get(place).is_some_and(|cell| cell.contains(at));
                let home = self.grid.window_at(at).filter(|_| is_expired);
                home.map(|home| Why::Expired(home.start()))
            }
            Verdict::Usable(_) => None,
        }
    }
}

impl Why {
    /// What it is called, and in words.
    fn said(self) -> (&'static str, String) {
        match self {
            Self::NoTime => {
                (QuarantineSpec::NULL_TIME, "it has no event time that can be read".to_owned())
            }
            Self::Future(ahead) => (
                QuarantineSpec::FUTURE,
                format!("its event time is more than {ahead} ahead of its file"),
            ),
            Self::Expired(_) => {
                (QuarantineSpec::EXPIRED, "it came later than `allowed_lateness`".to_owned())
            }
        }
    }
}

/// What came too late when the file was admitted, ascending.
fn expired_cells(spec: &PipelineSpec, source: &SourceSpec, record: &FileRecord) -> Vec<Window> {
    let cells = record.expired.iter();
    cells.filter_map(|(cell, _)| source.margins.cell_at(&spec.grid, *cell)).collect()
}
