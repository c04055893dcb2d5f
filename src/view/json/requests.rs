//! The document of `requests`.

use std::fmt;

use serde::Serialize;

use super::ErrorDoc;
use crate::id::PipelineName;
use crate::state::{Request, RollbackTo, Verb};
use crate::time::EventTime;

/// What `requests` says.
#[derive(Debug, Serialize)]
pub struct RequestsDoc {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Requests that are not done.
    pub requests: Vec<RequestDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// One request.
#[derive(Debug, Serialize)]
pub struct RequestDoc {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Its id, as `requests --cancel` takes it.
    pub id: String,
    /// `pending` in the log, `left` for the run that holds the lease, or `withdrawn`.
    pub state: &'static str,
    /// `backfill`, `reprocess` or `rollback`.
    pub verb: Verb,
    /// Windows that start at or after this.
    pub start: EventTime,
    /// Windows that start before this.
    pub end: EventTime,
    /// Only windows that were computed with another query than today's.
    pub only_outdated: bool,
    /// What a rollback goes back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RollbackTo>,
    /// Why, in the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The document form of the request `id`, which is in `state`.
#[must_use]
pub fn request(
    pipeline: &PipelineName,
    id: &impl fmt::Display,
    state: &'static str,
    request: &Request,
) -> RequestDoc {
    RequestDoc {
        pipeline: pipeline.clone(),
        id: id.to_string(),
        state,
        verb: request.verb,
        start: request.start,
        end: request.end,
        only_outdated: request.only_outdated,
        to: request.to,
        why: request.why.clone(),
    }
}
