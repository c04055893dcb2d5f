//! Why one window is as it is: what it sees, what holds it or makes it due, and what became of it.
//!
//! It decides nothing and reads nothing: the plan says what is due, the log what was done.

mod standing;
mod story;
#[cfg(test)]
mod tests;

pub use standing::{SourceStanding, Standing};
pub use story::{ColumnChange, EventKind, WindowEvent, WindowStory};

use crate::error::Error;
use crate::id::Generation;
use crate::ledger::{Admitted, FileId, FileRecord};
use crate::plan::{DueWindow, Facts, Plan, Sight, WindowInput};
use crate::spec::PipelineSpec;
use crate::state::{Balance, CommittedOutput, Reason, RowCounts, TimeRange};
use crate::time::ProcessingTime;
use crate::window::Window;

/// What is known of one window.
#[derive(Clone, Debug)]
pub struct ExplainView {
    /// The window.
    pub window: Window,
    /// How it stands, in one word.
    pub state: Standing,
    /// Why it is due, and what it would be computed from; `None` if it is not due.
    pub due: Option<DueWindow>,
    /// Whether a run would commit it as empty, without computing anything.
    pub becomes_empty: bool,
    /// Why a run would not take it up now, in one sentence; `None` if it would, or if `error` says
    /// why not.
    pub why_not: Option<String>,
    /// Why it failed, or would be refused.
    pub error: Option<Mistake>,
    /// The sources, and how far they have come.
    pub sources: Vec<SourceStanding>,
    /// The files with rows that it sees, in the order of table and key.
    pub inputs: Vec<InputView>,
    /// Rows of it that it does not get, in the order of table and key.
    pub left_out: Vec<LeftOut>,
    /// Its rows.
    pub rows: u64,
    /// Rows of its margins.
    pub margin: u64,
    /// Files without a row that it sees: by their counts alone, they need not be read.
    pub ruled_out: u64,
    /// Whether it was computed with a query that asks something else than the one in force.
    pub outdated_query: bool,
    /// Whether it was computed with reference tables that hold something else now.
    pub outdated_references: bool,
    /// What became of it, oldest first.
    pub events: Vec<WindowEvent>,
    /// What became of its rows when it was computed last; `None` if it never was.
    pub balance: Option<(RowCounts, Balance)>,
    /// Its objects, as they were published last.
    pub outputs: Vec<CommittedOutput>,
    /// What else there is to know, a line each.
    pub notes: Vec<String>,
}

/// Why a window failed, or would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The code, e.g. `HW3006`.
    pub code: String,
    /// The sentence.
    pub message: String,
    /// What gets further.
    pub hint: Option<String>,
}

/// A file with rows that a window sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputView {
    /// The file.
    pub file: FileId,
    /// The file as its user would write it.
    pub name: String,
    /// Its rows of the window itself.
    pub rows: u64,
    /// Its rows of the window's margins.
    pub margin: u64,
    /// When it arrived.
    pub arrived_at: ProcessingTime,
    /// The admission it came with; the next one, if it was not admitted yet.
    pub generation: Generation,
    /// Whether it was admitted already.
    pub is_admitted: bool,
    /// Whether it came after the window's last commit.
    pub is_new: bool,
}

/// Rows of a window that it does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The file.
    pub file: FileId,
    /// The file as its user would write it.
    pub name: String,
    /// How many rows; where the file is not to be had, those of the margins too.
    pub rows: u64,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why a window does not get rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLeftOut {
    /// They came later than their source allows.
    Expired,
    /// Their file is not listed any more.
    Gone,
    /// Their file is not to be had now, but will be.
    Held,
}

impl WhyLeftOut {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Gone => "gone",
            Self::Held => "held",
        }
    }
}

/// What an explanation is made from.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a> {
    /// What is known, with everything of the listing admitted.
    pub facts: &'a Facts<'a>,
    /// What is due then.
    pub plan: &'a Plan,
    /// The window that is asked for.
    pub story: &'a WindowStory,
    /// The newest admission of the log; `None` if the pipeline never ran.
    pub logged: Option<Generation>,
    /// Listed files that could not be read, and why.
    pub unreadable: &'a [Error],
    /// Files that are left out because they cannot be read.
    pub left_out: &'a [Error],
}

