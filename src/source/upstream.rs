//! What another pipeline has committed, as input: told by its log, never by a list of its folder.

use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::hash::{ContentHash, Sha256};
use crate::id::AttemptId;
use crate::ledger::{Delays, FileId, FileRecord, InputVersion};
use crate::spec::{PipelineSpec, SourceSpec};
use crate::state::{CommittedOutput, State};
use crate::store::ObjectMeta;
use crate::time::EventTime;

use super::reader::{OpenFile, open};
use super::stored::SourceStore;
use super::{Listed, scan};

/// The column that holds the start of the upstream's window.
pub const WINDOW_START: &str = "_window_start";

/// What another pipeline has committed to one of its outputs.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// Its watermark; `None` before its first commit.
    pub watermark: Option<EventTime>,
    /// The objects of its windows, ascending.
    pub windows: Vec<UpstreamWindow>,
}

/// The object of one window of another pipeline.
#[derive(Clone, Debug)]
pub struct UpstreamWindow {
    /// The window's start.
    pub start: EventTime,
    /// What was committed.
    pub output: CommittedOutput,
    /// Whether the object may hold an attempt that was not committed.
    pub is_in_doubt: bool,
}

impl Upstream {
    /// What `state` says of the output called `output`.
    #[must_use]
    pub fn of(state: &State, output: &str) -> Self {
        let windows = state.windows.iter().filter_map(|(start, window)| {
            let committed = window.committed.outputs.iter().find(|other| other.name == output)?;
            let is_in_doubt = state.in_doubt.contains_key(start);
            Some(UpstreamWindow { start: *start, output: committed.clone(), is_in_doubt })
        });
        Self { watermark: state.watermark, windows: windows.collect() }
    }
}

impl UpstreamWindow {
    /// The version of the object: its rows, whatever attempt wrote them. So a window that was
    /// computed again with equal rows is no news.
    #[must_use]
    pub fn version(&self) -> InputVersion {
        let CommittedOutput { content, sha256, bytes, .. } = &self.output;
        let mark =
            content.as_ref().map_or_else(|| format!("sha256:{sha256}"), ContentHash::to_string);
        InputVersion { size: *bytes, mark, sha256: None }
    }

    /// Where to find the object, and how to know it.
    pub(super) fn listed(&self) -> Listed {
        Listed::Committed(self.object())
    }

    fn object(&self) -> CommittedObject {
        let CommittedOutput { path, att, sha256, .. } = &self.output;
        CommittedObject { path: path.clone(), att: *att, sha256: *sha256 }
    }
}

/// The record of a window's object. Its footer is read in any case: an object that is not the
/// committed one must not be admitted.
pub(super) async fn record(
    spec: &PipelineSpec,
    source: &SourceSpec,
    store: &Arc<SourceStore>,
    window: &UpstreamWindow,
) -> Result<FileRecord> {
    let (meta, file) = window.object().open(store).await?;
    if source.event_time.is_some() {
        let record = scan::scan(spec, source, store, &meta).await?;
        return Ok(FileRecord { version: window.version(), delays: Delays::default(), ..record });
    }
    let cell = source.margins.cell_at(&spec.grid, window.start);
    let rows = window.output.rows;
    let has_rows = cell.filter(|_| rows > 0);
    let id = FileId { table: source.table.clone(), key: window.output.path.clone() };
    Ok(FileRecord {
        rows,
        bytes_in_memory: scan::bytes_in_memory(&file),
        event_range: has_rows.map(|_| (window.start, window.start)),
        cells: has_rows.map(|cell| (cell.start(), rows)).into_iter().collect(),
        ..FileRecord::empty(id, window.version(), meta.modified_at)
    })
}

/// An object that another pipeline committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedObject {
    /// Its key.
    pub path: String,
    /// The attempt that wrote it, which its footer names.
    pub att: AttemptId,
    /// The hash of its bytes.
    pub sha256: Sha256,
}

impl CommittedObject {
    /// Opens it, if it is, byte for byte, what was committed. The bytes that were hashed are those
    /// that are read later: every read asks for the version that was found here.
    pub(super) async fn open(&self, store: &Arc<SourceStore>) -> Result<(ObjectMeta, OpenFile)> {
        let Some(meta) = store.store().head(&self.path).await? else {
            return Err(self.damaged(store, "is gone"));
        };
        if store.store().sha256(&self.path).await? == Some(self.sha256) {
            let file = open(store, &meta).await?;
            return Ok((meta, file));
        }
        match open(store, &meta).await {
            Ok(file) if file.attempt() != Some(self.att) => Err(Error::new(
                Code::InputChanged,
                format!("{} is not what its pipeline committed last", file.name()),
            )
            .note("its pipeline is at work on it, or was stopped in the middle of it")
            .hint("run again once that pipeline has run: `highwater run` does both in order")
            .hint("if it stays so, `highwater verify` names it: `highwater reprocess` its window")),
            Err(why) if why.code() == Code::InputChanged => Err(why),
            _ => Err(self.damaged(store, "has other bytes than its pipeline committed")),
        }
    }

    fn damaged(&self, store: &SourceStore, what: &str) -> Error {
        let name = store.store().name_of(&self.path);
        Error::new(Code::UpstreamDamaged, format!("{name} {what}"))
            .note("it is the output of another pipeline, and read by this one")
            .hint("`highwater verify` names all that is damaged")
            .hint("`highwater reprocess` of its window makes it anew")
    }
}
