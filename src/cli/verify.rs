//! `highwater verify`

use super::args::Pipelines;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::error::{Error, ErrorKind};
use crate::report::Verified;
use crate::run::{Project, verify_pipeline};
use crate::view::{json, text};

pub(super) async fn verify(
    project: &Project,
    which: &Pipelines,
    output: &Output,
) -> Result<u8, Failed> {
    let mut errors: Vec<Error> = Vec::new();
    let mut found: Vec<Verified> = Vec::new();
    for spec in load::pick(project, which)? {
        match verify_pipeline(project, spec).await {
            Ok(verified) => found.push(verified),
            Err(why) => errors.push(of_pipeline(spec, why)),
        }
    }
    let document = json::verify(&found, &errors);
    output.show(&errors);
    let all = found.into_iter().fold(Verified::default(), Verified::plus);
    let has_problems = !all.problems.is_empty();
    output.result(&text::verify(&all, errors.is_empty()), &document);
    let kind = ErrorKind::worst(errors.iter().map(Error::kind));
    Ok(kind.map_or(u8::from(has_problems), ErrorKind::exit_code))
}
