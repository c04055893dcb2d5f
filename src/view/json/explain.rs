//! The document of `explain`.

use serde::Serialize;

use super::history::{OutputDoc, output};
use super::{ErrorDoc, SCHEMA};
use crate::id::{Generation, PipelineName, Revision, RunId, Seq};
use crate::spec::PipelineSpec;
use crate::state::{Balance, CheckCount, Reason, RowCounts};
use crate::time::{EventTime, ProcessingTime};
use crate::view::{
    ColumnChange, EventKind, ExplainView, InputView, LeftOut, Mistake, SourceStanding, WindowEvent,
};

/// What `explain` says.
#[derive(Debug, Serialize)]
pub struct ExplainDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Which window.
    pub window: WindowDoc,
    /// `in_doubt`, `failed`, `held`, `stale`, `pending`, `committed`, `empty`, `skipped`,
    /// `before_begin` or `open`.
    pub state: &'static str,
    /// Whether it is due now.
    pub due: bool,
    /// Why it is due; `null` if it is not.
    pub reason: Option<Reason>,
    /// Whether a run would commit it as empty.
    pub becomes_empty: bool,
    /// Rows that came since its last commit.
    pub late_rows: u64,
    /// Why a run would not take it up, in a sentence.
    pub why_not: Option<String>,
    /// Why it failed, or would be refused.
    pub error: Option<MistakeDoc>,
    /// The sources, and how far they have come.
    pub sources: Vec<SourceDoc>,
    /// The files with rows that it sees.
    pub inputs: Vec<InputDoc>,
    /// Rows of it that it does not get.
    pub left_out: Vec<LeftOutDoc>,
    /// What the inputs add up to.
    pub totals: TotalsDoc,
    /// Files without a row that it sees: not read.
    pub ruled_out: u64,
    /// What it was computed with, and is out of force.
    pub outdated: OutdatedDoc,
    /// What became of it, oldest first.
    pub revisions: Vec<EventDoc>,
    /// What became of its rows when it was computed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowCounts>,
    /// The same by rule and file, where not every row was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// Its objects, as they were published last.
    pub outputs: Vec<OutputDoc>,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// Which window.
#[derive(Debug, Serialize)]
pub struct WindowDoc {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// Its start in the pipeline's zone.
    pub local: String,
    /// The window in words for people who live there.
    pub label: String,
}

