//! `highwater check`: everything that can be known to be wrong before anything is computed.
//!
//! The configuration was checked by loading it.

use super::args::CheckArgs;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::error::{Error, ErrorKind};
use crate::run::{Project, Session};
use crate::spec::PipelineSpec;
use crate::view::json::{self, CheckDoc, SCHEMA};
use crate::view::text;

pub(super) async fn check(
    project: &Project,
    args: &CheckArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let pipelines = load::pick(project, &args.which)?;
    let mut errors: Vec<Error> = Vec::new();
    let mut lines = String::new();
    for spec in &pipelines {
        match check_pipeline(project, spec).await {
            Ok(line) => lines.push_str(&line),
            Err(found) => errors.extend(found),
        }
        if args.online {
            match check_store(project, spec).await {
                Ok(line) => lines.push_str(&line),
                Err(why) => errors.push(of_pipeline(spec, why)),
            }
        }
    }
    output.show(&errors);
    let document = CheckDoc {
        schema: SCHEMA,
        ok: errors.is_empty(),
        pipelines: pipelines.iter().map(|spec| spec.name.clone()).collect(),
        errors: errors.iter().map(json::error).collect(),
    };
    output.result(&lines, &document);
    let kind = ErrorKind::worst(errors.iter().map(Error::kind));
    Ok(kind.map_or(0, ErrorKind::exit_code))
}

/// A line that says that the store of the state keeps the promises that the protocol stands on.
async fn check_store(project: &Project, spec: &PipelineSpec) -> Result<String, Error> {
    if project.state_folder(&spec.name).is_some() {
        return Ok(format!("✓ {}    state on local disk\n", spec.name));
    }
    let probed = project.probe(&spec.name).await?;
    let rounds = text::counted(u64::from(probed.rounds), "round");
    Ok(format!("✓ {}    the store keeps its promises, in {rounds}\n", spec.name))
}

/// A line that says what was found to be in order.
async fn check_pipeline(project: &Project, spec: &PipelineSpec) -> Result<String, Vec<Error>> {
    let within = |why: Error| of_pipeline(spec, why);
    let session = Session::new(project, spec);
    let opened = project.open_for(&session).await.map_err(|why| vec![within(why)])?;
    let foreseen = project.foresee(&session, &opened, None).await;
    let foreseen = foreseen.map_err(|why| vec![within(why)])?;
    let found = &foreseen.look.discovery;
    let mut errors: Vec<Error> = found.unreadable.iter().cloned().map(within).collect();
    let prepared =
        session.prepare(&project.engine, &foreseen.look, &foreseen.ledger, &foreseen.state).await;
    let planned = match prepared {
        Ok(Some(_)) => "SQL plans",
        Ok(None) => "its SQL is planned once there is one",
        Err(why) => {
            let why = within(why);
            if !errors.iter().any(|known| known.message() == why.message()) {
                errors.push(why);
            }
            ""
        }
    };
    if !errors.is_empty() {
        return Err(errors);
    }
    let files = text::counted(u64::try_from(found.listed.len()).unwrap_or(u64::MAX), "input file");
    Ok(format!("✓ {}    {files}; {planned}; no two windows share a path\n", spec.name))
}
