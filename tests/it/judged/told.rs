//! What is said of rows that were judged, and of rules that cannot judge them.

use std::fs;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float32Array, Float64Array, Int64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::{ROWS, at, with_dedup};
use crate::support::{Project, code};

/// Writes the input file `name` of `folder`: rows at these times, and these columns.
fn write(project: &Project, name: &str, times: &[i64], columns: &[(&str, ArrayRef)]) {
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times.to_vec()));
    let columns = [("event_time", times)].into_iter().chain(columns.to_vec());
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = project.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn keys(of: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(of.to_vec()))
}

fn values(of: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(of.to_vec()))
}

fn said(project: &Project, args: &[&str]) -> (i32, String) {
    let ended = project.command(args).output().unwrap();
    let text = [ended.stdout.clone(), ended.stderr.clone()].map(String::from_utf8);
    (code(&ended), text.map(Result::unwrap).concat())
}

#[test]
fn a_rule_that_fails_over_a_row_names_its_file_and_the_first_such_row() {
    let project = Project::new(&ROWS.replace("value >= 10", "100 / (value - 5) > 0"));
    let rows: Vec<_> = (0..9).map(|n| (at(0, n), "a", 20 - i64::from(n == 6) * 15)).collect();
    project.feed("x.parquet", &[&rows[..], &[(at(0, 30), "a", 5), (at(2, 0), "a", 20)]].concat());
    let (exit, told) = project.json(&["run"]);
    assert_eq!(exit, 1, "{told}");
    let message = told["pipelines"][0]["failures"][0]["message"].as_str().unwrap();
    assert!(message.contains("rule `small` failed over row 6 of in/x.parquet: "), "{message}");
}

#[test]
fn hints_speak_of_what_was_written() {
    for (expect, hint) in [
        ("random() < 0.5", "a rule is asked of one row"),
        ("event_time < now()", "a rule is asked of one row"),
        ("count(*) > 1", "a rule is a condition on the columns of one row"),
    ] {
        let project = Project::new(&ROWS.replace("value >= 10", expect));
        project.feed("x.parquet", &[(at(0, 1), "a", 5), (at(1, 0), "a", 20)]);
        let (exit, told) = said(&project, &["run"]);
        assert!(exit == 2 && told.contains(hint), "{expect}: {told}");
        assert!(!told.contains("$window_end"), "no rule may name it: {told}");
    }
    let project = Project::new(ROWS);
    project.feed("x.parquet", &[(at(0, 1), "a", 5), (at(1, 0), "a", 20)]);
    project.run();
    for condition in ["random() < 0.5", "count(*) > 1", "value", "valeu = 3", "value = "] {
        let (exit, told) = said(&project, &["trace", "tiny", "--where", condition]);
        assert!(exit == 2 && told.contains("--where"), "{condition}: {told}");
        for other in ["a rule", "`check`", "outputs stand", "$window_end"] {
            assert!(!told.contains(other), "{condition}: {told}");
        }
    }
}

#[test]
fn a_column_that_only_quarantine_needs_is_told_so() {
    let project = Project::new(ROWS);
    let columns = [("key", keys(&["a", "b"])), ("value", values(&[5, 20]))];
    let more = [&columns[..], &[("more", values(&[1, 2]))]].concat();
    write(&project, "in/a.parquet", &[at(0, 1), at(0, 2)], &more);
    write(&project, "in/b.parquet", &[at(0, 3), at(1, 0)], &columns);
    let (exit, told) = said(&project, &["run"]);
    assert!(exit == 4 && told.contains("`more` is missing from in/b.parquet"), "{told}");
    assert!(told.contains("rows are put aside whole"), "{told}");
}

#[test]
fn check_finds_columns_that_quarantine_adds() {
    for name in ["_rule", "_REASON", "_source_file", "_source_row", "_window_start"] {
        let project = Project::new(ROWS);
        let columns =
            [("key", keys(&["a", "b"])), ("value", values(&[5, 20])), (name, keys(&["x", "y"]))];
        write(&project, "in/x.parquet", &[at(0, 1), at(1, 0)], &columns);
        let (exit, told) = said(&project, &["check"]);
        assert!(exit == 2 && told.contains(&format!("has a column `{name}`")), "{told}");
        // It points at the rule that puts rows aside.
        assert!(told.contains("config.toml:21:11"), "{told}");
        // Without a rule that puts rows aside it may have what columns it likes.
        let config = ROWS.replace("reason = ", "on_violation = \"drop\"\nreason = ");
        fs::write(project.path("config.toml"), config).unwrap();
        assert_eq!(said(&project, &["check"]).0, 0);
    }
}

