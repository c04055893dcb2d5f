//! The document of `verify`.

use serde::Serialize;

use super::{ErrorDoc, SCHEMA, error};
use crate::error::Error;
use crate::id::PipelineName;
use crate::report::{Problem, Verified};
use crate::time::EventTime;

/// What `verify` says.
#[derive(Debug, Serialize)]
pub struct VerifyDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether everything is as the log says.
    pub ok: bool,
    /// What was looked at.
    pub checked: CheckedDoc,
    /// What is wrong.
    pub problems: Vec<ProblemDoc>,
    /// What went wrong while looking.
    pub errors: Vec<ErrorDoc>,
}

/// What was looked at.
#[derive(Debug, Default, Serialize)]
pub struct CheckedDoc {
    /// Computed windows.
    pub windows: u64,
    /// Objects.
    pub objects: u64,
    /// Log entries.
    pub entries: u64,
}

/// One thing that is not as the log says.
#[derive(Debug, Serialize)]
pub struct ProblemDoc {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The window's start.
    pub start: Option<EventTime>,
    /// The window's end.
    pub end: Option<EventTime>,
    /// `missing`, `size`, `sha256`, `rows`, `in_doubt` or `unknown`.
    pub kind: &'static str,
    /// The object.
    pub path: String,
    /// The difference in words.
    pub message: String,
}

/// The document form of what `verify` found in several pipelines.
#[must_use]
pub fn verify(found: &[Verified], errors: &[Error]) -> VerifyDoc {
    let problem = |problem: &Problem| ProblemDoc {
        pipeline: problem.pipeline.clone(),
        start: problem.window.map(|(start, _)| start),
        end: problem.window.map(|(_, end)| end),
        kind: problem.kind.as_str(),
        path: problem.path.clone(),
        message: problem.message.clone(),
    };
    let sum = |count: fn(&Verified) -> u64| found.iter().map(count).fold(0, u64::saturating_add);
    let problems: Vec<_> = found.iter().flat_map(|found| &found.problems).map(problem).collect();
    VerifyDoc {
        schema: SCHEMA,
        ok: problems.is_empty() && errors.is_empty(),
        checked: CheckedDoc {
            windows: sum(|found| found.windows),
            objects: sum(|found| found.objects),
            entries: sum(|found| found.entries),
        },
        problems,
        errors: errors.iter().map(error).collect(),
    }
}
