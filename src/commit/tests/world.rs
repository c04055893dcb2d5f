//! A store in memory that can break, and what must always be true of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::journal::{Journal, Wanted};
use super::work::{OPTIONAL, Work, run_of};
use crate::commit::*;
use crate::error::Code;
use crate::hash::{ContentHash, Sha256};
use crate::state::tests::log::{encoded, failed, hour, hour_of};
use crate::state::*;
use crate::time::EventTime;

/// How an effect goes wrong. What is not a write fails in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing happens, and the answer is lost.
    Before,
    /// It happens, and the answer is lost.
    After,
    /// The store refuses.
    Refused,
    /// The answer is lost; it may happen at any later time.
    Late,
}

/// A protocol with one mistake in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Objects are overwritten whatever version they have.
    UnconditionalPublish,
    /// The fence is checked before the versions are observed.
    FenceBeforeObserve,
    /// Objects are published although no `begin` is in the log.
    NoBegin,
    /// "Exists already" is taken for "stored".
    ExistsIsOurs,
    /// "Exists already" is taken for somebody else's entry, and a commit is made behind it.
    ExistsIsOthers,
    /// What is replaced is said to be kept, and is not.
    KeepsNothing,
    /// A lost answer to a publication is taken for a refusal.
    LostIsRefused,
    /// An optional object that has no rows any more is not announced, although one was committed.
    CommittedOmitted,
    /// An optional object that has no rows is not announced, although an attempt may lie there.
    DoubtedOmitted,
    /// Rows are kept aside without a look at the fence.
    AsideWithoutFence,
    /// Of rows kept aside it is forgotten that an attempt may lie there, where none belong.
    AsideDoubtForgotten,
}

/// A published object.
#[derive(Clone, Debug)]
struct Object {
    /// Follows from the bytes, as the tags of most stores do.
    version: ObjectVersion,
    sha256: Sha256,
}

/// A log and objects, and what must always be true of them. Clones share what they have in common.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) work: Work,
    pub(super) journal: Arc<Journal>,
    /// By key.
    objects: Arc<BTreeMap<String, Object>>,
    /// What was kept, by the name of the copy.
    pub(super) history: Arc<BTreeMap<String, Sha256>>,
    /// Writes without an answer, in the order of their names.
    pub(super) late: Vec<Arc<Wanted>>,
    /// The content of everything that is computed.
    pub(super) content: Option<ContentHash>,
    pub(super) mutant: Option<Mutant>,
    /// The first thing that was not as it must be.
    pub(super) violation: Option<String>,
}

impl World {
    /// A world with a log that has just begun.
    pub(super) fn new(mutant: Option<Mutant>) -> Self {
        Self::with(Work::ALL, mutant)
    }

    /// A world in which this is to be done.
    pub(super) fn with(work: Work, mutant: Option<Mutant>) -> Self {
        Self {
            work,
            journal: Arc::new(Journal::new()),
            objects: Arc::default(),
            history: Arc::default(),
            late: Vec::new(),
            content: None,
            mutant,
            violation: None,
        }
    }

    /// The fold of the log.
    pub(super) fn state(&self) -> &State {
        &self.journal.state
    }

    /// Adds what tells this world from others to `form`: the same bytes, the same world. (What it
    /// is made with is left out.)
    pub(super) fn describe(&self, form: &mut Vec<u8>) {
        // The hash of the newest entry names the whole log: each entry names the one before.
        form.extend(self.state().head.hash.first_half().to_le_bytes());
        for path in self.journal.announced.keys() {
            let object = self.objects.get(path).map_or(Sha256::ZERO, |object| object.sha256);
            form.extend(object.first_half().to_le_bytes());
        }
        self.history.keys().for_each(|name| form.extend(name.as_bytes()));
        form.extend(self.late.len().to_le_bytes());
        self.late.iter().for_each(|write| form.extend(write.name.to_le_bytes()));
    }

    /// Does what is wanted.
    pub(super) fn perform(&mut self, wanted: &Arc<Wanted>, fault: Option<Fault>) -> Event {
        let fails = fault.is_some();
        match &wanted.effect {
            Effect::CreateEntry { .. } => Event::Written(self.write(wanted, fault)),
            Effect::Publish { object, .. } => Event::Published(*object, self.write(wanted, fault)),
            Effect::ReadEntry { seq } => {
                let entry = self.journal.entries.get(seq).map(|entry| entry.bytes.clone());
                Event::EntryRead(if fails { Err(broken()) } else { Ok(entry) })
            }
            Effect::Observe { object, path } => {
                let version = self.objects.get(path).map(|object| object.version.clone());
                Event::Observed(*object, if fails { Err(broken()) } else { Ok(version) })
            }
            Effect::Inspect { object, path, sha256 } => {
                let has_them = self.objects.get(path).is_some_and(|found| found.sha256 == *sha256);
                Event::Inspected(*object, if fails { Err(broken()) } else { Ok(has_them) })
            }
            Effect::Keep { object, path, sha256, to } => {
                let kept = self.keep(path, *sha256, to);
                Event::Kept(*object, if fails { Err(broken()) } else { Ok(kept) })
            }
            Effect::Compute(batch) => {
                let compute = |window: &BatchWindow| {
                    if fails {
                        Err(FailedWindow { start: window.start, end: window.end, ..failed(0) })
                    } else {
                        Ok(self.work.computed(batch, window, self.content.as_ref()))
                    }
                };
                Event::Computed(batch.windows.iter().map(compute).collect())
            }
            Effect::Pause { .. } => Event::Paused,
            Effect::Finished(outcome) => unreachable!("nobody answers {outcome:?}"),
        }
    }

