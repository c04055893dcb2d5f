//! What the sources of a pipeline were found to hold.

use std::collections::BTreeMap;

use super::upstream::CommittedObject;
use crate::ledger::{FileId, InputVersion};
use crate::store::ObjectMeta;

/// Where the bytes of an input are, and how to know that they are the right ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A file: it must still be as it was listed.
    File(ObjectMeta),
    /// What another pipeline committed: it must have those bytes.
    Committed(CommittedObject),
}

impl Listed {
    /// The key relative to the source's path.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::File(meta) => &meta.key,
            Self::Committed(object) => &object.path,
        }
    }

    /// Whether it is, as far as size and mark tell, of this version. What another pipeline commits
    /// is told apart by its log instead.
    #[must_use]
    pub fn has_version(&self, version: &InputVersion) -> bool {
        match self {
            Self::File(meta) => (meta.size, &meta.mark) == (version.size, &version.mark),
            Self::Committed(_) => true,
        }
    }
}

/// Everything that was listed and belongs to a source. Vectors: of many files, a tree would take
/// longer to make than they take to list.
#[derive(Debug, Default)]
pub struct Listing {
    /// By table; ascending by key.
    tables: BTreeMap<String, Vec<Listed>>,
}

impl Listing {
    /// Notes what the source of `table` has.
    pub(super) fn insert(&mut self, table: &str, mut listed: Vec<Listed>) {
        listed.sort_by(|one, other| one.key().cmp(other.key()));
        self.tables.insert(table.to_owned(), listed);
    }

    /// What the source of `table` has, ascending by key.
    #[must_use]
    pub fn of(&self, table: &str) -> &[Listed] {
        self.tables.get(table).map(Vec::as_slice).unwrap_or_default()
    }

    /// The keys of what the source of `table` has, ascending.
    pub fn keys(&self, table: &str) -> impl Iterator<Item = &str> {
        self.of(table).iter().map(Listed::key)
    }

    /// What is listed under `id`.
    #[must_use]
    pub fn get(&self, id: &FileId) -> Option<&Listed> {
        let of_table = self.of(&id.table);
        let place = of_table.binary_search_by(|listed| listed.key().cmp(&id.key)).ok()?;
        of_table.get(place)
    }

    /// The tables whose sources were listed.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// How much was listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.values().map(Vec::len).sum()
    }

    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
