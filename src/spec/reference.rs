//! A table without event time: every window sees the whole of it.

use std::path::{Path, PathBuf};

/// A file, or a folder, of Parquet whose rows have no event time.
#[derive(Clone, Debug)]
pub struct ReferenceSpec {
    /// The table's name in SQL.
    pub table: String,
    /// The file or the folder, absolute.
    pub path: PathBuf,
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

impl ReferenceSpec {
    /// The folder that its file, or its files, lie in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self.file_name() {
            Some(_) => self.path.parent().unwrap_or(&self.path),
            None => &self.path,
        }
    }

    /// The name of its file; `None` if it is a folder. Told by the name alone, as on an object
    /// store, where there are no folders: one that is called like a file is written with a slash at
    /// its end.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        let is_file = self.label.ends_with(".parquet");
        self.path.file_name().filter(|_| is_file).and_then(|name| name.to_str())
    }
}
