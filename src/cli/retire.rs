//! `highwater retire`

use super::Failed;
use super::args::RetireArgs;
use super::output::Output;
use crate::error::{Code, Error};
use crate::id::PipelineName;
use crate::report::Retired;
use crate::run::Project;
use crate::view::{json, text};

pub(super) async fn retire(
    project: &Project,
    args: &RetireArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let (name, of_it) = match args.target.split_once('.') {
        Some((name, output)) => (name, Some(output)),
        None => (args.target.as_str(), None),
    };
    // It need not be in the configuration: that it is gone from there is why it is retired.
    let name = PipelineName::new(name).ok_or_else(|| {
        let text = format!("`{}` names no pipeline", args.target);
        vec![Error::new(Code::Usage, text).hint("highwater retire PIPELINE[.OUTPUT]")]
    })?;
    let failed = |why: Error| match why.code() {
        Code::UnknownPipeline => vec![why],
        _ if why.message().contains(&format!("pipeline {name}")) => vec![why],
        _ => vec![why.within(format!("pipeline {name}"))],
    };
    if args.writing.dry_run || !args.writing.yes {
        if !args.writing.dry_run && !output.may_ask {
            let text = "`retire` removes outputs, and there is no terminal to ask on";
            return Err(vec![
                Error::new(Code::NotConfirmed, text)
                    .hint("look first with --dry-run, then pass --yes"),
            ]);
        }
        let found = project.foresee_retirement(&name, of_it).await.map_err(&failed)?;
        show(&found, output);
        if args.writing.dry_run {
            return Ok(0);
        }
        if !output.ask("Remove these objects? They can only be computed again.") {
            return Err(vec![Error::new(Code::NotConfirmed, "nothing was done")]);
        }
    }
    let why = args.reason.clone();
    let retired = project.retire(&name, of_it, why).await.map_err(&failed)?;
    show(&retired, output);
    Ok(u8::from(!retired.is_done))
}

fn show(retired: &Retired, output: &Output) {
    output.result(&text::retire(retired), &json::retire(retired));
}
