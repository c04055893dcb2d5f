//! The order of a run: look, take the lease, admit, plan, batches, release.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::owner::claim_outputs;
use super::project::{Foreseen, Opened, Project, Session, shape_of};
use crate::clock::Stopwatch;
use crate::commit::Batch;
use crate::error::{Code, Error, Result};
use crate::execute::{Executor, Prepared};
use crate::id::{AttemptId, BatchId, RequestId, Seq};
use crate::ledger::Ledger;
use crate::log::{Lease, LeaseInfo, sweep_staging, write_segment};
use crate::plan::{BatchPlan, DueWindow, Facts, Plan, admission, batches, closed_until, plan};
use crate::publish::Publisher;
use crate::report::{Observer, PipelineReport, RunEvent};
use crate::source::{Discovery, discover};
use crate::spec::PipelineSpec;
use crate::state::{
    BatchOutput, BatchWindow, Body, ClaimReason, Failed, FailedWindow, Query, QueryStep, Request,
    Skip, State, TimeRange,
};
use crate::store::make_folders;
use crate::time::EventTime;

/// What a command asks of a pipeline, beside what is due anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Run,
    /// This request.
    Request(Request),
    /// To commit the closed windows of a range that were not computed as skipped.
    Skip(TimeRange, String),
    /// To withdraw a request.
    Cancel(RequestId),
}

/// Runs one pipeline, telling `observer`. It stops after the batch in hand once `stop` is set.
///
/// Whatever goes wrong is in the report.
pub async fn run_pipeline(
    project: &Project,
    spec: &PipelineSpec,
    asked: &Asked,
    stop: &AtomicBool,
    observer: &dyn Observer,
) -> PipelineReport {
    let watch = Stopwatch::start();
    let session = Session::new(project, spec);
    let mut report = PipelineReport::new(spec.name.clone());
    if let Err(why) = drive(project, &session, asked, stop, observer, &mut report).await {
        report.errors.push(why);
    }
    report.bytes_read = session.bytes_read();
    report.took = watch.elapsed();
    observer.on(RunEvent::Finished { spec, report: &report });
    report
}

async fn drive(
    project: &Project,
    session: &Session<'_>,
    asked: &Asked,
    stop: &AtomicBool,
    observer: &dyn Observer,
    report: &mut PipelineReport,
) -> Result<()> {
    let spec = session.spec;
    let opened = project.open(spec).await?;
    let foreseen = project.foresee(session, &opened, None).await?;
    report.see(spec, &foreseen.state, &foreseen.plan);
    report.watermark_before = foreseen.state.watermark;
    if *asked == Asked::Run && !foreseen.has_work() {
        report.complain(&foreseen);
        return Ok(());
    }
    // Before the lease: a query that cannot be planned must not leave a trace in the log.
    let prepared = session.prepare(&project.engine, &foreseen.discovery).await?;
    let seen = opened.state.as_ref().map(|state| state.head);

    let info = LeaseInfo {
        who: project.identity.who.clone(),
        run: project.identity.run,
        since: project.clock.now(),
    };
    let folder = project.state_folder(&spec.name);
    let lease = Lease::take(&folder, &spec.name, &info, project.spec.lease_wait).await?;
    let Project { identity, clock, .. } = project;
    let state = opened.log.read_or_create(&identity.who, identity.run, clock).await?;
    // Whoever held the lease a moment ago may have done this work.
    let (opened, discovery) = if Some(state.head) == seen || seen.is_none() && state.head.seq == Seq(0) {
        (opened, foreseen.discovery)
    } else {
        let opened = project.open(spec).await?;
        let discovery = discover(spec, &session.sources, &opened.ledger).await?;
        (opened, discovery)
    };
    let mut worker = Worker::new(project, session, opened, state, discovery, prepared);
    worker.work(asked, stop, observer, report).await?;
    drop(lease);
    Ok(())
}

/// The holder of the lease at work.
struct Worker<'a> {
    project: &'a Project,
    session: &'a Session<'a>,
    publisher: Publisher,
    log: crate::log::StateLog,
    ledger: Ledger,
    discovery: Discovery,
    prepared: Option<Arc<Prepared>>,
}

