//! The holder of the lease at work: claim, describe, admit, ask, plan, batches, release.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::drive::{Asked, skippable};
use super::foresee::{Look, are_logged, outdated, query_of};
use super::owner::claim_outputs;
use super::project::{Opened, Project};
use super::session::{Planned, Session};
use super::shape::shape_of;
use super::stop::Stop;
use crate::error::{Code, Error, Result};
use crate::execute::{Prepared, is_same_query};
use crate::id::{Generation, RequestId, Seq};
use crate::ledger::{FileRecord, Ledger};
use crate::log::{
    Inbox, Lease, LeaseInfo, Opening, Progress, StateLog, show_alive, sweep_staging, write_segment,
};
use crate::plan::{
    Outdated, Plan, admission, admissions, judge_lateness, plan, promises, segments_to_merge,
};
use crate::publish::Publisher;
use crate::report::{Observer, PipelineReport, RunEvent};
use crate::spec::PipelineSpec;
use crate::state::{
    Body, Failed, FailedWindow, Request, RowCounts, SegmentRef, Skip, State, TimeRange,
};
use crate::store::make_folders;
use crate::time::EventTime;
use crate::window::WindowSet;

/// The holder of the lease at work.
pub(super) struct Worker<'a> {
    pub(super) project: &'a Project,
    pub(super) session: &'a Session<'a>,
    pub(super) publisher: Publisher,
    pub(super) log: StateLog,
    pub(super) ledger: Arc<Ledger>,
    pub(super) look: Look,
    pub(super) planned: Option<Planned>,
    /// What of the log is out of force.
    outdated: Outdated,
    /// Where it says how far it is.
    pub(super) progress: Arc<Progress>,
    /// The newest entry that a checkpoint knows.
    checkpoint: Option<Seq>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        project: &'a Project,
        session: &'a Session<'a>,
        opened: Opened,
        opening: Opening,
        look: Look,
        planned: Option<Planned>,
    ) -> Self {
        let outputs = project.outputs(&session.spec.name);
        let identity = project.identity.clone();
        let Opening { state, checkpoint } = opening;
        let publisher = Publisher::new(opened.log.clone(), outputs, project.clock, identity, state);
        let (log, ledger) = (opened.log, opened.ledger);
        let outdated = outdated(session.spec, publisher.state(), &look.references);
        let progress = Arc::default();
        Self {
            project,
            session,
            publisher,
            log,
            ledger,
            look,
            planned,
            outdated,
            progress,
            checkpoint,
        }
    }

    pub(super) fn state(&self) -> &State {
        self.publisher.state()
    }

    pub(super) async fn work(
        &mut self,
        lease: &Lease,
        info: LeaseInfo,
        asked: &Asked,
        stop: &Stop,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let first = self.state().head.seq.next().unwrap_or(Seq(0));
        self.claim(lease).await?;
        let (store, lease_spec) = (self.log.store().clone(), self.project.spec.lease);
        let (epoch, clock) = (self.state().epoch, self.project.clock);
        let heart = show_alive(store, epoch, info, lease_spec, lease, clock);
        self.progress = heart.progress();
        let worked = self.work_claimed(asked, stop, observer, report).await;
        // An error that leaves the log in order leaves it released too; after any other, the next
        // run takes over.
        if worked.is_ok() || self.publisher.is_idle() {
            let last = self.publisher.append(Body::Release).await?;
            report.entries = Some((first, last));
            self.save_if_due(report).await;
        }
        if self.publisher.is_idle() {
            let plan = if asked.computes() { self.plan_or_wait() } else { self.plan() };
            report.see(self.session.spec, self.state(), &plan);
        } else if let Ok(Some(state)) = self.log.read().await {
            // The writer's own state is ahead of the log by what it could not append.
            report.watermark = state.watermark;
        }
        worked
    }

    async fn work_claimed(
        &mut self,
        asked: &Asked,
        stop: &Stop,
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
        if asked.computes() {
            self.set_aside(asked.damaged_asides(), stop, report).await?;
        }
        self.log_columns().await?;
        self.ask(asked, report).await?;
        self.take_in(report).await?;
        if asked.rolls_back() {
            self.roll_back(stop, observer, report).await?;
        }
        if !asked.computes() {
            return Ok(());
        }
        let mut plan = self.plan_or_wait();
        observer.on(RunEvent::Planned { spec: self.session.spec, plan: &plan });
        self.run_batches(&plan, stop, observer, report).await?;
        if !stop.is_asked() && self.take_in(report).await? {
            plan = self.plan_or_wait();
            self.run_batches(&plan, stop, observer, report).await?;
        }
        if report.failures.iter().any(|failed| failed.code == Code::InputChanged.to_string()) {
            // An input changed under our hands: look once more, and no more than once.
            report.failures.retain(|failed| failed.code != Code::InputChanged.to_string());
            let state = Some(self.publisher.state());
            self.look = self.project.look(self.session, state, &self.ledger).await?;
            self.admit(report).await?;
            self.prepare_again().await?;
            plan = self.plan_or_wait();
            self.run_batches(&plan, stop, observer, report).await?;
        }
        self.refuse(&plan, observer, report).await?;
        self.settle(stop, report).await?;
        let unreadable = self.look.discovery.unreadable.drain(..).map(|why| {
            why.note("no new window closes until that is mended; committed windows stand")
        });
        report.errors.extend(unreadable);
        report.left_out.append(&mut self.look.discovery.left_out);
        for id in self.plan().met {
            self.publisher.append(Body::RequestDone { id, cancelled: false }).await?;
        }
        Ok(())
    }

    async fn claim(&mut self, lease: &Lease) -> Result<()> {
        let state = self.state();
        let reason = lease.reason(state)?;
        let takes = state.holder.as_ref().map(|_| state.epoch);
        self.publisher.append(Body::Claim { takes, reason }).await?;
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
        if self.state().query().is_none_or(|(_, known)| !is_same_query(known, &query)) {
            self.publisher.append(Body::Query(query)).await?;
        }
        if !are_logged(self.state(), &self.look.references) {
            self.publisher.append(Body::References(self.look.references.clone())).await?;
        }
        Ok(())
    }

    /// Makes reference tables and columns those of the newest look.
    async fn prepare_again(&mut self) -> Result<()> {
        let (engine, state) = (&self.project.engine, self.publisher.state());
        self.planned = self.session.prepare(engine, &self.look, &self.ledger, state).await?;
        self.log_columns().await?;
        if !are_logged(self.state(), &self.look.references) {
            self.publisher.append(Body::References(self.look.references.clone())).await?;
            self.outdated =
                outdated(self.session.spec, self.publisher.state(), &self.look.references);
        }
        Ok(())
    }

    /// Logs the columns of tables that are others than the log says.
    async fn log_columns(&mut self) -> Result<()> {
        let columns = self.planned.iter().flat_map(|planned| planned.columns.clone());
        for columns in columns.collect::<Vec<_>>() {
            let known = self.state().columns.get(&columns.table);
            if known.is_none_or(|known| !known.said.is_same(&columns)) {
                self.publisher.append(Body::Columns(columns)).await?;
            }
        }
        Ok(())
    }

    /// Makes tables wide enough for the files of `plan`, and logs that before a window is computed.
    pub(super) async fn widen(&mut self, plan: &Plan) -> Result<()> {
        let Some(planned) = &self.planned else { return Ok(()) };
        let (session, look) = (self.session, &self.look);
        if let Some(wider) = session.widened(plan, look, &self.ledger, planned).await {
            self.planned = Some(session.plan(&self.project.engine, look, wider).await?);
            self.log_columns().await?;
        }
        Ok(())
    }

    /// The queries, if they are planned.
    pub(super) fn prepared(&self) -> Option<Arc<Prepared>> {
        self.planned.as_ref().map(|planned| planned.prepared.clone())
    }

    /// Admits what was discovered, if anything of it is news, and notes how far sources are.
    async fn admit(&mut self, report: &mut PipelineReport) -> Result<()> {
        let spec = self.session.spec;
        if self.look.discovery.has_news() {
            let records = std::mem::take(&mut self.look.discovery.records);
            let (records, refused) = judge_lateness(spec, self.state(), &self.ledger, records);
            self.look.discovery.unreadable.extend(refused);
            for records in admissions(spec, records) {
                self.admit_some(records, report).await?;
            }
        }
        if let Some(promised) = promises(spec, self.state(), &self.ledger, &self.look.outside) {
            self.publisher.append(Body::Watermarks(promised)).await?;
        }
        Ok(())
    }

    async fn admit_some(
        &mut self,
        records: Vec<FileRecord>,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let spec = self.session.spec;
        let full = || Error::new(Code::Bug, "the ledger has no generation left");
        let generation = self.state().generation.next().ok_or_else(full)?;
        let files = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let replaces = segments_to_merge(self.state(), files);
        let segment = self.write_segment(generation, &records, replaces).await?;
        crate::crashpoint::pass("segment.after");
        let (state, ledger) = (self.state(), &self.ledger);
        let inputs =
            admission(spec, state, ledger, &records, segment, replaces).ok_or_else(full)?;
        report.rows = report.rows.plus(inputs.refused).plus(before_begin(spec, &records));
        self.publisher.append(Body::Inputs(inputs)).await?;
        let ledger = Arc::make_mut(&mut self.ledger);
        for record in records {
            ledger.admit(record, generation);
        }
        Ok(())
    }

    /// Stores `records` together with what stands of the newest `replaces` segments.
    async fn write_segment(
        &self,
        generation: Generation,
        records: &[FileRecord],
        replaces: u64,
    ) -> Result<SegmentRef> {
        let segments = &self.state().segments;
        let stay = segments.len().saturating_sub(usize::try_from(replaces).unwrap_or(usize::MAX));
        let first = segments.get(stay).map_or(generation, |segment| segment.first);
        let news: BTreeSet<(&str, &str)> = records
            .iter()
            .map(|record| (record.id.table.as_str(), record.id.key.as_str()))
            .collect();
        let stands = self.ledger.files().filter(|(id, known)| {
            known.generation >= first && !news.contains(&(id.table.as_str(), id.key.as_str()))
        });
        let stands = stands.map(|(_, known)| (known.generation, &known.record));
        let news = records.iter().map(|record| (generation, record));
        let records: Vec<_> = stands.chain(news).collect();
        let store = self.log.store();
        write_segment(store.as_ref(), generation, &records, &self.project.clock).await
    }

    async fn ask(&mut self, asked: &Asked, report: &mut PipelineReport) -> Result<()> {
        asked.check(self.session.spec, self.state())?;
        match asked {
            Asked::Run | Asked::Mend(None, _) => {}
            Asked::Request(request) | Asked::Mend(Some(request), _) => {
                let seq = self.publisher.append(Body::Request(request.clone())).await?;
                report.request = Some(RequestId(seq));
            }
            Asked::Skip(range, why) => self.skip(*range, why, report).await?,
            Asked::Cancel(id) => {
                self.publisher.append(Body::RequestDone { id: *id, cancelled: true }).await?;
            }
        }
        Ok(())
    }

    /// Takes in what others asked for meanwhile. Whether there was anything new.
    async fn take_in(&mut self, report: &mut PipelineReport) -> Result<bool> {
        let log = self.log.clone();
        let inbox = Inbox::new(log.store().as_ref());
        let mut is_new = false;
        for item in inbox.look().await? {
            let request = match &item.request {
                Ok(request) => Request { inbox: Some(item.id), ..request.clone() },
                Err(why) => {
                    report.errors.push(why.clone());
                    continue;
                }
            };
            if !self.state().taken_in.contains(&item.id) {
                self.publisher.append(Body::Request(request)).await?;
                crate::crashpoint::pass("inbox.taken");
                is_new = true;
            }
            // The log has it: an item that stays behind is known.
            let _ = inbox.clear(&item).await;
        }
        Ok(is_new)
    }

    /// Commits the closed windows of `range` that were not computed as skipped.
    async fn skip(
        &mut self,
        range: TimeRange,
        why: &str,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let spec = self.session.spec;
        let windows = skippable(spec, self.state(), range)?;
        let mut skipped = WindowSet::default();
        for window in &windows {
            skipped.insert(window.start(), window.end());
        }
        report.windows_skipped = u64::try_from(windows.len()).unwrap_or(u64::MAX);
        let base = spec.begin.unwrap_or(EventTime::FIRST);
        for (start, end) in skipped.ranges() {
            let watermark = self.state().watermark_after([(start, end)], base);
            let range = TimeRange { start, end };
            let skip = Skip { range, why: why.to_owned(), watermark };
            self.publisher.append(Body::Skip(skip)).await?;
        }
        Ok(())
    }

    /// Writes a checkpoint, if one is due. Nothing depends on it: the next one will do.
    pub(super) async fn save_if_due(&mut self, report: &mut PipelineReport) {
        let head = self.state().head.seq;
        if !self.project.pace.is_due(self.checkpoint, head) {
            return;
        }
        let Project { pace, clock, .. } = self.project;
        match self.log.save(self.state().clone(), *pace, clock).await {
            Ok(small) => self.publisher.replace_state(small),
            Err(why) if why.code() == Code::StateCorrupt => report.errors.push(why),
            Err(_) => {}
        }
        self.checkpoint = Some(head);
    }

    pub(super) fn outdated(&self) -> &Outdated {
        &self.outdated
    }

    fn plan(&self) -> Plan {
        plan(&self.look.facts(self.session.spec, self.state(), &self.ledger, &self.outdated))
    }

    /// The plan; if nobody can tell the columns of a source yet, all windows wait.
    fn plan_or_wait(&self) -> Plan {
        let mut plan = self.plan();
        if self.planned.is_none() {
            plan.hold();
        }
        plan
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

/// How many rows of newly admitted files lie before the pipeline's begin.
fn before_begin(spec: &PipelineSpec, records: &[FileRecord]) -> RowCounts {
    let news = records.iter().filter(|record| !record.settles);
    let windows = news.flat_map(|record| &record.cells);
    let early = windows.filter(|(start, _)| spec.begin.is_some_and(|begin| *start < begin));
    let before_begin = early.fold(0, |sum: u64, (_, rows)| sum.saturating_add(*rows));
    RowCounts { before_begin, ..RowCounts::default() }
}
