//! However input arrives, outputs equal one query over all of it; and what does not matter makes
//! nothing due.

mod histories;
mod joins;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use crate::support::{
    DAY_0, Dice, HOUR, Outputs, Project, Row, TINY, batches_of, block_on, files_below, flight_days,
    flights, texts,
};

const FLIGHTS: &str = r#"
version = 1
name = "flights"

[storage]
root = "."

[pipeline.hourly.window]
size = "1h"

[pipeline.hourly.source.flights]
path = "in"
event_time = "event_time"

[[pipeline.hourly.step]]
name = "by_origin"
sql = """
SELECT origin, count(*) AS flights, count(dep_delay) AS departed, sum(dep_delay) AS delay,
       avg(air_time) AS air_time, max(distance) AS distance
FROM flights GROUP BY origin
"""

[pipeline.hourly.output.by_origin]
path = "out/hourly/dt={start:%Y-%m-%d}/hour={start:%H}"
sort_by = ["origin"]

[pipeline.daily.window]
size = "1d"
timezone = "America/New_York"

[pipeline.daily.source.flights]
path = "in"
event_time = "event_time"

[[pipeline.daily.step]]
name = "departed"
sql = "SELECT * FROM flights WHERE dep_delay IS NOT NULL"

[[pipeline.daily.step]]
name = "by_carrier"
sql = "SELECT carrier, count(*) AS flights, sum(distance) AS miles FROM departed GROUP BY carrier"

[pipeline.daily.output.by_carrier]
path = "out/daily/day={start:%Y-%m-%d}"
sort_by = ["carrier"]
"#;

/// The same questions, asked once of everything. The first column is the window's local start; the
/// last one is open, for nobody knows whether more of it is to come.
const HOURLY: &str = "
SELECT date_trunc('hour', event_time) AS start, origin, count(*) AS flights,
       count(dep_delay) AS departed, sum(dep_delay) AS delay, avg(air_time) AS air_time,
       max(distance) AS distance
FROM flights
WHERE date_trunc('hour', event_time) < (SELECT date_trunc('hour', max(event_time)) FROM flights)
GROUP BY start, origin ORDER BY start, origin";

const DAILY: &str = "
WITH here AS (
    SELECT *, date_trunc('day', to_local_time(arrow_cast(
        arrow_cast(event_time, 'Timestamp(Microsecond, Some(\"UTC\"))'),
        'Timestamp(Microsecond, Some(\"America/New_York\"))'))) AS start
    FROM flights)
SELECT start, carrier, count(*) AS flights, sum(distance) AS miles
FROM here
WHERE dep_delay IS NOT NULL AND start < (SELECT max(start) FROM here)
GROUP BY start, carrier ORDER BY start, carrier";

/// What the outputs must hold once the days from `first` to `last` were fed.
fn oracle(first: &str, last: &str) -> Outputs {
    let days = flight_days(first, last);
    let files = days.iter().map(|day| flights().join(format!("reported={day}/part-0000.parquet")));
    let batches: Vec<_> = files.flat_map(|file| batches_of(&file)).collect();
    let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
    let session = SessionContext::new();
    session.register_table("flights", Arc::new(table)).unwrap();
    let mut outputs = Outputs::new();
    for (sql, is_hourly) in [(HOURLY, true), (DAILY, false)] {
        let rows = block_on(async { session.sql(sql).await.unwrap().collect().await.unwrap() });
        for row in rows.iter().flat_map(texts) {
            let (start, rest) = row.split_once(' ').unwrap();
            let start = start.strip_prefix("start=").unwrap();
            let (day, hour) = (&start[..10], &start[11..13]);
            let folder = if is_hourly {
                format!("out/hourly/dt={day}/hour={hour}")
            } else {
                format!("out/daily/day={day}")
            };
            outputs.entry(format!("{folder}/data.parquet")).or_default().push(rest.to_owned());
        }
    }
    outputs
}

/// Fails the test with the first difference, not with all there is.
pub(crate) fn assert_equal(found: &Outputs, expected: &Outputs) {
    let keys: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    for key in keys {
        assert_eq!(found.get(key), expected.get(key), "{key}");
    }
}

#[test]
fn ten_days_fed_one_by_one_give_what_one_query_over_all_gives() {
    let project = Project::new(FLIGHTS);
    for day in flight_days("2013-01-03", "2013-01-12") {
        project.feed_flights(&day, &day);
        project.run();
    }
    let expected = oracle("2013-01-03", "2013-01-12");
    assert!(expected.len() > 150, "{}", expected.len());
    assert_equal(&project.outputs(), &expected);
    project.assert_sound();
}

#[test]
fn the_day_of_23_hours_is_one_window_like_any_other() {
    let project = Project::new(FLIGHTS);
    project.feed_flights("2013-03-08", "2013-03-10");
    project.run();
    project.feed_flights("2013-03-11", "2013-03-13");
    project.run();
    assert_equal(&project.outputs(), &oracle("2013-03-08", "2013-03-13"));
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let project = Project::new(FLIGHTS);
    let mut days = flight_days("2013-02-05", "2013-02-09");
    let mut dice = Dice(17);
    while !days.is_empty() {
        let day = dice.pick(&days).clone();
        days.retain(|other| *other != day);
        project.feed_flights(&day, &day);
        project.run();
    }
    assert_equal(&project.outputs(), &oracle("2013-02-05", "2013-02-09"));
}

