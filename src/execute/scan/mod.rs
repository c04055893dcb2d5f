//! The shared scan: each file that a plan needs is read once, its rows are handed to the cells they
//! lie in, and a window is computed as soon as no unread file has a row that matters to it.
//!
//! ```text
//!  files, in the order of work      cells                      windows, in the order of work
//!  ─────────────────────────►  rows_by_cell  ──► Held ──► gather ──► judge ──► query ──► staged
//!       decoded in units                     (or spilled)
//! ```
//!
//! Reading and computing run on the engine's threads, a bounded number of tasks at once; this
//! module only says which is next. It works ahead of those who publish: [`Desk::open`] says which
//! windows it may compute, [`Desk::compute`] waits for them.

mod file;
mod gather;
mod held;
mod piece;
mod schedule;
mod spill;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

pub(super) use file::{FileScan, Input, Unit};
pub(super) use piece::Piece;

use super::table::{AddedColumn, added_columns};
use super::window::{WindowTask, failed};
use super::{Executor, Prepared};
use crate::commit::{Batch, ComputedWindow};
use crate::error::{Code, Error, Result};
use crate::ledger::FileId;
use crate::plan::DueWindow;
use crate::source::{caught, panicked};
use crate::spec::PipelineSpec;
use crate::state::{BatchWindow, FailedWindow};
use crate::time::EventTime;
use held::Held;
use schedule::{Schedule, Wanted};

/// The most files, or units of files, that are being read at once.
const READS_MAX: usize = 4;

type Computed = Result<ComputedWindow, FailedWindow>;

/// A window that may be computed, and who waits for it.
type Order = (BatchWindow, oneshot::Sender<Computed>);

/// Where windows are ordered and fetched.
#[derive(Debug)]
pub struct Desk {
    orders: mpsc::UnboundedSender<Order>,
    ordered: Mutex<BTreeMap<EventTime, oneshot::Receiver<Computed>>>,
}

impl Desk {
    /// Lets `windows` be computed from now on.
    pub fn open(&self, windows: &[BatchWindow]) {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        for window in windows {
            let (answer, receiver) = oneshot::channel();
            ordered.insert(window.start, receiver);
            // Where nobody computes any more, the answer is dropped with the order.
            let _ = self.orders.send((window.clone(), answer));
        }
    }

    /// A result for each window of `batch`, in its order; what was not opened is opened now. What
    /// is not computed once `stopped` is over is [`FailedWindow::stopped`].
    pub async fn compute(
        &self,
        batch: &Batch,
        stopped: impl Future<Output = ()> + Send,
    ) -> Vec<Computed> {
        let mut results: Vec<Computed> = Vec::with_capacity(batch.windows.len());
        tokio::pin!(stopped);
        let mut is_over = false;
        for window in &batch.windows {
            let mut taken = self.take(window);
            if !is_over {
                tokio::select! {
                    biased;
                    computed = &mut taken => {
                        results.push(computed.unwrap_or_else(|_| Err(nobody_left(window))));
                        continue;
                    }
                    () = &mut stopped => is_over = true,
                }
            }
            // What is computed by now is not thrown away.
            let stop = || Err(FailedWindow::stopped(window.start, window.end));
            results.push(taken.try_recv().unwrap_or_else(|_| stop()));
        }
        results
    }

    fn take(&self, window: &BatchWindow) -> oneshot::Receiver<Computed> {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = ordered.remove(&window.start) {
            return receiver;
        }
        let (answer, receiver) = oneshot::channel();
        let _ = self.orders.send((window.clone(), answer));
        receiver
    }
}

fn nobody_left(window: &BatchWindow) -> FailedWindow {
    failed(window, &Error::new(Code::Bug, "nobody is left to compute the window"))
}

