//! A project with its stores at hand.

use std::path::PathBuf;
use std::sync::Arc;

use super::shape;
use crate::clock::Clock;
use crate::commit::Identity;
use crate::error::Result;
use crate::execute::Engine;
use crate::id::{PipelineName, RunId};
use crate::ledger::Ledger;
use crate::log::{StateLog, read_ledger};
use crate::source::{SourceStore, SourceStores};
use crate::spec::{PipelineSpec, ProjectSpec, ReferenceSpec, SourceOrigin, SourceSpec};
use crate::state::State;
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

    /// The stores of the pipeline's sources and reference tables.
    #[must_use]
    pub fn sources(&self, spec: &PipelineSpec) -> SourceStores {
        let source = |source: &SourceSpec| {
            let store = match &source.origin {
                SourceOrigin::Folder(folder) => {
                    self.store(folder.path.clone(), &spec.name, folder.label.clone())
                }
                SourceOrigin::Pipeline(_) => self.outputs(&spec.name),
            };
            (source.table.clone(), SourceStore::new(store))
        };
        let reference = |reference: &ReferenceSpec| {
            let folder = reference.folder().to_owned();
            let label = folder.strip_prefix(&self.spec.root).unwrap_or(&folder);
            let store = self.store(folder.clone(), &spec.name, label.display().to_string());
            (reference.table.clone(), SourceStore::new(store))
        };
        let references = spec.references.iter().map(reference);
        spec.sources.iter().map(source).chain(references).collect()
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
