//! The end of a pipeline, or of one of its outputs: announced, then done.

use serde::{Deserialize, Serialize};

/// A step of taking committed objects away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retire {
    /// How far it is.
    pub phase: RetirePhase,
    /// The output whose objects go; `None`: those of all outputs, and all that is known with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// How many objects the log names for it.
    pub objects: u64,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How far a retirement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetirePhase {
    /// From here on every object that the log names may be gone, and nothing is published.
    Announced,
    /// None of them is there any more.
    Done,
}
