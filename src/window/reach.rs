//! What decides about the rows of a window: those that its query is shown, and those that tell
//! which of them are duplicates.
//!
//! Duplicates are told apart in the window that a row belongs to, from all rows of that window. So
//! where they are, a window reaches over whole windows: its own, those that its margins touch, and
//! those that hold rows of which theirs may be duplicates.

use super::margins::LAST;
use super::{Margins, Window, WindowGrid, WindowSet};
use crate::time::{EventTime, Span};

/// How far beyond a window rows of a source matter to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    margins: Margins,
    /// How long after another row a row may be a duplicate of it: nothing, within windows only;
    /// `None` if rows are not told apart.
    across: Option<Span>,
}

impl Reach {
    /// The reach of a source with these margins, whose rows are duplicates of rows of their own
    /// window and of rows this long before them; `None` if of none.
    #[must_use]
    pub fn new(margins: Margins, across: Option<Span>) -> Self {
        Self { margins, across }
    }

    /// Whether no row matters to a window but its own.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.margins.is_none() && self.across.is_none_or(|across| across == Span::ZERO)
    }

    /// The event times whose rows matter to `window`.
    #[must_use]
    pub fn of(self, grid: &WindowGrid, window: Window) -> Window {
        let seen = self.margins.seen_from(window);
        let Some(across) = self.across else { return seen };
        let home = |at: EventTime| grid.window_at(at.clamp(EventTime::FIRST, LAST));
        let first = home(seen.start()).map_or(seen.start(), Window::start);
        let before = first.minus(across).unwrap_or(EventTime::FIRST);
        let start = home(before).map_or(first, Window::start);
        let last = home(seen.end().minus(Span::MICROSECOND).unwrap_or(seen.end()));
        Window::new(start, last.map_or(seen.end(), Window::end)).unwrap_or(seen)
    }

    /// The windows to which rows of any of the cells that start at `cells` matter, ascending.
    pub fn touched(
        self,
        grid: &WindowGrid,
        cells: impl IntoIterator<Item = EventTime>,
    ) -> impl Iterator<Item = Window> {
        let mut touched = WindowSet::new();
        match self.across {
            None => self.margins.insert_seeing(grid, cells, &mut touched),
            Some(across) => {
                for cell in cells {
                    if let Some((start, end)) = self.reaching(grid, cell, across) {
                        touched.insert(start, end);
                    }
                }
            }
        }
        let stretches: Vec<_> = touched.ranges().collect();
        stretches.into_iter().flat_map(|(start, end)| grid.windows_from(start, end))
    }

    /// From the first to the last window that reaches over the window which `cell` lies in.
    fn reaching(
        self,
        grid: &WindowGrid,
        cell: EventTime,
        across: Span,
    ) -> Option<(EventTime, EventTime)> {
        let window_until = |end: Option<EventTime>| {
            let last = end.and_then(|end| end.minus(Span::MICROSECOND)).unwrap_or(LAST);
            grid.window_at(last.clamp(EventTime::FIRST, LAST))
        };
        let home = grid.window_at(cell.clamp(EventTime::FIRST, LAST))?;
        let first = self.margins.first_seeing(grid, home.start())?;
        let shown = window_until(home.end().plus(across))?;
        let last = window_until(shown.end().plus(self.margins.lookback))?;
        Some((first, last.end()))
    }
}
