//! Windows: half-open stretches of event time that tile the time line.

mod grid;
mod injective;
mod margins;
mod reach;
mod route;
mod set;
mod size;
mod template;
#[cfg(test)]
mod tests;

pub use grid::WindowGrid;
pub use injective::TemplateClash;
pub use margins::Margins;
pub use reach::Reach;
pub use route::rows_by_cell;
pub use set::WindowSet;
pub use size::WindowSize;
pub use template::{PathTemplate, TemplateError};

use crate::time::EventTime;

/// The event times `start <= t < end`.
///
/// Invariant: `start < end`. The fields are private so that [`Window::new`] is the only door.
/// Windows order by start, then end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    start: EventTime,
    end: EventTime,
}

impl Window {
    /// The window from `start` to `end`, exclusive; `None` unless `start < end`.
    #[must_use]
    pub fn new(start: EventTime, end: EventTime) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The first instant in the window.
    #[must_use]
    pub fn start(self) -> EventTime {
        self.start
    }

    /// The first instant after the window.
    #[must_use]
    pub fn end(self) -> EventTime {
        self.end
    }

    /// Whether `at` lies in the window.
    #[must_use]
    pub fn contains(self, at: EventTime) -> bool {
        self.start <= at && at < self.end
    }

    /// Windows that merely touch do not overlap.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}
