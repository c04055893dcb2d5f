//! A store in memory that can break, and a program that works on it.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::commit::*;
use crate::error::Code;
use crate::hash::{ContentHash, Sha256};
use crate::id::{AttemptId, BatchId, Generation, RunId, Seq};
use crate::state::codec;
use crate::state::tests::log::{Log, claim, encoded, failed, hour, hour_of, who};
use crate::state::*;
use crate::time::ProcessingTime;

/// The hours whose windows every program computes, and the outputs of each.
const HOURS: [i64; 2] = [0, 1];
const OUTPUTS: [&str; 2] = ["a", "b"];

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
    /// "Exists already" is taken for "stored".
    ExistsIsOurs,
}

/// A log and objects, and what must always be true of them.
#[derive(Clone, Debug)]
pub(super) struct World {
    log: BTreeMap<Seq, Vec<u8>>,
    /// Version and hash by key.
    objects: BTreeMap<String, (ObjectVersion, Sha256)>,
    /// The fold of the log.
    pub(super) state: State,
    /// What each object may hold: its last commit, and every attempt begun after it.
    announced: BTreeMap<String, Vec<Sha256>>,
    /// The only run that wrote in an epoch, by epoch.
    runs: BTreeMap<u64, RunId>,
    writes: u64,
    late: Vec<Effect>,
    /// The content of everything that is computed.
    pub(super) content: Option<ContentHash>,
    mutant: Option<Mutant>,
    /// The first thing that was not as it must be.
    pub(super) violation: Option<String>,
}

impl World {
    /// A world with a log that has just begun.
    pub(super) fn new(mutant: Option<Mutant>) -> Self {
        let log = Log::new();
        Self {
            log: BTreeMap::from([(Seq(0), encoded(&log.entries[0]).bytes)]),
            objects: BTreeMap::new(),
            state: log.state,
            announced: BTreeMap::new(),
            runs: BTreeMap::new(),
            writes: 0,
            late: Vec::new(),
            content: None,
            mutant,
            violation: None,
        }
    }

    /// Does what `effect` asks for.
    fn perform(&mut self, effect: Effect, fault: Option<Fault>) -> Event {
        let fails = fault.is_some();
        match &effect {
            Effect::CreateEntry { .. } => Event::Written(self.write(effect, fault)),
            Effect::Publish { object, .. } => {
                let object = *object;
                Event::Published(object, self.write(effect, fault))
            }
            Effect::ReadEntry { seq } => {
                Event::EntryRead(if fails { Err(broken()) } else { Ok(self.log.get(seq).cloned()) })
            }
            Effect::Observe { object, path } => {
                let version = self.objects.get(path).map(|(version, _)| version.clone());
                Event::Observed(*object, if fails { Err(broken()) } else { Ok(version) })
            }
            Effect::Inspect { object, path, sha256 } => {
                let found = self.objects.get(path).map(|(_, sha256)| *sha256);
                let has_them = found == Some(*sha256);
                Event::Inspected(*object, if fails { Err(broken()) } else { Ok(has_them) })
            }
            Effect::Compute(batch) => {
                let compute = |window: &BatchWindow| {
                    if fails {
                        Err(failed(hour_of(window.start)))
                    } else {
                        Ok(computed(window, self.content.as_ref()))
                    }
                };
                Event::Computed(batch.windows.iter().map(compute).collect())
            }
            Effect::Pause { .. } => Event::Paused,
            Effect::Finished(outcome) => unreachable!("nobody answers {outcome:?}"),
        }
    }

    fn write(&mut self, effect: Effect, fault: Option<Fault>) -> WriteAnswer {
        match fault {
            None if self.land(&effect) => WriteAnswer::Stored,
            None if self.mutant == Some(Mutant::ExistsIsOurs) => WriteAnswer::Stored,
            None | Some(Fault::Before) => WriteAnswer::Unclear(broken()),
            Some(Fault::After) => {
                self.land(&effect);
                WriteAnswer::Unclear(broken())
            }
            Some(Fault::Refused) => WriteAnswer::Refused(broken()),
            Some(Fault::Late) => {
                self.late.push(effect);
                WriteAnswer::Unclear(broken())
            }
        }
    }

