//! A project with its stores at hand, and what can be known of a pipeline without writing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::shape;
use crate::clock::Clock;
use crate::commit::Identity;
use crate::error::{Code, Error, Result};
use crate::execute::{Engine, Prepared, TableSchema, is_same_query, prepare, table_schema};
use crate::id::{Generation, PipelineName, RunId, Seq};
use crate::ledger::{FileId, Ledger};
use crate::log::{StateLog, read_ledger};
use crate::plan::{Facts, Plan, admission, judge_lateness, plan};
use crate::source::{Discovery, SourceStore, SourceStores, discover, open, partition_columns};
use crate::spec::{PipelineSpec, ProjectSpec, SourceSpec, StepSpec};
use crate::state::{Query, QueryStep, Request, RowCounts, SegmentRef, State};
use crate::store::{Fault, FaultyStore, LocalStore, Store, layout};

/// A project and who works on it.
#[derive(Debug)]
pub struct Project {
    /// What its configuration says.
    pub spec: ProjectSpec,
    /// Where time and ids come from.
    pub clock: Clock,
    /// The process and the run.
    pub identity: Identity,
    /// What runs queries.
    pub engine: Engine,
    /// Tests: how stores fail.
    fault: Option<Arc<Fault>>,
}

impl Project {
    /// A project as `spec` says.
    ///
    /// # Errors
    /// If the engine cannot be set up.
    pub fn new(spec: ProjectSpec, clock: Clock) -> Result<Self> {
        let engine = Engine::new(&spec.engine)?;
        let identity = Identity { who: crate::process::current(), run: RunId(clock.new_id()) };
        Ok(Self { spec, clock, identity, engine, fault: None })
    }

    /// The same project with stores that fail as `fault` says; for tests.
    #[must_use]
    pub fn with_fault(mut self, fault: Arc<Fault>) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The pipeline named `name`.
    #[must_use]
    pub fn pipeline(&self, name: &PipelineName) -> Option<&PipelineSpec> {
        self.spec.pipelines.iter().find(|pipeline| pipeline.name == *name)
    }

    /// The folder that holds the state of a pipeline.
    #[must_use]
    pub fn state_folder(&self, name: &PipelineName) -> PathBuf {
        self.spec.state.join(name.as_str())
    }

    /// The folder where a pipeline stages its files.
    #[must_use]
    pub fn staging(&self, name: &PipelineName) -> PathBuf {
        self.state_folder(name).join(layout::STAGING)
    }

    fn store(&self, root: PathBuf, pipeline: &PipelineName, label: String) -> Arc<dyn Store> {
        let store = Arc::new(LocalStore::new(root, self.staging(pipeline), label, self.clock));
        match &self.fault {
            Some(fault) => Arc::new(FaultyStore::new(store, fault.clone())),
            None => store,
        }
    }

    /// The log of a pipeline.
    #[must_use]
    pub fn log(&self, name: &PipelineName) -> StateLog {
        let folder = self.state_folder(name);
        let label = folder.strip_prefix(&self.spec.root).unwrap_or(&folder).display().to_string();
        StateLog::new(self.store(folder, name, label), name.clone())
    }

    /// The store of the pipeline's outputs.
    #[must_use]
    pub fn outputs(&self, name: &PipelineName) -> Arc<dyn Store> {
        self.store(self.spec.root.clone(), name, String::new())
    }

    /// The stores of the pipeline's sources.
    #[must_use]
    pub fn sources(&self, spec: &PipelineSpec) -> SourceStores {
        let store = |source: &SourceSpec| {
            let store = self.store(source.path.clone(), &spec.name, source.label.clone());
            (source.table.clone(), SourceStore::new(store))
        };
        spec.sources.iter().map(store).collect()
    }

    /// Reads what the log says of a pipeline.
    ///
    /// # Errors
    /// If the log or its ledger is damaged or cannot be read; if it has another shape.
    pub async fn open(&self, spec: &PipelineSpec) -> Result<Opened> {
        let log = self.log(&spec.name);
        let state = log.read().await?;
        let ledger = match &state {
            Some(state) => {
                shape::check(spec, state)?;
                read_ledger(log.store().as_ref(), state).await?
            }
            None => Ledger::default(),
        };
        Ok(Opened { log, state, ledger: Arc::new(ledger) })
    }

    /// What a run would do now. Nothing is written.
    ///
    /// # Errors
    /// As [`Self::open`], and if a source cannot be listed.
    pub async fn foresee(
        &self,
        session: &Session<'_>,
        opened: &Opened,
        request: Option<Request>,
    ) -> Result<Foreseen> {
        let spec = session.spec;
        let mut discovery = discover(spec, &session.sources, &opened.ledger).await?;
        let before = opened.state.clone();
        let before = before.unwrap_or_else(|| State::before_first_run(spec.name.clone()));
        let records = std::mem::take(&mut discovery.records);
        discovery.records = judge_lateness(spec, &before, &opened.ledger, records)?;
        let (state, ledger) = foresee_admission(spec, before, &opened.ledger, &discovery)?;
        let state = match request {
            Some(request) => state.foresee_request(request),
            None => state,
        };
        let plan = plan(&Facts {
            spec,
            state: &state,
            ledger: &ledger,
            missing: &discovery.missing,
            is_held: !discovery.unreadable.is_empty(),
            outdated_queries: &outdated_queries(spec, &state),
        });
        Ok(Foreseen { discovery, state, ledger, plan })
    }
}

/// A pipeline under one command: its stores, and what they read.
#[derive(Debug)]
pub struct Session<'a> {
    /// The pipeline.
    pub spec: &'a PipelineSpec,
    /// The stores of its sources.
    pub sources: SourceStores,
}

