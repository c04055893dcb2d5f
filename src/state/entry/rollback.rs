//! Going back: what a rollback asks for, what cannot be gone back to, and objects without a row in
//! the place of what was never committed.

use serde::{Deserialize, Serialize};

use super::CommittedOutput;
use crate::id::{Revision, Seq};
use crate::time::EventTime;

/// Which revision each window of a rollback goes back to. Where a request does not say, it is the
/// one before that which stood when the request was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackTo {
    /// This one.
    Revision(Revision),
    /// The one that stood once the log had this entry.
    Seq(Seq),
}

/// An object of a revision that was replaced and could not be kept before: it was not what the log
/// says of it. The revision cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostOutput {
    /// The window's start.
    pub start: EventTime,
    /// The revision.
    pub rev: Revision,
    /// The output's name.
    pub output: String,
}

/// A window that was never committed, and whose objects have no row: they took the place of an
/// attempt that could not be done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlankWindow {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// Its objects.
    pub outputs: Vec<CommittedOutput>,
}
