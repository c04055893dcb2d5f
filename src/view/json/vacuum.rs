//! The document of `vacuum`.

use serde::Serialize;

use super::{ErrorDoc, SCHEMA, StandingDoc, error};
use crate::error::Error;
use crate::garbage::Garbage;
use crate::id::PipelineName;
use crate::report::Vacuumed;
use crate::time::Span;

/// What `vacuum` did, or would do.
#[derive(Debug, Serialize)]
pub struct VacuumDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether this only looked.
    pub dry_run: bool,
    /// How long what is marked stays.
    pub retention_seconds: i64,
    /// The pipelines.
    pub pipelines: Vec<VacuumPipelineDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// What `vacuum` did to one state.
#[derive(Debug, Serialize)]
pub struct VacuumPipelineDoc {
    /// Its pipeline.
    pub pipeline: PipelineName,
    /// What was deleted.
    pub deleted: Vec<GarbageDoc>,
    /// What was marked.
    pub marked: Vec<GarbageDoc>,
    /// What is marked and not old enough.
    pub waiting: Option<WaitingDoc>,
    /// Keys that were marked and stay.
    pub spared: Vec<String>,
    /// What could not be deleted.
    pub failed: Vec<StandingDoc>,
}

/// An object that nothing needs.
#[derive(Debug, Serialize)]
pub struct GarbageDoc {
    /// Its key in the state.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// `superseded`, `unreferenced` or `older`.
    pub why: &'static str,
}

/// What is marked and not old enough.
#[derive(Debug, Serialize)]
pub struct WaitingDoc {
    /// How many objects.
    pub objects: usize,
    /// For how long they stay.
    pub seconds: i64,
}

/// The document form of what a vacuum did to several states.
#[must_use]
pub fn vacuum(found: &[Vacuumed], dry_run: bool, retention: Span, errors: &[Error]) -> VacuumDoc {
    let garbage = |dead: &Garbage| GarbageDoc {
        key: dead.object.key.clone(),
        bytes: dead.object.size,
        why: dead.why.as_str(),
    };
    let pipeline = |found: &Vacuumed| VacuumPipelineDoc {
        pipeline: found.pipeline.clone(),
        deleted: found.swept.iter().map(garbage).collect(),
        marked: found.marked.iter().map(garbage).collect(),
        waiting: found
            .waiting
            .map(|(objects, left)| WaitingDoc { objects, seconds: left.seconds() }),
        spared: found.spared.clone(),
        failed: found.failed.iter().map(StandingDoc::of).collect(),
    };
    VacuumDoc {
        schema: SCHEMA,
        dry_run,
        retention_seconds: retention.seconds(),
        pipelines: found.iter().map(pipeline).collect(),
        errors: errors.iter().map(error).collect(),
    }
}
