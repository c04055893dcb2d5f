//! `highwater rollback`

use super::args::RollbackArgs;
use super::output::Output;
use super::run::{carry_out, range};
use super::{Failed, load, of_pipeline, plan};
use crate::error::{Code, Error};
use crate::id::{Revision, Seq};
use crate::run::{Asked, Project, check_rollback};
use crate::spec::PipelineSpec;
use crate::state::{Request, RollbackTo, TimeRange, Verb};
use crate::view::{json, text};

pub(super) async fn rollback(
    project: &Project,
    args: &RollbackArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let TimeRange { start, end } = windows(spec, args)?;
    let to = match (args.revision, args.to_seq) {
        (Some(rev), _) => Some(RollbackTo::Revision(Revision(rev))),
        (None, Some(seq)) => Some(RollbackTo::Seq(Seq(seq))),
        (None, None) => None,
    };
    let why = args.reason.clone();
    let request = Request { to, why, ..Request::new(Verb::Rollback, start, end) };
    if args.writing.dry_run || !args.writing.yes {
        if !args.writing.dry_run && !output.may_ask {
            return Err(vec![
                Error::new(
                    Code::NotConfirmed,
                    "`rollback` replaces outputs, and there is no terminal to ask on",
                )
                .hint("look first with --dry-run, then pass --yes"),
            ]);
        }
        let foreseen = plan::foresee_state(project, spec).await;
        let state = foreseen.map_err(|why| vec![of_pipeline(spec, why)])?;
        let owed = check_rollback(project, spec, &state, &request).await;
        let owed = owed.map_err(|why| vec![of_pipeline(spec, why)])?;
        output.result(&text::rollback(spec, &owed), &json::rollback(spec, &owed));
        if args.writing.dry_run {
            return Ok(0);
        }
        if !output.ask("Go back to these revisions?") {
            return Err(vec![Error::new(Code::NotConfirmed, "nothing was done")]);
        }
    }
    Ok(carry_out(project, &[spec], &Asked::Request(request), output).await.0)
}

/// The range that is asked for, or the one window.
fn windows(spec: &PipelineSpec, args: &RollbackArgs) -> Result<TimeRange, Failed> {
    let Some(text) = &args.window else {
        return range(spec, args.from.as_ref(), args.to.as_ref());
    };
    let at = load::instant(spec, "--window", text)?;
    let found = spec.grid.window_at(at);
    let window =
        found.ok_or_else(|| vec![Error::new(Code::Usage, format!("no window holds {text}"))])?;
    Ok(TimeRange { start: window.start(), end: window.end() })
}
