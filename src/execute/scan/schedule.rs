//! Which file is read next, and which window is complete: bookkeeping without IO.
//!
//! Windows are wanted in the order of work. A file is read when the first window that is wanted and
//! incomplete needs it, once, and its rows are kept for every window of the plan that sees them. A
//! window is complete once every file with a row that matters to it was read.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, Error};
use crate::ledger::{FileId, Ledger};
use crate::plan::DueWindow;
use crate::spec::PipelineSpec;
use crate::time::EventTime;
use crate::window::Window;

/// The rows of one table that lie in one cell (see [`crate::window::Margins`]): the table, and the
/// start of the cell.
pub(super) type CellId = (String, EventTime);

/// What of a file is to be read.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The file.
    pub(super) id: FileId,
    /// The cells with rows that some window waits for, ascending.
    pub(super) cells: Vec<Window>,
    /// How many rows each has by the ledger.
    pub(super) rows: Vec<u64>,
}

/// Files and windows of one plan.
#[derive(Debug)]
pub(super) struct Schedule {
    windows: Vec<Planned>,
    files: Vec<File>,
    places: BTreeMap<EventTime, usize>,
    /// Windows that are wanted and not complete, by place.
    wanted: BTreeSet<usize>,
    /// Windows that are wanted and complete, and were not begun.
    complete: BTreeSet<usize>,
}

#[derive(Debug)]
struct Planned {
    due: DueWindow,
    /// The files it needs, in key order.
    files: Vec<usize>,
    /// How many of them were not read.
    unread: usize,
    /// The cells whose rows matter to it.
    cells: Vec<CellId>,
    is_wanted: bool,
    /// Why it cannot be computed.
    wrong: Option<Error>,
}

#[derive(Debug)]
struct File {
    wanted: Wanted,
    /// The windows that need it.
    windows: Vec<usize>,
    is_begun: bool,
}

impl Schedule {
    /// A schedule for `windows`, which are in the order of work.
    pub(super) fn new(
        spec: &PipelineSpec,
        ledger: &Ledger,
        windows: impl IntoIterator<Item = DueWindow>,
    ) -> Self {
        let mut schedule = Self {
            windows: Vec::new(),
            files: Vec::new(),
            places: BTreeMap::new(),
            wanted: BTreeSet::new(),
            complete: BTreeSet::new(),
        };
        let mut known: BTreeMap<FileId, usize> = BTreeMap::new();
        let mut cells: Vec<BTreeMap<EventTime, (Window, u64)>> = Vec::new();
        for (place, due) in windows.into_iter().enumerate() {
            let mut files = Vec::with_capacity(due.inputs.len());
            let mut own = BTreeSet::new();
            for input in &due.inputs {
                let id = &input.file;
                let file = known.get(id).copied().unwrap_or_else(|| {
                    known.insert(id.clone(), schedule.files.len());
                    schedule.files.push(File::new(id.clone()));
                    cells.push(BTreeMap::new());
                    schedule.files.len().saturating_sub(1)
                });
                files.push(file);
                if let Some(file) = schedule.files.get_mut(file) {
                    file.windows.push(place);
                }
                let Some(of_file) = cells.get_mut(file) else { continue };
                for (cell, rows) in cells_seen(spec, ledger, &due, id) {
                    of_file.insert(cell.start(), (cell, rows));
                    own.insert((id.table.clone(), cell.start()));
                }
            }
            schedule.places.insert(due.window.start(), place);
            schedule.windows.push(Planned {
                due,
                unread: files.len(),
                files,
                cells: own.into_iter().collect(),
                is_wanted: false,
                wrong: None,
            });
        }
        for (file, cells) in schedule.files.iter_mut().zip(cells) {
            (file.wanted.cells, file.wanted.rows) = cells.into_values().unzip();
        }
        schedule
    }