    /// Copies an object, if it is what the log says of it. Whether there is a copy.
    fn keep(&mut self, path: &str, sha256: Sha256, to: &Copy) -> bool {
        let is_it = self.objects.get(path).is_some_and(|found| found.sha256 == sha256);
        if is_it && self.mutant != Some(Mutant::KeepsNothing) {
            Arc::make_mut(&mut self.history).insert(name(to), sha256);
        }
        is_it || self.history.get(&name(to)) == Some(&sha256)
    }

    fn write(&mut self, wanted: &Arc<Wanted>, fault: Option<Fault>) -> WriteAnswer {
        let is_entry = |of| matches!(wanted.effect, Effect::CreateEntry { kind, .. } if kind == of);
        if self.mutant == Some(Mutant::NoBegin) && is_entry("begin") {
            return WriteAnswer::Stored;
        }
        match fault {
            None if self.land(wanted) => return WriteAnswer::Stored,
            None if self.mutant == Some(Mutant::ExistsIsOurs) => return WriteAnswer::Stored,
            None | Some(Fault::Before) => (),
            Some(Fault::After) => _ = self.land(wanted),
            Some(Fault::Refused) => return WriteAnswer::Refused(broken()),
            Some(Fault::Late) => self.delay(wanted.clone()),
        }
        if self.mutant == Some(Mutant::ExistsIsOthers) && is_entry("commit") {
            self.land(&self.behind_the_newest(&wanted.effect));
        }
        let is_object = matches!(wanted.effect, Effect::Publish { .. });
        if self.mutant == Some(Mutant::LostIsRefused) && is_object {
            return WriteAnswer::Refused(broken());
        }
        WriteAnswer::Unclear(broken())
    }

    /// The same entry at the place that is free now.
    fn behind_the_newest(&self, effect: &Effect) -> Arc<Wanted> {
        let Effect::CreateEntry { kind, bytes, .. } = effect else { unreachable!("{effect:?}") };
        let (mut entry, _) = codec::decode(bytes).unwrap();
        entry.n = self.state().next_seq().unwrap();
        entry.prev = self.state().head.hash;
        let bytes = encoded(&entry).bytes;
        Wanted::new(Effect::CreateEntry { seq: entry.n, kind, bytes })
    }

    /// The answer to this write is lost; it may happen at any later time.
    pub(super) fn delay(&mut self, wanted: Arc<Wanted>) {
        if let Err(place) = self.late.binary_search_by_key(&wanted.name, |late| late.name) {
            self.late.insert(place, wanted);
        }
    }

    /// Lets one of the late writes happen. Whether its condition held.
    pub(super) fn land_late(&mut self, which: usize) -> bool {
        if self.late.is_empty() {
            return false;
        }
        let wanted = self.late.remove(which % self.late.len());
        self.land(&wanted)
    }

    /// Lets all of them happen.
    pub(super) fn land_all_late(&mut self) {
        while !self.late.is_empty() {
            self.land_late(0);
        }
    }

    /// Forgets late entries whose place is taken: a place is never free again.
    pub(super) fn forget_late_for_good(&mut self) {
        let entries = &self.journal.entries;
        self.late.retain(|late| match &late.effect {
            Effect::CreateEntry { seq, .. } => !entries.contains_key(seq),
            _ => true,
        });
    }

    /// A conditional write arrives at the store. Whether its condition held.
    fn land(&mut self, wanted: &Wanted) -> bool {
        let lands = match &wanted.effect {
            Effect::CreateEntry { seq, bytes, .. } => {
                let is_free = !self.journal.entries.contains_key(seq);
                if is_free {
                    self.journal = wanted.follow(&self.journal, *seq, bytes);
                }
                is_free
            }
            Effect::Publish { staged, over, .. } => {
                let found = self.objects.get(&staged.path).map(|object| &object.version);
                let holds =
                    found == over.as_ref() || self.mutant == Some(Mutant::UnconditionalPublish);
                if holds {
                    let version = version_of(staged);
                    let object = Object { version, sha256: staged.digest.sha256 };
                    Arc::make_mut(&mut self.objects).insert(staged.path.clone(), object);
                }
                holds
            }
            other => unreachable!("{other:?} is no write"),
        };
        if lands {
            self.check();
        }
        lands
    }

