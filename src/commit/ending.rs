//! With which entry a batch ends.

use super::batch::Aim;
use crate::state::{BlankWindow, Body, Commit, CommittedWindow, Failed};

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
