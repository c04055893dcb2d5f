//! The writer of a log: carries out one command after another.

use super::append::{self, Append};
use super::batch::{self, Aim, Batch, Publication};
use super::ending;
use super::unchanged::Comparison;
use super::{Command, ComputedWindow, Effect, Event, Outcome, StoreFault};
use crate::error::Code;
use crate::id::{AttemptId, Epoch, RunId};
use crate::state::codec;
use crate::state::{Body, Entry, FORMAT, FailedWindow, State, Who};
use crate::time::{EventTime, ProcessingTime};

/// Who writes, and in which run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process.
    pub who: Who,
    /// The run.
    pub run: RunId,
}

/// The time and the ids of the entries of one command: what the writer itself must not make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Now, by our clock.
    pub at: ProcessingTime,
    /// Names the command's first append.
    pub first: AttemptId,
    /// Names its second.
    pub second: AttemptId,
}

/// The writer of one log: its state, and the command in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    identity: Identity,
    state: State,
    phase: Phase,
}

/// What was computed, in the batch's order.
type Computed = Vec<Result<ComputedWindow, FailedWindow>>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// An entry is being appended; `then` says what for.
    Appending {
        append: Box<Append>,
        then: Then,
    },
    Computing {
        batch: Box<Batch>,
        stamp: Stamp,
    },
    Comparing {
        comparison: Comparison,
        batch: Box<Batch>,
        computed: Computed,
        stamp: Stamp,
    },
    Publishing {
        publication: Box<Publication>,
        fencing: bool,
        stamp: Stamp,
        base: EventTime,
    },
    /// The writer lost the log, or does not know where it stands: it does nothing more.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    Finish,
    Compute(Box<Batch>, Stamp),
    /// Finish, and report that objects of this batch are in doubt.
    FinishInDoubt(StoreFault),
}

impl Writer {
    /// A writer over `state`, which must be the fold of everything read from the log.
    #[must_use]
    pub fn new(identity: Identity, state: State) -> Self {
        Self { identity, state, phase: Phase::Idle }
    }

    /// The fold of the log, once a command has ended with [`Outcome::Committed`].
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes another form of the same state: with the facts of other windows in memory. Another
    /// state is not taken, nor is any in the middle of a command.
    pub fn replace_state(&mut self, state: State) {
        if self.is_idle() && state.head == self.state.head {
            self.state = state;
        }
    }

    /// Whether it can take a command.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Starts `command`. Only a writer that is done with the one before takes another.
    pub fn start(&mut self, command: Command, stamp: Stamp) -> Vec<Effect> {
        if !matches!(self.phase, Phase::Idle) {
            return self.stop(Outcome::Refused(StoreFault {
                code: Code::Bug,
                message: "a command was started before the one before it ended".to_owned(),
            }));
        }
        match command {
            Command::Append(body) => self.append(body, stamp, stamp.first, Then::Finish),
            Command::Batch(batch) => {
                let body = batch.begin();
                self.append(body, stamp, stamp.first, Then::Compute(batch, stamp))
            }
        }
    }

