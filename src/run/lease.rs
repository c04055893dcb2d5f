//! Who holds the lease of a pipeline, and how an operator takes it away.

use super::project::Project;
use crate::error::{Code, Error, Result};
use crate::id::PipelineName;
use crate::log::{Inbox, Lease, LeaseInfo, is_locked, newest_beat};
use crate::process::{Liveness, liveness};
use crate::publish::Publisher;
use crate::report::{Held, LeaseReport, Signs};
use crate::spec::PipelineSpec;
use crate::state::{Body, ClaimReason};
use crate::store::layout;

/// Looks who holds the lease of the pipeline `name`. Nothing is written.
///
/// # Errors
/// If the log cannot be read.
pub async fn lease_of(project: &Project, name: &PipelineName) -> Result<LeaseReport> {
    let log = project.log(name);
    let left = Inbox::new(log.store().as_ref()).look().await?.len();
    let mut report = LeaseReport { pipeline: name.clone(), epoch: None, held: None, left };
    let Some(state) = log.read().await? else { return Ok(report) };
    report.epoch = Some(state.epoch);
    let Some(holder) = &state.holder else { return Ok(report) };
    let beat = newest_beat(log.store().as_ref(), state.epoch).await?;
    let beat_at = log.store().head(&layout::heartbeat(state.epoch)).await?;
    let me = &project.identity.who;
    let signs = match project.state_folder(name) {
        Some(folder) if is_locked(&folder) => Signs::Locked,
        Some(_) => Signs::Gone,
        None => match liveness(&holder.who, me) {
            Liveness::Dead => Signs::Gone,
            Liveness::There => Signs::There,
            Liveness::Unknown => Signs::Unknown,
        },
    };
    report.held = Some(Held {
        who: holder.who.clone(),
        since: holder.since,
        signs,
        beat_at: beat_at.map(|meta| meta.modified_at),
        windows: beat.map(|beat| (beat.windows_done, beat.windows_planned)),
    });
    Ok(report)
}

/// Takes the lease away from its holder, and lets go of it. The holder, should it still live, stops
/// at its next write: nothing of it lands after this. On local disk a living holder keeps its lock,
/// and nothing is done. Whether there was a holder.
///
/// # Errors
/// [`Code::LeaseHeld`] if the holder lives and has the lock; if the log cannot be read or written.
pub async fn release_lease(project: &Project, spec: &PipelineSpec) -> Result<bool> {
    let log = project.log(&spec.name);
    let Some(state) = log.read().await? else { return Ok(false) };
    if state.holder.is_none() {
        return Ok(false);
    }
    let info = LeaseInfo {
        who: project.identity.who.clone(),
        run: project.identity.run,
        since: project.clock.now(),
    };
    let lock =
        match project.state_folder(&spec.name) {
            Some(folder) => {
                let lock = Lease::lock(&folder, &spec.name, &info, project.spec.lease).await;
                Some(lock.map_err(|why| {
                    match why.code() {
                Code::LeaseHeld => why
                    .note("on local disk a lease is the lock of a process, and ends with it")
                    .hint("end the process, even with `kill -9`: the next run takes over at once"),
                _ => why,
            }
                })?)
            }
            None => None,
        };
    let state = log.read().await?.ok_or_else(|| gone(spec))?;
    if state.holder.is_none() {
        return Ok(false);
    }
    let reason = if lock.is_some() { ClaimReason::Flock } else { ClaimReason::Forced };
    let takes = Some(state.epoch);
    let outputs = project.outputs(&spec.name);
    let identity = project.identity.clone();
    let mut publisher = Publisher::new(log, outputs, project.clock, identity, state);
    publisher.append(Body::Claim { takes, reason }).await?;
    publisher.append(Body::Release).await?;
    Ok(true)
}

fn gone(spec: &PipelineSpec) -> Error {
    Error::new(Code::StateCorrupt, format!("the log of pipeline {} is gone", spec.name))
        .hint("restore the state folder from a backup")
}
