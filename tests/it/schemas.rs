//! Files whose columns are missing, extra, reordered, or of another type.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
    LargeStringArray, StringArray, StructArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int8Type};
use arrow::record_batch::RecordBatch;
use highwater::run::Asked;
use highwater::state::TimeRange;
use highwater::time::EventTime;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::support::{DAY_0, HOUR, Outputs, Project, batches_of};

/// A pipeline that publishes what `sql` gives, with more `keys` of its source.
fn config(keys: &str, sql: &str) -> String {
    format!(
        "version = 1\nname = \"tiny\"\n[storage]\nroot = \".\"\n[engine]\njobs = 2\nthreads = 2\n\
         [pipeline.tiny]\non_query_change = \"reprocess\"\n[pipeline.tiny.window]\nsize = \"1h\"\n\
         [pipeline.tiny.source.events]\npath = \"in\"\nevent_time = \"event_time\"\n{keys}\n\
         [[pipeline.tiny.step]]\nname = \"all\"\nsql = '{sql}'\n[pipeline.tiny.output.all]\n\
         path = \"out/all/dt={{start:%Y-%m-%d}}/hour={{start:%H}}\"\nsort_by = [\"event_time\"]\n"
    )
}

const ALL: &str = "SELECT * FROM events";
const NULL: &str = "on_missing_column = \"null\"";
const WIDEN: &str = "on_type_change = \"widen\"";

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Writes the input file `name`: rows in the hours of `hours`, and these columns.
fn feed(project: &Project, name: &str, hours: &[i64], columns: &[(&str, ArrayRef)]) {
    let times = hours.iter().map(|hour| DAY_0 + hour * HOUR);
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(times));
    let columns: Vec<_> = [("event_time", times)].into_iter().chain(columns.to_vec()).collect();
    write(&project.path("in").join(name), &columns);
}

fn write(path: &Path, columns: &[(&str, ArrayRef)]) {
    let batch = RecordBatch::try_from_iter(columns.to_vec()).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let staged = path.with_extension("part");
    let file = File::create(&staged).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    fs::rename(staged, path).unwrap();
}

/// The `columns` entries of the log: `name:type` of each column.
fn logged(project: &Project) -> Vec<String> {
    let entries = project.entries("tiny").into_iter();
    let entries = entries.filter(|entry| entry["kind"] == "columns");
    let column = |column: &Value| {
        format!("{}:{}", column["name"].as_str().unwrap(), column["type"].as_str().unwrap())
    };
    let said = |entry: Value| {
        let columns = entry["columns"].as_array().unwrap().iter().map(column);
        columns.collect::<Vec<_>>().join(" ")
    };
    entries.map(said).collect()
}

/// The rows of the window of one hour.
fn rows(outputs: &Outputs, hour: i64) -> &[String] {
    &outputs[&format!("out/all/dt=2026-01-01/hour={hour:02}/data.parquet")]
}

/// The types of the columns of the object of one hour.
fn types(project: &Project, hour: i64) -> Vec<String> {
    let object = format!("out/all/dt=2026-01-01/hour={hour:02}/data.parquet");
    let batches = batches_of(&project.path(&object));
    let fields = batches[0].schema().fields().clone();
    fields.iter().map(|field| format!("{}:{}", field.name(), field.data_type())).collect()
}

/// The hashes of the rows and columns of all windows, as committed last.
fn contents(project: &Project) -> Vec<(String, String)> {
    let mut found = std::collections::BTreeMap::new();
    for entry in project.entries("tiny") {
        for window in entry["windows"].as_array().into_iter().flatten() {
            let content = window["outputs"][0]["content"].as_str();
            if let Some(content) = content {
                let start = window["start"].as_str().unwrap().to_owned();
                found.insert(start, content.to_owned());
            }
        }
    }
    found.into_iter().collect()
}

