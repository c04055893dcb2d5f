//! A batch of windows on its way from staged files to published objects.

use std::collections::BTreeMap;

use super::ending;
use super::keep::Kept;
use super::{Effect, ObjectDigest, ObjectIndex, ObjectVersion, StoreFault, TRIES_MAX, WriteAnswer};
use crate::error::Code;
use crate::hash::ContentHash;
use crate::id::{AttemptId, BatchId, Generation, Revision, Seq};
use crate::ledger::FileId;
use crate::state::{
    Balance, BatchOutput, BatchWindow, Begin, Body, CheckCount, Commit, CommittedOutput,
    CommittedWindow, FailedWindow, InputsDigest, Reason, RowCounts, State, TimeRange,
};
use crate::time::EventTime;

/// The windows that are begun, computed, published and committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Names it.
    pub id: BatchId,
    /// The generation its inputs were planned from.
    pub generation: Generation,
    /// The entry of the query it is computed with.
    pub query: Seq,
    /// The entry of the reference tables it is computed with, if it has any.
    pub references: Option<Seq>,
    /// The windows to compute, ascending.
    pub windows: Vec<BatchWindow>,
    /// Stretches of windows without a row of input, committed with it.
    pub empty: Vec<TimeRange>,
    /// Where the row of windows begins, should the watermark not have moved before.
    pub base: EventTime,
    /// What its objects are made from.
    pub aim: Aim,
}

/// What the objects of a batch are made from; it decides with which entry the batch ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The query and its inputs.
    Compute,
    /// For each window, by start, the earlier revision that it goes back to.
    Restore(BTreeMap<EventTime, Revision>),
    /// Rows of source files that belong to no window. There are no windows: in place of each stands
    /// a file, the first at the first instant.
    SetAside(Vec<(FileId, Generation)>),
    /// Nothing: windows that were never committed, and cannot be computed, get objects without a
    /// row, for this reason.
    Blank(String),
}

/// A computed window: its objects are staged, none is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputedWindow {
    /// What it was computed from.
    pub inputs: InputsDigest,
    /// What became of its rows.
    pub rows: RowCounts,
    /// The same by rule and file.
    pub balance: Balance,
    /// What its checks found.
    pub checks: Vec<CheckCount>,
    /// Its objects, in the order of the batch's outputs; those that are optional may be missing.
    pub outputs: Vec<StagedOutput>,
}

/// A whole object on local disk that no reader can see yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedOutput {
    /// Where it lies, for the driver.
    pub staged_at: std::path::PathBuf,
    /// The key it is to be published under.
    pub path: String,
    /// Names the attempt; also in its footer.
    pub att: AttemptId,
    /// Its size and hash.
    pub digest: ObjectDigest,
    /// Its rows.
    pub rows: u64,
    /// The hash of its rows, where one could be made.
    pub content: Option<ContentHash>,
}

impl Batch {
    /// A batch that keeps rows of `files` aside, each in one object.
    #[must_use]
    pub fn set_aside(
        id: BatchId,
        generation: Generation,
        files: Vec<(FileId, Generation, BatchOutput)>,
    ) -> Self {
        let (mut windows, mut named) = (Vec::new(), Vec::new());
        for (place, (file, came_with, object)) in (0_i64..).zip(files) {
            windows.push(BatchWindow {
                start: EventTime::from_micros(place),
                end: EventTime::from_micros(place.saturating_add(1)),
                rev: Revision(1),
                reason: Reason::New,
                outputs: vec![object],
            });
            named.push((file, came_with));
        }
        let (query, base) = (Seq(0), EventTime::FIRST);
        let (references, empty, aim) = (None, Vec::new(), Aim::SetAside(named));
        Self { id, generation, query, references, windows, empty, base, aim }
    }

    /// The entry body that begins it.
    pub(super) fn begin(&self) -> Body {
        if let Aim::SetAside(files) = &self.aim {
            return Body::BeginAside(ending::begin_aside(self.id, files, &self.windows));
        }
        Body::Begin(Begin {
            batch: self.id,
            generation: self.generation,
            query: self.query,
            references: self.references,
            windows: self.windows.clone(),
        })
    }
}

/// Where one object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// Its version is being asked for.
    Observing,
    /// Its version is known; what it replaces is being kept.
    Keeping(Option<ObjectVersion>),
    /// Its version is known; it may be published once the fence is checked.
    Observed(Option<ObjectVersion>),
    /// A publication is under way.
    Publishing,
    /// A publication's outcome is being looked up.
    Inspecting,
    /// Published.
    Done,
    /// The last try did not publish it, and there will be no other.
    Refused(StoreFault),
}

/// One object on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    staged: StagedOutput,
    progress: Progress,
    /// What is known of the object it replaces, if the log has one there.
    before: Option<Kept>,
    /// Whether an earlier try may have landed, or may yet land.
    unsure: bool,
}

