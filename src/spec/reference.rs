//! A table without event time: every window sees the whole of it.

use super::Location;

/// A file, or a folder, of Parquet whose rows have no event time.
#[derive(Clone, Debug)]
pub struct ReferenceSpec {
    /// The table's name in SQL.
    pub table: String,
    /// The folder that its file, or its files, lie in.
    pub folder: Location,
    /// The name of its file; `None` if it is the whole folder. Told by the name alone, as on an
    /// object store, where there are no folders: a folder that is called like a file is written
    /// with a slash at its end.
    pub file_name: Option<String>,
    /// The same as the configuration names it, for messages.
    pub label: String,
    /// What becomes of windows that were computed with another version of it.
    pub on_change: OnReferenceChange,
}

/// What becomes of windows that were computed with another version of a reference table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReferenceChange {
    /// They are counted and shown.
    Report,
    /// They are due.
    Reprocess,
}
