//! The document of `lease`.

use serde::Serialize;

use super::{ErrorDoc, SCHEMA, error};
use crate::error::Error;
use crate::id::{Epoch, PipelineName};
use crate::report::{Held, LeaseReport};
use crate::time::ProcessingTime;

/// What `lease` says.
#[derive(Debug, Serialize)]
pub struct LeaseDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// A lease for each pipeline.
    pub leases: Vec<LeaseLineDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// The lease of one pipeline.
#[derive(Debug, Serialize)]
pub struct LeaseLineDoc {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The newest epoch; `null` before the first run.
    pub epoch: Option<Epoch>,
    /// Who holds it; `null` if nobody does.
    pub holder: Option<HolderDoc>,
    /// How many requests were left for the holder.
    pub requests_left: usize,
}

/// The holder of a lease.
#[derive(Debug, Serialize)]
pub struct HolderDoc {
    /// Its host.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// Its version of highwater.
    pub version: String,
    /// Since when.
    pub since: ProcessingTime,
    /// `alive`, `gone`, `there` or `unknown`.
    pub process: &'static str,
    /// When its heart beat last.
    pub beat_at: Option<ProcessingTime>,
    /// How many windows it has dealt with.
    pub windows_done: Option<u64>,
    /// How many windows it planned.
    pub windows_planned: Option<u64>,
}

/// The document form of leases.
#[must_use]
pub fn lease(leases: &[LeaseReport], errors: &[Error]) -> LeaseDoc {
    let holder = |held: &Held| HolderDoc {
        host: held.who.host.clone(),
        pid: held.who.pid,
        version: held.who.ver.clone(),
        since: held.since,
        process: held.signs.as_str(),
        beat_at: held.beat_at,
        windows_done: held.windows.map(|(done, _)| done),
        windows_planned: held.windows.map(|(_, planned)| planned),
    };
    let line = |lease: &LeaseReport| LeaseLineDoc {
        pipeline: lease.pipeline.clone(),
        epoch: lease.epoch,
        holder: lease.held.as_ref().map(holder),
        requests_left: lease.left,
    };
    LeaseDoc {
        schema: SCHEMA,
        leases: leases.iter().map(line).collect(),
        errors: errors.iter().map(error).collect(),
    }
}
