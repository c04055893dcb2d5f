//! Event times of every type that users have: each row in its window, each row without a time
//! counted, and each column that is none refused.

mod columns;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::array::{TimestampMicrosecondArray, TimestampSecondArray};
use chrono::{DateTime, Timelike, Utc};
use highwater::report::PipelineReport;
use highwater::run::Asked;
use highwater::time::EventTime;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::support::{DAY_0, HOUR, Project, each};
use columns::{At, Form, MILLIS, forms, int96_file, int96_of, wrapping};

const CONFIG: &str = r#"
version = 1
name = "times"

[storage]
root = "."

[engine]
jobs = 2
threads = 2

[pipeline.p.window]
size = "1h"

[pipeline.p.source.events]
path = "in"
event_time = "event_time"
max_future = "3000000d"
on_null_time = "drop"

[[pipeline.p.step]]
name = "o"
sql = "SELECT key, count(*) AS n FROM events GROUP BY key"

[pipeline.p.output.o]
path = "out/o/dt={start:%Y-%m-%d}/hour={start:%H}"
sort_by = ["key"]
"#;

/// Instants around every edge there is. The last two can be no event time, and neither can null.
const INSTANTS: [&str; 11] = [
    "2026-01-01T01:00:00Z",
    "2026-01-01T01:59:59.999999999Z",
    "2026-01-01T02:00:00Z",
    "1969-12-31T23:59:59.999999999Z",
    "1970-01-01T00:00:00Z",
    "1600-06-15T12:00:00Z",
    "2500-06-15T12:30:00Z",
    "0001-02-01T00:00:00Z",
    "9999-10-31T23:59:59.999999999Z",
    "0000-06-15T00:00:00Z",
    "9999-11-01T00:00:00Z",
];

/// More edges: those of nanoseconds.
const NANO_EDGES: [&str; 3] =
    ["1677-09-21T00:12:44Z", "2262-04-11T23:47:16Z", "2262-04-12T00:00:00Z"];

fn instants() -> Vec<At> {
    let texts = INSTANTS.into_iter().chain(NANO_EDGES);
    let at = texts.map(|text| Some(text.parse::<DateTime<Utc>>().unwrap()));
    at.chain([None]).collect()
}

/// The key of each row is the hour it happened in: what its window is to be called.
fn hour_of(at: At) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.format("dt=%Y-%m-%d/hour=%H").to_string())
}

fn project(keys: &str) -> Project {
    Project::new(&CONFIG.replace("event_time =", &format!("{keys}\nevent_time =")))
}

/// Writes an input file of these columns.
fn feed(project: &Project, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    fs::write(project.path("in").join(name), writer.into_inner().unwrap()).unwrap();
}

fn keys(keys: impl IntoIterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(keys))
}

/// The output of each window by the name of its folder, and what the run counted.
fn run(project: &Project) -> (BTreeMap<String, Vec<String>>, PipelineReport) {
    let report = project.run().remove(0);
    let outputs = project.outputs().into_iter();
    let outputs = outputs.map(|(path, rows)| {
        let folder = Path::new(&path).parent().unwrap().strip_prefix("out/o").unwrap().to_owned();
        (folder.display().to_string(), rows)
    });
    (outputs.collect(), report)
}

/// Each row is in the window that its key names, and no row of those windows is missing. The window
/// of the newest event is not closed.
#[track_caller]
fn assert_in_place(outputs: &BTreeMap<String, Vec<String>>, read: &[At]) {
    let usable = |at: &DateTime<Utc>| EventTime::from_utc(*at).is_usable();
    let mut hours: BTreeMap<DateTime<Utc>, u64> = BTreeMap::new();
    for at in read.iter().flatten().filter(|at| usable(at)) {
        let hour = at.with_minute(0).unwrap().with_second(0).unwrap().with_nanosecond(0).unwrap();
        *hours.entry(hour).or_default() += 1;
    }
    hours.pop_last();
    let expected = hours.into_iter().map(|(hour, rows)| {
        let name = hour_of(Some(hour));
        (name.clone(), vec![format!("key={name} n={rows}")])
    });
    assert_eq!(*outputs, expected.collect());
}

/// What a form says of an instant; a date says its midnight.
fn as_read(form: &Form, at: At) -> At {
    let column = (form.column)(&[at]);
    let at = at.filter(|_| !column.is_null(0))?;
    if form.name == "date32" {
        return Some(at.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc());
    }
    Some(at)
}

fn check(form: &Form) {
    let project = project(form.keys);
    let instants = instants();
    let read: Vec<At> = instants.iter().map(|at| as_read(form, *at)).collect();
    let keys = keys(read.iter().map(|at| hour_of(*at)));
    feed(&project, "a.parquet", vec![("event_time", (form.column)(&instants)), ("key", keys)]);
    let (outputs, report) = run(&project);
    assert_in_place(&outputs, &read);
    let rows = report.rows;
    assert_eq!((rows.null_time, rows.future), (form.null_time, 0), "{}", form.name);
    project.assert_sound();
}