/// Reads files and computes windows, until nobody orders any more.
pub struct Scan<'a> {
    executor: &'a Executor<'a>,
    spec: Arc<PipelineSpec>,
    prepared: Arc<Prepared>,
    schedule: Schedule,
    held: Arc<Held>,
    /// The columns of each table that are not in its files.
    added: BTreeMap<String, Arc<[AddedColumn]>>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// By place: what is to be computed, and who waits for it.
    ordered: BTreeMap<usize, Order>,
    /// Files that were opened, and not read to their end, by place.
    reading: BTreeMap<usize, Reading>,
    tasks: JoinSet<Done>,
    computing: usize,
    /// Windows that found no memory beside others, by place: each is computed once more, alone.
    crowded: BTreeSet<usize>,
    /// Whether the window that is being computed has the memory to itself.
    is_alone: bool,
    reads: usize,
}

/// A file that is being read.
struct Reading {
    wanted: Wanted,
    file: Arc<FileScan>,
    /// The units that were not begun.
    units: Vec<Unit>,
    /// How many are being read.
    under_way: usize,
    counts: Result<Vec<u64>>,
}

/// What a task has done.
enum Done {
    /// A file was opened.
    Opened(usize, Wanted, Result<Arc<FileScan>>),
    /// A unit of a file was read.
    Read(usize, Result<Vec<u64>>),
    /// A window was computed.
    Computed(usize, Box<Computed>),
    /// A window did not fit beside others.
    Crowded(usize),
}

impl<'a> Scan<'a> {
    /// A scan for `windows`, which are in the order of work, and the desk where they are ordered.
    pub fn new(
        executor: &'a Executor<'a>,
        prepared: Arc<Prepared>,
        windows: impl IntoIterator<Item = DueWindow>,
    ) -> (Self, Desk) {
        let schedule = Schedule::new(executor.spec, executor.ledger, windows);
        let held = Arc::new(Held::new(executor.engine, schedule.cells_by_window()));
        let (sender, orders) = mpsc::unbounded_channel();
        let scan = Self {
            executor,
            spec: Arc::new(executor.spec.clone()),
            prepared,
            schedule,
            held,
            added: executor.added_by_table(),
            orders,
            ordered: BTreeMap::new(),
            reading: BTreeMap::new(),
            tasks: JoinSet::new(),
            computing: 0,
            crowded: BTreeSet::new(),
            is_alone: false,
            reads: 0,
        };
        (scan, Desk { orders: sender, ordered: Mutex::default() })
    }