#[test]
fn columns_that_duplicates_are_told_by_and_that_are_not_there_are_shown_where_they_are_named() {
    for (dedup, column) in
        [("keep = \"last\", order_by = [\"value\", \"when\"]", "when"), ("keep = \"first\"", "key")]
    {
        for action in ["quarantine", "drop"] {
            let config = with_dedup(dedup).replace("\"key\"]", "\"value\", \"key\"]");
            let config =
                config.replace("reason = ", &format!("on_violation = \"{action}\"\nreason = "));
            let config = config.replace("key <> 'c'", "value <> 7").replace("key, ", "");
            let line = config.lines().position(|line| line.starts_with("dedup")).unwrap();
            let written = config.lines().nth(line).unwrap();
            let place = written.find(&format!("\"{column}\"")).unwrap() + 2;
            let project = Project::new(&config);
            let name = if column == "when" { "key" } else { "other" };
            let columns = [(name, keys(&["a", "b"])), ("value", values(&[5, 20]))];
            write(&project, "in/x.parquet", &[at(0, 1), at(1, 0)], &columns);
            let (exit, told) = said(&project, &["check"]);
            assert!(exit == 2 && told.contains(&format!("no column `{column}`")), "{told}");
            assert!(told.contains(&format!("config.toml:{}:{place}", line + 1)), "{told}");
        }
    }
}

#[test]
fn values_without_a_number_in_json_are_shown_as_what_they_are() {
    let project = Project::new(ROWS);
    let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5];
    let items = floats.map(|float| Some(vec![Some(float), None]));
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(items);
    let cents = Decimal128Array::from(vec![1, -250, 3, 4]).with_precision_and_scale(6, 2).unwrap();
    let cents: ArrayRef = Arc::new(cents);
    let single = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.5];
    let single: ArrayRef = Arc::new(Float32Array::from(single));
    let pairs = StructArray::from(vec![
        (Arc::new(Field::new("f", DataType::Float32, true)), single),
        (Arc::new(Field::new("c", cents.data_type().clone(), true)), cents),
    ]);
    let far = TimestampMillisecondArray::from(vec![i64::MAX; 4]);
    let columns: [(&str, ArrayRef); 6] = [
        ("key", keys(&["a", "b", "c", "d"])),
        ("value", values(&[1, 2, 3, 4])),
        ("f", Arc::new(Float64Array::from(floats.to_vec()))),
        ("items", Arc::new(lists)),
        ("pair", Arc::new(pairs)),
        ("far", Arc::new(far)),
    ];
    write(&project, "in/x.parquet", &[at(0, 0), at(0, 1), at(0, 2), at(1, 0)], &columns);
    project.run();
    let (exit, told) = project.json(&["quarantine", "show", "tiny"]);
    assert_eq!(exit, 0, "{told}");
    let of = |row: usize, name: &str| told["rows"][row]["values"][name].clone();
    let names = ["NaN", "inf", "-inf"];
    for (row, name) in names.iter().enumerate() {
        assert_eq!(of(row, "f"), *name);
        assert_eq!(of(row, "items"), json!([name, null]));
        assert_eq!(of(row, "pair")["f"], *name);
        assert_eq!(of(row, "far"), "9223372036854775807", "a number that is no time is shown");
    }
    assert_eq!(of(1, "pair")["c"], "-2.50");
    let (_, text) = said(&project, &["quarantine", "show", "tiny"]);
    for name in names {
        assert!(text.contains(&format!("f={name}")), "{text}");
    }
    assert!(!text.contains("ERROR") && !text.contains("f=null"), "{text}");
}

