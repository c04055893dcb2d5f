//! The machine interface: one document per command, in the shape that DESIGN §9 publishes.
//!
//! Fields are only ever added. Instants are RFC 3339 in UTC. `docs/json.md` lists all of it.

mod check;
mod explain;
mod history;
mod lateness;
mod lease;
mod manifest;
mod plan;
mod quarantine;
mod requests;
mod retire;
mod run;
mod status;
mod trace;
mod vacuum;
mod verify;

use serde::Serialize;

pub use check::CheckDoc;
pub use explain::{
    EventDoc, ExplainDoc, InputDoc, LeftOutDoc, MistakeDoc, OutdatedDoc, SourceDoc, TotalsDoc,
    WindowDoc, explain,
};
pub use history::{
    CommitDoc, CommitWindowDoc, HistoryDoc, LostDoc, OutputDoc, SkipDoc, committed, lost,
};
pub use lateness::{
    AllowedLatenessDoc, DelayClassDoc, DelayDoc, LateDoc, LatenessDoc, LookbackDoc,
    SkippedSourceDoc, SourceLatenessDoc, lateness,
};
pub use lease::{HolderDoc, LeaseDoc, LeaseLineDoc, lease};
pub use manifest::{ManifestDoc, RestoreDoc, RollbackDoc, manifest, rollback};
pub use plan::{DueDoc, PlanDoc, PlanPipelineDoc, SkipPlanDoc, plan, skip};
pub use quarantine::{
    InDoubtDoc, QuarantineDoc, QuarantineGroupDoc, QuarantinePipelineDoc, QuarantineRowsDoc,
    QuarantinedDoc, QuarantinedRowDoc, quarantine, quarantined,
};
pub use requests::{RequestDoc, RequestsDoc, request};
pub use retire::{RetireDoc, StandingDoc, retire};
pub use run::{FailureDoc, RunDoc, RunPipelineDoc, run};
pub use status::{LastRunDoc, OrphanDoc, StatusDoc, StatusPipelineDoc, orphan, status};
pub use trace::{OriginalDoc, TraceDoc, TracedCommitDoc, TracedRowDoc, UnreadDoc, trace};
pub use vacuum::{GarbageDoc, VacuumDoc, VacuumPipelineDoc, WaitingDoc, vacuum};
pub use verify::{CheckedDoc, ProblemDoc, RecomputedDoc, VerifyDoc, verify};

use crate::error::Error;

/// The version of every document.
pub const SCHEMA: u32 = 1;

/// One thing that went wrong.
#[derive(Debug, Serialize)]
pub struct ErrorDoc {
    /// Its code.
    pub code: String,
    /// Its sentence.
    pub message: String,
    /// What gets further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What else is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where in the user's text: file, line and column, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<PlaceDoc>,
}

/// A place in a text of the user.
#[derive(Debug, Serialize)]
pub struct PlaceDoc {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// The document form of `error`.
#[must_use]
pub fn error(error: &Error) -> ErrorDoc {
    let at = error.excerpt().map(|excerpt| {
        let before = excerpt.text.get(..excerpt.span.start).unwrap_or(&excerpt.text);
        let line_start = before.rfind('\n').map_or(0, |end| end.saturating_add(1));
        PlaceDoc {
            file: excerpt.origin.clone(),
            line: before.matches('\n').count().saturating_add(1),
            column: before[line_start..].chars().count().saturating_add(1),
        }
    });
    ErrorDoc {
        code: error.code().to_string(),
        message: error.message().to_owned(),
        hint: error.hints().first().cloned(),
        notes: error.notes().to_vec(),
        at,
    }
}

/// The document of a command that could not begin.
#[derive(Debug, Serialize)]
pub struct RefusalDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The exit code.
    pub exit_code: u8,
    /// Why.
    pub errors: Vec<ErrorDoc>,
}