/// Why the window is as it is.
#[must_use]
pub fn explain(asked: &Explained<'_>) -> ExplainView {
    let (facts, window) = (asked.facts, asked.window());
    let work = asked.work();
    let sources = asked.sources();
    let state = asked.standing(work.as_ref(), &sources);
    let computed = facts.state.windows.get(&window.start());
    let (inputs, left_out) = asked.inputs();
    ExplainView {
        window,
        state,
        why_not: asked.why_not(state, work.as_ref(), &sources, &left_out),
        error: asked.error(work.as_ref()),
        rows: inputs.iter().fold(0, |sum, input| sum.saturating_add(input.rows)),
        margin: inputs.iter().fold(0, |sum, input| sum.saturating_add(input.margin)),
        ruled_out: asked.ruled_out(&inputs, &left_out),
        outdated_query: asked.has_outdated_query(),
        outdated_references: asked.has_outdated_references(),
        events: asked.story.events().to_vec(),
        outputs: computed.map(|known| known.committed.outputs.clone()).unwrap_or_default(),
        balance: computed.map(|known| (known.committed.rows, known.committed.balance.clone())),
        notes: asked.notes(),
        becomes_empty: matches!(work, Some(Work::Empty(_))),
        due: work.map(|work| work.due().clone()),
        sources,
        inputs,
        left_out,
    }
}

/// What a run would do with a window that is due.
#[derive(Debug)]
enum Work<'a> {
    Compute(&'a DueWindow),
    Empty(Box<DueWindow>),
    Refuse(&'a DueWindow, &'a Error),
    Wait(&'a DueWindow),
    /// It has no row and needs some, as so many windows before it that are refused.
    Withhold(Box<DueWindow>),
}

impl Work<'_> {
    fn due(&self) -> &DueWindow {
        match self {
            Self::Compute(due) | Self::Refuse(due, _) | Self::Wait(due) => due,
            Self::Empty(due) | Self::Withhold(due) => due,
        }
    }
}

