//! A pipeline under one command: its stores, and its queries planned over what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;

use super::foresee::Look;
use super::project::Project;
use crate::error::{Code, Result};
use crate::execute::{
    Engine, Prepared, TableSchema, file_columns, gained_columns, has_columns, prepare,
    table_schema, widened_columns,
};
use crate::id::Generation;
use crate::ledger::{FileId, InputVersion, Ledger};
use crate::plan::Plan;
use crate::source::{OpenFile, SourceStores, open_listed, read_references};
use crate::spec::{OnTypeChange, PipelineSpec, SourceSpec};
use crate::state::{Columns, State};
use crate::time::ProcessingTime;

/// How many of the newest files are looked into for a column that a query names and its table does
/// not have.
const NEWEST_MAX: usize = 32;

/// Files whose columns are looked at together.
const FILES_AT_ONCE: usize = 8;

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

/// The queries of a pipeline over its tables as they are now.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The queries.
    pub prepared: Arc<Prepared>,
    /// The columns that they see of the files of each source.
    pub columns: Vec<Columns>,
}

impl<'a> Session<'a> {
    /// A command on `spec`.
    #[must_use]
    pub fn new(project: &Project, spec: &'a PipelineSpec) -> Self {
        Self { spec, sources: project.sources(spec), store_at: None }
    }

    /// Lists the folders of the sources, for who looks at them next.
    pub(super) async fn list_ahead(&self) {
        let folders = self.spec.sources.iter().filter(|source| source.folder().is_some());
        let stores = folders.filter_map(|source| self.sources.get(&source.table));
        futures::future::join_all(stores.map(|store| store.list_ahead())).await;
    }

