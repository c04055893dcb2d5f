//! Rows that belong to no window, as `quarantine`, `verify` and `reprocess` tell of them.

use std::fs;

use highwater::state::Body;
use serde_json::{Value, json};

use super::{aside, at, fed, object};
use crate::balance::{cook, write_odd_times};
use crate::kill::{FUTURE, hold, kill, kill_at, run_well};
use crate::support::{Project, TINY, code, rows_of};

/// `TINY` with more keys of its source.
fn with(keys: &str) -> String {
    let time = "event_time = \"event_time\"\n";
    TINY.replacen(time, &format!("{time}{keys}\n"), 1)
}

/// Four rows belong to no window: two came too late, one is of the year 2100, one has no time.
fn late() -> Project {
    let project = Project::new(&with("allowed_lateness = \"1h\""));
    project.feed("a.parquet", &[(at(0), "a", 10), (at(6), "a", 60)]);
    project.run();
    project.feed("late.parquet", &[(at(0) + 5, "late", 1), (at(5), "in time", 2)]);
    write_odd_times(&project, "odd.parquet");
    project.run();
    project
}

#[track_caller]
fn ok(project: &Project, args: &[&str]) -> Value {
    let (code, told) = project.json(args);
    assert_eq!(code, 0, "{told}");
    told
}

fn people(project: &Project, args: &[&str]) -> String {
    String::from_utf8(project.command(args).output().unwrap().stdout).unwrap()
}

#[test]
fn they_are_counted_by_rule_and_file_from_the_log_alone() {
    let project = late();
    for folder in ["in", "out", "quarantine_time"] {
        fs::rename(project.path(folder), project.path(&format!("{folder}-away"))).unwrap();
    }
    let list = |more: &[&str]| {
        ok(&project, &[&["quarantine", "list"], more].concat())["pipelines"][0]["aside"].clone()
    };
    let groups = [("expired", 2, 2), ("future", 1, 1), ("null_time", 1, 1)];
    let groups = groups.map(|(rule, rows, files)| {
        json!({"table": "events", "rule": rule, "rows": rows, "files": files})
    });
    let expected = json!({"rows": 4, "files": 2, "groups": groups, "in_doubt": []});
    assert_eq!(list(&[]), expected);
    let file =
        |key: &str, rows: u64| json!({"table": "events", "key": key, "rows": rows, "files": 1});
    assert_eq!(
        list(&["--by", "file"])["groups"],
        json!([file("odd.parquet", 3), file("late.parquet", 1)])
    );
    // They are of no day, and in no stretch of time.
    assert_eq!(
        list(&["--by", "day"])["groups"],
        json!([{"table": "events", "rows": 4, "files": 2}])
    );
    assert_eq!(list(&["--from", "2026-01-01"]), Value::Null);
    let text = people(&project, &["quarantine", "list"]);
    assert!(text.contains("4 rows that belong to no window, of 2 files"), "{text}");
    assert!(text.contains("expired") && text.contains("null_time"), "{text}");
}

#[test]
fn they_are_shown_after_those_of_windows_with_why_and_from_where() {
    let project = late();
    let show = |more: &[&str]| {
        let told = ok(&project, &[&["quarantine", "show", "tiny"], more].concat());
        told["rows"].as_array().unwrap().clone()
    };
    let rows = show(&[]);
    let known: Vec<_> = rows.iter().map(|row| (&row["rule"], &row["file"], &row["row"])).collect();
    let (late, odd) = (json!("in/late.parquet"), json!("in/odd.parquet"));
    let (expired, null_time, future) = (json!("expired"), json!("null_time"), json!("future"));
    let numbers = [json!(0), json!(1), json!(2)];
    let expected = [
        (&expired, &late, &numbers[0]),
        (&null_time, &odd, &numbers[0]),
        (&future, &odd, &numbers[1]),
        (&expired, &odd, &numbers[2]),
    ];
    assert_eq!(known, expected);
    // What came too late had a window.
    assert_eq!(rows[0]["start"], "2026-01-01T00:00:00Z");
    assert_eq!((&rows[1]["start"], &rows[1]["end"]), (&Value::Null, &Value::Null));
    assert_eq!(
        rows[1]["values"],
        json!({"event_time": null, "key": "o", "value": 11}),
        "{}",
        rows[1]
    );
    assert_eq!(show(&["--rule", "future"]).len(), 1);
    for name in ["late.parquet", "in/late.parquet"] {
        assert_eq!(show(&["--file", name]).len(), 1);
    }
    assert_eq!(show(&["--from", "2026-01-01"]).len(), 0);
    let told = ok(&project, &["quarantine", "show", "tiny", "--limit", "3"]);
    assert_eq!((told["rows"].as_array().unwrap().len(), &told["more"]), (3, &json!(true)));
    assert_eq!(ok(&project, &["quarantine", "show", "tiny", "--limit", "4"])["more"], false);
    let text = people(&project, &["quarantine", "show", "tiny"]);
    assert!(text.contains("null_time: it has no event time that can be read"), "{text}");
}