impl<'a> Explained<'a> {
    fn spec(&self) -> &'a PipelineSpec {
        self.facts.spec
    }

    fn window(&self) -> Window {
        self.story.window()
    }

    /// What a run would do with the window; `None` if it is not due.
    fn work(&self) -> Option<Work<'a>> {
        let (plan, window) = (self.plan, self.window());
        let is_it = |due: &&DueWindow| due.window == window;
        let holds = |range: &TimeRange| range.start <= window.start() && window.start() < range.end;
        let empty =
            || plan.empty.iter().any(holds).then(|| Work::Empty(Box::new(self.empty_due())));
        let withheld =
            || plan.withheld.iter().any(holds).then(|| Work::Withhold(Box::new(self.empty_due())));
        let refused = || {
            let (due, why) = plan.refused.iter().find(|(due, _)| due.window == window)?;
            Some(Work::Refuse(due, why))
        };
        plan.windows
            .iter()
            .find(is_it)
            .map(Work::Compute)
            .or_else(refused)
            .or_else(|| plan.held.iter().find(is_it).map(Work::Wait))
            .or_else(empty)
            .or_else(withheld)
    }

    /// The window as it is due where the plan only says that it would be committed as empty.
    fn empty_due(&self) -> DueWindow {
        let (state, window) = (self.facts.state, self.window());
        let start = window.start();
        let since = state.stale.get(&start);
        let reason = match since.map(|since| since.kind) {
            _ if state.failed.contains_key(&start) => Reason::FailedBefore,
            Some(kind) => kind.into(),
            None if state.skipped.contains(start) || self.is_before_begin() => Reason::Requested,
            None => Reason::New,
        };
        DueWindow {
            late_rows: since.map_or(0, |since| since.rows),
            late_files: since.map_or(0, |since| since.files),
            ..DueWindow::empty(window, reason)
        }
    }

    fn error(&self, work: Option<&Work<'_>>) -> Option<Mistake> {
        if let Some(Work::Refuse(_, why)) = work {
            let (code, message) = (why.code().to_string(), why.message().to_owned());
            return Some(Mistake { code, message, hint: why.hints().first().cloned() });
        }
        let failed = self.facts.state.failed.get(&self.window().start())?;
        let hint = super::hint(&failed.code).map(str::to_owned);
        Some(Mistake { code: failed.code.clone(), message: failed.message.clone(), hint })
    }

    /// The files with rows of the window, and what it does not get.
    fn inputs(&self) -> (Vec<InputView>, Vec<LeftOut>) {
        let (mut inputs, mut left_out) = (Vec::new(), Vec::new());
        for (record, input) in Sight::new(self.spec(), self.facts.ledger).inputs_of(self.window()) {
            let name = self.name_of(&input.file);
            let why = if self.facts.missing.contains(&input.file) {
                WhyLeftOut::Gone
            } else if self.facts.held.contains(&input.file) {
                WhyLeftOut::Held
            } else {
                inputs.push(self.input(record, input, name));
                continue;
            };
            left_out.push(LeftOut { name, rows: input.all(), file: input.file, why });
        }
        left_out.extend(self.expired());
        left_out.sort_by(|a, b| a.file.cmp(&b.file));
        (inputs, left_out)
    }

    fn input(&self, record: &FileRecord, input: WindowInput, name: String) -> InputView {
        let WindowInput { file, rows, margin } = input;
        let known = self.facts.ledger.file(&file);
        let generation = known.map_or(self.facts.state.generation, Admitted::came_with);
        InputView {
            file,
            name,
            rows,
            margin,
            arrived_at: record.arrived_at,
            generation,
            is_admitted: self.logged.is_some_and(|logged| generation <= logged),
            is_new: self.committed_from().is_some_and(|from| generation > from),
        }
    }

    /// Rows of the window itself that came too late for it.
    fn expired(&self) -> impl Iterator<Item = LeftOut> {
        self.facts.ledger.files().filter_map(|(id, Admitted { record, .. })| {
            let inside = record.expired.iter().filter(|(cell, _)| self.window().contains(*cell));
            let rows = inside.fold(0_u64, |sum, (_, rows)| sum.saturating_add(*rows));
            let name = self.name_of(id);
            (rows > 0).then(|| LeftOut { file: id.clone(), name, rows, why: WhyLeftOut::Expired })
        })
    }

    fn ruled_out(&self, inputs: &[InputView], left_out: &[LeftOut]) -> u64 {
        let files = self.facts.ledger.files().filter(|(_, known)| !known.record.removed);
        let others = files.filter(|(id, _)| {
            inputs.binary_search_by(|input| input.file.cmp(id)).is_err()
                && left_out.binary_search_by(|left| left.file.cmp(id)).is_err()
        });
        u64::try_from(others.count()).unwrap_or(u64::MAX)
    }

    /// The admission that the window's last commit was planned from.
    fn committed_from(&self) -> Option<Generation> {
        let computed = self.facts.state.windows.get(&self.window().start());
        let logged = self.story.committed_from();
        computed.map(|computed| computed.generation).or(logged)
    }

    /// The file as its user would write it.
    fn name_of(&self, id: &FileId) -> String {
        let source = self.spec().source(&id.table);
        source.map_or_else(|| id.key.clone(), |source| source.name_of(&id.key))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.logged.is_none() {
            notes.push("the pipeline never ran: this is what its first run would find".to_owned());
        }
        if !self.spec().enabled {
            notes
                .push("the pipeline is switched off (enabled = false): no run takes it".to_owned());
        }
        let held = |why: &Error| format!("no new window closes: {} {}", why.code(), why.message());
        notes.extend(self.unreadable.iter().map(held));
        let left_out = |why: &Error| format!("left out: {} {}", why.code(), why.message());
        notes.extend(self.left_out.iter().map(left_out));
        notes
    }
}
