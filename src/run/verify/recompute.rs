//! The oracle: windows are computed once more from their inputs of now, and nothing is published.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Checker, Due};
use crate::commit::{Aim, Batch, ComputedWindow};
use crate::error::{Code, Error, Result};
use crate::execute::{Executor, Prepared};
use crate::id::{AttemptId, BatchId, Epoch};
use crate::plan::{BATCH_BYTES_MAX, BatchPlan, DueWindow, Plan, batches, computed_again};
use crate::report::{Problem, ProblemKind, Recomputed};
use crate::run::{Foreseen, Planned, Session};
use crate::spec::ObjectSpec;
use crate::state::{BatchOutput, BatchWindow, CommittedWindow, FailedWindow, Reason, WindowState};
use crate::store::make_folders;
use crate::time::EventTime;
use crate::window::Window;

/// Windows that share a scan: bounds how many plans are held in memory. A file is read once for all
/// of them.
const WINDOWS_AT_ONCE: usize = 4_096;

/// Computes every committed window of the extent again, and compares its rows with those that were
/// committed.
pub(super) async fn recompute(checker: &mut Checker<'_>) -> Result<Recomputed> {
    let (project, spec) = (checker.project, checker.spec);
    let mut counts = Recomputed::default();
    let session = Session::new(project, spec);
    let mut opened = project.open_for(&session).await?;
    if let Some(state) = &mut opened.state {
        let wanted = state.wanted_whole();
        opened.log.recall(state, wanted).await?;
    }
    let Some(committed) = &opened.state else { return Ok(counts) };
    let foreseen = project.foresee(&session, &opened, None).await?;
    let Foreseen { look, ledger, state, .. } = &foreseen;
    let planned = session.prepare(&project.engine, look, ledger, state).await?;
    let Some(Planned { prepared, .. }) = planned else { return Ok(counts) };
    let name = format!("highwater-verify-{}", project.clock.new_id());
    let scratch = Scratch::new(project.spec.engine.temp_directory.join(name))?;
    let oracle = Oracle { checker, session: &session, foreseen: &foreseen, prepared, scratch };
    let due = oracle.due();
    let range = oracle.checker.extent.range;
    let mut windows = committed.windows.range(range.start..range.end).peekable();
    let mut problems = Vec::new();
    while windows.peek().is_some() {
        let mut again = Vec::new();
        for (start, window) in windows.by_ref().take(WINDOWS_AT_ONCE) {
            match oracle.sort_out(*start, window, &due) {
                Ok(window) => again.push(window),
                Err(count) => counts = counts.plus(count),
            }
        }
        let plan = Plan { windows: again, ..Plan::default() };
        for (start, computed) in oracle.compute(&plan).await {
            let Some(window) = committed.windows.get(&start) else { continue };
            let (count, problem) = oracle.judge(window, computed);
            counts = counts.plus(count);
            problems.extend(problem);
        }
    }
    drop(oracle);
    for problem in problems {
        checker.note(problem);
    }
    Ok(counts)
}

struct Oracle<'a> {
    checker: &'a Checker<'a>,
    session: &'a Session<'a>,
    foreseen: &'a Foreseen,
    prepared: Arc<Prepared>,
    scratch: Scratch,
}

const CHANGED: Recomputed = Recomputed { equal: 0, wrong: 0, changed: 1, outdated: 0, unknown: 0 };
const OUTDATED: Recomputed = Recomputed { equal: 0, wrong: 0, changed: 0, outdated: 1, unknown: 0 };
const UNKNOWN: Recomputed = Recomputed { equal: 0, wrong: 0, changed: 0, outdated: 0, unknown: 1 };
const EQUAL: Recomputed = Recomputed { equal: 1, wrong: 0, changed: 0, outdated: 0, unknown: 0 };
const WRONG: Recomputed = Recomputed { equal: 0, wrong: 1, changed: 0, outdated: 0, unknown: 0 };

