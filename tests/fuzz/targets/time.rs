//! Instants, lengths, and windows laid on a calendar.

use chrono_tz::Tz;
use highwater::time::{EventTime, ProcessingTime, Span};
use highwater::window::{Margins, Reach, Window, WindowGrid, WindowSize};

/// Windows looked at on each side of an instant.
const NEAR: usize = 20;

/// A zone and an instant as a person types it: a line each.
pub(crate) fn instant(bytes: &[u8]) {
    let lines = super::lines(bytes);
    let [zone, text, ..] = lines.as_slice() else { return };
    let zone: Tz = zone.parse().unwrap_or(Tz::UTC);
    if let Ok(at) = text.parse::<EventTime>() {
        assert_eq!(at.to_string().parse(), Ok(at));
        check_instant(at, zone);
    }
    if let Ok(at) = text.parse::<ProcessingTime>() {
        assert_eq!(at.to_string().parse(), Ok(at));
    }
    if let Some(at) = EventTime::parse(text, zone) {
        check_instant(at, zone);
        assert_eq!(EventTime::parse(&at.to_string(), zone).or(Some(at)), Some(at));
    }
}

fn check_instant(at: EventTime, zone: Tz) {
    if let Some(local) = at.to_local(zone) {
        let again = EventTime::from_local(zone, local.naive_local());
        // Of an hour that is shown twice, the first pass; else the same instant.
        assert!(again.is_none_or(|again| again <= at), "{at} is {again:?} in {zone}");
    }
    for micros in [0, 1, at.micros().saturating_abs()] {
        let span = Span::from_micros(micros).expect("it is not negative");
        assert!(at.plus(span).is_none_or(|later| later.minus(span) == Some(at)));
        assert!(!span.to_string().is_empty());
    }
}

/// The size of windows, a zone, an instant in microseconds or as text, and two margins in
/// microseconds: a line each.
pub(crate) fn window(bytes: &[u8]) {
    let lines = super::lines(bytes);
    let [size, zone, at, rest @ ..] = lines.as_slice() else { return };
    let Ok(size) = WindowSize::parse(size) else { return };
    assert_eq!(WindowSize::parse(&size.to_string()), Ok(size));
    assert!(size.seconds() >= 60);
    let grid = WindowGrid::new(size, zone.parse().unwrap_or(Tz::UTC));
    let micros = at.parse().map(EventTime::from_micros).ok();
    let Some(at) = micros.or_else(|| at.parse().ok()) else { return };
    let span = |place: usize| {
        let micros = rest.get(place).and_then(|text| text.parse().ok());
        micros.and_then(Span::from_micros).unwrap_or_default()
    };
    let Some(window) = grid.window_at(at) else {
        assert!(!at.is_usable(), "{at} lies in no window of {grid:?}");
        return;
    };
    assert!(at.is_usable() && window.contains(at));
    check_neighbours(&grid, window);
    assert!(!grid.label(window).is_empty() && !grid.local(window).is_empty());
    assert!(!grid.local_instant(at).is_empty());
    check_margins(Margins { lookback: span(0), lookahead: span(1) }, &grid, window, at);
}

fn check_neighbours(grid: &WindowGrid, window: Window) {
    let start = window.start();
    assert_eq!(grid.is_boundary(start), start.is_usable());
    if let Some(next) = grid.next(window) {
        assert_eq!(next.start(), window.end());
        assert_eq!(grid.previous(next), Some(window));
    }
    if let Some(previous) = grid.previous(window) {
        assert_eq!(previous.end(), window.start());
        assert_eq!(grid.next(previous), Some(window));
    }
    let mut expected = Some(window);
    for found in grid.windows_from(start, EventTime::from_micros(i64::MAX)).take(NEAR) {
        assert_eq!(Some(found), expected, "the windows from {start} have a gap");
        expected = grid.next(found);
    }
}

fn check_margins(margins: Margins, grid: &WindowGrid, window: Window, at: EventTime) {
    let seen = margins.seen_from(window);
    assert!(seen.start() <= window.start() && window.end() <= seen.end());
    let cell = margins.cell_at(grid, at).expect("each row lies in a cell");
    assert!(cell.contains(at) && window.start() <= cell.start() && cell.end() <= window.end());
    // The first cell of all may begin before any row may.
    if cell.start().is_usable() {
        assert_eq!(margins.cell_at(grid, cell.start()), Some(cell));
    }
    let first = margins.first_seeing(grid, cell.start());
    assert!(first.is_some_and(|first| first <= window.start()));
    for seeing in Reach::new(margins, None).touched(grid, [cell.start()]).take(NEAR) {
        let seen = margins.seen_from(seeing);
        let start = cell.start().max(EventTime::FIRST);
        assert!(seen.contains(start), "{seeing:?} is said to see the cell {cell:?}");
    }
    assert!(margins.windows_per_row(grid.size()) >= 1);
}
