//! `highwater run`, `backfill`, `reprocess` and `skip`: the commands that compute and commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::args::{BackfillArgs, ReprocessArgs, RunArgs, SkipArgs, Writing};
use super::output::Output;
use super::progress::Progress;
use super::{Failed, damaged, load, of_pipeline, plan};
use crate::clock::Clock;
use crate::error::{Code, Error, ErrorKind};
use crate::report::PipelineReport;
use crate::run::{Asked, Project, Stop, run_pipeline, skippable};
use crate::spec::PipelineSpec;
use crate::state::{Request, TimeRange, Verb};
use crate::time::EventTime;
use crate::view::json::{self, RunDoc, SCHEMA};
use crate::view::text;

/// How long after the first signal windows may still be computed. What is computed is committed
/// then, within what is left of the ten seconds that supervisors give a process at least.
const GRACE: Duration = Duration::from_secs(8);

pub(super) async fn run(project: &Project, args: &RunArgs, output: &Output) -> Result<u8, Failed> {
    let pipelines = load::pick_enabled(project, &args.which)?;
    if args.writing.dry_run {
        return Ok(plan::show(project, &pipelines, None, output).await.1);
    }
    let (code, is_idle) = carry_out(project, &pipelines, &Asked::Run, output).await;
    Ok(if code == 0 && is_idle { args.skip_exit_code } else { code })
}

pub(super) async fn backfill(
    project: &Project,
    args: &BackfillArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let TimeRange { start, end } = range(spec, Some(&args.range.from), Some(&args.range.to))?;
    let why = args.reason.clone();
    let request = Request { why, ..Request::new(Verb::Backfill, start, end) };
    if args.writing.dry_run {
        return Ok(plan::show(project, &[spec], Some(&request), output).await.1);
    }
    Ok(carry_out(project, &[spec], &Asked::Request(request), output).await.0)
}

pub(super) async fn reprocess(
    project: &Project,
    args: &ReprocessArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    // Only `--outdated` and `--damaged` may go without a range.
    let TimeRange { start, end } = range(spec, args.from.as_ref(), args.to.as_ref())?;
    let (only_outdated, why) = (args.outdated, args.reason.clone());
    let request = Request::new(Verb::Reprocess, start, end);
    let request = Request { only_outdated, why, ..request };
    if !args.damaged {
        return ask(project, spec, request, &args.writing, output).await;
    }
    let found = damaged::find(project, spec, request, output).await?;
    match found.asked {
        Some(asked) => {
            ask_beside(project, spec, asked, found.obstacles, &args.writing, output).await
        }
        None if !found.obstacles.is_empty() => Err(found.obstacles),
        None if args.writing.dry_run => Ok(plan::show(project, &[], None, output).await.1),
        None => Ok(carry_out(project, &[], &Asked::Run, output).await.0),
    }
}

/// Makes a request that replaces outputs: shows what it would do, asks, or does it.
pub(super) async fn ask(
    project: &Project,
    spec: &PipelineSpec,
    request: Request,
    writing: &Writing,
    output: &Output,
) -> Result<u8, Failed> {
    ask_beside(project, spec, Asked::Request(request), Vec::new(), writing, output).await
}

/// The same, beside what is an `obstacle` to do all of it.
async fn ask_beside(
    project: &Project,
    spec: &PipelineSpec,
    asked: Asked,
    obstacles: Vec<Error>,
    writing: &Writing,
    output: &Output,
) -> Result<u8, Failed> {
    let request = match &asked {
        Asked::Request(request) => Some(request),
        Asked::Mend(request, _) => request.as_ref(),
        Asked::Run | Asked::Skip(..) | Asked::Cancel(_) => None,
    };
    if writing.dry_run {
        output.show(&obstacles);
        return Ok(plan::show(project, &[spec], request, output).await.1);
    }
    if !writing.yes {
        confirm(project, spec, request, output).await?;
    }
    Ok(carry_out_after(project, &[spec], &asked, obstacles, output).await.0)
}

pub(super) async fn skip(
    project: &Project,
    args: &SkipArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let range = range(spec, Some(&args.range.from), Some(&args.range.to))?;
    if args.writing.dry_run {
        let foreseen = plan::foresee(project, spec, None).await;
        let windows = foreseen.and_then(|(found, _)| skippable(spec, &found.state, range));
        let windows = windows.map_err(|why| vec![of_pipeline(spec, why)])?;
        output.result(&text::skip(spec, &windows), &json::skip(spec, &windows));
        return Ok(0);
    }
    let asked = Asked::Skip(range, args.reason.clone());
    Ok(carry_out(project, &[spec], &asked, output).await.0)
}

