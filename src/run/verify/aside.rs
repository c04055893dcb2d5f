//! Rows that are kept aside: whether each object is as the log says.

use std::sync::Arc;

use super::object::Objects;
use crate::error::Result;
use crate::log::StateLog;
use crate::report::{Problem, ProblemKind, Verified};
use crate::state::{AsideState, State};

/// Looks at the objects of rows that belong to no window, at those that differ a second time: a
/// run may have replaced one meanwhile.
pub(super) async fn asides(
    log: &StateLog,
    objects: &Arc<Objects>,
    state: &State,
    verified: &mut Verified,
) -> Result<()> {
    for (id, known) in &state.asides {
        if known.committed.is_some() {
            verified.objects = verified.objects.saturating_add(1);
        }
        if look(objects, known).await?.is_none() {
            continue;
        }
        let newer = log.read().await?;
        let Some(now) = newer.as_ref().and_then(|state| state.asides.get(id)) else { continue };
        let Some((kind, path, message)) = look(objects, now).await? else { continue };
        if kind.is_damage() {
            verified.damaged_asides.insert(id.clone());
        }
        let message = format!("rows of {} that belong to no window: {message}", id.key);
        let pipeline = state.pipeline.clone();
        verified.problems.push(Problem { pipeline, window: None, kind, path, message });
    }
    Ok(())
}

async fn look(
    objects: &Arc<Objects>,
    known: &AsideState,
) -> Result<Option<(ProblemKind, String, String)>> {
    let Some(committed) = &known.committed else { return Ok(None) };
    let found = objects.look(&committed.object).await?;
    Ok(found.map(|found| {
        let kind = if known.is_in_doubt { ProblemKind::InDoubt } else { found.kind };
        (kind, committed.object.path.clone(), found.message)
    }))
}
