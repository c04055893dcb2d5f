//! What was admitted to a ledger since it was loaded: it grows a record at a time.

use std::collections::BTreeMap;

use super::{Admitted, FileId};
use crate::time::EventTime;

/// Place of a file, and rows of it.
type Share = (usize, u64);

/// Current versions by file, with an index from cells to files.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    places: BTreeMap<FileId, usize>,
    /// One per file; a new version takes the place of the old one.
    files: Vec<Admitted>,
    /// Table, then start of a cell -> the files with a row in it, and how many; in no order.
    cells: BTreeMap<String, BTreeMap<EventTime, Vec<Share>>>,
}

impl Recent {
    /// Takes in `admitted`, in place of an earlier version of the same file.
    pub(super) fn admit(&mut self, admitted: Admitted) {
        if let Some(place) = self.places.get(admitted.id()).copied() {
            self.forget_cells_of(place);
            self.index(place, &admitted);
            if let Some(known) = self.files.get_mut(place) {
                *known = admitted;
            }
            return;
        }
        let place = self.files.len();
        self.index(place, &admitted);
        self.places.insert(admitted.id().clone(), place);
        self.files.push(admitted);
    }

    fn index(&mut self, place: usize, Admitted { record, .. }: &Admitted) {
        if record.cells.is_empty() {
            return;
        }
        let cells = self.cells.entry(record.id.table.clone()).or_default();
        for (start, rows) in &record.cells {
            cells.entry(*start).or_default().push((place, *rows));
        }
    }

    /// Takes the file at `place` out of the index.
    fn forget_cells_of(&mut self, place: usize) {
        let Some(Admitted { record, .. }) = self.files.get(place) else { return };
        let Some(cells) = self.cells.get_mut(&record.id.table) else { return };
        for (start, _) in &record.cells {
            if let Some(files) = cells.get_mut(start) {
                files.retain(|(other, _)| *other != place);
                if files.is_empty() {
                    cells.remove(start);
                }
            }
        }
    }

    /// The current version of a file.
    pub(super) fn file(&self, id: &FileId) -> Option<&Admitted> {
        self.files.get(*self.places.get(id)?)
    }

    /// All files, ascending.
    pub(super) fn files(&self) -> impl Iterator<Item = &Admitted> {
        self.places.values().filter_map(|place| self.files.get(*place))
    }

    /// The files of `table`, ascending.
    pub(super) fn files_of(&self, table: &str) -> impl Iterator<Item = &Admitted> {
        let first = FileId { table: table.to_owned(), key: String::new() };
        let places = self.places.range(first..);
        let places = places.take_while(move |(id, _)| id.table == table);
        places.filter_map(|(_, place)| self.files.get(*place))
    }

    /// Rows of `table` in the cells that start from `start` to `end`, exclusive: the cell, the
    /// file, and how many; ascending by cell.
    pub(super) fn shares(
        &self,
        table: &str,
        start: EventTime,
        end: EventTime,
    ) -> impl Iterator<Item = (EventTime, &Admitted, u64)> {
        let cells = self.cells.get(table).filter(|_| start < end);
        let cells = cells.into_iter().flat_map(move |cells| cells.range(start..end));
        cells.flat_map(|(cell, shares)| {
            let files = shares.iter();
            files.filter_map(|(place, rows)| Some((*cell, self.files.get(*place)?, *rows)))
        })
    }
}