/// Publishes the objects of computed windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publication {
    batch: Batch,
    computed: Vec<Result<ComputedWindow, FailedWindow>>,
    /// The windows that keep their objects, by place in the batch.
    kept: BTreeMap<usize, CommittedWindow>,
    objects: BTreeMap<ObjectIndex, Object>,
    tries: u32,
}

/// What a publication wants next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Answers to earlier effects are still to come.
    Wait,
    /// These effects, all at once.
    Do(Vec<Effect>),
    /// Every observed object waits for the fence to be checked.
    Fence,
    /// Nothing is left to publish.
    Over,
}

impl Publication {
    /// Starts to publish what was computed, but for the windows that are `kept`: asks for the
    /// version of each object.
    pub(super) fn new(
        state: &State,
        batch: Batch,
        computed: Vec<Result<ComputedWindow, FailedWindow>>,
        kept: BTreeMap<usize, CommittedWindow>,
    ) -> (Self, Step) {
        let mut objects = BTreeMap::new();
        for (window, result) in computed.iter().enumerate() {
            if kept.contains_key(&window) {
                continue;
            }
            let outputs = result.iter().flat_map(|window| &window.outputs);
            for (output, staged) in outputs.cloned().enumerate() {
                let before = Kept::of(state, &batch, window, &staged.path);
                let progress = Progress::Observing;
                let object = Object { staged, progress, before, unsure: false };
                objects.insert(ObjectIndex { window, output }, object);
            }
        }
        let effects: Vec<_> =
            objects.iter().map(|(index, object)| observe(*index, &object.staged)).collect();
        let step = if effects.is_empty() { Step::Over } else { Step::Do(effects) };
        (Self { batch, computed, kept, objects, tries: 0 }, step)
    }

    /// The version of an object is known, or cannot be had.
    pub(super) fn observed(
        &mut self,
        index: ObjectIndex,
        answer: Result<Option<ObjectVersion>, StoreFault>,
    ) -> Step {
        let mut keep = None;
        let step = self.advance(index, |object| match answer {
            Err(fault) => Progress::Refused(fault),
            Ok(version) => {
                keep = object.before.as_ref().and_then(|before| before.effect(index));
                match keep {
                    Some(_) => Progress::Keeping(version),
                    None => Progress::Observed(version),
                }
            }
        });
        keep.map_or(step, |effect| Step::Do(vec![effect]))
    }

    /// It is known whether the history has what an object replaces. If it could not be kept, and
    /// nobody knows why, it is not replaced either.
    pub(super) fn kept(&mut self, index: ObjectIndex, answer: Result<bool, StoreFault>) -> Step {
        self.advance(index, |object| match (&mut object.progress, answer) {
            (Progress::Keeping(version), Ok(is_kept)) => {
                if let Some(before) = &mut object.before {
                    before.is_there = Some(is_kept);
                }
                Progress::Observed(version.take())
            }
            (Progress::Keeping(_), Err(fault)) => Progress::Refused(fault),
            (other, _) => other.clone(),
        })
    }

    /// The fence is checked: nobody else had the log after the versions were observed.
    pub(super) fn fenced(&mut self) -> Step {
        let refused: BTreeMap<usize, StoreFault> = self
            .objects
            .iter()
            .filter_map(|(index, object)| Some((index.window, object.fault()?.clone())))
            .collect();
        let mut effects = Vec::new();
        for (index, object) in &mut self.objects {
            if let Progress::Observed(over) = &mut object.progress {
                // A window of which an object cannot be published is left as it is altogether.
                if let Some(fault) = refused.get(&index.window) {
                    object.progress = Progress::Refused(fault.clone());
                    continue;
                }
                let (over, staged) = (over.take(), Box::new(object.staged.clone()));
                object.progress = Progress::Publishing;
                effects.push(Effect::Publish { object: *index, staged, over });
            }
        }
        if effects.is_empty() { self.next() } else { Step::Do(effects) }
    }

    /// The store answered a publication.
    pub(super) fn published(&mut self, index: ObjectIndex, answer: WriteAnswer) -> Step {
        let mut inspect = None;
        let step = self.advance(index, |object| match answer {
            WriteAnswer::Stored => Progress::Done,
            WriteAnswer::Refused(fault) => Progress::Refused(fault),
            WriteAnswer::Untrusted(fault) => {
                object.unsure = true;
                Progress::Refused(fault)
            }
            WriteAnswer::Unclear(_) => {
                object.unsure = true;
                let (path, sha256) = (object.staged.path.clone(), object.staged.digest.sha256);
                inspect = Some(Effect::Inspect { object: index, path, sha256 });
                Progress::Inspecting
            }
        });
        inspect.map_or(step, |effect| Step::Do(vec![effect]))
    }