/// The failures of a run of the binary: code and message of each.
fn failures(project: &Project) -> Vec<(String, String)> {
    let (exit, document) = project.json(&["run"]);
    assert_eq!(exit, 4, "{document}");
    let failures = document["pipelines"][0]["failures"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    failures.map(|failure| (text(&failure["code"]), text(&failure["message"]))).collect()
}

fn reconfigure(project: &Project, config: &str) {
    fs::write(project.path("config.toml"), config).unwrap();
}

fn run(project: &Project) {
    let (exit, document) = project.json(&["run"]);
    assert_eq!(exit, 0, "{document}");
}

#[test]
fn the_log_says_what_the_columns_are_whichever_files_are_still_there() {
    let project = Project::new(&config("", ALL));
    feed(&project, "a.parquet", &[0, 1], &[("key", texts(&["a", "a"])), ("value", ints(&[1, 2]))]);
    project.run();
    let columns = "event_time:timestamp_us key:utf8 value:int64";
    assert_eq!(logged(&project), [columns]);
    let entries = project.entries("tiny");
    let said = entries.iter().find(|entry| entry["kind"] == "columns").unwrap();
    assert_eq!((&said["table"], &said["files"][0]["key"]), (&"events".into(), &"a.parquet".into()));

    // Reordered, and with a column more: once the first file is gone, there are no others.
    let more = [("extra", ints(&[7])), ("value", ints(&[3])), ("key", texts(&["c"]))];
    feed(&project, "c.parquet", &[2], &more);
    project.run();
    fs::remove_file(project.path("in/a.parquet")).unwrap();
    feed(&project, "d.parquet", &[2], &more);
    feed(&project, "e.parquet", &[3], &more);
    project.run();
    let row = "event_time=2026-01-01T02:00:00 key=c value=3";
    assert_eq!(rows(&project.outputs(), 2), [row, row]);
    assert_eq!(logged(&project), [columns]);
    project.assert_sound();
}

#[test]
fn a_log_that_does_not_name_them_yet_gets_its_columns_with_the_next_run() {
    let project = Project::new(&config("", ALL));
    feed(&project, "a.parquet", &[0, 1], &[("value", ints(&[1, 2]))]);
    let at = |hour: i64| EventTime::from_micros(DAY_0 + hour * HOUR);
    let range = TimeRange { start: at(0), end: at(1) };
    for report in project.try_run(&Asked::Skip(range, "to have a log".to_owned())) {
        assert!(report.errors.is_empty(), "{report:?}");
    }
    assert_eq!(logged(&project), [""; 0]);
    feed(&project, "b.parquet", &[2], &[("value", ints(&[3]))]);
    project.run();
    assert_eq!(logged(&project), ["event_time:timestamp_us value:int64"]);
}

/// Feeds three files, the second of which lacks a column; `each` is done after every one.
fn feed_with_a_gap(project: &Project, mut each: impl FnMut()) {
    feed(project, "a.parquet", &[0, 1], &[("key", texts(&["a", "a"])), ("value", ints(&[1, 2]))]);
    each();
    feed(project, "b.parquet", &[1, 2], &[("key", texts(&["b", "b"]))]);
    each();
    feed(project, "c.parquet", &[2, 3], &[("value", ints(&[5, 6])), ("key", texts(&["c", "c"]))]);
    each();
}

#[test]
fn a_missing_column_fails_the_windows_that_need_its_file_and_says_which_key_to_change() {
    let project = Project::new(&config("", ALL));
    feed_with_a_gap(&project, || {});
    let failed = failures(&project);
    assert_eq!(failed.len(), 2, "{failed:?}");
    for (code, message) in failed {
        assert_eq!(code, "HW3004");
        for said in ["`value`", "in/b.parquet", "on_missing_column"] {
            assert!(message.contains(said), "{message}");
        }
    }
    assert_eq!(project.outputs().len(), 1, "the window that does not need it is there");

    // Queries that do not name it do not need it.
    reconfigure(&project, &config("", "SELECT event_time, key FROM events"));
    run(&project);
    assert_eq!(project.outputs().len(), 3);
}

#[test]
fn a_missing_column_is_null_where_that_is_said_however_files_arrive() {
    let at_once = Project::new(&config(NULL, ALL));
    feed_with_a_gap(&at_once, || {});
    at_once.run();
    let outputs = at_once.outputs();
    let expected = [
        "event_time=2026-01-01T01:00:00 key=a value=2",
        "event_time=2026-01-01T01:00:00 key=b value=",
    ];
    assert_eq!(rows(&outputs, 1), expected);
    at_once.assert_sound();

    let one_by_one = Project::new(&config(NULL, ALL));
    feed_with_a_gap(&one_by_one, || drop(one_by_one.run()));
    assert_eq!(one_by_one.outputs(), outputs);
    assert_eq!(contents(&one_by_one), contents(&at_once));
    assert_eq!(logged(&one_by_one), logged(&at_once));
    one_by_one.assert_sound();
}

#[test]
fn an_event_time_is_never_missing() {
    let project = Project::new(&config(NULL, ALL));
    feed(&project, "a.parquet", &[0, 1], &[("value", ints(&[1, 2]))]);
    project.run();
    write(&project.path("in/b.parquet"), &[("value", ints(&[3]))]);
    let (exit, document) = project.json(&["run"]);
    assert_ne!(exit, 0, "{document}");
    assert_eq!(document["errors"][0]["code"], "HW3002", "{document}");
}

#[test]
fn a_table_gains_columns_when_a_query_names_one_and_not_before() {
    let project = Project::new(&config(NULL, ALL));
    feed(&project, "a.parquet", &[0, 1], &[("key", texts(&["a", "a"]))]);
    project.run();
    feed(&project, "b.parquet", &[1, 2], &[("key", texts(&["b", "b"])), ("amount", ints(&[5, 6]))]);
    feed(&project, "c.parquet", &[2, 3], &[("key", texts(&["c", "c"])), ("other", ints(&[7, 8]))]);
    project.run();
    assert_eq!(logged(&project), ["event_time:timestamp_us key:utf8"]);
    assert!(!project.outputs().values().flatten().any(|row| row.contains("amount")));

    // A typing mistake finds nothing and changes nothing.
    reconfigure(&project, &config(NULL, "SELECT event_time, amuont FROM events"));
    let (exit, document) = project.json(&["run"]);
    assert_eq!((exit, &document["errors"][0]["code"]), (2, &"HW2001".into()), "{document}");
    let told = document["errors"][0].to_string();
    assert!(told.contains("amount"), "it knows the new one too: {told}");
    assert_eq!(logged(&project).len(), 1);

    reconfigure(&project, &config(NULL, "SELECT event_time, key, amount FROM events"));
    run(&project);
    let wider = "event_time:timestamp_us key:utf8 other:int64 amount:int64";
    assert_eq!(logged(&project), ["event_time:timestamp_us key:utf8", wider]);
    let outputs = project.outputs();
    assert_eq!(rows(&outputs, 0), ["event_time=2026-01-01T00:00:00 key=a amount="]);
    let both = [
        "event_time=2026-01-01T01:00:00 key=a amount=",
        "event_time=2026-01-01T01:00:00 key=b amount=5",
    ];
    assert_eq!(rows(&outputs, 1), both);
    let (exit, document) = project.json(&["verify", "--recompute"]);
    assert_eq!((exit, &document["recomputed"]["equal"]), (0, &3.into()), "{document}");
}

/// Feeds files whose `value` is narrow, wide and narrow again.
fn feed_wider(project: &Project, mut each: impl FnMut()) {
    let narrow = |values: &[i32]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
    feed(project, "a.parquet", &[0, 1], &[("value", narrow(&[i32::MIN, 2]))]);
    each();
    feed(project, "b.parquet", &[1, 2], &[("value", ints(&[i64::MAX, 4]))]);
    each();
    feed(project, "c.parquet", &[2, 3], &[("value", narrow(&[i32::MAX, 6]))]);
    each();
}

#[test]
fn a_wider_type_fails_unless_widening_is_allowed() {
    let project = Project::new(&config("", ALL));
    feed_wider(&project, || {});
    let failed = failures(&project);
    assert_eq!(failed.len(), 2, "{failed:?}");
    let said = ["`value`", "in/b.parquet", "Int64", "Int32", "on_type_change"];
    let (code, message) = &failed[0];
    assert!(code == "HW3004" && said.iter().all(|said| message.contains(said)), "{message}");

    reconfigure(&project, &config(WIDEN, ALL));
    run(&project);
    let rows_of_1 = project.outputs();
    let rows_of_1 = rows(&rows_of_1, 1);
    assert!(rows_of_1[1].ends_with(&format!("value={}", i64::MAX)), "{rows_of_1:?}");
}

#[test]
fn a_table_widens_with_the_first_window_that_needs_it_and_stays_so() {
    let one_by_one = Project::new(&config(WIDEN, ALL));
    feed_wider(&one_by_one, || drop(one_by_one.run()));
    let narrow = "event_time:timestamp_us value:int32";
    let wide = "event_time:timestamp_us value:int64";
    assert_eq!(logged(&one_by_one), [narrow, wide]);
    assert!(types(&one_by_one, 0).contains(&"value:Int32".to_owned()), "it was not due");
    for hour in [1, 2] {
        assert!(types(&one_by_one, hour).contains(&"value:Int64".to_owned()));
    }
    one_by_one.assert_sound();
    // The change comes before the first commit with it.
    let entries = one_by_one.entries("tiny");
    let place = entries.iter().rposition(|entry| entry["kind"] == "columns").unwrap();
    let later = entries[place..].iter().find(|entry| entry["kind"] == "commit").unwrap();
    assert_eq!(later["windows"][0]["start"], "2026-01-01T01:00:00Z");

    let (exit, document) = one_by_one.json(&["verify", "--recompute"]);
    assert_eq!(exit, 0, "{document}");
    assert_eq!(document["recomputed"]["equal"], 2, "{document}");
    let (_, document) = one_by_one.json(&["explain", "tiny", "2026-01-01T01"]);
    let change = &document["revisions"][0]["columns"];
    let expected = serde_json::json!([{
        "table": "events", "column": "value", "type": "int64", "was": "int32", "file": "b.parquet",
    }]);
    assert_eq!(*change, expected, "{document}");
    let (_, document) = one_by_one.json(&["explain", "tiny", "2026-01-01T02"]);
    assert_eq!(document["revisions"][0]["columns"], Value::Null, "{document}");
    let told = one_by_one.command(&["explain", "tiny", "2026-01-01T01"]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("`value` of events is int64 since b.parquet; it was int32"), "{told}");

    // In one go the same, but for windows that were committed before.
    let at_once = Project::new(&config(WIDEN, ALL));
    feed_wider(&at_once, || {});
    at_once.run();
    assert_eq!(logged(&at_once), [narrow, wide]);
    assert_eq!(contents(&at_once)[1..], contents(&one_by_one)[1..]);
    assert_eq!(at_once.outputs(), one_by_one.outputs());
    assert!(types(&at_once, 0).contains(&"value:Int64".to_owned()));
    at_once.assert_sound();
}

#[test]
fn windows_of_narrower_columns_are_outdated_where_that_shows_and_not_wrong() {
    let project =
        Project::new(&config(WIDEN, "SELECT event_time, CAST(v AS text) AS v FROM events"));
    let narrow: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 0.1]));
    let wide: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 0.1]));
    feed(&project, "a.parquet", &[0, 1], &[("v", narrow)]);
    project.run();
    feed(&project, "b.parquet", &[1, 2], &[("v", wide)]);
    project.run();
    assert!(rows(&project.outputs(), 0)[0].ends_with("v=0.1"));
    assert!(rows(&project.outputs(), 1)[1].ends_with("v=0.10000000149011612"), "as it is stored");
    let (exit, document) = project.json(&["verify", "--recompute"]);
    let recomputed = &document["recomputed"];
    assert_eq!((exit, &recomputed["outdated"], &recomputed["equal"]), (0, &1.into(), &1.into()));
}

