//! `highwater reprocess --damaged`: what `verify` finds broken.

use super::output::Output;
use super::{Failed, of_pipeline};
use crate::error::{Code, Error, ErrorKind};
use crate::report::ProblemKind;
use crate::run::{Asked, Depth, Extent, Project, verify_pipeline};
use crate::spec::PipelineSpec;
use crate::state::{Request, TimeRange};
use crate::view::text;

/// What is to be done about what is damaged.
pub(super) struct Damage {
    /// What is asked of a run; `None` if nothing is.
    pub(super) asked: Option<Asked>,
    /// An error for each object in whose place nothing can be published.
    pub(super) obstacles: Failed,
}

/// Looks for damage in what `request` asks for.
pub(super) async fn find(
    project: &Project,
    spec: &PipelineSpec,
    request: Request,
    output: &Output,
) -> Result<Damage, Failed> {
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
    let asides = found.damaged_asides;
    let request = match (within.first(), within.last()) {
        (Some(first), Some(last)) => {
            Some(Request { start: first.start, end: last.end, within: within.clone(), ..request })
        }
        _ => None,
    };
    if request.is_none() && asides.is_empty() && obstacles.is_empty() {
        output.say("nothing is damaged");
    }
    if asides.is_empty() {
        return Ok(Damage { asked: request.map(Asked::Request), obstacles });
    }
    let objects = text::counted(u64::try_from(asides.len()).unwrap_or(u64::MAX), "object");
    output.say(&format!("rows that belong to no window: {objects} to be written again"));
    Ok(Damage { asked: Some(Asked::Mend(request, asides)), obstacles })
}
