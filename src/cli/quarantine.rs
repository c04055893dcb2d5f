//! `highwater quarantine`

use super::args::{
    By, QuarantineArgs, QuarantineCommand, QuarantineListArgs, QuarantineRetryArgs,
    QuarantineShowArgs, Stretch,
};
use super::output::Output;
use super::run::{ask, carry_out, range};
use super::{Failed, load, of_pipeline};
use crate::error::{Error, ErrorKind};
use crate::plan::holding_quarantined;
use crate::run::{ALL_TIME, Asked, AskedRows, Project, admitted, committed_between, quarantined};
use crate::spec::PipelineSpec;
use crate::state::{Request, State, TimeRange, Verb};
use crate::view::{QuarantineView, QuarantinedBy, json, text};

pub(super) async fn quarantine(
    project: &Project,
    args: &QuarantineArgs,
    output: &Output,
) -> Result<u8, Failed> {
    match &args.command {
        QuarantineCommand::List(args) => list(project, args, output).await,
        QuarantineCommand::Show(args) => show(project, args, output).await,
        QuarantineCommand::Retry(args) => retry(project, args, output).await,
    }
}

fn stretch(spec: &PipelineSpec, stretch: &Stretch) -> Result<TimeRange, Failed> {
    range(spec, stretch.from.as_ref(), stretch.to.as_ref())
}

/// What the log says of the windows of `range`.
async fn read(project: &Project, spec: &PipelineSpec, range: TimeRange) -> Result<State, Error> {
    let state = committed_between(project, spec, range).await?;
    Ok(state.unwrap_or_else(|| State::before_first_run(spec.name.clone())))
}

async fn count(
    project: &Project,
    spec: &PipelineSpec,
    range: TimeRange,
    by: QuarantinedBy,
) -> Result<QuarantineView, Error> {
    let state = read(project, spec, range).await?;
    let ledger =
        if range == ALL_TIME { Some(admitted(project, spec, &state).await?) } else { None };
    Ok(crate::view::quarantine(spec, &state, ledger.as_ref(), range, by))
}

async fn list(project: &Project, args: &QuarantineListArgs, output: &Output) -> Result<u8, Failed> {
    let by = match args.by {
        By::Rule => QuarantinedBy::Rule,
        By::File => QuarantinedBy::File,
        By::Day => QuarantinedBy::Day,
    };
    let mut errors: Vec<Error> = Vec::new();
    let mut found: Vec<(&PipelineSpec, QuarantineView)> = Vec::new();
    for spec in load::pick(project, &args.which)? {
        let range = stretch(spec, &args.stretch)?;
        match count(project, spec, range, by).await {
            Ok(view) => found.push((spec, view)),
            Err(why) => errors.push(of_pipeline(spec, why)),
        }
    }
    output.show(&errors);
    let texts: Vec<String> =
        found.iter().map(|(spec, view)| text::quarantine(spec, view)).collect();
    output.result(&texts.join("\n"), &json::quarantine(&found, &errors));
    let kind = ErrorKind::worst(errors.iter().map(Error::kind));
    Ok(kind.map_or(0, ErrorKind::exit_code))
}

async fn show(project: &Project, args: &QuarantineShowArgs, output: &Output) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let asked = AskedRows {
        range: stretch(spec, &args.stretch)?,
        rule: args.rule.clone(),
        file: args.file.clone(),
        most: usize::from(args.limit),
    };
    let found = quarantined(project, spec, &asked).await;
    let found = found.map_err(|why| vec![of_pipeline(spec, why)])?;
    output.result(&text::quarantined(spec, &found), &json::quarantined(spec, &found));
    Ok(0)
}

async fn retry(
    project: &Project,
    args: &QuarantineRetryArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let range = stretch(spec, &args.stretch)?;
    let state = read(project, spec, range).await.map_err(|why| vec![of_pipeline(spec, why)])?;
    let holding = holding_quarantined(&state, range, args.rule.as_deref());
    let within: Vec<TimeRange> =
        holding.ranges().map(|(start, end)| TimeRange { start, end }).collect();
    let (Some(first), Some(last)) = (within.first(), within.last()) else {
        output.say("no window holds such rows: there is nothing to retry");
        return Ok(carry_out(project, &[], &Asked::Run, output).await.0);
    };
    let request = Request::new(Verb::Reprocess, first.start, last.end);
    let request = Request { within, why: args.reason.clone(), ..request };
    ask(project, spec, request, &args.writing, output).await
}
