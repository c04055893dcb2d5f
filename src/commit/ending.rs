//! With which entry a batch ends.

use super::batch::{Aim, Batch};
use crate::id::{BatchId, Generation};
use crate::ledger::FileId;
use crate::state::{
    Aside, AsideFailure, AsideFile, BatchWindow, BeginAside, BlankWindow, Body, Commit,
    CommittedOutput, CommittedWindow, Failed, FailedWindow,
};
use crate::time::EventTime;

/// The entry that says what became of a batch: `commit`, if it was computed.
pub(super) fn body(mut commit: Commit, aim: Aim) -> Body {
    match aim {
        Aim::Compute => Body::Commit(commit),
        Aim::Restore(revisions) => {
            for window in &mut commit.windows {
                window.restores = revisions.get(&window.start).copied();
            }
            Body::Rollback(commit)
        }
        Aim::SetAside(files) => Body::Aside(aside(commit, &files)),
        // To give a batch up is to vouch for every object of it.
        Aim::Blank(why) if commit.failed.is_empty() && !commit.windows.is_empty() => {
            let blank = commit.windows.into_iter().map(blank).collect();
            Body::Abort { batch: commit.batch, why, blank }
        }
        Aim::Blank(_) => Body::Failed(Failed { batch: Some(commit.batch), windows: commit.failed }),
    }
}

fn blank(window: CommittedWindow) -> BlankWindow {
    BlankWindow { start: window.start, end: window.end, outputs: window.outputs }
}

/// The entry that says that nothing of `batch` could be computed.
pub(super) fn all_failed(batch: &Batch, windows: Vec<FailedWindow>) -> Body {
    if let Aim::SetAside(files) = &batch.aim {
        let failed = windows.into_iter().filter_map(|window| not_aside(window, files));
        return Body::Aside(Aside { batch: batch.id, files: Vec::new(), failed: failed.collect() });
    }
    Body::Failed(Failed { batch: Some(batch.id), windows })
}

/// The entry that begins to keep rows of `files` aside, which stand in place of `windows`.
pub(super) fn begin_aside(
    batch: BatchId,
    files: &[(FileId, Generation)],
    windows: &[BatchWindow],
) -> BeginAside {
    let objects = windows.iter().filter_map(|window| {
        let object = window.outputs.first()?.clone();
        named(window.start, files, object)
    });
    BeginAside { batch, files: objects.collect() }
}

fn aside(commit: Commit, files: &[(FileId, Generation)]) -> Aside {
    let published = |window: CommittedWindow| {
        let object: CommittedOutput = window.outputs.into_iter().next()?;
        named(window.start, files, object)
    };
    let failed = commit.failed.into_iter().filter_map(|window| not_aside(window, files));
    Aside {
        batch: commit.batch,
        failed: failed.collect(),
        files: commit.windows.into_iter().filter_map(published).collect(),
    }
}

fn not_aside(
    window: FailedWindow,
    files: &[(FileId, Generation)],
) -> Option<AsideFile<AsideFailure>> {
    let FailedWindow { start, code, message, .. } = window;
    named(start, files, AsideFailure { code, message })
}

/// What is said of the file that stands in place of the window at `start`.
fn named<T>(start: EventTime, files: &[(FileId, Generation)], object: T) -> Option<AsideFile<T>> {
    let (file, generation) = files.get(usize::try_from(start.micros()).ok()?)?;
    let FileId { table, key } = file.clone();
    Some(AsideFile { table, key, generation: *generation, object })
}
