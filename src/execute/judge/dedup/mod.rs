//! Duplicates: of rows with the same keys, one is used.
//!
//! Rows come in the order of (file, row), which breaks ties, so that the answer depends on nothing
//! else. Null is like null, in keys and in the order; so is NaN like NaN, and 0.0 like -0.0.

mod keys;

use arrow::datatypes::SchemaRef;
use arrow::row::Rows;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::Fate;
use crate::error::{Code, Error, Result};
use crate::execute::scan::Piece;
use crate::spec::{DedupSpec, Keep, SourceSpec};
use crate::time::{EventTime, Span};
use crate::window::{Window, WindowGrid};
use keys::{Columns, Comparer, Keys};

pub(super) use keys::RowId;

/// Finds the duplicates of one source.
#[derive(Debug)]
pub(super) struct Dedup {
    keys: Columns,
    order: Columns,
    keep: Keep,
    across: Option<Span>,
}

/// The rows of all pieces, by window and keys.
struct Groups {
    keys: Keys,
    compare: Comparer,
    /// The values that decide which row is kept; nothing if there is no such order.
    order: Vec<Rows>,
    /// The windows, ascending, each with the first row of every group.
    windows: Vec<(Window, HashTable<u32>)>,
    /// By the first row of a group: the row that is kept, unless a row of an earlier window has its
    /// keys.
    kept: Vec<u32>,
    /// By the first row of a group: the latest of all its rows.
    last_at: Vec<EventTime>,
}

impl Dedup {
    pub(super) fn new(spec: &DedupSpec, source: &SourceSpec, read: &SchemaRef) -> Result<Self> {
        Ok(Self {
            keys: Columns::new("keys", &spec.keys, source, read)?,
            order: Columns::new("order_by", &spec.order_by, source, read)?,
            keep: spec.keep,
            across: spec.across,
        })
    }

    /// Marks the duplicates among the rows whose fate is [`Fate::Used`].
    pub(super) fn mark(
        &self,
        grid: &WindowGrid,
        pieces: &[Piece],
        fates: &mut [Vec<Fate>],
    ) -> Result<()> {
        let mut groups = self.groups(grid, pieces, fates)?;
        if let Some(across) = self.across.filter(|across| *across != Span::ZERO) {
            groups.mark_across(across, pieces, fates);
        }
        groups.compare.failure.map_or(Ok(()), Err)
    }

    /// Which row each of `lost` is a duplicate of: the one of its window that was kept, or if it is
    /// that one, the latest with its keys in the nearest window before. `passed` are fates as rules
    /// alone make them.
    pub(super) fn lost_to(
        &self,
        grid: &WindowGrid,
        pieces: &[Piece],
        passed: &[Vec<Fate>],
        lost: &[RowId],
    ) -> Result<Vec<Option<RowId>>> {
        let mut fates = passed.to_vec();
        let mut groups = self.groups(grid, pieces, &mut fates)?;
        let winners = lost.iter().map(|id| groups.winner(pieces, passed, *id)).collect();
        groups.compare.failure.map_or(Ok(winners), Err)
    }

    /// Groups the rows whose fate is [`Fate::Used`]. All of a group but the one that is kept are
    /// made duplicates.
    fn groups(
        &self,
        grid: &WindowGrid,
        pieces: &[Piece],
        fates: &mut [Vec<Fate>],
    ) -> Result<Groups> {
        let keys = Keys::new(&self.keys, pieces)?;
        let order = if self.order.is_empty() { Vec::new() } else { self.order.rows_of(pieces)? };
        let rows = keys.len();
        let mut groups = Groups {
            compare: Comparer::default(),
            order,
            windows: Vec::new(),
            kept: vec![0; rows],
            last_at: vec![EventTime::FIRST; if self.across.is_some() { rows } else { 0 }],
            keys,
        };
        let mut home = None;
        for (piece, rows) in pieces.iter().enumerate() {
            let of_piece = fates.get(piece).map(Vec::len).unwrap_or_default();
            for (row, at) in rows.times.iter().enumerate().take(of_piece) {
                if !is_used(fates, (piece, row)) {
                    continue;
                }
                let Some(place) = groups.home(grid, *at, home) else { continue };
                home = Some(place);
                groups.add(place, (piece, row), *at, self.keep, fates);
            }
        }
        Ok(groups)
    }
}

fn is_used(fates: &[Vec<Fate>], (piece, row): RowId) -> bool {
    fates.get(piece).and_then(|fates| fates.get(row)) == Some(&Fate::Used)
}

fn make(fates: &mut [Vec<Fate>], (piece, row): RowId, fate: Fate) {
    if let Some(of_row) = fates.get_mut(piece).and_then(|fates| fates.get_mut(row)) {
        *of_row = fate;
    }
}

impl Groups {
    /// The place of the window that `at` lies in; `here` is that of the row before.
    fn home(&mut self, grid: &WindowGrid, at: EventTime, here: Option<usize>) -> Option<usize> {
        if let Some(place) = here
            && self.windows.get(place).is_some_and(|(window, _)| window.contains(at))
        {
            return here;
        }
        let place = self.windows.partition_point(|(window, _)| window.end() <= at);
        if self.windows.get(place).is_some_and(|(window, _)| window.contains(at)) {
            return Some(place);
        }
        // A table that grows is filled twice: mostly all rows are of one window.
        let rows = if self.windows.is_empty() { self.keys.len() } else { 0 };
        self.windows.insert(place, (grid.window_at(at)?, HashTable::with_capacity(rows)));
        Some(place)
    }

