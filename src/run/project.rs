//! A project with its stores at hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::{Backend, Backends, Connect};
use super::session::Session;
use super::shape;
use crate::clock::Clock;
use crate::commit::Identity;
use crate::error::Result;
use crate::execute::Engine;
use crate::hash::Sha256;
use crate::id::{PipelineName, RunId};
use crate::ledger::Ledger;
use crate::log::{Lease, LeaseInfo, Pace, StateLog, read_ledger};
use crate::source::{SourceStore, SourceStores};
use crate::spec::{PipelineSpec, ProjectSpec};
use crate::state::State;
use crate::store::{Fault, FaultyStore, Store, layout};

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
    backends: Backends,
    /// How often checkpoints are written.
    pub(super) pace: Pace,
    /// Tests: how stores fail.
    fault: Option<Arc<Fault>>,
}

impl Project {
    /// A project as `spec` says. No store is asked anything yet.
    ///
    /// # Errors
    /// If the engine cannot be set up, or an object store cannot be reached as configured.
    pub fn new(spec: ProjectSpec, clock: Clock) -> Result<Self> {
        let backends = Backends::as_configured(&spec, clock)?;
        Self::on(spec, clock, backends)
    }

    /// The same with connections of its own; for tests.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn connected(
        spec: ProjectSpec,
        clock: Clock,
        identity: Identity,
        connect: &mut Connect<'_>,
    ) -> Result<Self> {
        let backends = Backends::new(&spec, connect)?;
        Ok(Self { identity, ..Self::on(spec, clock, backends)? })
    }

    fn on(spec: ProjectSpec, clock: Clock, backends: Backends) -> Result<Self> {
        let engine = Engine::new(&spec.engine, clock.new_id())?;
        let identity = Identity { who: crate::process::current(), run: RunId(clock.new_id()) };
        let pace = Pace::of_process();
        Ok(Self { spec, clock, identity, engine, backends, pace, fault: None })
    }

    /// The same project with stores that fail as `fault` says; for tests.
    #[must_use]
    pub fn with_fault(mut self, fault: Arc<Fault>) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The same project with checkpoints at another pace; for tests.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The pipeline named `name`.
    #[must_use]
    pub fn pipeline(&self, name: &PipelineName) -> Option<&PipelineSpec> {
        self.spec.pipelines.iter().find(|pipeline| pipeline.name == *name)
    }

    /// The folder that holds the state of a pipeline; `None` on an object store.
    #[must_use]
    pub fn state_folder(&self, name: &PipelineName) -> Option<PathBuf> {
        self.backends.state.as_folder().map(|folder| folder.join(name.as_str()))
    }

    /// The folder that holds the data; `None` on an object store.
    pub(super) fn root_folder(&self) -> Option<&Path> {
        self.backends.root.as_folder()
    }

    /// The folder where a pipeline stages its files: in its state on local disk, so that they are
    /// put in place by renaming them; else a folder of this run alone among the temporary files.
    #[must_use]
    pub fn staging(&self, name: &PipelineName) -> PathBuf {
        if let Some(folder) = self.state_folder(name) {
            return folder.join(layout::STAGING);
        }
        let state = Sha256::of(format!("{}/{name}", self.spec.state).as_bytes()).to_string();
        let state = state.get(..16).unwrap_or_default();
        let run = self.identity.run;
        self.spec.engine.temp_directory.join(format!("highwater-{state}-{run}"))
    }

    /// What `backend` holds `name` below it, for the pipeline `of`. What `is_private` nobody but
    /// its owner may look into.
    fn store(
        &self,
        backend: &Backend,
        name: &str,
        label: String,
        of: &PipelineName,
        is_private: bool,
    ) -> Arc<dyn Store> {
        let store = backend.store(name, label, self.staging(of), is_private, self.clock);
        match &self.fault {
            Some(fault) => Arc::new(FaultyStore::new(store, fault.clone())),
            None => store,
        }
    }

    /// The log of a pipeline.
    #[must_use]
    pub fn log(&self, name: &PipelineName) -> StateLog {
        let label = self.spec.state.below(name.as_str()).label(&self.spec.root);
        let store = self.store(&self.backends.state, name.as_str(), label, name, true);
        StateLog::new(store, name.clone())
    }

    /// The store of the pipeline's outputs.
    #[must_use]
    pub fn outputs(&self, name: &PipelineName) -> Arc<dyn Store> {
        self.store(&self.backends.root, "", String::new(), name, false)
    }

    /// The stores of the pipeline's sources and reference tables.
    #[must_use]
    pub fn sources(&self, spec: &PipelineSpec) -> SourceStores {
        let tables = u64::try_from(spec.sources.len()).unwrap_or(u64::MAX);
        let kept_bytes_max = self.engine.kept_bytes_max().checked_div(tables).unwrap_or_default();
        let of_table = |table: &str, label: String| {
            let backend = self.backends.tables.get(&(spec.name.clone(), table.to_owned()));
            let store = match backend {
                Some(backend) => self.store(backend, "", label, &spec.name, false),
                // It reads what another pipeline commits.
                None => self.outputs(&spec.name),
            };
            (table.to_owned(), SourceStore::keeping(store, kept_bytes_max))
        };
        let sources = spec.sources.iter().map(|source| {
            let label = source.folder().map(|folder| folder.label.clone()).unwrap_or_default();
            of_table(&source.table, label)
        });
        let references = spec
            .references
            .iter()
            .map(|reference| of_table(&reference.table, reference.folder.label(&self.spec.root)));
        sources.chain(references).collect()
    }

    /// Takes the lease of a pipeline, whose log is `log`.
    ///
    /// # Errors
    /// [`crate::error::Code::LeaseHeld`] if another process holds it.
    pub(super) async fn lease(
        &self,
        name: &PipelineName,
        log: &StateLog,
        info: &LeaseInfo,
    ) -> Result<Lease> {
        match self.state_folder(name) {
            Some(folder) => Lease::lock(&folder, name, info, self.spec.lease).await,
            None => Lease::wait(log, &info.who, self.spec.lease, self.clock).await,
        }
    }

    /// Reads what the log says of a pipeline.
    ///
    /// # Errors
    /// If the log or its ledger is damaged or cannot be read; if it has another shape.
    pub async fn open(&self, spec: &PipelineSpec) -> Result<Opened> {
        self.open_beside(spec, std::future::ready(())).await
    }

    /// The same for `session`, which looks at the sources next: they are listed meanwhile, when it
    /// is known what the log says, for a listing that is older would miss what it names.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_for(&self, session: &Session<'_>) -> Result<Opened> {
        self.open_beside(session.spec, session.list_ahead()).await
    }

    async fn open_beside(
        &self,
        spec: &PipelineSpec,
        beside: impl Future<Output = ()>,
    ) -> Result<Opened> {
        let log = self.log(&spec.name);
        let state = log.open().await?.map(|opening| opening.state);
        let ledger = async {
            let Some(state) = &state else { return Ok(Ledger::default()) };
            shape::check(spec, state)?;
            read_ledger(log.store().as_ref(), state).await
        };
        let (ledger, ()) = tokio::join!(ledger, beside);
        let ledger = Arc::new(ledger?);
        Ok(Opened { log, state, ledger })
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
