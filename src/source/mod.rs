//! Finds out what the sources of a pipeline hold now, and what of it is new.
//!
//! It lists, reads the footer and the event-time column of files it has not seen (every column
//! where only whole files are admitted), and compares with the ledger. It decides nothing: what a
//! new version means is for `plan`.

mod caps;
mod caught;
mod event_time;
mod int96;
mod kept;
mod listed;
mod listing;
mod partition;
mod reader;
mod reference;
mod scan;
mod stored;
mod thrift;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;

pub use caught::{caught, is_caught, marked};
pub use event_time::{Judge, TimeColumn, Verdict};
pub use listed::{Listed, Listing};
pub use partition::{PartitionColumn, partition_columns};
pub use reader::{ATTEMPT, OpenFile, open, panicked};
pub use reference::{ReferenceTable, read_references, reference_versions};
pub use stored::SourceStore;
pub use upstream::{CommittedObject, Upstream, UpstreamWindow, WINDOW_START};

use crate::error::{Code, Error, Result};
use crate::ledger::{FileId, FileRecord, InputVersion, Ledger};
use crate::spec::{OnCorruptFile, PipelineSpec, SourceOrigin, SourceSpec};
use crate::store::{ObjectMeta, Store};
use crate::time::ProcessingTime;

/// Files looked into at once. Bounds open files, and memory by this many column chunks.
const FILES_AT_ONCE: usize = 8;

/// The stores of a pipeline's sources and reference tables, by table.
pub type SourceStores = BTreeMap<String, Arc<SourceStore>>;

/// What the pipelines that sources read from have committed, by the source's table.
pub type Upstreams = BTreeMap<String, Upstream>;

/// What a look at the sources brought.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Versions that the ledger does not have, in key order.
    pub records: Vec<FileRecord>,
    /// Files of the ledger that are not listed any more.
    pub missing: BTreeSet<FileId>,
    /// Files of the ledger whose bytes are not to be had now, but will be.
    pub held: BTreeSet<FileId>,
    /// Listed files that could not be read or are refused, and why: no new window closes meanwhile.
    pub unreadable: Vec<Error>,
    /// Listed files that cannot be read, and why; they are left out as long as that is so.
    pub left_out: Vec<Error>,
    /// Everything that was listed and belongs to a source.
    pub listed: Listing,
}

impl Discovery {
    /// Whether there is anything to admit. Records that only settle what is known can wait.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.records.iter().any(|record| !record.settles)
    }
}

