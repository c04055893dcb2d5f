//! Windows that go back to an earlier revision: its objects are taken from the history, staged
//! anew, and published like any others.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::sync::Arc;

use async_trait::async_trait;

use super::project::Project;
use super::stop::Stop;
use super::worker::Worker;
use crate::commit::{Aim, Batch, ComputedWindow};
use crate::error::{Code, Error, Result};
use crate::execute::{Origin, Staging, stage_again, stage_nothing};
use crate::id::{RequestId, Seq};
use crate::log::StateLog;
use crate::plan::{DueWindow, Restore, Rollback, rollback};
use crate::publish::Compute;
use crate::report::{Observer, PipelineReport, RunEvent};
use crate::spec::{PipelineSpec, QuarantineSpec};
use crate::state::{
    BatchOutput, BatchWindow, Body, CommittedOutput, CommittedWindow, Entry, FailedWindow, Reason,
    Request, State, Verb, codec,
};
use crate::store::{Store, layout};
use crate::time::EventTime;
use crate::window::Window;

/// Windows that are begun and committed together.
const WINDOWS_AT_ONCE: usize = 64;

/// What `request` would do, if it were made now, and that every copy it needs is what the log says.
///
/// # Errors
/// If a window cannot go back, or a copy is gone or damaged.
pub async fn check_rollback(
    project: &Project,
    spec: &PipelineSpec,
    state: &State,
    request: &Request,
) -> Result<Rollback> {
    let asked_at = state.next_seq().unwrap_or(state.head.seq);
    let log = project.log(&spec.name);
    let mut state = state.clone();
    let wanted = state.wanted_between(request.start, request.end);
    log.recall(&mut state, wanted).await?;
    let owed = rollback(spec, &state, asked_at, request)?;
    for windows in owed.windows.chunks(WINDOWS_AT_ONCE) {
        for past in past_windows(&log, windows).await? {
            for output in &past.outputs {
                let key = copy_of(&past, output);
                if log.store().sha256(&key).await? != Some(output.sha256) {
                    return Err(gone(&log, &key));
                }
            }
        }
    }
    Ok(owed)
}

/// Where the history has the object `output` of `window`.
pub(super) fn copy_of(window: &CommittedWindow, output: &CommittedOutput) -> String {
    layout::history(window.start, &output.name, window.rev, output.att)
}

fn gone(log: &StateLog, key: &str) -> Error {
    let name = log.store().name_of(key);
    Error::new(Code::RevisionGone, format!("{name} is gone or damaged: it cannot be restored"))
        .note("nothing was changed: a rollback is done as a whole or not at all")
        .hint("`highwater history` shows the other revisions; `reprocess` computes windows anew")
}

/// What the log says of the revisions that `windows` go back to.
async fn past_windows(log: &StateLog, windows: &[Restore]) -> Result<Vec<CommittedWindow>> {
    let mut entries: BTreeMap<Seq, Entry> = BTreeMap::new();
    let mut past = Vec::with_capacity(windows.len());
    for restore in windows {
        let seq = restore.to.seq;
        let entry = match entries.entry(seq) {
            Slot::Occupied(known) => known.into_mut(),
            Slot::Vacant(free) => free.insert(read_entry(log, seq).await?),
        };
        let published = entry.body.published();
        let mut committed = published.into_iter().flat_map(|commit| &commit.windows);
        let found = committed.find(|window| window.start == restore.start);
        let found = found.filter(|window| window.rev == restore.to.rev).cloned();
        past.push(found.ok_or_else(|| {
            let (start, rev) = (restore.start, restore.to.rev);
            log.damaged(
                seq,
                &format!("it does not publish revision {rev} of the window at {start}"),
            )
        })?);
    }
    Ok(past)
}