impl<'a> Worker<'a> {
    fn new(
        project: &'a Project,
        session: &'a Session<'a>,
        opened: Opened,
        state: State,
        discovery: Discovery,
        prepared: Option<Arc<Prepared>>,
    ) -> Self {
        let outputs = project.outputs(&session.spec.name);
        let identity = project.identity.clone();
        let publisher =
            Publisher::new(opened.log.clone(), outputs, project.clock, identity, state);
        let (log, ledger) = (opened.log, opened.ledger);
        Self { project, session, publisher, log, ledger, discovery, prepared }
    }

    fn state(&self) -> &State {
        self.publisher.state()
    }

    async fn work(
        &mut self,
        asked: &Asked,
        stop: &AtomicBool,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let first = self.state().head.seq.next().unwrap_or(Seq(0));
        self.claim().await?;
        let worked = self.work_claimed(asked, stop, observer, report).await;
        // An error that leaves the log in order leaves it released too; after any other, the next run
        // takes over.
        if worked.is_ok() || self.publisher.is_idle() {
            let last = self.publisher.append(Body::Release).await?;
            report.entries = Some((first, last));
        }
        report.see(self.session.spec, self.state(), &self.plan());
        worked
    }

    async fn work_claimed(
        &mut self,
        asked: &Asked,
        stop: &AtomicBool,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        claim_outputs(
            self.session.spec,
            self.state(),
            self.project.outputs(&self.session.spec.name).as_ref(),
        )
        .await?;
        self.describe().await?;
        self.admit(report).await?;
        self.ask(asked, report).await?;
        let mut plan = self.plan();
        observer.on(RunEvent::Planned { spec: self.session.spec, plan: &plan });
        self.run_batches(&plan, stop, observer, report).await?;
        if report.failures.iter().any(|failed| failed.code == Code::InputChanged.to_string()) {
            // An input changed under our hands: look once more, and no more than once.
            report.failures.retain(|failed| failed.code != Code::InputChanged.to_string());
            self.discovery =
                discover(self.session.spec, &self.session.sources, &self.ledger).await?;
            self.admit(report).await?;
            plan = self.plan();
            self.run_batches(&plan, stop, observer, report).await?;
        }
        self.refuse(&plan, observer, report).await?;
        let unreadable = self.discovery.unreadable.drain(..).map(|why| {
            why.note("no new window closes until it can be read; committed windows stand")
        });
        report.errors.extend(unreadable);
        for id in self.plan().met {
            self.publisher.append(Body::RequestDone { id, cancelled: false }).await?;
        }
        Ok(())
    }

    async fn claim(&mut self) -> Result<()> {
        let state = self.state();
        let body = match state.holder {
            None => Body::Claim { takes: None, reason: ClaimReason::Released },
            Some(_) => Body::Claim { takes: Some(state.epoch), reason: ClaimReason::Flock },
        };
        self.publisher.append(body).await?;
        let staging = self.project.staging(&self.session.spec.name);
        make_folders(&staging).map_err(|why| {
            Error::new(Code::StoreFailed, format!("cannot make {}: {why}", staging.display()))
        })?;
        sweep_staging(&staging, self.state().epoch);
        Ok(())
    }

    /// Logs the shape once, and the query whenever it is another than the last one logged.
    async fn describe(&mut self) -> Result<()> {
        let spec = self.session.spec;
        if self.state().shape.is_none() {
            self.publisher.append(Body::Shape(shape_of(spec))).await?;
        }
        let query = query_of(spec);
        if self.state().query.as_ref().is_none_or(|(_, known)| *known != query) {
            self.publisher.append(Body::Query(query)).await?;
        }
        Ok(())
    }

