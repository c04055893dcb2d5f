//! What was left for the holder of a lease, and is in no log yet.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::project::Project;
use crate::error::{Code, Error, Result};
use crate::id::RequestId;
use crate::log::{Inbox, InboxItem};
use crate::spec::PipelineSpec;
use crate::state::{Request, State};

/// The requests of the log of `spec`, and what was left for the run that holds its lease, each
/// oldest first. Nothing is written.
///
/// # Errors
/// If the log, or what was left, cannot be read.
pub async fn waiting_requests(
    project: &Project,
    spec: &PipelineSpec,
) -> Result<(BTreeMap<RequestId, Request>, Vec<InboxItem>)> {
    let log = project.log(&spec.name);
    let mut left = Inbox::new(log.store().as_ref()).look().await?;
    // Looked at afterwards: what was taken in meanwhile is in the log now.
    let Some(state) = log.read().await? else { return Ok((BTreeMap::new(), left)) };
    left.retain(|item| !is_in(&state, item.id));
    Ok((state.requests, left))
}

/// Withdraws what was left under the name `id`. No lease is needed, so the run at work may take it
/// in in the same moment; then it is a request of the log.
///
/// # Errors
/// If nothing of that name is left; if it was taken in; if the store fails.
pub async fn withdraw_left(project: &Project, spec: &PipelineSpec, id: Uuid) -> Result<()> {
    let log = project.log(&spec.name);
    let inbox = Inbox::new(log.store().as_ref());
    let found = inbox.look().await?.into_iter().find(|item| item.id == id);
    if let Some(item) = &found {
        inbox.clear(item).await?;
    }
    match log.read().await? {
        Some(state) if is_in(&state, id) => Err(taken_in(spec, &state, id)),
        _ if found.is_some() => Ok(()),
        _ => {
            let text = format!("nothing is left for pipeline {} as {id}", spec.name);
            Err(Error::new(Code::Usage, text).hint("`highwater requests` lists what waits"))
        }
    }
}

/// Whether the log has what was left as `id`.
fn is_in(state: &State, id: Uuid) -> bool {
    state.taken_in.contains(&id)
}

fn taken_in(spec: &PipelineSpec, state: &State, id: Uuid) -> Error {
    let text = format!("pipeline {} has taken in {id} already", spec.name);
    let error = Error::new(Code::Usage, text);
    match state.requests.iter().find(|(_, request)| request.inbox == Some(id)) {
        Some((seq, _)) => error.hint(format!("highwater requests {} --cancel {seq}", spec.name)),
        None => error.note("it is done, or was withdrawn"),
    }
}