/// The log's entry `seq`.
pub(super) async fn read_entry(log: &StateLog, seq: Seq) -> Result<Entry> {
    match log.store().read(&layout::entry(seq)).await? {
        Some(bytes) => {
            codec::decode(&bytes).map(|(entry, _)| entry).map_err(|why| log.undecodable(seq, &why))
        }
        None => Err(log.damaged(seq, "it is missing")),
    }
}

/// Objects that are staged before their batch is begun.
struct Copies(Vec<ComputedWindow>);

#[async_trait]
impl Compute for Copies {
    async fn compute(&self, _batch: &Batch) -> Vec<Result<ComputedWindow, FailedWindow>> {
        self.0.iter().cloned().map(Ok).collect()
    }
}

impl Worker<'_> {
    /// Finishes the rollbacks that were asked for, before anything is planned: what was begun for
    /// one and not committed is then not computed in between. One that cannot be finished any more
    /// is withdrawn.
    pub(super) async fn roll_back(
        &mut self,
        stop: &Stop,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let requests = self.state().requests.iter();
        let rollbacks = requests.filter(|(_, request)| request.verb == Verb::Rollback);
        let rollbacks: Vec<_> = rollbacks.map(|(id, request)| (*id, request.clone())).collect();
        for (id, request) in rollbacks {
            let cancelled = match self.go_back(id, &request, stop, observer, report).await {
                Ok(true) => false,
                Ok(false) => return Ok(()),
                Err(why) if matches!(why.code(), Code::RevisionGone | Code::Usage) => {
                    report.errors.push(why.note(format!("request {id} was withdrawn")));
                    true
                }
                Err(why) => return Err(why),
            };
            self.publisher.append(Body::RequestDone { id, cancelled }).await?;
        }
        Ok(())
    }

    /// Restores the windows of one request. Whether it was not stopped before the end.
    async fn go_back(
        &mut self,
        id: RequestId,
        request: &Request,
        stop: &Stop,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) -> Result<bool> {
        self.publisher.recall_between(request.start, request.end).await?;
        let owed = rollback(self.session.spec, self.state(), id.0, request)?;
        for windows in owed.windows.chunks(WINDOWS_AT_ONCE) {
            if stop.is_asked() {
                return Ok(false);
            }
            let past = past_windows(&self.log, windows).await?;
            let seq = self.restore(&past, Reason::Requested).await?;
            self.tell_restored(&past, seq, observer, report);
            self.check_restored(&past, seq).await?;
        }
        Ok(true)
    }

    /// Publishes the revisions `past` as new ones. Returns the entry that says what became of them.
    pub(super) async fn restore(
        &mut self,
        past: &[CommittedWindow],
        reason: Reason,
    ) -> Result<Seq> {
        let (windows, computed) = match self.stage(past, reason).await {
            Ok(staged) => staged,
            Err(why) => {
                self.sweep_staged();
                return Err(why);
            }
        };
        let aim = Aim::Restore(past.iter().map(|past| (past.start, past.rev)).collect());
        let batch = self.batch(windows, Vec::new(), EventTime::FIRST, aim);
        let seq = self.publisher.batch(batch, &Copies(computed)).await;
        self.sweep_staged();
        seq
    }

    async fn stage(
        &self,
        past: &[CommittedWindow],
        reason: Reason,
    ) -> Result<(Vec<BatchWindow>, Vec<ComputedWindow>)> {
        let (mut windows, mut computed) = (Vec::new(), Vec::new());
        for past in past {
            let bug = || Error::new(Code::Bug, format!("no window begins at {}", past.start));
            let window = Window::new(past.start, past.end).ok_or_else(bug)?;
            let begun = self.begun(&DueWindow::empty(window, reason))?;
            let mut outputs = Vec::with_capacity(begun.outputs.len());
            for output in &begun.outputs {
                if !output.optional || past.outputs.iter().any(|past| past.name == output.name) {
                    outputs.push(self.stage_output(past, output, reason).await?);
                }
            }
            windows.push(begun);
            computed.push(ComputedWindow {
                inputs: past.inputs.clone(),
                rows: past.rows,
                balance: past.balance.clone(),
                checks: past.checks.clone(),
                outputs,
            });
        }
        Ok((windows, computed))
    }

    async fn stage_output(
        &self,
        past: &CommittedWindow,
        begun: &BatchOutput,
        reason: Reason,
    ) -> Result<crate::commit::StagedOutput> {
        let spec = self.session.spec;
        let prefix = layout::staging_prefix(self.state().epoch);
        let staged_at = self.project.staging(&spec.name).join(format!("{prefix}{}", begun.att));
        let found = past.outputs.iter().find(|output| output.name == begun.name);
        let Some(output) = found else {
            if QuarantineSpec::is_name(&begun.name) {
                return self.stage_nothing(past, begun).await;
            }
            let text = format!("revision {} has no output {}", past.rev, begun.name);
            return Err(Error::new(Code::RevisionGone, text));
        };
        // What stands may be there still, whatever was begun since.
        if reason == Reason::InDoubt {
            let outputs: Arc<dyn Store> = self.project.outputs(&spec.name);
            let visible = Origin { store: &outputs, key: &output.path, output };
            match stage_again(&visible, begun, &staged_at).await {
                Err(why) if why.code() == Code::RevisionGone => {
                    // Best effort: a file that stays is swept, but is in the way of the next.
                    let _ = std::fs::remove_file(&staged_at);
                }
                staged => return staged,
            }
        }
        let key = copy_of(past, output);
        let copy = Origin { store: self.log.store(), key: &key, output };
        stage_again(&copy, begun, &staged_at).await
    }

    /// Stages an object without rows in place of quarantined rows that the revision had none of.
    async fn stage_nothing(
        &self,
        past: &CommittedWindow,
        begun: &BatchOutput,
    ) -> Result<crate::commit::StagedOutput> {
        let spec = self.session.spec;
        let staging = Staging {
            pipeline: &spec.name,
            start: past.start,
            end: past.end,
            folder: &self.project.staging(&spec.name),
            epoch: self.state().epoch,
            max_object_bytes: self.project.engine.max_object_bytes(),
        };
        let mut objects = spec.objects();
        let object = objects
            .find(|object| object.name == begun.name)
            .ok_or_else(|| Error::new(Code::Bug, format!("no object is called {}", begun.name)))?;
        stage_nothing(&staging, &object, begun, &self.project.outputs(&spec.name)).await
    }

    fn tell_restored(
        &self,
        past: &[CommittedWindow],
        seq: Seq,
        observer: &dyn Observer,
        report: &mut PipelineReport,
    ) {
        let spec = self.session.spec;
        let restored = past.iter().filter_map(|past| self.state().windows.get(&past.start));
        for window in restored.filter(|window| window.seq == seq) {
            report.windows_restored = report.windows_restored.saturating_add(1);
            observer.on(RunEvent::Committed { spec, window: &window.committed, seq });
        }
    }

    /// That every window of a batch that ended with entry `seq` was restored.
    async fn check_restored(&self, past: &[CommittedWindow], seq: Seq) -> Result<()> {
        let is_restored = |past: &CommittedWindow| {
            self.state().windows.get(&past.start).is_some_and(|window| window.seq == seq)
        };
        if past.iter().all(is_restored) {
            return Ok(());
        }
        let entry = read_entry(&self.log, seq).await?;
        let failed = entry.body.published().and_then(|commit| commit.failed.first().cloned());
        let (code, message) = match failed {
            Some(failed) => (Code::parse(&failed.code), failed.message),
            None => (None, "a window was not restored".to_owned()),
        };
        Err(Error::new(code.unwrap_or(Code::StoreFailed), message)
            .note("windows that did not go back are as they were")
            .hint("mend the cause and run `highwater run`: it finishes the rollback"))
    }
}
