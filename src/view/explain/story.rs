//! What the log says of one window.

use std::collections::BTreeMap;

use crate::id::{BatchId, Generation, RunId, Seq};
use crate::state::{
    Body, Columns, ColumnsFile, CommittedWindow, Entry, FailedWindow, Reason, Retire, RetirePhase,
    TimeRange,
};
use crate::time::ProcessingTime;
use crate::window::Window;

/// Something that the log says of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowEvent {
    /// The entry.
    pub seq: Seq,
    /// When, by its writer's clock.
    pub at: ProcessingTime,
    /// The run that wrote it.
    pub run: RunId,
    /// What happened.
    pub what: EventKind,
    /// How columns changed that no window had been committed with before.
    pub columns: Vec<ColumnChange>,
}

/// A column that is another one than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnChange {
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Its type; `None` if it is no more.
    pub kind: Option<String>,
    /// What type it had; `None` if there was none of its name.
    pub was: Option<String>,
    /// The file that it came with, or that took it away.
    pub file: String,
}

/// What happened to a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was computed and committed.
    Committed(Box<CommittedWindow>),
    /// It was committed as empty, in this stretch.
    Empty(TimeRange),
    /// It was committed as skipped, for a reason in the operator's words.
    Skipped(String),
    /// It could not be computed.
    Failed(FailedWindow),
}

impl EventKind {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Committed(_) => "committed",
            Self::Empty(_) => "empty",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
        }
    }
}

/// What the log says of one window; takes in entry after entry, from the first.
#[derive(Clone, Debug)]
pub struct WindowStory {
    window: Window,
    /// What batches that were begun were planned from.
    begun: BTreeMap<BatchId, Generation>,
    generation: Generation,
    committed_from: Option<Generation>,
    /// The columns of tables.
    columns: BTreeMap<String, Columns>,
    /// How they changed since windows were committed.
    changes: Vec<ColumnChange>,
    events: Vec<WindowEvent>,
}

impl WindowStory {
    /// The story of `window` before the first entry.
    #[must_use]
    pub fn of(window: Window) -> Self {
        Self {
            window,
            begun: BTreeMap::new(),
            generation: Generation(0),
            committed_from: None,
            columns: BTreeMap::new(),
            changes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The window.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// The admission that its last commit was planned from; `None` if it was never committed.
    #[must_use]
    pub fn committed_from(&self) -> Option<Generation> {
        self.committed_from
    }

    /// What happened so far, oldest first.
    #[must_use]
    pub fn events(&self) -> &[WindowEvent] {
        &self.events
    }

    /// Takes in the next entry.
    pub fn take(&mut self, entry: &Entry) {
        let start = self.window.start();
        let holds = |range: &TimeRange| range.start <= start && start < range.end;
        match &entry.body {
            Body::Inputs(inputs) => self.generation = inputs.generation,
            Body::Columns(columns) => self.change(columns),
            Body::Retire(Retire { phase: RetirePhase::Done, output: None, .. }) => {
                self.columns.clear();
            }
            Body::Begin(begin) => drop(self.begun.insert(begin.batch, begin.generation)),
            Body::Commit(commit) | Body::Rollback(commit) => {
                let from = self.begun.remove(&commit.batch).unwrap_or(self.generation);
                let mine = commit.windows.iter().find(|window| window.start == start);
                if let Some(window) = mine {
                    let what = EventKind::Committed(Box::new(window.clone()));
                    // What stands again as it was acknowledges nothing that came since.
                    if window.restores.is_some() && window.reason == Reason::InDoubt {
                        self.add(entry, what);
                    } else {
                        self.commit(entry, from, what);
                    }
                }
                if let Some(range) = commit.empty.iter().find(|range| holds(range)) {
                    self.commit(entry, from, EventKind::Empty(*range));
                }
                self.fail(entry, &commit.failed);
                if !commit.windows.is_empty() {
                    self.changes.clear();
                }
            }
            Body::Failed(failed) => {
                failed.batch.map(|batch| self.begun.remove(&batch));
                self.fail(entry, &failed.windows);
            }
            Body::Abort { batch, .. } => drop(self.begun.remove(batch)),
            Body::Skip(skip) if holds(&skip.range) => {
                self.commit(entry, self.generation, EventKind::Skipped(skip.why.clone()));
            }
            _ => {}
        }
    }

    /// Notes how `columns` differ from what they were; the first ones change nothing.
    fn change(&mut self, columns: &Columns) {
        if let Some(before) = self.columns.insert(columns.table.clone(), columns.clone()) {
            self.changes.extend(changes(&before, columns));
        }
    }

    fn commit(&mut self, entry: &Entry, from: Generation, what: EventKind) {
        self.committed_from = Some(from);
        self.add(entry, what);
    }

    fn fail(&mut self, entry: &Entry, failed: &[FailedWindow]) {
        let mut failed = failed.iter().filter(|failed| !failed.is_stopped());
        if let Some(failed) = failed.find(|failed| failed.start == self.window.start()) {
            self.add(entry, EventKind::Failed(failed.clone()));
        }
    }

    fn add(&mut self, entry: &Entry, what: EventKind) {
        let columns = match &what {
            EventKind::Committed(_) => self.changes.clone(),
            _ => Vec::new(),
        };
        let (seq, at, run) = (entry.n, entry.ts, entry.run);
        self.events.push(WindowEvent { seq, at, run, what, columns });
    }
}

/// The columns that are others in `now` than in `before`.
fn changes(before: &Columns, now: &Columns) -> Vec<ColumnChange> {
    let table = &now.table;
    let key = |file: Option<&ColumnsFile>| file.map(|file| file.key.clone()).unwrap_or_default();
    let others = now.columns.iter().filter_map(|column| {
        let was = before.column(&column.name).map(|was| was.kind.clone());
        (was.as_ref() != Some(&column.kind)).then(|| ColumnChange {
            table: table.clone(),
            column: column.name.clone(),
            kind: Some(column.kind.clone()),
            was,
            file: key(now.file_of(column)),
        })
    });
    let gone = before.columns.iter().filter(|column| now.column(&column.name).is_none());
    let gone = gone.map(|column| ColumnChange {
        table: table.clone(),
        column: column.name.clone(),
        kind: None,
        was: Some(column.kind.clone()),
        file: key(now.files.first()),
    });
    others.chain(gone).collect()
}
