//! The document of `verify`.

use serde::Serialize;

use super::{ErrorDoc, SCHEMA, error};
use crate::error::Error;
use crate::id::PipelineName;
use crate::plan::RowSums;
use crate::report::{Problem, Recomputed, Verified};
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
    /// Whether everything was looked at: with too many problems nobody looks further.
    pub complete: bool,
    /// What became of windows that were computed again, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recomputed: Option<RecomputedDoc>,
    /// Where every row of every input is, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<RowSums>,
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

/// What became of windows that were computed again.
#[derive(Debug, Serialize)]
pub struct RecomputedDoc {
    /// They have the rows that were committed.
    pub equal: u64,
    /// They have others: each is a problem.
    pub wrong: u64,
    /// Their inputs are others by now.
    pub changed: u64,
    /// They were computed with another query, other reference tables, or columns of other types.
    pub outdated: u64,
    /// They cannot be computed now, or would be written in another form.
    pub unknown: u64,
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
    /// `missing`, `size`, `sha256`, `rows`, `content`, `obstacle`, `owner`, `recompute`, `balance`,
    /// `newer`, `in_doubt`, `unknown`, `leftover`, `foreign` or `retiring`.
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
    let recomputed = found.iter().filter_map(|found| found.recomputed).reduce(Recomputed::plus);
    VerifyDoc {
        schema: SCHEMA,
        ok: problems.is_empty() && errors.is_empty(),
        checked: CheckedDoc {
            windows: sum(|found| found.windows),
            objects: sum(|found| found.objects),
            entries: sum(|found| found.entries),
        },
        complete: found.iter().all(|found| found.is_complete),
        recomputed: recomputed.map(recomputed_doc),
        balance: found.iter().filter_map(|found| found.balance).reduce(RowSums::plus),
        problems,
        errors: errors.iter().map(error).collect(),
    }
}

fn recomputed_doc(found: Recomputed) -> RecomputedDoc {
    let Recomputed { equal, wrong, changed, outdated, unknown } = found;
    RecomputedDoc { equal, wrong, changed, outdated, unknown }
}
