//! How much memory there is and how many windows are computed at once changes nothing that anybody
//! can see.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::support::{DAY_0, Dice, HOUR, Outputs, Project, assert_good, touch};
use highwater::run::Asked;

/// Duplicates over several windows, rows of neighbours, rows put aside, and sums of floats, which
/// tell in which order and in which batches rows came.
const CONFIG: &str = r#"
version = 1
name = "limits"

[storage]
root = "."

[engine]
ENGINE

[pipeline.p.window]
size = "1h"

[pipeline.p.source.events]
path = "in"
event_time = "event_time"
lookback = "30m"
dedup = { keys = ["id"], across = "3h", keep = "first" }

[[pipeline.p.source.events.rule]]
name = "small"
expect = "value >= 1"
reason = "the value is too small"

[[pipeline.p.step]]
name = "sums"
sql = """
SELECT name, count(*) AS n, sum(value) AS total, avg(value) AS mean, min(id) AS first
FROM events GROUP BY name
"""

[[pipeline.p.step]]
name = "whole"
sql = "SELECT count(*) AS n, sum(value) AS total, max(id) AS last FROM events"

[pipeline.p.output.sums]
path = "out/sums/dt={start:%Y-%m-%d}/hour={start:%H}"
sort_by = ["name"]

[pipeline.p.output.whole]
path = "out/whole/dt={start:%Y-%m-%d}/hour={start:%H}"
"#;

/// How many files there are, each with rows of every one of as many hours.
const HOURS: i64 = 12;

/// Rows of one file in one hour.
const ROWS: i64 = 500;

