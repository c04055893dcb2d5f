//! Revisions that follow each other, and windows that go back to an earlier one.

use super::{Check, announces, rule};
use crate::id::{BatchId, Revision, Seq};
use crate::invariant::Invariant;
use crate::state::entry::{BlankWindow, Commit, CommittedWindow, LostOutput, Reason};
use crate::state::{EARLIER_MAX, Earlier, OpenBatch, State, WindowState};

impl State {
    /// The entry that publishes the revision of `committed`, which entry `seq` commits, and the
    /// revisions before it.
    pub(super) fn succession(
        &self,
        seq: Seq,
        committed: &CommittedWindow,
        lost: &[LostOutput],
    ) -> (Seq, Vec<Earlier>) {
        let Some(before) = self.windows.get(&committed.start) else {
            return (seq, Vec::new());
        };
        let mut earlier = before.earlier.clone();
        if committed.unchanged {
            return (before.published, earlier);
        }
        let (start, rev) = (committed.start, before.committed.rev);
        let is_lost = lost.iter().any(|lost| lost.start == start && lost.rev == rev);
        earlier.push(Earlier { rev, seq: before.published, is_lost });
        let excess = earlier.len().saturating_sub(EARLIER_MAX);
        earlier.drain(..excess);
        (seq, earlier)
    }

    /// What is lost was replaced by `commit`, which is entry `seq` and taken in already.
    pub(super) fn check_lost(&self, seq: Seq, commit: &Commit) -> Check {
        for lost in &commit.lost {
            let window = self.windows.get(&lost.start).filter(|window| window.published == seq);
            let replaced = window.and_then(|window| window.earlier.last());
            rule(
                replaced.is_some_and(|replaced| replaced.rev == lost.rev),
                Invariant::Cm2,
                || {
                    let LostOutput { start, rev, .. } = lost;
                    format!(
                        "it loses revision {rev} of the window at {start}, but does not replace it"
                    )
                },
            )?;
        }
        Ok(())
    }

    /// Windows that hold again the rows of an earlier revision. What is known of their inputs by
    /// now is acknowledged, unless nobody asked for it: a window that was in doubt and could not be
    /// computed stays as due as it was.
    pub(super) fn apply_rollback(&mut self, seq: Seq, rollback: &Commit) -> Check {
        let moves_nothing = rollback.watermark.is_none() && rollback.empty.is_empty();
        rule(moves_nothing, Invariant::Wm1, || "it goes back and moves the watermark".into())?;
        let mut open = self.end_batch(rollback.batch)?;
        for committed in &rollback.windows {
            let begun = open.windows.remove(&committed.start);
            let is_as_begun = begun.is_some_and(|(window, _)| announces(&window, committed));
            rule(is_as_begun && !committed.unchanged, Invariant::Cm2, || {
                format!("it restores the window at {} otherwise than begun", committed.start)
            })?;
            rule(committed.rows.closes(), Invariant::In2, || {
                format!("rows of the window at {} do not add up", committed.start)
            })?;
            self.restore(seq, &open, committed, &rollback.lost)?;
        }
        for failed in &rollback.failed {
            let begun = open.windows.remove(&failed.start);
            rule(begun.is_some(), Invariant::Cm2, || {
                format!("the window at {} was not begun", failed.start)
            })?;
            if let Some((_, false)) = begun {
                self.in_doubt.remove(&failed.start);
            }
        }
        self.check_lost(seq, rollback)
    }

    fn restore(
        &mut self,
        seq: Seq,
        open: &OpenBatch,
        committed: &CommittedWindow,
        lost: &[LostOutput],
    ) -> Check {
        let start = committed.start;
        let before = self.windows.get(&start);
        let is_asked_for = committed.reason == Reason::Requested;
        let restored = committed.restores.filter(|rev| before.is_some_and(|it| it.has(*rev)));
        rule(restored.is_some(), Invariant::Cm2, || {
            format!("the window at {start} has no revision {:?} to restore", committed.restores)
        })?;
        let from = before.filter(|_| !is_asked_for);
        let (published, earlier) = self.succession(seq, committed, lost);
        let window = WindowState {
            committed: committed.clone(),
            seq,
            published,
            earlier,
            begun: from.map_or(open.seq, |from| from.begun),
            generation: from.map_or(open.generation, |from| from.generation),
            query: from.map_or(open.query, |from| from.query),
            references: from.map_or(open.references, |from| from.references),
        };
        self.windows.commit(window, false);
        self.in_doubt.remove(&start);
        if is_asked_for {
            self.stale.remove(&start);
            self.failed.remove(&start);
        }
        Ok(())
    }

    /// A batch is given up. Where nothing was ever committed, its objects have no row now.
    pub(super) fn apply_abort(&mut self, batch: BatchId, blank: &[BlankWindow]) -> Check {
        let open = self.end_batch(batch)?;
        for window in blank {
            let start = window.start;
            let was_begun = open.windows.contains_key(&start);
            let is_empty = window.outputs.iter().all(|output| output.rows == 0);
            let is_first = was_begun && is_empty && !self.is_computed(start);
            rule(is_first, Invariant::Cm2, || {
                format!("the window at {start} is no blank window of the batch")
            })?;
            self.blank.insert(start, window.clone());
        }
        for start in open.windows.keys() {
            self.in_doubt.remove(start);
        }
        Ok(())
    }
}

impl WindowState {
    /// Whether `rev` is its revision, or an earlier one that was not lost.
    fn has(&self, rev: Revision) -> bool {
        let mut earlier = self.earlier.iter();
        rev == self.committed.rev || earlier.any(|earlier| earlier.rev == rev && !earlier.is_lost)
    }
}
