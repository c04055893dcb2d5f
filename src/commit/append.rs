//! One append to the log: create the next place, and on any doubt read it back.
//!
//! One body is ever sent to a place, with the same bytes on every try, and the next place is never
//! tried while this one is in doubt.

use super::{Effect, Event, Outcome, StoreFault, TRIES_MAX, WriteAnswer};
use crate::error::Code;
use crate::id::{Epoch, Seq};
use crate::state::codec::{self, DecodeError, Encoded};
use crate::state::{Body, Entry};

/// An append under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Append {
    entry: Entry,
    encoded: Encoded,
    tries: u32,
}

/// What an append wants next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// One more effect.
    Do(Effect),
    /// The entry is stored at this place.
    Stored(Seq),
    /// It will not be.
    Ended(Outcome),
}

impl Append {
    /// An append of `entry`, which is stored as `encoded`. It starts with [`Self::create`].
    pub(super) fn new(entry: Entry, encoded: Encoded) -> Self {
        Self { entry, encoded, tries: 0 }
    }

    /// One try.
    pub(super) fn create(&self) -> Effect {
        let (seq, kind) = (self.entry.n, self.entry.body.kind());
        Effect::CreateEntry { seq, kind, bytes: self.encoded.bytes.clone() }
    }

    /// What follows from `event`.
    pub(super) fn on(&mut self, event: Event) -> Step {
        match event {
            Event::Written(WriteAnswer::Stored) => self.stored(),
            Event::Written(WriteAnswer::Refused(fault)) if self.tries == 0 => {
                Step::Ended(Outcome::Refused(fault))
            }
            // Refused now; but an earlier try was unclear, and may yet land.
            Event::Written(WriteAnswer::Refused(fault) | WriteAnswer::Untrusted(fault)) => {
                Step::Ended(Outcome::Unknown(fault))
            }
            Event::Written(WriteAnswer::Unclear(_)) => {
                Step::Do(Effect::ReadEntry { seq: self.entry.n })
            }
            Event::EntryRead(Ok(Some(bytes))) => self.compare(&bytes),
            Event::EntryRead(Ok(None)) => self.again(None),
            Event::EntryRead(Err(fault)) => self.again(Some(fault)),
            Event::Paused => Step::Do(self.create()),
            other => Step::Ended(unexpected(&other)),
        }
    }

    fn stored(&self) -> Step {
        Step::Stored(self.entry.n)
    }

    /// The place is free, or cannot be read: send the same bytes again, unless it was tried enough.
    fn again(&mut self, fault: Option<StoreFault>) -> Step {
        self.tries = self.tries.saturating_add(1);
        if self.tries < TRIES_MAX {
            return Step::Do(Effect::Pause { tries: self.tries });
        }
        Step::Ended(Outcome::Unknown(fault.unwrap_or_else(|| StoreFault {
            code: Code::OutcomeUnknown,
            message: format!("log entry {} did not appear after {TRIES_MAX} tries", self.entry.n),
        })))
    }

    fn compare(&self, bytes: &[u8]) -> Step {
        match codec::decode(bytes) {
            Ok((_, hash)) if hash == self.encoded.hash => self.stored(),
            Ok((other, _)) => Step::Ended(self.met(&other)),
            Err(why) => Step::Ended(corrupt(self.entry.n, &why)),
        }
    }

    /// The place holds `other`, not ours.
    fn met(&self, other: &Entry) -> Outcome {
        if matches!(self.entry.body, Body::Claim { .. }) {
            return Outcome::OwnerIsAlive { who: other.who.clone() };
        }
        met(other, self.entry.epoch)
    }
}

/// What it means for a writer of `epoch` to find `other` at its next place.
pub(super) fn met(other: &Entry, epoch: Epoch) -> Outcome {
    match other.epoch.cmp(&epoch) {
        std::cmp::Ordering::Greater => {
            Outcome::Fenced { epoch: other.epoch, who: other.who.clone() }
        }
        std::cmp::Ordering::Equal => Outcome::Cloned { seq: other.n },
        std::cmp::Ordering::Less => Outcome::Corrupt {
            seq: other.n,
            message: format!("it is of epoch {}, which epoch {epoch} superseded", other.epoch),
            too_new: false,
        },
    }
}

/// What it means that the bytes at `seq` cannot be decoded.
pub(super) fn corrupt(seq: Seq, why: &DecodeError) -> Outcome {
    let too_new = matches!(why, DecodeError::TooNew(_));
    Outcome::Corrupt { seq, message: why.to_string(), too_new }
}

/// An event that answers no effect of ours: the driver is wrong.
pub(super) fn unexpected(event: &Event) -> Outcome {
    Outcome::Refused(StoreFault {
        code: Code::Bug,
        message: format!("the commit protocol was given an event it did not ask for: {event:?}"),
    })
}
