//! The columns of a source's table.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ledger::InputVersion;

/// The columns of a source's table, from this entry on: what its files are read as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The table's name in SQL.
    pub table: String,
    /// The files that the columns came with. The first one says what they are until it is replaced
    /// by a version in which they are others.
    pub files: Vec<ColumnsFile>,
    /// The columns of files in their order, all nullable; those that folders tell are not among
    /// them.
    pub columns: Vec<Column>,
}

/// A version of a file that columns came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnsFile {
    /// Its key relative to the source's path.
    pub key: String,
    /// Which bytes it held.
    pub version: InputVersion,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, e.g. `int64`, as `docs/state.md` writes types.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which of the files it has this type from.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub file: usize,
}

impl Columns {
    /// The column called `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The file that `column` has its type from.
    #[must_use]
    pub fn file_of(&self, column: &Column) -> Option<&ColumnsFile> {
        self.files.get(column.file)
    }

    /// Whether both say the same of the same table, whatever files they have it from.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let said = |column: &Column| (column.name.clone(), column.kind.clone());
        self.table == other.table
            && self.columns.iter().map(said).eq(other.columns.iter().map(said))
    }

    /// Whether SQL, which compares names without case, can tell the columns apart, and each came
    /// with one of the files.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut names = BTreeSet::new();
        let is_sound = |column: &Column| {
            names.insert(column.name.to_lowercase()) && self.file_of(column).is_some()
        };
        !self.files.is_empty() && self.columns.iter().all(is_sound)
    }
}
