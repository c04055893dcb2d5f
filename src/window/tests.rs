//! Windows tile the time line.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod margins;
mod paths;

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{Datelike, NaiveDate, Offset, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000_000;
const MONDAYS: WindowSize = WindowSize::Week { first: Weekday::Mon };

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn at(text: &str) -> EventTime {
    text.parse().unwrap()
}

fn micros(at: EventTime, plus: i64) -> EventTime {
    EventTime::from_micros(at.micros() + plus)
}

fn grid(size: &str, zone: &str) -> WindowGrid {
    WindowGrid::new(WindowSize::parse(size).unwrap(), zone.parse().unwrap())
}

/// The windows of the day that begins where `date` does in the zone of `grid`.
fn windows_of_day(grid: &WindowGrid, date: &str) -> Vec<Window> {
    let days = WindowGrid::new(WindowSize::Day, grid.zone());
    let day = days.window_at(EventTime::parse(date, grid.zone()).unwrap()).unwrap();
    grid.windows_from(day.start(), day.end()).collect()
}

fn labels(grid: &WindowGrid, date: &str) -> Vec<String> {
    windows_of_day(grid, date).into_iter().map(|window| grid.label(window)).collect()
}

/// `window` holds its ends, and its neighbours begin and end where it does.
fn assert_tiles(grid: &WindowGrid, window: Window) {
    let last = micros(window.end(), -1);
    if window.start() >= EventTime::FIRST {
        assert_eq!(grid.window_at(window.start()), Some(window), "{grid:?}");
    }
    if last < EventTime::END {
        assert_eq!(grid.window_at(last), Some(window), "{grid:?}");
    }
    if let Some(next) = grid.next(window) {
        assert_eq!(next.start(), window.end(), "{grid:?}");
        assert_eq!(grid.previous(next), Some(window), "{grid:?}");
    }
    if let Some(previous) = grid.previous(window) {
        assert_eq!(previous.end(), window.start(), "{grid:?}");
        assert_eq!(grid.next(previous), Some(window), "{grid:?}");
    }
}

fn offset(zone: Tz, seconds: i64) -> i32 {
    let at = EventTime::from_seconds(seconds).unwrap();
    at.to_local(zone).unwrap().offset().fix().local_minus_utc()
}

/// The seconds at which the offset of `zone` changes from one month to the next, 1900 to 2100.
fn changes(zone: Tz) -> Vec<i64> {
    let months = (1900..=2101).flat_map(|year| (1..=12).map(move |month| (year, month)));
    let starts: Vec<_> = months
        .map(|(year, month)| NaiveDate::from_ymd_opt(year, month, 1).unwrap())
        .map(|date| date.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp())
        .collect();
    let offsets: Vec<_> = starts.iter().map(|start| offset(zone, *start)).collect();
    let changed = (1..starts.len()).filter(|i| offsets[i - 1] != offsets[*i]);
    changed
        .map(|i| {
            let (mut low, mut high) = (starts[i - 1], starts[i]);
            while low < high {
                let middle = (low + high).div_euclid(2);
                if offset(zone, middle) == offsets[i - 1] {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        })
        .collect()
}

#[test]
fn windows_tile_the_time_line_around_every_clock_change_of_every_zone() {
    let (mut zones, mut shapes) = (HashSet::new(), HashSet::new());
    for zone in TZ_VARIANTS {
        let changes = changes(zone);
        let key: Vec<_> = changes.iter().map(|at| (*at, offset(zone, *at))).collect();
        if !zones.insert((offset(zone, 0), key)) {
            continue;
        }
        for change in changes {
            let (before, after) = (offset(zone, change - 1), offset(zone, change));
            let instant = EventTime::from_seconds(change).unwrap();
            let today = instant.to_local(zone).unwrap().date_naive();
            let starts = (-2..=2).map(|days| {
                let date = today + chrono::Duration::days(days);
                EventTime::from_local(zone, date.and_hms_opt(0, 0, 0).unwrap()).unwrap()
            });
            assert!(starts.is_sorted(), "{zone} {instant}");
            let time_of_day = (change + i64::from(before)).rem_euclid(86_400);
            if !shapes.insert((before, after, time_of_day)) {
                continue;
            }
            for size in [WindowSize::Minutes(30), WindowSize::Minutes(60), WindowSize::Day] {
                let grid = WindowGrid::new(size, zone);
                let mut reached = None;
                for window in
                    grid.windows_from(micros(instant, -26 * HOUR), micros(instant, 50 * HOUR))
                {
                    assert!(reached.is_none_or(|end| end == window.start()), "{grid:?}");
                    reached = Some(window.end());
                    assert_tiles(&grid, window);
                }
                assert!(reached.is_some_and(|end| end >= micros(instant, 50 * HOUR)));
            }
        }
    }
    assert!(shapes.len() > 300, "the clocks of the world are that odd: {}", shapes.len());
}

fn any_size() -> impl Strategy<Value = WindowSize> {
    let minutes: Vec<u16> = (1..=720).filter(|minutes| 1440 % minutes == 0).collect();
    prop_oneof![
        prop::sample::select(minutes).prop_map(WindowSize::Minutes),
        Just(WindowSize::Day),
        (0_u8..7).prop_map(|day| WindowSize::Week { first: Weekday::try_from(day).unwrap() }),
        Just(WindowSize::Month),
    ]
}

fn any_zone() -> impl Strategy<Value = Tz> {
    prop_oneof![1 => Just(Tz::UTC), 9 => prop::sample::select(&TZ_VARIANTS[..])]
}

/// Usable instants, most of them in the years in which clocks change.
fn any_instant() -> impl Strategy<Value = EventTime> {
    let usable = EventTime::FIRST.micros()..EventTime::END.micros();
    let changing = at("1840-01-01T00:00:00Z").micros()..at("2101-01-01T00:00:00Z").micros();
    prop_oneof![1 => usable, 4 => changing].prop_map(EventTime::from_micros)
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn every_usable_instant_has_one_window(
        zone in any_zone(),
        size in any_size(),
        at in any_instant(),
    ) {
        let grid = WindowGrid::new(size, zone);
        let window = grid.window_at(at).unwrap();
        prop_assert!(window.contains(at));
        assert_tiles(&grid, window);
        prop_assert!(grid.is_boundary(window.start()) || window.start() < EventTime::FIRST);
        prop_assert_eq!(grid.windows_from(at, micros(at, 1)).collect::<Vec<_>>(), vec![window]);
    }

    #[test]
    fn utc_without_a_calendar_is_utc_with_one(size in any_size(), at in any_instant()) {
        let plain = WindowGrid::new(size, Tz::UTC).window_at(at);
        prop_assert_eq!(plain, WindowGrid::new(size, Tz::Etc__UTC).window_at(at));
    }
}

#[test]
fn the_usable_range_ends_in_whole_windows() {
    for size in ["1m", "12h", "1d", "1w", "1mo"] {
        for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Niue", "Asia/Manila"] {
            let grid = grid(size, zone);
            let first = grid.window_at(EventTime::FIRST).unwrap();
            let last = grid.window_at(micros(EventTime::END, -1)).unwrap();
            assert!(grid.previous(first).is_none() && grid.next(last).is_none());
            assert!(grid.window_at(EventTime::END).is_none());
            let all =
                grid.windows_from(EventTime::from_micros(i64::MIN), at("0001-03-01T00:00:00Z"));
            assert_eq!(all.take(1).collect::<Vec<_>>(), [first]);
            let rest = grid.windows_from(last.start(), EventTime::from_micros(i64::MAX));
            assert_eq!(rest.collect::<Vec<_>>(), [last]);
        }
    }
}

#[test]
fn windows_from_are_those_that_overlap() {
    let grid = grid("6h", "UTC");
    let starts = |from, to| -> Vec<String> {
        grid.windows_from(at(from), at(to)).map(|window| window.start().to_string()).collect()
    };
    assert_eq!(
        starts("2026-11-17T11:59:59Z", "2026-11-17T12:00:01Z"),
        ["2026-11-17T06:00:00Z", "2026-11-17T12:00:00Z"]
    );
    assert_eq!(starts("2026-11-17T06:00:00Z", "2026-11-17T12:00:00Z"), ["2026-11-17T06:00:00Z"]);
    assert!(starts("2026-11-17T06:00:00Z", "2026-11-17T06:00:00Z").is_empty());
}

#[test]
fn a_day_has_as_many_hours_as_its_clocks_run() {
    let hours = |zone, date| windows_of_day(&grid("1h", zone), date).len();
    assert_eq!(hours("Europe/Berlin", "2026-03-29"), 23);
    assert_eq!(hours("Europe/Berlin", "2026-10-25"), 25);
    assert_eq!(hours("Europe/Berlin", "2026-11-17"), 24);
    // Clocks go back by half an hour: the last window of the day is cut at midnight.
    let lord_howe = windows_of_day(&grid("1h", "Australia/Lord_Howe"), "2026-04-05");
    assert_eq!(lord_howe.len(), 25);
    let last = lord_howe.last().unwrap();
    assert_eq!(last.end().micros() - last.start().micros(), HOUR / 2);
    assert_eq!(hours("America/St_Johns", "2006-10-29"), 25);
}

#[test]
fn days_begin_where_the_zone_has_them_begin() {
    for (zone, date, start) in [
        ("Asia/Beirut", "2026-03-29T02", "2026-03-28T22:00:00Z"),
        ("Africa/Cairo", "2026-04-24T02", "2026-04-23T22:00:00Z"),
        ("America/Havana", "2026-11-01T02", "2026-11-01T04:00:00Z"),
        ("Asia/Kolkata", "2026-11-17T02", "2026-11-16T18:30:00Z"),
        ("Asia/Kathmandu", "2026-11-17T02", "2026-11-16T18:15:00Z"),
        ("Europe/Berlin", "1969-12-31T02", "1969-12-30T23:00:00Z"),
    ] {
        let grid = grid("1d", zone);
        let window = grid.window_at(EventTime::parse(date, grid.zone()).unwrap()).unwrap();
        assert_eq!(window.start(), at(start), "{zone}");
        assert_tiles(&grid, window);
    }
}

#[test]
fn a_day_that_never_was_has_no_window() {
    let apia = grid("1d", "Pacific/Apia");
    let thursday = apia.window_at(at("2011-12-30T00:00:00Z")).unwrap();
    let saturday = apia.next(thursday).unwrap();
    assert_eq!(apia.label(thursday), "2011-12-29");
    assert_eq!(apia.label(saturday), "2011-12-31");
    let weeks = WindowGrid::new(WindowSize::Week { first: Weekday::Sat }, apia.zone());
    let short = weeks.window_at(thursday.start()).unwrap();
    assert_eq!(weeks.label(short), "2011-12-24 – 2011-12-29");
}

#[test]
fn clocks_set_back_across_midnight_do_not_bring_yesterday_back() {
    let grid = grid("1d", "America/St_Johns");
    // 00:01 became 23:01: two minutes after the day began, the calendar shows the day before.
    let today = grid.window_at(at("2006-10-29T02:30:00Z")).unwrap();
    let calendar = at("2006-10-29T03:00:00Z").to_local(grid.zone()).unwrap();
    assert_eq!(calendar.day(), 28);
    assert_eq!(grid.window_at(at("2006-10-29T03:00:00Z")), Some(today));
    assert_eq!(grid.label(today), "2006-10-29");
}

#[test]
fn weeks_begin_on_their_day_and_months_on_their_first() {
    let monday = grid("1w", "Europe/Berlin");
    let sunday = WindowGrid::new(monday.size().with_week_start(Weekday::Sun), monday.zone());
    let noon = at("2026-11-18T12:00:00Z");
    assert_eq!(monday.label(monday.window_at(noon).unwrap()), "2026-11-16 – 2026-11-22");
    assert_eq!(sunday.label(sunday.window_at(noon).unwrap()), "2026-11-15 – 2026-11-21");
    let month = grid("1mo", "Europe/Berlin");
    let october = month.window_at(at("2026-09-30T22:00:00Z")).unwrap();
    assert_eq!(month.label(october), "2026-10");
    assert_eq!(october.end(), at("2026-10-31T23:00:00Z"));
    assert!(month.is_boundary(october.end()) && !month.is_boundary(noon));
}

#[test]
fn labels_are_what_the_clocks_of_the_zone_show() {
    let hours = grid("1h", "Europe/Berlin");
    let november = labels(&hours, "2026-11-17");
    assert_eq!(november[9], "2026-11-17 09:00 – 10:00");
    assert_eq!(november[23], "2026-11-17 23:00 – 2026-11-18 00:00");
    assert_eq!(
        labels(&hours, "2026-10-25")[1..4],
        [
            "2026-10-25 01:00 – 02:00+02:00",
            "2026-10-25 02:00+02:00 – 02:00+01:00",
            "2026-10-25 02:00+01:00 – 03:00"
        ]
    );
    assert_eq!(labels(&hours, "2026-03-29")[1], "2026-03-29 01:00 – 03:00");
    let window = hours.window_at(at("2026-11-17T08:30:00Z")).unwrap();
    assert_eq!(hours.local(window), "2026-11-17T09:00:00+01:00[Europe/Berlin]");
    assert_eq!(hours.local_instant(at("2026-11-20T04:45:00Z")), "2026-11-20 05:45 +01:00");
    assert_eq!(grid("1d", "UTC").local(window), "2026-11-17T08:00:00+00:00[UTC]");
    let ancient = grid("1h", "UTC").window_at(EventTime::FIRST).unwrap();
    assert_eq!(grid("1h", "UTC").label(ancient), "0001-02-01 00:00 – 01:00");
    let far = grid("1d", "UTC").window_at(at("9999-10-28T12:00:00Z")).unwrap();
    assert_eq!(grid("1d", "UTC").label(far), "9999-10-28");
}

#[test]
fn sizes_are_read_and_printed() {
    for (text, size) in [
        ("1m", WindowSize::Minutes(1)),
        ("15m", WindowSize::Minutes(15)),
        ("1h", WindowSize::Minutes(60)),
        ("12h", WindowSize::Minutes(720)),
        ("1d", WindowSize::Day),
        ("1w", MONDAYS),
        ("1mo", WindowSize::Month),
    ] {
        assert_eq!(WindowSize::parse(text), Ok(size));
        assert_eq!(size.to_string(), text);
    }
    assert_eq!(WindowSize::parse("60m").unwrap().to_string(), "1h");
}

#[test]
fn a_size_that_cannot_be_says_what_can() {
    for (text, expected) in [
        ("7h", "`7h` does not divide a day: the nearest that do are `6h` and `8h`"),
        ("50m", "`50m` does not divide a day: the nearest that do are `48m` and `1h`"),
        ("18h", "`18h` does not divide a day: the nearest that do are `12h` and `1d`"),
        ("24h", "`24h` is a day, which may have 23 or 25 hours: write `1d`"),
        ("48h", "`48h` is longer than a day: use `1d`, `1w` or `1mo`"),
        ("4000000000h", "`4000000000h` is longer than a day: use `1d`, `1w` or `1mo`"),
        ("2d", "windows of several days (`2d`) are not possible: use `1d` or `1w`"),
        ("7d", "a window of seven days is a week: write `1w`"),
        ("3w", "windows of several weeks (`3w`) are not possible: use `1w` or `1mo`"),
        ("2mo", "`2mo` is too long: the largest window is a month, `1mo`"),
        ("1y", "`1y` is too long: the largest window is a month, `1mo`"),
        ("1M", "`1M` can be read in two ways: write `1mo` for a month, `1m` for minutes"),
        ("30s", "`30s` is too short: the smallest window is a minute, `1m`"),
        ("0m", "`0m` is no time at all: use `1m` to `12h`, `1d`, `1w` or `1mo`"),
    ] {
        assert_eq!(WindowSize::parse(text), Err(expected.to_owned()));
    }
    for text in ["", "h", "1", "-1h", "1 h", "1hour", "1.5h", "ö", "99999999999h"] {
        assert!(WindowSize::parse(text).unwrap_err().contains("is not a window size"), "{text}");
    }
}

#[derive(Clone, Debug)]
enum Change {
    Insert(i64, i64),
    Remove(i64, i64),
}

fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((0_i64..30, 0_i64..30, any::<bool>()), 0..20).prop_map(|changes| {
        let change = |(start, end, insert)| {
            if insert { Change::Insert(start, end) } else { Change::Remove(start, end) }
        };
        changes.into_iter().map(change).collect()
    })
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_window_set_is_a_set_of_instants(
        changes in any_changes(),
        start in 0_i64..30,
        end in 0_i64..30,
    ) {
        let time = EventTime::from_micros;
        let (mut set, mut model) = (WindowSet::new(), BTreeSet::new());
        for change in changes {
            match change {
                Change::Insert(start, end) => {
                    set.insert(time(start), time(end));
                    model.extend(start..end);
                }
                Change::Remove(start, end) => {
                    set.remove(time(start), time(end));
                    model.retain(|at| !(start..end).contains(at));
                }
            }
        }
        let instants = |ranges: &mut dyn Iterator<Item = (EventTime, EventTime)>| -> Vec<i64> {
            ranges.flat_map(|(start, end)| start.micros()..end.micros()).collect()
        };
        prop_assert_eq!(instants(&mut set.ranges()), Vec::from_iter(model.clone()));
        prop_assert_eq!(set.is_empty(), model.is_empty());
        let ranges: Vec<_> = set.ranges().collect();
        prop_assert!(ranges.iter().all(|range| range.0 < range.1));
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        let lacking: Vec<_> = (start..end).filter(|at| !model.contains(at)).collect();
        prop_assert_eq!(set.covers(time(start), time(end)), lacking.is_empty());
        prop_assert_eq!(instants(&mut set.gaps(time(start), time(end))), lacking);
        for at in 0..30 {
            prop_assert_eq!(set.contains(time(at)), model.contains(&at));
            let run = (at..31).find(|at| !model.contains(at)).filter(|end| *end > at);
            prop_assert_eq!(set.end_of_run(time(at)), run.map(time));
        }
    }
}