#[test]
fn each_row_is_in_its_window_whatever_the_type_of_its_time() {
    each(2, &forms(), |form| form.name.to_owned(), check);
}

#[test]
fn int96_reaches_beyond_nanoseconds_in_every_column() {
    let instants = instants();
    let rows: Vec<_> = instants.iter().map(|at| (at.map(int96_of), hour_of(*at))).collect();
    let project = project("");
    fs::write(project.path("in/a.parquet"), int96_file(&rows)).unwrap();
    let (outputs, report) = run(&project);
    assert_in_place(&outputs, &instants);
    assert_eq!((report.rows.null_time, report.rows.future), (3, 0));
    project.assert_sound();

    let project = Project::new(
        &CONFIG
            .replace("SELECT key, count(*) AS n", "SELECT max(event_time) AS at, max(seen[1]) AS l")
            .replace("GROUP BY key", "GROUP BY key, event_time")
            .replace("[\"key\"]", "[\"at\"]"),
    );
    fs::write(project.path("in/a.parquet"), int96_file(&rows)).unwrap();
    let (outputs, _) = run(&project);
    for (hour, said) in [
        ("dt=1600-06-15/hour=12", "1600-06-15T12:00:00"),
        ("dt=2500-06-15/hour=12", "2500-06-15T12:30:00"),
        ("dt=1969-12-31/hour=23", "1969-12-31T23:59:59.999999"),
    ] {
        assert_eq!(outputs[hour], [format!("at={said} l={said}")]);
    }
}

#[test]
fn an_int96_that_would_wrap_around_is_refused() {
    let project = project("");
    // Taken for microseconds, it is a day of 2025.
    let rows = [(Some(wrapping(20_453)), "a".to_owned()), (Some(wrapping(1)), "b".to_owned())];
    fs::write(project.path("in/a.parquet"), int96_file(&rows)).unwrap();
    refused(&project, 1, "HW3001", "292,000 years", "put a whole file in its place");
}

#[test]
fn an_int96_of_a_reference_table_reaches_as_far() {
    let config = CONFIG.replace(
        "[[pipeline.p.step]]",
        "[pipeline.p.reference.limits]\npath = \"limits.parquet\"\n\n[[pipeline.p.step]]",
    );
    let config = config.replace(
        "SELECT key, count(*) AS n FROM events GROUP BY key",
        "SELECT DISTINCT e.key, l.event_time AS until FROM events e, limits l",
    );
    let project = Project::new(&config);
    let far = int96_of("2500-06-15T12:30:00Z".parse().unwrap());
    fs::write(project.path("limits.parquet"), int96_file(&[(Some(far), "a".into())])).unwrap();
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![DAY_0, DAY_0 + HOUR]));
    let columns = vec![("event_time", times), ("key", keys(["x".into(), "x".into()]))];
    feed(&project, "a.parquet", columns);
    let (outputs, _) = run(&project);
    assert_eq!(outputs["dt=2026-01-01/hour=00"], ["key=x until=2500-06-15T12:30:00"]);
}