    /// Bytes read from the sources so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.sources.values().fold(0, |sum, store| sum.saturating_add(store.bytes_read()))
    }

    /// Plans the queries over the reference tables and the columns of each source: those that the
    /// log of `state` names, so that a file that comes later does not change what a query sees;
    /// those of the first file that was admitted, if it names none. A query that cannot be planned
    /// so may also name columns that came with newer files.
    ///
    /// # Errors
    /// If a file cannot be read, or a query cannot be planned. `None` if a source has no file yet.
    pub async fn prepare(
        &self,
        engine: &Engine,
        look: &Look,
        ledger: &Ledger,
        state: &State,
    ) -> Result<Option<Planned>> {
        let mut columns = Vec::with_capacity(self.spec.sources.len());
        for source in &self.spec.sources {
            match self.columns(source, look, ledger, state).await? {
                Some(known) => columns.push(known),
                None => return Ok(None),
            }
        }
        let planned = match self.plan(engine, look, columns.clone()).await {
            Err(why) if why.code() == Code::BadSql => {
                self.plan_with_newer(engine, look, ledger, columns).await.unwrap_or(Err(why))
            }
            planned => planned,
        };
        planned.map(Some)
    }

    /// Plans the queries over these columns of the sources, which are in the order of `spec`.
    pub(super) async fn plan(
        &self,
        engine: &Engine,
        look: &Look,
        columns: Vec<Columns>,
    ) -> Result<Planned> {
        let mut schemas = BTreeMap::new();
        for (source, columns) in self.spec.sources.iter().zip(&columns) {
            schemas.insert(source.table.clone(), table_of(source, look, columns)?);
        }
        let references = read_references(self.spec, &self.sources, &look.references).await?;
        let prepared = prepare(engine, self.spec, &schemas, references).await?;
        Ok(Planned { prepared: Arc::new(prepared), columns })
    }

    /// Plans the queries with the columns of newer files too: of the newest file first, and of no
    /// more files than it takes. `None` if these have no others.
    async fn plan_with_newer(
        &self,
        engine: &Engine,
        look: &Look,
        ledger: &Ledger,
        mut columns: Vec<Columns>,
    ) -> Option<Result<Planned>> {
        let mut last = None;
        for (place, source) in self.spec.sources.iter().enumerate() {
            let id_of = |key: &str| FileId { table: source.table.clone(), key: key.to_owned() };
            let admitted = look.discovery.listed.keys(&source.table).map(id_of);
            let admitted = admitted.filter_map(|id| Some((ledger.file(&id)?.generation, id)));
            let mut newest: Vec<_> = admitted.collect();
            newest.sort_unstable();
            for (_, id) in newest.into_iter().rev().take(NEWEST_MAX) {
                // A file that cannot be read is told where its windows are computed.
                let Some((file, version)) = self.open(look, ledger, &id).await else { continue };
                let known = columns.get_mut(place)?;
                let Some(more) = gained_columns(source, known, &file, &id.key, version) else {
                    continue;
                };
                *known = more;
                match self.plan(engine, look, columns.clone()).await {
                    Err(why) if why.code() == Code::BadSql => last = Some(Err(why)),
                    planned => return Some(planned),
                }
            }
        }
        last
    }

    /// What of `columns` must become wider for the windows that `plan` computes. Only where that is
    /// allowed are files looked at.
    pub(super) async fn widened(
        &self,
        plan: &Plan,
        look: &Look,
        ledger: &Ledger,
        planned: &Planned,
    ) -> Option<Vec<Columns>> {
        let mut columns = planned.columns.clone();
        let mut is_wider = false;
        for (source, columns) in self.spec.sources.iter().zip(&mut columns) {
            if source.on_type_change != OnTypeChange::Widen {
                continue;
            }
            let inputs = plan.windows.iter().flat_map(|due| &due.inputs).map(|input| &input.file);
            let needed: BTreeSet<&FileId> = inputs.filter(|id| id.table == source.table).collect();
            let opened =
                needed.into_iter().map(|id| async move { (id, self.open(look, ledger, id).await) });
            let mut opened = std::pin::pin!(futures::stream::iter(opened).buffered(FILES_AT_ONCE));
            while let Some((id, opened)) = opened.next().await {
                let Some((file, version)) = opened else { continue };
                let (prepared, key) = (&planned.prepared, &id.key);
                let wider = widened_columns(source, columns, prepared, &file, key, version);
                if let Some(wider) = wider {
                    *columns = wider;
                    is_wider = true;
                }
            }
        }
        is_wider.then_some(columns)
    }

    /// An admitted file and its version; `None` if it cannot be had.
    async fn open<'l>(
        &self,
        look: &Look,
        ledger: &'l Ledger,
        id: &FileId,
    ) -> Option<(OpenFile, &'l InputVersion)> {
        let store = self.sources.get(&id.table)?;
        let version = &ledger.file(id)?.record.version;
        let file = open_listed(store, look.discovery.listed.get(id)?).await.ok()?;
        Some((file, version))
    }

    /// The columns of the files of a source: those of the log, unless the file that they came with
    /// was replaced by a version that has others.
    async fn columns(
        &self,
        source: &SourceSpec,
        look: &Look,
        ledger: &Ledger,
        state: &State,
    ) -> Result<Option<Columns>> {
        let known = state.columns.get(&source.table).map(|known| &known.said);
        match known {
            Some(known) if self.stand(source, known, look, ledger).await => Ok(Some(known.clone())),
            _ => Ok(self.first_columns(source, look, ledger).await?.or(known.cloned())),
        }
    }

    async fn stand(
        &self,
        source: &SourceSpec,
        known: &Columns,
        look: &Look,
        ledger: &Ledger,
    ) -> bool {
        let Some(first) = known.files.first() else { return true };
        let id = FileId { table: source.table.clone(), key: first.key.clone() };
        let now = ledger.file(&id).map(|now| &now.record.version);
        let is_same =
            |now: &InputVersion| now.size == first.version.size && now.mark == first.version.mark;
        if now.is_none_or(is_same) {
            return true;
        }
        let opened = self.open(look, ledger, &id).await;
        opened.is_none_or(|(file, _)| has_columns(source, known, &file))
    }

    /// The columns of the first admitted file with rows that is listed and can be read; of any
    /// listed file if there is none.
    async fn first_columns(
        &self,
        source: &SourceSpec,
        look: &Look,
        ledger: &Ledger,
    ) -> Result<Option<Columns>> {
        let discovery = &look.discovery;
        let listed = discovery.listed.of(&source.table).iter().map(|listed| {
            (FileId { table: source.table.clone(), key: listed.key().to_owned() }, listed)
        });
        let Some(store) = self.sources.get(&source.table) else { return Ok(None) };
        let rank = |id: &FileId| match ledger.file(id) {
            Some(known) if known.record.rows > 0 => (false, known.generation),
            Some(known) => (true, known.generation),
            None => (true, Generation(u64::MAX)),
        };
        let mut files: Vec<_> = listed.collect();
        // In the order of keys where ranks are equal.
        files.sort_by_key(|(id, _)| rank(id));
        let mut first_failure = None;
        for (id, listed_as) in files {
            match open_listed(store, listed_as).await {
                Ok(file) => {
                    let version = ledger.file(&id).map(|known| known.record.version.clone());
                    let version = version.unwrap_or_else(unknown);
                    return file_columns(source, &file, &id.key, &version).map(Some);
                }
                // Its pipeline is at work on it: windows that need it wait.
                Err(why) if why.code() == Code::InputChanged && discovery.held.contains(&id) => {}
                Err(why) => first_failure = first_failure.or(Some(why)),
            }
        }
        first_failure.map_or(Ok(None), Err)
    }
}

/// What SQL sees of `source`, whose files have these columns.
pub(super) fn table_of(source: &SourceSpec, look: &Look, columns: &Columns) -> Result<TableSchema> {
    table_schema(source, columns, look.discovery.listed.keys(&source.table))
}

/// The version of a file that was not admitted: it is looked at again once it is.
fn unknown() -> InputVersion {
    InputVersion { size: 0, mark: String::new(), sha256: None }
}