#[test]
fn what_no_type_holds_is_refused_and_nothing_is_cut() {
    let project = Project::new(&config(WIDEN, ALL));
    let nanos =
        |values: &[i64]| -> ArrayRef { Arc::new(TimestampNanosecondArray::from(values.to_vec())) };
    let micros =
        |values: &[i64]| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(values.to_vec())) };
    feed(&project, "a.parquet", &[0, 1], &[("seen", micros(&[1, 2])), ("v", ints(&[1, 2]))]);
    project.run();
    feed(
        &project,
        "b.parquet",
        &[1, 1, 2],
        &[("seen", nanos(&[1_000, 2_001, 0])), ("v", ints(&[1, 2, 3]))],
    );
    let failed = failures(&project);
    let (code, message) = &failed[0];
    let said = ["`seen`", "in/b.parquet", "row 1"];
    assert!(code == "HW3004" && said.iter().all(|said| message.contains(said)), "{message}");
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 0.5, 0.5]));
    feed(&project, "b.parquet", &[1, 1, 2], &[("seen", nanos(&[1_000, 2_000, 0])), ("v", floats)]);
    let failed = failures(&project);
    let (code, message) = &failed[0];
    let said = ["`v`", "in/b.parquet", "Float64", "Int64"];
    assert!(code == "HW3004" && said.iter().all(|said| message.contains(said)), "{message}");
    feed(
        &project,
        "b.parquet",
        &[1, 1, 2],
        &[("seen", nanos(&[1_000, 2_000, 0])), ("v", ints(&[1, 2, 3]))],
    );
    project.run();
    assert_eq!(rows(&project.outputs(), 1).len(), 3);
    assert_eq!(logged(&project).len(), 1);
    project.assert_sound();
}

