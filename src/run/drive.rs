//! The order of a run: look, take the lease, work, let go.

use std::collections::BTreeSet;

use super::foresee::Foreseen;
use super::project::Project;
use super::rollback::check_rollback;
use super::session::{Planned, Session};
use super::stop::Stop;
use super::worker::Worker;
use crate::clock::Stopwatch;
use crate::error::{Code, Error, Result};
use crate::id::{RequestId, Seq};
use crate::ledger::FileId;
use crate::log::{Inbox, Lease, LeaseInfo, StateLog};
use crate::plan::{Plan, closed_until, rollback};
use crate::report::{Observer, PipelineReport, RunEvent};
use crate::spec::PipelineSpec;
use crate::state::{FailedWindow, Request, State, TimeRange, Verb};
use crate::window::Window;

/// What a command asks of a pipeline, beside what is due anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Run,
    /// This request.
    Request(Request),
    /// This request, if there is any, and that what is kept aside of these files because it belongs
    /// to no window is put there once more. It is no request of the log: what is not done of it is
    /// found damaged again.
    Mend(Option<Request>, BTreeSet<FileId>),
    /// To commit the closed windows of a range that were not computed as skipped.
    Skip(TimeRange, String),
    /// To withdraw a request.
    Cancel(RequestId),
}

/// Runs one pipeline, telling `observer`. It stops after the batch in hand, or in the middle of it,
/// once `stop` says so.
///
/// Whatever goes wrong is in the report.
pub async fn run_pipeline(
    project: &Project,
    spec: &PipelineSpec,
    asked: &Asked,
    stop: &Stop,
    observer: &dyn Observer,
) -> PipelineReport {
    let watch = Stopwatch::start();
    let mut session = Session::new(project, spec);
    let mut report = PipelineReport::new(spec.name.clone());
    // Boxed: all that a run holds would lie in the future of every command.
    let driven = Box::pin(drive(project, &mut session, asked, stop, observer, &mut report)).await;
    if let Err(why) = driven {
        report.errors.push(why);
    }
    report.bytes_read = session.bytes_read();
    report.took = watch.elapsed();
    observer.on(RunEvent::Finished { spec, report: &report });
    report
}

async fn drive(
    project: &Project,
    session: &mut Session<'_>,
    asked: &Asked,
    stop: &Stop,
    observer: &dyn Observer,
    report: &mut PipelineReport,
) -> Result<()> {
    let Some(store_at) = stop.unless_over(project.store_time(session.spec)).await else {
        return Ok(());
    };
    session.store_at = store_at?;
    // Nothing is begun yet: it may be dropped wherever it waits.
    let ready = Box::pin(get_ready(project, session, asked, observer, report));
    let ready = stop.unless_over(ready).await;
    let Some(Ready { mut worker, lease, info }) = ready.transpose()?.flatten() else {
        return Ok(());
    };
    match worker.work(&lease, info, asked, stop, observer, report).await {
        // Somebody else claimed the log in the same moment.
        Err(why) if why.code() == Code::LeaseHeld && report.request.is_none() => {
            leave(project, &worker.log, asked, why, report).await
        }
        ended => ended,
    }
}

/// The holder of the lease, about to claim the log.
struct Ready<'a> {
    worker: Worker<'a>,
    lease: Lease,
    info: LeaseInfo,
}