/// The range between two times; all of time where one is not given.
pub(super) fn range(
    spec: &PipelineSpec,
    from: Option<&String>,
    to: Option<&String>,
) -> Result<TimeRange, Failed> {
    let read = |name, text: Option<&String>| text.map(|text| load::instant(spec, name, text));
    let start = read("--from", from).transpose()?.unwrap_or(EventTime::FIRST);
    let end = read("--to", to).transpose()?.unwrap_or(EventTime::END);
    if start < end {
        return Ok(TimeRange { start, end });
    }
    let said = |text: Option<&String>, at: EventTime| text.cloned().unwrap_or(at.to_string());
    let text = format!("--from {} is not before --to {}", said(from, start), said(to, end));
    Err(vec![Error::new(Code::Usage, text).hint("--from is inclusive, --to exclusive")])
}

/// Shows what would be replaced and asks.
async fn confirm(
    project: &Project,
    spec: &PipelineSpec,
    request: Option<&Request>,
    output: &Output,
) -> Result<(), Failed> {
    if !output.may_ask {
        return Err(vec![
            Error::new(
                Code::NotConfirmed,
                "this replaces outputs, and there is no terminal to ask on",
            )
            .hint("look first with --dry-run, then pass --yes"),
        ]);
    }
    let (_, code) = plan::show(project, &[spec], request, output).await;
    if code == 0 && output.ask("Compute these windows again and replace their outputs?") {
        return Ok(());
    }
    Err(vec![Error::new(Code::NotConfirmed, "nothing was done")])
}

/// Runs the pipelines one after another. Returns the exit code, and whether nothing was done.
pub(super) async fn carry_out(
    project: &Project,
    pipelines: &[&PipelineSpec],
    asked: &Asked,
    output: &Output,
) -> (u8, bool) {
    carry_out_after(project, pipelines, asked, Vec::new(), output).await
}

/// The same, telling also the errors that were met `before`.
async fn carry_out_after(
    project: &Project,
    pipelines: &[&PipelineSpec],
    asked: &Asked,
    before: Vec<Error>,
    output: &Output,
) -> (u8, bool) {
    let signals = Signals::listen(project.clock, output);
    let progress = Progress::new(project, output);
    progress.start();
    let mut reports: Vec<(&PipelineSpec, PipelineReport)> = Vec::new();
    for spec in pipelines {
        if signals.number.load(Ordering::SeqCst) > 0 {
            break;
        }
        let report = run_pipeline(project, spec, asked, &signals.stop, &progress).await;
        reports.push((spec, report));
    }
    progress.end();
    let named = |(spec, report): &(&PipelineSpec, PipelineReport)| {
        let errors = report.errors.iter().cloned();
        errors.map(|why| of_pipeline(spec, why)).collect::<Vec<_>>()
    };
    let errors: Vec<Error> = before.iter().cloned().chain(reports.iter().flat_map(named)).collect();
    let mut kinds: Vec<ErrorKind> =
        reports.iter().filter_map(|(_, report)| report.kind()).collect();
    kinds.extend(before.iter().map(Error::kind));
    match signals.number.load(Ordering::SeqCst) {
        0 => {}
        number => kinds.push(ErrorKind::Interrupted(number)),
    }
    let any_done = reports.iter().any(|(_, report)| report.windows_done > 0);
    let kinds = kinds.into_iter().map(|kind| match kind {
        ErrorKind::Failed if any_done => ErrorKind::Partial,
        kind => kind,
    });
    let exit_code = ErrorKind::worst(kinds).map_or(0, ErrorKind::exit_code);
    let people: String = reports.iter().map(|(spec, report)| text::run(spec, report)).collect();
    let document = RunDoc {
        schema: SCHEMA,
        run_id: project.identity.run,
        exit_code,
        pipelines: reports.iter().map(|(_, report)| json::run(report)).collect(),
        errors: errors.iter().map(json::error).collect(),
    };
    output.show(&errors);
    progress.finish(&document, &people);
    (exit_code, reports.iter().all(|(_, report)| report.is_idle()))
}

/// The first SIGINT or SIGTERM lets the batch in hand finish, as far as it is computed within
/// [`GRACE`]; the second ends the process at once, which is as safe as `kill -9`.
struct Signals {
    stop: Arc<Stop>,
    number: Arc<AtomicU8>,
}

impl Signals {
    fn listen(clock: Clock, output: &Output) -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let stop = Arc::new(Stop::default());
        let number = Arc::new(AtomicU8::new(0));
        for (kind, code) in [(SignalKind::interrupt(), 2_u8), (SignalKind::terminate(), 15)] {
            let (stop, number) = (stop.clone(), number.clone());
            let output = output.clone();
            let Ok(mut signals) = signal(kind) else { continue };
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if !stop.ask() {
                        output.interrupted(128_u8.saturating_add(code));
                        std::process::exit(128_i32.saturating_add(i32::from(code)));
                    }
                    number.store(code, Ordering::SeqCst);
                    let text = "finishing the windows in hand; once more stops at once: nothing \
                                half-written is ever visible\n";
                    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
                    let stop = stop.clone();
                    tokio::spawn(async move {
                        clock.sleep(GRACE).await;
                        stop.end_grace();
                    });
                }
            });
        }
        Self { stop, number }
    }
}
