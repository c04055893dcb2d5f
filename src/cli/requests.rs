//! `highwater requests`

use uuid::Uuid;

use super::args::RequestsArgs;
use super::output::Output;
use super::run::carry_out;
use super::{Failed, load, of_pipeline};
use crate::error::{Code, Error, ErrorKind};
use crate::run::{Asked, Project, waiting_requests, withdraw_left};
use crate::spec::PipelineSpec;
use crate::view::json::{self, RequestsDoc, SCHEMA};
use crate::view::text::{self, RequestLine, RequestName};

pub(super) async fn requests(
    project: &Project,
    args: &RequestsArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let pipelines = load::pick(project, &args.which)?;
    if let Some(id) = &args.cancel {
        return cancel(project, &pipelines, id, args.writing.dry_run, output).await;
    }
    let (waiting, unreadable) = waiting(project, &pipelines).await.map_err(|why| vec![why])?;
    output.show(&unreadable);
    output.result(&text::requests(&waiting), &document(&waiting, None, &unreadable));
    Ok(ErrorKind::worst(unreadable.iter().map(Error::kind)).map_or(0, ErrorKind::exit_code))
}

/// Withdraws a request; with `dry_run` only shows it.
async fn cancel(
    project: &Project,
    pipelines: &[&PipelineSpec],
    id: &str,
    dry_run: bool,
    output: &Output,
) -> Result<u8, Failed> {
    let [spec] = pipelines else {
        let text = "name the one pipeline whose request is to be withdrawn";
        let hint = "highwater requests PIPELINE --cancel ID";
        return Err(vec![Error::new(Code::Usage, text).hint(hint)]);
    };
    let unknown = |why: String| {
        let names = "`highwater requests` lists those that wait";
        vec![Error::new(Code::Usage, why).hint(names)]
    };
    let id = match Uuid::parse_str(id) {
        Ok(id) => RequestName::Left(id),
        Err(_) => RequestName::Pending(id.parse().map_err(unknown)?),
    };
    let (mut waiting, unreadable) = waiting(project, pipelines).await.map_err(|why| vec![why])?;
    waiting.retain(|line| line.id == id);
    match id {
        RequestName::Left(_) if dry_run && !unreadable.is_empty() => Err(unreadable),
        RequestName::Left(id) if dry_run && waiting.is_empty() => {
            Err(unknown(format!("nothing is left for pipeline {} as {id}", spec.name)))
        }
        RequestName::Pending(id) if waiting.is_empty() => {
            Err(unknown(format!("pipeline {} has no pending request {id}", spec.name)))
        }
        _ if dry_run => {
            output.say("would be withdrawn:");
            output.result(&text::requests(&waiting), &document(&waiting, None, &[]));
            Ok(0)
        }
        RequestName::Pending(id) => {
            Ok(carry_out(project, &[spec], &Asked::Cancel(id), output).await.0)
        }
        RequestName::Left(id) => {
            withdraw_left(project, spec, id).await.map_err(|why| vec![why])?;
            let text = format!("{}    {id} is withdrawn\n", spec.name);
            output.result(&text, &document(&waiting, Some("withdrawn"), &[]));
            Ok(0)
        }
    }
}

/// What waits, and what was left and cannot be read.
async fn waiting<'a>(
    project: &Project,
    pipelines: &[&'a PipelineSpec],
) -> Result<(Vec<RequestLine<'a>>, Failed), Error> {
    let (mut waiting, mut unreadable) = (Vec::new(), Vec::new());
    for spec in pipelines {
        let (pending, left) = waiting_requests(project, spec).await?;
        let pending = pending.into_iter().map(|(id, request)| (RequestName::Pending(id), request));
        waiting.extend(pending.map(|(id, request)| RequestLine { spec, id, request }));
        for item in left {
            let id = RequestName::Left(item.id);
            match item.request {
                Ok(request) => waiting.push(RequestLine { spec, id, request }),
                Err(why) => unreadable.push(of_pipeline(spec, why)),
            }
        }
    }
    Ok((waiting, unreadable))
}

/// The document of `waiting`, each in the state that it is in, or in `state`.
fn document(
    waiting: &[RequestLine<'_>],
    state: Option<&'static str>,
    errors: &[Error],
) -> RequestsDoc {
    let request = |line: &RequestLine<'_>| {
        let state = state.unwrap_or(line.id.state());
        json::request(&line.spec.name, &line.id, state, &line.request)
    };
    RequestsDoc {
        schema: SCHEMA,
        requests: waiting.iter().map(request).collect(),
        errors: errors.iter().map(json::error).collect(),
    }
}