    /// The windows by place, with the cells whose rows matter to them.
    pub(super) fn cells_by_window(&self) -> impl Iterator<Item = (usize, &[CellId])> {
        self.windows.iter().map(|window| window.cells.as_slice()).enumerate()
    }

    /// The window at `place`.
    pub(super) fn due(&self, place: usize) -> Option<&DueWindow> {
        self.windows.get(place).map(|window| &window.due)
    }

    /// The cells whose rows matter to the window at `place`.
    pub(super) fn cells(&self, place: usize) -> &[CellId] {
        self.windows.get(place).map(|window| window.cells.as_slice()).unwrap_or_default()
    }

    /// The window that starts at `start` is to be computed from now on. Its place; `None` if it
    /// was not planned.
    pub(super) fn want(&mut self, start: EventTime) -> Option<usize> {
        let place = *self.places.get(&start)?;
        let window = self.windows.get_mut(place)?;
        window.is_wanted = true;
        if window.is_complete() { &mut self.complete } else { &mut self.wanted }.insert(place);
        Some(place)
    }

    /// How many windows are complete and wait to be begun.
    pub(super) fn complete(&self) -> usize {
        self.complete.len()
    }

    /// Begins the first complete window: its place, and why it cannot be computed, if it cannot.
    pub(super) fn next_window(&mut self) -> Option<(usize, Option<Error>)> {
        let place = self.complete.pop_first()?;
        Some((place, self.windows.get(place)?.wrong.clone()))
    }

    /// Begins the file that is to be read next, if one is wanted: its place, and what to read.
    pub(super) fn next_file(&mut self) -> Option<(usize, Wanted)> {
        for place in &self.wanted {
            let Some(window) = self.windows.get(*place) else { continue };
            let is_unread =
                |file: &&usize| self.files.get(**file).is_some_and(|file| !file.is_begun);
            let Some(file) = window.files.iter().find(is_unread).copied() else { continue };
            let begun = self.files.get_mut(file)?;
            begun.is_begun = true;
            return Some((file, begun.wanted.clone()));
        }
        None
    }

    /// The file at `place` was read; `counts` are the rows that its cells have got.
    pub(super) fn read(&mut self, place: usize, name: &str, counts: &Result<Vec<u64>, Error>) {
        let Some(file) = self.files.get(place) else { return };
        let mut changed = BTreeMap::new();
        if let Ok(counts) = counts {
            for ((cell, said), found) in file.wanted.cells.iter().zip(&file.wanted.rows).zip(counts)
            {
                if said != found {
                    let text = format!(
                        "{name} has {found} rows between {} and {}, and had {said} before",
                        cell.start(),
                        cell.end()
                    );
                    let id = (file.wanted.id.table.clone(), cell.start());
                    changed.insert(id, Error::new(Code::InputChanged, text));
                }
            }
        }
        for place in &file.windows {
            let Some(window) = self.windows.get_mut(*place) else { continue };
            window.unread = window.unread.saturating_sub(1);
            let wrong = match counts {
                Err(why) => Some(why),
                Ok(_) => window.cells.iter().find_map(|cell| changed.get(cell)),
            };
            window.wrong = window.wrong.take().or_else(|| wrong.cloned());
            if window.is_complete() && self.wanted.remove(place) {
                self.complete.insert(*place);
            }
        }
    }
}

impl Planned {
    /// Whether nothing is to be read for it any more.
    fn is_complete(&self) -> bool {
        self.unread == 0 || self.wrong.is_some()
    }
}

impl File {
    fn new(id: FileId) -> Self {
        let wanted = Wanted { id, cells: Vec::new(), rows: Vec::new() };
        Self { wanted, windows: Vec::new(), is_begun: false }
    }
}