    /// Each earlier revision that was not lost can be restored.
    fn check_history(&mut self) {
        for (start, window) in &self.journal.state.windows {
            for earlier in window.earlier.iter().filter(|earlier| !earlier.is_lost) {
                for name in &self.journal.revisions[&(*start, earlier.rev)] {
                    let prefix = format!("{}-{name}-{}-", hour_of(*start), earlier.rev);
                    if !self.history.keys().any(|name| name.starts_with(&prefix)) {
                        let lost = format!("{prefix} was replaced and not kept");
                        self.violation.get_or_insert(lost);
                    }
                }
            }
        }
    }

    /// CM-2: each object is its last commit, or an attempt begun after it.
    fn check(&mut self) {
        if self.violation.is_none() {
            self.violation.clone_from(&self.journal.violation);
        }
        let wrong = self.objects.iter().find(|(path, object)| {
            let announced = self.journal.announced.get(*path);
            !announced.is_some_and(|announced| announced.attempts.contains(&object.sha256))
                && object.sha256 != damaged()
        });
        let lost = self.committed().find(|output| !self.objects.contains_key(&output.path));
        let path = wrong.map(|(path, _)| path).or(lost.map(|output| &output.path));
        let violation = path.map(|path| format!("CM-2: {path} is what nobody announced"));
        self.violation = self.violation.take().or(violation);
        self.check_history();
    }

    /// What the log says was committed last.
    fn committed(&self) -> impl Iterator<Item = &CommittedOutput> {
        let state = self.state();
        let windows = state.windows.values().flat_map(|window| &window.committed.outputs);
        let asides = state.asides.values().filter_map(|known| known.committed.as_ref());
        windows.chain(asides.map(|committed| &committed.object))
    }

    /// A window has the rows that its last run found for its optional object, and all its objects
    /// are of one attempt. Of which that is not so.
    fn apart(&self) -> Option<String> {
        self.work.optional?;
        let wrong = |(start, window): &(&EventTime, &WindowState)| {
            let (_, run) = self.journal.committed_by[*start].0.as_u64_pair();
            let outputs = &window.committed.outputs;
            let optional = outputs.iter().find(|output| output.name == OPTIONAL);
            let rows = optional.map_or(0, |output| output.rows);
            rows != self.work.optional_rows(run, hour_of(**start))
                || outputs.iter().any(|output| run_of(output.att) != run_of(outputs[0].att))
        };
        let (start, window) = self.state().windows.iter().find(wrong)?;
        Some(format!("the window at {start} has {:?}", window.committed.outputs))
    }

    /// Somebody changes an object behind the log's back.
    pub(super) fn damage(&mut self, object: &str) {
        let (name, hour) = object.split_at(1);
        let path = format!("{name}/{hour}.parquet");
        Arc::make_mut(&mut self.objects).get_mut(&path).unwrap().sha256 = damaged();
    }

    /// What is missing until every window is committed, no row is owed, and each object is what its
    /// last commit says.
    pub(super) fn incomplete(&self) -> Option<String> {
        let state = self.state();
        let end = self.work.hours.last().map(|last| hour(last + 1));
        let windows: Vec<_> = state.windows.keys().map(|start| hour_of(*start)).collect();
        let is_other =
            |output: &&CommittedOutput| self.objects[&output.path].sha256 != output.sha256;
        if self.violation.is_some() {
            return self.violation.clone();
        }
        if state.watermark != end || windows != self.work.hours {
            return Some(format!("{windows:?} are committed, up to {:?}", state.watermark));
        }
        if !state.in_doubt.is_empty() || !state.failed.is_empty() {
            return Some(format!("{:?} in doubt, {:?} failed", state.in_doubt, state.failed));
        }
        let owed = self.work.owed(state);
        if !owed.is_empty() {
            return Some(format!("{owed:?} is not kept aside"));
        }
        let other = self.committed().find(is_other);
        let other = other.map(|output| format!("{} is not what was committed", output.path));
        other.or_else(|| self.apart())
    }

    /// That every window is committed, and each object is what its last commit says.
    #[track_caller]
    pub(super) fn assert_complete(&self) {
        assert_eq!(self.incomplete(), None);
    }
}

/// The fault of this store.
pub(super) fn broken() -> StoreFault {
    StoreFault { code: Code::StoreFailed, message: "the store is on fire".to_owned() }
}

/// The hash of what no run published.
fn damaged() -> Sha256 {
    Sha256::of(b"damaged")
}

/// What a copy is called.
fn name(copy: &Copy) -> String {
    format!("{}-{}-{}-{}", hour_of(copy.start), copy.output, copy.rev, copy.att)
}

/// The version of an object that an attempt published: the run's number and the attempt's.
fn version_of(staged: &StagedOutput) -> ObjectVersion {
    let (run, attempt) = staged.att.0.as_u64_pair();
    ObjectVersion(format!("{run}.{attempt}"))
}
