//! Every order of the steps of two writers and every fault, on small worlds.
//!
//! The search is breadth-first over what a [`World`] and [`Run`]s can do, each situation once, so
//! that the first violation found is one with the fewest steps. The writers are the real ones. A
//! writer in one situation gives one answer to one event, which is worked out once and kept.
//!
//! A write may be refused, it may land and its answer be lost, or it is *late*: its answer is lost,
//! and it lands at some later time or never. A late write that never lands is a lost request, or a
//! conflict that the store tells in error. A process that is stopped is one whose turn does not
//! come; if it dies, all its writes under way are late.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::journal::Wanted;
use super::program::{Run, line};
use super::situations::{self, Seen, Step};
use super::world::{Fault, World};
use crate::commit::{Effect, Event, Outcome};
use crate::hash::Sha256;

/// What may happen on one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Runs at once.
    pub(super) alive: usize,
    /// Runs that are started.
    pub(super) runs: u8,
    /// Effects that go wrong.
    pub(super) faults: u8,
    /// Runs that die.
    pub(super) crashes: u8,
    /// Machines that are copied with the run on them.
    pub(super) copies: u8,
    /// Whether the computation of a batch can fail.
    pub(super) computing_fails: bool,
    /// Whether, whenever all runs are dead, one more is started to complete everything.
    pub(super) settles: bool,
    /// The most situations to look at; if there are more, the search is not exhaustive.
    pub(super) situations: usize,
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// A run is started.
    Open,
    /// The effect at a place of those in hand of a run is carried out.
    Step { run: usize, place: usize, fault: Option<Fault> },
    /// A run dies.
    Crash { run: usize },
    /// A machine is copied.
    Copy { run: usize },
    /// A late write lands.
    Land { late: usize },
}

/// A world, the runs alive on it, oldest first, and what may yet happen.
#[derive(Clone, Debug)]
struct Situation {
    world: World,
    runs: Vec<usize>,
    left: Bounds,
}

/// A run as it once was, and what it became.
struct Known {
    run: Run,
    next: Vec<(usize, Event, usize)>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Different worlds with different runs on them.
    pub(super) states: usize,
    /// The same, told apart by what may yet happen.
    pub(super) situations: usize,
    /// Ways from one to the next.
    pub(super) steps: u64,
    /// Whether there was nothing more to look at.
    pub(super) is_exhaustive: bool,
    /// How often something was seen to happen.
    pub(super) seen: Seen,
    /// What was violated, and by which steps.
    pub(super) violation: Option<(String, Vec<String>)>,
}

/// The search.
pub(super) struct Explorer {
    start: Situation,
    bounds: Bounds,
    known: Vec<Known>,
    /// Places of [`Self::known`] by [`Run::key`].
    by_key: HashMap<u128, Vec<usize>>,
    /// What a run becomes that opens this log, by its hash and the run's name.
    opened: HashMap<(Sha256, u32), usize>,
    /// How each situation was first come to.
    came: Vec<(usize, Action)>,
    seen_situations: HashSet<u128>,
    seen_states: HashSet<u128>,
    queue: VecDeque<(usize, Situation)>,
    report: Report,
}

impl Explorer {
    /// A search that starts from `world`.
    pub(super) fn new(world: World, bounds: Bounds) -> Self {
        Self {
            start: Situation { world, runs: Vec::new(), left: bounds },
            bounds,
            known: Vec::new(),
            by_key: HashMap::new(),
            opened: HashMap::new(),
            came: Vec::new(),
            seen_situations: HashSet::new(),
            seen_states: HashSet::new(),
            queue: VecDeque::new(),
            report: Report::default(),
        }
    }

    /// Looks at everything that can happen, or at all before the first violation.
    pub(super) fn explore(mut self) -> Report {
        self.visit(self.start.clone(), 0, Action::Open);
        self.report.is_exhaustive = true;
        while let Some((at, situation)) = self.queue.pop_front() {
            if self.came.len() > self.bounds.situations {
                self.report.is_exhaustive = false;
                break;
            }
            let broken = self.spread(at, &situation);
            if let Some((violation, last)) = broken {
                let steps = self.trace(at, last);
                self.report.violation = Some((violation, steps));
                break;
            }
        }
        self.report.situations = self.seen_situations.len();
        self.report.states = self.seen_states.len();
        self.report
    }

