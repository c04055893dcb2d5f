//! The holder of a lease who computes nothing: it keeps a log and what lies around it in order.

use super::project::Project;
use crate::crashpoint;
use crate::error::{Code, Error, Result};
use crate::id::{PipelineName, Seq};
use crate::log::{Heart, Lease, LeaseInfo, StateLog, show_alive};
use crate::publish::Publisher;
use crate::state::{Body, State};
use crate::store::{ObjectMeta, Store};

/// Writes to one log, as its only writer.
pub(super) struct Keeper {
    publisher: Publisher,
    /// The log.
    pub(super) log: StateLog,
    first: Seq,
    _heart: Heart,
    _lease: Lease,
}

impl Keeper {
    /// Takes the lease of the pipeline `name`, and claims its log.
    ///
    /// # Errors
    /// If there is no log; if another process holds it; if it is damaged or cannot be written.
    pub(super) async fn take(project: &Project, name: &PipelineName) -> Result<Self> {
        let log = project.log(name);
        if log.read().await?.is_none() {
            return Err(no_state(name));
        }
        let Project { identity, clock, .. } = project;
        let info = LeaseInfo { who: identity.who.clone(), run: identity.run, since: clock.now() };
        let lease = project.lease(name, &log, &info).await?;
        // With the facts of every window: what is kept in order may concern any of them.
        let state = log.read().await?.ok_or_else(|| no_state(name))?;
        let reason = lease.reason(&state)?;
        let takes = state.holder.as_ref().map(|_| state.epoch);
        let claim = Body::Claim { takes, reason };
        let outputs = project.outputs(name);
        let mut publisher = Publisher::new(log.clone(), outputs, *clock, identity.clone(), state);
        let first = publisher.append(claim).await?;
        let (store, epoch) = (log.store().clone(), publisher.state().epoch);
        let heart = show_alive(store, epoch, info, project.spec.lease, &lease, *clock);
        Ok(Self { publisher, log, first, _heart: heart, _lease: lease })
    }

    /// The fold of the log.
    pub(super) fn state(&self) -> &State {
        self.publisher.state()
    }

    /// Appends one entry.
    pub(super) async fn append(&mut self, body: Body) -> Result<Seq> {
        self.publisher.append(body).await
    }

    /// Lets go of the log, if it is in order. The first and the last entry that it was given.
    pub(super) async fn release(mut self) -> Result<(Seq, Seq)> {
        let last = self.publisher.append(Body::Release).await?;
        Ok((self.first, last))
    }

    /// The same after an error, which is what is told then.
    pub(super) async fn give_up(mut self) {
        if self.publisher.is_idle() {
            // Best effort: the next writer takes over just as well.
            let _ = self.publisher.append(Body::Release).await;
        }
    }
}

/// Removes the version `seen`; whether nothing is there any more.
pub(super) async fn remove(store: &dyn Store, seen: &ObjectMeta) -> Result<bool> {
    crashpoint::pass("remove.before");
    store.remove(seen).await?;
    crashpoint::pass("remove.after");
    Ok(store.head(&seen.key).await?.is_none())
}

pub(super) fn no_state(name: &PipelineName) -> Error {
    Error::new(Code::UnknownPipeline, format!("there is no state of a pipeline `{name}`"))
        .hint("`highwater status` lists pipelines, and states that no pipeline belongs to")
}
