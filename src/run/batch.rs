//! Batches of windows, one after another: announced, computed, committed, told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::stop::Stop;
use super::worker::Worker;
use crate::commit::{Aim, Batch, ComputedWindow};
use crate::error::{Code, Error, Result};
use crate::execute::{Desk, Executor};
use crate::id::{AttemptId, BatchId, Seq};
use crate::log::{sweep_staging, unstage};
use crate::plan::{BATCH_BYTES_MAX, BatchPlan, DueWindow, Plan, batches};
use crate::publish::Compute;
use crate::report::{Observer, PipelineReport, RunEvent};
use crate::source::Listing;
use crate::spec::{ObjectSpec, OnViolation, QuarantineSpec};
use crate::state::{BatchOutput, BatchWindow, FailedWindow, TimeRange};
use crate::time::EventTime;

impl Worker<'_> {
    /// Carries out `plan`, batch by batch, until it is done or `stop` says so. While a batch is
    /// published, the next one is computed.
    pub(super) async fn run_batches(
        &mut self,
        plan: &Plan,
        stop: &Stop,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        self.progress.plan(plan.windows.len());
        self.widen(plan).await?;
        // What is computed from does not change as long as this plan is carried out.
        let listed = std::mem::take(&mut self.look.discovery.listed);
        let ended = self.compute_and_publish(plan, &listed, stop, observer, report).await;
        self.look.discovery.listed = listed;
        self.sweep_staged();
        ended
    }

    async fn compute_and_publish(
        &mut self,
        plan: &Plan,
        listed: &Listing,
        stop: &Stop,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let (project, session) = (self.project, self.session);
        let (ledger, references) = (self.ledger.clone(), self.look.references.clone());
        let executor = Executor {
            spec: session.spec,
            engine: &project.engine,
            prepared: self.prepared(),
            sources: &session.sources,
            listed,
            references: &references,
            ledger: &ledger,
            due: BTreeMap::new(),
            staging: project.staging(&session.spec.name),
            epoch: self.state().epoch,
            is_gated: true,
        };
        let base = plan.base.unwrap_or(EventTime::FIRST);
        let batches = batches(plan, BATCH_BYTES_MAX);
        let windows = batches.iter().flat_map(|batch| batch.windows.iter().cloned());
        let Some((scan, desk)) = executor.scan(windows.collect::<Vec<_>>()) else {
            let computing = Computing::new(None, &executor, stop);
            return self.publish(batches, base, &computing, observer, report).await;
        };
        let computing = Computing::new(Some(desk), &executor, stop);
        tokio::select! {
            biased;
            ended = self.publish(batches, base, &computing, observer, report) => ended,
            () = async { scan.run().await; std::future::pending().await } => Ok(()),
        }
    }

    /// Publishes `batches`, one after another, as they are computed.
    async fn publish(
        &mut self,
        batches: Vec<BatchPlan>,
        base: EventTime,
        computing: &Computing<'_>,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let mut batches = batches.into_iter();
        let mut next = self.open(batches.next(), computing).await?;
        while let Some((windows, empty)) = next.take() {
            if computing.stop.is_asked() {
                break;
            }
            next = self.open(batches.next(), computing).await?;
            self.publish_one(windows, empty, base, computing, observer, report).await?;
        }
        Ok(())
    }

    /// Lets the windows of a batch be computed.
    async fn open(
        &mut self,
        plan: Option<BatchPlan>,
        computing: &Computing<'_>,
    ) -> Result<Option<(Vec<BatchWindow>, Vec<TimeRange>)>> {
        let Some(plan) = plan else { return Ok(None) };
        let starts: Vec<EventTime> = plan.windows.iter().map(|due| due.window.start()).collect();
        self.publisher.recall(&starts).await?;
        let windows = plan.windows.iter().map(|due| self.begun(due)).collect::<Result<Vec<_>>>()?;
        if let Some(desk) = &computing.desk {
            desk.open(&windows);
        }
        Ok(Some((windows, plan.empty)))
    }

    async fn publish_one(
        &mut self,
        windows: Vec<BatchWindow>,
        empty: Vec<TimeRange>,
        base: EventTime,
        computing: &Computing<'_>,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let mut starts: Vec<EventTime> = windows.iter().map(|window| window.start).collect();
        // What an earlier batch has committed may have been put away with it.
        self.publisher.recall(&starts).await?;
        let outputs = windows.iter().flat_map(|window| &window.outputs);
        let attempts: Vec<AttemptId> = outputs.map(|output| output.att).collect();
        let batch = self.batch(windows, empty, base, Aim::Compute);
        let seq = self.publisher.batch(batch, computing).await?;
        let stopped = computing.take_stopped();
        unstage(&computing.executor.staging, self.state().epoch, &attempts);
        self.progress.finish(starts.len().saturating_sub(stopped.len()));
        starts.retain(|start| !stopped.contains(start));
        self.tell(&starts, seq, observer, report);
        self.save_if_due(report).await;
        Ok(())
    }

    /// A batch of `windows` as things stand now.
    pub(super) fn batch(
        &self,
        windows: Vec<BatchWindow>,
        empty: Vec<TimeRange>,
        base: EventTime,
        aim: Aim,
    ) -> Batch {
        Batch {
            id: BatchId(self.project.clock.new_id()),
            generation: self.state().generation,
            query: self.state().query().map_or(Seq(0), |(seq, _)| seq),
            references: self.references(),
            windows,
            empty,
            base,
            aim,
        }
    }

    /// Removes what was staged in this epoch: what is not published by now will not be.
    pub(super) fn sweep_staged(&self) {
        let epoch = self.state().epoch;
        let staging = self.project.staging(&self.session.spec.name);
        sweep_staging(&staging, epoch.next().unwrap_or(epoch));
    }

    /// The entry of the reference tables, if there are any.
    fn references(&self) -> Option<Seq> {
        let last = self.state().references().map(|(seq, _)| seq);
        last.filter(|_| !self.session.spec.references.is_empty())
    }

    /// The window as the log will announce it.
    pub(super) fn begun(&self, due: &DueWindow) -> Result<BatchWindow> {
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
        // Where something may lie that no commit named, it must be replaced.
        let is_unsure = state.in_doubt.contains_key(&start) || state.blank.contains_key(&start);
        let object = |object: ObjectSpec<'_>| {
            let before = before.get(object.name).copied();
            Ok(BatchOutput {
                name: object.name.to_owned(),
                path: object.key(&spec.grid, due.window).ok_or_else(unnamed)?,
                before,
                att: AttemptId(self.project.clock.new_id()),
                optional: QuarantineSpec::is_name(object.name) && before.is_none() && !is_unsure,
            })
        };
        let may_have = |object: &ObjectSpec<'_>| {
            object.is_wanted
                || before.contains_key(object.name)
                || (is_unsure && self.has_put_aside(object.name))
        };
        Ok(BatchWindow {
            start,
            end,
            rev: state.next_revision(start).ok_or_else(unnamed)?,
            reason: due.reason,
            outputs: spec.objects().filter(may_have).map(object).collect::<Result<_>>()?,
        })
    }

    /// Whether `name` is the object of a source whose rows some query up to now has put aside.
    fn has_put_aside(&self, name: &str) -> bool {
        let mut quarantines = self.session.spec.quarantines.iter();
        let Some(quarantine) = quarantines.find(|quarantine| quarantine.name == name) else {
            return false;
        };
        let judged = self.state().queries.values().flat_map(|query| &query.judged);
        let of_table = judged.filter(|judged| judged.table == quarantine.table);
        let mut rules = of_table.flat_map(|judged| &judged.rules);
        rules.any(|rule| rule.action == OnViolation::Quarantine.as_str())
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
                let count = if window.committed.unchanged {
                    &mut report.windows_unchanged
                } else {
                    &mut report.windows_done
                };
                *count = count.saturating_add(1);
                report.rows = report.rows.plus(window.committed.rows);
                observer.on(RunEvent::Committed { spec, window: &window.committed, seq });
            } else if let Some(failed) = state.failed.get(start) {
                report.failures.push(failed.clone());
                observer.on(RunEvent::Failed { spec, window: failed });
            }
        }
    }
}

