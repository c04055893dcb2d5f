//! `highwater status`

use super::args::StatusArgs;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::error::{Error, ErrorKind};
use crate::run::{Project, Session};
use crate::spec::PipelineSpec;
use crate::view::json::{self, SCHEMA, StatusDoc};
use crate::view::{PipelineState, StatusView, text};

pub(super) async fn status(
    project: &Project,
    args: &StatusArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let pipelines = load::pick(project, &args.which)?;
    let mut errors: Vec<Error> = Vec::new();
    let mut rows = Vec::new();
    for spec in pipelines {
        match look(project, spec).await {
            Ok(view) => rows.push((spec, view)),
            Err(why) => errors.push(of_pipeline(spec, why)),
        }
    }
    let orphans = match project.orphans().await {
        Ok(orphans) => orphans,
        Err(why) => {
            errors.push(why);
            Vec::new()
        }
    };
    output.show(&errors);
    let document = StatusDoc {
        schema: SCHEMA,
        project: project.spec.name.clone(),
        pipelines: rows.iter().map(|(spec, view)| json::status(&spec.name, view)).collect(),
        orphans: orphans.iter().map(json::orphan).collect(),
        errors: errors.iter().map(json::error).collect(),
    };
    let people = text::status(&rows, output.verbose, project.clock.now());
    output.result(&(people + &text::orphans(&orphans)), &document);
    let kind = ErrorKind::worst(errors.iter().map(Error::kind));
    let is_bad = |view: &StatusView| {
        use PipelineState::{Failed, Held, Overdue};
        matches!(view.state, Failed | Held | Overdue)
    };
    let any_bad = args.exit_code && rows.iter().any(|(_, view)| is_bad(view));
    Ok(kind.map_or(u8::from(any_bad), ErrorKind::exit_code))
}

async fn look(project: &Project, spec: &PipelineSpec) -> Result<StatusView, Error> {
    let session = Session::new(project, spec);
    let opened = project.open_for(&session).await?;
    let has_run = opened.state.is_some();
    let foreseen = project.foresee(&session, &opened, None).await?;
    Ok(crate::view::status(
        spec,
        &foreseen.state,
        &foreseen.plan,
        has_run,
        &foreseen.look.discovery.unreadable,
        &foreseen.look.discovery.left_out,
        project.clock.now(),
    ))
}
