//! Pipelines that read what others commit, tables that have no event time, and joins: what changed
//! is computed again, and nothing else.

use std::collections::BTreeSet;
use std::fs;

use crate::equal::assert_equal;
use crate::kill::{kill_at, run_well};
use crate::support::{
    DAY_0, HOUR, Outputs, Project, Row, TINY, code, document, flight_days, write_rows,
};

/// Hours by carrier, and days of New York from the hours, and from the flights themselves.
const FLIGHTS: &str = r#"
version = 1
name = "flights"

[pipeline.from_hours.window]
size = "1d"
timezone = "America/New_York"

[pipeline.from_hours.source.hours]
pipeline = "hourly"

[[pipeline.from_hours.step]]
name = "by_carrier"
sql = "SELECT carrier, sum(flights) AS flights, sum(miles) AS miles FROM hours GROUP BY carrier"

[pipeline.from_hours.output.by_carrier]
path = "out/from_hours/day={start:%Y-%m-%d}"

[pipeline.monthly.window]
size = "1mo"
timezone = "America/New_York"

[pipeline.monthly.source.days]
pipeline = "from_hours"
output = "by_carrier"

[[pipeline.monthly.step]]
name = "by_carrier"
sql = """
SELECT carrier, sum(flights) AS flights, sum(miles) AS miles, count(DISTINCT _window_start) AS days
FROM days GROUP BY carrier
"""

[pipeline.monthly.output.by_carrier]
path = "out/monthly/month={start:%Y-%m}"

[pipeline.hourly.window]
size = "1h"

[pipeline.hourly.source.flights]
path = "in"
event_time = "event_time"

[[pipeline.hourly.step]]
name = "by_carrier"
sql = "SELECT carrier, count(*) AS flights, sum(distance) AS miles FROM flights GROUP BY carrier"

[pipeline.hourly.output.by_carrier]
path = "out/hourly/dt={start:%Y-%m-%d}/hour={start:%H}"

[pipeline.direct.window]
size = "1d"
timezone = "America/New_York"

[pipeline.direct.source.flights]
path = "in"
event_time = "event_time"

[[pipeline.direct.step]]
name = "by_carrier"
sql = """
SELECT carrier, CAST(count(*) AS BIGINT) AS flights, sum(distance) AS miles
FROM flights GROUP BY carrier
"""

[pipeline.direct.output.by_carrier]
path = "out/direct/day={start:%Y-%m-%d}"
"#;

/// The outputs below `out/<name>`, by the rest of their keys.
fn below(outputs: &Outputs, name: &str) -> Outputs {
    let prefix = format!("out/{name}/");
    let inside = |(key, rows): (&String, &Vec<String>)| {
        Some((key.strip_prefix(&prefix)?.to_owned(), rows.clone()))
    };
    outputs.iter().filter_map(inside).collect()
}

/// Starts of the windows that entries of the log from `first` on have committed.
fn committed(project: &Project, pipeline: &str, first: usize) -> BTreeSet<String> {
    let entries = project.entries(pipeline);
    let commits = entries.iter().skip(first).filter(|entry| entry["kind"] == "commit");
    let windows = commits.flat_map(|entry| entry["windows"].as_array().unwrap().clone());
    windows.map(|window| window["start"].as_str().unwrap().to_owned()).collect()
}

/// Why the windows of a commit were computed, by their start.
fn reasons(project: &Project, pipeline: &str, first: usize) -> Vec<(String, String)> {
    let entries = project.entries(pipeline);
    let commits = entries.iter().skip(first).filter(|entry| entry["kind"] == "commit");
    let windows = commits.flat_map(|entry| entry["windows"].as_array().unwrap().clone());
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    windows.map(|window| (word(&window["start"]), word(&window["reason"]))).collect()
}

