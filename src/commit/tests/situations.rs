//! What must be seen to happen, for a search to have looked where it says.

use std::collections::BTreeMap;

use super::journal::{Journal, Wanted};
use super::program::Run;
use super::work::OPTIONAL;
use crate::commit::{Effect, Event, Outcome};
use crate::error::Code;
use crate::id::RunId;
use crate::state::{BatchOutput, State, WindowState};
use crate::time::EventTime;

/// What a search may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sight {
    /// A run claims the log of another that lives.
    TakeoverOfTheLiving,
    /// A run finds a newer claim where it would append.
    FencedAtAnAppend,
    /// A run finds a newer claim before it publishes.
    FencedBeforePublishing,
    /// A claim finds another entry at its place.
    ClaimTooLate,
    /// A run reads its own entry back.
    OwnEntryFound,
    /// A run recognises its own object.
    OwnObjectFound,
    /// A batch is committed but for a window whose object may or may not be there.
    CommittedInDoubt,
    /// A batch is committed but for a window that was not touched.
    CommittedWithFailed,
    /// A batch fails as a whole.
    FailedAsAWhole,
    /// A window in doubt is begun once more.
    BegunInDoubt,
    /// A window is committed with the objects it had.
    CommittedUnchanged,
    /// An entry lands late.
    LateEntry,
    /// An object lands late when another run has the log.
    LateObjectAfterTakeover,
    /// An object would land late, but its condition does not hold.
    LateObjectRefused,
    /// A copy of a run finds an entry of the other at its place.
    CopyStopped,
    /// A window is committed without the optional object that was begun.
    OptionalLeftOut,
    /// An optional object is committed where there was none.
    OptionalAdded,
    /// An optional object is replaced by one without rows.
    OptionalEmptied,
    /// An optional object without rows is replaced by one that has some.
    OptionalFilled,
    /// A window is begun whose optional object may not be left out, for an attempt may lie there.
    OptionalDoubted,
    /// Rows are kept aside where an attempt may lie.
    AsideBegunInDoubt,
    /// It is not known whether rows are kept aside.
    AsideEndedInDoubt,
    /// Rows kept aside are replaced by those of another version of their file.
    AsideReplaced,
    /// Rows are not kept aside any more, for the file has none.
    AsideEmptied,
    /// Rows could not be kept aside, and nothing was touched.
    AsideFailed,
    /// A run ends well.
    Finished,
    /// All runs died, and the next one completes everything.
    Recovered,
}

/// How often something was seen.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<Sight, u64>);

/// One step of a run.
pub(super) struct Step<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) event: &'a Event,
    pub(super) before: &'a Journal,
    pub(super) after: &'a Journal,
    /// The run before and after.
    pub(super) run: (&'a Run, &'a Run),
    /// The other runs that live.
    pub(super) others: Vec<RunId>,
}

/// What is wrong about this end of a run, if no store lied.
pub(super) fn wrong(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Corrupt { .. } => Some(format!("a whole log is taken for damaged: {outcome:?}")),
        Outcome::Refused(fault) if fault.code == Code::Bug => Some(fault.message.clone()),
        _ => None,
    }
}

