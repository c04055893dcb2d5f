//! What retiring and vacuuming did, or would do.

use crate::garbage::Garbage;
use crate::id::{PipelineName, Seq};
use crate::time::Span;

/// What became of the objects of a pipeline, or of one output, that is retired.
#[derive(Clone, Debug)]
pub struct Retired {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The output; `None`: all of it.
    pub output: Option<String>,
    /// Whether this only looked.
    pub is_dry: bool,
    /// Whether it is in the configuration still.
    pub is_configured: bool,
    /// Whether nothing is left of it.
    pub is_done: bool,
    /// Objects that the log names.
    pub objects: u64,
    /// Those that were removed, or would be.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were gone already.
    pub gone: u64,
    /// Those that stay, because they are not what the log names: the first of them.
    pub standing: Vec<Standing>,
    /// Pipelines of the configuration that read it.
    pub readers: Vec<PipelineName>,
}

/// An object that stays, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The object.
    pub path: String,
    /// Why it stays.
    pub message: String,
}

/// What a vacuum did to the state prefix of a pipeline, or would do.
#[derive(Clone, Debug)]
pub struct Vacuumed {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// What was deleted, or would be.
    pub swept: Vec<Garbage>,
    /// What was marked, or would be: a later vacuum deletes it.
    pub marked: Vec<Garbage>,
    /// What an earlier vacuum marked and is not old enough, and how long it has to wait.
    pub waiting: Option<(usize, Span)>,
    /// Marked objects that stay, because they are needed again or are others by now.
    pub spared: Vec<String>,
    /// Objects that could not be deleted, and why: a later vacuum tries again.
    pub failed: Vec<Standing>,
    /// The first and the last entry it appended.
    pub entries: Option<(Seq, Seq)>,
}

/// A state that no pipeline of the configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Whose it is.
    pub pipeline: PipelineName,
    /// Its computed windows.
    pub windows: u64,
}
