//! State + entry -> state: the only function that changes state.
//!
//! Every rule that a writer must keep is checked here again by whoever reads: a log that breaks one
//! is damaged, whoever wrote it.

mod aside;
mod columns;
mod rollback;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::entry::{
    BatchOutput, BatchWindow, Begin, Body, Commit, CommittedWindow, Entry, Failed, FailedWindow,
    Inputs, Request, Skip, TimeRange, WatermarkMove, Watermarks,
};
use super::{
    Head, Holder, InDoubt, OpenBatch, Segment, Stale, State, TAKEN_IN_MAX, WindowState, Windows,
};
use crate::hash::Sha256;
use crate::id::{BatchId, Epoch, Generation, PipelineName, RequestId, RunId, Seq, StoreId};
use crate::invariant::Invariant;
use crate::state::RowCounts;
use crate::time::{EventTime, ProcessingTime};
use crate::window::WindowSet;

/// A rule that an entry breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The entry.
    pub seq: Seq,
    /// The invariant, by id.
    pub invariant: Invariant,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} breaks {}: {}", self.seq, self.invariant, self.message)
    }
}

type Check = Result<(), (Invariant, String)>;

fn rule(holds: bool, invariant: Invariant, why: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err((invariant, why())) }
}

impl State {
    /// The state after the first entry of a log.
    ///
    /// # Errors
    /// If `entry` cannot be a first entry.
    pub fn start(entry: &Entry, hash: Sha256) -> Result<Self, Violation> {
        let check =
            rule(entry.n == Seq(0), Invariant::Cm1, || format!("it claims place {}", entry.n))
                .and_then(|()| {
                    rule(entry.prev == Sha256::ZERO, Invariant::Cm1, || {
                        "it names a predecessor".into()
                    })
                })
                .and_then(|()| {
                    let is_init = entry.body == Body::Init && entry.epoch == Epoch(0);
                    rule(is_init, Invariant::Cm1, || "a log begins with `init` in epoch 0".into())
                });
        check.map_err(|(invariant, message)| Violation { seq: entry.n, invariant, message })?;
        let head = Head { seq: entry.n, hash, at: entry.ts, run: entry.run };
        Ok(Self::new(entry.store, entry.pipe.clone(), head))
    }

    /// The state of a log that holds nothing but its beginning.
    fn new(store: StoreId, pipeline: PipelineName, head: Head) -> Self {
        Self {
            store,
            pipeline,
            head,
            epoch: Epoch(0),
            holder: None,
            shape: None,
            queries: BTreeMap::new(),
            references: BTreeMap::new(),
            columns: BTreeMap::new(),
            asides: BTreeMap::new(),
            open_aside: None,
            generation: Generation(0),
            segments: Vec::new(),
            last_event_at: BTreeMap::new(),
            source_watermarks: BTreeMap::new(),
            refused_rows: RowCounts::default(),
            watermark: None,
            windows: Windows::default(),
            empty: WindowSet::default(),
            skipped: WindowSet::default(),
            stale: BTreeMap::new(),
            in_doubt: BTreeMap::new(),
            blank: BTreeMap::new(),
            failed: BTreeMap::new(),
            open: BTreeMap::new(),
            requests: BTreeMap::new(),
            taken_in: BTreeSet::new(),
            retiring: None,
            retired: Vec::new(),
            marked: None,
        }
    }

    /// What a pipeline that never ran would start from; only for looking ahead.
    #[must_use]
    pub fn before_first_run(pipeline: PipelineName) -> Self {
        let at = ProcessingTime::from_micros(0);
        let run = RunId(uuid::Uuid::nil());
        let head = Head { seq: Seq(0), hash: Sha256::ZERO, at, run };
        Self::new(StoreId(uuid::Uuid::nil()), pipeline, head)
    }