    /// Does each thing that may happen next. The first violation, and what led to it.
    fn spread(&mut self, at: usize, situation: &Situation) -> Option<(String, Option<Action>)> {
        if self.bounds.settles
            && situation.runs.is_empty()
            && let Some(violation) = self.settle(situation)
        {
            return Some((violation, None));
        }
        for action in self.actions(situation) {
            self.report.steps += 1;
            let mut next = situation.clone();
            let violation = self.act(&mut next, action);
            if let Some(violation) = violation.or_else(|| next.world.violation.clone()) {
                return Some((violation, Some(action)));
            }
            self.visit(next, at, action);
        }
        None
    }

    /// Remembers a situation, if it is new, to be looked at.
    fn visit(&mut self, mut situation: Situation, from: usize, action: Action) {
        situation.world.forget_late_for_good();
        let mut form = Vec::with_capacity(256);
        situation.world.describe(&mut form);
        situation.runs.iter().for_each(|run| form.extend(run.to_le_bytes()));
        let state = Sha256::of(&form).first_half();
        let Bounds { runs, faults, crashes, copies, .. } = situation.left;
        form.extend([runs, faults, crashes, copies]);
        if self.seen_situations.insert(Sha256::of(&form).first_half()) {
            self.seen_states.insert(state);
            self.queue.push_back((self.came.len(), situation));
            self.came.push((from, action));
        }
    }

    fn actions(&self, situation: &Situation) -> Vec<Action> {
        let Situation { world, runs, left } = situation;
        let mut actions = Vec::new();
        if left.runs > 0 && runs.len() < left.alive {
            actions.push(Action::Open);
        }
        for (run, known) in runs.iter().enumerate() {
            let effects = &self.known[*known].run.effects;
            for (place, wanted) in effects.iter().enumerate() {
                let ways = ways_of(wanted).iter().filter(|way| way.is_none() || left.faults > 0);
                actions.extend(ways.map(|fault| Action::Step { run, place, fault: *fault }));
            }
            if left.crashes > 0 {
                actions.push(Action::Crash { run });
            }
            if left.copies > 0 && runs.len() < left.alive {
                actions.push(Action::Copy { run });
            }
        }
        actions.extend((0..world.late.len()).map(|late| Action::Land { late }));
        actions
    }

    /// Does one thing. What is wrong with a run that ended by it.
    fn act(&mut self, on: &mut Situation, action: Action) -> Option<String> {
        match action {
            Action::Open => {
                let name = 2 + u32::from(self.bounds.runs - on.left.runs);
                on.left.runs -= 1;
                let run = self.open(&on.world, name);
                on.runs.push(run);
            }
            Action::Crash { run } => {
                on.left.crashes -= 1;
                let dead = on.runs.remove(run);
                let writes = self.known[dead].run.effects.iter().filter(|wanted| wanted.is_write());
                writes.for_each(|write| on.world.delay(write.clone()));
            }
            Action::Copy { run } => {
                on.left.copies -= 1;
                let copy = self.known[on.runs[run]].run.copied();
                let copy = self.intern(copy, &on.world);
                on.runs.push(copy);
            }
            Action::Land { late } => {
                let wanted = on.world.late[late].clone();
                let before = on.world.journal.clone();
                let lands = on.world.land_late(late);
                self.report.seen.landed(&wanted, lands, &before);
            }
            Action::Step { run, place, fault } => {
                on.left.faults -= u8::from(fault.is_some());
                return self.step(on, run, place, fault);
            }
        }
        None
    }

    fn step(
        &mut self,
        on: &mut Situation,
        run: usize,
        place: usize,
        fault: Option<Fault>,
    ) -> Option<String> {
        let before = on.world.journal.clone();
        let known = on.runs[run];
        let wanted = self.known[known].run.effects[place].clone();
        let event = on.world.perform(&wanted, fault);
        let next = self.answer(known, place, &event, &on.world);
        let (was, is) = (&self.known[known].run, &self.known[next].run);
        let others = on.runs.iter().filter(|other| **other != known);
        let step = Step {
            wanted: &wanted,
            event: &event,
            before: &before,
            after: &on.world.journal,
            run: (was, is),
            others: others.map(|other| self.known[*other].run.id()).collect(),
        };
        self.report.seen.step(&step);
        on.runs[run] = next;
        let outcome = is.ended.as_ref()?;
        on.runs.remove(run);
        let is_last = on.world.state().head.run == is.id();
        match outcome {
            Outcome::Committed(_) if !on.world.journal.holds(is.state().head) => {
                Some("CM-3: a run ends well, but the log does not hold what it wrote".to_owned())
            }
            Outcome::Committed(_) if is_last => on.world.incomplete(),
            outcome => situations::wrong(outcome),
        }
    }

