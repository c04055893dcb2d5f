//! What a window shows of a source beyond its own rows, and the cells that this cuts the time line
//! into.
//!
//! The query of a window `[start, end)` sees the rows of `[start - lookback, end + lookahead)`.
//! Rows are counted by *cell*: the pieces of the time line between any two neighbours among all
//! starts of windows and all edges of what windows see. Each window sees whole cells only, so that
//! the counts say exactly which windows a row belongs to. Without margins, cells are windows.

use super::{Window, WindowGrid, WindowSet, WindowSize};
use crate::time::{EventTime, Span};

/// The last instant that a row may carry.
pub(super) const LAST: EventTime = EventTime::from_micros(EventTime::END.micros() - 1);

/// How far beyond a window its query sees a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Margins {
    /// Before the window's start.
    pub lookback: Span,
    /// After the window's end; the window closes only once the source has come that far.
    pub lookahead: Span,
}

impl Margins {
    /// Whether a window sees its own rows only.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.lookback == Span::ZERO && self.lookahead == Span::ZERO
    }

    /// What the query of `window` sees.
    #[must_use]
    pub fn seen_from(self, window: Window) -> Window {
        let start = window.start().minus(self.lookback).unwrap_or(EventTime::FIRST);
        let end = window.end().plus(self.lookahead).unwrap_or(EventTime::END).max(window.end());
        Window::new(start.max(EventTime::FIRST).min(window.start()), end).unwrap_or(window)
    }

    /// The cell that `at` lies in; `None` if no row may carry that time.
    #[must_use]
    pub fn cell_at(self, grid: &WindowGrid, at: EventTime) -> Option<Window> {
        let home = grid.window_at(at)?;
        if self.is_none() {
            return Some(home);
        }
        let mut cell = (home.start(), home.end());
        let mut cut = |start: Option<EventTime>, end: Option<EventTime>| {
            cell.0 = start.map_or(cell.0, |start| start.max(cell.0));
            cell.1 = end.map_or(cell.1, |end| end.min(cell.1));
        };
        // Where windows begin to see: their starts, moved back. None begins after the last one.
        let ahead = at.plus(self.lookback).unwrap_or(EventTime::from_micros(i64::MAX));
        if let Some(window) = grid.window_at(ahead.min(LAST)) {
            let (start, end) = (window.start().minus(self.lookback), window.end());
            let end = end.minus(self.lookback);
            if ahead < window.end() { cut(start, end) } else { cut(end, None) }
        }
        // Where windows see no more: their ends, which are starts too, moved ahead.
        let behind = at.minus(self.lookahead).unwrap_or(EventTime::from_micros(i64::MIN));
        if let Some(window) = grid.window_at(behind.max(EventTime::FIRST)) {
            let (start, end) = (window.start().plus(self.lookahead), window.end());
            let end = end.plus(self.lookahead);
            if behind >= window.start() { cut(start, end) } else { cut(None, start) }
        }
        Window::new(cell.0, cell.1)
    }

    /// The start of the first window that sees the cell which starts at `cell`.
    #[must_use]
    pub fn first_seeing(self, grid: &WindowGrid, cell: EventTime) -> Option<EventTime> {
        let at = cell.minus(self.lookahead).unwrap_or(EventTime::FIRST).max(EventTime::FIRST);
        grid.window_at(at).map(Window::start)
    }

    /// Inserts the windows that see any of the cells which start at `cells`.
    pub(super) fn insert_seeing(
        self,
        grid: &WindowGrid,
        cells: impl IntoIterator<Item = EventTime>,
        seeing: &mut WindowSet,
    ) {
        for cell in cells {
            // The first cell of all may begin before any row may.
            let last = cell.plus(self.lookback).unwrap_or(LAST).clamp(EventTime::FIRST, LAST);
            let last = grid.window_at(last).map(Window::end);
            if let (Some(start), Some(end)) = (self.first_seeing(grid, cell), last) {
                seeing.insert(start, end);
            }
        }
    }

    /// About how many windows of `size` see one row.
    #[must_use]
    pub fn windows_per_row(self, size: WindowSize) -> u64 {
        let reach = self.lookback.seconds().saturating_add(self.lookahead.seconds());
        let windows = reach.checked_div(size.seconds()).unwrap_or_default().saturating_add(1);
        u64::try_from(windows).unwrap_or_default()
    }
}
