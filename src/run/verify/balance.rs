//! Whether every row of every input is in exactly one place: the ledger against the log, files
//! against the ledger, quarantine objects against what the log says of them.
//!
//! State and ledger are read together, so that a run at work meanwhile does not show. What lies in
//! stores may be replaced at any moment: only what still is the version that was admitted, or the
//! attempt that was committed, is counted.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};

use super::{DIFFERENCES_MAX, is_said_alike};
use crate::error::{Code, Error, Result};
use crate::ledger::{FileRecord, InputVersion, Ledger};
use crate::log::StateLog;
use crate::plan::{Imbalance, RowSums, books};
use crate::report::{Problem, ProblemKind};
use crate::run::Project;
use crate::source::{SourceStore, SourceStores, Upstream, open};
use crate::spec::{PipelineSpec, QuarantineSpec, SourceSpec};
use crate::state::{CommittedOutput, State};
use crate::time::EventTime;

/// Footers read at once.
const FOOTERS_AT_ONCE: usize = 8;

/// What the books say, what is wrong with them, and whether all of it was looked at.
#[derive(Default)]
pub(super) struct Balanced {
    pub(super) sums: RowSums,
    /// Computed windows.
    pub(super) windows: u64,
    /// Quarantine objects.
    pub(super) objects: u64,
    pub(super) problems: Vec<Problem>,
    pub(super) is_complete: bool,
}

/// Holds the books of `spec`, whose log is `log`, against each other and against what they are of.
pub(super) async fn balance(
    project: &Project,
    spec: &PipelineSpec,
    log: &StateLog,
) -> Result<Balanced> {
    let Some((state, ledger)) = log.read_with_ledger().await? else {
        return Ok(Balanced { is_complete: true, ..Balanced::default() });
    };
    let told = books(spec, &state, &ledger, DIFFERENCES_MAX);
    let auditor = Auditor { project, spec, log, state: &state };
    let mut problems: Vec<Problem> =
        told.faults.into_iter().map(|fault| auditor.problem(fault)).collect();
    problems.extend(auditor.inputs(&ledger).await?);
    problems.extend(auditor.quarantines().await?);
    problems.extend(auditor.windowless().await?);
    let is_complete = !told.is_cut && problems.len() < DIFFERENCES_MAX;
    problems.truncate(DIFFERENCES_MAX);
    let asides = state.asides.values().filter(|known| known.committed.is_some()).count();
    let objects = auditor.asides().count().saturating_add(asides);
    let windows = state.windows.values().count();
    let [windows, objects] =
        [windows, objects].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    Ok(Balanced { sums: told.sums, windows, objects, problems, is_complete })
}

struct Auditor<'a> {
    project: &'a Project,
    spec: &'a PipelineSpec,
    log: &'a StateLog,
    state: &'a State,
}

/// An object with quarantined rows, and the start of its window.
type Aside<'a> = (EventTime, &'a CommittedOutput);

