//! `highwater requests`

use super::args::RequestsArgs;
use super::output::Output;
use super::run::carry_out;
use super::{Failed, load};
use crate::error::{Code, Error};
use crate::id::RequestId;
use crate::run::{Asked, Project};
use crate::spec::PipelineSpec;
use crate::view::json::{self, RequestsDoc, SCHEMA};
use crate::view::text::{self, RequestLine};

pub(super) async fn requests(
    project: &Project,
    args: &RequestsArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let pipelines = load::pick(project, &args.which)?;
    if let Some(id) = &args.cancel {
        return cancel(project, &pipelines, id, args.writing.dry_run, output).await;
    }
    let waiting = waiting(project, &pipelines).await.map_err(|why| vec![why])?;
    show(&waiting, output);
    Ok(0)
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
    let id: RequestId = id.parse().map_err(unknown)?;
    let mut waiting = waiting(project, pipelines).await.map_err(|why| vec![why])?;
    waiting.retain(|line| line.id == id);
    if waiting.is_empty() {
        return Err(unknown(format!("pipeline {} has no pending request {id}", spec.name)));
    }
    if dry_run {
        output.say("would be withdrawn:");
        show(&waiting, output);
        return Ok(0);
    }
    Ok(carry_out(project, &[spec], &Asked::Cancel(id), output).await.0)
}

async fn waiting<'a>(
    project: &Project,
    pipelines: &[&'a PipelineSpec],
) -> Result<Vec<RequestLine<'a>>, Error> {
    let mut waiting = Vec::new();
    for spec in pipelines {
        let state = project.log(&spec.name).read().await?;
        let requests = state.into_iter().flat_map(|state| state.requests);
        waiting.extend(requests.map(|(id, request)| RequestLine { spec, id, request }));
    }
    Ok(waiting)
}

fn show(waiting: &[RequestLine<'_>], output: &Output) {
    let requests =
        waiting.iter().map(|line| json::request(&line.spec.name, line.id, &line.request));
    let document = RequestsDoc { schema: SCHEMA, requests: requests.collect(), errors: Vec::new() };
    output.result(&text::requests(waiting), &document);
}
