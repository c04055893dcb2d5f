//! Which rows that belong to no window are to be kept aside.

use std::collections::BTreeSet;

use crate::hash::Sha256;
use crate::id::Generation;
use crate::ledger::{Admitted, FileId, FileRecord};
use crate::plan::Facts;
use crate::spec::{OnExpired, OnNullTime, PipelineSpec, SourceSpec};
use crate::state::State;

/// A source file of which rows are to be kept aside, or of which none are any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAside {
    /// The file.
    pub file: FileId,
    /// The generation its version came with.
    pub generation: Generation,
    /// How many of its rows belong there.
    pub rows: u64,
    /// The object's key.
    pub path: String,
    /// What it holds by the log.
    pub before: Option<Sha256>,
}

/// The files whose objects are not what they are to be, by the log or because they are `damaged`,
/// in the order of table and key. A file that is gone for now can give no rows: it waits.
#[must_use]
pub fn asides(facts: &Facts<'_>, damaged: &BTreeSet<FileId>) -> Vec<DueAside> {
    let Facts { spec, state, ledger, .. } = facts;
    let mut due = Vec::new();
    for source in &spec.sources {
        for (id, known) in ledger.files_of(&source.table) {
            let is_there = || !facts.missing.contains(id) && !facts.held.contains(id);
            let owed = owed(spec, state, source, id, known, damaged.contains(id));
            due.extend(owed.filter(|due| due.rows == 0 || is_there()));
        }
    }
    due
}

/// What is to be done about one file, if anything.
fn owed(
    spec: &PipelineSpec,
    state: &State,
    source: &SourceSpec,
    id: &FileId,
    admitted: &Admitted,
    is_damaged: bool,
) -> Option<DueAside> {
    let rows = rows_aside(source, &admitted.record);
    let known = state.asides.get(id);
    let committed = known.and_then(|known| known.committed.as_ref());
    let is_in_doubt = known.is_some_and(|known| known.is_in_doubt);
    let generation = admitted.came_with();
    let is_right = match committed {
        None => rows == 0,
        Some(done) if rows == 0 => done.object.rows == 0,
        Some(done) => done.generation == generation && done.object.rows == rows,
    };
    if is_right && !is_in_doubt && !is_damaged {
        return None;
    }
    let path = committed.map(|done| done.object.path.clone());
    Some(DueAside {
        file: id.clone(),
        generation,
        rows,
        path: path.unwrap_or_else(|| path_of(spec, id)),
        before: committed.map(|done| done.object.sha256),
    })
}

/// How many rows of a file are kept aside because they belong to no window.
#[must_use]
pub fn rows_aside(source: &SourceSpec, record: &FileRecord) -> u64 {
    let mut rows = 0_u64;
    if source.on_null_time == OnNullTime::Quarantine {
        rows = rows.saturating_add(record.null_time).saturating_add(record.future);
    }
    if source.on_expired == OnExpired::Quarantine {
        rows = rows.saturating_add(record.expired_rows());
    }
    rows
}

fn path_of(spec: &PipelineSpec, id: &FileId) -> String {
    let FileId { table, key } = id;
    let end = if key.ends_with(".parquet") { "" } else { ".parquet" };
    format!("{}/{table}/{key}{end}", spec.aside)
}