    /// What follows from `event`.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Appending { append, then } => self.step_append(append, then, event),
            Phase::Computing { batch, stamp } => self.step_compute(*batch, stamp, event),
            Phase::Comparing { comparison, batch, computed, stamp } => {
                self.step_compare(comparison, *batch, computed, stamp, event)
            }
            Phase::Publishing { publication, fencing, stamp, base } => {
                self.step_publish(publication, fencing, stamp, base, event)
            }
            Phase::Idle | Phase::Stopped => self.stop(append::unexpected(&event)),
        }
    }

    /// Ends the command for good: this writer does nothing more.
    fn stop(&mut self, outcome: Outcome) -> Vec<Effect> {
        self.phase = Phase::Stopped;
        vec![Effect::Finished(outcome)]
    }

    fn append(&mut self, body: Body, stamp: Stamp, att: AttemptId, then: Then) -> Vec<Effect> {
        let epoch = match body {
            Body::Claim { .. } => self.state.epoch.next(),
            _ => Some(self.state.epoch),
        };
        let (Some(epoch), Some(n)) = (epoch, self.state.next_seq()) else {
            return self.stop(too_large("the log is full".to_owned()));
        };
        let entry = self.entry(body, n, epoch, att, stamp.at);
        let encoded = match codec::encode(&entry) {
            Ok(encoded) => encoded,
            Err(why) => return self.stop(too_large(why)),
        };
        // What the fold would refuse is never sent: a damaged log cannot be mended. The state is
        // thus ahead of the log by this one entry until it is stored; if it never is, the writer
        // stops.
        if let Err(violation) = self.state.apply(&entry, encoded.hash) {
            return self.stop(Outcome::Refused(StoreFault {
                code: Code::Bug,
                message: format!("this version tried to write a wrong log: {violation}"),
            }));
        }
        let append = Box::new(Append::new(entry, encoded));
        let effect = append.create();
        self.phase = Phase::Appending { append, then };
        vec![effect]
    }

    fn entry(
        &self,
        body: Body,
        n: crate::id::Seq,
        epoch: Epoch,
        att: AttemptId,
        ts: ProcessingTime,
    ) -> Entry {
        Entry {
            v: FORMAT,
            rf: Vec::new(),
            wf: Vec::new(),
            store: self.state.store,
            pipe: self.state.pipeline.clone(),
            n,
            prev: self.state.head.hash,
            epoch,
            att,
            run: self.identity.run,
            ts,
            who: self.identity.who.clone(),
            body,
        }
    }

    fn step_append(&mut self, mut append: Box<Append>, then: Then, event: Event) -> Vec<Effect> {
        match append.on(event) {
            append::Step::Do(effect) => {
                self.phase = Phase::Appending { append, then };
                vec![effect]
            }
            append::Step::Ended(outcome) => self.stop(outcome),
            append::Step::Stored(seq) => match then {
                Then::Finish => self.finish(Outcome::Committed(seq)),
                Then::FinishInDoubt(fault) => self.stop(Outcome::Unknown(fault)),
                Then::Compute(batch, stamp) => {
                    let effect = Effect::Compute(batch.clone());
                    self.phase = Phase::Computing { batch, stamp };
                    vec![effect]
                }
            },
        }
    }

    fn finish(&mut self, outcome: Outcome) -> Vec<Effect> {
        self.phase = Phase::Idle;
        vec![Effect::Finished(outcome)]
    }

    fn step_compute(&mut self, batch: Batch, stamp: Stamp, event: Event) -> Vec<Effect> {
        let Event::Computed(computed) = event else {
            return self.stop(append::unexpected(&event));
        };
        if !batch.windows.is_empty()
            && batch.empty.is_empty()
            && let Some(windows) = all_failed(&computed)
        {
            let body = ending::all_failed(&batch, windows);
            return self.append(body, stamp, stamp.second, Then::Finish);
        }
        let comparison = Comparison::new(&self.state, &batch, &computed);
        self.compare(comparison, batch, computed, stamp)
    }

    fn step_compare(
        &mut self,
        mut comparison: Comparison,
        batch: Batch,
        computed: Computed,
        stamp: Stamp,
        event: Event,
    ) -> Vec<Effect> {
        let Event::Inspected(object, answer) = event else {
            return self.stop(append::unexpected(&event));
        };
        comparison.inspected(object, &answer);
        if comparison.is_over() {
            return self.publish(comparison, batch, computed, stamp);
        }
        let batch = Box::new(batch);
        self.phase = Phase::Comparing { comparison, batch, computed, stamp };
        Vec::new()
    }

    /// Starts to compare, or goes on if there is nothing to compare.
    fn compare(
        &mut self,
        comparison: Comparison,
        batch: Batch,
        computed: Computed,
        stamp: Stamp,
    ) -> Vec<Effect> {
        if comparison.is_over() {
            return self.publish(comparison, batch, computed, stamp);
        }
        let effects = comparison.effects();
        let batch = Box::new(batch);
        self.phase = Phase::Comparing { comparison, batch, computed, stamp };
        effects
    }

    fn publish(
        &mut self,
        comparison: Comparison,
        batch: Batch,
        computed: Computed,
        stamp: Stamp,
    ) -> Vec<Effect> {
        let base = batch.base;
        let kept = comparison.kept();
        let (publication, step) = Publication::new(&self.state, batch, computed, kept);
        self.follow(Box::new(publication), step, stamp, base)
    }

    fn step_publish(
        &mut self,
        mut publication: Box<Publication>,
        fencing: bool,
        stamp: Stamp,
        base: EventTime,
        event: Event,
    ) -> Vec<Effect> {
        let step = match event {
            Event::Observed(object, answer) => publication.observed(object, answer),
            Event::Kept(object, answer) => publication.kept(object, answer),
            Event::Published(object, answer) => publication.published(object, answer),
            Event::Inspected(object, answer) => publication.inspected(object, answer),
            Event::EntryRead(Ok(None)) if fencing => publication.fenced(),
            Event::EntryRead(Ok(Some(bytes))) if fencing => {
                return match codec::decode(&bytes) {
                    Ok((other, _)) => self.stop(append::met(&other, self.state.epoch)),
                    Err(why) => {
                        let seq = self.state.next_seq().unwrap_or(self.state.head.seq);
                        self.stop(append::corrupt(seq, &why))
                    }
                };
            }
            // Nothing was published after this fence was asked for, so giving up is safe: what the
            // batch began stays in doubt and is done again.
            Event::EntryRead(Err(fault)) if fencing => return self.stop(Outcome::Unknown(fault)),
            other => return self.stop(append::unexpected(&other)),
        };
        self.follow(publication, step, stamp, base)
    }

    fn follow(
        &mut self,
        publication: Box<Publication>,
        step: batch::Step,
        stamp: Stamp,
        base: EventTime,
    ) -> Vec<Effect> {
        let (fencing, effects) = match step {
            batch::Step::Wait => (false, Vec::new()),
            batch::Step::Do(effects) => (false, effects),
            batch::Step::Fence => match self.state.next_seq() {
                Some(seq) => (true, vec![Effect::ReadEntry { seq }]),
                None => return self.stop(too_large("the log is full".to_owned())),
            },
            batch::Step::Over => {
                let (mut commit, aim, unknown) = publication.commit();
                if aim == Aim::Compute {
                    let windows = commit.windows.iter().map(|window| (window.start, window.end));
                    let empty = commit.empty.iter().map(|range| (range.start, range.end));
                    commit.watermark = self.state.watermark_after(windows.chain(empty), base);
                }
                let then = unknown.map_or(Then::Finish, Then::FinishInDoubt);
                return self.append(ending::body(commit, aim), stamp, stamp.second, then);
            }
        };
        self.phase = Phase::Publishing { publication, fencing, stamp, base };
        effects
    }
}

fn all_failed(computed: &[Result<ComputedWindow, FailedWindow>]) -> Option<Vec<FailedWindow>> {
    computed.iter().map(|result| result.clone().err()).collect()
}

fn too_large(message: String) -> Outcome {
    Outcome::Refused(StoreFault { code: Code::StoreFailed, message })
}