/// The cells of a file whose rows matter to a window, and how many rows each has.
fn cells_seen(
    spec: &PipelineSpec,
    ledger: &Ledger,
    due: &DueWindow,
    id: &FileId,
) -> Vec<(Window, u64)> {
    let (Some(source), Some(file)) = (spec.source(&id.table), ledger.file(id)) else {
        return Vec::new();
    };
    let reach = source.reach().of(&spec.grid, due.window);
    let cells = &file.record.cells;
    let first = cells.partition_point(|(start, _)| *start < reach.start());
    let seen = cells.iter().skip(first).take_while(|(start, _)| *start < reach.end());
    // The first cell of all may begin before any row may.
    let cell_at = |at: EventTime| source.margins.cell_at(&spec.grid, at.max(EventTime::FIRST));
    seen.filter_map(|(start, rows)| Some((cell_at(*start)?, *rows))).collect()
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::plan::tests::story::Story;
    use crate::state::tests::log::{hour, hour_of};

    /// Reads everything that is wanted. Which files were read, and after each, which windows were
    /// complete.
    fn read_all(schedule: &mut Schedule, lies: &str) -> Vec<String> {
        let mut told = Vec::new();
        while let Some((place, wanted)) = schedule.next_file() {
            let mut counts = wanted.rows.clone();
            if wanted.id.key == lies {
                counts[0] += 1;
            }
            let counts = match wanted.id.key.as_str() {
                "broken" => Err(Error::new(Code::CorruptInput, "broken")),
                _ => Ok(counts),
            };
            schedule.read(place, &wanted.id.key, &counts);
            let mut text = wanted.id.key.clone();
            while let Some((place, wrong)) = schedule.next_window() {
                let at = hour_of(schedule.due(place).unwrap().window.start());
                let wrong = wrong.map(|why| format!("!{}", why.code()));
                write!(text, " {at}{}", wrong.unwrap_or_default()).unwrap();
            }
            told.push(text);
        }
        told
    }

    fn schedule(text: &str) -> Schedule {
        let story = Story::tell(text);
        Schedule::new(&story.spec, &story.ledger, story.plan().windows)
    }

    #[test]
    fn each_file_is_read_once_and_a_window_is_complete_with_its_last_file() {
        let mut schedule = schedule("file a 1 2\nfile b 1 2 3\nfile c 3 4\nfile d 9");
        for n in 1..=4 {
            assert!(schedule.want(hour(n)).is_some());
        }
        assert_eq!(read_all(&mut schedule, ""), ["a", "b 1 2", "c 3 4"]);
        assert!(schedule.want(hour(7)).is_none(), "it was not planned");
        let cells = schedule.cells(2).to_vec();
        assert_eq!(cells, [("t".to_owned(), hour(3))]);
    }

    #[test]
    fn nothing_is_read_for_windows_that_nobody_wants_yet() {
        let mut schedule = schedule("file a 1\nfile b 2\nfile c 2 3\nfile z 9");
        assert_eq!(read_all(&mut schedule, ""), [""; 0]);
        schedule.want(hour(2));
        assert_eq!(read_all(&mut schedule, ""), ["b", "c 2"]);
        schedule.want(hour(3));
        assert_eq!(schedule.complete(), 1, "its only file was read for another window");
        schedule.want(hour(1));
        assert_eq!(read_all(&mut schedule, ""), ["a 1 3"]);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_of_the_windows_it_matters_to() {
        let mut schedule = schedule("file a 1 2\nfile broken 2 3\nfile c 3 4\nfile z 9");
        for n in 1..=4 {
            schedule.want(hour(n));
        }
        let told = read_all(&mut schedule, "c");
        assert_eq!(told, ["a 1", "broken 2!HW3001 3!HW3001", "c 4"], "{told:?}");
    }

    #[test]
    fn a_cell_with_other_rows_than_before_fails_its_windows_and_no_others() {
        let mut schedule = schedule("file a 1x3 2x4\nfile z 9");
        schedule.want(hour(1));
        schedule.want(hour(2));
        let told = read_all(&mut schedule, "a");
        let changed = Code::InputChanged;
        assert_eq!(told, [format!("a 1!{changed} 2")]);
    }
}