    /// What a run becomes that opens the log of `world`.
    fn open(&mut self, world: &World, name: u32) -> usize {
        let key = (world.state().head.hash, name);
        if let Some(known) = self.opened.get(&key) {
            return *known;
        }
        let opened = self.intern(Run::open(world, name), world);
        self.opened.insert(key, opened);
        opened
    }

    /// What the run known as `known` becomes by this answer.
    fn answer(&mut self, known: usize, place: usize, event: &Event, world: &World) -> usize {
        let Known { run, next } = &self.known[known];
        let same = next.iter().find(|(at, answer, _)| *at == place && answer == event);
        if let Some((.., next)) = same {
            return *next;
        }
        let mut run = run.clone();
        run.answer(place, event.clone());
        let next = self.intern(run, world);
        self.known[known].next.push((place, event.clone(), next));
        next
    }

    /// The number of this run, once it has done what touches nothing but itself.
    fn intern(&mut self, mut run: Run, world: &World) -> usize {
        let waits = !self.bounds.computing_fails;
        let is_alone = |wanted: &Arc<Wanted>| match wanted.effect {
            Effect::Pause { .. } => true,
            Effect::Compute(_) => waits,
            _ => false,
        };
        while let Some(place) = run.effects.iter().position(is_alone) {
            let event = world.clone().perform(&run.effects[place], None);
            run.answer(place, event);
        }
        let places = self.by_key.entry(run.key()).or_default();
        if let Some(place) = places.iter().find(|place| self.known[**place].run == run) {
            return *place;
        }
        places.push(self.known.len());
        self.known.push(Known { run, next: Vec::new() });
        self.known.len() - 1
    }

    /// Starts a run when all are dead: it completes everything, whatever lands before or after.
    fn settle(&mut self, situation: &Situation) -> Option<String> {
        for lands_first in [true, false] {
            let mut world = situation.world.clone();
            if lands_first {
                world.land_all_late();
            } else if world.late.is_empty() {
                continue;
            }
            let mut known = self.open(&world, u32::MAX);
            while self.known[known].run.ended.is_none() {
                let wanted = self.known[known].run.effects[0].clone();
                let event = world.perform(&wanted, None);
                known = self.answer(known, 0, &event, &world);
            }
            world.land_all_late();
            let ended = self.known[known].run.ended.as_ref();
            if !matches!(ended, Some(Outcome::Committed(_))) {
                return Some(format!("a run alone ends as {ended:?}"));
            }
            if let Some(violation) = world.incomplete() {
                return Some(format!("after a run alone: {violation}"));
            }
            self.report.seen.recovered();
        }
        None
    }

    /// The steps that led to situation `at`, and the last.
    fn trace(&mut self, at: usize, last: Option<Action>) -> Vec<String> {
        let mut actions: Vec<_> = last.into_iter().collect();
        let mut place = at;
        while place > 0 {
            let (from, action) = self.came[place];
            actions.push(action);
            place = from;
        }
        let mut situation = self.start.clone();
        let mut lines = Vec::new();
        for action in actions.into_iter().rev() {
            lines.push(self.line(&situation, action));
            self.act(&mut situation, action);
            situation.world.forget_late_for_good();
        }
        lines
    }

    fn line(&self, on: &Situation, action: Action) -> String {
        let run = |run: usize| {
            let run = &self.known[on.runs[run]].run;
            format!("{}{}", run.name, if run.copy > 0 { "'" } else { "" })
        };
        match action {
            Action::Open => "a run starts".to_owned(),
            Action::Crash { run: dead } => format!("{} dies", run(dead)),
            Action::Copy { run: one } => format!("{} is copied", run(one)),
            Action::Land { late } => format!("late: {}", line(&on.world.late[late].effect)),
            Action::Step { run: of, place, fault } => {
                let wanted = line(&self.known[on.runs[of]].run.effects[place].effect);
                let fault = fault.map_or(String::new(), |fault| format!(" ({fault:?})"));
                format!("{}: {wanted}{fault}", run(of))
            }
        }
    }
}

/// How an effect may go.
fn ways_of(wanted: &Wanted) -> &'static [Option<Fault>] {
    if wanted.is_write() {
        &[None, Some(Fault::After), Some(Fault::Late), Some(Fault::Refused)]
    } else {
        &[None, Some(Fault::Before)]
    }
}