impl Seen {
    /// What was seen by several.
    pub(super) fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for (sight, times) in all.flat_map(|seen| &seen.0) {
            *sum.0.entry(*sight).or_default() += times;
        }
        sum
    }

    /// How often it was seen.
    pub(super) fn times(&self, sight: Sight) -> u64 {
        self.0.get(&sight).copied().unwrap_or_default()
    }

    fn count(&mut self, sight: Sight) {
        *self.0.entry(sight).or_default() += 1;
    }

    /// All runs died, and the next one completed everything.
    pub(super) fn recovered(&mut self) {
        self.count(Sight::Recovered);
    }

    /// A late write arrived, and did or did not land, on the world of `before`.
    pub(super) fn landed(&mut self, wanted: &Wanted, lands: bool, before: &Journal) {
        match &wanted.effect {
            Effect::Publish { staged, .. } => {
                let (run, _) = staged.att.0.as_u64_pair();
                let is_superseded =
                    before.state.head.run != RunId(uuid::Uuid::from_u128(run.into()));
                if !lands {
                    self.count(Sight::LateObjectRefused);
                } else if is_superseded {
                    self.count(Sight::LateObjectAfterTakeover);
                }
            }
            _ if lands => self.count(Sight::LateEntry),
            _ => (),
        }
    }

    /// A run took a step.
    pub(super) fn step(&mut self, step: &Step<'_>) {
        let Step { wanted, event, before, after, run: (was, is), others } = step;
        let next = was.state().next_seq();
        match (&wanted.effect, event) {
            (Effect::ReadEntry { seq }, Event::EntryRead(Ok(Some(_)))) => {
                let is_fence = Some(*seq) == next;
                match is.ended {
                    Some(Outcome::Fenced { .. }) if is_fence => {
                        self.count(Sight::FencedBeforePublishing);
                    }
                    Some(Outcome::Fenced { .. }) => self.count(Sight::FencedAtAnAppend),
                    Some(Outcome::OwnerIsAlive { .. }) => self.count(Sight::ClaimTooLate),
                    Some(Outcome::Cloned { .. }) => self.count(Sight::CopyStopped),
                    _ => self.count(Sight::OwnEntryFound),
                }
            }
            (Effect::Inspect { .. }, Event::Inspected(_, Ok(true))) => {
                self.count(Sight::OwnObjectFound);
            }
            (Effect::CreateEntry { kind, .. }, _) if before.state.head != after.state.head => {
                self.appended(kind, before, after, others);
            }
            _ => (),
        }
        if matches!(is.ended, Some(Outcome::Committed(_))) {
            self.count(Sight::Finished);
        }
    }

    fn appended(&mut self, kind: &str, before: &Journal, after: &Journal, others: &[RunId]) {
        let (was, is) = (&before.state, &after.state);
        let is_new = |(_, window): &(_, &WindowState)| window.seq == is.head.seq;
        match kind {
            "claim" if was.holder.is_some() && others.contains(&was.head.run) => {
                self.count(Sight::TakeoverOfTheLiving);
            }
            "begin" => {
                if !was.in_doubt.is_empty() {
                    self.count(Sight::BegunInDoubt);
                }
                let must_be = |output: &BatchOutput| !output.optional && output.before.is_none();
                if begun_optional(is).any(|(_, output)| must_be(output)) {
                    self.count(Sight::OptionalDoubted);
                }
            }
            "begin_aside" if was.asides.values().any(|known| known.is_in_doubt) => {
                self.count(Sight::AsideBegunInDoubt);
            }
            "aside" => self.kept_aside(was, is),
            "failed" => self.count(Sight::FailedAsAWhole),
            "commit" => {
                let committed: Vec<_> = is.windows.iter().filter(is_new).collect();
                if !is.in_doubt.is_empty() {
                    self.count(Sight::CommittedInDoubt);
                }
                if !is.failed.is_empty() {
                    self.count(Sight::CommittedWithFailed);
                }
                if committed.iter().any(|(_, window)| window.committed.unchanged) {
                    self.count(Sight::CommittedUnchanged);
                }
                let committed = committed.into_iter().map(|(start, _)| *start);
                committed.for_each(|start| self.committed_optional(start, was, is));
            }
            _ => (),
        }
    }

    /// The window at `start` was committed.
    fn committed_optional(&mut self, start: EventTime, was: &State, is: &State) {
        let was_begun = begun_optional(was).any(|(begun, _)| begun == start);
        match (optional_rows(was, start), optional_rows(is, start)) {
            (None, None) if was_begun => self.count(Sight::OptionalLeftOut),
            (None, Some(_)) => self.count(Sight::OptionalAdded),
            (Some(1..), Some(0)) => self.count(Sight::OptionalEmptied),
            (Some(0), Some(1..)) => self.count(Sight::OptionalFilled),
            _ => (),
        }
    }

    /// A batch of rows kept aside ended.
    fn kept_aside(&mut self, was: &State, is: &State) {
        for (file, before) in &was.asides {
            let Some(after) = is.asides.get(file) else {
                self.count(Sight::AsideFailed);
                continue;
            };
            let rows = after.committed.as_ref().map(|committed| committed.object.rows);
            match (before.committed.is_some(), rows) {
                _ if after.is_in_doubt => self.count(Sight::AsideEndedInDoubt),
                _ if before.committed == after.committed => self.count(Sight::AsideFailed),
                (true, Some(0)) => self.count(Sight::AsideEmptied),
                (true, _) => self.count(Sight::AsideReplaced),
                _ => (),
            }
        }
    }
}

/// The optional objects that are begun, with the starts of their windows.
fn begun_optional(state: &State) -> impl Iterator<Item = (EventTime, &BatchOutput)> {
    let windows = state.open.values().flat_map(|open| &open.windows);
    let outputs = windows
        .flat_map(|(start, (window, _))| window.outputs.iter().map(move |output| (*start, output)));
    outputs.filter(|(_, output)| output.name == OPTIONAL)
}

/// The rows of the optional object of the window at `start`, if it was committed with one.
fn optional_rows(state: &State, start: EventTime) -> Option<u64> {
    let mut outputs = state.windows.get(&start)?.committed.outputs.iter();
    Some(outputs.find(|output| output.name == OPTIONAL)?.rows)
}