    /// Lets one of the late writes happen.
    pub(super) fn land_late(&mut self, which: usize) {
        if !self.late.is_empty() {
            let effect = self.late.swap_remove(which % self.late.len());
            self.land(&effect);
        }
    }

    /// Lets all of them happen.
    pub(super) fn land_all_late(&mut self) {
        while !self.late.is_empty() {
            self.land_late(0);
        }
    }

    /// A conditional write arrives at the store. Whether its condition held.
    fn land(&mut self, effect: &Effect) -> bool {
        let lands = match effect {
            Effect::CreateEntry { seq, bytes, .. } => {
                let is_free = !self.log.contains_key(seq);
                if is_free {
                    self.log.insert(*seq, bytes.clone());
                    self.take_in(bytes);
                }
                is_free
            }
            Effect::Publish { staged, over, .. } => {
                let found = self.objects.get(&staged.path).map(|(version, _)| version);
                let holds =
                    found == over.as_ref() || self.mutant == Some(Mutant::UnconditionalPublish);
                if holds {
                    self.writes += 1;
                    let version = ObjectVersion(format!("v{}", self.writes));
                    self.objects.insert(staged.path.clone(), (version, staged.digest.sha256));
                }
                holds
            }
            other => unreachable!("{other:?} is no write"),
        };
        self.check();
        lands
    }

    /// Folds a new entry, and remembers what it says of objects.
    fn take_in(&mut self, bytes: &[u8]) {
        let (entry, hash) = codec::decode(bytes).unwrap();
        if let Err(violation) = self.state.apply(&entry, hash) {
            self.violation.get_or_insert(violation.to_string());
        }
        if *self.runs.entry(entry.epoch.0).or_insert(entry.run) != entry.run {
            self.violation.get_or_insert(format!("CM-4: two runs write in epoch {}", entry.epoch));
        }
        match &entry.body {
            Body::Begin(begin) => {
                for output in begin.windows.iter().flat_map(|window| &window.outputs) {
                    let attempts = self.announced.entry(output.path.clone()).or_default();
                    attempts.push(bytes_of(output.att));
                }
            }
            Body::Commit(commit) => {
                for output in commit.windows.iter().flat_map(|window| &window.outputs) {
                    self.announced.insert(output.path.clone(), vec![output.sha256]);
                }
            }
            _ => (),
        }
    }

    /// CM-2: each object is its last commit, or an attempt begun after it.
    fn check(&mut self) {
        let wrong = self.objects.iter().find(|(path, (_, sha256))| {
            !self.announced.get(*path).is_some_and(|attempts| attempts.contains(sha256))
        });
        let mut committed =
            self.state.windows.values().flat_map(|window| &window.committed.outputs);
        let lost = committed.find(|output| !self.objects.contains_key(&output.path));
        let path = wrong.map(|(path, _)| path).or(lost.map(|output| &output.path));
        if let Some(path) = path {
            self.violation.get_or_insert(format!("CM-2: {path} is what nobody announced"));
        }
    }

    /// That every window is committed, and each object is what its last commit says.
    /// Somebody changes an object behind the log's back.
    pub(super) fn damage(&mut self, object: &str) {
        let (name, hour) = object.split_at(1);
        let path = format!("{name}/{hour}.parquet");
        let damaged = Sha256::of(b"damaged");
        self.objects.get_mut(&path).unwrap().1 = damaged;
        self.announced.get_mut(&path).unwrap().push(damaged);
    }