impl<'a> Session<'a> {
    /// A command on `spec`.
    #[must_use]
    pub fn new(project: &Project, spec: &'a PipelineSpec) -> Self {
        Self { spec, sources: project.sources(spec) }
    }

    /// Bytes read from the sources so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.sources.values().fold(0, |sum, store| sum.saturating_add(store.bytes_read()))
    }

    /// Plans the queries over the columns of the first file of each source: the first that was
    /// admitted, so that a file that comes later does not change what a query sees.
    ///
    /// # Errors
    /// If a file cannot be read, or a query cannot be planned. `None` if a source has no file yet.
    pub async fn prepare(
        &self,
        engine: &Engine,
        discovery: &Discovery,
        ledger: &Ledger,
    ) -> Result<Option<Arc<Prepared>>> {
        let mut schemas = BTreeMap::new();
        for source in &self.spec.sources {
            match self.schema(source, discovery, ledger).await? {
                Some(schema) => schemas.insert(source.table.clone(), schema),
                None => return Ok(None),
            };
        }
        Ok(Some(Arc::new(prepare(engine, self.spec, &schemas).await?)))
    }

    /// The columns of the first admitted file with rows that is still listed and can be read; of
    /// any listed file if there is none.
    async fn schema(
        &self,
        source: &SourceSpec,
        discovery: &Discovery,
        ledger: &Ledger,
    ) -> Result<Option<TableSchema>> {
        let listed = || discovery.listed.iter().filter(|(id, _)| id.table == source.table);
        let Some(store) = self.sources.get(&source.table) else { return Ok(None) };
        let folders = partition_columns(source, listed().map(|(id, _)| id.key.as_str()));
        let rank = |id: &FileId| match ledger.file(id) {
            Some(known) if known.record.rows > 0 => (false, known.generation),
            Some(known) => (true, known.generation),
            None => (true, Generation(u64::MAX)),
        };
        let mut files: Vec<_> = listed().collect();
        files.sort_by_key(|(id, _)| (rank(id), *id));
        let mut first_failure = None;
        for (_, meta) in files {
            match open(store, meta).await {
                Ok(file) => return table_schema(&file, &folders).map(Some),
                Err(why) => first_failure = first_failure.or(Some(why)),
            }
        }
        first_failure.map_or(Ok(None), Err)
    }
}

/// What the log says of a pipeline.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: StateLog,
    /// Its fold; `None` before the first run.
    pub state: Option<State>,
    /// The admitted inputs.
    pub ledger: Arc<Ledger>,
}

/// What a run would do.
#[derive(Debug)]
pub struct Foreseen {
    /// What the sources hold.
    pub discovery: Discovery,
    /// The state once that is admitted.
    pub state: State,
    /// The ledger once that is admitted.
    pub ledger: Arc<Ledger>,
    /// What is due then.
    pub plan: Plan,
}

impl Foreseen {
    /// Whether a run would write anything to the log.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.discovery.has_news() || !self.plan.is_empty()
    }

    /// Rows that are in no window: before the pipeline's begin, or too late in the new files.
    #[must_use]
    pub fn rows_outside(&self, spec: &PipelineSpec) -> RowCounts {
        let news = self.discovery.records.iter().filter(|record| !record.settles);
        RowCounts {
            before_begin: rows_before_begin(spec, &self.state, &self.ledger),
            expired: news.fold(0, |sum, record| sum.saturating_add(record.expired_rows())),
            ..RowCounts::default()
        }
    }
}

/// Rows in windows before the pipeline's begin that no backfill has computed.
fn rows_before_begin(spec: &PipelineSpec, state: &State, ledger: &Ledger) -> u64 {
    let Some(begin) = spec.begin else { return 0 };
    let early = ledger.windows_with_rows(crate::time::EventTime::FIRST, begin);
    let waiting = early.filter(|start| {
        spec.grid.window_at(*start).is_some_and(|window| !state.is_committed(window))
    });
    waiting.fold(0, |sum, start| sum.saturating_add(ledger.rows_of(start)))
}

fn foresee_admission(
    spec: &PipelineSpec,
    state: State,
    ledger: &Arc<Ledger>,
    discovery: &Discovery,
) -> Result<(State, Arc<Ledger>)> {
    let mut ledger = ledger.clone();
    if !discovery.has_news() {
        return Ok((state, ledger));
    }
    let nowhere =
        SegmentRef { key: String::new(), len: 0, sha256: crate::hash::Sha256::ZERO, files: 0 };
    let inputs = admission(spec, &state, &ledger, &discovery.records, nowhere)
        .ok_or_else(|| Error::new(Code::Bug, "the ledger has no generation left"))?;
    let generation = inputs.generation;
    let state = state
        .foresee_inputs(&inputs)
        .map_err(|violation| Error::new(Code::Bug, violation.to_string()))?;
    let all = Arc::make_mut(&mut ledger);
    for record in &discovery.records {
        all.admit(record.clone(), generation);
    }
    Ok((state, ledger))
}

/// The query of `spec`.
pub(super) fn query_of(spec: &PipelineSpec) -> Query {
    let step = |step: &StepSpec| QueryStep { name: step.name.clone(), sql: step.sql.clone() };
    Query { steps: spec.steps.iter().map(step).collect() }
}

/// The entries of `state` whose query asks something else than that of `spec`.
pub(super) fn outdated_queries(spec: &PipelineSpec, state: &State) -> BTreeSet<Seq> {
    let now = query_of(spec);
    let others = state.queries.iter().filter(|(_, then)| !is_same_query(then, &now));
    others.map(|(seq, _)| *seq).collect()
}
