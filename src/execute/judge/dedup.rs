//! Duplicates: of rows with the same keys, one is used.
//!
//! Rows come in the order of (file, row), which breaks ties, so that the answer depends on nothing
//! else. Null is like null, in keys and in the order.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};

use super::Fate;
use crate::error::{Code, Error, Result};
use crate::execute::route::Piece;
use crate::execute::sql::bug;
use crate::spec::{DedupSpec, Keep, SourceSpec};
use crate::time::{EventTime, Span};
use crate::window::{Window, WindowGrid};

/// Finds the duplicates of one source.
#[derive(Debug)]
pub(super) struct Dedup {
    keys: Columns,
    order: Columns,
    keep: Keep,
    across: Option<Span>,
}

/// Columns whose values are compared together.
#[derive(Debug)]
struct Columns {
    places: Vec<usize>,
    fields: Vec<SortField>,
}

/// A row: its piece, and its place there.
pub(super) type RowId = (usize, usize);

/// The rows of all pieces, in a form in which they are compared.
struct Compared {
    keys: Vec<Rows>,
    /// Nothing if there is no order.
    order: Vec<Rows>,
}

/// The rows of one window with the same keys.
struct Group {
    /// The one that is used, unless a row of an earlier window has its keys.
    kept: RowId,
    /// The latest of all.
    last_at: EventTime,
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
        let compared = self.compared(pieces)?;
        let windows = self.groups(grid, pieces, &compared, fates);
        self.keep(pieces, windows, fates);
        Ok(())
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
        let compared = self.compared(pieces)?;
        let mut fates = passed.to_vec();
        let windows = self.groups(grid, pieces, &compared, &mut fates);
        let key_of =
            |(piece, row): RowId| compared.keys.get(piece).map(|keys| keys.row(row).data());
        let winner = |id: &RowId| {
            let at = *pieces.get(id.0)?.times.get(id.1)?;
            let (start, key) = (grid.window_at(at)?.start(), key_of(*id)?);
            let kept = windows.get(&start)?.get(key)?.kept;
            if kept != *id {
                return Some(kept);
            }
            let mut earlier = windows.range(..start).rev();
            let (_, group) = earlier.find_map(|(start, groups)| Some((start, groups.get(key)?)))?;
            let rows = pieces.iter().zip(passed).enumerate().flat_map(|(piece, (rows, fates))| {
                let rows = rows.times.iter().zip(fates).enumerate();
                rows.map(move |(row, (at, fate))| ((piece, row), at, fate))
            });
            let mut latest =
                rows.filter(|(_, at, fate)| **fate == Fate::Used && **at == group.last_at);
            latest.find(|(id, _, _)| key_of(*id) == Some(key)).map(|(id, _, _)| id)
        };
        Ok(lost.iter().map(winner).collect())
    }

    fn compared(&self, pieces: &[Piece]) -> Result<Compared> {
        let keys = self.keys.rows_of(pieces)?;
        let order =
            if self.order.places.is_empty() { Vec::new() } else { self.order.rows_of(pieces)? };
        Ok(Compared { keys, order })
    }

    /// The rows whose fate is [`Fate::Used`], by window and keys. All of them are made duplicates,
    /// until it is known which one is kept.
    fn groups<'k>(
        &self,
        grid: &WindowGrid,
        pieces: &[Piece],
        compared: &'k Compared,
        fates: &mut [Vec<Fate>],
    ) -> BTreeMap<EventTime, HashMap<&'k [u8], Group>> {
        let Compared { keys, order } = compared;
        let mut windows: BTreeMap<EventTime, HashMap<&'k [u8], Group>> = BTreeMap::new();
        let mut home: Option<Window> = None;
        for (piece, (rows, fates)) in pieces.iter().zip(fates.iter_mut()).enumerate() {
            for (row, (at, fate)) in rows.times.iter().zip(fates.iter_mut()).enumerate() {
                if *fate != Fate::Used {
                    continue;
                }
                if home.is_none_or(|home| !home.contains(*at)) {
                    home = grid.window_at(*at);
                }
                let Some(start) = home.map(Window::start) else { continue };
                let id = (piece, row);
                *fate = Fate::Duplicate;
                let key = keys[piece].row(row).data();
                match windows.entry(start).or_default().entry(key) {
                    Entry::Vacant(place) => {
                        place.insert(Group { kept: id, last_at: *at });
                    }
                    Entry::Occupied(mut place) => {
                        let group = place.get_mut();
                        group.last_at = group.last_at.max(*at);
                        if self.is_preferred(order, id, group.kept) {
                            group.kept = id;
                        }
                    }
                }
            }
        }
        windows
    }

    /// Whether of two duplicates the one that comes later among all rows is used.
    fn is_preferred(&self, order: &[Rows], later: RowId, earlier: RowId) -> bool {
        let at = |(piece, row): RowId| order.get(piece).map(|rows| rows.row(row));
        let order = at(later).cmp(&at(earlier));
        match self.keep {
            Keep::First => order.is_lt(),
            Keep::Last => order.is_ge(),
        }
    }

    /// Uses one row of each group, unless a row of an earlier window is too near.
    fn keep(
        &self,
        pieces: &[Piece],
        windows: BTreeMap<EventTime, HashMap<&[u8], Group>>,
        fates: &mut [Vec<Fate>],
    ) {
        let mut last_at: HashMap<&[u8], EventTime> = HashMap::new();
        for (_, groups) in windows {
            for (key, Group { kept: (piece, row), last_at: newest }) in groups {
                let at = pieces[piece].times[row];
                let is_near = |before: EventTime| {
                    let until = self.across.and_then(|across| before.plus(across));
                    self.across.is_some() && until.is_none_or(|until| at < until)
                };
                if !last_at.get(key).copied().is_some_and(is_near) {
                    fates[piece][row] = Fate::Used;
                }
                if self.across.is_some() {
                    last_at.insert(key, newest);
                }
            }
        }
    }
}

impl Columns {
    fn new(key: &str, names: &[String], source: &SourceSpec, read: &SchemaRef) -> Result<Self> {
        let (mut places, mut fields) = (Vec::new(), Vec::new());
        for name in names {
            let Some((place, field)) = read.column_with_name(name) else {
                return Err(missing(key, name, source, read));
            };
            places.push(place);
            let options = SortOptions { descending: false, nulls_first: true };
            fields.push(SortField::new_with_options(field.data_type().clone(), options));
        }
        if !RowConverter::supports_fields(&fields) {
            let text = format!("source {}: values of `{key}` cannot be compared", source.table);
            return Err(Error::new(Code::BadValue, text)
                .hint("name columns of numbers, texts, times or truth values"));
        }
        Ok(Self { places, fields })
    }

    fn rows_of(&self, pieces: &[Piece]) -> Result<Vec<Rows>> {
        let failed = |why: arrow::error::ArrowError| bug(&why.into());
        let converter = RowConverter::new(self.fields.clone()).map_err(failed)?;
        let convert = |piece: &Piece| {
            let columns: Vec<_> =
                self.places.iter().map(|place| piece.batch.column(*place).clone()).collect();
            let mut rows = converter.empty_rows(piece.batch.num_rows(), 0);
            converter.append(&mut rows, &columns).map_err(failed)?;
            Ok(rows)
        };
        pieces.iter().map(convert).collect()
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