#[test]
fn other_ways_to_store_the_same_are_read_without_being_asked() {
    let project = Project::new(&config("", ALL));
    let coded = |of: &[&str]| -> ArrayRef {
        Arc::new(of.iter().copied().collect::<DictionaryArray<Int8Type>>())
    };
    let large: ArrayRef = Arc::new(LargeStringArray::from(vec!["b", "b"]));
    feed(&project, "a.parquet", &[0, 1], &[("key", coded(&["a", "a"]))]);
    feed(&project, "b.parquet", &[1, 2], &[("key", large)]);
    feed(&project, "c.parquet", &[2, 3], &[("key", texts(&["c", "c"]))]);
    project.run();
    assert_eq!(logged(&project), ["event_time:timestamp_us key:utf8"]);
    let outputs = project.outputs();
    assert_eq!((rows(&outputs, 1).len(), rows(&outputs, 2).len()), (2, 2));
    project.assert_sound();
}

#[test]
fn names_that_differ_only_by_case_are_refused_wherever_they_come_from() {
    let project = Project::new(&config(NULL, ALL));
    feed(&project, "a.parquet", &[0, 1], &[("value", ints(&[1, 2]))]);
    project.run();
    feed(&project, "b.parquet", &[1, 2], &[("Value", ints(&[3, 4]))]);
    let (code, message) = failures(&project).remove(0);
    let said = ["`Value`", "`value`", "in/b.parquet"];
    assert!(code == "HW3004" && said.iter().all(|said| message.contains(said)), "{message}");

    let project = Project::new(&config(NULL, ALL));
    feed(&project, "VALUE=1/a.parquet", &[0, 1], &[("value", ints(&[1, 2]))]);
    let (exit, document) = project.json(&["run"]);
    let error = &document["errors"][0];
    assert_eq!((exit, &error["code"]), (4, &"HW3004".into()), "{document}");
    assert!(error["message"].as_str().unwrap().contains("`VALUE=…`"), "{error}");
}

