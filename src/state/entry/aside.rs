//! Rows that belong to no window, kept aside: one object for each source file that has some.

use serde::{Deserialize, Serialize};

use super::{BatchOutput, CommittedOutput};
use crate::id::{BatchId, Generation};

/// Objects of rows that belong to no window may change from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginAside {
    /// Names the batch.
    pub batch: BatchId,
    /// The files whose rows they hold.
    pub files: Vec<AsideFile<BatchOutput>>,
}

/// What became of these objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// The batch this ends.
    pub batch: BatchId,
    /// Those that were published.
    pub files: Vec<AsideFile<CommittedOutput>>,
    /// Files whose rows could not be read; their objects were not touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<AsideFile<AsideFailure>>,
}

/// One source file, and what is said of its rows that belong to no window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideFile<T> {
    /// The source's table.
    pub table: String,
    /// The file's key.
    pub key: String,
    /// The generation its version came with.
    pub generation: Generation,
    /// What is said.
    pub object: T,
}

/// Why the rows of a file could not be kept aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideFailure {
    /// The code of the error, e.g. `HW3005`.
    pub code: String,
    /// The sentence of the error.
    pub message: String,
}
