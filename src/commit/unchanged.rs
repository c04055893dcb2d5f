//! Early cut-off: a window whose computed rows are those it has already keeps its objects.
//!
//! Readers are spared a replacement, and whatever is computed from the window stays as it is. Only
//! windows that nobody asked for are spared, for a request is how damage is repaired, and none that
//! is in doubt. The objects must be, byte for byte, what the log says of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Batch, ComputedWindow, Effect, ObjectIndex, StoreFault};
use crate::state::{BatchWindow, CommittedWindow, FailedWindow, Reason, State};

/// Looks which windows of a batch hold already what was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// What would be committed of the windows that may keep their objects, by place in the batch.
    candidates: BTreeMap<usize, CommittedWindow>,
    waiting: BTreeSet<ObjectIndex>,
}

impl Comparison {
    /// The windows of `batch` whose rows, as `computed`, are those that `state` says they have.
    pub(super) fn new(
        state: &State,
        batch: &Batch,
        computed: &[Result<ComputedWindow, FailedWindow>],
    ) -> Self {
        let windows = batch.windows.iter().zip(computed).enumerate();
        let candidates: BTreeMap<_, _> = windows
            .filter_map(|(place, (begun, computed))| {
                let computed = computed.as_ref().ok()?;
                Some((place, candidate(state, batch, begun, computed)?))
            })
            .collect();
        let objects = candidates.iter().flat_map(|(window, committed)| {
            let outputs = 0..committed.outputs.len();
            outputs.map(|output| ObjectIndex { window: *window, output })
        });
        let waiting = objects.collect();
        Self { candidates, waiting }
    }

    /// What to look at.
    pub(super) fn effects(&self) -> Vec<Effect> {
        let look = |object: &ObjectIndex| {
            let output = self.candidates.get(&object.window)?.outputs.get(object.output)?;
            let (object, path, sha256) = (*object, output.path.clone(), output.sha256);
            Some(Effect::Inspect { object, path, sha256 })
        };
        self.waiting.iter().filter_map(look).collect()
    }

    /// It is known whether an object is as the log says. If it cannot be known, it is replaced.
    pub(super) fn inspected(&mut self, object: ObjectIndex, answer: &Result<bool, StoreFault>) {
        self.waiting.remove(&object);
        if *answer != Ok(true) {
            self.candidates.remove(&object.window);
        }
    }

    /// Whether every answer is in.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What to commit of the windows that keep their objects, by place in the batch.
    pub(super) fn kept(self) -> BTreeMap<usize, CommittedWindow> {
        self.candidates
    }
}

/// What would be committed of a window that keeps its objects, if it may.
fn candidate(
    state: &State,
    batch: &Batch,
    begun: &BatchWindow,
    computed: &ComputedWindow,
) -> Option<CommittedWindow> {
    let open = state.open.get(&batch.id)?;
    let (_, was_in_doubt) = open.windows.get(&begun.start)?;
    let before = &state.windows.get(&begun.start)?.committed;
    let is_alike = before.outputs.len() == computed.outputs.len()
        && before.outputs.iter().zip(&computed.outputs).all(|(before, now)| {
            before.path == now.path && before.content.is_some() && before.content == now.content
        });
    let may_be_kept = is_alike && !was_in_doubt && begun.reason != Reason::Requested;
    may_be_kept.then(|| CommittedWindow {
        reason: begun.reason,
        inputs: computed.inputs.clone(),
        rows: computed.rows,
        balance: computed.balance.clone(),
        checks: computed.checks.clone(),
        unchanged: true,
        ..before.clone()
    })
}