    /// Adds a row to its group in the window at `place`.
    fn add(&mut self, place: usize, id: RowId, at: EventTime, keep: Keep, fates: &mut [Vec<Fate>]) {
        let Self { keys, compare, order, windows, kept, last_at } = self;
        let row = keys.number(id);
        let Some((_, table)) = windows.get_mut(place) else { return };
        let is_same = |first: &u32| compare.is_equal(keys, *first, row);
        let first = match table.entry(keys.hash(row), is_same, |first| keys.hash(*first)) {
            Entry::Vacant(vacant) => {
                vacant.insert(row);
                set(kept, row, row);
                set(last_at, row, at);
                return;
            }
            Entry::Occupied(occupied) => *occupied.get(),
        };
        if get(last_at, first).is_some_and(|last| last < at) {
            set(last_at, first, at);
        }
        let before = get(kept, first).unwrap_or(first);
        let value = |(piece, row): RowId| order.get(piece).map(|rows| rows.row(row));
        let ordering = value(id).cmp(&value(keys.id(before)));
        let is_preferred = match keep {
            Keep::First => ordering.is_lt(),
            Keep::Last => ordering.is_ge(),
        };
        if is_preferred {
            make(fates, keys.id(before), Fate::Duplicate);
            set(kept, first, row);
        } else {
            make(fates, id, Fate::Duplicate);
        }
    }

    /// Makes duplicates of the rows that are kept in their window, where a row with the same keys
    /// lies in an earlier one less than `across` before.
    fn mark_across(&mut self, across: Span, pieces: &[Piece], fates: &mut [Vec<Fate>]) {
        let Self { keys, compare, windows, kept, last_at, .. } = self;
        // The first row of a group, and of the newest group with its keys the latest row.
        let mut seen: HashTable<(u32, EventTime)> = HashTable::new();
        for (_, table) in windows.iter() {
            for first in table {
                let newest = get(last_at, *first).unwrap_or(EventTime::FIRST);
                let is_same =
                    |(other, _): &(u32, EventTime)| compare.is_equal(keys, *other, *first);
                match seen.entry(keys.hash(*first), is_same, |(row, _)| keys.hash(*row)) {
                    Entry::Vacant(vacant) => {
                        vacant.insert((*first, newest));
                    }
                    Entry::Occupied(mut occupied) => {
                        let (_, last_at) = occupied.get_mut();
                        let id = keys.id(get(kept, *first).unwrap_or(*first));
                        let at = pieces.get(id.0).and_then(|piece| piece.times.get(id.1));
                        let until = last_at.plus(across);
                        if at.is_some_and(|at| until.is_none_or(|until| *at < until)) {
                            make(fates, id, Fate::Duplicate);
                        }
                        *last_at = newest;
                    }
                }
            }
        }
    }

    /// The row that `id` lost to.
    fn winner(&mut self, pieces: &[Piece], passed: &[Vec<Fate>], id: RowId) -> Option<RowId> {
        let Self { keys, compare, windows, kept, last_at, .. } = self;
        let at = *pieces.get(id.0)?.times.get(id.1)?;
        let row = keys.number(id);
        let home = windows.partition_point(|(window, _)| window.end() <= at);
        let mut group = |place: usize| {
            let (_, table) = windows.get(place)?;
            let is_same = |first: &u32| compare.is_equal(keys, *first, row);
            table.find(keys.hash(row), is_same).copied()
        };
        let winner = get(kept, group(home)?)?;
        if winner != row {
            return Some(keys.id(winner));
        }
        let first = (0..home).rev().find_map(group)?;
        let newest = get(last_at, first)?;
        let ids = pieces.iter().enumerate().flat_map(|(piece, rows)| {
            let times = rows.times.iter().enumerate();
            times.filter(|(_, at)| **at == newest).map(move |(row, _)| (piece, row))
        });
        let mut latest = ids.filter(|id| is_used(passed, *id));
        latest.find(|id| compare.is_equal(keys, keys.number(*id), row))
    }
}

fn get<T: Copy>(values: &[T], row: u32) -> Option<T> {
    values.get(usize::try_from(row).ok()?).copied()
}

fn set<T>(values: &mut [T], row: u32, value: T) {
    if let Some(place) = usize::try_from(row).ok().and_then(|row| values.get_mut(row)) {
        *place = value;
    }
}

/// The error for a column that rows cannot be compared by.
pub(super) fn missing(key: &str, name: &str, source: &SourceSpec, read: &SchemaRef) -> Error {
    let columns: Vec<&str> = read.fields().iter().map(|field| field.name().as_str()).collect();
    let text = format!("source {} has no column `{name}`, which `dedup.{key}` names", source.table);
    Error::new(Code::BadValue, text)
        .note(format!("its columns are: {}", columns.join(", ")))
        .hint(format!("name columns of the source in `{key}`"))
}