impl Auditor<'_> {
    fn problem(&self, fault: Imbalance) -> Problem {
        let name = fault.file.map(|id| {
            let source = self.spec.source(&id.table);
            source.map_or_else(|| id.key.clone(), |source| source.name_of(&id.key))
        });
        Problem {
            pipeline: self.spec.name.clone(),
            window: fault.window.map(|window| (window.start(), window.end())),
            kind: ProblemKind::Balance,
            path: name.or(fault.path).unwrap_or_else(|| "its rows".to_owned()),
            message: fault.message,
        }
    }

    fn of_file(&self, source: &SourceSpec, record: &FileRecord, message: String) -> Problem {
        Problem {
            pipeline: self.spec.name.clone(),
            window: None,
            kind: ProblemKind::Balance,
            path: source.name_of(&record.id.key),
            message,
        }
    }

    /// Files, and windows of other pipelines, that have another number of rows than was admitted.
    async fn inputs(&self, ledger: &Ledger) -> Result<Vec<Problem>> {
        let stores = self.project.sources(self.spec);
        let mut problems = Vec::new();
        for source in &self.spec.sources {
            let records = ledger.files_of(&source.table).map(|(_, known)| &known.record);
            let records = records.filter(|record| !record.removed);
            if let Some(from) = source.upstream() {
                let state = self.project.log(&from.pipeline).read().await?;
                let upstream = state.map(|state| Upstream::of(&state, &from.output));
                problems.extend(self.chained(source, &upstream.unwrap_or_default(), records));
            } else {
                let looks = records.map(|record| self.footer(source, &stores, record));
                let looks = futures::stream::iter(looks).buffer_unordered(FOOTERS_AT_ONCE);
                problems.extend(some(looks).await?);
            }
        }
        Ok(problems)
    }

    fn chained<'r>(
        &self,
        source: &SourceSpec,
        upstream: &Upstream,
        records: impl Iterator<Item = &'r FileRecord>,
    ) -> Vec<Problem> {
        let windows = upstream.windows.iter();
        let by_path: BTreeMap<_, _> =
            windows.map(|window| (window.output.path.as_str(), window)).collect();
        let look = |record: &FileRecord| {
            let window = by_path.get(record.id.key.as_str())?;
            let is_same = window.version().mark == record.version.mark;
            let (then, now) = (record.rows, window.output.rows);
            let text = || format!("its pipeline committed {now} rows, the ledger has {then}");
            (is_same && then != now).then(|| self.of_file(source, record, text()))
        };
        records.filter_map(look).take(DIFFERENCES_MAX).collect()
    }

    /// What is wrong with the number of rows of a file, if it still is the version of `record`.
    async fn footer(
        &self,
        source: &SourceSpec,
        stores: &SourceStores,
        record: &FileRecord,
    ) -> Result<Option<Problem>> {
        let Some(store) = stores.get(&source.table) else { return Ok(None) };
        let Some(meta) = store.store().head(&record.id.key).await? else { return Ok(None) };
        let InputVersion { size, mark, sha256 } = &record.version;
        if (meta.size, &meta.mark) != (*size, mark) {
            return Ok(None);
        }
        let text = match open(store, &meta).await {
            Ok(file) if file.rows() == record.rows => return Ok(None),
            Ok(file) => {
                format!("its footer has {} rows, the ledger has {}", file.rows(), record.rows)
            }
            Err(why) if why.code() == Code::InputChanged => return Ok(None),
            Err(why) if why.code() == Code::CorruptInput => why.message().to_owned(),
            Err(why) => return Err(why),
        };
        // A mark so young may be that of two versions.
        if sha256.is_some() && store.store().sha256(&record.id.key).await? != *sha256 {
            return Ok(None);
        }
        Ok(Some(self.of_file(source, record, text)))
    }

    /// The quarantine objects that the log names.
    fn asides(&self) -> impl Iterator<Item = Aside<'_>> {
        self.state.windows.iter().flat_map(|(start, window)| {
            let outputs = window.committed.outputs.iter();
            let asides = outputs.filter(|output| QuarantineSpec::is_name(&output.name));
            asides.map(|output| (*start, output))
        })
    }

    /// Quarantine objects that have not as many rows as the log says.
    async fn quarantines(&self) -> Result<Vec<Problem>> {
        let store = SourceStore::new(self.project.outputs(&self.spec.name));
        let looks = self.asides().map(|aside| {
            let store = store.clone();
            async move { Ok(rows_of(&store, aside.1).await?.map(|text| (aside, text))) }
        });
        let found = some(futures::stream::iter(looks).buffer_unordered(FOOTERS_AT_ONCE)).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        // A run may have replaced what it announced since.
        let now = self.log.read().await?;
        let is_still = |(start, _): &Aside<'_>| {
            let is_alike = now.as_ref().is_none_or(|now| is_said_alike(self.state, now, *start));
            is_alike && !self.state.in_doubt.contains_key(start)
        };
        let still = found.into_iter().filter(|(aside, _)| is_still(aside));
        let problem = |((start, output), message): (Aside<'_>, String)| {
            let window = self.state.windows.get(&start);
            Problem {
                pipeline: self.spec.name.clone(),
                window: window.map(|window| (start, window.committed.end)),
                kind: ProblemKind::Balance,
                path: output.path.clone(),
                message,
            }
        };
        Ok(still.map(problem).collect())
    }

    /// Objects of rows that belong to no window that have not as many as the log says.
    async fn windowless(&self) -> Result<Vec<Problem>> {
        let store = SourceStore::new(self.project.outputs(&self.spec.name));
        let settled = self.state.asides.iter().filter(|(_, known)| !known.is_in_doubt);
        let looks = settled.filter_map(|(id, known)| {
            let (store, kept) = (store.clone(), known.committed.as_ref()?);
            Some(async move {
                let text = rows_of(&store, &kept.object).await?;
                Ok(text.map(|text| (id, known, kept.object.path.clone(), text)))
            })
        });
        let found = some(futures::stream::iter(looks).buffer_unordered(FOOTERS_AT_ONCE)).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        // A run may have replaced what it announced since.
        let now = self.log.read().await?;
        let still = found.into_iter().filter(|(id, known, ..)| {
            now.as_ref().is_none_or(|now| now.asides.get(*id) == Some(*known))
        });
        let (pipeline, kind) = (&self.spec.name, ProblemKind::Balance);
        let problems = still.map(|(.., path, message)| {
            let pipeline = pipeline.clone();
            Problem { pipeline, window: None, kind, path, message }
        });
        Ok(problems.collect())
    }
}

/// What is wrong with the number of rows of the object `output`.
async fn rows_of(
    store: &std::sync::Arc<SourceStore>,
    output: &CommittedOutput,
) -> Result<Option<String>> {
    let other = "it is not the object that was committed: `highwater verify` says more";
    let Some(meta) = store.store().head(&output.path).await? else {
        return Ok(Some(other.to_owned()));
    };
    let is_of_the_file =
        |why: &Error| matches!(why.code(), Code::CorruptInput | Code::InputChanged);
    match open(store, &meta).await {
        Ok(file) if file.attempt() != Some(output.att) => Ok(Some(other.to_owned())),
        Ok(file) if file.rows() == output.rows => Ok(None),
        Ok(file) => Ok(Some(format!("it has {} rows, the log says {}", file.rows(), output.rows))),
        Err(why) if is_of_the_file(&why) => Ok(Some(other.to_owned())),
        Err(why) => Err(why),
    }
}

/// What there is in `looks`: the first of it, if there is very much.
async fn some<T>(looks: impl Stream<Item = Result<Option<T>>>) -> Result<Vec<T>> {
    let mut looks = std::pin::pin!(looks);
    let mut found = Vec::new();
    while let Some(look) = looks.next().await {
        found.extend(look?);
        if found.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    Ok(found)
}