#[test]
fn a_first_file_that_is_mended_says_anew_what_the_columns_are() {
    let project = Project::new(&config("", ALL));
    feed(&project, "a.parquet", &[0, 1], &[("value", texts(&["1", "2"]))]);
    project.run();
    assert_eq!(logged(&project), ["event_time:timestamp_us value:utf8"]);
    feed(&project, "a.parquet", &[0, 1], &[("value", ints(&[1, 2]))]);
    project.run();
    assert_eq!(logged(&project)[1..], ["event_time:timestamp_us value:int64"]);
    // Replaced by one with the same columns and more, it says nothing new.
    feed(&project, "a.parquet", &[0, 1], &[("more", ints(&[1, 2])), ("value", ints(&[1, 3]))]);
    project.run();
    assert_eq!(logged(&project).len(), 2);
    project.assert_sound();
}

/// A struct column of children `a` and, if there are values of it, `b`.
fn pairs(a: &[i64], b: Option<&[&str]>) -> ArrayRef {
    let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    let mut children = vec![(field("a", DataType::Int64), ints(a))];
    children.extend(b.map(|b| (field("b", DataType::Utf8), texts(b))));
    Arc::new(StructArray::from(children))
}

#[test]
fn a_struct_gains_and_loses_children_where_both_keys_allow_it() {
    let feed_all = |project: &Project| {
        feed(project, "a.parquet", &[0, 1], &[("s", pairs(&[1, 2], None))]);
        feed(project, "b.parquet", &[1, 2], &[("s", pairs(&[3, 4], Some(&["x", "y"])))]);
    };
    for keys in ["", NULL, WIDEN] {
        let project = Project::new(&config(keys, ALL));
        feed_all(&project);
        let (code, message) = failures(&project).remove(0);
        assert!(code == "HW3004" && message.contains("`s` of"), "{message}");
    }
    let project = Project::new(&config(&format!("{NULL}\n{WIDEN}"), ALL));
    feed_all(&project);
    project.run();
    let expected = [
        "event_time=2026-01-01T01:00:00 s={a: 2, b: }",
        "event_time=2026-01-01T01:00:00 s={a: 3, b: x}",
    ];
    assert_eq!(rows(&project.outputs(), 1), expected);
    project.assert_sound();
}