    /// It is known whether an object is the staged one.
    pub(super) fn inspected(
        &mut self,
        index: ObjectIndex,
        answer: Result<bool, StoreFault>,
    ) -> Step {
        self.tries = self.tries.saturating_add(1);
        let last_try = self.tries >= TRIES_MAX;
        let mut again = None;
        let step = self.advance(index, |object| match answer {
            Ok(true) => Progress::Done,
            Err(fault) if last_try => Progress::Refused(fault),
            Ok(false) if last_try => Progress::Refused(StoreFault {
                code: Code::OutcomeUnknown,
                message: format!("{} changes under our hands", object.staged.path),
            }),
            // The next publication is conditional on a version observed from now on.
            Ok(false) | Err(_) => {
                again = Some(observe(index, &object.staged));
                Progress::Observing
            }
        });
        again.map_or(step, |effect| Step::Do(vec![effect]))
    }

    /// Moves one object on; says what follows.
    fn advance(
        &mut self,
        index: ObjectIndex,
        progress: impl FnOnce(&mut Object) -> Progress,
    ) -> Step {
        if let Some(object) = self.objects.get_mut(&index) {
            object.progress = progress(object);
        }
        self.next()
    }

    /// What follows once no answer is outstanding.
    fn next(&self) -> Step {
        let waits = |object: &Object| {
            use Progress::{Inspecting, Keeping, Observing, Publishing};
            matches!(object.progress, Observing | Keeping(_) | Publishing | Inspecting)
        };
        let observed = |object: &Object| matches!(object.progress, Progress::Observed(_));
        if self.objects.values().any(waits) {
            Step::Wait
        } else if self.objects.values().any(observed) {
            Step::Fence
        } else {
            Step::Over
        }
    }

    /// The commit that says what became of the batch, without its watermark; and the fault of the
    /// first object whose outcome is unknown.
    ///
    /// A window of which certainly no object was published has failed. A window of which some
    /// object was, or may have been, is named neither as committed nor as failed, and so stays in
    /// doubt.
    pub(super) fn commit(self) -> (Commit, Aim, Option<StoreFault>) {
        let Self { batch, computed, mut kept, objects, .. } = self;
        let mut commit = Commit {
            batch: batch.id,
            windows: Vec::new(),
            empty: batch.empty,
            failed: Vec::new(),
            lost: Vec::new(),
            watermark: None,
        };
        let mut unknown = None;
        for (place, (begun, result)) in batch.windows.into_iter().zip(computed).enumerate() {
            if let Some(kept) = kept.remove(&place) {
                commit.windows.push(kept);
                continue;
            }
            let first = ObjectIndex { window: place, output: 0 };
            let end = ObjectIndex { window: place.saturating_add(1), output: 0 };
            let objects: Vec<_> = objects.range(first..end).map(|(_, object)| object).collect();
            let fault = objects.iter().find_map(|object| object.fault());
            match (result, fault) {
                (Err(failed), _) => commit.failed.push(failed),
                (Ok(computed), None) => {
                    let befores = objects.iter().filter_map(|object| object.before.as_ref());
                    commit.lost.extend(befores.filter_map(|before| before.lost(begun.start)));
                    commit.windows.push(committed(&begun, computed));
                }
                (Ok(_), Some(fault)) if objects.iter().all(|object| object.is_untouched()) => {
                    commit.failed.push(FailedWindow {
                        start: begun.start,
                        end: begun.end,
                        code: fault.code.to_string(),
                        message: fault.message.clone(),
                    });
                }
                (Ok(_), Some(fault)) => unknown = unknown.or_else(|| Some(fault.clone())),
            }
        }
        (commit, batch.aim, unknown)
    }
}

impl Object {
    fn fault(&self) -> Option<&StoreFault> {
        match &self.progress {
            Progress::Refused(fault) => Some(fault),
            _ => None,
        }
    }

    /// Whether no try of this batch can have changed it.
    fn is_untouched(&self) -> bool {
        !self.unsure && matches!(self.progress, Progress::Refused(_))
    }
}

fn observe(object: ObjectIndex, staged: &StagedOutput) -> Effect {
    Effect::Observe { object, path: staged.path.clone() }
}

fn committed(begun: &BatchWindow, computed: ComputedWindow) -> CommittedWindow {
    let staged = computed.outputs.into_iter();
    let staged = staged.filter_map(|staged| {
        let begun = begun.outputs.iter().find(|begun| begun.att == staged.att)?;
        Some((begun.name.clone(), begun.path.clone(), staged))
    });
    CommittedWindow {
        start: begun.start,
        end: begun.end,
        rev: begun.rev,
        reason: begun.reason,
        inputs: computed.inputs,
        rows: computed.rows,
        balance: computed.balance,
        checks: computed.checks,
        outputs: staged
            .map(|(name, path, staged)| CommittedOutput {
                name,
                path,
                bytes: staged.digest.bytes,
                sha256: staged.digest.sha256,
                rows: staged.rows,
                att: staged.att,
                content: staged.content,
            })
            .collect(),
        unchanged: false,
        restores: None,
    }
}
