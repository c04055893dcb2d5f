//! The files that make up a pipeline's output at one moment.

use serde::Serialize;

use crate::hash::Sha256;
use crate::id::{Revision, Seq};
use crate::time::EventTime;

/// The files that make up a pipeline's output at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The newest entry it is told from; `None` before the first.
    pub as_of: Option<Seq>,
    /// The files, in the order of windows.
    pub files: Vec<ManifestFile>,
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestFile {
    /// The window's start.
    pub start: EventTime,
    /// The window's end.
    pub end: EventTime,
    /// The window's revision.
    pub revision: Revision,
    /// The output's name.
    pub output: String,
    /// Where it is now: in its place, or in the history.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// The hash of its bytes.
    pub sha256: Sha256,
}
