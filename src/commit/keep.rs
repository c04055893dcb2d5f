//! The history: what a publication replaces is kept first, so that it can be restored.
//!
//! What is to be kept is known from the log alone: the object as the last commit says it is. What
//! else may lie there, an attempt that was never committed or something damaged, is nobody's
//! revision. The name of a copy is made from the commit as well, so whoever keeps a revision, and
//! however often, writes the same bytes to the same place; a copy that was made by a writer that
//! died before it published is found by the next one, who may find something else in place of the
//! object by then.

use super::{Aim, Batch, Effect, ObjectIndex};
use crate::hash::Sha256;
use crate::id::{AttemptId, Revision};
use crate::state::{CommittedOutput, LostOutput, State};
use crate::time::EventTime;

/// What names the copy of one object of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The window's start.
    pub start: EventTime,
    /// The output's name.
    pub output: String,
    /// The revision.
    pub rev: Revision,
    /// The attempt that wrote it.
    pub att: AttemptId,
}

impl Copy {
    /// The name of the copy of `output` in the revision `rev` of the window at `start`.
    #[must_use]
    pub fn of(start: EventTime, rev: Revision, output: &CommittedOutput) -> Self {
        Self { start, output: output.name.clone(), rev, att: output.att }
    }
}

/// An object that is to be replaced, as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    path: String,
    sha256: Sha256,
    copy: Copy,
    /// Whether there is a copy, once that is known.
    pub(super) is_there: Option<bool>,
}

impl Kept {
    /// What `state` says of the object at `path`, which the batch's window at place `window` is to
    /// replace.
    pub(super) fn of(state: &State, batch: &Batch, window: usize, path: &str) -> Option<Self> {
        if matches!(batch.aim, Aim::SetAside(_)) {
            // What was aside was made from a version that is gone: nobody goes back to it.
            return None;
        }
        let start = batch.windows.get(window)?.start;
        let committed = &state.windows.get(&start)?.committed;
        let output = committed.outputs.iter().find(|output| output.path == path)?;
        Some(Self {
            path: path.to_owned(),
            sha256: output.sha256,
            copy: Copy::of(start, committed.rev, output),
            is_there: None,
        })
    }

    /// What to do before it is replaced; nothing if that is done.
    pub(super) fn effect(&self, object: ObjectIndex) -> Option<Effect> {
        let (path, sha256, to) = (self.path.clone(), self.sha256, self.copy.clone());
        self.is_there.is_none().then_some(Effect::Keep { object, path, sha256, to })
    }

    /// What the log is told if it could not be kept.
    pub(super) fn lost(&self, start: EventTime) -> Option<LostOutput> {
        let (rev, output) = (self.copy.rev, self.copy.output.clone());
        (self.is_there == Some(false)).then_some(LostOutput { start, rev, output })
    }
}
