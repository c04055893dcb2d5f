//! What there is of a source, and what of it the ledger may not have.

use std::sync::Arc;

use super::upstream::{Upstream, UpstreamWindow};
use super::{Discovery, Known, Listed, SourceStore, compare};
use crate::error::{Code, Error, Result};
use crate::ledger::{FileId, FileRecord, Ledger};
use crate::spec::{FolderSpec, OnRemoved, SourceSpec};
use crate::store::ObjectMeta;
use crate::time::ProcessingTime;

/// Lists the folder of `source`. The files that are not known to be in the ledger, in key order.
pub(super) async fn files(
    source: &SourceSpec,
    folder: &FolderSpec,
    store: &Arc<SourceStore>,
    ledger: &Ledger,
    now: ProcessingTime,
    found: &mut Discovery,
) -> Result<Vec<ObjectMeta>> {
    let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
    let mut news = Vec::new();
    let mut has_files = false;
    let listed = store.store().list("").await.map_err(|why| unlisted(source, folder, why))?;
    for meta in listed {
        if !folder.glob.matches_with(&meta.key, options) {
            continue;
        }
        has_files = true;
        let id = FileId { table: source.table.clone(), key: meta.key.clone() };
        let known = ledger.file(&id).map(|known| compare(&known.record, &meta));
        if !matches!(known, Some(Known::Same)) {
            // Still being written: a new file is not there yet, a new version neither, and the old
            // one is gone. Windows that need it wait.
            if now.since(meta.modified_at) < folder.settle {
                known.is_some().then(|| found.held.insert(id));
                continue;
            }
            news.push(meta.clone());
        }
        found.listed.insert(id, Listed::File(meta));
    }
    let is_known = missing(source, ledger, found);
    if is_known && !has_files {
        return Err(Error::new(
            Code::SourceMissing,
            format!("source {} had files, and {} lists none now", source.table, folder.label),
        )
        .note("nothing was computed: an unmounted disk must not look like an empty source")
        .hint("check that the folder is mounted and that `path` and `glob` are right"));
    }
    Ok(news)
}

/// Notes the files of `source` in the ledger that are not listed any more. Whether it has any.
fn missing(source: &SourceSpec, ledger: &Ledger, found: &mut Discovery) -> bool {
    let mut had_files = false;
    for (id, known) in ledger.files_of(&source.table).filter(|(_, known)| !known.record.removed) {
        had_files = true;
        if found.listed.contains_key(id) || found.held.contains(id) {
            continue;
        }
        match source.on_removed {
            OnRemoved::Keep => drop(found.missing.insert(id.clone())),
            OnRemoved::Recompute => found.records.push(known.record.without_rows()),
        }
    }
    had_files
}

/// `why` the files of `source` cannot be listed.
fn unlisted(source: &SourceSpec, folder: &FolderSpec, why: Error) -> Error {
    let is_missing = why.code() == Code::SourceMissing;
    let why = why.within(format!("source {}", source.table));
    if is_missing {
        let path = &folder.path;
        why.note(format!("looked for at {path}; nothing was computed, outputs stand"))
            .hint("make the folder, or correct `path` of the source; it is relative to `root`")
    } else {
        why
    }
}

/// Notes what another pipeline has committed. The windows whose rows are not known to be in the
/// ledger.
pub(super) fn committed(
    source: &SourceSpec,
    upstream: &Upstream,
    ledger: &Ledger,
    found: &mut Discovery,
) -> Result<Vec<UpstreamWindow>> {
    let mut news = Vec::new();
    for window in &upstream.windows {
        let id = FileId { table: source.table.clone(), key: window.output.path.clone() };
        let is_same = |record: &FileRecord| record.version.mark == window.version().mark;
        let is_known = ledger.file(&id).is_some_and(|known| is_same(&known.record));
        // What may be replaced at any moment is not read: it is news once it is committed.
        if window.is_in_doubt {
            found.held.insert(id.clone());
        } else if !is_known {
            news.push(window.clone());
        }
        found.listed.insert(id, window.listed());
    }
    if missing(source, ledger, found) && upstream.windows.is_empty() {
        let text = format!("source {} had rows, and its pipeline has none now", source.table);
        return Err(Error::new(Code::SourceMissing, text)
            .note("nothing was computed: a log that is gone must not look like an empty pipeline")
            .hint("restore the state folder of that pipeline"));
    }
    Ok(news)
}
