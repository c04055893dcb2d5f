//! A program that works on a world.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use super::journal::Wanted;
use super::world::{Fault, Mutant, Work, World};
use crate::commit::*;
use crate::hash::Sha256;
use crate::id::{AttemptId, BatchId, Generation, RunId, Seq};
use crate::state::tests::log::{claim, hour, who};
use crate::state::*;
use crate::time::ProcessingTime;

/// One run of a program: claims the log, publishes every window once more than it was when the run
/// began, redoes what is in doubt, releases the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    writer: Writer,
    work: Work,
    pub(super) name: u32,
    /// Which copy of the process it is; 0 for the first.
    pub(super) copy: u32,
    ids: u32,
    /// The newest entry when it began: windows committed before are due.
    since: Seq,
    is_claimed: bool,
    /// What it wants done, in any order.
    pub(super) effects: VecDeque<Arc<Wanted>>,
    mutant: Option<Mutant>,
    /// What the mutant that checks the fence too early will ask for after it.
    held: Vec<Arc<Wanted>>,
    /// What it saw.
    early_fence: Option<Event>,
    /// What it did, one effect a line.
    pub(super) trace: Vec<String>,
    /// How its last command ended, once it does nothing more.
    pub(super) ended: Option<Outcome>,
}

impl Run {
    /// A run that has read the log.
    pub(super) fn open(world: &World, name: u32) -> Self {
        let identity = Identity { who: who(&format!("host-{name}")), run: run_id(name) };
        let mut opened = Self {
            writer: Writer::new(identity, world.state().clone()),
            work: world.work,
            name,
            copy: 0,
            ids: 0,
            since: world.state().head.seq,
            is_claimed: false,
            effects: VecDeque::new(),
            mutant: world.mutant,
            held: Vec::new(),
            early_fence: None,
            trace: Vec::new(),
            ended: None,
        };
        opened.start();
        opened
    }

    /// A copy of the whole machine it runs on. The two make up different ids from here on.
    pub(super) fn copied(&self) -> Self {
        Self { copy: self.copy + 1, ..self.clone() }
    }

    /// The run whose entries these are.
    pub(super) fn id(&self) -> RunId {
        run_id(self.name)
    }

    /// The log as it sees it.
    pub(super) fn state(&self) -> &State {
        self.writer.state()
    }

    /// A number that runs share which are equal, and few others.
    pub(super) fn key(&self) -> u128 {
        let head = self.writer.state().head.hash.first_half();
        self.effects.iter().fold(head, |key, wanted| key.rotate_left(1) ^ wanted.name)
    }

    /// Carries out the effect at place `which` of those in hand.
    pub(super) fn step(&mut self, world: &mut World, which: usize, fault: Option<Fault>) {
        let place = which % self.effects.len();
        self.trace.push(line(&self.effects[place].effect));
        let event = world.perform(&self.effects[place], fault);
        self.answer(place, event);
    }

    /// Takes the answer to the effect at `place`.
    pub(super) fn answer(&mut self, place: usize, event: Event) {
        let answered = self.effects.remove(place).unwrap();
        if !self.held.is_empty() && matches!(answered.effect, Effect::ReadEntry { .. }) {
            self.early_fence = Some(event);
            self.effects.extend(self.held.drain(..));
            return;
        }
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
        line(&self.effects[0].effect)
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Finished(Outcome::Committed(_)) => self.start(),
                Effect::Finished(outcome) => self.ended = Some(outcome),
                Effect::ReadEntry { .. } if self.early_fence.is_some() => {
                    let effects = self.writer.step(self.early_fence.take().unwrap());
                    self.take(effects);
                }
                Effect::Observe { .. } if self.is_fence_due() => {
                    if self.held.is_empty() {
                        let seq = self.writer.state().next_seq().unwrap();
                        self.effects.push_back(Wanted::new(Effect::ReadEntry { seq }));
                    }
                    self.held.push(Wanted::new(effect));
                }
                effect => self.effects.push_back(Wanted::new(effect)),
            }
        }
    }

    /// Whether it makes the mistake to check the fence first, and did not yet.
    fn is_fence_due(&self) -> bool {
        self.mutant == Some(Mutant::FenceBeforeObserve) && self.early_fence.is_none()
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
        let due: Vec<_> =
            self.work.hours.iter().copied().filter(is_due).take(self.work.per_batch).collect();
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
            aim: Aim::Compute,
        }
    }

    fn batch_window(&mut self, n: i64) -> BatchWindow {
        let outputs = self.work.outputs;
        let mut output = |name: &str| BatchOutput {
            name: name.to_owned(),
            path: format!("{name}/{n}.parquet"),
            before: None,
            att: AttemptId(self.new_id()),
            optional: false,
        };
        let outputs = outputs.iter().map(|name| output(name)).collect();
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
        let id = u64::from(self.copy) << 32 | u64::from(self.ids);
        Uuid::from_u64_pair(self.name.into(), id)
    }
}

fn run_id(name: u32) -> RunId {
    RunId(Uuid::from_u128(name.into()))
}

/// An effect in a line.
pub(super) fn line(effect: &Effect) -> String {
    let object = |at: &ObjectIndex| format!("{}{}", Work::ALL.outputs[at.output], at.window);
    match effect {
        Effect::CreateEntry { kind, .. } => format!("append {kind}"),
        Effect::ReadEntry { .. } => "read".to_owned(),
        Effect::Pause { .. } => "pause".to_owned(),
        Effect::Compute(_) => "compute".to_owned(),
        Effect::Observe { object: at, .. } => format!("observe {}", object(at)),
        Effect::Keep { object: at, .. } => format!("keep {}", object(at)),
        Effect::Publish { object: at, over, .. } => match over {
            Some(ObjectVersion(version)) => format!("publish {} over {version}", object(at)),
            None => format!("publish {}", object(at)),
        },
        Effect::Inspect { object: at, .. } => format!("inspect {}", object(at)),
        Effect::Finished(outcome) => format!("{outcome:?}"),
    }
}