#[test]
fn an_object_of_them_that_is_begun_and_not_committed_is_never_shown() {
    let project = fed(TINY);
    project.run();
    let show = || ok(&project, &["quarantine", "show", "tiny"]);
    let before = show();
    assert_eq!(before["rows"].as_array().unwrap().len(), 1);
    project.feed("x/a.parquet", &[(at(0), "a", 10), (FUTURE, "b", 1), (FUTURE, "c", 2)]);
    let doubt = |shown: bool| json!([{"table": "events", "key": "x/a.parquet", "shown": shown}]);
    let mut run = hold(&project, "publish.before:1");
    let told = show();
    assert_eq!((&told["rows"], &told["files_in_doubt"]), (&before["rows"], &doubt(true)), "{told}");
    kill(&mut run);
    let mut run = hold(&project, "publish.after:1");
    let told = show();
    assert_eq!((&told["rows"], &told["files_in_doubt"]), (&json!([]), &doubt(false)), "{told}");
    let listed = ok(&project, &["quarantine", "list"])["pipelines"][0]["aside"].clone();
    assert_eq!(listed["in_doubt"], json!([{"table": "events", "key": "x/a.parquet"}]), "{listed}");
    kill(&mut run);
    run_well(&project, &["run"]);
    let told = show();
    assert_eq!(told["rows"].as_array().unwrap().len(), 2);
    assert_eq!(told["files_in_doubt"], json!([]));

    fs::write(project.path(&object("x/a.parquet")), "no Parquet").unwrap();
    let (exit, told) = project.json(&["quarantine", "show", "tiny"]);
    assert_eq!((exit, &told["errors"][0]["code"]), (1, &json!("HW3001")), "{told}");
}

#[test]
fn the_books_are_held_against_what_lies_there() {
    let project = late();
    let balance = || project.json(&["verify", "--balance"]);
    let (exit, told) = balance();
    assert_eq!((exit, &told["checked"]["objects"]), (0, &json!(2)), "{told}");
    // A whole object, and another one than the log names.
    let path = project.path(&object("late.parquet"));
    let whole = fs::read(&path).unwrap();
    fs::copy(project.path(&object("odd.parquet")), &path).unwrap();
    let (exit, told) = balance();
    let problem = &told["problems"][0];
    assert_eq!((exit, &problem["kind"]), (1, &json!("balance")), "{told}");
    assert_eq!(problem["path"], object("late.parquet").as_str());
    fs::remove_file(&path).unwrap();
    assert_eq!(balance().0, 1);
    fs::write(&path, whole).unwrap();
    assert_eq!(balance().0, 0);

    // A log that tells of more rows than the ledger and the object know.
    cook(&project, "tiny", |entry| {
        let Body::Aside(aside) = &mut entry.body else { return };
        let files = aside.files.iter_mut().filter(|file| file.key == "late.parquet");
        files.for_each(|file| file.object.rows += 1);
    });
    let (exit, told) = balance();
    assert_eq!(exit, 1, "{told}");
    for said in [
        "2 of its rows that belong to no window are kept aside; the ledger has 0 without a usable \
         event time, and 1 that expired",
        "it has 1 rows, the log says 2",
    ] {
        assert!(told["problems"].to_string().contains(said), "{told}");
    }
}