#[async_trait]
impl Compute for Executor<'_> {
    async fn compute(&self, batch: &Batch) -> Vec<Result<ComputedWindow, FailedWindow>> {
        Executor::compute(self, batch, std::future::pending()).await
    }
}

/// Computes ahead until it is stopped.
struct Computing<'a> {
    /// Where windows are computed; `None` if it is not known what the columns of a source are.
    desk: Option<Desk>,
    executor: &'a Executor<'a>,
    stop: &'a Stop,
    /// The windows of the batch under way that were stopped: neither committed nor failed.
    stopped: Mutex<BTreeSet<EventTime>>,
}

impl<'a> Computing<'a> {
    fn new(desk: Option<Desk>, executor: &'a Executor<'a>, stop: &'a Stop) -> Self {
        Self { desk, executor, stop, stopped: Mutex::default() }
    }

    fn take_stopped(&self) -> BTreeSet<EventTime> {
        std::mem::take(&mut *self.stopped.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Compute for Computing<'_> {
    async fn compute(&self, batch: &Batch) -> Vec<Result<ComputedWindow, FailedWindow>> {
        let Some(desk) = &self.desk else { return self.executor.no_columns(&batch.windows) };
        let computed = desk.compute(batch, self.stop.grace_over()).await;
        let failed = computed.iter().filter_map(|result| result.as_ref().err());
        let stopped = failed.filter(|failed| failed.is_stopped()).map(|failed| failed.start);
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).extend(stopped);
        computed
    }
}