/// Looks at every source of `spec`. Files that are too young by the clock `now` are not there yet.
///
/// # Errors
/// If a source cannot be listed, or had files and lists none.
pub async fn discover(
    spec: &PipelineSpec,
    stores: &SourceStores,
    upstreams: &Upstreams,
    ledger: &Ledger,
    now: ProcessingTime,
) -> Result<Discovery> {
    let mut found = Discovery::default();
    let mut looks = Vec::new();
    for source in &spec.sources {
        let store = store_of(stores, source)?;
        match &source.origin {
            SourceOrigin::Folder(folder) => {
                let metas = listing::files(source, folder, store, ledger, now, &mut found).await?;
                let metas = metas.into_iter();
                looks.extend(metas.map(|meta| Look { source, store, news: News::File(meta) }));
            }
            SourceOrigin::Pipeline(_) => {
                let none = Upstream::default();
                let upstream = upstreams.get(&source.table).unwrap_or(&none);
                let news = listing::committed(source, upstream, ledger, &mut found)?;
                let news = news.into_iter();
                looks.extend(news.map(|news| Look { source, store, news: News::Window(news) }));
            }
        }
    }
    let looks = looks.into_iter().map(|look| async move {
        let known = ledger.file(&look.id()).map(|known| &known.record);
        (look.id(), look.record(spec, known).await)
    });
    let mut looks = std::pin::pin!(futures::stream::iter(looks).buffered(FILES_AT_ONCE));
    while let Some((id, look)) = looks.next().await {
        match look {
            Ok(Some(record)) => found.records.push(record),
            Ok(None) => {}
            // Its pipeline is at work on it: what was known of it stands, and waits.
            Err(why) if why.code() == Code::InputChanged && is_committed(&found, &id) => {
                found.held.insert(id);
            }
            Err(why) if may_be_left_out(spec, &id, &why) => {
                // Windows that need what it was wait for what it will be.
                if ledger.file(&id).is_some_and(|known| known.record.rows > 0) {
                    found.held.insert(id);
                }
                found.left_out.push(why.note("it is left out until it can be read"));
            }
            Err(why) if why.code() == Code::CorruptInput && !is_committed(&found, &id) => {
                let or = "or set on_corrupt_file = \"quarantine\" for source";
                let to = "it is left out then until it can be read";
                found.unreadable.push(why.hint(format!("{or} {}: {to}", id.table)));
            }
            Err(why) => found.unreadable.push(why),
        }
    }
    found.records.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

fn may_be_left_out(spec: &PipelineSpec, id: &FileId, why: &Error) -> bool {
    let source = spec.source(&id.table);
    why.code() == Code::CorruptInput
        && source.is_some_and(|source| source.on_corrupt_file == OnCorruptFile::Quarantine)
}

fn is_committed(found: &Discovery, id: &FileId) -> bool {
    matches!(found.listed.get(id), Some(Listed::Committed(_)))
}

/// Opens the input called `key`, which must be what was listed.
///
/// # Errors
/// If it is gone, is something else by now, or cannot be read.
pub async fn open_listed(store: &Arc<SourceStore>, listed: &Listed) -> Result<OpenFile> {
    match listed {
        Listed::File(meta) => open(store, meta).await,
        Listed::Committed(object) => object.open(store).await.map(|(_, file)| file),
    }
}

fn store_of<'a>(stores: &'a SourceStores, source: &SourceSpec) -> Result<&'a Arc<SourceStore>> {
    stores
        .get(&source.table)
        .ok_or_else(|| Error::new(Code::Bug, format!("source {} was given no store", source.table)))
}

/// Something that may be an input that the ledger does not have.
struct Look<'a> {
    source: &'a SourceSpec,
    store: &'a Arc<SourceStore>,
    news: News,
}

enum News {
    File(ObjectMeta),
    Window(UpstreamWindow),
}

impl Look<'_> {
    fn id(&self) -> FileId {
        let key = match &self.news {
            News::File(meta) => &meta.key,
            News::Window(window) => &window.output.path,
        };
        FileId { table: self.source.table.clone(), key: key.clone() }
    }

    /// The record of it, unless it is what is `known` already.
    async fn record(
        &self,
        spec: &PipelineSpec,
        known: Option<&FileRecord>,
    ) -> Result<Option<FileRecord>> {
        let meta = match &self.news {
            News::File(meta) => meta,
            News::Window(window) => {
                return upstream::record(spec, self.source, self.store, window).await.map(Some);
            }
        };
        let store = self.store.store();
        if let Some(record) = known {
            match compare(record, meta) {
                Known::Same => return Ok(None),
                Known::SameIfHashed => {
                    if store.sha256(&meta.key).await? == record.version.sha256 {
                        return Ok((!meta.is_young).then(|| settle(record.clone())));
                    }
                }
                Known::Other => {}
            }
        }
        let hash_before = young_hash(store, meta).await?;
        let mut record = scan::scan(spec, self.source, self.store, meta).await?;
        if young_hash(store, meta).await? != hash_before {
            let name = store.name_of(&meta.key);
            return Err(Error::new(
                Code::InputChanged,
                format!("{name} changed while it was read"),
            )
            .hint("run again: the new version is taken in by itself"));
        }
        record.version.sha256 = hash_before;
        Ok(Some(record))
    }
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
