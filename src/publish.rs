//! Carries out what the commit protocol asks for: appends to the log, publishes staged objects.
//!
//! It decides nothing and computes nothing: effects come from [`Writer`], rows from whoever
//! implements [`Compute`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::clock::Clock;
use crate::commit::{
    Batch, Command, ComputedWindow, Copy, Effect, Event, Identity, ObjectVersion, Outcome, Stamp,
    StoreFault, WriteAnswer, Writer,
};
use crate::crashpoint;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::{AttemptId, Seq};
use crate::log::StateLog;
use crate::state::{Body, FailedWindow, SegmentRef, State};
use crate::store::{Store, Written, layout};
use crate::time::EventTime;

/// The first pause before a write is tried again; it doubles with each try.
const PAUSE: Duration = Duration::from_millis(50);

/// Computes windows to staged files.
#[async_trait]
pub trait Compute: Send + Sync {
    /// A result for each window of `batch`, in its order. It touches no published object.
    async fn compute(&self, batch: &Batch) -> Vec<Result<ComputedWindow, FailedWindow>>;
}

/// The one writer of a pipeline's log and objects.
#[derive(Debug)]
pub struct Publisher {
    log: StateLog,
    outputs: Arc<dyn Store>,
    clock: Clock,
    writer: Writer,
}

impl Publisher {
    /// A publisher on top of `state`, the fold of `log`. Objects are keyed under `outputs`.
    #[must_use]
    pub fn new(
        log: StateLog,
        outputs: Arc<dyn Store>,
        clock: Clock,
        identity: Identity,
        state: State,
    ) -> Self {
        Self { log, outputs, clock, writer: Writer::new(identity, state) }
    }

    /// The fold of the log.
    #[must_use]
    pub fn state(&self) -> &State {
        self.writer.state()
    }

    /// Recalls the facts of the windows at `starts`.
    ///
    /// # Errors
    /// If the log is damaged or cannot be read.
    pub async fn recall(&mut self, starts: &[EventTime]) -> Result<()> {
        let wanted = self.state().wanted(starts.iter().copied());
        self.recall_segments(wanted).await
    }

    /// Recalls the facts of the windows in `start <= t < end`.
    ///
    /// # Errors
    /// As [`Self::recall`].
    pub async fn recall_between(&mut self, start: EventTime, end: EventTime) -> Result<()> {
        self.recall_segments(self.state().wanted_between(start, end)).await
    }

    async fn recall_segments(&mut self, wanted: Vec<SegmentRef>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut state = self.state().clone();
        self.log.recall(&mut state, wanted).await?;
        self.replace_state(state);
        Ok(())
    }

    /// Takes another form of the same state.
    pub fn replace_state(&mut self, state: State) {
        self.writer.replace_state(state);
    }

    /// Whether the last command ended with everything known, so that another can follow.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.writer.is_idle()
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// If it is not certain to be in the log; this publisher is of no use then.
    pub async fn append(&mut self, body: Body) -> Result<Seq> {
        self.carry_out(Command::Append(body), None).await
    }

    /// Begins, computes, publishes and commits a batch.
    ///
    /// # Errors
    /// As [`Self::append`]; what failed in single windows is in the state instead.
    pub async fn batch(&mut self, batch: Batch, compute: &dyn Compute) -> Result<Seq> {
        self.carry_out(Command::Batch(Box::new(batch)), Some(compute)).await
    }

    async fn carry_out(&mut self, command: Command, compute: Option<&dyn Compute>) -> Result<Seq> {
        let stamp = Stamp {
            at: self.clock.now(),
            first: AttemptId(self.clock.new_id()),
            second: AttemptId(self.clock.new_id()),
        };
        let mut effects = self.writer.start(command, stamp);
        let world = World {
            log: self.log.clone(),
            outputs: self.outputs.clone(),
            clock: self.clock,
            compute,
        };
        let mut under_way = FuturesUnordered::new();
        loop {
            for effect in effects.drain(..) {
                if let Effect::Finished(outcome) = effect {
                    return self.ended(outcome);
                }
                under_way.push(world.perform(effect));
            }
            match under_way.next().await {
                Some(event) => effects = self.writer.step(event),
                None => {
                    return Err(Error::new(Code::Bug, "the commit protocol waits for nothing"));
                }
            }
        }
    }

    fn ended(&self, outcome: Outcome) -> Result<Seq> {
        let pipeline = &self.state().pipeline;
        let error = match outcome {
            Outcome::Committed(seq) => return Ok(seq),
            Outcome::Fenced { epoch, who } => Error::new(
                Code::Fenced,
                format!("another process took pipeline {pipeline} over (epoch {epoch})"),
            )
            .note(format!("it runs on {}, pid {}", who.host, who.pid))
            .note("this process stopped at once and deleted nothing"),
            Outcome::OwnerIsAlive { who } => Error::new(
                Code::LeaseHeld,
                format!("pipeline {pipeline} is being written by another run"),
            )
            .note(format!("holder {}, pid {}", who.host, who.pid)),
            Outcome::Cloned { seq } => Error::new(
                Code::Fenced,
                format!("a copy of this process wrote entry {seq} of pipeline {pipeline}"),
            )
            .note("a machine or container was copied while it ran; this copy stopped"),
            Outcome::Unknown(fault) => Error::new(
                Code::OutcomeUnknown,
                format!(
                    "pipeline {pipeline}: the outcome of the last write is unknown: {}",
                    fault.message
                ),
            )
            .note("nothing was deleted; committed windows stand")
            .hint("run again: that is safe, whatever happened"),
            Outcome::Refused(fault) => Error::new(fault.code, fault.message)
                .within(format!("pipeline {pipeline}"))
                .hint(match fault.code {
                    Code::Bug => "report it: this is a mistake of highwater; nothing is half-done",
                    _ => "mend the cause and run again: what is due stays due",
                }),
            Outcome::Corrupt { seq, message, too_new } => self.log.undecodable(seq, &{
                use crate::state::codec::DecodeError::{Damaged, TooNew};
                if too_new { TooNew(message) } else { Damaged(message) }
            }),
        };
        Err(error)
    }
}