#[test]
fn days_of_hours_are_the_days_of_their_rows_day_by_day() {
    let project = Project::new(FLIGHTS);
    // Over the day of 23 hours; what is late by days comes with every file.
    for day in flight_days("2013-03-01", "2013-03-18") {
        project.feed_flights(&day, &day);
        project.run();
        let outputs = project.outputs();
        let (direct, chained) = (below(&outputs, "direct"), below(&outputs, "from_hours"));
        // The hours are closed before their last one is: at most the newest day waits for it.
        let newest = direct.keys().next_back().filter(|key| !chained.contains_key(*key)).cloned();
        let closed = direct.into_iter().filter(|(key, _)| Some(key) != newest.as_ref()).collect();
        assert_equal(&chained, &closed);
    }
    let days = below(&project.outputs(), "from_hours");
    assert!(days.len() > 15, "{days:?}");
    project.assert_sound();
    let first = project.entries("monthly").len();
    assert_eq!(committed(&project, "monthly", 0).len(), 1, "March is open: {first}");
}

#[test]
fn only_the_days_of_hours_that_changed_are_computed_again() {
    let project = Project::new(FLIGHTS);
    project.feed_flights("2013-03-01", "2013-03-11");
    project.feed_flights("2013-03-13", "2013-03-14");
    project.run();
    let before = ["hourly", "from_hours", "direct"].map(|pipeline| project.entries(pipeline).len());
    // Late, by three days, and a new day.
    project.feed_flights("2013-03-12", "2013-03-12");
    project.feed_flights("2013-03-15", "2013-03-15");
    project.run();
    let [hours, days, direct] = before;
    let expected = committed(&project, "direct", direct);
    assert!(!committed(&project, "hourly", hours).is_empty() && expected.len() > 1);
    assert_eq!(committed(&project, "from_hours", days), expected);
    let reasons = reasons(&project, "from_hours", days);
    let changed = reasons.iter().filter(|(_, why)| why == "upstream_changed").count();
    let new = reasons.iter().filter(|(_, why)| why == "new").count();
    assert!(changed > 0 && new > 0 && changed + new == reasons.len(), "{reasons:?}");
}

/// TINY, and above it three hours at a time with a table of weights, each seeing the hours before.
pub(crate) fn chained(on_change: &str) -> String {
    format!(
        r#"{TINY}
[pipeline.sums.window]
size = "3h"

[pipeline.sums.source.totals]
pipeline = "tiny"
output = "totals"
lookback = "1h"

[pipeline.sums.reference.weights]
path = "weights.parquet"
on_change = "{on_change}"

[[pipeline.sums.step]]
name = "weighed"
sql = """
SELECT t.key, sum(t.total * w.value) AS weight, count(*) AS hours,
       count(*) FILTER (WHERE t._window_start < $window_start) AS before
FROM totals t JOIN weights w ON w.key = t.key GROUP BY t.key
"""

[pipeline.sums.output.weighed]
path = "out/sums/dt={{start:%Y-%m-%d}}/hour={{start:%H}}"
"#
    )
}

/// Weighs the keys a and b.
pub(crate) fn weigh(project: &Project, a: i64, b: i64) {
    write_rows(&project.path("weights.parquet"), &[(DAY_0, "a", a), (DAY_0, "b", b)]);
}

fn at(hour: i64) -> i64 {
    DAY_0 + hour * HOUR
}

/// A row of `a` in each of the hours up to `last`.
pub(crate) fn fed(last: i64, on_change: &str) -> Project {
    let project = Project::new(&chained(on_change));
    weigh(&project, 10, 100);
    let rows: Vec<Row> = (0..=last).map(|hour| (at(hour), "a", hour)).collect();
    project.feed("a.parquet", &rows);
    project
}

fn sums(project: &Project) -> Vec<String> {
    below(&project.outputs(), "sums").into_values().map(|rows| rows.join("; ")).collect()
}

