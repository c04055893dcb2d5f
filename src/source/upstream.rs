//! What another pipeline has committed, as input: told by its log, never by a list of its folder.

use crate::error::{Code, Error, Result};
use crate::hash::ContentHash;
use crate::ledger::{Delays, FileRecord, InputVersion};
use crate::spec::{PipelineSpec, SourceSpec};
use crate::state::{CommittedOutput, State};
use crate::store::ObjectMeta;
use crate::time::EventTime;

use super::reader::{OpenFile, SourceStore, open};
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
    pub(super) fn version(&self) -> InputVersion {
        let CommittedOutput { content, sha256, bytes, .. } = &self.output;
        let mark =
            content.as_ref().map_or_else(|| format!("sha256:{sha256}"), ContentHash::to_string);
        InputVersion { size: *bytes, mark, sha256: None }
    }

    /// Where to find the object, and how to know it.
    pub(super) fn listed(&self) -> Listed {
        Listed::Committed { path: self.output.path.clone(), att: self.output.att }
    }
}

/// The record of a window's object. Its footer is read in any case: an object that is not the
/// committed one must not be admitted.
pub(super) async fn record(
    spec: &PipelineSpec,
    source: &SourceSpec,
    store: &std::sync::Arc<SourceStore>,
    window: &UpstreamWindow,
) -> Result<FileRecord> {
    let meta = find(store, &window.output.path).await?;
    let file = open(store, &meta).await?;
    check_attempt(&file, window.output.att)?;
    if source.event_time.is_some() {
        let record = scan::scan(spec, source, store, &meta).await?;
        return Ok(FileRecord { version: window.version(), delays: Delays::default(), ..record });
    }
    let cell = source.margins.cell_at(&spec.grid, window.start);
    let rows = window.output.rows;
    let has_rows = cell.filter(|_| rows > 0);
    Ok(FileRecord {
        table: source.table.clone(),
        key: window.output.path.clone(),
        version: window.version(),
        arrived_at: meta.modified_at,
        rows,
        bytes_in_memory: scan::bytes_in_memory(&file),
        event_range: has_rows.map(|_| (window.start, window.start)),
        cells: has_rows.map(|cell| (cell.start(), rows)).into_iter().collect(),
        delays: Delays::default(),
        expired: Vec::new(),
        null_time: 0,
        future: 0,
        removed: false,
        settles: false,
        since: None,
    })
}

/// What the store has at `path` now.
pub(super) async fn find(store: &SourceStore, path: &str) -> Result<ObjectMeta> {
    let found = store.store().head(path).await?;
    found.ok_or_else(|| {
        let name = store.store().name_of(path);
        let text = format!("{name} is gone, although its pipeline committed it");
        Error::new(Code::CorruptInput, text)
            .note("it is the input of another pipeline")
            .hint("`highwater verify` names all that is gone")
            .hint("`highwater reprocess` of its window makes it anew")
    })
}

/// Whether `file` was written by the attempt `att`, as its footer says.
pub(super) fn check_attempt(file: &OpenFile, att: crate::id::AttemptId) -> Result<()> {
    let metadata = file.metadata.metadata().file_metadata();
    let values = metadata.key_value_metadata().into_iter().flatten();
    let mut written = values.filter(|pair| pair.key == "highwater.attempt");
    let is_it = written.any(|pair| pair.value.as_deref() == Some(att.to_string().as_str()));
    if is_it {
        return Ok(());
    }
    Err(Error::new(
        Code::InputChanged,
        format!("{} is not what its pipeline committed last", file.name()),
    )
    .note("its pipeline is at work on it, or was stopped in the middle of it")
    .hint("run again once that pipeline has run: `highwater run` does both in order"))
}