#[test]
fn what_is_damaged_of_them_is_computed_again_from_the_file_it_came_from() {
    let project = late();
    let before = project.outputs();
    let (gone, broken) = (object("late.parquet"), object("odd.parquet"));
    fs::remove_file(project.path(&gone)).unwrap();
    fs::write(project.path(&broken), "no Parquet").unwrap();
    let entries = project.entries("tiny").len();
    let told = ok(&project, &["reprocess", "tiny", "--damaged", "--dry-run"]);
    assert_eq!(told["pipelines"][0]["windows"], json!([]), "{told}");
    assert_eq!(project.entries("tiny").len(), entries);
    let mend = ["reprocess", "tiny", "--damaged", "--yes"];
    let told = ok(&project, &mend);
    assert_eq!(told["pipelines"][0]["windows_done"], 0, "{told}");
    assert_eq!(project.outputs(), before);
    project.assert_sound();
    let said = project.command(&mend).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("nothing is damaged"));

    // Together with a window; and where only bytes of a page are others.
    let path = project.path(&gone);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let window = "out/totals/dt=2026-01-01/hour=00/data.parquet";
    fs::remove_file(project.path(window)).unwrap();
    assert_eq!(ok(&project, &mend)["pipelines"][0]["windows_done"], 1);
    assert_eq!(project.outputs(), before);
    project.assert_sound();

    // Killed at it: what was begun is in doubt, and the next run ends it.
    fs::remove_file(project.path(&gone)).unwrap();
    kill_at(&project, &mend, "begin_aside.after:1");
    project.run();
    assert_eq!(project.outputs(), before);
    project.assert_sound();
}

#[test]
fn what_is_damaged_of_them_waits_for_the_run_that_holds_the_lease() {
    let project = late();
    let before = project.outputs();
    project.feed("more.parquet", &[(at(7), "a", 1)]);
    let mut run = hold(&project, "begin.after:1");
    fs::remove_file(project.path(&object("late.parquet"))).unwrap();
    let mend = ["reprocess", "tiny", "--damaged", "--yes"];
    let (exit, told) = project.json(&mend);
    assert_eq!((exit, &told["errors"][0]["code"]), (11, &json!("HW5001")), "{told}");
    kill(&mut run);
    ok(&project, &mend);
    for (key, rows) in &before {
        assert_eq!(project.outputs().get(key), Some(rows), "{key}");
    }
    project.assert_sound();
}

#[test]
fn what_is_damaged_and_whose_file_is_gone_is_told_and_stays() {
    let project = late();
    fs::remove_file(project.path(&object("late.parquet"))).unwrap();
    fs::remove_file(project.path("in/late.parquet")).unwrap();
    let mend = project.command(&["reprocess", "tiny", "--damaged", "--yes"]).output().unwrap();
    let said = String::from_utf8_lossy(&mend.stderr);
    assert_ne!(code(&mend), 0, "{said}");
    assert!(said.contains(&object("late.parquet")), "{said}");
    assert!(said.contains("in/late.parquet"), "{said}");
}

#[test]
fn their_objects_have_the_columns_that_folders_tell() {
    let project = Project::new(TINY);
    let rows = [(at(0), "a", 10), (FUTURE, "ahead", 60), (at(1), "a", 60)];
    project.feed("region=a%2Fb%20%C3%BC/n=7/a.parquet", &rows);
    project.run();
    let told = aside(&project, "region=a%2Fb%20%C3%BC/n=7/a.parquet");
    assert!(told[0].contains("key=ahead value=60 region=a/b ü n=7 _rule=future"), "{told:?}");
    // Without such rows, it has the same columns.
    project.feed("region=a%2Fb%20%C3%BC/n=7/a.parquet", &rows[..1]);
    project.run();
    project.assert_sound();
}

#[test]
fn the_values_of_folders_are_decoded_where_they_are_columns() {
    let sql = "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key";
    let project = Project::new(&TINY.replace(
        sql,
        "SELECT region AS key, count(*) AS n, sum(value) AS total FROM events GROUP BY region",
    ));
    for (folder, value) in [("a%2Fb%20%C3%BC", 1), ("100%", 2), ("%zz%4", 3), ("%ff", 4)] {
        project.feed(&format!("region={folder}/a.parquet"), &[(at(0), "k", value)]);
    }
    project.feed("region=__HIVE_DEFAULT_PARTITION__/a.parquet", &[(at(1), "k", 9)]);
    project.run();
    let path = project.path("out/totals/dt=2026-01-01/hour=00/data.parquet");
    let expected = ["key=%ff n=1 total=4", "key=%zz%4 n=1 total=3", "key=100% n=1 total=2"];
    assert_eq!(rows_of(&path), [&expected[..], &["key=a/b ü n=1 total=1"]].concat());
}