    /// Admits what was discovered, if anything of it is news.
    async fn admit(&mut self, report: &mut PipelineReport) -> Result<()> {
        if !self.discovery.has_news() {
            return Ok(());
        }
        let spec = self.session.spec;
        let records = std::mem::take(&mut self.discovery.records);
        let full = || Error::new(Code::Bug, "the ledger has no generation left");
        let generation = self.state().generation.next().ok_or_else(full)?;
        let store = self.log.store().clone();
        let segment =
            write_segment(store.as_ref(), generation, &records, &self.project.clock).await?;
        crate::crashpoint::pass("segment.after");
        let inputs = admission(spec, self.state(), &self.ledger, &records, segment)
            .ok_or_else(full)?;
        let mut rows = inputs.refused;
        for record in records.iter().filter(|record| !record.settles) {
            let early = record.windows.iter().filter(|(at, _)| spec.begin.is_some_and(|b| *at < b));
            let early = early.fold(0, |sum: u64, (_, rows)| sum.saturating_add(*rows));
            rows.before_begin = rows.before_begin.saturating_add(early);
        }
        self.publisher.append(Body::Inputs(inputs)).await?;
        report.rows = report.rows.plus(rows);
        for record in records {
            self.ledger.admit(record, generation);
        }
        Ok(())
    }

    async fn ask(&mut self, asked: &Asked, report: &mut PipelineReport) -> Result<()> {
        match asked {
            Asked::Run => {}
            Asked::Request(request) => {
                let seq = self.publisher.append(Body::Request(request.clone())).await?;
                report.request = Some(RequestId(seq));
            }
            Asked::Skip(range, why) => self.skip(*range, why).await?,
            Asked::Cancel(id) => {
                if !self.state().requests.contains_key(id) {
                    let name = &self.session.spec.name;
                    let text = format!("pipeline {name} has no pending request {id}");
                    return Err(Error::new(Code::Usage, text));
                }
                self.publisher.append(Body::RequestDone { id: *id, cancelled: true }).await?;
            }
        }
        Ok(())
    }