/// What effects act on.
struct World<'a> {
    log: StateLog,
    outputs: Arc<dyn Store>,
    clock: Clock,
    compute: Option<&'a dyn Compute>,
}

impl World<'_> {
    /// Carries out one effect.
    fn perform(&self, effect: Effect) -> BoxFuture<'_, Event> {
        Box::pin(async move {
            match effect {
                Effect::CreateEntry { seq, kind, bytes } => {
                    crashpoint::pass(&format!("{kind}.before"));
                    let key = layout::entry(seq);
                    let answer = answer(self.log.store().create(&key, Bytes::from(bytes)).await);
                    crashpoint::pass(&format!("{kind}.after"));
                    Event::Written(answer)
                }
                Effect::ReadEntry { seq } => {
                    let read = self.log.store().read(&layout::entry(seq)).await;
                    Event::EntryRead(read.map(|bytes| bytes.map(Vec::from)).map_err(fault))
                }
                Effect::Pause { tries } => {
                    self.clock.sleep(pause(tries, self.clock.new_id().as_u128())).await;
                    Event::Paused
                }
                Effect::Compute(batch) => Event::Computed(self.compute(&batch).await),
                Effect::Observe { object, path } => {
                    let head = self.outputs.head(&path).await;
                    let version = head.map(|meta| meta.map(|meta| ObjectVersion(meta.mark)));
                    crashpoint::pass("observe.after");
                    Event::Observed(object, version.map_err(fault))
                }
                Effect::Keep { object, path, sha256, to } => {
                    crashpoint::pass("keep.before");
                    let kept = self.keep(&path, sha256, &to).await;
                    crashpoint::pass("keep.after");
                    Event::Kept(object, kept.map_err(fault))
                }
                Effect::Publish { object, staged, over } => {
                    crashpoint::pass("publish.before");
                    let over = over.as_ref().map(|version| version.0.as_str());
                    let written = self.outputs.publish(&staged.path, &staged.staged_at, over).await;
                    crashpoint::pass("publish.after");
                    Event::Published(object, answer(written))
                }
                Effect::Inspect { object, path, sha256 } => {
                    let found = self.outputs.sha256(&path).await;
                    let has_them = found.map(|hash| hash == Some(sha256));
                    Event::Inspected(object, has_them.map_err(fault))
                }
                Effect::Finished(_) => Event::Paused,
            }
        })
    }

    /// Copies the object at `path` to the history, if it has these bytes. Whether the history has
    /// them then: a copy that was made before counts as well.
    ///
    /// The object is looked at before it is hashed, and copied only if it is still that version:
    /// so what is copied is what was hashed.
    async fn keep(&self, path: &str, sha256: Sha256, to: &Copy) -> Result<bool> {
        let (history, key) =
            (self.log.store(), layout::history(to.start, &to.output, to.rev, to.att));
        let seen = self.outputs.head(path).await?;
        let found = self.outputs.sha256(path).await?;
        if let (Some(seen), true) = (seen, found == Some(sha256)) {
            match history.adopt(&key, self.outputs.as_ref(), &seen).await {
                Written::Stored => return Ok(true),
                Written::Refused(why) | Written::Untrusted(why) => return Err(why),
                Written::Unclear(why) => {
                    return match history.sha256(&key).await? {
                        Some(copy) if copy == sha256 => Ok(true),
                        Some(_) => Ok(false),
                        None => Err(why),
                    };
                }
            }
        }
        Ok(history.sha256(&key).await? == Some(sha256))
    }

    async fn compute(&self, batch: &Batch) -> Vec<Result<ComputedWindow, FailedWindow>> {
        crashpoint::pass("compute.before");
        let computed = match self.compute {
            Some(compute) => compute.compute(batch).await,
            None => Vec::new(),
        };
        crashpoint::pass("compute.after");
        computed
    }
}

fn answer(written: Written) -> WriteAnswer {
    match written {
        Written::Stored => WriteAnswer::Stored,
        Written::Refused(why) => WriteAnswer::Refused(fault(why)),
        Written::Untrusted(why) => WriteAnswer::Untrusted(fault(why)),
        Written::Unclear(why) => WriteAnswer::Unclear(fault(why)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn fault(why: Error) -> StoreFault {
    StoreFault { code: why.code(), message: why.message().to_owned() }
}

/// Doubles with each try; the lower half is certain, the upper half is left to `random`.
fn pause(tries: u32, random: u128) -> Duration {
    let longest = PAUSE.saturating_mul(1_u32.checked_shl(tries.min(8)).unwrap_or(u32::MAX));
    let half = longest.checked_div(2).unwrap_or(longest);
    let share = u32::try_from(random & 0xff).unwrap_or_default();
    half.saturating_add(half.saturating_mul(share).checked_div(256).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert!(pause(1, 0) < pause(2, 255) && pause(3, 0) >= pause(2, 255) / 2);
        assert!(pause(u32::MAX, u128::MAX) <= PAUSE * 256);
    }
}