    /// What this state would become if `inputs` were admitted; only for looking ahead.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn foresee_inputs(&self, inputs: &Inputs) -> Result<Self, Violation> {
        let mut state = self.clone();
        state.open.clear();
        let seq = self.head.seq;
        state.apply_inputs(inputs).map_err(|(invariant, message)| Violation {
            seq,
            invariant,
            message,
        })?;
        Ok(state)
    }

    /// What this state would become if `watermarks` were logged; only for looking ahead.
    #[must_use]
    pub fn foresee_watermarks(mut self, watermarks: &Watermarks) -> Self {
        self.apply_watermarks(watermarks);
        self
    }

    /// What this state would become if `request` were made; only for looking ahead.
    #[must_use]
    pub fn foresee_request(&self, request: Request) -> Self {
        let mut state = self.clone();
        let seq = self.next_seq().unwrap_or(self.head.seq);
        state.requests.insert(RequestId(seq), request);
        state
    }

    /// Takes in `entry`, whose body has the hash `hash`.
    ///
    /// # Errors
    /// If the entry breaks a rule. The state is then no fold of anything and must not be used.
    pub fn apply(&mut self, entry: &Entry, hash: Sha256) -> Result<(), Violation> {
        self.check_envelope(entry)
            .and_then(|()| self.apply_body(entry))
            .map_err(|(invariant, message)| Violation { seq: entry.n, invariant, message })?;
        self.head = Head { seq: entry.n, hash, at: entry.ts, run: entry.run };
        Ok(())
    }

    fn check_envelope(&self, entry: &Entry) -> Check {
        rule(Some(entry.n) == self.next_seq(), Invariant::Cm1, || {
            format!("it claims place {} after {}", entry.n, self.head.seq)
        })?;
        rule(entry.prev == self.head.hash, Invariant::Cm1, || {
            format!("it follows {}, but entry {} is {}", entry.prev, self.head.seq, self.head.hash)
        })?;
        rule(entry.store == self.store && entry.pipe == self.pipeline, Invariant::Cm1, || {
            format!("it belongs to pipeline {} of store {}", entry.pipe, entry.store)
        })?;
        if matches!(entry.body, Body::Claim { .. }) {
            rule(Some(entry.epoch) == self.epoch.next(), Invariant::Cm4, || {
                format!("it claims epoch {} after {}", entry.epoch, self.epoch)
            })
        } else {
            rule(entry.epoch == self.epoch && self.holder.is_some(), Invariant::Cm4, || {
                format!("its epoch {} does not hold the log, {} does", entry.epoch, self.epoch)
            })
        }
    }

    fn apply_body(&mut self, entry: &Entry) -> Check {
        self.check_retiring(&entry.body)?;
        match &entry.body {
            Body::Init => rule(false, Invariant::Cm1, || "a log begins only once".into()),
            Body::Claim { .. } => {
                self.epoch = entry.epoch;
                self.holder = Some(Holder { who: entry.who.clone(), since: entry.ts });
                self.open.clear();
                self.open_aside = None;
                Ok(())
            }
            Body::Release => {
                self.holder = None;
                self.open.clear();
                self.open_aside = None;
                Ok(())
            }
            Body::Shape(shape) => {
                rule(self.shape.is_none(), Invariant::Wi1, || "the shape is fixed already".into())?;
                self.shape = Some(shape.clone());
                Ok(())
            }
            Body::Query(query) => {
                self.queries.insert(entry.n, query.clone());
                Ok(())
            }
            Body::References(references) => {
                self.references.insert(entry.n, references.clone());
                Ok(())
            }
            Body::Columns(columns) => self.apply_columns(entry.n, columns),
            Body::Inputs(inputs) => self.apply_inputs(inputs),
            Body::Watermarks(watermarks) => {
                self.apply_watermarks(watermarks);
                Ok(())
            }
            Body::Request(request) => {
                self.requests.insert(RequestId(entry.n), request.clone());
                self.taken_in.extend(request.inbox);
                if self.taken_in.len() > TAKEN_IN_MAX {
                    self.taken_in.pop_first();
                }
                Ok(())
            }
            Body::RequestDone { id, .. } => {
                let known = self.requests.remove(id).is_some();
                rule(known, Invariant::Cm3, || format!("there is no request {id} to end"))
            }
            Body::Begin(begin) => self.apply_begin(entry.n, begin),
            Body::Commit(commit) => self.apply_commit(entry.n, commit),
            Body::Failed(failed) => self.apply_failed(failed),
            Body::Rollback(rollback) => self.apply_rollback(entry.n, rollback),
            Body::BeginAside(begin) => self.apply_begin_aside(begin),
            Body::Aside(aside) => self.apply_aside(aside),
            Body::Abort { batch, blank, .. } => self.apply_abort(*batch, blank),
            Body::Skip(skip) => self.apply_skip(skip),
            Body::Retire(retire) => self.apply_retire(entry.n, retire),
            Body::GcMark(mark) => self.apply_gc_mark(entry.n, mark),
            Body::GcSweep(sweep) => self.apply_gc_sweep(sweep),
        }
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Check {
        rule(Some(inputs.generation) == self.generation.next(), Invariant::In1, || {
            format!("generation {} follows {}", inputs.generation, self.generation)
        })?;
        // A batch that is being computed would otherwise be committed as if it had seen them.
        rule(self.open.is_empty(), Invariant::In1, || "it admits inputs under a batch".into())?;
        let replaces = usize::try_from(inputs.replaces).unwrap_or(usize::MAX);
        let kept = self.segments.len().checked_sub(replaces);
        rule(kept.is_some(), Invariant::In1, || {
            format!("it replaces {replaces} segments of {}", self.segments.len())
        })?;
        let oldest = self.segments.drain(kept.unwrap_or_default()..).next();
        let first = oldest.map_or(inputs.generation, |segment| segment.first);
        self.generation = inputs.generation;
        self.segments.push(Segment { stored: inputs.segment.clone(), first });
        self.refused_rows = self.refused_rows.plus(inputs.refused);
        for (table, at) in &inputs.last_event_at {
            let seen = self.last_event_at.entry(table.clone()).or_insert(*at);
            *seen = (*seen).max(*at);
        }
        for late in &inputs.late {
            let stale = self.stale.entry(late.start).or_insert(Stale {
                end: late.end,
                kind: late.why,
                rows: 0,
                files: 0,
            });
            stale.kind = stale.kind.max(late.why);
            stale.rows = stale.rows.saturating_add(late.rows);
            stale.files = stale.files.saturating_add(late.files);
        }
        Ok(())
    }

    fn apply_watermarks(&mut self, watermarks: &Watermarks) {
        for source in &watermarks.sources {
            let known = self.source_watermarks.entry(source.table.clone()).or_insert(source.at);
            *known = (*known).max(source.at);
        }
    }

    fn apply_begin(&mut self, seq: Seq, begin: &Begin) -> Check {
        rule(!self.open.contains_key(&begin.batch), Invariant::Cm3, || {
            format!("batch {} was begun before", begin.batch)
        })?;
        rule(begin.generation == self.generation, Invariant::In1, || {
            format!("it was planned from generation {}", begin.generation)
        })?;
        let mut windows = BTreeMap::new();
        for window in &begin.windows {
            rule(window.start < window.end, Invariant::Wi1, || {
                format!("the window at {} ends at its start, or before it", window.start)
            })?;
            let holds = |begun: &BTreeMap<_, _>| begun.contains_key(&window.start);
            let is_begun = holds(&windows) || self.open.values().any(|open| holds(&open.windows));
            rule(!is_begun, Invariant::Cm3, || {
                format!("the window at {} is begun already", window.start)
            })?;
            rule(self.next_revision(window.start) == Some(window.rev), Invariant::Cm3, || {
                format!("the window at {} cannot get revision {}", window.start, window.rev)
            })?;
            let may_lie_there = |output: &BatchOutput| {
                output.before.is_some()
                    || self.in_doubt.contains_key(&window.start)
                    || self.blank.contains_key(&window.start)
            };
            let optional = window.outputs.iter().find(|output| output.optional);
            rule(!optional.is_some_and(may_lie_there), Invariant::Cm2, || {
                format!("an object of the window at {} may not be left out", window.start)
            })?;
            let doubt = InDoubt { end: window.end, batch: begin.batch };
            let was_in_doubt = self.in_doubt.insert(window.start, doubt).is_some();
            windows.insert(window.start, (window.clone(), was_in_doubt));
        }
        let Begin { generation, query, references, .. } = *begin;
        self.open.insert(begin.batch, OpenBatch { seq, generation, query, references, windows });
        Ok(())
    }

    fn apply_commit(&mut self, seq: Seq, commit: &Commit) -> Check {
        let mut open = self.end_batch(commit.batch)?;
        for committed in &commit.windows {
            let begun = open.windows.remove(&committed.start);
            let is_as_begun = begun.is_some_and(|(window, was_in_doubt)| {
                if committed.unchanged {
                    !was_in_doubt && self.holds(committed)
                } else {
                    announces(&window, committed) && committed.restores.is_none()
                }
            });
            rule(is_as_begun, Invariant::Cm2, || {
                format!("it publishes the window at {} otherwise than begun", committed.start)
            })?;
            let adds_up = committed.rows.closes() && committed.balance.adds_up_to(&committed.rows);
            rule(adds_up, Invariant::In2, || {
                format!("rows of the window at {} do not add up", committed.start)
            })?;
            let (published, earlier) = self.succession(seq, committed, &commit.lost);
            let window = WindowState {
                committed: committed.clone(),
                seq,
                published,
                earlier,
                begun: open.seq,
                generation: open.generation,
                query: open.query,
                references: open.references,
            };
            let is_new = !self.is_computed(committed.start);
            self.windows.commit(window, is_new);
            self.empty.remove(committed.start, committed.end);
            self.skipped.remove(committed.start, committed.end);
            self.stale.remove(&committed.start);
            self.in_doubt.remove(&committed.start);
            self.blank.remove(&committed.start);
            self.failed.remove(&committed.start);
        }
        self.check_lost(seq, commit)?;
        self.fail(&mut open, &commit.failed)?;
        for TimeRange { start, end } in &commit.empty {
            rule(start < end, Invariant::Wi1, || {
                format!("an empty stretch ends at its start {start}")
            })?;
            let is_in_doubt = self.in_doubt.range(*start..*end).next().is_some();
            rule(!is_in_doubt && !self.has_computed_in(*start, *end), Invariant::Cm2, || {
                format!("the empty stretch from {start} holds a window that has an object")
            })?;
            self.skipped.remove(*start, *end);
            self.empty.insert(*start, *end);
            self.forget_marks(*start, *end);
        }
        self.move_watermark(commit.watermark)
    }

    fn apply_failed(&mut self, failed: &Failed) -> Check {
        let mut open = match failed.batch {
            Some(batch) => self.end_batch(batch)?,
            None => OpenBatch {
                seq: self.head.seq,
                generation: self.generation,
                query: self.head.seq,
                references: None,
                windows: BTreeMap::new(),
            },
        };
        if failed.batch.is_none() {
            for window in &failed.windows {
                self.failed.insert(window.start, window.clone());
            }
            return Ok(());
        }
        self.fail(&mut open, &failed.windows)
    }

    /// Takes failed windows out of their batch. Their objects were not touched by it, so only a
    /// doubt from before it remains. Of those that were stopped, nothing else is noted.
    fn fail(&mut self, open: &mut OpenBatch, failed: &[FailedWindow]) -> Check {
        for window in failed {
            let begun = open.windows.remove(&window.start);
            rule(begun.is_some(), Invariant::Cm2, || {
                format!("the window at {} was not begun", window.start)
            })?;
            if let Some((_, false)) = begun {
                self.in_doubt.remove(&window.start);
            }
            if !window.is_stopped() {
                self.failed.insert(window.start, window.clone());
            }
        }
        Ok(())
    }

    fn apply_skip(&mut self, skip: &Skip) -> Check {
        let TimeRange { start, end } = skip.range;
        rule(start < end, Invariant::Wi1, || {
            format!("a skipped stretch ends at its start {start}")
        })?;
        rule(!self.has_computed_in(start, end), Invariant::Cm2, || {
            format!("it skips a computed window between {start} and {end}")
        })?;
        self.empty.remove(start, end);
        self.skipped.insert(start, end);
        self.forget_marks(start, end);
        self.move_watermark(skip.watermark)
    }

    /// What was due in a stretch of windows that is now committed as a whole.
    fn forget_marks(&mut self, start: EventTime, end: EventTime) {
        let inside = |at: &EventTime| start <= *at && *at < end;
        self.stale.retain(|at, _| !inside(at));
        self.failed.retain(|at, _| !inside(at));
    }

    fn end_batch(&mut self, batch: BatchId) -> Result<OpenBatch, (Invariant, String)> {
        let unknown = || (Invariant::Cm3, format!("batch {batch} is not open"));
        self.open.remove(&batch).ok_or_else(unknown)
    }

    fn move_watermark(&mut self, moved: Option<WatermarkMove>) -> Check {
        let Some(WatermarkMove { from, to }) = moved else { return Ok(()) };
        rule(self.watermark.is_none_or(|at| at == from) && from <= to, Invariant::Wm1, || {
            format!(
                "it moves the watermark from {from} to {to}, but it stands at {:?}",
                self.watermark
            )
        })?;
        let end = self.contiguous_end(from);
        rule(to <= end, Invariant::Wm2, || {
            format!("it moves the watermark to {to}, but only windows up to {end} are committed")
        })?;
        self.watermark = Some(to);
        Ok(())
    }
}

impl State {
    /// Whether `committed` has the revision and the objects that were committed last.
    fn holds(&self, committed: &CommittedWindow) -> bool {
        self.windows.get(&committed.start).is_some_and(|window| {
            let before = &window.committed;
            before.end == committed.end
                && before.rev == committed.rev
                && before.outputs == committed.outputs
        })
    }
}

/// Whether `committed` is what `begun` announced: same window, revision and objects.
fn announces(begun: &BatchWindow, committed: &CommittedWindow) -> bool {
    let is_published = |out: &&BatchOutput| {
        !out.optional || committed.outputs.iter().any(|published| published.att == out.att)
    };
    let announced = begun.outputs.iter().filter(is_published);
    let announced = announced.map(|out| (&out.name, &out.path, out.att));
    let published = committed.outputs.iter().map(|out| (&out.name, &out.path, out.att));
    begun.end == committed.end && begun.rev == committed.rev && announced.eq(published)
}