    /// Commits the closed windows of `range` that were not computed as skipped.
    async fn skip(&mut self, range: TimeRange, why: &str) -> Result<()> {
        let spec = self.session.spec;
        let until = closed_until(spec, self.state()).map_or(range.start, |at| at.min(range.end));
        let mut skipped = crate::window::WindowSet::default();
        for window in spec.grid.windows_from(range.start, until) {
            let inside = range.start <= window.start() && window.end() <= until;
            if inside && !self.state().windows.contains_key(&window.start()) {
                skipped.insert(window.start(), window.end());
            }
        }
        if skipped.is_empty() {
            let error = Error::new(Code::Usage, "no window of the range can be skipped")
                .note("computed windows have an output, and open windows are not due yet")
                .hint("to leave out a computed window, mend its input and `reprocess` it");
            return Err(error);
        }
        let base = spec.begin.unwrap_or(EventTime::FIRST);
        for (start, end) in skipped.ranges() {
            let watermark = self.state().watermark_after([(start, end)], base);
            let range = TimeRange { start, end };
            let skip = Skip { range, why: why.to_owned(), watermark };
            self.publisher.append(Body::Skip(skip)).await?;
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        plan(&Facts {
            spec: self.session.spec,
            state: self.state(),
            ledger: &self.ledger,
            missing: &self.discovery.missing,
            is_held: !self.discovery.unreadable.is_empty(),
        })
    }

    async fn run_batches(
        &mut self,
        plan: &Plan,
        stop: &AtomicBool,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let base = plan.base.unwrap_or(EventTime::FIRST);
        for batch in batches(plan, self.project.engine.batch_bytes_max()) {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            self.run_batch(batch, base, observer, report).await?;
        }
        Ok(())
    }

    async fn run_batch(
        &mut self,
        plan: BatchPlan,
        base: EventTime,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let spec = self.session.spec;
        let Some(prepared) = self.prepared.clone() else {
            let text = format!("pipeline {} has windows to compute but no input file", spec.name);
            return Err(Error::new(Code::SourceMissing, text));
        };
        let windows = plan.windows.iter().map(|due| self.begun(due)).collect::<Result<Vec<_>>>()?;
        let starts: Vec<EventTime> = windows.iter().map(|window| window.start).collect();
        let batch = Batch {
            id: BatchId(self.project.clock.new_id()),
            generation: self.state().generation,
            query: self.state().query.as_ref().map_or(Seq(0), |(seq, _)| *seq),
            windows,
            empty: plan.empty,
            base,
        };
        let executor = Executor {
            spec,
            engine: &self.project.engine,
            prepared,
            sources: &self.session.sources,
            listed: &self.discovery.listed,
            ledger: &self.ledger,
            due: plan.windows.into_iter().map(|due| (due.window.start(), due)).collect(),
            staging: self.project.staging(&spec.name),
            epoch: self.state().epoch,
        };
        let seq = self.publisher.batch(batch, &executor).await?;
        self.tell(&starts, seq, observer, report);
        Ok(())
    }

    /// The window as the log will announce it.
    fn begun(&self, due: &DueWindow) -> Result<BatchWindow> {
        let (spec, state) = (self.session.spec, self.state());
        let (start, end) = (due.window.start(), due.window.end());
        let unnamed = || {
            let label = spec.grid.label(due.window);
            Error::new(Code::Bug, format!("window {label} of {} has no name left", spec.name))
        };
        let before: BTreeMap<&str, _> = state
            .windows
            .get(&start)
            .iter()
            .flat_map(|window| &window.committed.outputs)
            .map(|output| (output.name.as_str(), output.sha256))
            .collect();
        let output = |output: &crate::spec::OutputSpec| {
            let folder = output.path.render(&spec.grid, due.window).ok_or_else(unnamed)?;
            Ok(BatchOutput {
                name: output.name.clone(),
                path: format!("{folder}/data.parquet"),
                before: before.get(output.name.as_str()).copied(),
                att: AttemptId(self.project.clock.new_id()),
            })
        };
        Ok(BatchWindow {
            start,
            end,
            rev: state.next_revision(start).ok_or_else(unnamed)?,
            reason: due.reason,
            outputs: spec.outputs.iter().map(output).collect::<Result<_>>()?,
        })
    }

    /// Reports what became of the windows of a batch that ended with entry `seq`.
    fn tell(
        &self,
        starts: &[EventTime],
        seq: Seq,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) {
        let (spec, state) = (self.session.spec, self.state());
        for start in starts {
            let committed = state.windows.get(start).filter(|window| window.seq == seq);
            if let Some(window) = committed {
                report.windows_done = report.windows_done.saturating_add(1);
                report.rows = report.rows.plus(window.committed.rows);
                observer.on(RunEvent::Committed { spec, window: &window.committed, seq });
            } else if let Some(failed) = state.failed.get(start) {
                report.failures.push(failed.clone());
                observer.on(RunEvent::Failed { spec, window: failed });
            }
        }
    }

    /// Logs the windows that are due but cannot be computed, unless the log says so already.
    async fn refuse(
        &mut self,
        plan: &Plan,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let mut news = Vec::new();
        for (due, why) in &plan.refused {
            let failed = FailedWindow {
                start: due.window.start(),
                end: due.window.end(),
                code: why.code().to_string(),
                message: why.message().to_owned(),
            };
            if self.state().failed.get(&failed.start) != Some(&failed) {
                news.push(failed.clone());
            }
            observer.on(RunEvent::Failed { spec: self.session.spec, window: &failed });
            report.failures.push(failed);
        }
        if !news.is_empty() {
            self.publisher.append(Body::Failed(Failed { batch: None, windows: news })).await?;
        }
        Ok(())
    }
}

fn query_of(spec: &PipelineSpec) -> Query {
    let step = |step: &crate::spec::StepSpec| QueryStep {
        name: step.name.clone(),
        sql: step.sql.clone(),
    };
    Query { steps: spec.steps.iter().map(step).collect() }
}

impl PipelineReport {
    /// Notes where the watermark stands and what comes next.
    fn see(&mut self, spec: &PipelineSpec, state: &State, plan: &Plan) {
        self.watermark = state.watermark;
        let next = closed_until(spec, state).and_then(|until| spec.grid.window_at(until));
        let next = plan.open.first().copied().or(next);
        self.next_close = next.map(crate::window::Window::end);
    }

    /// Reports what is in the way although nothing was written.
    fn complain(&mut self, foreseen: &Foreseen) {
        let unreadable = foreseen.discovery.unreadable.iter().cloned().map(|why| {
            why.note("no new window closes until it can be read; committed windows stand")
        });
        self.errors.extend(unreadable);
        self.failures.extend(foreseen.plan.refused.iter().map(|(due, why)| FailedWindow {
            start: due.window.start(),
            end: due.window.end(),
            code: why.code().to_string(),
            message: why.message().to_owned(),
        }));
    }
}