    /// Reads and computes what is ordered. It ends when the desk is gone, and all its tasks with
    /// it.
    pub async fn run(mut self) {
        loop {
            self.begin();
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.done(done),
                    // A task catches its own panics.
                    Err(_) => return,
                },
                order = self.orders.recv() => match order {
                    Some(order) => self.order(order),
                    None => return,
                },
            }
        }
    }

    fn order(&mut self, (window, answer): Order) {
        if let Some(place) = self.schedule.want(window.start) {
            self.ordered.insert(place, (window, answer));
        } else {
            let bug = Error::new(Code::Bug, "a batch has a window that was not planned");
            // Who does not wait any more does not want to know.
            let _ = answer.send(Err(failed(&window, &bug)));
        }
    }

    /// Begins what there is room for: complete windows first, for they free memory.
    fn begin(&mut self) {
        let jobs = self.executor.engine.jobs();
        while self.computing == 0
            && let Some(place) = self.crowded.pop_first()
        {
            self.begin_window(place, None, true);
        }
        while self.crowded.is_empty() && !self.is_alone && self.computing < jobs {
            let Some((place, wrong)) = self.schedule.next_window() else { break };
            self.begin_window(place, wrong, jobs == 1);
        }
        while self.reads < READS_MAX && self.schedule.complete() < jobs {
            let begun = self.begin_unit() || self.begin_file();
            if !begun {
                break;
            }
        }
    }

    /// Begins to compute the window at `place`. Where it is not alone, and does not fit, it is
    /// computed once more: what is published must not depend on what else is computed.
    fn begin_window(&mut self, place: usize, wrong: Option<Error>, is_alone: bool) {
        let Some((begun, answer)) = self.ordered.get(&place) else { return };
        if answer.is_closed() {
            self.held.release(place, self.schedule.cells(place));
            self.ordered.remove(&place);
            return;
        }
        let Some(due) = self.schedule.due(place).cloned() else { return };
        let begun = begun.clone();
        self.computing = self.computing.saturating_add(1);
        self.is_alone = is_alone;
        let cells = self.schedule.cells(place).to_vec();
        let (held, prepared) = (self.held.clone(), self.prepared.clone());
        let task = WindowTask::new(self.executor, self.spec.clone(), begun.clone(), due);
        let staged = task.staged();
        let work = async move {
            let computed = caught(async {
                if let Some(why) = wrong {
                    return Err(why);
                }
                let mut rows = held.rows(&cells).await?;
                task.run(&prepared, rows.take_in_order()?).await
            });
            let panicked = || {
                Err(Error::new(Code::SqlFailed, "the query panicked")
                    .note("its previous output, if any, stands; other windows are not touched"))
            };
            let computed = computed.await.unwrap_or_else(panicked);
            let is_too_large = |why: &Error| why.code() == Code::WindowTooLarge;
            if !is_alone && computed.as_ref().is_err_and(is_too_large) {
                // Best effort: what was staged is in the way of what will be.
                for path in &staged {
                    let _ = std::fs::remove_file(path);
                }
                return Done::Crowded(place);
            }
            held.release(place, &cells);
            Done::Computed(place, Box::new(computed.map_err(|why| failed(&begun, &why))))
        };
        self.tasks.spawn_on(work, &self.executor.engine.handle());
    }

    /// Begins to read the next unit of a file that is open.
    fn begin_unit(&mut self) -> bool {
        let mut open = self.reading.iter_mut();
        let Some((place, reading)) = open.find(|(_, reading)| !reading.units.is_empty()) else {
            return false;
        };
        let Some(unit) = reading.units.pop() else { return false };
        reading.under_way = reading.under_way.saturating_add(1);
        self.reads = self.reads.saturating_add(1);
        let (place, file, held) = (*place, reading.file.clone(), self.held.clone());
        let (table, cells) = (reading.wanted.id.table.clone(), reading.wanted.cells.clone());
        let ids: Vec<_> = cells.iter().map(|cell| (table.clone(), cell.start())).collect();
        let work = async move {
            let give = |cell: usize, piece| match ids.get(cell) {
                Some(id) => held.add(id, piece),
                None => Ok(()),
            };
            let counts = caught(file.read(&unit, &cells, give)).await;
            Done::Read(place, counts.unwrap_or_else(|| Err(panicked(&file.name()))))
        };
        self.tasks.spawn_on(work, &self.executor.engine.handle());
        true
    }

    /// Begins to open the next file.
    fn begin_file(&mut self) -> bool {
        let Some((place, wanted)) = self.schedule.next_file() else { return false };
        self.reads = self.reads.saturating_add(1);
        let facts = self.executor.input(&wanted.id).and_then(|input| {
            let schema = self.prepared.columns(&wanted.id.table).cloned();
            let bug = || Error::new(Code::Bug, format!("{} has no columns", wanted.id.table));
            Ok((input, schema.ok_or_else(bug)?))
        });
        let added = self.added.get(&wanted.id.table).cloned();
        let work = async move {
            let opened = async {
                let (input, schema) = facts?;
                let added = added.as_deref().unwrap_or_default();
                let opened = caught(FileScan::open(&input, &schema, added)).await;
                opened.unwrap_or_else(|| Err(panicked(&input.name())))
            };
            let opened = opened.await.map(Arc::new);
            Done::Opened(place, wanted, opened)
        };
        self.tasks.spawn_on(work, &self.executor.engine.handle());
        true
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Opened(place, _, Err(why)) => {
                self.reads = self.reads.saturating_sub(1);
                self.schedule.read(place, "", &Err(why));
            }
            Done::Opened(place, wanted, Ok(file)) => {
                self.reads = self.reads.saturating_sub(1);
                let mut units = file.units(&wanted.cells);
                units.reverse();
                let counts = Ok(vec![0; wanted.cells.len()]);
                let reading = Reading { wanted, file, units, under_way: 0, counts };
                self.reading.insert(place, reading);
                self.end_file(place);
            }
            Done::Read(place, counts) => {
                self.reads = self.reads.saturating_sub(1);
                if let Some(reading) = self.reading.get_mut(&place) {
                    reading.under_way = reading.under_way.saturating_sub(1);
                    reading.add(counts);
                }
                self.end_file(place);
            }
            Done::Crowded(place) => {
                self.computing = self.computing.saturating_sub(1);
                self.crowded.insert(place);
            }
            Done::Computed(place, computed) => {
                self.computing = self.computing.saturating_sub(1);
                self.is_alone = false;
                if let Some((_, answer)) = self.ordered.remove(&place) {
                    // Who does not wait any more does not want to know.
                    let _ = answer.send(*computed);
                }
            }
        }
    }

    /// Tells the schedule of the file at `place`, if nothing of it is left to read.
    fn end_file(&mut self, place: usize) {
        let is_over = |reading: &Reading| reading.units.is_empty() && reading.under_way == 0;
        if self.reading.get(&place).is_some_and(is_over)
            && let Some(reading) = self.reading.remove(&place)
        {
            self.schedule.read(place, &reading.file.name(), &reading.counts);
        }
    }
}

