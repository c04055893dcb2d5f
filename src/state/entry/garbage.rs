//! What is deleted from a state prefix: marked by one process, swept by a later one.

use serde::{Deserialize, Serialize};

use crate::id::Seq;
use crate::time::ProcessingTime;

/// Objects that nothing needs, as far as the log tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcMark {
    /// When they were looked at, by the store's clock: how long ago that is, is told by it too.
    pub at: ProcessingTime,
    /// The objects, in key order.
    pub objects: Vec<MarkedObject>,
}

/// One version of one object of a state prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MarkedObject {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The store's mark of its version.
    pub mark: String,
}

/// From here on what a mark named may be gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcSweep {
    /// The entry that marked it.
    pub mark: Seq,
    /// Keys of it that are needed again, or hold other bytes by now: they stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<String>,
}
