//! A pipeline under one command: its stores, and its queries planned over what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::foresee::Look;
use super::project::Project;
use crate::error::{Code, Result};
use crate::execute::{Engine, Prepared, TableSchema, prepare, table_schema};
use crate::id::Generation;
use crate::ledger::{FileId, Ledger};
use crate::source::{Discovery, SourceStores, open_listed, read_references};
use crate::spec::{PipelineSpec, SourceSpec};
use crate::time::ProcessingTime;

/// A pipeline under one command: its stores, and what they read.
#[derive(Debug)]
pub struct Session<'a> {
    /// The pipeline.
    pub spec: &'a PipelineSpec,
    /// The stores of its sources.
    pub sources: SourceStores,
    /// The time by the clock of the store, where that was asked.
    pub(super) store_at: Option<ProcessingTime>,
}

impl<'a> Session<'a> {
    /// A command on `spec`.
    #[must_use]
    pub fn new(project: &Project, spec: &'a PipelineSpec) -> Self {
        Self { spec, sources: project.sources(spec), store_at: None }
    }

    /// Bytes read from the sources so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.sources.values().fold(0, |sum, store| sum.saturating_add(store.bytes_read()))
    }

    /// Plans the queries over the reference tables and the columns of the first file of each
    /// source: the first that was admitted, so that a file that comes later does not change what a
    /// query sees.
    ///
    /// # Errors
    /// If a file cannot be read, or a query cannot be planned. `None` if a source has no file yet.
    pub async fn prepare(
        &self,
        engine: &Engine,
        look: &Look,
        ledger: &Ledger,
    ) -> Result<Option<Arc<Prepared>>> {
        let mut schemas = BTreeMap::new();
        for source in &self.spec.sources {
            match self.schema(source, &look.discovery, ledger).await? {
                Some(schema) => schemas.insert(source.table.clone(), schema),
                None => return Ok(None),
            };
        }
        let references = read_references(self.spec, &self.sources, &look.references).await?;
        Ok(Some(Arc::new(prepare(engine, self.spec, &schemas, references).await?)))
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
        let rank = |id: &FileId| match ledger.file(id) {
            Some(known) if known.record.rows > 0 => (false, known.generation),
            Some(known) => (true, known.generation),
            None => (true, Generation(u64::MAX)),
        };
        let mut files: Vec<_> = listed().collect();
        files.sort_by_key(|(id, _)| (rank(id), *id));
        let mut first_failure = None;
        for (id, listed_as) in files {
            match open_listed(store, listed_as).await {
                Ok(file) => {
                    let keys = listed().map(|(id, _)| id.key.as_str());
                    return table_schema(source, &file, keys).map(Some);
                }
                // Its pipeline is at work on it: windows that need it wait.
                Err(why) if why.code() == Code::InputChanged && discovery.held.contains(id) => {}
                Err(why) => first_failure = first_failure.or(Some(why)),
            }
        }
        first_failure.map_or(Ok(None), Err)
    }
}