    pub(super) fn assert_complete(&self) {
        assert_eq!(self.violation, None);
        assert_eq!(self.state.watermark, Some(hour(2)));
        assert!(self.state.in_doubt.is_empty() && self.state.failed.is_empty());
        let windows: Vec<_> = self.state.windows.keys().map(|start| hour_of(*start)).collect();
        assert_eq!(windows, HOURS);
        for output in self.state.windows.values().flat_map(|window| &window.committed.outputs) {
            assert_eq!(self.objects[&output.path].1, output.sha256, "{}", output.path);
        }
    }
}

/// The fault of this store.
pub(super) fn broken() -> StoreFault {
    StoreFault { code: Code::StoreFailed, message: "the store is on fire".to_owned() }
}

/// The hash of what an attempt publishes: no two attempts publish the same bytes.
fn bytes_of(attempt: AttemptId) -> Sha256 {
    Sha256::of(attempt.0.as_bytes())
}

fn computed(window: &BatchWindow, content: Option<&ContentHash>) -> ComputedWindow {
    let staged = |output: &BatchOutput| StagedOutput {
        staged_at: "tmp".into(),
        path: output.path.clone(),
        att: output.att,
        digest: ObjectDigest { bytes: 16, sha256: bytes_of(output.att) },
        rows: 1,
        content: content.cloned(),
    };
    ComputedWindow {
        inputs: InputsDigest { files: 1, sha256: Sha256::of(b"inputs") },
        rows: RowCounts { input: 1, used: 1, out: 1, ..RowCounts::default() },
        outputs: window.outputs.iter().map(staged).collect(),
    }
}

/// One run of a program: claims the log, publishes every window once more than it was when the run
/// began, redoes what is in doubt, releases the log.
#[derive(Clone, Debug)]
pub(super) struct Run {
    writer: Writer,
    name: u32,
    ids: u128,
    /// The newest entry when it began: windows committed before are due.
    since: Seq,
    is_claimed: bool,
    effects: VecDeque<Effect>,
    /// What the mutant that checks the fence too early saw.
    early_fence: Option<Event>,
    /// What it did, one effect a line.
    pub(super) trace: Vec<String>,
    /// How its last command ended, once it does nothing more.
    pub(super) ended: Option<Outcome>,
}

impl Run {
    /// A run that has read the log.
    pub(super) fn open(world: &World, name: u32) -> Self {
        let run = RunId(Uuid::from_u128(name.into()));
        let mut opened = Self {
            writer: Writer::new(
                Identity { who: who(&format!("host-{name}")), run },
                world.state.clone(),
            ),
            name,
            ids: 0,
            since: world.state.head.seq,
            is_claimed: false,
            effects: VecDeque::new(),
            early_fence: None,
            trace: Vec::new(),
            ended: None,
        };
        opened.start();
        opened
    }

    /// Carries out the effect at place `which` of those in hand.
    pub(super) fn step(&mut self, world: &mut World, which: usize, fault: Option<Fault>) {
        let effect = self.effects.remove(which % self.effects.len()).unwrap();
        self.trace.push(line(&effect));
        let (is_observe, is_read) =
            (matches!(effect, Effect::Observe { .. }), matches!(effect, Effect::ReadEntry { .. }));
        if world.mutant == Some(Mutant::FenceBeforeObserve) && is_observe {
            let seq = self.writer.state().next_seq().unwrap();
            let fence = || world.perform(Effect::ReadEntry { seq }, None);
            self.early_fence.get_or_insert_with(fence);
        }
        let event = match self.early_fence.take() {
            Some(seen) if is_read => seen,
            seen => {
                self.early_fence = seen;
                world.perform(effect, fault)
            }
        };
        let effects = self.writer.step(event);
        self.take(effects);
    }

    /// Goes on to the end, where the faults are those of the lines named.
    pub(super) fn finish(&mut self, world: &mut World, faults: &[(&str, Fault)]) -> Outcome {
        let mut faults = faults.to_vec();
        while self.ended.is_none() {
            let next = self.next_line();
            let place = faults.iter().position(|(line, _)| *line == next);
            self.step(world, 0, place.map(|place| faults.remove(place).1));
        }
        assert_eq!(faults, [], "every fault was met:\n{}", self.trace.join("\n"));
        self.ended.clone().unwrap()
    }

