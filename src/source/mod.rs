//! Finds out what the sources of a pipeline hold now, and what of it is new.
//!
//! It lists, reads the footer and the event-time column of files it has not seen, and compares with
//! the ledger. It decides nothing: what a new version means is for `plan`.

mod event_time;
mod partition;
mod reader;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;

pub use event_time::{Judge, TimeColumn, Verdict};
pub use partition::{PartitionColumn, partition_columns};
pub use reader::{OpenFile, SourceStore, open};

use crate::error::{Code, Error, Result};
use crate::ledger::{Admitted, FileId, FileRecord, InputVersion, Ledger};
use crate::spec::{OnRemoved, PipelineSpec, SourceSpec};
use crate::store::{ObjectMeta, Store};

/// Files looked into at once. Bounds open files, and memory by this many column chunks.
const FILES_AT_ONCE: usize = 8;

/// The stores of a pipeline's sources, by table.
pub type SourceStores = BTreeMap<String, Arc<SourceStore>>;

/// What a look at the sources brought.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Versions that the ledger does not have, in key order.
    pub records: Vec<FileRecord>,
    /// Files of the ledger that are not listed any more.
    pub missing: BTreeSet<FileId>,
    /// Listed files that could not be read, and why.
    pub unreadable: Vec<Error>,
    /// Everything that was listed and belongs to a source.
    pub listed: BTreeMap<FileId, ObjectMeta>,
}

impl Discovery {
    /// Whether there is anything to admit. Records that only settle what is known can wait.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.records.iter().any(|record| !record.settles)
    }
}

/// Looks at every source of `spec`.
///
/// # Errors
/// If a source cannot be listed, or had files and lists none.
pub async fn discover(
    spec: &PipelineSpec,
    stores: &SourceStores,
    ledger: &Ledger,
) -> Result<Discovery> {
    let mut found = Discovery::default();
    for source in &spec.sources {
        let store = store_of(stores, source)?;
        list(source, store.store(), ledger, &mut found).await?;
    }
    let listed: Vec<_> = found.listed.iter().map(|(id, meta)| (id.clone(), meta.clone())).collect();
    let looks = listed.into_iter().map(|(id, meta)| {
        let known = ledger.file(&id).cloned();
        look(spec, stores, id, meta, known)
    });
    let mut looks = std::pin::pin!(futures::stream::iter(looks).buffered(FILES_AT_ONCE));
    while let Some(look) = looks.next().await {
        match look {
            Ok(Some(record)) => found.records.push(record),
            Ok(None) => {}
            Err(why) => found.unreadable.push(why),
        }
    }
    found.records.sort_by(|a, b| (&a.table, &a.key).cmp(&(&b.table, &b.key)));
    Ok(found)
}

fn store_of<'a>(stores: &'a SourceStores, source: &SourceSpec) -> Result<&'a Arc<SourceStore>> {
    stores
        .get(&source.table)
        .ok_or_else(|| Error::new(Code::Bug, format!("source {} was given no store", source.table)))
}

async fn list(
    source: &SourceSpec,
    store: &Arc<dyn Store>,
    ledger: &Ledger,
    found: &mut Discovery,
) -> Result<()> {
    let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
    let before = found.listed.len();
    for meta in store.list().await.map_err(|why| unlisted(source, why))? {
        if source.glob.matches_with(&meta.key, options) {
            let id = FileId { table: source.table.clone(), key: meta.key.clone() };
            found.listed.insert(id, meta);
        }
    }
    let known = ledger.files().filter(|(id, _)| id.table == source.table);
    let mut had_files = false;
    for (id, Admitted { record, .. }) in known.filter(|(_, known)| !known.record.removed) {
        had_files = true;
        if !found.listed.contains_key(id) {
            match source.on_removed {
                OnRemoved::Keep => drop(found.missing.insert(id.clone())),
                OnRemoved::Recompute => found.records.push(record.without_rows()),
            }
        }
    }
    if had_files && found.listed.len() == before {
        return Err(Error::new(
            Code::SourceMissing,
            format!("source {} had files, and {} lists none now", source.table, source.label),
        )
        .note("nothing was computed: an unmounted disk must not look like an empty source")
        .hint("check that the folder is mounted and that `path` and `glob` are right"));
    }
    Ok(())
}

/// `why` the files of `source` cannot be listed.
fn unlisted(source: &SourceSpec, why: Error) -> Error {
    let is_missing = why.code() == Code::SourceMissing;
    let why = why.within(format!("source {}", source.table));
    if is_missing {
        let path = source.path.display();
        why.note(format!("looked for at {path}; nothing was computed, outputs stand"))
            .hint("make the folder, or correct `path` of the source; it is relative to `root`")
    } else {
        why
    }
}

/// The record of a listed file, unless the ledger has it already.
async fn look(
    spec: &PipelineSpec,
    stores: &SourceStores,
    id: FileId,
    meta: ObjectMeta,
    known: Option<Admitted>,
) -> Result<Option<FileRecord>> {
    let source = spec
        .source(&id.table)
        .ok_or_else(|| Error::new(Code::Bug, format!("no source is named {}", id.table)))?;
    let store = store_of(stores, source)?;
    if let Some(Admitted { record, .. }) = known {
        match compare(&record, &meta) {
            Known::Same => return Ok(None),
            Known::SameIfHashed => {
                if store.store().sha256(&meta.key).await? == record.version.sha256 {
                    let settled = (!meta.is_young).then(|| settle(record));
                    return Ok(settled);
                }
            }
            Known::Other => {}
        }
    }
    let hash_before = young_hash(store.store(), &meta).await?;
    let mut record = scan::scan(spec, source, store, &meta).await?;
    if young_hash(store.store(), &meta).await? != hash_before {
        let name = store.store().name_of(&meta.key);
        return Err(Error::new(Code::InputChanged, format!("{name} changed while it was read"))
            .hint("run again: the new version is taken in by itself"));
    }
    record.version.sha256 = hash_before;
    Ok(Some(record))
}

enum Known {
    Same,
    /// Its mark is the same, but was so young that the bytes could have changed under it.
    SameIfHashed,
    Other,
}

fn compare(record: &FileRecord, meta: &ObjectMeta) -> Known {
    let InputVersion { size, mark, sha256 } = &record.version;
    let is_same_mark = !record.removed && *size == meta.size && *mark == meta.mark;
    match (is_same_mark, sha256) {
        (false, _) => Known::Other,
        (true, None) => Known::Same,
        (true, Some(_)) => Known::SameIfHashed,
    }
}

fn settle(mut record: FileRecord) -> FileRecord {
    record.version.sha256 = None;
    record.settles = true;
    record
}

async fn young_hash(
    store: &Arc<dyn Store>,
    meta: &ObjectMeta,
) -> Result<Option<crate::hash::Sha256>> {
    if meta.is_young { store.sha256(&meta.key).await } else { Ok(None) }
}