#[test]
fn files_of_one_source_may_each_have_another_type() {
    let project = project("event_timezone = \"Asia/Tokyo\"");
    let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
    let rows = [at("2026-01-01T00:30:00Z"), at("2026-01-01T01:30:00Z"), None];
    let seconds = rows.map(|at| at.map(|at| at.timestamp()));
    let seconds = TimestampSecondArray::from(seconds.to_vec());
    let texts = StringArray::from(vec!["2026-01-01T09:10", "2026-01-01T01:10:00Z", "soon"]);
    for (name, column) in [
        // A clock in Tokyo, where it is nine hours later.
        ("a", Arc::new(seconds.clone()) as ArrayRef),
        ("b", Arc::new(texts)),
        ("c", Arc::new(seconds.with_timezone("UTC"))),
        ("d", (MILLIS.column)(&[at("2026-01-01T09:59:59Z"), None, None])),
    ] {
        let keys = keys((0..3).map(|_| name.to_owned()));
        feed(&project, &format!("{name}.parquet"), vec![("event_time", column), ("key", keys)]);
    }
    // What SQL makes of such a column is another matter: here it is who is counted where.
    let report = project.try_run(&Asked::Run).remove(0);
    assert!(report.errors.is_empty(), "{report:?}");
    let counted = |window: &str| -> Vec<(String, u64)> {
        let (_, explained) = project.json(&["explain", "p", window]);
        let inputs = explained["inputs"].as_array().unwrap().iter();
        let rows = inputs.map(|input| (&input["key"], input["rows"].as_u64().unwrap()));
        rows.map(|(key, rows)| (key.as_str().unwrap().to_owned(), rows)).collect()
    };
    let files = |names: &[&str]| -> Vec<(String, u64)> {
        names.iter().map(|name| (format!("{name}.parquet"), 1)).collect()
    };
    assert_eq!(counted("2025-12-31T15:00"), files(&["a"]));
    assert_eq!(counted("2025-12-31T16:00"), files(&["a"]));
    assert_eq!(counted("2026-01-01T00:00"), files(&["b", "c", "d"]));
    assert_eq!(counted("2026-01-01T01:00"), files(&["b", "c"]));
    let inputs = project.entries("p").into_iter().find(|entry| entry["kind"] == "inputs").unwrap();
    assert!(inputs.to_string().contains(r#""null_time":5"#), "{inputs}");
}

#[test]
fn a_text_that_is_no_time_holds_everything_unless_told_otherwise() {
    let project = Project::new(&CONFIG.replace("\"drop\"", "\"fail\""));
    let texts = StringArray::from(vec!["2026-01-01T00:30:00Z", "soon", "2026-01-01T01:30:00Z"]);
    let keys = keys((0..3).map(|key| key.to_string()));
    feed(&project, "a.parquet", vec![("event_time", Arc::new(texts)), ("key", keys)]);
    let error = refused(
        &project,
        4,
        "HW4003",
        "1 rows of in/a.parquet have no usable event time",
        "quarantine",
    );
    assert!(error["notes"].to_string().contains("1 have none"), "{error}");
    assert!(project.outputs().is_empty());
}

/// The error that a run through the binary ends with: its exit code, its own code, what it says and
/// what helps.
#[track_caller]
fn refused(project: &Project, exit_code: i32, name: &str, says: &str, helps: &str) -> Value {
    let (exit, run) = project.json(&["run"]);
    let errors = run["errors"].as_array().unwrap();
    let error = errors.iter().find(|error| error["code"] == name);
    let error = error.unwrap_or_else(|| panic!("{name} is not in {run}")).clone();
    assert_eq!(exit, exit_code, "{run}");
    assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    assert!(error["hint"].as_str().unwrap().contains(helps), "{error}");
    error
}

#[test]
fn a_column_of_another_type_is_refused() {
    let numbers = || Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
    let times = || Arc::new(TimestampSecondArray::from(vec![1, 2])) as ArrayRef;
    let texts = || keys(["2026-01-01".to_owned(), "2026-01-02".to_owned()]);
    let truths = || Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef;
    let unit = "event_time_unit = \"ms\"";
    let own = "which needs no `event_time_unit`";
    for (key, column, says, helps) in [
        ("", numbers(), "has type Int64, and what it counts is not known", "set `event_time_unit`"),
        (unit, times(), own, "remove `event_time_unit` of source events"),
        (unit, texts(), own, "remove `event_time_unit` of source events"),
        (unit, truths(), "has type Boolean, not a time", "name another column"),
        ("", truths(), "has type Boolean, not a time", "name another column"),
    ] {
        let project = project(key);
        let columns = vec![("event_time", column), ("key", keys(["a".into(), "b".into()]))];
        feed(&project, "a.parquet", columns);
        refused(&project, 2, "HW3003", says, helps);
        assert!(project.outputs().is_empty());
    }
}

#[test]
fn the_unit_is_part_of_the_shape() {
    let unit = |unit: &str| format!("event_time_unit = \"{unit}\"");
    let project = project(&unit("ms"));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![DAY_0 / 1_000, (DAY_0 + HOUR) / 1_000]));
    let columns = vec![("event_time", numbers), ("key", keys(["a".into(), "b".into()]))];
    feed(&project, "a.parquet", columns);
    let (outputs, _) = run(&project);
    assert_eq!(outputs.keys().collect::<Vec<_>>(), ["dt=2026-01-01/hour=00"]);
    let shape = project.entries("p").into_iter().find(|entry| entry["kind"] == "shape").unwrap();
    assert!(shape.to_string().contains(r#""event_time_unit":"ms""#), "{shape}");

    let config = fs::read_to_string(project.path("config.toml")).unwrap();
    for other in [unit("us"), String::new()] {
        fs::write(project.path("config.toml"), config.replace(&unit("ms"), &other)).unwrap();
        let error = refused(&project, 2, "HW5013", "another shape", "highwater retire p");
        assert!(error["notes"].to_string().contains("by event_time in ms (UTC)"), "{error}");
    }
    fs::write(project.path("config.toml"), config).unwrap();
    assert_eq!(project.json(&["run"]).0, 0);
}
