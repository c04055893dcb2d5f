//! The records of a ledger as its segments have them: sorted once, and never changed.

use std::collections::BTreeMap;

use super::{Admitted, FileId};
use crate::time::EventTime;

/// Rows of one cell in one file.
#[derive(Clone, Copy, Debug)]
struct Share {
    cell: EventTime,
    place: usize,
    rows: u64,
}

/// The newest record of each file, by file, with an index from cells to files. Vectors, as a run
/// with nothing to do would spend most of its time on making trees of many files.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Ascending.
    files: Vec<Admitted>,
    /// By table: ascending by cell, then by file.
    cells: BTreeMap<String, Vec<Share>>,
}

impl Loaded {
    /// The newest of `files`: versions of one file are in the order of their admission.
    pub(super) fn new(pieces: Vec<Vec<Admitted>>) -> Self {
        let mut files = Vec::with_capacity(pieces.iter().map(Vec::len).sum());
        for piece in pieces {
            files.extend(piece);
        }
        files.sort_by(|one, other| one.id().cmp(other.id()));
        files.dedup_by(|newer, older| {
            let is_same = newer.id() == older.id();
            if is_same {
                newer.follow(older);
                std::mem::swap(newer, older);
            }
            is_same
        });
        let mut cells: BTreeMap<String, Vec<Share>> = BTreeMap::new();
        for (place, Admitted { record, .. }) in files.iter().enumerate() {
            let shares = record.cells.iter().map(|&(cell, rows)| Share { cell, place, rows });
            match cells.get_mut(&record.id.table) {
                Some(known) => known.extend(shares),
                None => drop(cells.insert(record.id.table.clone(), shares.collect())),
            }
        }
        for shares in cells.values_mut() {
            shares.sort_unstable_by_key(|share| (share.cell, share.place));
        }
        Self { files, cells }
    }

    /// Where a file is, if it is known.
    pub(super) fn place_of(&self, id: &FileId) -> Option<usize> {
        self.files.binary_search_by(|known| known.id().cmp(id)).ok()
    }

    /// The file at a place.
    pub(super) fn at(&self, place: usize) -> Option<&Admitted> {
        self.files.get(place)
    }

    /// All files and their places, ascending.
    pub(super) fn files(&self) -> impl Iterator<Item = (usize, &Admitted)> {
        self.files.iter().enumerate()
    }

    /// The same of the files of `table`.
    pub(super) fn files_of(&self, table: &str) -> impl Iterator<Item = (usize, &Admitted)> {
        let first = self.files.partition_point(|known| known.id().table.as_str() < table);
        self.files().skip(first).take_while(move |(_, known)| known.id().table == table)
    }

    /// Rows of `table` in the cells that start from `start` to `end`, exclusive: the cell, the
    /// place of the file, and how many; ascending by cell.
    pub(super) fn shares(
        &self,
        table: &str,
        start: EventTime,
        end: EventTime,
    ) -> impl Iterator<Item = (EventTime, usize, u64)> {
        let shares = self.cells.get(table).map(Vec::as_slice).unwrap_or_default();
        let first = shares.partition_point(|share| share.cell < start);
        let shares = shares.iter().skip(first).take_while(move |share| share.cell < end);
        shares.map(|share| (share.cell, share.place, share.rows))
    }
}