#[test]
fn a_pipeline_follows_the_columns_of_the_pipeline_that_it_reads() {
    let chain = |sql: &str| {
        let consumer = "[pipeline.down.window]\nsize = \"1h\"\n[pipeline.down.source.up]\n\
             pipeline = \"tiny\"\n[[pipeline.down.step]]\nname = \"all\"\n\
             sql = \"SELECT * FROM up\"\n[pipeline.down.output.all]\n\
             path = \"down/dt={start:%Y-%m-%d}/hour={start:%H}\"\n";
        config("", sql) + consumer
    };
    let project = Project::new(&chain("SELECT event_time, value FROM events"));
    feed(&project, "a.parquet", &[0, 1, 2], &[("value", ints(&[1, 2, 3]))]);
    run(&project);
    // Of other types and names; all of its windows are computed again.
    reconfigure(&project, &chain("SELECT event_time, CAST(value AS text) AS v FROM events"));
    run(&project);
    let entries = project.entries("down");
    let said: Vec<_> = entries.iter().filter(|entry| entry["kind"] == "columns").collect();
    assert_eq!(said.len(), 2);
    assert_eq!(said[1]["columns"][1], serde_json::json!({"name": "v", "type": "utf8"}));
    let object = project.path("down/dt=2026-01-01/hour=00/data.parquet");
    let row = crate::support::rows_of(&object).remove(0);
    assert!(row.contains("v=1 ") && row.contains("_window_start=2026-01-01T00:00:00Z"), "{row}");
    let (exit, document) = project.json(&["verify", "--recompute"]);
    assert_eq!(exit, 0, "{document}");
}
