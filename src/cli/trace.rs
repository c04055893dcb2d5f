//! `highwater trace`

use super::args::TraceArgs;
use super::output::Output;
use super::run::range;
use super::{Failed, load, of_pipeline};
use crate::run::{AskedTrace, Project};
use crate::view::{json, text};

pub(super) async fn trace(
    project: &Project,
    args: &TraceArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let is_narrowed = args.from.is_some() || args.to.is_some();
    let range = range(spec, args.from.as_ref(), args.to.as_ref())?;
    let asked = AskedTrace {
        condition: args.condition.clone(),
        source: args.source.clone(),
        range: is_narrowed.then_some(range),
    };
    let found = crate::run::trace(project, spec, &asked).await;
    let found = found.map_err(|why| vec![of_pipeline(spec, why)])?;
    output.result(&text::trace(spec, &found), &json::trace(spec, &found));
    Ok(0)
}
