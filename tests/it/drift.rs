//! Things that change behind the log's back: columns of new files, entries, segments, names.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use highwater::run::Asked;
use highwater::store::Fault;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::support::{DAY_0, HOUR, Project, TINY, block_on, code, each, files_below, run_all};

/// The tiny pipeline, publishing whatever columns its rows have.
fn all_columns() -> String {
    TINY.replace(
        "SELECT event_time, key, value FROM events WHERE value >= 50",
        "SELECT * FROM events",
    )
}

/// Writes an input file with a row in each of two hours, and an `amount` if there is one.
fn feed(project: &Project, name: &str, amount: Option<i64>) {
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("event_time", Arc::new(TimestampMicrosecondArray::from(vec![DAY_0, DAY_0 + HOUR]))),
        ("key", Arc::new(StringArray::from(vec![name, name]))),
        ("value", Arc::new(Int64Array::from(vec![1, 2]))),
    ];
    if let Some(amount) = amount {
        columns.push(("amount", Arc::new(Int64Array::from(vec![amount, amount]))));
    }
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = File::create(project.path("in").join(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_file_that_comes_later_does_not_change_what_a_query_sees() {
    let project = Project::new(&all_columns());
    feed(&project, "b.parquet", Some(7));
    project.run();
    let before = project.outputs();
    assert!(before.values().flatten().any(|row| row.contains("amount=7")), "{before:?}");

    // First by name, and without the column: its windows fail, and name it.
    feed(&project, "a.parquet", None);
    let (exit, document) = project.json(&["run"]);
    let failure = &document["pipelines"][0]["failures"][0];
    assert_eq!((exit, failure["code"].as_str()), (4, Some("HW3004")), "{document}");
    assert!(failure["message"].as_str().unwrap().contains("a.parquet"), "{failure}");
    assert_eq!(project.outputs(), before);
    let people = project.command(&["run"]).output().unwrap();
    let people = String::from_utf8(people.stdout).unwrap();
    assert!(people.contains("HW3004: mend the file"), "{people}");
}

/// A project whose log has well over thirty entries.
fn long_log() -> Project {
    let project = Project::new(TINY);
    for hour in 0..8 {
        project.feed(&format!("{hour}.parquet"), &[(DAY_0 + hour * HOUR, "k", 60)]);
        project.run();
    }
    assert!(project.entries("tiny").len() > 30);
    // Without a checkpoint every command reads the log from its beginning.
    fs::remove_dir_all(project.path("_highwater/tiny/ckpt")).unwrap();
    project
}

#[test]
fn a_log_with_a_hole_is_damaged_and_nothing_is_written_over_it() {
    let whole = long_log();
    for missing in [4..5, 0..1, 3..30] {
        let project = whole.copy();
        for place in missing.clone() {
            fs::remove_file(project.path(&format!("_highwater/tiny/log/{place:020}.json")))
                .unwrap();
        }
        project.feed("late.parquet", &[(DAY_0, "late", 70)]);
        let (files, outputs) = (files_below(project.path("_highwater")), project.outputs());
        let (exit, document) = project.json(&["run"]);
        assert_eq!(exit, 6, "{missing:?}: {document}");
        let said = document["errors"][0]["message"].as_str().unwrap();
        assert!(said.contains(&format!("{:020}.json", missing.start)), "{said}");
        assert_eq!(project.outputs(), outputs);
        let lock = |name: &String| name != "tiny/lock";
        let now: Vec<_> =
            files_below(project.path("_highwater")).into_iter().filter(lock).collect();
        assert_eq!(now, files.into_iter().filter(lock).collect::<Vec<_>>());
    }
}

#[test]
fn a_hole_behind_a_checkpoint_is_found_by_verify_and_before_the_next_checkpoint() {
    let project = Project::new(TINY);
    let mut feed = (0..).map(|hour| {
        project.feed(&format!("{hour}.parquet"), &[(DAY_0 + hour * HOUR, "k", 60)]);
    });
    for () in feed.by_ref().take(8) {
        project.run();
    }
    fs::remove_file(project.path("_highwater/tiny/log/00000000000000000007.json")).unwrap();
    let (exit, document) = project.json(&["verify"]);
    assert_eq!(exit, 6, "{document}");
    let found = feed.take(4).map(|()| project.json(&["run"])).find(|(exit, _)| *exit == 6);
    let (_, document) = found.expect("no run found it");
    let said = document["errors"][0]["message"].as_str().unwrap();
    assert!(said.contains("00000000000000000007.json"), "{said}");
}

#[test]
fn verify_looks_at_the_ledger_too() {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(DAY_0, "k", 60), (DAY_0 + HOUR, "k", 60)]);
    project.run();
    let folder = project.path("_highwater/tiny/seg");
    for segment in files_below(&folder) {
        fs::write(folder.join(segment), "{}").unwrap();
    }
    let (exit, document) = project.json(&["verify"]);
    assert_eq!((exit, &document["ok"]), (6, &false.into()), "{document}");
}

#[test]
fn a_file_that_cannot_be_named_is_not_passed_over_in_silence() {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(DAY_0, "k", 60)]);
    let name = OsStr::from_bytes(b"bad\xff.parquet");
    fs::copy(project.path("in/a.parquet"), project.path("in").join(name)).unwrap();
    let ended = project.command(&["run"]).output().unwrap();
    assert_eq!(code(&ended), 5);
    assert!(String::from_utf8_lossy(&ended.stderr).contains("is not UTF-8"), "{ended:?}");
}

#[test]
fn a_run_that_fails_reports_the_watermark_that_the_log_has() {
    // Broken for ever from each of these calls on; more of them are broken in `fault`.
    let calls: Vec<u64> = (20..60).step_by(4).collect();
    each(
        10,
        &calls,
        |call| format!("call {call}"),
        |call| {
            let project = Project::new(TINY);
            project.feed("a.parquet", &[(DAY_0, "k", 60), (DAY_0 + HOUR, "k", 60)]);
            let broken = project.open().with_fault(Fault::new(*call, false, true));
            let report = block_on(run_all(&broken, &Asked::Run)).remove(0);
            let moved = |entry: &Value| entry["watermark"]["to"].as_str().map(ToOwned::to_owned);
            let logged = project.entries("tiny").iter().rev().find_map(moved);
            let is_logged = report.watermark.is_none_or(|at| Some(at.to_string()) == logged);
            assert!(is_logged, "{:?} is reported, and {logged:?} logged", report.watermark);
        },
    );
}