#[test]
fn a_chain_sees_its_margins_and_closes_behind_its_pipeline() {
    let project = fed(7, "report");
    project.run();
    // The hours 0 to 6 are committed: two windows of three hours are closed, not the third.
    assert_eq!(
        sums(&project),
        ["key=a weight=30 hours=3 before=0", "key=a weight=140 hours=4 before=1"]
    );
    let (_, status) = project.json(&["status"]);
    let watermark = |place: usize| &status["pipelines"][place]["watermark"];
    assert_eq!(watermark(0), "2026-01-01T07:00:00Z");
    assert_eq!(watermark(1), "2026-01-01T06:00:00Z");
    let entries = project.entries("sums");
    let rows = &entries.iter().rfind(|entry| entry["kind"] == "commit").unwrap()["windows"];
    let counts = |place: usize| (&rows[place]["rows"]["in"], &rows[place]["rows"]["margin"]);
    assert_eq!(counts(0), (&3.into(), &0.into()));
    assert_eq!(counts(1), (&3.into(), &1.into()));
    let first = project.entries("sums").len();
    project.run();
    assert_eq!(project.entries("sums").len(), first, "an idle run leaves no trace");
    project.assert_sound();
}

#[test]
fn the_events_of_a_chain_may_have_times_of_their_own() {
    let config = chained("report")
        .replace("output = \"totals\"", "output = \"large\"\nevent_time = \"event_time\"")
        .replace("sum(t.total", "sum(t.value")
        .replace("t._window_start", "t.event_time");
    let project = Project::new(&config);
    weigh(&project, 10, 100);
    // Long after the day on which their objects are written.
    let later = |hour: i64| at(hour) + 24 * 365 * 90 * HOUR;
    let rows: Vec<Row> = (0..8).map(|hour| (later(hour) + 1, "a", 50)).collect();
    project.feed("a.parquet", &rows);
    crate::support::touch(&project.path("in/a.parquet"), later(0));
    project.run();
    assert_eq!(
        sums(&project),
        ["key=a weight=1500 hours=3 before=0", "key=a weight=2000 hours=4 before=1"]
    );
}

#[test]
fn a_pipeline_waits_for_one_that_is_complete_and_has_published_nothing() {
    let early =
        chained("report").replacen("size = \"1h\"", "size = \"1h\"\nbegin = \"2026-01-01T05\"", 1);
    let both = early.replace(
        "[pipeline.sums.reference",
        "[pipeline.sums.source.own]\npath = \"in\"\nevent_time = \"event_time\"\n\n\
         [pipeline.sums.reference",
    );
    let project = Project::new(&both);
    weigh(&project, 10, 100);
    // The rows lie before its begin, but for one whose window is open.
    project.feed("a.parquet", &[(at(0), "a", 1), (at(1), "a", 1), (at(7), "a", 1)]);
    for _ in 0..2 {
        let (exit, run) = project.json(&["run"]);
        assert_eq!((exit, &run["errors"]), (0, &serde_json::json!([])), "{run}");
        assert_eq!(run["pipelines"][1]["windows_held"], 1, "{run}");
    }
    let entries = project.entries("sums").len();
    project.run();
    assert_eq!(project.entries("sums").len(), entries, "to wait leaves no trace");
    project.feed("b.parquet", &[(at(5), "a", 1)]);
    project.run();
    assert_eq!(sums(&project).len(), 2);
    project.assert_sound();
}

#[test]
fn a_plan_says_what_it_cannot_know_yet() {
    let project = fed(7, "report");
    let (_, plan) = project.json(&["plan"]);
    assert_eq!(plan["pipelines"][0]["behind"], serde_json::json!([]));
    assert_eq!(plan["pipelines"][1]["behind"], serde_json::json!(["tiny"]));
    project.run();
    assert_eq!(project.json(&["plan"]).1["pipelines"][1]["behind"], serde_json::json!([]));
}

