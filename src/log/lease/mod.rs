//! Who may write now.
//!
//! On local disk whoever holds the lock of the state folder: the kernel frees it when its holder
//! dies. On an object store whoever claimed the log last, as long as its heart beats. Either is
//! only politeness, so that honest processes do not do the same work twice: what keeps the log
//! right is the epoch (reliability of a log never hangs on a clock).

mod heart;
mod lock;
mod staging;
mod turn;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use heart::{Beat, Heart, Progress, newest_beat};
pub use lock::is_locked;
pub use staging::{sweep_staging, unstage};

use self::lock::Lock;
use super::StateLog;
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::id::{Epoch, PipelineName, RunId};
use crate::spec::LeaseSpec;
use crate::state::{ClaimReason, State, Who};
use crate::store::Store;
use crate::time::ProcessingTime;

/// What the holder of a lease says of itself, for messages only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInfo {
    /// The process.
    pub who: Who,
    /// Its run.
    pub run: RunId,
    /// Since when.
    pub since: ProcessingTime,
}

/// The right to claim the log: a lock that is held until this is dropped or the process ends, or
/// the reason why the last claim may be superseded.
#[derive(Debug)]
pub struct Lease {
    lock: Option<Lock>,
    turn: Option<Turn>,
}

/// Why a process may claim a log, seen in a certain epoch of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    epoch: Epoch,
    reason: ClaimReason,
}

impl Lease {
    /// Takes the lease of `pipeline`, whose state lies in the folder `state`, waiting as long as
    /// `spec` says.
    ///
    /// # Errors
    /// [`Code::LeaseHeld`] if another process still holds it then; if the folder cannot be written.
    pub async fn lock(
        state: &Path,
        pipeline: &PipelineName,
        info: &LeaseInfo,
        spec: LeaseSpec,
    ) -> Result<Self> {
        let lock = Lock::take(state, pipeline, info, spec.wait_for).await?;
        Ok(Self { lock: Some(lock), turn: None })
    }

    /// Waits for the turn of `who` on the log of an object store: until it was released, its
    /// holder is known to be dead, or the holder's heart stood still for the patience of `spec`.
    ///
    /// # Errors
    /// [`Code::LeaseHeld`] if the holder is alive, and `spec` does not say to wait longer; if the
    /// log cannot be read.
    pub async fn wait(log: &StateLog, who: &Who, spec: LeaseSpec, clock: Clock) -> Result<Self> {
        let turn = turn::wait(log, who, spec, clock).await?;
        Ok(Self { lock: None, turn })
    }

    /// Why the log, of which `state` is the fold, may be claimed.
    ///
    /// # Errors
    /// [`Code::LeaseHeld`] if somebody else claimed it since.
    pub fn reason(&self, state: &State) -> Result<ClaimReason> {
        match (&self.lock, &state.holder, self.turn) {
            (_, None, _) => Ok(ClaimReason::Released),
            (Some(_), Some(_), _) => Ok(ClaimReason::Flock),
            (None, Some(_), Some(turn)) if turn.epoch == state.epoch => Ok(turn.reason),
            (None, Some(holder), _) => Err(turn::held(&state.pipeline, &holder.who, None)),
        }
    }
}

/// Shows on `store` that the holder of `epoch` is alive, until this is dropped.
#[must_use]
pub fn show_alive(
    store: Arc<dyn Store>,
    epoch: Epoch,
    info: LeaseInfo,
    spec: LeaseSpec,
    lease: &Lease,
    clock: Clock,
) -> Heart {
    // A lock shows by itself that its holder is alive: the beats only tell people how far it is.
    let is_needed_at_once = lease.lock.is_none();
    Heart::start(store, epoch, info, spec.heartbeat, is_needed_at_once, clock)
}

/// The error for a lease that somebody else holds.
fn lease_held(pipeline: &PipelineName) -> Error {
    Error::new(Code::LeaseHeld, format!("pipeline {pipeline} is being written by another run"))
}
