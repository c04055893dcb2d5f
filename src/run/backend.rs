//! The stores of a project: its locations, connected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::PipelineName;
use crate::spec::{Location, Prefix, ProjectSpec, SourceOrigin};
use crate::store::{Environment, LocalStore, RemoteStore, RetrySpec, Store, connect};

/// Connects the store below a prefix. Nothing is asked of it yet.
pub type Connect<'a> = dyn FnMut(&Prefix) -> Result<RemoteStore> + 'a;

/// A location and the connection to it, if it needs one.
#[derive(Clone, Debug)]
pub(super) enum Backend {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A prefix of an object store.
    Prefix(Box<RemoteStore>),
}

impl Backend {
    /// The store of everything `name` below it, called `label` in messages if it is a folder, for
    /// files that are staged in `staging`. What `is_private` nobody but its owner may look into.
    pub(super) fn store(
        &self,
        name: &str,
        label: String,
        staging: PathBuf,
        is_private: bool,
        clock: Clock,
    ) -> Arc<dyn Store> {
        match self {
            Self::Folder(folder) => {
                let store = LocalStore::new(folder.join(name), staging, label, clock);
                Arc::new(if is_private { store.private() } else { store })
            }
            Self::Prefix(store) => Arc::new(store.below(name)),
        }
    }

    /// The folder, if it is one.
    pub(super) fn as_folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Prefix(_) => None,
        }
    }
}

/// All of a project.
#[derive(Debug)]
pub(super) struct Backends {
    pub(super) root: Backend,
    pub(super) state: Backend,
    /// Of sources that read files, and of reference tables.
    pub(super) tables: BTreeMap<(PipelineName, String), Backend>,
}

impl Backends {
    /// Connects what `spec` names, as its options and the environment say.
    pub(super) fn as_configured(spec: &ProjectSpec, clock: Clock) -> Result<Self> {
        let environment = Environment::of_process();
        let storage = &spec.storage;
        let retry = RetrySpec {
            max_retries: u32::try_from(storage.max_retries).unwrap_or(u32::MAX),
            retry_timeout: storage.retry_for,
        };
        let largest = spec.engine.max_object_bytes;
        let placed = |why: Error| {
            let named = |name: &String| why.message().contains(&format!("`{name}`"));
            match storage.places.iter().find(|(name, _)| named(name)) {
                Some((_, place)) => why.at(place.clone()),
                None => why,
            }
        };
        Self::new(spec, &mut |prefix| {
            let options = &storage.options;
            connect(prefix, options, &environment, retry, largest, clock).map_err(placed)
        })
    }

    /// Connects what `spec` names, each prefix by `connect`.
    pub(super) fn new(spec: &ProjectSpec, connect: &mut Connect<'_>) -> Result<Self> {
        let mut backend = |location: &Location| match location {
            Location::Folder(folder) => Ok(Backend::Folder(folder.clone())),
            Location::Prefix(prefix) => connect(prefix).map(Box::new).map(Backend::Prefix),
        };
        let (root, state) = (backend(&spec.root)?, backend(&spec.state)?);
        let mut tables = BTreeMap::new();
        for pipeline in &spec.pipelines {
            let sources = pipeline.sources.iter().filter_map(|source| match &source.origin {
                SourceOrigin::Folder(folder) => Some((&source.table, &folder.path)),
                SourceOrigin::Pipeline(_) => None,
            });
            let references = pipeline.references.iter().map(|table| (&table.table, &table.folder));
            for (table, location) in sources.chain(references) {
                tables.insert((pipeline.name.clone(), table.clone()), backend(location)?);
            }
        }
        Ok(Self { root, state, tables })
    }
}
