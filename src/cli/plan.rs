//! `highwater plan`

use super::args::PlanArgs;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::error::{Error, ErrorKind};
use crate::id::PipelineName;
use crate::run::{Foreseen, Project, Session};
use crate::spec::PipelineSpec;
use crate::state::{Request, State};
use crate::view::json::{self, PlanDoc, SCHEMA};
use crate::view::text;

pub(super) async fn plan(
    project: &Project,
    args: &PlanArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let pipelines = load::pick_enabled(project, &args.which)?;
    let (work, code) = show(project, &pipelines, None, output).await;
    Ok(if code == 0 && work && args.exit_code { 10 } else { code })
}

/// Shows what is due in `pipelines`, were `request` made. Returns whether anything is, and the exit
/// code.
pub(super) async fn show(
    project: &Project,
    pipelines: &[&PipelineSpec],
    request: Option<&Request>,
    output: &Output,
) -> (bool, u8) {
    let mut errors: Vec<Error> = Vec::new();
    let mut foreseen = Vec::new();
    for spec in pipelines {
        match foresee(project, spec, request).await {
            Ok((found, mistake)) => {
                foreseen.push((*spec, found));
                errors.extend(mistake.map(|why| of_pipeline(spec, why)));
            }
            Err(why) => errors.push(of_pipeline(spec, why)),
        }
    }
    let mut people = String::new();
    let mut documents = Vec::new();
    for (spec, found) in &foreseen {
        let outside = found.rows_outside(spec);
        let now = project.clock.now();
        let behind = behind(spec, &foreseen);
        people.push_str(&text::plan(spec, &found.state, &found.plan, outside, output.verbose, now));
        people.push_str(&text::plan_behind(&behind));
        people.push('\n');
        documents.push(json::plan(spec, &found.state, &found.plan, outside, behind));
        let unreadable = found.look.discovery.unreadable.iter().cloned();
        errors.extend(unreadable.map(|why| of_pipeline(spec, why)));
    }
    if !foreseen.is_empty() {
        people.push_str(&text::plan_total(foreseen.iter().map(|(_, found)| &found.plan)));
    }
    output.show(&errors);
    let document = PlanDoc {
        schema: SCHEMA,
        project: project.spec.name.clone(),
        pipelines: documents,
        errors: errors.iter().map(json::error).collect(),
    };
    output.result(&people, &document);
    let work = foreseen.iter().any(|(_, found)| found.has_work());
    let kind = ErrorKind::worst(errors.iter().map(Error::kind));
    (work, kind.map_or(0, ErrorKind::exit_code))
}

/// The pipelines that `spec` reads from and that have work of their own.
fn behind(spec: &PipelineSpec, foreseen: &[(&PipelineSpec, Foreseen)]) -> Vec<PipelineName> {
    let mut behind = Vec::new();
    for upstream in spec.sources.iter().filter_map(|source| source.upstream()) {
        let work = foreseen.iter().find(|(other, _)| other.name == upstream.pipeline);
        let has_work = work.is_some_and(|(_, found)| found.has_work());
        if has_work && !behind.contains(&upstream.pipeline) {
            behind.push(upstream.pipeline.clone());
        }
    }
    behind
}

/// What the log would say once what is there was admitted.
pub(super) async fn foresee_state(project: &Project, spec: &PipelineSpec) -> Result<State, Error> {
    let session = Session::new(project, spec);
    let opened = project.open_for(&session).await?;
    Ok(project.foresee(&session, &opened, None).await?.state)
}

/// What a run would do, and why its query could not be planned.
pub(super) async fn foresee(
    project: &Project,
    spec: &PipelineSpec,
    request: Option<&Request>,
) -> Result<(Foreseen, Option<Error>), Error> {
    let session = Session::new(project, spec);
    let opened = project.open_for(&session).await?;
    let mut foreseen = project.foresee(&session, &opened, request.cloned()).await?;
    // Where a file cannot be read, that is told, and what follows from it need not be.
    if !foreseen.look.discovery.unreadable.is_empty() {
        return Ok((foreseen, None));
    }
    match session.prepare(&project.engine, &foreseen.look, &foreseen.ledger, &foreseen.state).await
    {
        Ok(Some(_)) => Ok((foreseen, None)),
        Ok(None) => {
            foreseen.plan.hold();
            Ok((foreseen, None))
        }
        Err(mistake) => Ok((foreseen, Some(mistake))),
    }
}
