//! A program that works on a world.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use super::journal::Wanted;
use super::work::{OPTIONAL, Owed, Work, inputs};
use super::world::{Fault, Mutant, World};
use crate::commit::*;
use crate::id::{AttemptId, BatchId, Generation, RunId, Seq};
use crate::state::tests::log::{claim, hour, who};
use crate::state::*;
use crate::time::ProcessingTime;

/// One run of a program: claims the log, admits new versions of the source files if there are any,
/// keeps their rows aside that belong to no window, publishes every window once more than it was
/// when the run began, redoes what is in doubt, releases the log.
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
    /// The newest admission when it began.
    generation: Generation,
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
            generation: world.state().generation,
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
                Effect::ReadEntry { seq } if self.leaves_fence_out(seq) => {
                    let effects = self.writer.step(Event::EntryRead(Ok(None)));
                    self.take(effects);
                }
                effect => self.effects.push_back(Wanted::new(effect)),
            }
        }
    }

    /// Whether to read this place is to check the fence of what is kept aside, and it makes the
    /// mistake not to.
    fn leaves_fence_out(&self, seq: Seq) -> bool {
        let state = self.writer.state();
        self.mutant == Some(Mutant::AsideWithoutFence)
            && state.open_aside.is_some()
            && state.next_seq() == Some(seq)
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
        let has_new = !self.work.files.is_empty() && state.generation == self.generation;
        if state.generation == Generation(0) || has_new {
            return Some(Command::Append(Body::Inputs(inputs(state.generation)?)));
        }
        let owed = self.owed();
        if !owed.is_empty() {
            return Some(Command::Batch(Box::new(self.aside(owed))));
        }
        let state = self.writer.state();
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

    /// What it is to keep aside.
    fn owed(&self) -> Vec<Owed> {
        let mut owed = self.work.owed(self.writer.state());
        if self.mutant == Some(Mutant::AsideDoubtForgotten) {
            owed.retain(|owed| !owed.is_mere_doubt);
        }
        owed
    }

    fn aside(&mut self, owed: Vec<Owed>) -> Batch {
        let generation = self.writer.state().generation;
        let announced = |owed: Owed| {
            let (name, att) = ("quarantine.*".to_owned(), AttemptId(self.new_id()));
            let Owed { file, path, before, .. } = owed;
            (file, generation, BatchOutput { name, path, before, att, optional: false })
        };
        let files = owed.into_iter().map(announced).collect();
        Batch::set_aside(BatchId(self.new_id()), generation, files)
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
        let outputs = self.work.outputs.iter().map(|name| self.announced(name, n));
        let mut outputs: Vec<_> = outputs.collect();
        if self.work.optional.is_some() {
            let announced = self.announced(OPTIONAL, n);
            if !self.omits(&announced, n) {
                outputs.push(announced);
            }
        }
        BatchWindow {
            start: hour(n),
            end: hour(n + 1),
            rev: self.writer.state().next_revision(hour(n)).unwrap(),
            reason: Reason::New,
            outputs,
        }
    }

    /// The object `name` of the window at an hour as the log will announce it. Where something was
    /// committed, or may lie all the same, it may not be left out.
    fn announced(&mut self, name: &str, n: i64) -> BatchOutput {
        let att = AttemptId(self.new_id());
        let state = self.writer.state();
        let committed = state.windows.get(&hour(n)).map(|window| &window.committed);
        let before = committed.and_then(|it| it.outputs.iter().find(|output| output.name == name));
        let is_free = before.is_none() && !state.in_doubt.contains_key(&hour(n));
        BatchOutput {
            name: name.to_owned(),
            path: format!("{name}/{n}.parquet"),
            before: before.map(|output| output.sha256),
            att,
            optional: name == OPTIONAL && is_free,
        }
    }

    /// Whether it makes the mistake not to announce an optional object because there will be no
    /// rows.
    fn omits(&self, announced: &BatchOutput, n: i64) -> bool {
        let is_mistaken = match self.mutant {
            Some(Mutant::CommittedOmitted) => announced.before.is_some(),
            Some(Mutant::DoubtedOmitted) => !announced.optional && announced.before.is_none(),
            _ => false,
        };
        is_mistaken && self.work.optional_rows(self.name.into(), n) == 0
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
    let object = |path: &str| path.split('.').next().unwrap().replacen('/', "", 1);
    match effect {
        Effect::CreateEntry { kind, .. } => format!("append {kind}"),
        Effect::ReadEntry { .. } => "read".to_owned(),
        Effect::Pause { .. } => "pause".to_owned(),
        Effect::Compute(_) => "compute".to_owned(),
        Effect::Observe { path, .. } => format!("observe {}", object(path)),
        Effect::Keep { path, .. } => format!("keep {}", object(path)),
        Effect::Publish { staged, over, .. } => match over {
            Some(ObjectVersion(version)) => {
                format!("publish {} over {version}", object(&staged.path))
            }
            None => format!("publish {}", object(&staged.path)),
        },
        Effect::Inspect { path, .. } => format!("inspect {}", object(path)),
        Effect::Finished(outcome) => format!("{outcome:?}"),
    }
}
