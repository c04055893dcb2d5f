//! `highwater vacuum`

use super::args::VacuumArgs;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::error::{Code, Error, ErrorKind};
use crate::report::Vacuumed;
use crate::run::Project;
use crate::spec::PipelineSpec;
use crate::time::Span;
use crate::view::{json, text};

pub(super) async fn vacuum(
    project: &Project,
    args: &VacuumArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let pipelines = load::pick(project, &args.which)?;
    let retention = retention(&args.retention)?;
    let writing = &args.writing;
    if !writing.dry_run && !writing.yes && !output.may_ask {
        return Err(vec![
            Error::new(
                Code::NotConfirmed,
                "`vacuum` deletes files, and there is no terminal to ask on",
            )
            .hint("look first with --dry-run, then pass --yes"),
        ]);
    }
    if writing.dry_run || !writing.yes {
        let (code, any) = look(project, &pipelines, retention, output).await;
        if writing.dry_run || code != 0 || !any {
            return Ok(code);
        }
        if !output.ask("Delete these files, and mark the others? This cannot be undone.") {
            return Err(vec![Error::new(Code::NotConfirmed, "nothing was done")]);
        }
    }
    let (mut errors, mut done) = (Vec::new(), Vec::new());
    for spec in pipelines {
        match project.vacuum(&spec.name, retention).await {
            Ok(vacuumed) => done.push(vacuumed),
            Err(why) => errors.push(of_pipeline(spec, why)),
        }
    }
    Ok(show(&done, false, retention, &errors, output))
}

/// Shows what would be done. The exit code, and whether there is anything to do.
async fn look(
    project: &Project,
    pipelines: &[&PipelineSpec],
    retention: Span,
    output: &Output,
) -> (u8, bool) {
    let (mut errors, mut found) = (Vec::new(), Vec::new());
    for spec in pipelines {
        match project.foresee_vacuum(&spec.name, retention).await {
            Ok(vacuumed) => found.push(vacuumed),
            Err(why) => errors.push(of_pipeline(spec, why)),
        }
    }
    let any = found.iter().any(|found| !found.swept.is_empty() || !found.marked.is_empty());
    (show(&found, true, retention, &errors, output), any)
}

fn show(
    found: &[Vacuumed],
    is_dry: bool,
    retention: Span,
    errors: &[Error],
    output: &Output,
) -> u8 {
    output.show(errors);
    let document = json::vacuum(found, is_dry, retention, errors);
    output.result(&text::vacuum(found, is_dry, retention), &document);
    let kind = ErrorKind::worst(errors.iter().map(Error::kind));
    kind.map_or(0, ErrorKind::exit_code)
}

fn retention(text: &str) -> Result<Span, Failed> {
    let micros = humantime::parse_duration(text).ok();
    let micros = micros.and_then(|duration| i64::try_from(duration.as_micros()).ok());
    micros.and_then(Span::from_micros).ok_or_else(|| {
        let text = format!("--retention is not a duration: `{text}`");
        vec![Error::new(Code::Usage, text).hint("write 24h, 7d, 30m, or 0s")]
    })
}
