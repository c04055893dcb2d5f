//! The document of `check`.

use serde::Serialize;

use super::ErrorDoc;
use crate::id::PipelineName;

/// What `check` says.
#[derive(Debug, Serialize)]
pub struct CheckDoc {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether nothing was found.
    pub ok: bool,
    /// The pipelines that were looked at.
    pub pipelines: Vec<PipelineName>,
    /// What was found.
    pub errors: Vec<ErrorDoc>,
}
