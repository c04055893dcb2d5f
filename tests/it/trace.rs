//! `trace`: what became of single rows, with what decided it.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use highwater::report::Fate;
use highwater::run::AskedTrace;
use highwater::time::EventTime;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::balance::{CHAINED, everywhere, scattered};
use crate::judged::model::{Model, Variant, random_rows};
use crate::judged::{ROWS, at, with_dedup};
use crate::kill::{kill_at, run_well};
use crate::support::{Dice, HOUR, Project, block_on, code, each};

/// How many histories are tried.
const HISTORIES: u64 = 40;

#[track_caller]
fn found(project: &Project, condition: &str) -> Vec<Value> {
    let (code, told) = project.json(&["trace", "tiny", "--where", condition]);
    assert_eq!(code, 0, "{told}");
    told["rows"].as_array().unwrap().clone()
}

/// The one row whose value is `value`.
#[track_caller]
fn row(project: &Project, value: i64) -> Value {
    let rows = found(project, &format!("value = {value}"));
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

#[track_caller]
fn fate(project: &Project, value: i64) -> String {
    row(project, value)["fate"].as_str().unwrap().to_owned()
}

#[test]
fn every_fate_is_told() {
    let project = scattered();
    let fates = [
        (11, "null_time"),
        (12, "future"),
        (13, "used"),
        (20, "before_begin"),
        (21, "used"),
        (5, "quarantined"),
        (22, "dropped"),
        (24, "open"),
        (30, "expired"),
        (31, "used"),
    ];
    for (value, expected) in fates {
        assert_eq!(fate(&project, value), expected, "{value}");
    }
    let aside = row(&project, 5);
    assert_eq!(
        (&aside["rule"], &aside["reason"]),
        (&json!("small"), &json!("the value is too small"))
    );
    assert_eq!(
        (&aside["file"], &aside["key"], &aside["row"]),
        (&json!("in/a.parquet"), &json!("a.parquet"), &json!(2))
    );
    assert_eq!(aside["event_time"], "2026-01-01T02:01:00Z");
    assert_eq!(
        aside["window"],
        json!({"start": "2026-01-01T02:00:00Z", "end": "2026-01-01T03:00:00Z"})
    );
    let commit = &aside["commit"];
    assert_eq!(commit["outputs"], json!(["out/rows/dt=2026-01-01/hour=02/data.parquet"]));
    assert_eq!((&commit["revision"], &commit["outdated"]), (&json!(1), &json!(false)));
    let seq = commit["seq"].as_u64().unwrap();
    assert!(
        project.entries("tiny").iter().any(|entry| entry["kind"] == "commit" && entry["n"] == seq)
    );
    assert_eq!(row(&project, 22)["rule"], "not c");
    let odd = row(&project, 11);
    assert_eq!(
        (&odd["event_time"], &odd["window"], &odd["row"]),
        (&Value::Null, &Value::Null, &json!(0))
    );

    // Of two rows that are alike the last is kept.
    let twins = found(&project, "value = 23");
    assert_eq!(twins.len(), 2);
    assert_eq!((&twins[0]["fate"], &twins[1]["fate"]), (&json!("duplicate"), &json!("used")));
    let window = json!({"start": "2026-01-01T04:00:00Z", "end": "2026-01-01T05:00:00Z"});
    let of = json!({"key": "a.parquet", "file": "in/a.parquet", "row": 5, "window": window});
    assert_eq!(twins[0]["of"], of);
    assert_eq!(twins[0]["commit"]["revision"], 2);
    let text = project.command(&["trace", "tiny", "--where", "value = 23"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("duplicate of in/a.parquet row 5 (window 2026-01-01 04:00"), "{text}");
}

#[test]
fn windows_that_are_not_what_they_would_be_are_told() {
    let project = scattered();
    // The window is begun anew, and not committed.
    project.feed("more.parquet", &[(at(4, 5), "n", 50)]);
    kill_at(&project, &["run"], "begin.after:1");
    let (old, new) = (row(&project, 31), row(&project, 50));
    assert_eq!((&old["fate"], &old["after_commit"]), (&json!("stale"), &json!(false)));
    assert_eq!((&new["fate"], &new["after_commit"]), (&json!("stale"), &json!(true)));
    assert_eq!(old["commit"]["in_doubt"], true);
    project.run();
    assert_eq!((fate(&project, 31), fate(&project, 50)), ("used".into(), "used".into()));
    run_well(&project, &["rollback", "tiny", "--window", "2026-01-01T04", "--yes"]);
    assert_eq!(fate(&project, 50), "restored");

    project.feed("fails.parquet", &[(at(6, 2), "f", 40), (at(7, 0), "a", 41)]);
    kill_at(&project, &["run"], "segment.after:1");
    assert_eq!(found(&project, "value = 40"), Vec::<Value>::new(), "no run has admitted it");
    let (_, told) = project.json(&["trace", "tiny", "--where", "value = 40"]);
    assert_eq!(told["not_admitted"], 1);
    assert_eq!(project.json(&["run"]).0, 4);
    let failed = row(&project, 40);
    assert_eq!((&failed["fate"], &failed["code"]), (&json!("failed"), &json!("HW4004")));
    let args =
        ["skip", "tiny", "--from", "2026-01-01T06", "--to", "2026-01-01T07", "--reason", "f"];
    run_well(&project, &args);
    assert_eq!(fate(&project, 40), "skipped");

    // Other rules than the commit knew.
    let mut project = project;
    project.configure(&everywhere().replace("value >= 10", "value >= 2"));
    let row = row(&project, 5);
    assert_eq!((&row["fate"], &row["commit"]["outdated"]), (&json!("used"), &json!(true)));
}

#[test]
fn a_duplicate_names_the_row_it_lost_to_also_in_another_window() {
    let project = Project::new(&with_dedup("keep = \"first\", across = \"2h\""));
    let rows =
        [(at(2, 30), "a", 50), (at(2, 40), "a", 51), (at(4, 10), "a", 52), (at(4, 20), "a", 53)];
    project.feed("x.parquet", &[&rows[..], &[(at(9, 0), "z", 54)]].concat());
    project.feed("w.parquet", &[(at(2, 50), "a", 55)]);
    project.run();
    // Ties go by file name: `w` comes before `x`.
    assert_eq!(fate(&project, 55), "used");
    let of = |value| {
        let of = row(&project, value)["of"].clone();
        (of["key"].as_str().unwrap().to_owned(), of["row"].as_u64().unwrap())
    };
    assert_eq!(of(50), ("w.parquet".to_owned(), 0));
    assert_eq!(of(51), ("w.parquet".to_owned(), 0));
    // The latest of the window before, less than two hours ago.
    assert_eq!(of(52), ("w.parquet".to_owned(), 0));
    assert_eq!(row(&project, 52)["of"]["window"]["start"], "2026-01-01T02:00:00Z");
    // It lost to the one of its own window that was kept, had that not been one itself.
    assert_eq!(of(53), ("x.parquet".to_owned(), 2));
}

#[test]
fn files_that_are_gone_or_changed_are_told_and_what_they_decide_is_not_guessed() {
    let project = Project::new(&with_dedup("order_by = [\"value\"]"));
    project.feed("x.parquet", &[(at(0, 1), "a", 50), (at(1, 1), "b", 52)]);
    project.feed("y.parquet", &[(at(0, 2), "a", 51), (at(2, 0), "z", 53)]);
    project.run();
    assert_eq!(fate(&project, 50), "duplicate");
    fs::rename(project.path("in/y.parquet"), project.path("y")).unwrap();
    let (code, told) = project.json(&["trace", "tiny", "--where", "value > 0"]);
    assert_eq!(code, 0);
    let unread = json!([{"table": "events", "key": "y.parquet", "why": "it is gone"}]);
    assert_eq!(told["unread"], unread);
    let fates: Vec<_> = told["rows"].as_array().unwrap().iter().map(|row| &row["fate"]).collect();
    assert_eq!(fates, ["unknown", "used"]);
    assert!(told["rows"][0]["reason"].as_str().unwrap().contains("in/y.parquet"), "{told}");
    project.feed("y.parquet", &[(at(0, 2), "a", 11), (at(0, 3), "a", 12), (at(2, 0), "z", 53)]);
    let (_, told) = project.json(&["trace", "tiny", "--where", "value > 0"]);
    let why = told["unread"][0]["why"].as_str().unwrap();
    assert!(why.contains("it changed"), "{told}");
    project.run();
    assert_eq!(fate(&project, 50), "used");
}

#[test]
fn rows_of_a_chain_are_found_in_what_was_committed() {
    let project = Project::new(&format!("{ROWS}{CHAINED}"));
    project.feed("a.parquet", &[(at(0, 1), "a", 20), (at(0, 2), "b", 21), (at(2, 1), "a", 22)]);
    project.run();
    let condition = "value = 21 AND _window_start = '2026-01-01T00:00:00Z'";
    let (code, told) = project.json(&["trace", "counts", "--where", condition]);
    assert_eq!((code, told["rows"].as_array().unwrap().len()), (0, 1), "{told}");
    let row = &told["rows"][0];
    let key = "out/rows/dt=2026-01-01/hour=00/data.parquet";
    assert_eq!((&row["fate"], &row["key"], &row["row"]), (&json!("used"), &json!(key), &json!(1)));
    let objects = json!(["out/counts/dt=2026-01-01/hour=00/data.parquet"]);
    assert_eq!(row["commit"]["outputs"], objects);
}

#[test]
fn of_two_sources_those_are_searched_that_the_condition_fits() {
    let more = "path = \"more\"\nevent_time = \"event_time\"\n";
    let source = format!("[pipeline.tiny.source.more]\n{more}");
    let project = Project::new(&format!("{ROWS}\n{source}"));
    fs::create_dir(project.path("more")).unwrap();
    let rows = [(at(0, 1), "a", 20), (at(2, 1), "a", 22)];
    project.feed("a.parquet", &rows);
    write_odd_names(&project);
    project.run();
    let told = |condition: &str, more: &[&str]| {
        let (code, told) = project.json(&[&["trace", "tiny", "--where", condition], more].concat());
        let tables = told["rows"].as_array().into_iter().flatten().map(|row| row["table"].clone());
        (code, tables.collect::<Vec<_>>(), told["passed_over"].clone())
    };
    assert_eq!(told("value = 20", &[]), (0, vec![json!("events")], json!(["more"])));
    let both = vec![json!("events"), json!("more")];
    assert_eq!(told("event_time < '2026-01-01T01:00:00'", &[]), (0, both, json!([])));
    assert_eq!(told("label = 'x'", &[]), (0, vec![json!("more")], json!(["events"])));
    assert_eq!(told("label = 'x'", &["--source", "events"]).0, 2);
    assert_eq!(told("nothing = 'x'", &[]).0, 2);
}

/// A file of the source `more`, whose columns are others.
fn write_odd_names(project: &Project) {
    let columns: [(&str, ArrayRef); 2] = [
        ("event_time", Arc::new(TimestampMicrosecondArray::from(vec![at(0, 5), at(3, 0)]))),
        ("label", Arc::new(StringArray::from(vec!["x", "y"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(project.path("more/a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn conditions_are_checked_ranges_narrow_and_sources_are_picked() {
    let project = scattered();
    for (condition, said) in [
        ("valeu = 3", "valeu"),
        ("value", "is no condition"),
        ("random() < 1", "random()"),
        ("count(*) > 1", "an aggregate"),
        ("value = ", "--where"),
    ] {
        let ended = project.command(&["trace", "tiny", "--where", condition]).output().unwrap();
        let told = String::from_utf8(ended.stderr.clone()).unwrap();
        assert!(code(&ended) == 2 && told.contains(said), "{condition}: {told}");
    }
    let range = ["--from", "2026-01-01T02", "--to", "2026-01-01T04:01"];
    let args = ["trace", "tiny", "--where", "true"];
    let (_, told) = project.json(&[&args[..], &range].concat());
    let values: Vec<_> = told["rows"].as_array().unwrap().iter().map(|row| &row["row"]).collect();
    assert_eq!(values, [2, 3], "rows without a time are in no range, and the end is not in it");
    assert_eq!(project.json(&[&args[..], &["--source", "other"]].concat()).0, 2);
    assert_eq!(project.json(&[&args[..], &["--source", "events"]].concat()).0, 0);
    let entries = project.entries("tiny").len();
    found(&project, "true");
    assert_eq!(project.entries("tiny").len(), entries, "nothing is written");
}

#[test]
fn before_the_first_run_nothing_is_admitted_and_the_condition_is_looked_at_all_the_same() {
    let project = Project::new(ROWS);
    let bad = |condition: &str| {
        let (code, told) = project.json(&["trace", "tiny", "--where", condition]);
        (code, told["errors"][0]["code"].clone())
    };
    // Without a file nobody knows the columns, but what is no SQL is none.
    assert_eq!(bad("value = ").0, 2);
    assert_eq!(bad("value = 1").0, 0);
    project.feed("x.parquet", &[(at(0, 0), "a", 50), (at(1, 0), "a", 50)]);
    for condition in ["value = ", "valeu = 3", "value", "random() < 1"] {
        assert_eq!(bad(condition).0, 2, "{condition}");
    }
    let (code, told) = project.json(&["trace", "tiny", "--where", "value = 50"]);
    assert_eq!((code, &told["rows"], &told["not_admitted"]), (0, &json!([]), &json!(1)), "{told}");
    let text = project.command(&["trace", "tiny", "--where", "value = 50"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("no run has admitted a file yet: `highwater run` does"), "{text}");
    assert!(!project.path("_highwater").exists(), "nothing is written");
    project.run();
    assert_eq!(found(&project, "value = 50").len(), 2);
}

#[test]
fn no_more_than_a_thousand_rows_are_told() {
    let project = Project::new(ROWS);
    let rows: Vec<_> = (0..1_001).map(|n| (at(0, 0) + n, "a", 50)).collect();
    project.feed("x.parquet", &rows);
    let (_, told) = project.json(&["trace", "tiny", "--where", "true"]);
    assert_eq!(told["rows"], json!([]), "nothing is admitted yet");
    project.run();
    let (_, told) = project.json(&["trace", "tiny", "--where", "true"]);
    assert_eq!((told["rows"].as_array().unwrap().len(), &told["more"]), (1_000, &json!(true)));
    let (_, told) =
        project.json(&["trace", "tiny", "--where", "event_time > '2026-01-01T00:00:00'"]);
    assert_eq!((told["rows"].as_array().unwrap().len(), &told["more"]), (1_000, &json!(false)));
    assert_eq!(told["rows"][0]["row"], 1);
}

/// That every row of a closed window is told what the model makes of it.
fn check(seed: u64) {
    let mut dice = Dice(seed);
    let variant = Variant::random(&mut dice);
    let project = Project::new(&variant.configure(ROWS));
    let mut model = Model::new(variant);
    for run in 0..2 {
        for _ in 0..=dice.roll(4) {
            let name = format!("{}.parquet", dice.pick(&["a", "b", "c", "x/d"]));
            let rows = random_rows(&mut dice);
            project.feed(&name, &rows);
            model.fed.insert(name, rows);
        }
        let until = project.run()[0].watermark.map_or(i64::MIN, EventTime::micros);
        let opened = project.open();
        let asked = AskedTrace { condition: "value >= 0".into(), source: None, range: None };
        let told = block_on(highwater::run::trace(&opened, &opened.spec.pipelines[0], &asked));
        let told = told.unwrap();
        let of = format!("seed {seed}, run {run}: {model:?}");
        assert!(told.unread.is_empty() && !told.is_cut, "{of}");
        let fates = model.fates();
        assert_eq!(told.rows.len(), fates.len(), "{of}");
        for (told, (file, row, at, fate)) in told.rows.iter().zip(&fates) {
            let is_closed = at - at.rem_euclid(HOUR) + HOUR <= until;
            let expected = if is_closed { *fate } else { "open" };
            let known = (told.file.key.as_str(), told.row, told.fate.as_str());
            assert_eq!(known, (file.as_str(), *row as u64, expected), "{of}");
            let Fate::Duplicate { of: original } = &told.fate else { continue };
            let original = original.as_ref().unwrap_or_else(|| panic!("{of}: {told:?}"));
            let (_, key, _) = model.fed[file][*row];
            let other = model.fed[&original.key][usize::try_from(original.row).unwrap()];
            let is_passed = fates.iter().any(|(file, row, _, fate)| {
                let is_it = *file == original.key && *row as u64 == original.row;
                is_it && (*fate == "used" || *fate == "duplicate")
            });
            let is_before = other.0 - other.0.rem_euclid(HOUR) <= at - at.rem_euclid(HOUR);
            let is_itself = original.key == *file && original.row == *row as u64;
            assert!(other.1 == key && is_passed && is_before && !is_itself, "{of}: {told:?}");
        }
    }
}

#[test]
fn rows_are_judged_as_the_model_judges_them() {
    let seeds: Vec<u64> = (0..HISTORIES).collect();
    each(2, &seeds, |seed| format!("the feed of seed {seed}"), |seed| check(*seed));
}
