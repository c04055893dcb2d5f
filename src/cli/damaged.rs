//! `highwater reprocess --damaged`: what `verify` finds broken.

use super::output::Output;
use super::{Failed, of_pipeline};
use crate::error::ErrorKind;
use crate::run::{Depth, Extent, Project, verify_pipeline};
use crate::spec::PipelineSpec;
use crate::state::{Request, TimeRange};

/// The part of `request` whose windows have outputs that are missing or broken; `None` if none has.
pub(super) async fn find(
    project: &Project,
    spec: &PipelineSpec,
    request: Request,
    output: &Output,
) -> Result<Option<Request>, Failed> {
    let range = TimeRange { start: request.start, end: request.end };
    let found = verify_pipeline(project, spec, &Extent { depth: Depth::Full, range }).await;
    let found = found.map_err(|why| {
        let why = match why.kind() {
            ErrorKind::Corrupt => why.note("`reprocess` mends outputs, and the log is no output"),
            _ => why,
        };
        vec![of_pipeline(spec, why)]
    })?;
    for problem in found.problems.iter().filter(|problem| !problem.kind.is_damage()) {
        let (path, kind) = (&problem.path, problem.kind.as_str());
        output.say(&format!("{path} stays as it is: {kind}: {}", problem.message));
    }
    let within: Vec<TimeRange> =
        found.damaged.ranges().map(|(start, end)| TimeRange { start, end }).collect();
    let (Some(first), Some(last)) = (within.first(), within.last()) else {
        output.say("nothing is damaged");
        return Ok(None);
    };
    Ok(Some(Request { start: first.start, end: last.end, within, ..request }))
}