/// One file with rows of all hours, in no order, in row groups of a few hundred.
fn write(project: &Project, file: i64, dice: &mut Dice) {
    let hours = u64::try_from(HOURS).unwrap();
    let (mut at, mut ids, mut names, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..HOURS * ROWS {
        let hour = i64::try_from(dice.roll(hours)).unwrap();
        at.push(DAY_0 + hour * HOUR + i64::try_from(dice.roll(3_600_000_000)).unwrap());
        // One row in ten has a twin somewhere.
        ids.push(format!("{:036}", dice.roll(10 * hours * hours * 500)));
        names.push(format!("name {}", dice.roll(7)));
        values.push(f64::from(u32::try_from(dice.roll(1_000_000)).unwrap()) / 997.0);
    }
    let columns: [(&str, ArrayRef); 4] = [
        ("event_time", Arc::new(TimestampMicrosecondArray::from(at))),
        ("id", Arc::new(StringArray::from(ids))),
        ("name", Arc::new(StringArray::from(names))),
        ("value", Arc::new(Float64Array::from(values))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(700)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let path = project.path(&format!("in/{file:02}.parquet"));
    fs::write(path, writer.into_inner().unwrap()).unwrap();
}

/// What the project publishes with this `[engine]`, and what its log says of the rows.
fn published(project: &Project, engine: &str) -> (Outputs, Vec<serde_json::Value>) {
    let mut copy = project.copy();
    copy.configure(&CONFIG.replace("ENGINE", engine));
    copy.try_run(&Asked::Run).iter().for_each(assert_good);
    copy.assert_sound();
    let entries = copy.entries("p");
    let windows = entries.iter().filter(|entry| entry["kind"] == "commit");
    let windows = windows.filter_map(|entry| entry["windows"].as_array()).flatten();
    let books = windows.map(|window| {
        let contents = window["outputs"].as_array().unwrap().iter();
        let contents: Vec<_> = contents.map(|output| &output["content"]).collect();
        serde_json::json!([window["start"], window["rows"], window["balance"], contents])
    });
    (copy.outputs(), books.collect())
}

#[test]
fn memory_and_jobs_change_nothing() {
    let project = Project::new(&CONFIG.replace("ENGINE", ""));
    let mut dice = Dice(20);
    for file in 0..HOURS {
        write(&project, file, &mut dice);
    }
    let (outputs, books) = published(&project, "jobs = 2\nmemory_limit = \"2GiB\"");
    assert_eq!(books.len(), 11, "the last hour is open");
    // The rows take about 12 MB, twice that with all that is known of them; half of 8 MiB is for
    // rows that wait.
    for engine in [
        "jobs = 1\nmemory_limit = \"8MiB\"",
        "jobs = 8\nmemory_limit = \"12MiB\"\nthreads = 1",
        "jobs = 8\nmemory_limit = \"64MiB\"",
    ] {
        let (others, same) = published(&project, engine);
        crate::equal::assert_equal(&others, &outputs);
        assert_eq!(same, books, "{engine}");
    }
}

/// One file of twelve hours in the order of time, an hour in each row group.
fn write_in_order(project: &Project) {
    let per_hour = 700;
    let at: Vec<_> = (0..HOURS * per_hour).map(|row| DAY_0 + row * (HOUR / per_hour)).collect();
    let rows = usize::try_from(HOURS * per_hour).unwrap();
    let columns: [(&str, ArrayRef); 4] = [
        ("event_time", Arc::new(TimestampMicrosecondArray::from(at))),
        ("id", Arc::new(StringArray::from_iter_values((0..rows).map(|id| format!("{id:036}"))))),
        (
            "name",
            Arc::new(StringArray::from_iter_values((0..rows).map(|id| format!("{}", id % 3)))),
        ),
        ("value", Arc::new(Float64Array::from_iter_values((0..rows).map(|_| 5.0)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(700)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    fs::write(project.path("in/all.parquet"), writer.into_inner().unwrap()).unwrap();
}

#[test]
fn row_groups_that_no_window_needs_are_not_read() {
    let config = CONFIG.replace("ENGINE", "").replace("lookback = \"30m\"\n", "");
    let config =
        config.replace("dedup = { keys = [\"id\"], across = \"3h\", keep = \"first\" }", "");
    let project = Project::new(&config);
    write_in_order(&project);
    let first = &project.run()[0];
    let all = fs::metadata(project.path("in/all.parquet")).unwrap().len();
    assert!(first.bytes_read > all, "all of it, and its event times twice: {}", first.bytes_read);
    let (start, end) = (DAY_0 + 5 * HOUR, DAY_0 + 6 * HOUR);
    let again = Asked::Request(highwater::state::Request {
        verb: highwater::state::Verb::Reprocess,
        start: highwater::time::EventTime::from_micros(start),
        end: highwater::time::EventTime::from_micros(end),
        only_outdated: false,
        to: None,
        within: Vec::new(),
        why: None,
        inbox: None,
    });
    let reports = project.try_run(&again);
    reports.iter().for_each(assert_good);
    let read = reports[0].bytes_read;
    assert_eq!(reports[0].rows.used, 700);
    assert!(read < all / 4, "one row group of twelve, and footers: {read} of {all}");
}

/// Bytes of all column chunks of the file, as its footer says.
fn chunks(path: &Path) -> u64 {
    let file = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let groups = file.metadata().row_groups().iter();
    groups.map(|group| u64::try_from(group.compressed_size()).unwrap()).sum()
}

#[test]
fn what_was_read_of_a_new_file_is_not_read_again_while_there_is_room() {
    // Where a file ends is looked at with one read of so many bytes.
    let footer = 16 << 10;
    let config = CONFIG.replace("lookback = \"30m\"\n", "");
    let read = |engine: &str| {
        let project = Project::new(&config.replace("ENGINE", engine));
        write_in_order(&project);
        let path = project.path("in/all.parquet");
        // Other bytes could carry the time of a file that was written just now.
        touch(&path, DAY_0);
        (project.run()[0].bytes_read, chunks(&path))
    };
    let (bytes, chunks) = read("");
    assert_eq!(bytes, chunks + footer, "each chunk once, and the footer once");
    let (bytes, chunks) = read("memory_limit = \"16MiB\"");
    assert_eq!(bytes, chunks + footer);
    let (bytes, chunks) = read("memory_limit = \"1MiB\"");
    assert!(bytes > chunks + footer, "there is room for 64 KiB: {bytes}");
}

#[test]
fn many_windows_of_one_file_are_computed_once_more_to_the_same_rows() {
    let config = CONFIG.replace("ENGINE", "").replace("size = \"1h\"", "size = \"5m\"");
    let project = Project::new(&config.replace("hour={start:%H}", "at={start:%H%M}"));
    write_in_order(&project);
    let report = &project.run()[0];
    assert_eq!(report.windows_done, 12 * 12 - 1, "the last window is open");
    let (code, verified) = project.json(&["verify", "--recompute"]);
    assert_eq!((code, &verified["recomputed"]["equal"]), (0, &143.into()), "{verified}");
}

#[test]
fn windows_that_do_not_fit_beside_each_other_are_computed_alone() {
    let config = CONFIG.replace("lookback = \"30m\"\n", "").replace(
        "SELECT count(*) AS n, sum(value) AS total, max(id) AS last FROM events",
        "SELECT *, repeat(id, 7) AS wide FROM events",
    );
    let project = Project::new(&config.replace("ENGINE", ""));
    let mut dice = Dice(22);
    for file in 0..HOURS {
        write(&project, file, &mut dice);
    }
    let run = |jobs: u8| {
        let mut copy = project.copy();
        let engine = format!("memory_limit = \"8MiB\"\njobs = {jobs}");
        copy.configure(&config.replace("ENGINE", &engine));
        copy.run();
        copy.assert_sound();
        copy.outputs()
    };
    // All at once would take some twenty megabytes.
    crate::equal::assert_equal(&run(8), &run(1));
}

#[test]
fn a_window_that_does_not_fit_is_refused_and_says_what_to_change() {
    let project = Project::new(&CONFIG.replace("ENGINE", "memory_limit = \"512KiB\""));
    let mut dice = Dice(21);
    for file in 0..3 {
        write(&project, file, &mut dice);
    }
    let reports = project.try_run(&Asked::Run);
    let failures = &reports[0].failures;
    assert!(!failures.is_empty());
    for failed in failures {
        assert!(failed.message.contains("do not fit"), "{failed:?}");
        let hour = format!("hour={:02}/", (failed.start.micros() - DAY_0) / HOUR);
        assert!(project.outputs().keys().all(|path| !path.contains(&hour)), "{hour}");
    }
    project.assert_sound();
}
