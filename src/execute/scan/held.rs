//! Rows that were read and wait for their windows: in memory up to a limit, beyond it on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;

use super::piece::Piece;
use super::schedule::CellId;
use super::spill::{Spill, Spilled};
use crate::error::{Code, Error, Result};
use crate::execute::session::Engine;

/// How many quarters of the rows in memory are left there once some are spilled, so that not every
/// piece that comes after is a file of its own.
const KEPT_OF_FOUR: usize = 3;

/// The rows of all cells that some window waits for.
#[derive(Debug)]
pub(super) struct Held {
    cells: Mutex<HashMap<CellId, Cell>>,
    memory: MemoryReservation,
    /// The most bytes of rows in memory.
    bytes_max: usize,
    spill: Spill,
}

/// The rows that matter to one window, by table. Frees its claim on memory when it is dropped.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) tables: BTreeMap<String, Vec<Piece>>,
    _memory: MemoryReservation,
}

/// The rows of one cell.
#[derive(Debug, Default)]
struct Cell {
    /// The windows that wait for them, by place in the order of work.
    users: Vec<usize>,
    pieces: Vec<Piece>,
    /// The memory they take.
    bytes: usize,
    spilled: Vec<Spilled>,
}

impl Held {
    /// Room for the rows of these cells, each with the windows that wait for it.
    pub(super) fn new<'a>(
        engine: &Engine,
        windows: impl Iterator<Item = (usize, &'a [CellId])>,
    ) -> Self {
        let mut cells: HashMap<CellId, Cell> = HashMap::new();
        for (place, of_window) in windows {
            for cell in of_window {
                cells.entry(cell.clone()).or_default().users.push(place);
            }
        }
        Self {
            cells: Mutex::new(cells),
            memory: engine.reserve_routed_rows(),
            bytes_max: engine.routed_bytes_max(),
            spill: Spill::new(engine),
        }
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<CellId, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps rows of `cell`, in memory if there is room or room can be made.
    ///
    /// # Errors
    /// If rows must be spilled and cannot be.
    pub(super) fn add(&self, cell: &CellId, piece: Piece) -> Result<()> {
        let bytes = piece.bytes();
        let mut cells = self.cells();
        // Nobody waits for them any more.
        if !cells.contains_key(cell) {
            return Ok(());
        }
        let mut has_room = self.reserve(bytes);
        if !has_room {
            self.make_room(&mut cells, bytes)?;
            has_room = self.reserve(bytes);
        }
        let Some(cell) = cells.get_mut(cell) else { return Ok(()) };
        if has_room {
            cell.bytes = cell.bytes.saturating_add(bytes);
            cell.pieces.push(piece);
        } else {
            // What is being computed has the rest.
            cell.spilled.push(self.spill.write(vec![piece])?);
        }
        Ok(())
    }

    fn reserve(&self, bytes: usize) -> bool {
        self.memory.size().saturating_add(bytes) <= self.bytes_max
            && self.memory.try_grow(bytes).is_ok()
    }

    /// Spills what is needed last until there is room for `bytes` more.
    fn make_room(&self, cells: &mut HashMap<CellId, Cell>, bytes: usize) -> Result<()> {
        let kept = self.memory.size().min(self.bytes_max).saturating_mul(KEPT_OF_FOUR);
        let kept = kept.checked_div(4).unwrap_or_default().saturating_sub(bytes);
        let mut victims: Vec<(usize, CellId)> = cells
            .iter()
            .filter(|(_, cell)| !cell.pieces.is_empty())
            .map(|(id, cell)| (cell.users.first().copied().unwrap_or(usize::MAX), id.clone()))
            .collect();
        victims.sort_unstable();
        while self.memory.size() > kept {
            let Some((_, victim)) = victims.pop() else { break };
            let Some(cell) = cells.get_mut(&victim) else { continue };
            cell.spilled.push(self.spill.write(std::mem::take(&mut cell.pieces))?);
            self.memory.shrink(std::mem::take(&mut cell.bytes));
        }
        Ok(())
    }

    /// The rows of `cells`, which stay until they are released.
    ///
    /// # Errors
    /// If spilled rows cannot be read back, or there is no room for them.
    pub(super) async fn rows(&self, cells: &[CellId]) -> Result<Rows> {
        let mut tables: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
        let mut spilled = Vec::new();
        {
            let held = self.cells();
            for (id, cell) in cells.iter().filter_map(|id| Some((id, held.get(id)?))) {
                tables.entry(id.0.clone()).or_default().extend(cell.pieces.iter().cloned());
                spilled.extend(cell.spilled.iter().map(|spilled| (id.0.clone(), spilled.clone())));
            }
        }
        let bytes =
            spilled.iter().fold(0_usize, |sum, (_, spilled)| sum.saturating_add(spilled.bytes));
        let memory = self.spill.reserve_read_rows();
        if memory.try_grow(bytes).is_err() {
            self.make_room(&mut self.cells(), bytes)?;
            memory.try_grow(bytes).map_err(|why| too_large(&why))?;
        }
        for (table, spilled) in spilled {
            tables.entry(table).or_default().extend(spilled.read().await?);
        }
        Ok(Rows { tables, _memory: memory })
    }

    /// The window at `place`, to which the rows of `cells` matter, is over.
    pub(super) fn release(&self, place: usize, cells: &[CellId]) {
        let mut held = self.cells();
        for id in cells {
            let Some(cell) = held.get_mut(id) else { continue };
            cell.users.retain(|user| *user != place);
            if cell.users.is_empty() {
                self.memory.shrink(cell.bytes);
                held.remove(id);
            }
        }
    }
}

#[cfg(test)]
impl Held {
    /// Whether any rows are on disk.
    pub(super) fn is_spilled(&self) -> bool {
        self.cells().values().any(|cell| !cell.spilled.is_empty())
    }

    /// The memory that rows take.
    pub(super) fn bytes_in_memory(&self) -> usize {
        self.memory.size()
    }
}

fn too_large(why: &DataFusionError) -> Error {
    Error::new(Code::WindowTooLarge, format!("the rows of the window do not fit: {why}"))
        .note("what other windows wait for was moved to disk before")
        .hint("raise `memory_limit` in [engine], or use smaller windows")
}
