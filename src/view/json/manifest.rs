//! The documents of `manifest` and of `rollback --dry-run`.

use serde::Serialize;

use super::ErrorDoc;
use crate::id::{PipelineName, Revision, Seq};
use crate::plan::Rollback;
use crate::report::{Manifest, ManifestFile};
use crate::spec::PipelineSpec;
use crate::time::EventTime;

/// What `manifest` says.
#[derive(Debug, Serialize)]
pub struct ManifestDoc {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The entry it is told from; null before the first.
    pub as_of: Option<Seq>,
    /// The files, in the order of windows.
    pub files: Vec<ManifestFile>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// The document form of a manifest.
#[must_use]
pub fn manifest(pipeline: &PipelineName, manifest: &Manifest) -> ManifestDoc {
    ManifestDoc {
        schema: super::SCHEMA,
        pipeline: pipeline.clone(),
        as_of: manifest.as_of,
        files: manifest.files.clone(),
        errors: Vec::new(),
    }
}

/// What `rollback --dry-run` says.
#[derive(Debug, Serialize)]
pub struct RollbackDoc {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The windows that would go back.
    pub rollback: Vec<RestoreDoc>,
    /// How many windows of the range are what they are to be.
    pub stay: u64,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// A window that would go back.
#[derive(Debug, Serialize)]
pub struct RestoreDoc {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// The revision that stands.
    pub revision: Revision,
    /// The revision it would go back to.
    pub restores: Revision,
    /// The entry that published that.
    pub seq: Seq,
}

/// The document form of what a rollback would do.
#[must_use]
pub fn rollback(spec: &PipelineSpec, rollback: &Rollback) -> RollbackDoc {
    let windows = rollback.windows.iter().map(|restore| RestoreDoc {
        start: restore.start,
        end: restore.end,
        revision: restore.rev,
        restores: restore.to.rev,
        seq: restore.to.seq,
    });
    RollbackDoc {
        schema: super::SCHEMA,
        pipeline: spec.name.clone(),
        rollback: windows.collect(),
        stay: rollback.stay,
        errors: Vec::new(),
    }
}