/// Why a window failed, or would be refused.
#[derive(Debug, Serialize)]
pub struct MistakeDoc {
    /// The code.
    pub code: String,
    /// The sentence.
    pub message: String,
    /// What gets further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How far a source has come.
#[derive(Debug, Serialize)]
pub struct SourceDoc {
    /// The table's name in SQL.
    pub table: String,
    /// The pipeline it reads from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<PipelineName>,
    /// Its watermark.
    pub watermark: Option<EventTime>,
    /// The newest event it ever brought.
    pub last_event_at: Option<EventTime>,
    /// What its watermark must reach for the window to close.
    pub needs: EventTime,
    /// Whether it has.
    pub reached: bool,
}

/// A file with rows that the window sees.
#[derive(Debug, Serialize)]
pub struct InputDoc {
    /// The table it is an input of.
    pub table: String,
    /// Its key relative to the source's path.
    pub key: String,
    /// The file as its user would write it.
    pub name: String,
    /// Its rows of the window.
    pub rows: u64,
    /// Its rows of the window's margins.
    pub margin: u64,
    /// When it arrived.
    pub arrived_at: ProcessingTime,
    /// The admission it came with; `null` if it was not admitted yet.
    pub generation: Option<Generation>,
    /// Whether it came after the window's last commit.
    pub after_commit: bool,
}

/// Rows of the window that it does not get.
#[derive(Debug, Serialize)]
pub struct LeftOutDoc {
    /// The table.
    pub table: String,
    /// The file's key relative to the source's path.
    pub key: String,
    /// The file as its user would write it.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    /// `expired`, `gone` or `held`.
    pub why: &'static str,
}

/// What the inputs of a window add up to.
#[derive(Debug, Serialize)]
pub struct TotalsDoc {
    /// Files.
    pub files: usize,
    /// Rows of the window.
    pub rows: u64,
    /// Rows of its margins.
    pub margin: u64,
}

/// What a window was computed with, and is out of force.
#[derive(Debug, Serialize)]
pub struct OutdatedDoc {
    /// Its query.
    pub query: bool,
    /// Its reference tables.
    pub references: bool,
}

/// Something that the log says of a window; fields that do not apply are absent.
#[derive(Debug, Serialize)]
pub struct EventDoc {
    /// `committed`, `empty`, `skipped` or `failed`.
    pub kind: &'static str,
    /// The entry.
    pub seq: Seq,
    /// When, by its writer's clock.
    pub at: ProcessingTime,
    /// The run that wrote it.
    pub run_id: RunId,
    /// How often it had been published then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Why it was computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Whether its rows were those published before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<bool>,
    /// The revision whose rows these are, if it was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restores: Option<Revision>,
    /// What became of its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowCounts>,
    /// What its checks found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckCount>,
    /// Why it was skipped, in the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<MistakeDoc>,
    /// How columns changed that no window had been committed with before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnDoc>,
}

/// A column that is another one than before.
#[derive(Debug, Serialize)]
pub struct ColumnDoc {
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Its type; `null` if it is no more.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What type it had; `null` if there was none of its name.
    pub was: Option<String>,
    /// The file that it came with, or that took it away.
    pub file: String,
}

/// The document form of an explanation.
#[must_use]
pub fn explain(spec: &PipelineSpec, view: &ExplainView) -> ExplainDoc {
    let balance = view.balance.as_ref().map(|(_, balance)| balance.clone());
    ExplainDoc {
        schema: SCHEMA,
        pipeline: spec.name.clone(),
        window: WindowDoc {
            start: view.window.start(),
            end: view.window.end(),
            local: spec.grid.local(view.window),
            label: spec.grid.label(view.window),
        },
        state: view.state.as_str(),
        due: view.due.is_some(),
        reason: view.due.as_ref().map(|due| due.reason),
        becomes_empty: view.becomes_empty,
        late_rows: view.due.as_ref().map_or(0, |due| due.late_rows),
        why_not: view.why_not.clone(),
        error: view.error.as_ref().map(mistake),
        sources: view.sources.iter().map(source).collect(),
        inputs: view.inputs.iter().map(input).collect(),
        left_out: view.left_out.iter().map(left_out).collect(),
        totals: TotalsDoc { files: view.inputs.len(), rows: view.rows, margin: view.margin },
        ruled_out: view.ruled_out,
        outdated: OutdatedDoc { query: view.outdated_query, references: view.outdated_references },
        revisions: view.events.iter().map(event).collect(),
        rows: view.balance.as_ref().map(|(rows, _)| *rows),
        balance: balance.filter(|balance| !balance.is_empty()),
        outputs: view.outputs.iter().map(output).collect(),
        notes: view.notes.clone(),
        errors: Vec::new(),
    }
}

fn mistake(mistake: &Mistake) -> MistakeDoc {
    let Mistake { code, message, hint } = mistake.clone();
    MistakeDoc { code, message, hint }
}

fn source(source: &SourceStanding) -> SourceDoc {
    SourceDoc {
        table: source.table.clone(),
        upstream: source.upstream.clone(),
        watermark: source.watermark,
        last_event_at: source.last_event_at,
        needs: source.needs,
        reached: source.has_come(),
    }
}

fn input(input: &InputView) -> InputDoc {
    InputDoc {
        table: input.file.table.clone(),
        key: input.file.key.clone(),
        name: input.name.clone(),
        rows: input.rows,
        margin: input.margin,
        arrived_at: input.arrived_at,
        generation: input.is_admitted.then_some(input.generation),
        after_commit: input.is_new,
    }
}

fn left_out(left: &LeftOut) -> LeftOutDoc {
    LeftOutDoc {
        table: left.file.table.clone(),
        key: left.file.key.clone(),
        name: left.name.clone(),
        rows: left.rows,
        why: left.why.as_str(),
    }
}

fn column(change: &ColumnChange) -> ColumnDoc {
    let ColumnChange { table, column, kind, was, file } = change.clone();
    ColumnDoc { table, column, kind, was, file }
}

fn event(event: &WindowEvent) -> EventDoc {
    let mut document = EventDoc {
        kind: event.what.as_str(),
        seq: event.seq,
        at: event.at,
        run_id: event.run,
        revision: None,
        reason: None,
        unchanged: None,
        restores: None,
        rows: None,
        checks: Vec::new(),
        why: None,
        error: None,
        columns: event.columns.iter().map(column).collect(),
    };
    match &event.what {
        EventKind::Committed(window) => {
            document.revision = Some(window.rev);
            document.reason = Some(window.reason);
            document.unchanged = Some(window.unchanged);
            document.restores = window.restores;
            document.rows = Some(window.rows);
            document.checks.clone_from(&window.checks);
        }
        EventKind::Empty(_) => {}
        EventKind::Skipped(why) => document.why = Some(why.clone()),
        EventKind::Failed(failed) => {
            let (code, message) = (failed.code.clone(), failed.message.clone());
            document.error = Some(MistakeDoc { code, message, hint: None });
        }
    }
    document
}
