//! Whose turn it is on an object store.
//!
//! A holder that released, or whose process is gone from this very host, is followed at once. Of
//! any other the heart is watched: unchanged for the whole patience, counted in pauses of the
//! watcher, and the holder counts as dead. Should it only have been stopped, the claim fences it.

use std::time::Duration;

use super::heart::{Beat, newest_beat};
use super::{Turn, lease_held};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::{Epoch, PipelineName};
use crate::log::StateLog;
use crate::process::{Liveness, liveness};
use crate::spec::LeaseSpec;
use crate::state::{ClaimReason, State, Who};
use crate::time::Span;

/// How many times a heart is looked at within the shortest time in which it must beat.
const LOOKS_PER_HEARTBEAT: i64 = 4;

/// How long to sleep between two looks at the least.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(20);

/// Waits until `who` may claim the log. `None` if there is no log yet, or nobody holds it.
pub(super) async fn wait(
    log: &StateLog,
    who: &Who,
    spec: LeaseSpec,
    clock: Clock,
) -> Result<Option<Turn>> {
    let mut watch = Watch { spec, clock, slept: Duration::ZERO };
    let mut living: Option<(Epoch, Option<Beat>)> = None;
    loop {
        let Some(state) = log.read().await? else { return Ok(None) };
        let Some(holder) = &state.holder else { return Ok(None) };
        let turn = |reason| Ok(Some(Turn { epoch: state.epoch, reason }));
        if liveness(&holder.who, who) == Liveness::Dead {
            return turn(ClaimReason::DeadPid);
        }
        if let Some((_, beat)) = living.take_if(|(epoch, _)| *epoch == state.epoch)
            && watch.slept >= duration(spec.wait_for)
        {
            return Err(held(&state.pipeline, &holder.who, beat.as_ref()));
        }
        match watch.sign_of_life(log, &state).await? {
            Some(beat) => living = Some((state.epoch, beat)),
            None => return turn(ClaimReason::LeaseExpired),
        }
    }
}

/// Watches a holder.
struct Watch {
    spec: LeaseSpec,
    clock: Clock,
    /// How long it slept so far.
    slept: Duration,
}

impl Watch {
    /// Waits until the holder of `state` shows that it lives, by a beat or an entry; the newest
    /// beat then. `None` if it did not for the whole patience.
    async fn sign_of_life(
        &mut self,
        log: &StateLog,
        state: &State,
    ) -> Result<Option<Option<Beat>>> {
        let store = log.store().as_ref();
        let first = newest_beat(store, state.epoch).await?;
        let (pause, mut still) = (pause(self.spec.heartbeat), Duration::ZERO);
        while still < duration(self.spec.patience) {
            self.clock.sleep(pause).await;
            still = still.saturating_add(pause);
            self.slept = self.slept.saturating_add(pause);
            let beat = newest_beat(store, state.epoch).await?;
            let next = state.next_seq();
            if beat != first || matches!(next, Some(next) if log.has_entry(next).await?) {
                return Ok(Some(beat));
            }
        }
        Ok(None)
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_micros(u64::try_from(span.micros()).unwrap_or_default())
}

fn pause(heartbeat: Span) -> Duration {
    let micros = heartbeat.micros().checked_div(LOOKS_PER_HEARTBEAT).unwrap_or_default();
    Duration::from_micros(u64::try_from(micros).unwrap_or_default()).max(LOOK_EVERY_MIN)
}

/// The error for a log whose holder is alive.
pub(super) fn held(pipeline: &PipelineName, who: &Who, beat: Option<&Beat>) -> Error {
    let (host, pid, ver) = (&who.host, who.pid, &who.ver);
    let error = lease_held(pipeline).note(format!("holder {host}, pid {pid}, highwater {ver}"));
    let error = match beat {
        Some(beat) => error.note(format!(
            "it is alive: window {} of {}, since {}",
            beat.windows_done, beat.windows_planned, beat.info.since
        )),
        None => error,
    };
    error
        .hint("wait for it: set `wait` in [lease], or run again later; whatever is due stays due")
        .hint(
            "if that process hangs, end it, or take the lease from it: `highwater lease --release`",
        )
}