/// Rows of the hours 0 to 5 of the first day, a few per hour, and one that closes the last of them.
fn some_rows() -> Vec<Row> {
    let mut dice = Dice(3);
    let mut rows: Vec<Row> = Vec::new();
    for hour in 0..6 {
        for key in ["a", "b", "c"] {
            let at = i64::try_from(dice.roll(3_600_000_000)).unwrap();
            let value = i64::try_from(dice.roll(100)).unwrap();
            rows.push((DAY_0 + hour * HOUR + at, key, value));
        }
    }
    rows.push((DAY_0 + 6 * HOUR, "end", 0));
    rows
}

/// The outputs of a new project to which these files are fed at once.
fn outputs_of(files: &[(&str, &[Row])]) -> Outputs {
    let project = Project::new(TINY);
    for (name, rows) in files {
        project.feed(name, rows);
    }
    project.run();
    project.outputs()
}

#[test]
fn a_second_run_touches_nothing() {
    let project = Project::new(TINY);
    project.feed("a.parquet", &some_rows());
    project.run();
    let written = |folder: &str| -> Vec<(String, SystemTime)> {
        let modified = |name: &String| {
            fs::metadata(project.path(folder).join(name)).unwrap().modified().unwrap()
        };
        files_below(project.path(folder))
            .into_iter()
            .map(|name| (name.clone(), modified(&name)))
            .collect()
    };
    let before = (written("out"), written("_highwater"));
    let reports = project.run();
    assert!(reports[0].is_idle(), "{reports:?}");
    assert_eq!((written("out"), written("_highwater")), before);
}

#[test]
fn how_rows_are_spread_over_files_does_not_matter() {
    let rows = some_rows();
    let whole = outputs_of(&[("a.parquet", &rows)]);
    assert_eq!(whole.len(), 12);
    let odd: Vec<Row> = rows.iter().copied().step_by(2).collect();
    let even: Vec<Row> = rows.iter().copied().skip(1).step_by(2).collect();
    assert_equal(&outputs_of(&[("x/a.parquet", &even), ("b.parquet", &odd)]), &whole);
    let backwards: Vec<Row> = rows.iter().copied().rev().collect();
    assert_equal(&outputs_of(&[("a.parquet", &backwards), ("none.parquet", &[])]), &whole);
}

#[test]
fn later_times_give_the_same_rows_in_later_windows() {
    let rows = some_rows();
    let shifted: Vec<Row> = rows.iter().map(|row| (row.0 + 24 * HOUR, row.1, row.2)).collect();
    let earlier = outputs_of(&[("a.parquet", &rows)]);
    let later = outputs_of(&[("a.parquet", &shifted)]);
    let moved = |text: &String| text.replace("2026-01-01", "2026-01-02");
    let moved: Outputs =
        earlier.iter().map(|(key, rows)| (moved(key), rows.iter().map(moved).collect())).collect();
    assert_equal(&later, &moved);
}

#[test]
fn a_replaced_file_makes_exactly_its_old_and_new_windows_due() {
    let project = Project::new(TINY);
    let at = |hour: i64| DAY_0 + hour * HOUR;
    let others: Vec<Row> = (0..6).map(|hour| (at(hour), "o", 1)).collect();
    project.feed("others.parquet", &others);
    project.feed("it.parquet", &[(at(1), "i", 60), (at(2), "i", 60)]);
    project.feed("end.parquet", &[(at(6), "end", 0)]);
    project.run();
    let first = project.entries("tiny").len();
    project.feed("it.parquet", &[(at(2) + 5, "i", 70), (at(4), "i", 70)]);
    project.run();
    let hours: Vec<String> = recomputed(&project, first).into_iter().collect();
    assert_eq!(hours, ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T04:00:00Z"]);
    let outputs = project.outputs();
    let large = |hour: i64| &outputs[&format!("out/large/dt=2026-01-01/hour=0{hour}/data.parquet")];
    assert!(large(1).is_empty() && large(2).len() == 1 && large(4).len() == 1, "{outputs:?}");
}

#[test]
fn a_window_that_loses_its_last_row_is_left_without_rows() {
    let config = TINY.replace("event_time =", "on_removed = \"recompute\"\nevent_time =").replace(
        "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key",
        "SELECT 'all' AS key, count(*) AS n FROM events",
    );
    let project = Project::new(&config);
    let at = |hour: i64| DAY_0 + hour * HOUR;
    project.feed("a.parquet", &[(at(0), "a", 1), (at(2), "a", 1)]);
    project.feed("b.parquet", &[(at(1), "b", 1)]);
    project.run();
    fs::remove_file(project.path("in/b.parquet")).unwrap();
    project.run();
    let totals = |hour: i64| {
        project.outputs()[&format!("out/totals/dt=2026-01-01/hour=0{hour}/data.parquet")].clone()
    };
    assert_eq!((totals(0), totals(1)), (vec!["key=all n=1".to_owned()], Vec::new()));
    project.assert_sound();
}

/// Starts of the windows that were committed from entry `first` of the log on; none may be twice.
pub(crate) fn recomputed(project: &Project, first: usize) -> BTreeSet<String> {
    let mut starts = BTreeSet::new();
    for entry in project.entries("tiny").iter().skip(first) {
        for window in entry["windows"].as_array().into_iter().flatten() {
            if entry["kind"] == "commit" {
                let start = window["start"].as_str().unwrap().to_owned();
                assert!(starts.insert(start), "{window} was computed twice in one run");
            }
        }
    }
    starts
}