/// Looks, and takes the lease; `None` if there is nothing to do, or another process is to do it.
async fn get_ready<'a>(
    project: &'a Project,
    session: &'a Session<'a>,
    asked: &Asked,
    observer: &dyn Observer,
    report: &mut PipelineReport,
) -> Result<Option<Ready<'a>>> {
    let spec = session.spec;
    let opened = project.open_for(session).await?;
    let mut foreseen = project.foresee(session, &opened, None).await?;
    let is_asked = Inbox::new(opened.log.store().as_ref()).has_items().await?;
    if is_idle(spec, asked, &foreseen, observer, report) && !is_asked {
        return Ok(None);
    }
    // Before the lease: what cannot be done must not leave a trace in the log.
    asked.check(spec, &foreseen.state)?;
    asked.check_copies(project, spec, &foreseen.state).await?;
    let prepared = prepare(project, session, asked, &foreseen).await?;
    if prepared.is_none() {
        foreseen.plan.hold();
        if is_idle(spec, asked, &foreseen, observer, report) && !is_asked {
            return Ok(None);
        }
    }
    let seen = opened.state.as_ref().map(|state| state.head);

    let info = LeaseInfo {
        who: project.identity.who.clone(),
        run: project.identity.run,
        since: project.clock.now(),
    };
    project.check_fitness(spec).await?;
    let lease = match project.lease(&spec.name, &opened.log, &info).await {
        Ok(lease) => lease,
        Err(why) if why.code() == Code::LeaseHeld => {
            return leave(project, &opened.log, asked, why, report).await.map(|()| None);
        }
        Err(why) => return Err(why),
    };
    let Project { identity, clock, .. } = project;
    let opening = opened.log.open_or_create(&identity.who, identity.run, clock).await?;
    let state = &opening.state;
    // Whoever held the lease a moment ago may have done this work.
    let is_as_seen = seen.map_or(state.head.seq == Seq(0), |seen| seen == state.head);
    let (opened, foreseen, prepared) = if is_as_seen {
        (opened, foreseen, prepared)
    } else {
        let opened = project.open_for(session).await?;
        let foreseen = project.foresee(session, &opened, None).await?;
        if is_idle(spec, asked, &foreseen, observer, report) && !is_asked {
            return Ok(None);
        }
        asked.check(spec, &foreseen.state)?;
        asked.check_copies(project, spec, &foreseen.state).await?;
        let prepared = prepare(project, session, asked, &foreseen).await?;
        (opened, foreseen, prepared)
    };
    let worker = Worker::new(project, session, opened, opening, foreseen.look, prepared);
    Ok(Some(Ready { worker, lease, info }))
}

/// Another process holds the lease: what was asked for is left to it, where it can be.
async fn leave(
    project: &Project,
    log: &StateLog,
    asked: &Asked,
    held: Error,
    report: &mut PipelineReport,
) -> Result<()> {
    let Asked::Request(request) = asked else { return Err(held) };
    let inbox = Inbox::new(log.store().as_ref());
    report.left = Some(inbox.leave(request, &project.clock).await?);
    Ok(())
}

/// Plans the queries, if windows are to be computed.
async fn prepare(
    project: &Project,
    session: &Session<'_>,
    asked: &Asked,
    foreseen: &Foreseen,
) -> Result<Option<Planned>> {
    if asked.computes() {
        let Foreseen { look, ledger, state, .. } = foreseen;
        session.prepare(&project.engine, look, ledger, state).await
    } else {
        Ok(None)
    }
}

impl Asked {
    /// Whether it lets everything that is due be computed. Whoever asks for less work does not ask
    /// for what else is due.
    pub(super) fn computes(&self) -> bool {
        match self {
            Self::Run | Self::Mend(..) => true,
            Self::Request(request) => request.verb != Verb::Rollback,
            Self::Skip(..) | Self::Cancel(_) => false,
        }
    }

    /// Whether it carries out pending rollbacks: whoever withdraws a request asks for none.
    pub(super) fn rolls_back(&self) -> bool {
        matches!(self, Self::Run | Self::Request(_) | Self::Mend(..))
    }

    /// The files of which what belongs to no window is put aside once more.
    pub(super) fn damaged_asides(&self) -> &BTreeSet<FileId> {
        const NONE: &BTreeSet<FileId> = &BTreeSet::new();
        match self {
            Self::Mend(_, damaged) => damaged,
            Self::Run | Self::Request(_) | Self::Skip(..) | Self::Cancel(_) => NONE,
        }
    }

