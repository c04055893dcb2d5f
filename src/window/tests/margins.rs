//! Cells tile the time line, and each window sees whole cells: what is counted by cell is exact.

use proptest::prelude::*;

use crate::time::{EventTime, Span};
use crate::window::{Margins, Reach, Window, WindowGrid, WindowSize};

fn any_grid() -> impl Strategy<Value = WindowGrid> {
    let sizes = vec![
        WindowSize::Minutes(30),
        WindowSize::Minutes(300),
        WindowSize::Day,
        WindowSize::Week { first: chrono::Weekday::Mon },
        WindowSize::Month,
    ];
    let zones = vec![chrono_tz::UTC, chrono_tz::America::New_York, chrono_tz::Asia::Kolkata];
    (prop::sample::select(sizes), prop::sample::select(zones))
        .prop_map(|(size, zone)| WindowGrid::new(size, zone))
}

fn any_margins() -> impl Strategy<Value = Margins> {
    let length = || {
        prop_oneof![Just(0), Just(3_600), 0..20_000_u32, 0..5_000_000_u32]
            .prop_map(Span::from_seconds)
    };
    (length(), length()).prop_map(|(lookback, lookahead)| Margins { lookback, lookahead })
}

/// An instant of 2025, in which New York changes its clocks twice.
fn any_instant() -> impl Strategy<Value = EventTime> {
    (1_735_689_600_i64..1_767_225_600).prop_map(|at| EventTime::from_seconds(at).unwrap())
}

/// Windows around `at`, far enough for all that could see it.
fn around(grid: &WindowGrid, margins: Margins, at: EventTime) -> Vec<Window> {
    let seen = margins.seen_from(grid.window_at(at).unwrap());
    let far = |window: Window| window.start().minus(margins.lookahead);
    let from = far(grid.window_at(seen.start()).unwrap()).unwrap();
    let to = seen.end().plus(margins.lookback).unwrap();
    grid.windows_from(from, to).collect()
}

proptest! {
    #[test]
    fn a_cell_holds_its_instant_and_the_next_begins_where_it_ends(
        grid in any_grid(), margins in any_margins(), at in any_instant(),
    ) {
        let cell = margins.cell_at(&grid, at).unwrap();
        prop_assert!(cell.contains(at));
        prop_assert_eq!(margins.cell_at(&grid, cell.start()), Some(cell));
        prop_assert_eq!(margins.cell_at(&grid, cell.end()).map(Window::start), Some(cell.end()));
        let home = grid.window_at(at).unwrap();
        prop_assert!(home.start() <= cell.start() && cell.end() <= home.end());
    }

    #[test]
    fn a_window_sees_all_of_a_cell_or_nothing_of_it(
        grid in any_grid(), margins in any_margins(), at in any_instant(),
    ) {
        let cell = margins.cell_at(&grid, at).unwrap();
        let sees = |window: &Window| margins.seen_from(*window).contains(at);
        for window in around(&grid, margins, at) {
            let seen = margins.seen_from(window);
            let is_whole = seen.start() <= cell.start() && cell.end() <= seen.end();
            prop_assert_eq!(sees(&window), is_whole);
            prop_assert!(is_whole || !seen.overlaps(cell));
        }
        let reach = Reach::new(margins, None);
        let seeing: Vec<Window> = reach.touched(&grid, [cell.start()]).collect();
        let expected: Vec<Window> = around(&grid, margins, at).into_iter().filter(sees).collect();
        prop_assert_eq!(
            margins.first_seeing(&grid, cell.start()), expected.first().map(|w| w.start())
        );
        prop_assert_eq!(seeing, expected);
    }
}

#[test]
fn without_margins_a_cell_is_a_window() {
    let grid = WindowGrid::new(WindowSize::Minutes(60), chrono_tz::UTC);
    let at = EventTime::from_seconds(1_767_225_700).unwrap();
    assert_eq!(Margins::default().cell_at(&grid, at), grid.window_at(at));
    assert!(Reach::new(Margins::default(), None).touched(&grid, [at]).eq(grid.window_at(at)));
}

#[test]
fn at_the_edges_of_time_nothing_is_seen_beyond_them() {
    let grid = WindowGrid::new(WindowSize::Month, chrono_tz::UTC);
    let year = Span::from_seconds(366 * 86_400);
    let margins = Margins { lookback: year, lookahead: year };
    let last = EventTime::END.minus(Span::from_seconds(1)).unwrap();
    for at in [EventTime::FIRST, last] {
        let window = grid.window_at(at).unwrap();
        let seen = margins.seen_from(window);
        assert!(EventTime::FIRST <= seen.start() && seen.start() <= window.start());
        let cell = margins.cell_at(&grid, at).unwrap();
        assert!(cell.contains(at));
        assert!(
            Reach::new(margins, None).touched(&grid, [cell.start()]).any(|seeing| seeing == window)
        );
    }
}

/// What `reach` says of `window`, asked of every window near by.
fn reaches(reach: Reach, grid: &WindowGrid, window: Window, other: Window) -> bool {
    reach.of(grid, window).overlaps(other)
}

proptest! {
    #[test]
    fn a_window_is_touched_by_what_it_reaches_over_and_by_nothing_else(
        grid in any_grid(),
        margins in any_margins(),
        across in proptest::option::of(0_u32..200_000),
        at in -2_000_000_000_000_000_i64..2_000_000_000_000_000,
    ) {
        let across = across.map(Span::from_seconds);
        let reach = Reach::new(margins, across);
        let cell = margins.cell_at(&grid, EventTime::from_micros(at)).unwrap();
        let home = grid.window_at(cell.start()).unwrap();
        // Where rows are judged together, a row stands for its whole window.
        let matters = if across.is_some() { home } else { cell };
        let touched: Vec<Window> = reach.touched(&grid, [cell.start()]).collect();
        prop_assert!(touched.contains(&home));
        for window in &touched {
            prop_assert!(reaches(reach, &grid, *window, matters), "{window:?} {reach:?}");
        }
        let before = grid.window_at(touched[0].start().minus(Span::MICROSECOND).unwrap()).unwrap();
        let after = grid.window_at(touched.last().unwrap().end()).unwrap();
        for window in [before, after] {
            prop_assert!(!reaches(reach, &grid, window, matters), "{window:?} {reach:?}");
        }
    }
}