impl Reading {
    /// A unit was read. What fails ends the file.
    fn add(&mut self, counts: Result<Vec<u64>>) {
        match (&mut self.counts, counts) {
            (Ok(sums), Ok(counts)) => {
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum = sum.saturating_add(count);
                }
            }
            (Ok(_), Err(why)) => {
                self.units.clear();
                self.counts = Err(why);
            }
            (Err(_), _) => {}
        }
    }
}

impl Executor<'_> {
    /// The columns of each table that are not in its files.
    fn added_by_table(&self) -> BTreeMap<String, Arc<[AddedColumn]>> {
        let sources = self.spec.sources.iter();
        sources.map(|source| (source.table.clone(), self.added(&source.table).into())).collect()
    }

    /// The columns of `table` that are not in its files.
    pub(super) fn added(&self, table: &str) -> Vec<AddedColumn> {
        let Some(source) = self.spec.source(table) else { return Vec::new() };
        added_columns(source, self.listed.keys(table))
    }

    /// The rows that matter to `due`, by table, in their order; nothing is computed from them.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what was admitted.
    pub(super) async fn rows_of(&self, due: &DueWindow) -> Result<BTreeMap<String, Vec<Piece>>> {
        let mut schedule = Schedule::new(self.spec, self.ledger, [due.clone()]);
        let held = Held::new(self.engine, schedule.cells_by_window());
        schedule.want(due.window.start());
        while let Some((place, wanted)) = schedule.next_file() {
            let FileId { table, .. } = &wanted.id;
            let schema = self.prepared.as_ref().and_then(|prepared| prepared.columns(table));
            let bug = || Error::new(Code::Bug, format!("{table} has no columns"));
            let (input, schema) = (self.input(&wanted.id)?, schema.ok_or_else(bug)?);
            let read = async {
                let file = FileScan::open(&input, schema, &self.added(table)).await?;
                let mut sums = vec![0_u64; wanted.cells.len()];
                let give = |cell: usize, piece| match wanted.cells.get(cell) {
                    Some(cell) => held.add(&(table.clone(), cell.start()), piece),
                    None => Ok(()),
                };
                for unit in file.units(&wanted.cells) {
                    let counts = file.read(&unit, &wanted.cells, give).await?;
                    for (sum, count) in sums.iter_mut().zip(counts) {
                        *sum = sum.saturating_add(count);
                    }
                }
                Ok(sums)
            };
            let counts = caught(read).await.unwrap_or_else(|| Err(panicked(&input.name())));
            schedule.read(place, &input.name(), &counts);
        }
        match schedule.next_window() {
            Some((_, Some(why))) => Err(why),
            Some((place, None)) => held.rows(schedule.cells(place)).await?.take_in_order(),
            None => Err(Error::new(Code::Bug, "a window is not complete")),
        }
    }
}

impl held::Rows {
    /// The rows of each table, in their order. The claim on memory stays.
    fn take_in_order(&mut self) -> Result<BTreeMap<String, Vec<Piece>>> {
        let tables = std::mem::take(&mut self.tables).into_iter();
        tables.map(|(table, pieces)| Ok((table, gather::in_order(pieces)?))).collect()
    }
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("schedule", &self.schedule).finish_non_exhaustive()
    }
}
