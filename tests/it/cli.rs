//! The command line from outside: documents, exit codes, and that looking leaves no trace.

mod documents;

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{DAY_0, HOUR, Project, TINY, code, files_below};

/// Three closed windows, a gap, a fourth, and an open one.
fn fed() -> Project {
    let project = Project::new(TINY);
    let hours = [0, 1, 2, 5, 6];
    let rows: Vec<_> = hours.iter().map(|hour| (DAY_0 + hour * HOUR, "a", 10 * hour)).collect();
    project.feed("one.parquet", &rows);
    project
}

/// The same after a run.
fn done() -> Project {
    let project = fed();
    assert_eq!(project.json(&["run"]).0, 0);
    project
}

/// The document of a command that goes well.
#[track_caller]
fn ok(project: &Project, args: &[&str]) -> Value {
    let (code, document) = project.json(args);
    assert_eq!(code, 0, "{document}");
    document
}

/// Has `value` these fields? More are allowed: documents only ever grow.
#[track_caller]
fn fields(value: &Value, names: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for name in names.split_whitespace() {
        assert!(object.contains_key(name), "{name} is not in {value}");
    }
}

const ROWS: &str =
    "in used out quarantined dropped duplicate late expired null_time future before_begin";

#[test]
fn plan_says_why() {
    let project = done();
    let reasons = |args: &[&str]| -> BTreeMap<String, (String, u64)> {
        let plan = ok(&project, args);
        let windows = plan["pipelines"][0]["windows"].as_array().unwrap().clone();
        let told = windows.iter().map(|window| {
            let text = |name: &str| window[name].as_str().unwrap().to_owned();
            let hour = text("start")[11..13].to_owned();
            (hour, (text("reason"), window["late_rows"].as_u64().unwrap()))
        });
        told.collect()
    };
    let told = |hour: &str, why: &str, late: u64| (hour.to_owned(), (why.to_owned(), late));
    assert!(reasons(&["plan"]).is_empty());

    let late = [(DAY_0 + HOUR, "b", 1), (DAY_0 + HOUR, "c", 1), (DAY_0 + 7 * HOUR, "b", 1)];
    project.feed("late.parquet", &late);
    let expected = [told("01", "late_data", 2), told("06", "new", 0)];
    assert_eq!(reasons(&["plan"]), expected.into());
    ok(&project, &["run"]);

    project.feed("late.parquet", &[(DAY_0 + HOUR, "b", 7), (DAY_0 + 7 * HOUR, "b", 1)]);
    let found = reasons(&["plan"]);
    assert_eq!(found["01"].0, "input_changed");
    assert_eq!(found.len(), 1, "{found:?}");
    ok(&project, &["run"]);

    let args = ["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-01T02", "--dry-run"];
    let expected = [told("00", "requested", 0), told("01", "requested", 0)];
    assert_eq!(reasons(&args), expected.into());
}

/// A pipeline whose second window fails for ever.
fn stuck() -> Project {
    let sql = "SELECT key, sum(CAST(key AS BIGINT)) AS total FROM events GROUP BY key";
    let old = "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key";
    let project = Project::new(&TINY.replace(old, sql));
    let keys = ["1", "x", "3", "4"];
    let rows: Vec<_> = (0..).zip(keys).map(|(hour, key)| (DAY_0 + hour * HOUR, key, 1)).collect();
    project.feed("one.parquet", &rows);
    let (code, run) = project.json(&["run"]);
    assert_eq!(code, 3, "{run}");
    let pipeline = &run["pipelines"][0];
    assert_eq!(pipeline["watermark"], "2026-01-01T01:00:00Z", "a failed window holds it");
    assert_eq!((&pipeline["windows_done"], &pipeline["windows_failed"]), (&2.into(), &1.into()));
    fields(&pipeline["failures"][0], "start end code message");
    assert_eq!(pipeline["failures"][0]["code"], "HW2010");
    project
}

