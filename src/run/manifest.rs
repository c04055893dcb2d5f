//! The committed files of a pipeline, now or as of an older entry of its log.
//!
//! Where they are is told by the log: an object whose attempt still stands is in its place, and one
//! that was replaced since is in the history, if it was kept; what was retired is nowhere. Only of
//! windows in doubt the object itself is looked at.

use std::sync::Arc;

use super::project::Project;
use super::rollback::copy_of;
use crate::error::{Code, Error, Result};
use crate::id::Seq;
use crate::log::StateLog;
use crate::report::{Manifest, ManifestFile};
use crate::spec::{PipelineSpec, QuarantineSpec};
use crate::state::{CommittedOutput, CommittedWindow, State};
use crate::store::Store;
use crate::window::Window;

/// Windows that are named one by one when their files are gone.
const NAMED_MAX: usize = 5;

/// The committed files of `spec`, as of entry `as_of` or now.
///
/// # Errors
/// If the log has no such entry, or a file of that time is not to be had any more.
pub async fn manifest(
    project: &Project,
    spec: &PipelineSpec,
    as_of: Option<Seq>,
) -> Result<Manifest> {
    let log = project.log(&spec.name);
    let Some(now) = log.read().await? else {
        return as_of.map_or_else(|| Ok(Manifest::default()), |seq| Err(beyond(spec, seq, None)));
    };
    let seq = as_of.unwrap_or(now.head.seq);
    if seq > now.head.seq {
        return Err(beyond(spec, seq, Some(now.head.seq)));
    }
    let then = if seq == now.head.seq { None } else { fold_until(&log, seq).await? };
    let finder = Finder { outputs: project.outputs(&spec.name), log, now: &now };
    let mut manifest = Manifest { as_of: Some(seq), files: Vec::new() };
    let mut gone = Vec::new();
    for window in then.as_ref().unwrap_or(&now).windows.values().map(|window| &window.committed) {
        match finder.files(window).await? {
            Some(files) => manifest.files.extend(files),
            None => gone.push(Window::new(window.start, window.end)),
        }
    }
    if gone.is_empty() { Ok(manifest) } else { Err(lost(spec, seq, &gone)) }
}

/// The state once the log had the entry `last`.
async fn fold_until(log: &StateLog, last: Seq) -> Result<Option<State>> {
    let mut state: Option<State> = None;
    log.for_each(|entry, hash| {
        let folded = match &mut state {
            _ if entry.n > last => Ok(()),
            Some(state) => state.apply(&entry, hash),
            None => State::start(&entry, hash).map(|first| state = Some(first)),
        };
        folded.map_err(|violation| log.damaged(violation.seq, &violation.to_string()))
    })
    .await?;
    Ok(state)
}

/// Finds where the files of a window are.
struct Finder<'a> {
    log: StateLog,
    outputs: Arc<dyn Store>,
    now: &'a State,
}

impl Finder<'_> {
    /// The files of `window`; `None` if one of them is not to be had.
    async fn files(&self, window: &CommittedWindow) -> Result<Option<Vec<ManifestFile>>> {
        let mut files = Vec::with_capacity(window.outputs.len());
        // What was put aside is no result: nobody is to read it as one.
        let is_result = |output: &&CommittedOutput| !QuarantineSpec::is_name(&output.name);
        for output in window.outputs.iter().filter(is_result) {
            let Some(path) = self.path(window, output).await? else { return Ok(None) };
            files.push(ManifestFile {
                start: window.start,
                end: window.end,
                revision: window.rev,
                output: output.name.clone(),
                path,
                bytes: output.bytes,
                rows: output.rows,
                sha256: output.sha256,
            });
        }
        Ok(Some(files))
    }

    async fn path(
        &self,
        window: &CommittedWindow,
        output: &CommittedOutput,
    ) -> Result<Option<String>> {
        let now = self.now.windows.get(&window.start).map(|now| now.committed.outputs.iter());
        // Revisions are numbered anew after a retirement, attempts never.
        let stands =
            now.into_iter().flatten().any(|now| now.att == output.att && now.path == output.path);
        let is_in_doubt = self.now.in_doubt.contains_key(&window.start);
        if stands
            && (!is_in_doubt || self.outputs.sha256(&output.path).await? == Some(output.sha256))
        {
            return Ok(Some(self.outputs.name_of(&output.path)));
        }
        let key = copy_of(window, output);
        let copy = self.log.store().head(&key).await?;
        let is_whole = copy.is_some_and(|copy| copy.size == output.bytes);
        Ok(is_whole.then(|| self.log.store().name_of(&key)))
    }
}

fn beyond(spec: &PipelineSpec, seq: Seq, head: Option<Seq>) -> Error {
    let end =
        head.map_or_else(|| "has no entry yet".to_owned(), |head| format!("ends with {head}"));
    Error::new(Code::Usage, format!("there is no entry {seq}: the log of {} {end}", spec.name))
        .hint("`highwater history` lists commits with their entries")
}

fn lost(spec: &PipelineSpec, seq: Seq, gone: &[Option<Window>]) -> Error {
    let labels: Vec<String> =
        gone.iter().take(NAMED_MAX).flatten().map(|window| spec.grid.label(*window)).collect();
    let more = gone.len().saturating_sub(labels.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let labels = labels.join(", ");
    let text = format!("as of entry {seq} not all files are to be had: windows {labels}{more}");
    Error::new(Code::RevisionGone, text)
        .note("they were replaced or retired since, and are not in the history")
        .hint("`keep` in [history] says how many earlier revisions stay")
}