impl Oracle<'_> {
    /// The windows that a run would compute anyway, and why.
    fn due(&self) -> Due {
        let plan = &self.foreseen.plan;
        let refused = plan.refused.iter().map(|(due, _)| due);
        let due = plan.windows.iter().chain(&plan.held).chain(refused);
        due.map(|due| (due.window.start(), due.reason)).collect()
    }

    /// The window as it would be computed again, or what there is to say of it without.
    fn sort_out(
        &self,
        start: EventTime,
        window: &WindowState,
        due: &Due,
    ) -> Result<DueWindow, Recomputed> {
        let outdated = &self.foreseen.outdated;
        let is_outdated = outdated.queries.contains(&window.query)
            || window.references.is_some_and(|seq| outdated.references.contains(&seq));
        if is_outdated {
            return Err(OUTDATED);
        }
        if due.get(&start).is_some_and(|reason| *reason != Reason::Requested) {
            return Err(CHANGED);
        }
        let Some(window) = Window::new(start, window.committed.end) else { return Err(UNKNOWN) };
        let Foreseen { look, state, ledger, outdated, .. } = self.foreseen;
        let facts = look.facts(self.checker.spec, state, ledger, outdated);
        computed_again(&facts, window).map_err(|_| UNKNOWN)
    }

    /// What becomes of each window of `plan`, computed in one scan, one batch ahead of those that
    /// are looked at.
    async fn compute(&self, plan: &Plan) -> Vec<(EventTime, Result<ComputedWindow, FailedWindow>)> {
        let executor = self.executor();
        let Some((scan, desk)) = executor.scan(plan.windows.iter().cloned()) else {
            return Vec::new();
        };
        let compute = async {
            let mut all = Vec::with_capacity(plan.windows.len());
            let mut parts = batches(plan, BATCH_BYTES_MAX).into_iter().map(|part| {
                let batch = self.batch(&part);
                desk.open(&batch.windows);
                batch
            });
            let mut next = parts.next();
            while let Some(batch) = next {
                next = parts.next();
                let computed = desk.compute(&batch, std::future::pending()).await;
                for staged in computed.iter().flatten().flat_map(|window| &window.outputs) {
                    // The folder goes as a whole at the end; this keeps it small.
                    let _ = std::fs::remove_file(&staged.staged_at);
                }
                all.extend(batch.windows.iter().map(|window| window.start).zip(computed));
            }
            all
        };
        tokio::select! {
            biased;
            all = compute => all,
            () = async { scan.run().await; std::future::pending().await } => Vec::new(),
        }
    }

    /// A batch as it would be begun, of objects that are staged and never published.
    fn batch(&self, plan: &BatchPlan) -> Batch {
        let clock = self.checker.project.clock;
        let output = |object: ObjectSpec<'_>| BatchOutput {
            name: object.name.to_owned(),
            path: object.name.to_owned(),
            before: None,
            att: AttemptId(clock.new_id()),
            optional: false,
        };
        let window = |due: &DueWindow| BatchWindow {
            start: due.window.start(),
            end: due.window.end(),
            rev: crate::id::Revision(1),
            reason: due.reason,
            outputs: self.checker.spec.objects().map(output).collect(),
        };
        let state = &self.foreseen.state;
        Batch {
            id: BatchId(clock.new_id()),
            generation: state.generation,
            query: state.head.seq,
            references: None,
            windows: plan.windows.iter().map(window).collect(),
            empty: Vec::new(),
            base: EventTime::FIRST,
            aim: Aim::Compute,
        }
    }

    fn executor(&self) -> Executor<'_> {
        let (project, spec) = (self.checker.project, self.checker.spec);
        Executor {
            spec,
            engine: &project.engine,
            prepared: Some(self.prepared.clone()),
            sources: &self.session.sources,
            listed: &self.foreseen.look.discovery.listed,
            references: &self.foreseen.look.references,
            ledger: &self.foreseen.ledger,
            due: BTreeMap::new(),
            staging: self.scratch.0.clone(),
            epoch: Epoch(0),
            // What was published may be compared whatever the limits are now.
            is_gated: false,
        }
    }

    /// Whether `computed` has the rows that `window` was committed with.
    fn judge(
        &self,
        window: &WindowState,
        computed: Result<ComputedWindow, FailedWindow>,
    ) -> (Recomputed, Option<Problem>) {
        let committed = &window.committed;
        // That it fails now says nothing of the rows that were committed.
        let Ok(computed) = computed else { return (UNKNOWN, None) };
        let mut verdict = EQUAL;
        for output in &committed.outputs {
            let path = &output.path;
            let mut staged = computed.outputs.iter();
            let staged = staged.find(|staged| staged.path == output.name);
            let (then, now) = (&output.content, staged.and_then(|staged| staged.content.as_ref()));
            match (then, now) {
                (Some(then), Some(now)) if then == now => {}
                (Some(then), Some(now)) if then.is_comparable(now) => {
                    if computed.inputs != committed.inputs {
                        return (CHANGED, None);
                    }
                    // Wider types may well give other rows.
                    if self.foreseen.state.has_changed_columns_since(window.begun) {
                        return (OUTDATED, None);
                    }
                    let text = "the same inputs give other rows than were committed".to_owned();
                    return (WRONG, Some(self.problem(committed, path, text)));
                }
                // Columns of other types have rows of another form: there is nothing to compare.
                _ if self.foreseen.state.has_changed_columns_since(window.begun) => {
                    verdict = OUTDATED;
                }
                _ => verdict = UNKNOWN,
            }
        }
        (verdict, None)
    }

    fn problem(&self, committed: &CommittedWindow, path: &str, message: String) -> Problem {
        Problem {
            pipeline: self.checker.spec.name.clone(),
            window: Some((committed.start, committed.end)),
            kind: ProblemKind::Recompute,
            path: path.to_owned(),
            message,
        }
    }
}

/// A folder for computed windows; gone once this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: PathBuf) -> Result<Self> {
        make_folders(&folder).map_err(|why| {
            Error::new(Code::StoreFailed, format!("cannot make {}: {why}", folder.display()))
                .hint("set `temp_directory` in [engine] to a folder that can be written")
        })?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It holds nothing that anybody needs.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