    /// The line of the effect that comes next.
    pub(super) fn next_line(&self) -> String {
        line(&self.effects[0])
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Finished(Outcome::Committed(_)) => self.start(),
                Effect::Finished(outcome) => self.ended = Some(outcome),
                effect => self.effects.push_back(effect),
            }
        }
    }

    fn start(&mut self) {
        let Some(command) = self.next_command() else {
            self.ended = Some(Outcome::Committed(self.writer.state().head.seq));
            return;
        };
        let stamp = Stamp {
            at: ProcessingTime::from_micros(0),
            first: AttemptId(self.new_id()),
            second: AttemptId(self.new_id()),
        };
        let effects = self.writer.start(command, stamp);
        self.take(effects);
    }

    fn next_command(&mut self) -> Option<Command> {
        let state = self.writer.state();
        if !self.is_claimed {
            self.is_claimed = true;
            return Some(Command::Append(claim()));
        }
        state.holder.as_ref()?;
        if state.generation == Generation(0) {
            let segment = SegmentRef {
                key: "ledger/1.jsonl".to_owned(),
                len: 1,
                sha256: Sha256::of(b"segment"),
                files: 1,
            };
            return Some(Command::Append(Body::Inputs(Inputs {
                generation: Generation(1),
                segment,
                replaces: 0,
                last_event_at: Vec::new(),
                refused: RowCounts::default(),
                late: Vec::new(),
            })));
        }
        let is_due = |n: &i64| {
            let seq = state.windows.get(&hour(*n)).map(|window| window.seq);
            state.in_doubt.contains_key(&hour(*n)) || seq.is_none_or(|seq| seq <= self.since)
        };
        let due: Vec<_> = HOURS.into_iter().filter(is_due).collect();
        if due.is_empty() {
            return Some(Command::Append(Body::Release));
        }
        Some(Command::Batch(Box::new(self.batch(&due))))
    }

    fn batch(&mut self, due: &[i64]) -> Batch {
        let generation = self.writer.state().generation;
        let windows = due.iter().map(|n| self.batch_window(*n)).collect();
        Batch {
            references: None,
            id: BatchId(self.new_id()),
            generation,
            query: Seq(0),
            windows,
            empty: Vec::new(),
            base: hour(0),
        }
    }

    fn batch_window(&mut self, n: i64) -> BatchWindow {
        let mut output = |name: &str| BatchOutput {
            name: name.to_owned(),
            path: format!("{name}/{n}.parquet"),
            before: None,
            att: AttemptId(self.new_id()),
        };
        let outputs = OUTPUTS.map(&mut output).to_vec();
        BatchWindow {
            start: hour(n),
            end: hour(n + 1),
            rev: self.writer.state().next_revision(hour(n)).unwrap(),
            reason: Reason::New,
            outputs,
        }
    }

    fn new_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(u128::from(self.name) << 64 | self.ids)
    }
}

/// An effect in a line.
fn line(effect: &Effect) -> String {
    let object = |at: &ObjectIndex| format!("{}{}", OUTPUTS[at.output], at.window);
    match effect {
        Effect::CreateEntry { kind, .. } => format!("append {kind}"),
        Effect::ReadEntry { .. } => "read".to_owned(),
        Effect::Pause { .. } => "pause".to_owned(),
        Effect::Compute(_) => "compute".to_owned(),
        Effect::Observe { object: at, .. } => format!("observe {}", object(at)),
        Effect::Publish { object: at, over, .. } => match over {
            Some(ObjectVersion(version)) => format!("publish {} over {version}", object(at)),
            None => format!("publish {}", object(at)),
        },
        Effect::Inspect { object: at, .. } => format!("inspect {}", object(at)),
        Effect::Finished(outcome) => format!("{outcome:?}"),
    }
}
