//! Which pipeline may write below an output's root: one file there says it, created once.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};
use crate::id::{PipelineName, StoreId};
use crate::spec::PipelineSpec;
use crate::state::State;
use crate::store::{ObjectMeta, Store, Written, layout};

#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    store: StoreId,
    pipeline: PipelineName,
    output: String,
}

/// The owner of the outputs below `root`, if it is the log whose fold is `state`.
///
/// # Errors
/// If the store fails.
pub(super) async fn owned(
    root: &str,
    state: &State,
    outputs: &dyn Store,
) -> Result<Option<ObjectMeta>> {
    let key = format!("{root}/{}", layout::OWNER);
    let Some(seen) = outputs.head(&key).await? else { return Ok(None) };
    let found = outputs.read(&key).await?.unwrap_or_default();
    let owner = serde_json::from_slice::<Owner>(&found).ok();
    let is_mine = |owner: Owner| owner.store == state.store && owner.pipeline == state.pipeline;
    Ok(owner.is_some_and(is_mine).then_some(seen))
}

/// Makes sure that each output of `spec` belongs to the log that `state` is the fold of. Store and
/// pipeline are compared, not places, so that a folder can be moved.
///
/// # Errors
/// If another pipeline, or another log, owns an output; if the store fails.
pub(super) async fn claim_outputs(
    spec: &PipelineSpec,
    state: &State,
    outputs: &dyn Store,
) -> Result<()> {
    for output in spec.objects().filter(|object| object.is_wanted) {
        claim(spec, state, outputs, output.path.root(), output.name).await?;
    }
    Ok(())
}

/// The same for what lies below `root` and is called `output`.
///
/// # Errors
/// As [`claim_outputs`].
pub(super) async fn claim(
    spec: &PipelineSpec,
    state: &State,
    outputs: &dyn Store,
    root: &str,
    output: &str,
) -> Result<()> {
    let key = format!("{root}/{}", layout::OWNER);
    let (pipeline, output) = (spec.name.clone(), output.to_owned());
    let mine = Owner { store: state.store, pipeline, output };
    if outputs.head(&key).await?.is_none() {
        let text = serde_json::to_vec(&mine)
            .map_err(|why| Error::new(Code::Bug, format!("an owner has no text: {why}")))?;
        match outputs.create(&key, Bytes::from(text)).await {
            Written::Refused(why) | Written::Untrusted(why) => return Err(why),
            // Whoever created it, it says who owns the output; unless nobody did.
            Written::Unclear(why) if outputs.head(&key).await?.is_none() => return Err(why),
            Written::Stored | Written::Unclear(_) => {}
        }
    }
    let name = outputs.name_of(&key);
    let found = outputs.read(&key).await?.unwrap_or_default();
    let owner: Owner = serde_json::from_slice(&found).map_err(|why| {
        Error::new(Code::NotTheOwner, format!("{name} does not say who may write there: {why}"))
            .hint("if no other pipeline writes there, remove the file and run again")
    })?;
    if owner.store != mine.store || owner.pipeline != mine.pipeline {
        return Err(Error::new(
            Code::NotTheOwner,
            format!("{root} belongs to pipeline {}", owner.pipeline),
        )
        .note(format!("{name} names the state {}, this one is {}", owner.store, mine.store))
        .note("nothing was written")
        .hint("give this pipeline an output path of its own")
        .hint("if the state was lost or moved, restore it: without it nobody knows what is done"));
    }
    Ok(())
}