#[test]
fn an_hour_that_changes_makes_the_windows_due_that_see_it() {
    let project = fed(7, "report");
    project.run();
    let first = project.entries("sums").len();
    // Hour 2 is of the first window, and in the margin of the second.
    project.feed("late.parquet", &[(at(2), "b", 1)]);
    project.run();
    let why = |start: &str| (format!("2026-01-01T{start}:00:00Z"), "upstream_changed".to_owned());
    assert_eq!(reasons(&project, "sums", first), [why("00"), why("03")]);
    assert_eq!(
        sums(&project),
        [
            "key=a weight=30 hours=3 before=0; key=b weight=100 hours=1 before=0",
            "key=a weight=140 hours=4 before=1; key=b weight=100 hours=1 before=1"
        ]
    );
    // Hour 1 is in nobody's margin.
    let first = project.entries("sums").len();
    project.feed("later.parquet", &[(at(1), "b", 1)]);
    project.run();
    assert_eq!(reasons(&project, "sums", first), [why("00")]);
}

#[test]
fn an_hour_computed_again_with_equal_rows_ends_there() {
    let project = fed(7, "report");
    project.run();
    let first = project.entries("sums").len();
    // The same rows in another file: hours are computed again, and found to be as they were.
    let rows: Vec<Row> = (0..=7).map(|hour| (at(hour), "a", hour)).collect();
    project.feed("b.parquet", &rows[4..]);
    project.feed("a.parquet", &rows[..4]);
    let reports = project.run();
    assert_eq!(reports[0].windows_unchanged, 7);
    // So is an hour that was asked for, although its object is another one now.
    run_well(
        &project,
        &["reprocess", "tiny", "--from", "2026-01-01T01", "--to", "2026-01-01T03", "--yes"],
    );
    project.run();
    assert_eq!(project.entries("sums").len(), first);
    // The objects that were replaced are read like any other.
    run_well(
        &project,
        &["reprocess", "sums", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"],
    );
    assert_eq!(reasons(&project, "sums", first).len(), 2);
    project.assert_sound();
}

#[test]
fn an_hour_in_doubt_holds_what_needs_it_and_fails_nothing() {
    let project = fed(7, "report");
    project.run();
    project.feed("late.parquet", &[(at(2), "b", 1)]);
    kill_at(&project, &["run"], "publish.after:1");
    let first = project.entries("sums").len();
    let (exit, run) =
        project.json(&["reprocess", "sums", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"]);
    assert_eq!((exit, &run["pipelines"][0]["failures"]), (0, &serde_json::json!([])));
    assert_eq!(reasons(&project, "sums", first), [], "both windows see hour 2");
    let (_, plan) = project.json(&["plan", "sums"]);
    assert_eq!(plan["pipelines"][0]["held"].as_array().unwrap().len(), 2, "{plan}");
    // The request is still owed, and met once the hour is committed.
    project.run();
    assert_eq!(reasons(&project, "sums", first).len(), 2);
    assert_eq!(
        sums(&project)[0],
        "key=a weight=30 hours=3 before=0; key=b weight=100 hours=1 before=0"
    );
    let (_, requests) = project.json(&["requests"]);
    assert_eq!(requests["requests"], serde_json::json!([]), "{requests}");
    project.assert_sound();
}

#[test]
fn an_hour_whose_object_is_gone_is_said_to_be() {
    let project = fed(7, "report");
    project.run();
    fs::remove_file(project.path("out/totals/dt=2026-01-01/hour=01/data.parquet")).unwrap();
    let (exit, run) =
        project.json(&["reprocess", "sums", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"]);
    let failures = run["pipelines"][0]["failures"].as_array().unwrap();
    assert_eq!((exit, failures.len()), (3, 1), "{run}");
    assert!(failures[0]["message"].as_str().unwrap().contains("hour=01/data.parquet is gone"));
    run_well(
        &project,
        &["reprocess", "tiny", "--from", "2026-01-01T01", "--to", "2026-01-01T02", "--yes"],
    );
    project.run();
    project.assert_sound();
}

#[test]
fn an_hour_whose_bytes_were_changed_is_not_read() {
    let project = fed(7, "report");
    project.run();
    let object = project.path("out/totals/dt=2026-01-01/hour=01/data.parquet");
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, bytes).unwrap();
    let before = sums(&project);
    project.feed("late.parquet", &[(at(2), "b", 1)]);
    let (exit, run) = project.json(&["run"]);
    let failures = run["pipelines"][1]["failures"].as_array().unwrap();
    assert_eq!((exit, failures.len()), (3, 1), "{run}");
    assert_eq!(failures[0]["code"], "HW3008");
    assert_eq!(sums(&project)[0], before[0], "what needs it stands as it was");
    assert_ne!(sums(&project)[1], before[1], "what does not need it goes on");
    run_well(
        &project,
        &["reprocess", "tiny", "--from", "2026-01-01T01", "--to", "2026-01-01T02", "--yes"],
    );
    project.run();
    assert_eq!(
        sums(&project)[0],
        "key=a weight=30 hours=3 before=0; key=b weight=100 hours=1 before=0"
    );
    project.assert_sound();
}

#[test]
fn a_reference_table_that_changes_is_reported_or_followed() {
    let project = fed(7, "report");
    project.run();
    let first = project.entries("sums").len();
    // Only touched: the same bytes are the same version.
    weigh(&project, 10, 100);
    assert_eq!(project.json(&["plan", "sums"]).1["pipelines"][0]["outdated"], 0);
    weigh(&project, 20, 100);
    assert_eq!(project.json(&["plan", "sums"]).1["pipelines"][0]["outdated"], 2);
    let (_, status) = project.json(&["status", "sums"]);
    assert_eq!(status["pipelines"][0]["windows"]["outdated"], 2, "{status}");
    project.run();
    assert_eq!(project.entries("sums").len(), first, "nothing is due: it is only reported");
    // Whatever is computed from now on sees it.
    project.feed("late.parquet", &[(at(0), "a", 1)]);
    project.run();
    assert_eq!(
        sums(&project),
        ["key=a weight=80 hours=3 before=0", "key=a weight=140 hours=4 before=1"]
    );
    assert_eq!(project.json(&["plan", "sums"]).1["pipelines"][0]["outdated"], 1);
    run_well(&project, &["reprocess", "sums", "--outdated", "--yes"]);
    assert_eq!(sums(&project)[1], "key=a weight=280 hours=4 before=1");
    assert_eq!(project.json(&["plan", "sums"]).1["pipelines"][0]["outdated"], 0);

    let project = fed(7, "reprocess");
    project.run();
    let first = project.entries("sums").len();
    weigh(&project, 30, 100);
    project.run();
    let why = |start: &str| (format!("2026-01-01T{start}:00:00Z"), "input_changed".to_owned());
    assert_eq!(reasons(&project, "sums", first), [why("00"), why("03")]);
    assert_eq!(
        sums(&project),
        ["key=a weight=90 hours=3 before=0", "key=a weight=420 hours=4 before=1"]
    );
    project.assert_sound();
}

#[test]
fn a_reference_table_that_is_missing_or_broken_stops_the_pipeline_that_needs_it() {
    let project = fed(7, "report");
    fs::remove_file(project.path("weights.parquet")).unwrap();
    let ended = project.command(&["run", "--format", "json"]).output().unwrap();
    assert_eq!(code(&ended), 5, "{ended:?}");
    assert!(document(&ended).to_string().contains("weights.parquet"));
    // The pipeline it reads from has run.
    assert_eq!(below(&project.outputs(), "totals").len(), 7);
    fs::write(project.path("weights.parquet"), "no Parquet at all").unwrap();
    let ended = project.command(&["run"]).output().unwrap();
    assert_ne!(code(&ended), 0);
    assert_eq!(sums(&project), [""; 0]);
    weigh(&project, 10, 100);
    project.run();
    assert_eq!(sums(&project).len(), 2);
}
