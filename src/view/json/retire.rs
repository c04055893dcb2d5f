//! The document of `retire`.

use serde::Serialize;

use super::{ErrorDoc, SCHEMA};
use crate::id::PipelineName;
use crate::report::Retired;

/// What `retire` did, or would do.
#[derive(Debug, Serialize)]
pub struct RetireDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The output; null: all of it.
    pub output: Option<String>,
    /// Whether this only looked.
    pub dry_run: bool,
    /// Whether nothing is left of it.
    pub done: bool,
    /// Objects that the log names.
    pub objects: u64,
    /// Those that were removed, or would be.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were gone already.
    pub gone: u64,
    /// Those that stay: at most 100.
    pub standing: Vec<StandingDoc>,
    /// Pipelines that read it.
    pub readers: Vec<PipelineName>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// An object that stays, or could not be deleted.
#[derive(Debug, Serialize)]
pub struct StandingDoc {
    /// The object.
    pub path: String,
    /// Why.
    pub message: String,
}

/// The document form of a retirement.
#[must_use]
pub fn retire(retired: &Retired) -> RetireDoc {
    RetireDoc {
        schema: SCHEMA,
        pipeline: retired.pipeline.clone(),
        output: retired.output.clone(),
        dry_run: retired.is_dry,
        done: retired.is_done,
        objects: retired.objects,
        removed: retired.removed,
        bytes: retired.bytes,
        gone: retired.gone,
        standing: retired.standing.iter().map(StandingDoc::of).collect(),
        readers: retired.readers.clone(),
        errors: Vec::new(),
    }
}

impl StandingDoc {
    /// The document form of `standing`.
    #[must_use]
    pub fn of(standing: &crate::report::Standing) -> Self {
        Self { path: standing.path.clone(), message: standing.message.clone() }
    }
}
