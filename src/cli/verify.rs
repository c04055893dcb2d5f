//! `highwater verify`

use super::args::{Level, VerifyArgs};
use super::output::Output;
use super::run::range;
use super::{Failed, load, of_pipeline};
use crate::error::{Error, ErrorKind};
use crate::report::Verified;
use crate::run::{Depth, Extent, Project, verify_pipeline};
use crate::view::{json, text};

pub(super) async fn verify(
    project: &Project,
    args: &VerifyArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let mut errors: Vec<Error> = Vec::new();
    let mut found: Vec<Verified> = Vec::new();
    let depth = depth(&args.level);
    for spec in load::pick(project, &args.which)? {
        let range = range(spec, args.from.as_ref(), args.to.as_ref())?;
        match verify_pipeline(project, spec, &Extent { depth, range }).await {
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

fn depth(level: &Level) -> Depth {
    let Level { quick, log, balance, sizes, recompute, .. } = *level;
    match (quick, log, balance, sizes, recompute) {
        (true, ..) => Depth::Quick,
        (_, true, ..) => Depth::Log,
        (_, _, true, ..) => Depth::Balance,
        (_, _, _, true, _) => Depth::Sizes,
        (.., true) => Depth::Recompute,
        _ => Depth::Full,
    }
}
