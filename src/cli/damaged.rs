//! `highwater reprocess --damaged`: what `verify` finds broken.

use super::output::Output;
use super::{Failed, of_pipeline};
use crate::error::{Code, Error, ErrorKind};
use crate::report::ProblemKind;
use crate::run::{Depth, Extent, Project, verify_pipeline};
use crate::spec::PipelineSpec;
use crate::state::{Request, TimeRange};

/// The part of `request` whose windows have outputs that are missing or broken, `None` if none has;
/// and an error for each object in whose place nothing can be published.
pub(super) async fn find(
    project: &Project,
    spec: &PipelineSpec,
    request: Request,
    output: &Output,
) -> Result<(Option<Request>, Failed), Failed> {
    let range = TimeRange { start: request.start, end: request.end };
    let found = verify_pipeline(project, spec, &Extent { depth: Depth::Full, range }).await;
    let mut found = found.map_err(|why| {
        let why = match why.kind() {
            ErrorKind::Corrupt => why.note("`reprocess` mends outputs, and the log is no output"),
            _ => why,
        };
        vec![of_pipeline(spec, why)]
    })?;
    let mut obstacles = Vec::new();
    for problem in found.problems.iter().filter(|problem| !problem.kind.is_damage()) {
        let (path, kind) = (&problem.path, problem.kind.as_str());
        if problem.kind == ProblemKind::Obstacle {
            let text = format!("{path} cannot be mended: {}", problem.message);
            let error = Error::new(Code::StoreFailed, text)
                .note("its window stays as it is")
                .hint("take that away, and `highwater reprocess --damaged` again");
            obstacles.push(of_pipeline(spec, error));
            // What else is damaged of the window waits too: a window is published as a whole.
            problem.window.iter().for_each(|(start, end)| found.damaged.remove(*start, *end));
        } else {
            output.say(&format!("{path} stays as it is: {kind}: {}", problem.message));
        }
    }
    let within: Vec<TimeRange> =
        found.damaged.ranges().map(|(start, end)| TimeRange { start, end }).collect();
    let (Some(first), Some(last)) = (within.first(), within.last()) else {
        if obstacles.is_empty() {
            output.say("nothing is damaged");
        }
        return Ok((None, obstacles));
    };
    let request = Request { start: first.start, end: last.end, within, ..request };
    Ok((Some(request), obstacles))
}