#[test]
fn a_window_that_fails_for_ever_can_be_skipped_and_that_be_undone() {
    let project = stuck();
    let plan = ok(&project, &["plan"]);
    assert_eq!(plan["pipelines"][0]["windows"][0]["reason"], "failed_before");
    let status = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!((&status["state"], &status["windows"]["failed"]), (&"failed".into(), &1.into()));
    assert_eq!(project.json(&["status", "--exit-code"]).0, 1);

    let skip = ["skip", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--reason", "till 4"];
    let foreseen = ok(&project, &[&skip[..], &["--dry-run"]].concat());
    assert_eq!(foreseen["skip"][0]["start"], "2026-01-01T01:00:00Z");
    assert_eq!(foreseen["skip"].as_array().unwrap().len(), 1);
    let skipped = &ok(&project, &skip)["pipelines"][0];
    assert_eq!(skipped["windows_skipped"], 1);
    assert_eq!(skipped["watermark"], "2026-01-01T03:00:00Z", "it jumps over what is done");
    let status = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!((&status["state"], &status["windows"]["skipped"]), (&"ok".into(), &1.into()));
    let history = ok(&project, &["history", "tiny"]);
    assert_eq!(history["skips"][0]["why"], "till 4");
    assert_eq!(history["skips"][0]["start"], "2026-01-01T01:00:00Z");
    let text = String::from_utf8(project.command(&["history", "tiny"]).output().unwrap().stdout);
    assert!(text.unwrap().contains("till 4"));
    assert_eq!(ok(&project, &["run"])["pipelines"][0]["windows_done"], 0);

    // Nothing is left to skip.
    assert_eq!(project.json(&skip).0, 2);

    // Mended and computed again, it is a window like any other.
    let keys = ["1", "2", "3", "4"];
    let rows: Vec<_> = (0..).zip(keys).map(|(hour, key)| (DAY_0 + hour * HOUR, key, 1)).collect();
    project.feed("one.parquet", &rows);
    let args = ["reprocess", "tiny", "--from", "2026-01-01T01", "--to", "2026-01-01T02", "--yes"];
    ok(&project, &args);
    let status = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!(
        (&status["windows"]["skipped"], &status["windows"]["committed"]),
        (&0.into(), &3.into())
    );
    assert!(project.path("out/totals/dt=2026-01-01/hour=01/data.parquet").exists());
    project.assert_sound();
}

#[test]
fn a_request_that_is_not_done_is_listed_and_can_be_withdrawn() {
    let project = done();
    project.feed("two.parquet", &[(DAY_0 + 9 * HOUR, "z", 1)]);
    ok(&project, &["run"]);
    fs::remove_file(project.path("in/one.parquet")).unwrap();
    let args = [
        "reprocess",
        "tiny",
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-02",
        "--yes",
        "--reason",
        "why not",
    ];
    assert_eq!(project.json(&args).0, 4);

    let requests = ok(&project, &["requests"]);
    let request = &requests["requests"][0];
    fields(request, "pipeline id verb start end why");
    assert_eq!((&request["verb"], &request["why"]), (&"reprocess".into(), &"why not".into()));
    let id = request["id"].as_str().unwrap();
    let text = project.command(&["requests"]).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains(id));

    assert_eq!(project.json(&["requests", "--cancel", "r9999"]).0, 2);
    ok(&project, &["requests", "tiny", "--cancel", id, "--dry-run"]);
    assert_eq!(ok(&project, &["requests"])["requests"].as_array().unwrap().len(), 1);
    ok(&project, &["requests", "tiny", "--cancel", id]);
    assert_eq!(ok(&project, &["requests"])["requests"], serde_json::json!([]));
}

/// Every file, with its bytes and its time of change.
fn snapshot(project: &Project) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let read = |name: String| {
        let path = project.path(&name);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        (name, (fs::read(path).unwrap(), modified))
    };
    files_below(project.path("")).into_iter().map(read).collect()
}

#[test]
fn looking_and_dry_runs_leave_no_trace() {
    let range = ["--from", "2026-01-01", "--to", "2026-01-02"];
    let commands: Vec<Vec<&str>> = vec![
        vec!["run", "--dry-run"],
        [&["backfill", "tiny", "-n"], &range[..]].concat(),
        [&["reprocess", "tiny", "-n"], &range[..]].concat(),
        [&["skip", "tiny", "-n", "--reason", "x"], &range[..]].concat(),
        vec!["requests", "tiny", "--cancel", "r1", "-n"],
        vec!["check"],
        vec!["plan"],
        vec!["status"],
        vec!["history", "tiny"],
        vec!["verify"],
        vec!["verify", "--balance"],
        vec!["requests"],
        vec!["quarantine", "list"],
        vec!["quarantine", "show", "tiny"],
        vec!["quarantine", "retry", "tiny", "-n"],
        vec!["trace", "tiny", "--where", "value >= 0"],
    ];
    let late = done();
    late.feed("late.parquet", &[(DAY_0, "b", 1), (DAY_0 + 9 * HOUR, "b", 1)]);
    for project in [fed(), late, stuck()] {
        let before = snapshot(&project);
        for command in &commands {
            for format in ["text", "json"] {
                let args = [&command[..], &["--format", format]].concat();
                let ended = project.command(&args).output().unwrap();
                assert!([0, 2].contains(&code(&ended)), "{args:?}: {ended:?}");
                assert!(snapshot(&project) == before, "{args:?} left a trace");
            }
        }
    }
}

