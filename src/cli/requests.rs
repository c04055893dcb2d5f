//! `highwater requests`

use super::args::RequestsArgs;
use super::output::Output;
use super::run::carry_out;
use super::{Failed, load};
use crate::error::{Code, Error};
use crate::run::{Asked, Project};
use crate::view::json::{self, RequestsDoc, SCHEMA};
use crate::view::text;

pub(super) async fn requests(
    project: &Project,
    args: &RequestsArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let pipelines = load::pick(project, &args.which)?;
    if let Some(id) = &args.cancel {
        let [spec] = pipelines.as_slice() else {
            let text = "name the one pipeline whose request is to be withdrawn";
            return Err(vec![Error::new(Code::Usage, text)]);
        };
        let id = id.parse().map_err(|why| vec![Error::new(Code::Usage, why)])?;
        return Ok(carry_out(project, &[spec], &Asked::Cancel(id), output).await.0);
    }
    let mut documents = Vec::new();
    let mut rows = Vec::new();
    for spec in pipelines {
        let state = project.log(&spec.name).read().await.map_err(|why| vec![why])?;
        for (id, request) in state.iter().flat_map(|state| &state.requests) {
            documents.push(json::request(&spec.name, *id, request));
            let local = |at| spec.grid.local_instant(at);
            let verb = format!("{:?}", request.verb).to_lowercase();
            let why = request.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let what = format!("{verb} {} to {}{why}", local(request.start), local(request.end));
            rows.push((spec.name.clone(), id.to_string(), what));
        }
    }
    let document = RequestsDoc { schema: SCHEMA, requests: documents, errors: Vec::new() };
    output.result(&text::requests(&rows), &document);
    Ok(0)
}
