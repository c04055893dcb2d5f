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
    let mut known = ledger.files_of(&source.table).peekable();
    let (mut news, mut listed) = (Vec::new(), Vec::new());
    let mut has_files = false;
    // Both are in the order of keys.
    for meta in store.list().await.map_err(|why| unlisted(source, folder, why))? {
        if !is_wanted(&folder.glob, &meta.key) {
            continue;
        }
        has_files = true;
        while known.next_if(|(id, _)| id.key < meta.key).is_some() {}
        let known = known.next_if(|(id, _)| id.key == meta.key);
        let known = known.map(|(_, known)| compare(&known.record, &meta));
        if !matches!(known, Some(Known::Same)) {
            // Still being written: a new file is not there yet, a new version neither, and the old
            // one is gone. Windows that need it wait.
            if now.since(meta.modified_at) < folder.settle {
                if known.is_some() {
                    found.held.insert(FileId { table: source.table.clone(), key: meta.key });
                }
                continue;
            }
            news.push(meta.clone());
        }
        listed.push(Listed::File(meta));
    }
    found.listed.insert(&source.table, listed);
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

/// The files that a source takes if nobody says otherwise.
const ALL_PARQUET: &str = "**/*.parquet";

/// Whether `glob` names the visible file at `key`.
fn is_wanted(glob: &glob::Pattern, key: &str) -> bool {
    if glob.as_str() == ALL_PARQUET {
        // Step by step, as any other, it would take longer than to list the file.
        let end = key.len().checked_sub(".parquet".len()).and_then(|at| key.get(at..));
        return end.is_some_and(|end| end.eq_ignore_ascii_case(".parquet"));
    }
    let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
    glob.matches_with(key, options)
}

/// Notes the files of `source` in the ledger that are not listed any more. Whether it has any.
fn missing(source: &SourceSpec, ledger: &Ledger, found: &mut Discovery) -> bool {
    let Discovery { listed, held, missing, records, .. } = found;
    let mut listed = listed.keys(&source.table).peekable();
    let mut had_files = false;
    for (id, known) in ledger.files_of(&source.table).filter(|(_, known)| !known.record.removed) {
        had_files = true;
        // Both are in the order of keys.
        while listed.next_if(|listed| **listed < *id.key).is_some() {}
        if listed.next_if(|listed| **listed == *id.key).is_some() || held.contains(id) {
            continue;
        }
        match source.on_removed {
            OnRemoved::Keep => drop(missing.insert(id.clone())),
            OnRemoved::Recompute => records.push(known.record.without_rows()),
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
    let (mut news, mut listed) = (Vec::new(), Vec::with_capacity(upstream.windows.len()));
    for window in &upstream.windows {
        let id = FileId { table: source.table.clone(), key: window.output.path.clone() };
        let is_same = |record: &FileRecord| record.version.mark == window.version().mark;
        let is_known = ledger.file(&id).is_some_and(|known| is_same(&known.record));
        // What may be replaced at any moment is not read: it is news once it is committed.
        if window.is_in_doubt {
            found.held.insert(id);
        } else if !is_known {
            news.push(window.clone());
        }
        listed.push(window.listed());
    }
    found.listed.insert(&source.table, listed);
    if missing(source, ledger, found) && upstream.windows.is_empty() {
        let text = format!("source {} had rows, and its pipeline has none now", source.table);
        return Err(Error::new(Code::SourceMissing, text)
            .note("nothing was computed: a log that is gone must not look like an empty pipeline")
            .hint("restore the state folder of that pipeline"));
    }
    Ok(news)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parquet_is_what_its_pattern_names() {
        let all = glob::Pattern::new(ALL_PARQUET).unwrap();
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let parts = ["a", "/", "parquet", ".parquet", ".PARQUET", ".parquet.crc", "é"];
        let mut keys = vec![String::new()];
        for _ in 0..4 {
            let longer = keys.iter().flat_map(|key| parts.map(|part| format!("{key}{part}")));
            keys.extend(longer.collect::<Vec<_>>());
            keys.dedup();
        }
        let mut wanted = 0;
        for key in &keys {
            assert_eq!(is_wanted(&all, key), all.matches_with(key, options), "{key}");
            wanted += usize::from(is_wanted(&all, key));
        }
        assert!(wanted > 100 && wanted < keys.len() / 2, "{wanted} of {}", keys.len());
    }
}