#[test]
fn an_idle_run_leaves_no_trace() {
    let project = done();
    // Once more: the first run may still settle how young the files were.
    let before = snapshot(&project);
    let ended = project.command(&["run"]).output().unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(told.contains("nothing to do"), "{told}");
    assert!(ended.stderr.is_empty());
    assert!(snapshot(&project) == before);
}

#[test]
fn exit_codes_tell_whether_there_is_work() {
    let project = fed();
    let code = |args: &[&str]| project.json(args).0;
    assert_eq!(code(&["plan"]), 0);
    assert_eq!(code(&["plan", "--exit-code"]), 10);
    assert_eq!(code(&["run", "--skip-exit-code", "99"]), 0);
    assert_eq!(code(&["plan", "--exit-code"]), 0);
    assert_eq!(code(&["run", "--skip-exit-code", "99"]), 99);
    assert_eq!(code(&["run"]), 0);
}

#[test]
fn from_is_inclusive_and_to_exclusive() {
    let begin = "[pipeline.tiny.window]\nbegin = \"2026-01-01T05:00:00Z\"";
    let project = Project::new(&TINY.replace("[pipeline.tiny.window]", begin));
    let rows: Vec<_> = (0..8).map(|hour| (DAY_0 + hour * HOUR, "a", 60)).collect();
    project.feed("one.parquet", &rows);
    let run = ok(&project, &["run"]);
    assert_eq!(run["pipelines"][0]["windows_done"], 2);
    assert_eq!(run["pipelines"][0]["rows"]["before_begin"], 5);
    assert_eq!(ok(&project, &["plan"])["pipelines"][0]["before_begin_rows"], 5);

    let args = ["backfill", "tiny", "--from", "2026-01-01T01", "--to", "2026-01-01T03"];
    let filled = ok(&project, &args);
    assert_eq!(filled["pipelines"][0]["windows_done"], 2);
    fields(&filled["pipelines"][0], "request");
    let hours: Vec<_> = files_below(project.path("out/totals"));
    let hours: Vec<_> = hours.iter().filter_map(|name| name.split("hour=").nth(1)).collect();
    let expected = ["01/data.parquet", "02/data.parquet", "05/data.parquet", "06/data.parquet"];
    assert_eq!(hours, expected);
    // What was computed is not computed again.
    assert_eq!(ok(&project, &args)["pipelines"][0]["windows_done"], 0);
    assert_eq!(ok(&project, &["plan"])["pipelines"][0]["before_begin_rows"], 3);
}

#[test]
fn quiet_leaves_results_and_errors() {
    let project = fed();
    let loud = project.copy().command(&["run"]).output().unwrap();
    let said = String::from_utf8(loud.stderr).unwrap();
    assert_eq!(said.lines().count(), 4, "one line a window: {said}");
    assert!(said.lines().all(|line| line.contains(" INFO window committed pipeline=tiny window=")));
    let quiet = project.command(&["run", "-q"]).output().unwrap();
    assert!(quiet.stderr.is_empty());
    assert!(String::from_utf8(quiet.stdout).unwrap().starts_with("✓ tiny    4 windows"));
    let failing = stuck().command(&["run", "-q"]).output().unwrap();
    assert!(String::from_utf8(failing.stderr).unwrap().contains("HW2010"));
}

#[test]
fn colours_are_for_terminals_and_those_who_ask() {
    let project = fed();
    let escapes = |args: &[&str]| {
        let ended = project.command(args).env_remove("NO_COLOR").output().unwrap();
        ended.stderr.contains(&0x1b)
    };
    assert!(!escapes(&["run", "nope"]));
    assert!(escapes(&["run", "nope", "--color", "always"]));
    assert!(!escapes(&["run", "nope", "--color", "never"]));
}

#[test]
fn pipelines_are_picked_by_name_and_pattern() {
    let second = TINY[TINY.find("[pipeline").unwrap()..]
        .replace("pipeline.tiny", "pipeline.other")
        .replace("out/", "out/other/");
    let project = Project::new(&format!("{}{second}", TINY.replace("out/", "out/tiny/")));
    project.feed("one.parquet", &[(DAY_0, "a", 60), (DAY_0 + HOUR, "a", 60)]);
    let picked = |args: &[&str]| -> Vec<String> {
        let plan = ok(&project, args);
        let pipelines = plan["pipelines"].as_array().unwrap();
        pipelines.iter().map(|found| found["pipeline"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(picked(&["plan"]), ["tiny", "other"]);
    assert_eq!(picked(&["plan", "o*"]), ["other"]);
    assert_eq!(picked(&["plan", "other", "*"]), ["tiny", "other"]);
    assert_eq!(picked(&["run", "tiny"]), ["tiny"]);
    assert!(!project.path("_highwater/other").exists());
}