    /// Whether what a rollback needs is there. Before the lease, as all that needs no log.
    async fn check_copies(
        &self,
        project: &Project,
        spec: &PipelineSpec,
        state: &State,
    ) -> Result<()> {
        match self {
            Self::Request(request) if request.verb == Verb::Rollback => {
                check_rollback(project, spec, state, request).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Whether it can be done at all.
    pub(super) fn check(&self, spec: &PipelineSpec, state: &State) -> Result<()> {
        match self {
            Self::Request(request) if request.verb == Verb::Rollback => {
                // Of windows whose facts are not at hand, the copies are asked for instead.
                let is_at_hand = state.wanted_between(request.start, request.end).is_empty();
                let asked_at = state.next_seq().unwrap_or(state.head.seq);
                if is_at_hand {
                    rollback(spec, state, asked_at, request).map(|_| ())
                } else {
                    Ok(())
                }
            }
            Self::Run | Self::Request(_) | Self::Mend(..) => Ok(()),
            Self::Skip(range, _) => skippable(spec, state, *range).map(|_| ()),
            Self::Cancel(id) if state.requests.contains_key(id) => Ok(()),
            Self::Cancel(id) => {
                let text = format!("pipeline {} has no pending request {id}", spec.name);
                Err(Error::new(Code::Usage, text).hint("`highwater requests` lists them"))
            }
        }
    }
}

/// Reports what was foreseen. Whether that leaves nothing to write.
fn is_idle(
    spec: &PipelineSpec,
    asked: &Asked,
    foreseen: &Foreseen,
    observer: &dyn Observer,
    report: &mut PipelineReport,
) -> bool {
    report.see(spec, &foreseen.state, &foreseen.plan);
    report.watermark_before = foreseen.state.watermark;
    report.files = foreseen.look.discovery.listed.len();
    let is_idle = *asked == Asked::Run && !foreseen.has_work();
    if is_idle {
        report.complain(foreseen);
        for window in &report.failures {
            observer.on(RunEvent::Failed { spec, window });
        }
    }
    is_idle
}

/// The windows of `range` that `skip` commits: closed, and never computed.
///
/// # Errors
/// If there are none.
pub fn skippable(spec: &PipelineSpec, state: &State, range: TimeRange) -> Result<Vec<Window>> {
    let closed = closed_until(spec, state).unwrap_or(range.start);
    let windows = spec.grid.windows_from(range.start, closed.min(range.end)).filter(|window| {
        range.start <= window.start() && window.end() <= closed && !state.is_committed(*window)
    });
    let windows: Vec<Window> = windows.collect();
    if windows.is_empty() {
        return Err(Error::new(Code::Usage, "no window of the range can be skipped")
            .note("computed windows have an output, and open windows are not due yet")
            .hint("to leave out a computed window, mend its input and `reprocess` it"));
    }
    Ok(windows)
}

impl PipelineReport {
    /// Notes where the watermark stands and what comes next.
    pub(super) fn see(&mut self, spec: &PipelineSpec, state: &State, plan: &Plan) {
        self.watermark = state.watermark;
        self.windows_held = u64::try_from(plan.held.len()).unwrap_or(u64::MAX);
        let next = closed_until(spec, state).and_then(|until| spec.grid.window_at(until));
        let next = plan.open.first().copied().or(next);
        self.next_close = next.map(crate::window::Window::end);
    }

    /// Reports what is in the way although nothing was written.
    fn complain(&mut self, foreseen: &Foreseen) {
        let unreadable = foreseen.look.discovery.unreadable.iter().cloned().map(|why| {
            why.note("no new window closes until that is mended; committed windows stand")
        });
        self.errors.extend(unreadable);
        self.left_out.clone_from(&foreseen.look.discovery.left_out);
        self.failures.extend(foreseen.plan.refused.iter().map(|(due, why)| FailedWindow {
            start: due.window.start(),
            end: due.window.end(),
            code: why.code().to_string(),
            message: why.message().to_owned(),
        }));
    }
}