#[test]
fn of_several_sources_each_row_is_told_with_its_table_and_its_own_reason() {
    let more = "[pipeline.tiny.source.more]\npath = \"more\"\nevent_time = \"event_time\"\n\
                rule = [{ name = \"small\", expect = \"value >= 7\", reason = \"below seven\" }]\n";
    let steps = "[[pipeline.tiny.step]]";
    let config = ROWS.replacen(steps, &format!("{more}\n{steps}"), 1);
    let mut project = Project::new(&config);
    for folder in ["in", "more"] {
        let columns = [("key", keys(&["a", "b"])), ("value", values(&[5, 20]))];
        write(&project, &format!("{folder}/x.parquet"), &[at(0, 1), at(1, 0)], &columns);
    }
    project.run();
    project.configure(&config.replace("the value is too small", "other words"));
    write(
        &project,
        "in/y.parquet",
        &[at(1, 1), at(2, 0)],
        &[("key", keys(&["a", "b"])), ("value", values(&[6, 20]))],
    );
    write(
        &project,
        "more/y.parquet",
        &[at(2, 0)],
        &[("key", keys(&["b"])), ("value", values(&[20]))],
    );
    project.run();
    let (_, text) = said(&project, &["quarantine", "show", "tiny"]);
    assert!(text.contains("TABLE"), "{text}");
    for reason in [
        "small of events: the value is too small",
        "small of events: other words",
        "small of more: below seven",
    ] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn zeros_are_alike_as_keys_whatever_their_sign_and_so_are_those_that_are_no_number() {
    let config = with_dedup("order_by = [\"value\"]").replace("\"key\"]", "\"key\", \"f\", \"l\"]");
    let project = Project::new(&config);
    let odd = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 7);
    let floats = [0.0, -0.0, f64::NAN, odd, 0.5, 0.0];
    let items = floats.map(|float| Some(vec![Some(float)]));
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(items);
    let columns: [(&str, ArrayRef); 4] = [
        ("key", keys(&["a"; 6])),
        ("value", values(&[50, 51, 52, 53, 54, 55])),
        ("f", Arc::new(Float64Array::from(floats.to_vec()))),
        ("l", Arc::new(lists)),
    ];
    let times = [at(0, 0), at(0, 1), at(0, 2), at(0, 3), at(0, 4), at(1, 0)];
    write(&project, "in/x.parquet", &times, &columns);
    project.run();
    let rows = &project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"];
    let used: Vec<_> = rows.iter().map(|row| row.rsplit_once("value=").unwrap().1).collect();
    assert_eq!(used, ["51", "53", "54"]);
    // `trace` names the row it lost to.
    let (_, told) = project.json(&["trace", "tiny", "--where", "value = 50"]);
    assert_eq!(told["rows"][0]["of"]["row"], 1, "{told}");
}

#[test]
fn explain_tells_rules_that_warn_from_those_that_decide() {
    let project = Project::new(ROWS);
    let rows = [(at(0, 1), "a", 5), (at(0, 2), "c", 50), (at(0, 3), "a", 95), (at(1, 0), "a", 50)];
    project.feed("x.parquet", &rows);
    project.run();
    let (_, text) = said(&project, &["explain", "tiny", "2026-01-01T00"]);
    let line = |rule: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| line.starts_with(rule)).unwrap_or_else(|| panic!("{rule}: {text}"))
    };
    assert!(line("small").ends_with("quarantined"), "{text}");
    assert!(line("not c").ends_with("dropped"), "{text}");
    assert!(line("large").ends_with("only warned of"), "{text}");
}

#[test]
fn windows_of_narrower_columns_are_outdated_and_not_unknown() {
    let sql = "SELECT CAST(event_time AS BIGINT) AS at, key, value FROM events";
    let time = "event_time = \"event_time\"\n";
    let config = ROWS.replace(sql, "SELECT * FROM events").replacen(
        time,
        &format!("{time}on_type_change = \"widen\"\n"),
        1,
    );
    let project = Project::new(&config);
    let narrow: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![50, 51]));
    write(
        &project,
        "in/a.parquet",
        &[at(0, 0), at(1, 0)],
        &[("key", keys(&["a", "b"])), ("value", narrow)],
    );
    project.run();
    write(
        &project,
        "in/b.parquet",
        &[at(1, 1), at(2, 0)],
        &[("key", keys(&["a", "b"])), ("value", values(&[52, 53]))],
    );
    project.run();
    let (exit, told) = project.json(&["verify", "--recompute"]);
    let expected = json!({"equal": 1, "wrong": 0, "changed": 0, "outdated": 1, "unknown": 0});
    assert_eq!((exit, &told["recomputed"]), (0, &expected), "{told}");
    let (_, text) = said(&project, &["verify", "--recompute"]);
    assert!(text.contains("1 outdated (another query, reference table or column type)"), "{text}");
}

#[test]
fn a_usage_error_names_the_argument_in_the_document_too() {
    let project = Project::new(ROWS);
    for (args, names) in [
        (&["trace", "tiny"][..], &["--where <CONDITION>"][..]),
        (&["skip"], &["<PIPELINE>", "--from", "--to", "--reason"]),
        (&["run", "--now"], &["--now"]),
    ] {
        let (exit, told) = project.json(args);
        let error: &Value = &told["errors"][0];
        assert_eq!((exit, &error["code"]), (2, &json!("HW0001")), "{told}");
        let message = error["message"].as_str().unwrap();
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
        assert!(!message.ends_with(':'), "{message}");
    }
}
